"""Captured motion at any frame rate, without the noise of its capture.

Positions of captured hands and feet have a spectrum that falls to 8 Hz and is flat from there to the
end, at 15 Hz: noise of 2 mm (docs/log/motion.md). Its third derivative is half of what the
recordings have in jerk, and nobody can estimate it from a picture. So the truth is what lies below,
as in biomechanics (Winter, "Biomechanics and Motor Control of Human Movement"), as a curve in time.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.signal import butter, sosfiltfilt
from torch import Tensor

from hund_backend.body.rotations import matrix_to_quaternion, quaternion_to_matrix
from hund_backend.training.motion.motion_set import MotionSet

CUTOFF = 8.0  # Hz, at which half of the power passes
PASSES = 0.802  # a second-order filter that is applied twice has its cut-off at this share of it
CONTEXT_SECONDS = 1.0  # before and after the chosen frames, where the clip has them


def captured_motion(
    motions: MotionSet,
    clip: str,
    frames: range,
    fps: float,
    cutoff: float | None = CUTOFF,
) -> tuple[Float[Tensor, "frames 63 3 3"], Float[Tensor, "frames 3"]]:
    """Rotations and pelvis positions of a part of a clip.

    Args:
        motions: the clips.
        clip: name of the clip.
        frames: of the clip, at the rate of the motion set.
        fps: rate of the result, which covers the same time.
        cutoff: Hz; None keeps the motion as it was recorded.
    """
    number = motions.names.index(clip)
    begin, end = int(motions.starts[number]), int(motions.starts[number + 1])
    context = round(CONTEXT_SECONDS * motions.fps)
    first = max(begin, begin + frames.start - context)
    chosen = slice(first, min(end, begin + frames.stop + context))
    rotations, translation = motions.rotations[chosen], motions.translation[chosen]
    quaternions = _continuous(matrix_to_quaternion(rotations.double()).numpy())
    values = np.concatenate((quaternions.reshape(len(rotations), -1), translation.numpy()), axis=1)
    if cutoff is not None:
        sections = butter(2, cutoff / PASSES, fs=motions.fps, output="sos")
        values = sosfiltfilt(sections, values, axis=0)
    begins = (begin + frames.start - first) / motions.fps
    duration = (len(frames) - 1) / motions.fps
    times = begins + np.arange(int(duration * fps + 1e-6) + 1) / fps
    curve = CubicSpline(np.arange(len(values)) / motions.fps, values)
    values = torch.from_numpy(curve(times))
    quaternions = values[:, :-3].unflatten(-1, (-1, 4))
    quaternions = quaternions / quaternions.norm(dim=-1, keepdim=True)
    return quaternion_to_matrix(quaternions).float(), values[:, -3:].float()


def _continuous(
    quaternions: Float[np.ndarray, "frames joints 4"],
) -> Float[np.ndarray, "frames joints 4"]:
    """The same rotations, each quaternion with the sign that is nearer to the frame before."""
    turned = (quaternions[1:] * quaternions[:-1]).sum(axis=-1) < 0
    odd = np.cumsum(turned, axis=0) % 2 == 1
    signs = np.concatenate((np.ones_like(odd[:1], dtype=float), np.where(odd, -1.0, 1.0)))
    return quaternions * signs[..., None]
