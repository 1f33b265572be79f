"""Rotation transfer: joint rotations of our body from the world rotations of another skeleton."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.kinematics import forward_kinematics
from ...body.rotations import matrix_to_rotvec, rotvec_to_matrix
from ...body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from ...prior.limits import KNEE_FLEXION, elbow_axis
from .limb_roll import bent_backwards, hinged
from .packs import Correspondence, Pack

# Clavicles rise by about 30° while the arm rises by 180° (Ludewig et al., 2009).
CLAVICLE_SHARE = 0.17
PRONATION_SHARE = 0.5  # of the twist between upper arm and hand that the forearm joint takes


class SourceClip:
    """One clip of a pack in our axes: x to the left, y up, z to the front.

    Attributes:
        root_positions: positions of the root, in the pack's own length.
        leg_length: length of thigh and calf, in the pack's own length.
    """

    def __init__(self, pack: Pack, names: Correspondence, clip: int, frames: slice) -> None:
        self.pack, self.names = pack, names
        self._rest = pack.rest_joints(clip)
        local = rotvec_to_matrix(torch.from_numpy(pack.rotvecs[frames]))
        rest = self._rest.expand(len(local), -1, -1)
        self._orientations, _ = forward_kinematics(local, rest, pack.parents)
        self._axes = self._body_axes()
        self.root_positions = torch.from_numpy(pack.root_positions[frames]) @ self._axes.T
        thigh, calf, foot = (names.side_joint("L", joint) for joint in ("thigh", "calf", "foot"))
        self.leg_length = self.bone(thigh, calf).norm() + self.bone(calf, foot).norm()

    def orientation(self, joint: str) -> Float[Tensor, "frames 3 3"]:
        """Rotation of a joint from the pack's rest pose, in our axes."""
        orientation = self._orientations[:, self.pack.joint_names.index(joint)]
        return self._axes @ orientation @ self._axes.T

    def bone(self, joint: str, child: str) -> Float[Tensor, " 3"]:
        """Vector from a joint to another one at the pack's rest, in our axes."""
        index = self.pack.joint_names.index
        return self._axes @ (self._rest[index(child)] - self._rest[index(joint)])

    def second_bone(self, first: str, second: str, end: str) -> Float[Tensor, " 3"]:
        """The second bone of a limb at the rest that the rotations refer to, in our axes."""
        if self.names.straight_rest:
            return self.bone(first, second)
        return self.bone(second, end)

    def from_flat(self, joint: str, end: str) -> Float[Tensor, "frames 3 3"]:
        """Rotation of a joint of a foot from the flat foot that points to the front.

        Args:
            joint: whose rotation.
            end: joint at the other end of the foot.
        """
        pack, index = self.pack, self.pack.joint_names.index
        first = int(pack.clip_starts[pack.clip_names.index(self.names.flat_feet)])
        local = rotvec_to_matrix(torch.from_numpy(pack.rotvecs[first : first + 1]))
        orientations, places = forward_kinematics(local, self._rest[None], pack.parents)
        ahead = self._axes @ (places[0, index(end)] - places[0, index(joint)])
        yaw = torch.atan2(ahead[0], ahead[2]) * torch.tensor([0.0, 1, 0], dtype=torch.float64)
        flat = self._axes @ orientations[0, index(joint)] @ self._axes.T
        return self.orientation(joint) @ flat.T @ rotvec_to_matrix(yaw)

    def hinge_axis(self, joint: str) -> Float[Tensor, " 3"]:
        """Axis of a joint of one degree of freedom, in our axes at rest."""
        rotvecs = self.pack.rotvecs[:, self.pack.joint_names.index(joint)]
        axis = torch.from_numpy(rotvecs.mean(0))
        return self._axes @ (axis / axis.norm())

    def _body_axes(self) -> Float[Tensor, "3 3"]:
        """Rows: the body's left, up and front at rest, which are axes of every pack's world."""
        index, names = self.pack.joint_names.index, self.names
        left_hip, right_hip = (self._rest[index(names.side_joint(s, "thigh"))] for s in "LR")
        left = _nearest_axis(left_hip - right_hip)
        up = _nearest_axis(self._rest[index(names.head)] - self._rest[index(names.pelvis)])
        return torch.stack((left, up, torch.linalg.cross(left, up)))


