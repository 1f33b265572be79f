"""Rotation transfer: our joints turned in the world as those of another skeleton are."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from hund_backend.prior.limits import KNEE_FLEXION, elbow_axis

from .limb_roll import bent_backwards, hinged
from .packs import Correspondence, Pack

# Clavicles rise by about 30° while the arm rises by 180° (Ludewig et al., 2009); no pack records it.
CLAVICLE_SHARE = 0.17
PRONATION_SHARE = 0.5  # of the turn between upper arm and hand that the forearm joint takes


class Source:
    """One clip of a pack, turned into our axes: x to the left, y up, z to the front."""

    def __init__(self, pack: Pack, names: Correspondence, clip: int, frames: slice) -> None:
        self.pack, self.names = pack, names
        offsets = torch.from_numpy(pack.offsets[pack.clip_skeletons[clip]])
        local = rotvec_to_matrix(torch.from_numpy(pack.rotvecs[frames]))
        turned, places = [], []
        for joint, parent in enumerate(pack.parents):
            if parent < 0:
                turned.append(local[:, joint])
                places.append(torch.zeros(3, dtype=torch.float64))
            else:
                turned.append(turned[parent] @ local[:, joint])
                places.append(places[parent] + offsets[joint])
        self._turned, self._rest = turned, places
        self._axes = self._body_axes()
        self.places = torch.from_numpy(pack.root_positions[frames]) @ self._axes.T
        self.leg = self.bone(names.on("L", "thigh"), names.on("L", "calf")).norm()
        self.leg = self.leg + self.bone(names.on("L", "calf"), names.on("L", "foot")).norm()

    def turned(self, joint: str) -> Float[Tensor, "frames 3 3"]:
        """How far a joint is turned from the pack's rest pose, in our axes."""
        return self._axes @ self._turned[self.pack.joint_names.index(joint)] @ self._axes.T

    def bone(self, joint: str, child: str) -> Float[Tensor, " 3"]:
        """From a joint to another at the pack's rest, in our axes."""
        index = self.pack.joint_names.index
        return self._axes @ (self._rest[index(child)] - self._rest[index(joint)])

    def second_bone(self, first: str, second: str, end: str) -> Float[Tensor, " 3"]:
        """The second bone of a limb at the rest that the rotations start from, in our axes."""
        if self.names.straight_rest:
            return self.bone(first, second)
        return self.bone(second, end)

    def hinge(self, joint: str) -> Float[Tensor, " 3"]:
        """The axis about which a joint of one degree of freedom bends, in our axes at rest."""
        turns = self.pack.rotvecs[:, self.pack.joint_names.index(joint)]
        axis = torch.from_numpy(turns.mean(0))
        return self._axes @ (axis / axis.norm())

    def _body_axes(self) -> Float[Tensor, "3 3"]:
        """Rows: the body's left, up and front at rest, which are axes of every pack's world."""
        index, names = self.pack.joint_names.index, self.names
        left = (
            self._rest[index(names.on("L", "thigh"))] - self._rest[index(names.on("R", "thigh"))]
        )
        left = _nearest_axis(left)
        up = _nearest_axis(self._rest[index(names.head)] - self._rest[index(names.pelvis)])
        return torch.stack((left, up, torch.linalg.cross(left, up)))


def transferred(
    source: Source, rest_joints: Float[Tensor, "63 3"]
) -> Float[Tensor, "frames 63 3 3"]:
    """Our joints turned in the world as the source's are, bones along the source's bones."""
    names = source.names
    pelvis, chest, head = (source.turned(j) for j in (names.pelvis, names.chest, names.head))
    nod = torch.tensor([math.radians(names.nod), 0, 0], dtype=torch.float64)
    head = head @ rotvec_to_matrix(nod)
    world = {"Pelvis": pelvis, "Spine03": chest, "Head01": head}
    world["Spine01"], world["Spine02"] = (
        _between(pelvis, chest, 1 / 3),
        _between(pelvis, chest, 2 / 3),
    )
    world["Neck01"] = _between(chest, head, 1 / 2)
    rest = rest_joints.double()
    for side in "LR":
        world |= _leg(source, side, rest)
        world |= _arm(source, side, rest, chest)
    return _local(world)


def _leg(source: Source, side: str, rest: Tensor) -> dict[str, Float[Tensor, "frames 3 3"]]:
    names = source.names
    thigh, calf, foot = (names.on(side, joint) for joint in ("thigh", "calf", "foot"))
    upper, lower = _bone(rest, "Thigh", "Calf", side), _bone(rest, "Calf", "Ankle", side)
    turned = source.turned(thigh) @ _shortest(upper, source.bone(thigh, calf))
    below = source.second_bone(thigh, calf, foot)
    along = source.turned(calf) @ below
    turned = hinged(turned, along, upper, knee_axis(side))
    tilt = _shortest(lower, below) if names.tilted_feet else torch.eye(3, dtype=torch.float64)
    world = {
        f"Thigh{side}": turned,
        f"Calf{side}": turned @ _swung(lower, turned, along),
        f"Ankle{side}": source.turned(foot) @ tilt,
    }
    if names.toes is not None:
        world[f"Ball{side}"] = source.turned(names.on(side, "toes")) @ tilt
    return world


