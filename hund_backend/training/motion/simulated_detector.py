"""Simulated detections of known motion, with errors in time like those of the real detector.

The real errors were measured on rendered clips of held-out motion (docs/log/dynamics.md): a bias
that stays over a clip, errors of the same size whose correlation falls to 1/e in a fifth of a
second, next to no white noise, and limbs that are doubted, or lost, for some frames.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from ...body.skeleton import BLAZEPOSE_NAMES
from ...perception.evidence import Evidence

HIPS = tuple(BLAZEPOSE_NAMES.index(f"{side}_hip") for side in ("left", "right"))
LIMBS = (("elbow", "wrist", "pinky", "index", "thumb"), ("knee", "ankle", "heel", "foot"))


@dataclass(frozen=True, kw_only=True)
class DetectorNoise:
    """Deviations of the errors."""

    bias: float = 0.005  # of the crop's side, constant in a clip
    wander: float = 0.006  # of the crop's side, correlated in time
    white: float = 0.0012  # of the crop's side
    landmark_bias: float = 0.05  # metres
    landmark_wander: float = 0.05  # metres
    landmark_white: float = 0.005  # metres
    seconds: float = 0.2  # in which the correlation falls to 1/e
    doubt_rate: float = 0.15  # episodes a second in which a limb is doubted
    doubt_seconds: float = 0.2  # their mean length
    doubt_factor: float = 6.0  # of the wander in them

    def scaled(self, factor: float) -> "DetectorNoise":
        """The same with all errors scaled."""
        names = ("bias", "wander", "white", "landmark_bias", "landmark_wander", "landmark_white")
        return replace(self, **{name: factor * getattr(self, name) for name in names})


def simulated_evidence(
    points: Float[np.ndarray, "frames 33 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    fps: float,
    rng: np.random.Generator,
    noise: DetectorNoise | None = None,
) -> Evidence:
    """Return detections of one person over a clip.

    Args:
        points: true keypoints, camera frame, metres.
        intrinsics: of the frame, px.
        fps: frames a second.
        rng: random numbers.
        noise: of the detector.
    """
    noise = noise or DetectorNoise()
    frames = len(points)
    rays = points @ intrinsics.T
    pixels = rays[..., :2] / rays[..., 2:]
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    side = 1.25 * (high - low).max(axis=1)
    doubted = _episodes(frames, fps, rng, noise)
    wander = noise.wander * np.where(doubted, noise.doubt_factor, 1.0)[..., None]
    errors = (
        noise.bias * rng.normal(size=(1, 33, 2))
        + wander * persistent(rng, (frames, 33, 2), fps, noise.seconds)
        + noise.white * rng.normal(size=(frames, 33, 2))
    )
    confidence = rng.uniform(0.75, 1.0, (1, 33)) + rng.normal(0, 0.03, (frames, 33))
    confidence = np.where(doubted, 0.3 * confidence, confidence).clip(0, 1)
    depth = np.array([1.0, 1.0, 1.5])  # errors in depth are larger
    landmarks = points - points[:, HIPS].mean(axis=1, keepdims=True)
    landmarks = landmarks + depth * (
        noise.landmark_bias * rng.normal(size=(1, 33, 3))
        + noise.landmark_wander * persistent(rng, points.shape, fps, noise.seconds)
        + noise.landmark_white * rng.normal(size=points.shape)
    )
    return Evidence(
        track_id=0,
        frames=np.arange(frames),
        observed=np.ones(frames, dtype=bool),
        keypoints=np.concatenate(
            (pixels + errors * side[:, None, None], confidence[..., None]), axis=-1
        ),
        world_landmarks=landmarks,
        crops=np.column_stack(((low + high) / 2, side, np.zeros(frames))),
        intrinsics=np.repeat(intrinsics[None], frames, axis=0),
        masks=np.zeros((frames, 64, 64), np.uint8),
    )


def persistent(
    rng: np.random.Generator, shape: tuple[int, ...], fps: float, seconds: float
) -> np.ndarray:
    """Return noise of unit variance along the first axis whose correlation decays in time."""
    correlation = np.exp(-1 / (fps * seconds))
    values = rng.normal(size=shape)
    for frame in range(1, shape[0]):
        values[frame] = (
            correlation * values[frame - 1] + np.sqrt(1 - correlation**2) * values[frame]
        )
    return values


def _episodes(
    frames: int, fps: float, rng: np.random.Generator, noise: DetectorNoise
) -> Bool[np.ndarray, "frames 33"]:
    """Return which keypoints are doubted in which frames, limb by limb."""
    doubted = np.zeros((frames, 33), dtype=bool)
    for side in ("left", "right"):
        for names in LIMBS:
            limb = [
                keypoint
                for keypoint, name in enumerate(BLAZEPOSE_NAMES)
                if name.startswith(side) and any(part in name for part in names)
            ]
            starts = np.flatnonzero(rng.random(frames) < noise.doubt_rate / fps)
            for start in starts:
                length = 1 + rng.exponential(noise.doubt_seconds * fps)
                doubted[start : start + int(length), limb] = True
    return doubted
