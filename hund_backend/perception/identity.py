"""Identity: how likely two tracklets show the same person.

All costs are negative logarithms of a likelihood ratio, the same person against somebody else:
below zero speaks for the same person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from .crop_detector import HIP, SEGMENTS, Detection
from .tracklets import Tracklet, hip_velocity

LEFT_RIGHT = ((11, 12), (23, 24))  # shoulders and hips, left first
HIDDEN, SEEN = 0.3, 0.6  # confidence of the ends of a limb up to, and from which it is so
MIRRORED_SEGMENTS = (1, 0, 3, 2, 5, 4, 7, 6)  # of crop_detector.SEGMENTS


@dataclass(frozen=True, kw_only=True)
class IdentityConfig:
    """Likelihoods of motion, size, direction and colors."""

    end_seconds: float = 0.3  # at the ends of a tracklet, for velocity, direction and colors
    velocity_decay: float = 1.0  # seconds after which a velocity is no longer known
    place_noise: float = 0.08  # sides of the crop
    place_growth: float = 0.3  # of that noise with the gap, sides a second
    picture_area: float = 6.0  # square sides in which somebody else may stand
    max_motion: float = 12.0  # largest cost of place
    size_noise: float = 0.12  # of the logarithm of the crop's side
    size_growth: float = 0.3  # a second
    max_size: float = 4.0
    turn_noise: float = 0.6  # radians
    turn_growth: float = 2.0  # a second: a body needs time to turn
    max_turn: float = 2.0
    lightness_weight: float = 0.4  # of differences of colors: shade changes lightness most
    color_noise: float = 8.0  # of one person's colors in different places and light
    color_noise_near: float = 6.0  # of one person's colors within a second
    color_spread: float = 22.0  # of different people's colors
    max_color: float = 4.0
    color_enough: float = 0.6  # share of trunk and limbs that tells as much as all


@dataclass(frozen=True, kw_only=True)
class End:
    """First or last moments of a tracklet."""

    position: int
    hip: Float[np.ndarray, "2"]  # px
    velocity: Float[np.ndarray, "2"]  # px a frame
    side: float  # px
    direction: Float[np.ndarray, "2"]  # mean unit vector (x, z) from right to left; short: unsure
    colors: Float[np.ndarray, "segments 4"]


@dataclass(frozen=True, kw_only=True)
class Description:
    """Properties of a tracklet by which its person is known."""

    start: End
    end: End
    colors: Float[np.ndarray, "segments 4"]  # over all detections
    count: int  # of detections
    positions: frozenset[int] = field(repr=False)


def describe(tracklet: Tracklet, fps: float, config: IdentityConfig) -> Description:
    """Return the properties by which a tracklet's person is known."""
    positions = sorted(tracklet)
    over = max(2, round(config.end_seconds * fps))
    return Description(
        start=_end(tracklet, positions[0], over, before=False),
        end=_end(tracklet, positions[-1], over, before=True),
        colors=mean_colors(seen_colors(list(tracklet.values()))),
        count=len(tracklet),
        positions=frozenset(positions),
    )


def _end(tracklet: Tracklet, position: int, over: int, *, before: bool) -> End:
    low, high = (position - over, position) if before else (position, position + over)
    near = [detection for p, detection in tracklet.items() if low <= p <= high]
    detection = tracklet[position]
    return End(
        position=position,
        hip=detection.points[HIP],
        velocity=hip_velocity(tracklet, position, over, before=before),
        side=float(np.exp(np.mean([np.log(d.crop[2]) for d in near]))),
        direction=np.mean([_direction(d) for d in near], axis=0),
        colors=mean_colors(seen_colors(near)),
    )


def _direction(detection: Detection) -> Float[np.ndarray, "2"]:
    """Return the horizontal direction from the right to the left side of the body."""
    across = sum(
        detection.world_landmarks[left] - detection.world_landmarks[right]
        for left, right in LEFT_RIGHT
    )[[0, 2]]
    return across / max(float(np.linalg.norm(across)), 1e-6)