def transfer_rotations(
    source: SourceClip, rest_joints: Float[Tensor, "63 3"]
) -> Float[Tensor, "frames 63 3 3"]:
    """Parent-relative rotations of our joints that take the source's world rotations.

    Limb bones of ours point where the source's do.

    Args:
        source: the clip.
        rest_joints: our joints at rest, body frame.
    """
    names = source.names
    pelvis, chest, head = (source.orientation(j) for j in (names.pelvis, names.chest, names.head))
    pitch = torch.tensor([math.radians(names.head_pitch_deg), 0, 0], dtype=torch.float64)
    head = head @ rotvec_to_matrix(pitch)
    world = {"Pelvis": pelvis, "Spine03": chest, "Head01": head}
    world["Spine01"], world["Spine02"] = (
        interpolate_rotation(pelvis, chest, 1 / 3),
        interpolate_rotation(pelvis, chest, 2 / 3),
    )
    world["Neck01"] = interpolate_rotation(chest, head, 1 / 2)
    rest = rest_joints.double()
    for side in "LR":
        world |= _leg(source, side, rest)
        world |= _arm(source, side, rest, chest)
    return parent_relative(world)


def _leg(source: SourceClip, side: str, rest: Tensor) -> dict[str, Float[Tensor, "frames 3 3"]]:
    """World orientations of a leg's joints."""
    names = source.names
    thigh, calf, foot = (names.side_joint(side, joint) for joint in ("thigh", "calf", "foot"))
    upper, lower = _bone(rest, "Thigh", "Calf", side), _bone(rest, "Calf", "Ankle", side)
    first = source.orientation(thigh) @ shortest_rotation(upper, source.bone(thigh, calf))
    second_bone = source.second_bone(thigh, calf, foot)
    direction = source.orientation(calf) @ second_bone
    first = hinged(first, direction, upper, knee_axis(side))
    eye = torch.eye(3, dtype=torch.float64)
    tilt = shortest_rotation(lower, second_bone) if names.tilted_feet else eye
    world = {
        f"Thigh{side}": first,
        f"Calf{side}": first @ swing_to(lower, first, direction),
        f"Ankle{side}": source.orientation(foot) @ tilt,
    }
    if names.has_toes:
        world[f"Ball{side}"] = source.orientation(names.side_joint(side, "toes")) @ tilt
    if names.flat_feet is not None:
        world[f"Ankle{side}"] = source.from_flat(foot, names.side_joint(side, "toes"))
    return world


def _arm(
    source: SourceClip, side: str, rest: Tensor, chest: Float[Tensor, "frames 3 3"]
) -> dict[str, Float[Tensor, "frames 3 3"]]:
    """World orientations of an arm's joints and its clavicle."""
    names = source.names
    upper, lower, hand = (
        names.side_joint(side, joint) for joint in ("upperarm", "lowerarm", "hand")
    )
    at_rest, forearm = (
        _bone(rest, "Upperarm", "Lowerarm", side),
        _bone(rest, "Lowerarm", "Hand", side),
    )
    upper_fit = shortest_rotation(at_rest, source.bone(upper, lower))
    # Packs roll their arms differently at rest; an initial roll makes their hinge's axis ours.
    roll = _roll_about(elbow_axis(side), upper_fit.T @ source.hinge_axis(lower), at_rest)
    first = source.orientation(upper) @ upper_fit @ roll
    swing = shortest_rotation(at_rest, chest.mT @ first @ at_rest)
    rising = matrix_to_rotvec(swing) * torch.tensor([0.0, CLAVICLE_SHARE, CLAVICLE_SHARE])
    clavicle = chest @ rotvec_to_matrix(rising)
    second_bone = source.second_bone(upper, lower, hand)
    direction = source.orientation(lower) @ second_bone
    end = source.orientation(hand) @ _hand_fit(source, side, rest, forearm, second_bone)
    rolled = hinged(first, direction, at_rest, elbow_axis(side))
    backwards = arm_bent_backwards(clavicle, rolled, direction, at_rest)
    half_turn = rotvec_to_matrix(math.pi * backwards[:, None] * (rolled @ _unit(at_rest)))
    direction = (half_turn @ direction[..., None])[..., 0]
    rolled = hinged(first, direction, at_rest, elbow_axis(side))
    swung = rolled @ swing_to(forearm, rolled, direction)
    # Where the forearm was wrong, so is the hand: it continues the forearm.
    end = torch.where(backwards[:, None, None], swung, end)
    # The forearm turns the hand: its two bones cross along its whole length.
    half = PRONATION_SHARE * _twist_angle(swung.mT @ end, forearm)
    return {
        f"Clavicle{side}": clavicle,
        f"Upperarm{side}": rolled,
        f"Lowerarm{side}": swung @ rotvec_to_matrix(half[:, None] * _unit(forearm)),
        f"Hand{side}": end,
    }


