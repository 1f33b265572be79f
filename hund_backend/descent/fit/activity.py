"""Activity: how strong each joint's accelerations are, around every frame, in a motion at hand.

Noise that is the same for a person who stands and one who kicks shakes the one and blunts the other.
A polished motion is good enough to tell them apart: in its slow band its energy is the truth's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from .terms.motion import TYPICAL_ACCELERATIONS


@dataclass(frozen=True, kw_only=True)
class ActivityConfig:
    """Band in which energy is measured, and what it says about accelerations."""

    band_seconds: float = 0.05  # deviation of the filter that leaves the slow band
    # Accelerations in captured motion are 1.6 times those in the band. They last, while the term
    # takes those of all frames for independent, so half of that leaves the least error.
    gain: float = 0.77
    noise: float = 0.15  # accelerations that errors leave in the band, of the typical ones
    floor: float = 0.024  # least accelerations, of the typical ones
    window_seconds: float = 0.13  # deviation of the window over which the energy is averaged
    # Energies at hand are uncertain: accelerations lie between them and the typical ones.
    power: float = 0.6  # 0: typical; 1: as measured


def local_accelerations(
    joints: Float[Tensor, "frames joints 3"], fps: float, config: ActivityConfig
) -> Float[Tensor, "frames joints"]:
    """Accelerations to expect of the pelvis, and of the others relative to it, m/s².

    Args:
        joints: of the motion at hand, at least three frames, metres.
        fps: frames a second.
        config: of the measurement.
    """
    positions = joints.numpy(force=True)
    positions = np.concatenate((positions[:, :1], positions[:, 1:] - positions[:, :1]), axis=1)
    slow = _blurred(positions, config.band_seconds * fps)
    inner = (np.diff(slow, 2, axis=0) ** 2).sum(axis=-1) * fps**4
    energies = _blurred(np.pad(inner, ((1, 1), (0, 0)), mode="edge"), config.window_seconds * fps)
    relative = energies / np.square(TYPICAL_ACCELERATIONS)
    relative = config.gain**2 * (relative - config.noise**2).clip(0) + config.floor**2
    return torch.from_numpy(relative ** (config.power / 2) * TYPICAL_ACCELERATIONS).to(joints)


def _blurred(values: np.ndarray, deviation: float) -> np.ndarray:
    """Values after a Gaussian filter along the first axis; the deviation in frames."""
    return gaussian_filter1d(values, deviation, axis=0, mode="nearest")