def seen_colors(detections: Sequence[Detection]) -> Float[np.ndarray, "detections segments 4"]:
    """Return colors of trunk and limbs, and how well each of them is seen, 0…1.

    Where a limb is hidden, its color is that of what hides it.
    """
    confidence = np.stack([detection.confidence for detection in detections])
    ends = confidence[:, np.array(SEGMENTS)].min(axis=-1)
    seen = ((ends - HIDDEN) / (SEEN - HIDDEN)).clip(0, 1)
    colors = np.stack([detection.colors for detection in detections])
    return np.concatenate((colors, seen[..., None]), axis=-1)


def mean_colors(
    colors: Float[np.ndarray, "detections segments 4"],
) -> Float[np.ndarray, "segments 4"]:
    """Return the median colors of trunk and limbs, each over the half in which it is seen best."""
    seen = colors[..., 3]
    better = seen >= np.median(seen, axis=0)
    masked = np.where(better[..., None], colors, np.nan)
    return np.nanmedian(masked, axis=0)


def color_distance(
    colors: Float[np.ndarray, "segments 4"],
    other: Float[np.ndarray, "segments 4"],
    config: IdentityConfig,
) -> tuple[float, float]:
    """Return the mean difference of the colors of two people's clothes, and how much is seen, 0…1.

    Left and right may be exchanged, as the network exchanges them at times.
    """
    weights = np.array([config.lightness_weight, 1, 1])

    def compared(each: np.ndarray) -> tuple[float, float]:
        seen = np.sqrt(colors[:, 3] * each[:, 3])
        distance = np.linalg.norm((colors - each)[:, :3] * weights, axis=-1)
        return float((seen * distance).sum() / max(seen.sum(), 1e-6)), float(seen.mean())

    return min(compared(other), compared(other[list(MIRRORED_SEGMENTS)]))


def color_cost(
    colors: Float[np.ndarray, "segments 4"],
    other: Float[np.ndarray, "segments 4"],
    noise: float,
    config: IdentityConfig,
) -> float:
    """Return the cost of colors: both kinds of distances follow Rayleigh distributions.

    The less is seen of both, the less it says.
    """
    distance, seen = color_distance(colors, other, config)
    spread = config.color_spread
    ratio = 0.5 * distance**2 * (noise**-2 - spread**-2) - 2 * np.log(spread / noise)
    return min(1.0, seen / config.color_enough) * float(min(ratio, config.max_color))


def motion_cost(
    earlier: Description, later: Description, fps: float, cfg: IdentityConfig
) -> float:
    """Return the cost of place, size and direction across the gap between two tracklets."""
    before, after = earlier.end, later.start
    frames = max(after.position - before.position, 1)
    seconds = frames / fps
    decay = cfg.velocity_decay * fps
    way = decay * (1 - np.exp(-frames / decay))  # in frames at the known velocity
    side = np.sqrt(before.side * after.side)
    step = after.hip - before.hip
    residuals = [np.linalg.norm(step - way * end.velocity) / side for end in (before, after)]
    noise = cfg.place_noise + cfg.place_growth * seconds
    place = 0.5 * float(np.mean(np.square(residuals))) / noise**2
    place += float(np.log(2 * np.pi * noise**2 / cfg.picture_area))
    growth = np.log(after.side / before.side) / (cfg.size_noise + cfg.size_growth * seconds)
    angle = _angle(before.direction, after.direction)
    turn = angle / (cfg.turn_noise + cfg.turn_growth * seconds)
    sure = np.linalg.norm(before.direction) * np.linalg.norm(after.direction)
    return (
        min(place, cfg.max_motion)
        + min(0.5 * float(growth) ** 2, cfg.max_size)
        + float(sure) * min(0.5 * turn**2, cfg.max_turn)
    )


def _angle(one: Float[np.ndarray, "2"], other: Float[np.ndarray, "2"]) -> float:
    cross = one[0] * other[1] - one[1] * other[0]
    return float(abs(np.arctan2(cross, one @ other)))
