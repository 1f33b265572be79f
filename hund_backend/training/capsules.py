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

    def penetration(self, joints: Float[Tensor, "frames 63 3"]) -> Float[Tensor, "frames pairs"]:
        """How deep the axis of the thinner of two capsules lies in the thicker, metres.

        Soft parts that press on each other stay below 0. One column for each of `PAIRS`.
        """
        ends = joints[:, self._ends]
        distance = segment_distance(ends[:, self._first], ends[:, self._second])
        radii = self.radii.to(joints)
        return torch.maximum(radii[self._first], radii[self._second]) - distance


def segment_distance(
    first: Float[Tensor, "*batch 2 3"], second: Float[Tensor, "*batch 2 3"]
) -> Float[Tensor, " *batch"]:
    """The least distance between two segments, given by their ends (Ericson, 2005, §5.1.9)."""
    origin, other = first[..., 0, :], second[..., 0, :]
    along, across = first[..., 1, :] - origin, second[..., 1, :] - other
    between = origin - other
    a, e = along.square().sum(-1), across.square().sum(-1).clamp(min=1e-12)
    b, c, f = (along * across).sum(-1), (along * between).sum(-1), (across * between).sum(-1)
    cross = a * e - b * b
    s = torch.where(cross > 1e-9, (b * f - c * e) / cross.clamp(min=1e-9), 0.0).clamp(0, 1)
    t = ((b * s + f) / e).clamp(0, 1)
    s = ((b * t - c) / a.clamp(min=1e-12)).clamp(0, 1)
    return (between + s[..., None] * along - t[..., None] * across).norm(dim=-1)
