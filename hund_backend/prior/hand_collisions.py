"""Collisions of a hand with itself: depths to which fingers go into each other and into the palm.

A hand is nineteen capsules: three bones of each finger, and the palm between the wrist and the four
knuckles. Their axes and radii are those of the flesh around the bones, of the body's mesh at rest.
Flesh yields, so that capsules may overlap a little: as far as those of recorded hands do.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..body.file import BodyFile, load_body_file
from ..body.hand import POINT_NAMES, POINT_PARENTS, WRIST, HandModel, hand_axes
from ..body.segments import closest_shares
from ..body.skeleton import JOINT_INDEX

YIELDING = 0.6  # of the sum of two radii, to which flesh is pressed together
_MIDDLE = (0.15, 0.85)  # of a bone: the flesh there belongs to it alone
_PALM_MIDDLE, _PALM_WIDTH = (0.55, 0.85), 0.006  # the same of the palm; metres to either side


class HandCollisions(nn.Module):
    """Capsules of a left hand; it has no parameters.

    Attributes:
        centers: from each bone to the axis of its capsule, (19, 3), body frame at rest, metres.
        radii: of the capsules, (19,), metres.
        reach: share of each bone that its capsule's axis is long, (19,).
    """

    def __init__(self, model: HandModel, body: BodyFile | None = None) -> None:
        """Measure the capsules.

        Args:
            model: the hand.
            body: the file that it was made of; None reads it.
        """
        super().__init__()
        self.model = model
        centers, radii = _capsules(model.rest.numpy(), body or load_body_file())
        self.register_buffer("centers", torch.from_numpy(centers).float(), persistent=False)
        self.register_buffer("radii", torch.from_numpy(radii).float(), persistent=False)
        lengths = (model.rest[_BONES] - model.rest[_STARTS]).norm(dim=-1)
        # The palm's round ends lie within it, a finger's beyond its joints.
        within = torch.tensor([start == 0 for start in _STARTS]) * self.radii / lengths
        self.register_buffer("reach", 1 - within, persistent=False)
        first, second = torch.tensor(_pairs()).unbind(-1)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)

    def forward(
        self,
        rotations: Float[Tensor, "batch 16 3 3"],
        rest_points: Float[Tensor, "batch 21 3"],
    ) -> Float[Tensor, "batch pairs"]:
        """Return how much deeper than flesh yields each pair of capsules overlaps, metres.

        Args:
            rotations: of the wrist and the finger joints, as of `HandModel`.
            rest_points: landmarks at rest (`HandModel.rest_points`).
        """
        rest = rest_points - self.model.offsets
        joints, carriers = self.model.joints_and_carriers(rotations, rest)
        moved = (carriers[:, _BONES] @ self.centers[..., None])[..., 0]
        starts = joints[:, _STARTS] + moved
        bones = self.reach[:, None] * (joints[:, _BONES] + moved - starts)
        first, second = self.first, self.second
        apart = starts[:, first] - starts[:, second]
        distance = _distance(apart, bones[:, first], bones[:, second])
        return (YIELDING * (self.radii[first] + self.radii[second]) - distance).relu()


# Points at whose parents bones begin and at which they end: all but that before the thumb's base.
_BONES = [row for row in range(1, len(POINT_NAMES)) if POINT_NAMES[row] != "Thumb01L"]
_STARTS = [POINT_PARENTS[row] for row in _BONES]


def _finger(row: int) -> str:
    """Return the finger of a point."""
    return POINT_NAMES[row][:-3] if row % 4 else POINT_NAMES[row].removesuffix("TipL")


def _pairs() -> list[tuple[int, int]]:
    """Return pairs of capsules that can meet and do not by nature.

    Bones of one finger follow each other, first bones stand side by side at the palm, and the
    thumb's lies in its web along the index finger's side.
    """
    pairs = []
    for one, row in enumerate(_BONES):
        for other in range(one):
            before = _BONES[other]
            palm = [r for r in (row, before) if _STARTS[_BONES.index(r)] == 0]
            if len(palm) == 2 or (not palm and _finger(row) == _finger(before)):
                continue
            # The first bone of a finger, which ends at its point 02.
            roots = [r for r in (row, before) if POINT_NAMES[r].endswith("02L")]
            in_web = {POINT_NAMES[row], POINT_NAMES[before]} == {"Thumb03L", "Index01L"}
            if len(palm) + len(roots) == 2 or in_web:
                continue
            pairs.append((one, other))
    return pairs


def _distance(
    apart: Float[Tensor, "batch pairs 3"],
    first: Float[Tensor, "batch pairs 3"],
    second: Float[Tensor, "batch pairs 3"],
) -> Float[Tensor, "batch pairs"]:
    """Return the distances of segments.

    Args:
        apart: from the second's start to the first's.
        first: from the first's start to its end.
        second: the same of the second.
    """
    share, other = closest_shares(apart, first, second)
    nearest = apart + share[..., None] * first - other[..., None] * second
    return (nearest.square().sum(-1) + 1e-10).sqrt()


def _capsules(
    rest: Float[np.ndarray, "21 3"], body: BodyFile
) -> tuple[Float[np.ndarray, "19 3"], Float[np.ndarray, " 19"]]:
    """Return the way from each bone to the middle of its flesh, and the radius."""
    vertices = body.template - body.joints[WRIST]
    owners = body.skinning_weights.argmax(axis=1)
    palm = hand_axes(torch.from_numpy(rest)).numpy()
    centers, radii = [], []
    for row, start in zip(_BONES, _STARTS, strict=True):
        flesh = vertices[owners == JOINT_INDEX[POINT_NAMES[start]]] - rest[start]
        bone = rest[row] - rest[start]
        share = flesh @ bone / (bone @ bone)
        low, high = _PALM_MIDDLE if start == 0 else _MIDDLE
        flesh = (flesh - share[:, None] * bone)[(share > low) & (share < high)]
        if start == 0:
            # The palm is as thick as it is from the back to the front.
            flesh = flesh[np.abs(flesh @ palm[:, 1]) < _PALM_WIDTH]
            back, front = (flesh @ palm[:, 2]).min(), (flesh @ palm[:, 2]).max()
            centers.append((back + front) / 2 * palm[:, 2])
            radii.append((front - back) / 2)
        else:
            centers.append((flesh.min(axis=0) + flesh.max(axis=0)) / 2)
            radii.append(np.median(np.linalg.norm(flesh - centers[-1], axis=1)))
    return np.stack(centers), np.array(radii)
