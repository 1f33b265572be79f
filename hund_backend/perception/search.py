"""Search: the crop in which the network sees a person best."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from hund_backend.perception.crop_detector import NUM_KEYPOINTS, Sight, Sighting
from hund_backend.perception.person_detector import People

from .crops import MARGIN, around_boxes

DETECTED_HIPS = [11, 12]  # among COCO's keypoints
BEYOND = 1.15  # radius of the whole body over that of COCO's keypoints: crown, hands, toes
BOX_MARGIN = 1.6  # side of a crop over a detected box; 1.25 loses people who are not upright

ROBUST_STEPS = 5
DISAGREEMENT = 0.04  # of the crop's side: from here on two sightings of a keypoint contradict
LEAST_WEIGHT = 0.01
CHANGES = (  # of a crop that is averaged over: shift in sides, factor of the side, radians
    (0, 0, 1, 0),
    (0, 0, 0.85, 0),
    (0, 0, 1.15, 0),
    (0, 0, 1.05, 0.26),
    (0, 0, 1.05, -0.26),
    (0.03, 0.02, 1, 0),
    (-0.02, 0.03, 1, 0),
)


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How thoroughly to look for the best crop."""

    enough: float  # quality below which all turns are tried
    factors: tuple[float, ...] = (1.0,)  # sizes of the crops that are turned
    turns: int = 8  # over the full circle
    settled: int = 1  # sightings that are looked at again in the crops they ask for
    passes: int = 1  # how often


QUICK = SearchConfig(enough=0.6)
THOROUGH = SearchConfig(enough=0.75, factors=(1.0, 0.8, 1.25), settled=3, passes=2)
"""For single pictures, where nothing else can correct a bad start."""


def starts(people: People) -> Float[np.ndarray, "people 2 4"]:
    """Two crops to begin with for each detected person: about the hips, and about the box.

    Both are turned as the trunk is; the first reaches as far as the keypoints do.
    """
    keypoints = people.keypoints.astype(float)
    hips = keypoints[:, DETECTED_HIPS].mean(axis=1)
    reach = np.linalg.norm(keypoints - hips[:, None], axis=-1).max(axis=1)
    turns = people.turns.astype(float)
    about_hips = np.column_stack((hips, 2 * MARGIN * BEYOND * reach, turns))
    about_box = around_boxes(people.boxes.astype(float), BOX_MARGIN)
    about_box[:, 3] = turns
    return np.stack((about_hips, about_box), axis=1)


def search(
    sight: Sight, crops: Float[np.ndarray, "crops 4"], config: SearchConfig = QUICK
) -> Sighting:
    """The best sighting of the person whom some crops show, the last of them the whole of him.

    People who are not upright are lost in an upright crop: the network expects the head on top.
    So where the given crops do not show the person well, turns and sizes of the last are tried,
    and the sighting of the best quality (the mean peak of the limbs' heat maps) is kept. On 200
    sports pictures this takes the joints within half a head from 54 % (upright crops) to 79 %;
    choosing by the network's own probability of a person reaches 59 %.
    """
    sightings = sight(crops)
    best = settle(sight, sightings, config)
    if best.quality >= config.enough:
        return best
    turns = np.arange(config.turns) * 2 * np.pi / config.turns
    change = np.array([(1, 1, factor, 0) for factor in config.factors])
    turned = crops[-1] * change[:, None] + np.outer(turns, (0, 0, 0, 1))
    return settle(sight, [best, *sight(turned.reshape(-1, 4))], config)


def settle(sight: Sight, sightings: Sequence[Sighting], config: SearchConfig = QUICK) -> Sighting:
    """The best of some sightings and of further ones in the crops that the best of them ask for."""
    best = sorted(sightings, key=_quality, reverse=True)[: config.settled]
    for _ in range(config.passes):
        again = sight(np.stack([sighting.wanted_crop for sighting in best]))
        best = sorted([*best, *again], key=_quality, reverse=True)[: config.settled]
    return best[0]


def average(sight: Sight, best: Sighting) -> Sighting:
    """The mean of a sighting and of others in slightly changed crops, plain and mirrored.

    The network is jumpy: its landmarks move with the crop more than they should, in directions
    that average out (200 sports pictures: joints within half a head 79 → 81 %).
    """
    shifts, factors, turns = np.split(np.array(CHANGES), (2, 3), axis=1)
    crop = best.wanted_crop
    crops = np.hstack((crop[:2] + shifts * crop[2], crop[2] * factors, crop[3] + turns))
    return mean([best, *sight(crops), *sight(crops, mirrored=True)])


def mean(sightings: Sequence[Sighting]) -> Sighting:
    """Robust mean of sightings of one person in one frame; the first lends crop, mask and colors.

    A keypoint that most sightings see elsewhere loses its weight (Geman and McClure), and where
    the sightings disagree the confidence falls.
    """
    first = sightings[0]
    points = np.stack([one.points[:NUM_KEYPOINTS] for one in sightings])
    confidence = np.stack([one.confidence for one in sightings])
    world = np.stack([one.world_landmarks for one in sightings])
    center = np.median(points, axis=0)
    for _ in range(ROBUST_STEPS):
        distance = np.linalg.norm(points - center, axis=-1) / (DISAGREEMENT * first.crop[2])
        agreement = (1 + distance**2) ** -2
        weights = (agreement * (confidence + LEAST_WEIGHT) ** 2)[..., None]
        center = (weights * points).sum(axis=0) / weights.sum(axis=0)
    return replace(
        first,
        points=np.concatenate((center, first.points[NUM_KEYPOINTS:])),
        world_landmarks=(weights * world).sum(axis=0) / weights.sum(axis=0),
        confidence=(agreement * confidence).mean(axis=0),
    )


def _quality(sighting: Sighting) -> float:
    return sighting.quality
