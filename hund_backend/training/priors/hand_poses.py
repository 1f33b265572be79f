"""Generated hand poses after anatomy and a few shapes, since few recorded hands may be used.

A hand is described by the angles of its joints about anatomical axes. Every pose lies between two
of the shapes that hands take (a fist, a pointing finger, a pinch …), with deviations that
neighboring fingers share, as their tendons do, and within the joints' ranges. So the first few
directions of variation are the synergies that were found in grasping hands (Santello et al., 1998),
but how often each shape is taken is a guess.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import JOINT_INDEX, JOINT_NAMES

FINGERS = ("Index", "Middle", "Ring", "Pinky")
HAND_JOINTS = tuple(f"{finger}{bone:02d}L" for finger in (*FINGERS, "Thumb") for bone in (1, 2, 3))

# Degrees. Four fingers: flexion of the knuckle (MCP) and of the middle joint (PIP), from index to
# pinky. Spread: of the fingers, 1 is as far as they go. Thumb: opposition (out of the palm's
# plane), flexion of its base, its knuckle and its tip.
SHAPES = {
    "relaxed": ((20, 22, 25, 28), (30, 35, 38, 38), 0.1, (15, 5, 10, 15)),
    "flat": ((0, 0, 0, 0), (2, 2, 2, 2), 0.0, (0, 0, 0, 0)),
    "splayed": ((-10, -10, -10, -10), (0, 0, 0, 0), 1.0, (-5, -12, -5, -10)),
    "fist": ((78, 82, 84, 84), (98, 100, 100, 98), 0.0, (35, 22, 35, 45)),
    "thumb up": ((75, 80, 82, 82), (98, 100, 100, 98), 0.0, (-5, -12, -8, -15)),
    "point": ((2, 75, 80, 82), (3, 98, 100, 98), 0.0, (35, 22, 35, 45)),
    "gun": ((2, 75, 80, 82), (3, 98, 100, 98), 0.0, (-5, -12, -5, -10)),
    "two": ((2, 2, 78, 80), (3, 3, 98, 96), 0.6, (40, 25, 35, 45)),
    "three": ((2, 2, 2, 78), (3, 3, 3, 96), 0.5, (45, 30, 40, 40)),
    "horns": ((2, 78, 80, 2), (3, 98, 98, 3), 0.2, (40, 25, 35, 40)),
    "call": ((75, 80, 80, 2), (95, 98, 95, 3), 0.3, (-5, -12, -5, -10)),
    "pinch": ((48, 25, 22, 20), (45, 30, 25, 22), 0.2, (48, 15, 15, 25)),
    "three-finger grip": ((50, 52, 60, 65), (45, 45, 60, 65), 0.0, (50, 15, 15, 25)),
    "large grasp": ((30, 32, 35, 38), (45, 48, 48, 45), 0.5, (45, -5, 5, 20)),
    "rod": ((58, 62, 65, 68), (72, 75, 78, 75), 0.0, (45, 15, 25, 30)),
    "hook": ((8, 8, 10, 12), (80, 85, 85, 80), 0.0, (10, 5, 10, 15)),
    "claw": ((-10, -8, -8, -8), (60, 62, 62, 60), 0.7, (30, -5, 10, 45)),
    "key": ((45, 50, 55, 58), (70, 75, 78, 75), 0.0, (8, 15, 20, 30)),
}
FLEXION = ((-25.0, 92.0), (-3.0, 108.0), (-8.0, 78.0))  # range of a finger's joints
THUMB = ((-15.0, 62.0), (-20.0, 38.0), (-12.0, 58.0), (-22.0, 82.0))
SPREAD = (14.0, 2.0, -9.0, -18.0)  # of the fingers at full spread, away from the middle finger
TIP_SHARE = 0.67  # of its middle joint's flexion that a finger's last joint follows


@dataclass(frozen=True, kw_only=True)
class HandPoseConfig:
    """Deviations of the poses from the shapes."""

    shared_std: float = 7.0  # degrees: deviation that all fingers share
    joint_std: float = 7.0  # degrees: of each joint on its own
    abduction_std: float = 3.0  # degrees: of the fingers' spread, and about axes that hardly move
    thumb_std: float = 9.0  # degrees
    single_shape_share: float = 0.35  # share of poses near one shape; the others lie between two


def hand_poses(
    rest_joints: Float[Tensor, "63 3"],
    count: int,
    generator: torch.Generator,
    config: HandPoseConfig | None = None,
) -> Float[Tensor, "count 62 3 3"]:
    """Random poses of the left hand; all other joints of the body are at rest.

    Args:
        rest_joints: our joints at rest, body frame.
        count: number of poses.
        generator: random numbers.
        config: deviations from the shapes.
    """
    angles = _clamp_angles(_sample_angles(count, generator, config or HandPoseConfig()))
    frames = _joint_axes(rest_joints.float())
    pose = torch.eye(3).repeat(count, len(JOINT_NAMES) - 1, 1, 1)
    for index, name in enumerate(HAND_JOINTS):
        vectors = angles[:, index].deg2rad() @ frames[index].T
        pose[:, JOINT_INDEX[name] - 1] = rotvec_to_matrix(vectors)
    return pose


def _sample_angles(
    count: int, generator: torch.Generator, config: HandPoseConfig
) -> Float[Tensor, "count 15 3"]:
    """Random angles of all joints, degrees.

    Of a finger's joint: flexion, abduction, twist; of the thumb's base: flexion, opposition, twist.
    """
    shapes = torch.stack([_angles(*shape) for shape in SHAPES.values()])

    def normal(*size: int) -> Tensor:
        return torch.randn(count, *size, generator=generator)

    first, second = torch.randint(len(shapes), (2, count), generator=generator)
    share = torch.rand(count, 1, 1, generator=generator)
    share = share * (torch.rand(count, 1, 1, generator=generator) > config.single_shape_share)
    angles = (1 - share) * shapes[first] + share * shapes[second]
    shared = config.shared_std * normal(1)
    angles[:, :12, 0] += shared + config.joint_std * _correlate_fingers(normal(12))
    angles[:, :12, 1] += (
        config.abduction_std * normal(12) * torch.tensor([1.0, 0.3, 0.3]).repeat(4)
    )
    angles[..., 2] += 0.7 * config.abduction_std * normal(15)
    angles[:, 12:, 0] += config.thumb_std * normal(3)
    angles[:, 12:, 1] += config.thumb_std * normal(3) * torch.tensor([1.0, 0.5, 0.2])
    return angles


def _correlate_fingers(noise: Float[Tensor, "count 12"]) -> Float[Tensor, "count 12"]:
    """Noise of unit variance of which neighboring fingers share half."""
    fingers = noise.unflatten(1, (4, 3))
    shared = torch.cat((fingers[:, :1], fingers[:, :-1]), dim=1)
    return ((fingers + shared) / 2**0.5).flatten(1)


def _angles(
    knuckles: tuple[int, ...], middles: tuple[int, ...], spread: float, thumb: tuple[int, ...]
) -> Float[Tensor, "15 3"]:
    """Angles of all joints for a shape, degrees."""
    angles = torch.zeros(15, 3)
    for finger, (knuckle, middle) in enumerate(zip(knuckles, middles, strict=True)):
        flexions = torch.tensor([knuckle, middle, TIP_SHARE * middle], dtype=torch.float32)
        angles[3 * finger : 3 * finger + 3, 0] = flexions
        angles[3 * finger, 1] = spread * SPREAD[finger]
    angles[12, 1], angles[12:, 0] = thumb[0], torch.tensor(thumb[1:], dtype=torch.float32)
    return angles


def _clamp_angles(angles: Float[Tensor, "count 15 3"]) -> Float[Tensor, "count 15 3"]:
    """Angles clamped to their ranges; fingers that are bent cannot spread."""
    angles = angles.clone()
    for bone, (low, high) in enumerate(FLEXION):
        angles[:, bone:12:3, 0] = angles[:, bone:12:3, 0].clamp(low, high)
    straight = (1 - angles[:, 0:12:3, 0] / FLEXION[0][1]).clamp(0.15, 1.0)
    angles[:, 0:12:3, 1] = angles[:, 0:12:3, 1].clamp(-24, 24) * straight
    angles[:, 12, 1] = angles[:, 12, 1].clamp(*THUMB[0])
    for bone, (low, high) in enumerate(THUMB[1:]):
        angles[:, 12 + bone, 0] = angles[:, 12 + bone, 0].clamp(low, high)
    return angles


def _joint_axes(rest: Float[Tensor, "63 3"]) -> Float[Tensor, "15 3 3"]:
    """Columns for each joint: flexion axis, abduction axis, bone; body frame at rest."""

    def joint(name: str) -> Float[Tensor, " 3"]:
        return rest[JOINT_INDEX[name]]

    along = _unit(joint("Middle01L") - joint("HandL"))
    across = joint("Index01L") - joint("Pinky01L")
    across = _unit(across - (across @ along) * along)
    palm = torch.linalg.cross(along, across)  # points out of the left hand's palm
    frames = []
    for name in HAND_JOINTS:
        finger, bone = name[:-3], int(name[-3:-1])
        ends = (bone, bone + 1) if bone < 3 else (bone - 1, bone)
        direction = _unit(joint(f"{finger}{ends[1]:02d}L") - joint(f"{finger}{ends[0]:02d}L"))
        # A finger flexes towards the palm, the thumb across it.
        towards = palm if finger != "Thumb" else 0.5 * palm - across
        flexion = _unit(torch.linalg.cross(direction, towards))
        abduction = _unit(torch.linalg.cross(flexion, direction))
        if finger != "Thumb":
            abduction = -abduction if abduction @ palm < 0 else abduction
            # A positive turn about the palm's normal leads a left finger towards the thumb.
        elif bone == 1:
            # Opposition: from the side into the palm.
            abduction = torch.linalg.cross(across, palm)
        frames.append(torch.stack((flexion, abduction, direction), dim=-1))
    return torch.stack(frames)


def _unit(vector: Float[Tensor, " 3"]) -> Float[Tensor, " 3"]:
    return vector / vector.norm()
