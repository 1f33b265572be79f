"""Visibility of a face's eyes and mouth: whether they are seen well enough to follow them.

The landmark network points at a mouth behind a mask or a hand as surely as at a bare one, and its
presence stays at one. The values from which it computes presence and landmarks tell the difference:
a small network, trained by `training/faces/train_face_visibility.py`, reads visibility from them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32
from safetensors.numpy import load_file
from scipy.special import expit

from ...weights_file import WEIGHTS, load_weights

WEIGHTS_FILE = WEIGHTS / "face_visibility.safetensors"
REGIONS = ("eyes", "mouth")  # with brows; with nose, cheeks and jaw
NUM_REGIONS = len(REGIONS)
NUM_FEATURES = 512  # the landmark network's last values before its outputs, 128 × 2 × 2


@runtime_checkable
class VisibilityReader(Protocol):
    """Reads visibility of faces, as FaceVisibility."""

    def __call__(self, features: Float[np.ndarray, "crops 512"]) -> Float32[np.ndarray, "crops 2"]:
        """Return the visibility 0…1 of eyes and mouth."""


@dataclass(frozen=True, kw_only=True)
class FaceVisibility:
    """Network with one hidden layer, from the landmark network's features to visibility."""

    mean: Float32[np.ndarray, "512"]  # of the features
    scale: Float32[np.ndarray, "512"]
    hidden_weight: Float32[np.ndarray, "512 hidden"]
    hidden_bias: Float32[np.ndarray, " hidden"]
    weight: Float32[np.ndarray, "hidden 2"]
    bias: Float32[np.ndarray, "2"]

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "FaceVisibility":
        """Read trained weights.

        Raises:
            BadInputError: the file is missing or damaged.
        """
        with load_weights("The network of faces' visibility", path):
            return cls(**{name: np.float32(values) for name, values in load_file(path).items()})

    def __call__(self, features: Float[np.ndarray, "crops 512"]) -> Float32[np.ndarray, "crops 2"]:
        """Return the visibility 0…1 of eyes and mouth."""
        values = np.arcsinh((features - self.mean) / self.scale)
        hidden = np.tanh(values @ self.hidden_weight + self.hidden_bias)
        return expit(hidden @ self.weight + self.bias).astype(np.float32)
