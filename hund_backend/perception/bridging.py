"""Bridging: short gaps in which a person is hidden, and in the picture all the same."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from .crop_detector import LIMB_JOINTS
from .evidence import Evidence

HIPS = [23, 24]


@dataclass(frozen=True, kw_only=True)
class BridgingConfig:
    """Which gaps are bridged."""

    max_seconds: float = 1.5  # of a gap, as in linking
    min_inside: float = 0.7  # share of the keypoints inside the frame before and after the gap
    max_change: float = 0.15  # of the pose over the gap, sides of the crop; mean of the limbs


def shown_frames(
    evidence: Evidence,
    fps: float,
    size: tuple[int, int],
    config: BridgingConfig | None = None,
) -> Bool[np.ndarray, " frames"]:
    """Return in which frames of the evidence a person is in the picture, seen or hidden.

    Somebody behind another, a tree or a pillar is there in between; somebody who leaves the picture
    is not. After a great change of the pose nobody knows what was in between.

    Args:
        evidence: of the person; gaps are interpolated.
        fps: frames a second.
        size: width and height of the frame, px.
        config: see BridgingConfig.
    """
    config = config or BridgingConfig()
    shown = evidence.observed.copy()
    points = evidence.keypoints[..., :2]
    inside = ((points >= 0) & (points <= size)).all(axis=-1).mean(axis=-1)
    shots = np.zeros(len(shown), int) if evidence.shots is None else evidence.shots
    rows = np.flatnonzero(shown)
    for before, after in pairwise(rows.tolist()):
        if (
            1 < after - before <= config.max_seconds * fps
            and shots[before] == shots[after]
            and min(inside[before], inside[after]) >= config.min_inside
            and _change(points[before], points[after], evidence.crops[before, 2])
            <= config.max_change
        ):
            shown[before:after] = True
    return shown


def _change(
    before: Float[np.ndarray, "33 2"], after: Float[np.ndarray, "33 2"], side: float
) -> float:
    """Return the mean way of the limbs' joints around the hips, sides of the crop."""
    way = (after - after[HIPS].mean(axis=0)) - (before - before[HIPS].mean(axis=0))
    return float(np.linalg.norm(way[LIMB_JOINTS], axis=-1).mean() / side)
