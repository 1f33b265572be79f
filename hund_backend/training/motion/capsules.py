"""Self-penetration of our body, with limbs and trunk as capsules."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.model import BodyModel
from ...body.segments import closest_shares
from ...body.skeleton import JOINT_INDEX


class Capsule(NamedTuple):
    """Segment of the body between two joints, with the joints whose skin lies around it."""

    start: str
    end: str
    skin: tuple[str, ...]


_LIMBS = {
    "forearm": Capsule("Lowerarm", "Hand", ("Lowerarm",)),
    "hand": Capsule("Hand", "Middle01", ("Hand",)),
    "upper_arm": Capsule("Upperarm", "Lowerarm", ("Upperarm",)),
    "thigh": Capsule("Thigh", "Calf", ("Thigh",)),
    "calf": Capsule("Calf", "Ankle", ("Calf",)),
    "foot": Capsule("Ankle", "Ball", ("Ankle", "Foot")),
}
CAPSULES = {
    "trunk": Capsule("Pelvis", "Spine03", ("Spine01", "Spine02")),
    "chest": Capsule("Spine03", "Neck01", ("Spine03",)),
    "head": Capsule("Head01", "Jaw01", ("Head01",)),
} | {
    f"{name}{side}": Capsule(
        limb.start + side, limb.end + side, tuple(joint + side for joint in limb.skin)
    )
    for side in "LR"
    for name, limb in _LIMBS.items()
}
# Neighbors along the body always touch; these do not.
_SAME_SIDE = (("forearm", "thigh"), ("hand", "thigh"), ("hand", "calf"), ("forearm", "calf"))
_SAME_SIDE += (("foot", "thigh"),)
_OPPOSITE_SIDES = (
    *_SAME_SIDE,
    ("forearm", "forearm"),
    ("forearm", "upper_arm"),
    ("hand", "upper_arm"),
    ("calf", "calf"),
    ("calf", "thigh"),
    ("foot", "calf"),
    ("foot", "foot"),
)
_TO_TRUNK = ("forearm", "hand", "calf", "foot")
PAIRS = tuple(
    dict.fromkeys(
        [
            (f"{limb}{side}", part)
            for limb in _TO_TRUNK
            for part in CAPSULES
            if part[-1] not in "LR"
            for side in "LR"
        ]
        + [(a + side, b + side) for a, b in _SAME_SIDE for side in "LR"]
        + [
            tuple(sorted((a + side, b + other)))
            for a, b in _OPPOSITE_SIDES
            for side, other in ("LR", "RL")
        ]
    )
)


class CapsuleBody:
    """Our mean body as capsules; a radius is the median distance of the skin from the axis."""

    def __init__(self) -> None:
        body = BodyModel.load("low")
        self._ends = [
            [JOINT_INDEX[end] for end in (capsule.start, capsule.end)]
            for capsule in CAPSULES.values()
        ]
        nearest = body.skinning_weights.argmax(-1)
        radii = []
        for capsule, (start, end) in zip(CAPSULES.values(), self._ends, strict=True):
            joints = torch.tensor([JOINT_INDEX[joint] for joint in capsule.skin])
            skin = body.template[torch.isin(nearest, joints)]
            ends = body.rest_template[[start, end]].expand(len(skin), 2, 3)
            radii.append(segment_distance(ends, torch.stack((skin, skin), dim=-2)).median())
        self.radii = torch.stack(radii)
        names = list(CAPSULES)
        self._first = [names.index(first) for first, _ in PAIRS]
        self._second = [names.index(second) for _, second in PAIRS]
        self._reach = torch.maximum(self.radii[self._first], self.radii[self._second])

    def penetration(self, joints: Float[Tensor, "frames 63 3"]) -> Float[Tensor, "frames pairs"]:
        """Depth of the axis of the thinner of two capsules inside the thicker one, metres.

        Soft parts that press on each other stay below 0. One column for each of `PAIRS`.
        """
        ends = joints[:, self._ends]
        distance = segment_distance(ends[:, self._first], ends[:, self._second])
        return self._reach.to(joints) - distance

    def separating_moves(
        self, joints: Float[Tensor, "frames 63 3"]
    ) -> Float[Tensor, "frames 63 3"]:
        """Displacements of the ends of forearms and hands that end their penetrations, metres.

        Of several penetrations of a limb the deepest counts; the end that is nearer to it moves
        more.
        """
        ends = joints[:, self._ends]
        share, gap = closest_points(ends[:, self._first], ends[:, self._second])
        distance = gap.norm(dim=-1)
        depth = (self._reach.to(joints) - distance).clamp(min=0)
        shift = gap / distance.clamp(min=1e-6)[..., None] * depth[..., None]
        moves = torch.zeros_like(joints)
        for pair, (first, _) in enumerate(PAIRS):
            if first[:-1] not in ("forearm", "hand"):
                continue
            start, end = self._ends[self._first[pair]]
            for joint, portion in ((start, 1 - share[:, pair]), (end, share[:, pair])):
                move = portion[:, None] * shift[:, pair]
                is_larger = move.norm(dim=-1) > moves[:, joint].norm(dim=-1)
                moves[:, joint] = torch.where(is_larger[:, None], move, moves[:, joint])
        return moves


def segment_distance(
    first: Float[Tensor, "*batch 2 3"], second: Float[Tensor, "*batch 2 3"]
) -> Float[Tensor, " *batch"]:
    """Least distance between two segments, given by their ends."""
    return closest_points(first, second)[1].norm(dim=-1)


def closest_points(
    first: Float[Tensor, "*batch 2 3"], second: Float[Tensor, "*batch 2 3"]
) -> tuple[Float[Tensor, " *batch"], Float[Tensor, "*batch 3"]]:
    """Closest points of two segments, given by their ends.

    Returns:
        The share of the first segment at its closest point, and the vector from the closest point
        of the second to it.
    """
    apart = first[..., 0, :] - second[..., 0, :]
    along, across = first[..., 1, :] - first[..., 0, :], second[..., 1, :] - second[..., 0, :]
    share, other = closest_shares(apart, along, across)
    return share, apart + share[..., None] * along - other[..., None] * across
