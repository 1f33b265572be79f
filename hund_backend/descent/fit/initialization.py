"""Initial poses: the few configurations that a picture leaves open."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.procrustes import aligning_rotation
from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX
from ...prior.pose_prior import PosePrior
from ..reduced_body import FitVariables, ReducedBody
from ..targets import Targets

_TORSO = tuple(
    BLAZEPOSE_NAMES.index(f"{side}_{name}")
    for side in ("left", "right")
    for name in ("shoulder", "hip")
)
# Camera axes of a person who faces the camera: the left side on the right of the picture.
_FACING = (1.0, -1.0, -1.0)


class InitialPose(NamedTuple):
    """Configuration relative to the torso of the 3D landmarks."""

    mirrored: bool = False  # in depth: leaning away from the camera instead of towards it
    yaw: float = 0.0  # rotation about the body's vertical axis, radians
    crouched: bool = False


# Six, as in the optimization variant of GHUM (Xu et al., 2020, section 4); which ones it took is
# not known. The torso's depth is the most frequent ambiguity of a single picture.
INITIAL_POSES = (
    InitialPose(),
    InitialPose(mirrored=True),
    InitialPose(yaw=math.radians(70)),
    InitialPose(yaw=math.radians(-70)),
    InitialPose(crouched=True),
    InitialPose(mirrored=True, crouched=True),
)


def initial_rotations(
    targets: Targets, reduced_body: ReducedBody, prior: PosePrior
) -> Float[Tensor, "poses frames joints 3 3"]:
    """Rotations of the reduced joints for each initial pose in each frame.

    Args:
        targets: keypoint evidence; its landmarks give the torso's orientation.
        reduced_body: the body.
        prior: its typical pose is the pose of all joints but the pelvis, unless crouched.
    """
    typical = prior.typical_pose().to(reduced_body.offsets)
    typical = torch.cat((torch.eye(3).to(typical)[None], typical))
    typical = typical[list(reduced_body.joint_indices)]
    return torch.stack(
        [_rotations(pose, targets, reduced_body, typical) for pose in INITIAL_POSES]
    )


def _rotations(
    initial: InitialPose,
    targets: Targets,
    reduced_body: ReducedBody,
    typical: Float[Tensor, "joints 3 3"],
) -> Float[Tensor, "frames joints 3 3"]:
    pose = _crouched(typical, reduced_body) if initial.crouched else typical
    rotations = pose.expand(len(targets.pixels), -1, -1, -1).clone()
    mean_betas = pose.new_zeros(len(reduced_body.offset_basis))
    variables = FitVariables(pose[None], pose.new_tensor([[0.0, 0.0, 1.0]]), mean_betas)
    torso = reduced_body.forward(variables).points[0, _TORSO, :]
    landmarks = targets.landmarks[:, _TORSO, :]
    if initial.mirrored:
        landmarks = landmarks * landmarks.new_tensor([1.0, 1.0, -1.0])
    yaw = rotvec_to_matrix(pose.new_tensor([0.0, initial.yaw, 0.0]))
    # A small multiple of the facing orientation decides where the landmarks say nothing.
    facing = 1e-6 * torch.diag(torso.new_tensor(_FACING))
    weights = targets.confidence[:, _TORSO] + 1e-3
    orient = aligning_rotation(torso - torso.mean(0), landmarks, weights, prior=facing)
    rotations[:, 0] = orient @ yaw
    return rotations


def _crouched(
    pose: Float[Tensor, "joints 3 3"], reduced_body: ReducedBody
) -> Float[Tensor, "joints 3 3"]:
    """The pose with hips and knees at right angles."""
    pose = pose.clone()
    for side in "LR":
        for name, angle in ((f"Thigh{side}", -math.pi / 2), (f"Calf{side}", math.pi / 2)):
            joint = reduced_body.joint_indices.index(JOINT_INDEX[name])
            pose[joint] = rotvec_to_matrix(pose.new_tensor([angle, 0.0, 0.0]))
    return pose