def _hand_fit(
    source: SourceClip,
    side: str,
    rest: Tensor,
    forearm: Float[Tensor, " 3"],
    second_bone: Float[Tensor, " 3"],
) -> Float[Tensor, "3 3"]:
    """Rotation at rest from our hand to the pack's."""
    fit = shortest_rotation(forearm, second_bone)
    if source.names.thumb is None:
        return fit
    theirs = source.bone(*(source.names.side_joint(side, joint) for joint in ("hand", "thumb")))
    return fit @ _roll_about(_bone(rest, "Hand", "Thumb01", side), fit.T @ theirs, forearm)


def arm_bent_backwards(
    clavicle: Float[Tensor, "frames 3 3"],
    upperarm: Float[Tensor, "frames 3 3"],
    direction: Float[Tensor, "frames 3"],
    bone: Float[Tensor, " 3"],
) -> Bool[Tensor, " frames"]:
    """Frames in which an upper arm would have to roll too far for its forearm's direction."""
    bend = torch.linalg.cross(upperarm @ _unit(bone), _unit(direction)).norm(dim=-1)
    return bent_backwards(bend, _twist_angle(clavicle.mT @ upperarm, bone))


def swing_to(
    bone: Float[Tensor, " 3"],
    parent: Float[Tensor, "frames 3 3"],
    direction: Float[Tensor, "frames 3"],
) -> Float[Tensor, "frames 3 3"]:
    """Shortest rotation in a parent's frame that brings a bone to a direction in the world."""
    return shortest_rotation(bone, (parent.mT @ direction[..., None])[..., 0])


def _twist_angle(
    rotations: Float[Tensor, "frames 3 3"], bone: Float[Tensor, " 3"]
) -> Float[Tensor, " frames"]:
    """Angle about a bone that remains after the shortest rotation of the bone, radians."""
    swing = shortest_rotation(bone, rotations @ bone)
    return matrix_to_rotvec(swing.mT @ rotations) @ _unit(bone)


def knee_axis(side: str) -> Float[Tensor, " 3"]:
    """Flexion axis at rest of the knee of side "L" or "R", body frame."""
    axis = torch.tensor(KNEE_FLEXION, dtype=torch.float64)
    return axis if side == "L" else axis * torch.tensor([1.0, -1.0, -1.0])


def parent_relative(
    world: dict[str, Float[Tensor, "frames 3 3"]],
) -> Float[Tensor, "frames 63 3 3"]:
    """Parent-relative rotations; joints that are not given move with their parents."""
    orientations, local = [], []
    for joint, name in enumerate(JOINT_NAMES):
        parent = orientations[PARENTS[joint]] if joint else torch.eye(3, dtype=torch.float64)
        orientations.append(world.get(name, parent))
        local.append(parent.transpose(-1, -2) @ orientations[joint])
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


def shortest_rotation(
    start: Float[Tensor, "*#batch 3"], end: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """Shortest rotation from one direction to another."""
    start, end = torch.broadcast_tensors(_unit(start), _unit(end))
    axis = torch.linalg.cross(start, end)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (start * end).sum(-1, keepdim=True))
    return rotvec_to_matrix(axis / sine.clamp(min=1e-9) * angle)


def _roll_about(
    start: Float[Tensor, " 3"], end: Float[Tensor, " 3"], bone: Float[Tensor, " 3"]
) -> Float[Tensor, "3 3"]:
    """Rotation about a bone that brings one direction across it towards another."""
    bone = bone / bone.norm()
    start, end = start - (start @ bone) * bone, end - (end @ bone) * bone
    return shortest_rotation(start, end)


def interpolate_rotation(
    start: Float[Tensor, "frames 3 3"], end: Float[Tensor, "frames 3 3"], share: float
) -> Float[Tensor, "frames 3 3"]:
    """Rotation part of the way from one to another."""
    return start @ rotvec_to_matrix(share * matrix_to_rotvec(start.transpose(-1, -2) @ end))
