"""Self-penetration of our body, limbs and trunk as capsules."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_INDEX


class Capsule(NamedTuple):
    """A segment of the body between two joints, with the joints whose skin lies round it."""

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
# Neighbors along the body touch always; these do not.
_OWN = (("forearm", "thigh"), ("hand", "thigh"), ("hand", "calf"), ("forearm", "calf"))
_OWN += (("foot", "thigh"),)
_ACROSS = (
    *_OWN,
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
        + [(a + side, b + side) for a, b in _OWN for side in "LR"]
        + [
            tuple(sorted((a + side, b + other)))
            for a, b in _ACROSS
            for side, other in ("LR", "RL")
        ]
    )
)


class CapsuleBody:
    """Our mean body as capsules; each radius is the median distance of its skin from its axis."""

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
        """How deep the axis of the thinner of two capsules lies in the thicker, metres.

        Soft parts that press on each other stay below 0. One column for each of `PAIRS`.
        """
        ends = joints[:, self._ends]
        distance = segment_distance(ends[:, self._first], ends[:, self._second])
        return self._reach.to(joints) - distance

    def way_out(self, joints: Float[Tensor, "frames 63 3"]) -> Float[Tensor, "frames 63 3"]:
        """By how much to move the ends of forearms and hands so that none lies in another part.

        The deepest penetration of each decides; its nearer end moves more. Metres.
        """
        ends = joints[:, self._ends]
        share, way = between(ends[:, self._first], ends[:, self._second])
        distance = way.norm(dim=-1)
        depth = (self._reach.to(joints) - distance).clamp(min=0)
        push = way / distance.clamp(min=1e-6)[..., None] * depth[..., None]
        moves = torch.zeros_like(joints)
        for pair, (first, _) in enumerate(PAIRS):
            if first[:-1] not in ("forearm", "hand"):
                continue
            start, end = self._ends[self._first[pair]]
            for joint, part in ((start, 1 - share[:, pair]), (end, share[:, pair])):
                move = part[:, None] * push[:, pair]
                larger = move.norm(dim=-1) > moves[:, joint].norm(dim=-1)
                moves[:, joint] = torch.where(larger[:, None], move, moves[:, joint])
        return moves


def segment_distance(
    first: Float[Tensor, "*batch 2 3"], second: Float[Tensor, "*batch 2 3"]
) -> Float[Tensor, " *batch"]:
    """The least distance between two segments, given by their ends."""
    return between(first, second)[1].norm(dim=-1)


def between(
    first: Float[Tensor, "*batch 2 3"], second: Float[Tensor, "*batch 2 3"]
) -> tuple[Float[Tensor, " *batch"], Float[Tensor, "*batch 3"]]:
    """Where a segment is nearest to another, and the way there (Ericson, 2005, §5.1.9).

    Returns:
        The share of the first segment at its nearest point, and the vector from the nearest point
        of the second to it.
    """
    origin, other = first[..., 0, :], second[..., 0, :]
    along, across = first[..., 1, :] - origin, second[..., 1, :] - other
    gap = origin - other
    a, e = along.square().sum(-1), across.square().sum(-1).clamp(min=1e-12)
    b, c, f = (along * across).sum(-1), (along * gap).sum(-1), (across * gap).sum(-1)
    cross = a * e - b * b
    s = torch.where(cross > 1e-9, (b * f - c * e) / cross.clamp(min=1e-9), 0.0).clamp(0, 1)
    t = ((b * s + f) / e).clamp(0, 1)
    s = ((b * t - c) / a.clamp(min=1e-12)).clamp(0, 1)
    return s, gap + s[..., None] * along - t[..., None] * across
