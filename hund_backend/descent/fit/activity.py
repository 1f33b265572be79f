"""Local accelerations of a motion that is still noisy."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from .terms.motion import TYPICAL_ACCELERATIONS


@dataclass(frozen=True, kw_only=True)
class ActivityConfig:
    band_seconds: float = 0.05
    gain: float = 1.6
    noise: float = 0.15  # times typical
    floor: float = 0.1  # times typical
    window_seconds: float = 0.13
    power: float = 1.0


def local_activity(
    joints: Float[Tensor, "frames joints 3"], fps: float, config: ActivityConfig
) -> Float[Tensor, "frames joints"]:
    positions = joints.numpy(force=True)
    positions = np.concatenate((positions[:, :1], positions[:, 1:] - positions[:, :1]), axis=1)
    smooth = gaussian_filter1d(positions, config.band_seconds * fps, axis=0, mode="nearest")
    acc = np.zeros_like(positions)
    acc[1:-1] = np.diff(smooth, 2, axis=0) * fps**2
    acc[0], acc[-1] = acc[1], acc[-2]
    squares = (acc**2).sum(-1)
    squares = gaussian_filter1d(squares, config.window_seconds * fps, axis=0, mode="nearest")
    typical = np.array(TYPICAL_ACCELERATIONS)
    squares = config.gain**2 * (squares - (config.noise * typical) ** 2).clip(0)
    squares = squares + (config.floor * typical) ** 2
    ratio = np.sqrt(squares) / typical
    ratio = ratio**config.power
    return torch.from_numpy(ratio * typical).to(joints)
