"""Device that tensors live on."""

import torch

from .errors import BadInputError, OptionError
from .options import DEFAULT_DEVICE, DEVICES


def choose_device(name: str = DEFAULT_DEVICE) -> torch.device:
    """Return the device of a name; "auto" is CUDA's where there is one, else the CPU.

    Raises:
        BadInputError: the name is unknown, or this machine has no such device.
    """
    if name not in DEVICES:
        raise BadInputError(f"'{name}' is no device: choose {', '.join(DEVICES)}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("PyTorch finds no graphics card with CUDA: choose another {device}.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise OptionError("PyTorch finds no graphics card with Metal: choose another {device}.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
