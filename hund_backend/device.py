"""The device that tensors live on."""

from typing import Literal

import torch

from .errors import BadInputError

Device = Literal["auto", "cpu", "cuda"]


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; "auto" is the GPU where there is one.

    Raises:
        BadInputError: there is no such device here.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"'{name}' is no device: choose auto, cpu or cuda.")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise BadInputError("PyTorch finds no CUDA device here: choose --device cpu or auto.")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")
