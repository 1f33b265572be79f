"""Levels: heights of the supports on which feet and seats bear, found per contact.

Contacts near the floor are on it. Others are on steps, platforms and chairs: points of a foot, or of
a seat, that bear at one time are on one level, and so are contacts of about one height.
"""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import label

from ..body.contact_points import CONTACT_NAMES

FLOOR_REACH = 0.12  # metres from the floor at which a contact is on it at confidence ½
SAME_LEVEL = 0.06  # metres between contacts on one level
# Points that bear on one level: those of a foot, and both sides of the seat. The part of a hand or
# of a knee that touches differs from one pose to another, so that their heights say little.
GROUPS = tuple(
    [i for i, name in enumerate(CONTACT_NAMES) if name in names]
    for names in (
        ("left_heel", "left_ball", "left_toe"),
        ("right_heel", "right_ball", "right_toe"),
        ("left_seat", "right_seat"),
    )
)


def near_floor(heights: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the confidence that contacts at these heights over the floor are on it, 0…1."""
    return 1 / (1 + (heights / FLOOR_REACH) ** 6)


def contact_levels(
    heights: Float[np.ndarray, "frames 12"], bearing: Float[np.ndarray, "frames 12"]
) -> tuple[Float[np.ndarray, "frames 12"], Float[np.ndarray, "frames 12"]]:
    """Return the confidence that points bear on a level over or below the floor, and the levels.

    Args:
        heights: of the points of CONTACT_NAMES over the floor, metres.
        bearing: confidence that they bear on something.
    """
    runs = [run for group in GROUPS for run in _runs(heights, bearing, group)]
    confidence, levels = np.zeros_like(heights), np.zeros_like(heights)
    for members in _clusters([height for _, _, height, _ in runs]):
        weights = np.array([runs[member][3] for member in members])
        level = np.average([runs[member][2] for member in members], weights=weights)
        for member in members:
            frames, group, _, _ = runs[member]
            levels[np.ix_(frames, group)] = level
            held = bearing[np.ix_(frames, group)]
            confidence[np.ix_(frames, group)] = held * (1 - near_floor(np.full(held.shape, level)))
    return confidence, levels


def _runs(
    heights: Float[np.ndarray, "frames 12"],
    bearing: Float[np.ndarray, "frames 12"],
    group: list[int],
) -> list[tuple[np.ndarray, list[int], float, float]]:
    """Frames, points, height and weight of each contact of a group of points."""
    found = []
    labels, count = label(bearing[:, group].max(axis=1) > 0.5)
    for number in range(1, count + 1):
        frames = np.flatnonzero(labels == number)
        weights = bearing[np.ix_(frames, group)].ravel()
        values = heights[np.ix_(frames, group)].ravel()[weights > 0.5]
        found.append((frames, group, float(np.median(values)), float(weights.sum())))
    return found


def _clusters(heights: list[float]) -> list[list[int]]:
    """Indices of contacts in order of height, split at gaps."""
    order = np.argsort(heights)
    gaps = np.flatnonzero(np.diff(np.array(heights)[order]) > SAME_LEVEL) + 1
    return [part.tolist() for part in np.split(order, gaps) if len(part)]