def _arm(
    source: Source, side: str, rest: Tensor, chest: Float[Tensor, "frames 3 3"]
) -> dict[str, Float[Tensor, "frames 3 3"]]:
    names = source.names
    upper, lower, hand = (names.on(side, joint) for joint in ("upperarm", "lowerarm", "hand"))
    at_rest, forearm = (
        _bone(rest, "Upperarm", "Lowerarm", side),
        _bone(rest, "Lowerarm", "Hand", side),
    )
    upper_fit = _shortest(at_rest, source.bone(upper, lower))
    # Packs roll their arms differently at rest; a first guess makes their hinge's axis ours.
    roll = _roll(elbow_axis(side), upper_fit.T @ source.hinge(lower), at_rest)
    turned = source.turned(upper) @ upper_fit @ roll
    swing = _shortest(at_rest, chest.mT @ turned @ at_rest)
    rising = matrix_to_rotvec(swing) * torch.tensor([0.0, CLAVICLE_SHARE, CLAVICLE_SHARE])
    clavicle = chest @ rotvec_to_matrix(rising)
    below = source.second_bone(upper, lower, hand)
    along = source.turned(lower) @ below
    end = source.turned(hand) @ _shortest(forearm, below)
    rolled = hinged(turned, along, at_rest, elbow_axis(side))
    backwards = _bent_backwards(clavicle, rolled, along, at_rest)
    half_turn = rotvec_to_matrix(math.pi * backwards[:, None] * (rolled @ _unit(at_rest)))
    along = (half_turn @ along[..., None])[..., 0]
    rolled = hinged(turned, along, at_rest, elbow_axis(side))
    swung = rolled @ _swung(forearm, rolled, along)
    # With the forearm the hand is lost: it goes on straight.
    end = torch.where(backwards[:, None, None], swung, end)
    # The forearm turns the hand: its two bones cross along its whole length.
    half = PRONATION_SHARE * _twist(swung.mT @ end, forearm)
    return {
        f"Clavicle{side}": clavicle,
        f"Upperarm{side}": rolled,
        f"Lowerarm{side}": swung @ rotvec_to_matrix(half[:, None] * _unit(forearm)),
        f"Hand{side}": end,
    }


def _bent_backwards(
    clavicle: Float[Tensor, "frames 3 3"],
    upperarm: Float[Tensor, "frames 3 3"],
    along: Float[Tensor, "frames 3"],
    bone: Float[Tensor, " 3"],
) -> Bool[Tensor, " frames"]:
    """Frames in which an upper arm would have to roll too far for the forearm to go along."""
    bend = torch.linalg.cross(upperarm @ _unit(bone), _unit(along)).norm(dim=-1)
    return bent_backwards(bend, _twist(clavicle.mT @ upperarm, bone))


def _swung(
    bone: Float[Tensor, " 3"],
    turned: Float[Tensor, "frames 3 3"],
    along: Float[Tensor, "frames 3"],
) -> Float[Tensor, "frames 3 3"]:
    """The shortest turn in a parent's frame that brings a bone to a direction in the world."""
    return _shortest(bone, (turned.mT @ along[..., None])[..., 0])


def _twist(
    rotations: Float[Tensor, "frames 3 3"], bone: Float[Tensor, " 3"]
) -> Float[Tensor, " frames"]:
    """The turn about a bone that is left after the shortest turn to where it points, radians."""
    swing = _shortest(bone, rotations @ bone)
    return matrix_to_rotvec(swing.mT @ rotations) @ _unit(bone)


def knee_axis(side: str) -> Float[Tensor, " 3"]:
    """The axis at rest about which the knee of side "L" or "R" flexes, body frame."""
    axis = torch.tensor(KNEE_FLEXION, dtype=torch.float64)
    return axis if side == "L" else axis * torch.tensor([1.0, -1.0, -1.0])


def _local(
    world: dict[str, Float[Tensor, "frames 3 3"]],
) -> Float[Tensor, "frames 63 3 3"]:
    """Parent-relative rotations; joints that are not given move with their parents."""
    turned, local = [], []
    for joint, name in enumerate(JOINT_NAMES):
        parent = turned[PARENTS[joint]] if joint else torch.eye(3, dtype=torch.float64)
        turned.append(world.get(name, parent))
        local.append(parent.transpose(-1, -2) @ turned[joint])
    return torch.stack(local, dim=1)


def _bone(rest: Float[Tensor, "63 3"], joint: str, child: str, side: str) -> Float[Tensor, " 3"]:
    return rest[JOINT_INDEX[child + side]] - rest[JOINT_INDEX[joint + side]]


def _nearest_axis(direction: Float[Tensor, " 3"]) -> Float[Tensor, " 3"]:
    axis = torch.zeros_like(direction)
    largest = direction.abs().argmax()
    axis[largest] = direction[largest].sign()
    return axis


def _unit(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _shortest(
    start: Float[Tensor, "*#batch 3"], end: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """The shortest rotation from one direction to another."""
    start, end = torch.broadcast_tensors(_unit(start), _unit(end))
    axis = torch.linalg.cross(start, end)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (start * end).sum(-1, keepdim=True))
    return rotvec_to_matrix(axis / sine.clamp(min=1e-9) * angle)


def _roll(
    start: Float[Tensor, " 3"], end: Float[Tensor, " 3"], bone: Float[Tensor, " 3"]
) -> Float[Tensor, "3 3"]:
    """The turn about a bone that brings one direction across it towards another."""
    bone = bone / bone.norm()
    start, end = start - (start @ bone) * bone, end - (end @ bone) * bone
    return _shortest(start, end)


def _between(
    start: Float[Tensor, "frames 3 3"], end: Float[Tensor, "frames 3 3"], share: float
) -> Float[Tensor, "frames 3 3"]:
    """A rotation part of the way from one to another."""
    return start @ rotvec_to_matrix(share * matrix_to_rotvec(start.transpose(-1, -2) @ end))
