"""Device that tensors live on."""

import torch

from .errors import BadInputError, OptionError
from .options import DEFAULT_DEVICE, DEVICES


def choose_device(name: str = DEFAULT_DEVICE) -> torch.device:
    """Return the device of a name; "auto" is the GPU where there is one, else the CPU.

    Raises:
        BadInputError: the name is unknown, or this machine has no such device.
    """
    if name not in DEVICES:
        raise BadInputError(f"'{name}' is no device: choose {', '.join(DEVICES)}.")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise OptionError("PyTorch finds no graphics card with CUDA: choose another {device}.")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")
