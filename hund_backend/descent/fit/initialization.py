"""Kinematic starts: the few ways in which a person could stand where the picture is ambiguous."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX
from hund_backend.descent.reduced_body import FitVariables, ReducedBody
from hund_backend.descent.targets import NUM_KEYPOINTS, Targets
from hund_backend.prior.pose_prior import PosePrior

TORSO = tuple(
    BLAZEPOSE_NAMES.index(f"{side}_{name}")
    for side in ("left", "right")
    for name in ("shoulder", "hip")
)
# Camera axes of a person who faces the camera: left is right in the picture, up is up.
FACING = (1.0, -1.0, -1.0)
NEAREST = 0.3  # metres: nobody starts nearer to the camera
OUTLIER = 0.05  # of the crop's side: misses beyond it say little about the place


class Start(NamedTuple):
    """One kinematic configuration, relative to the torso of the world landmarks."""

    mirrored: bool = False  # in depth: what leaned to the camera leans away
    yaw: float = 0.0  # turn about the body's own upright axis, radians
    crouched: bool = False


# Six, as in the optimisation variant of GHUM (Xu et al., 2020, section 4); which ones it took is
# not known. The torso's depth is what a single picture leaves open most often.
STARTS = (
    Start(),
    Start(mirrored=True),
    Start(yaw=math.radians(70)),
    Start(yaw=math.radians(-70)),
    Start(crouched=True),
    Start(mirrored=True, crouched=True),
)


def initial_poses(
    targets: Targets, reduced_body: ReducedBody, prior: PosePrior
) -> Float[Tensor, "starts frames joints 3 3"]:
    """Rotations of the moved joints for each start of each frame.

    Args:
        targets: where the person is seen; the landmarks give the torso's orientation.
        puppet: the body.
        prior: its most likely pose is what every start bends.
    """
    typical = prior.typical_pose().to(reduced_body.offsets)
    typical = torch.cat((torch.eye(3).to(typical)[None], typical))[list(reduced_body.moved)]
    return torch.stack([_start(start, targets, reduced_body, typical) for start in STARTS])


def placed(
    rotations: Float[Tensor, "frames joints 3 3"],
    targets: Targets,
    reduced_body: ReducedBody,
    betas: Float[Tensor, " betas"],
) -> FitVariables:
    """A posture with the place that brings its keypoints nearest to the evidence.

    The place is the solution of linear equations in which every keypoint says "on my ray",
    solved again with the outliers' weights lowered.
    """
    there = rotations.new_tensor([0.0, 0.0, 1.0]).expand(len(rotations), 3)
    points = (
        reduced_body.posed(FitVariables(rotations, there, betas)).points[:, :NUM_KEYPOINTS]
        - there[:, None]
    )
    homogeneous = torch.nn.functional.pad(targets.pixels, (0, 1), value=1.0)
    rays = torch.linalg.solve(targets.intrinsics[:, None], homogeneous[..., None])[..., :2, 0]
    equations = torch.zeros(*rays.shape, 3, dtype=rays.dtype)
    equations[..., 0, 0] = equations[..., 1, 1] = 1
    equations[..., 2] = -rays
    right = (rays * points[..., 2:] - points[..., :2])[..., None]
    side = targets.crop_side / targets.intrinsics[:, 0, 0]  # as a slope
    # Without any evidence the person stands as far away as one who fills the crop.
    somewhere = torch.zeros_like(there)
    somewhere[:, 2] = 2 / side
    weights = targets.confidence
    for _ in range(4):
        weighted = weights[..., None, None] * equations
        hessian = (weighted.mT @ equations).sum(1) + 1e-6 * torch.eye(3).to(rays)
        place = torch.linalg.solve(
            hessian, (weighted.mT @ right).sum(1)[..., 0] + 1e-6 * somewhere
        )
        place = torch.cat((place[:, :2], place[:, 2:].clamp(min=NEAREST)), dim=-1)
        residual_norms = (equations @ place[:, None, :, None] - right)[..., 0].norm(dim=-1)
        residual_norms = residual_norms / (place[:, 2:] * side[:, None] * OUTLIER)
        weights = targets.confidence / (1 + residual_norms.square()).square()
    return FitVariables(rotations, place, betas)


def _start(
    start: Start, targets: Targets, reduced_body: ReducedBody, typical: Float[Tensor, "joints 3 3"]
) -> Float[Tensor, "frames joints 3 3"]:
    pose = _crouched(typical, reduced_body) if start.crouched else typical
    frames = len(targets.pixels)
    rotations = pose.expand(frames, -1, -1, -1).clone()
    average = pose.new_zeros(len(reduced_body.offset_basis))
    still = FitVariables(pose[None], pose.new_tensor([[0.0, 0.0, 1.0]]), average)
    torso = reduced_body.posed(still).points[0, TORSO, :]
    seen = targets.landmarks[:, TORSO, :]
    if start.mirrored:
        seen = seen * seen.new_tensor([1.0, 1.0, -1.0])
    turn = rotvec_to_matrix(pose.new_tensor([0.0, start.yaw, 0.0]))
    rotations[:, 0] = _aligned(torso, seen, targets.confidence[:, TORSO]) @ turn
    return rotations


def _crouched(
    pose: Float[Tensor, "joints 3 3"], reduced_body: ReducedBody
) -> Float[Tensor, "joints 3 3"]:
    """The pose with hips and knees at right angles."""
    pose = pose.clone()
    for side in "LR":
        for name, angle in ((f"Thigh{side}", -math.pi / 2), (f"Calf{side}", math.pi / 2)):
            joint = reduced_body.moved.index(JOINT_INDEX[name])
            pose[joint] = rotvec_to_matrix(pose.new_tensor([angle, 0.0, 0.0]))
    return pose


def _aligned(
    points: Float[Tensor, "points 3"],
    seen: Float[Tensor, "frames points 3"],
    confidence: Float[Tensor, "frames points"],
) -> Float[Tensor, "frames 3 3"]:
    """The rotation that best brings points onto seen ones (Kabsch, 1976); facing if unseen."""
    weights = (confidence + 1e-3)[..., None]
    points = points - points.mean(0)
    seen = seen - (weights * seen).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
    covariance = (weights * seen).mT @ points
    # A trace of the facing camera decides where the landmarks say nothing.
    covariance = covariance + 1e-6 * torch.diag(points.new_tensor(FACING))
    left, _, right = torch.linalg.svd(covariance)
    flip = torch.ones_like(left[..., 0])
    flip[:, 2] = torch.det(left @ right)
    return (left * flip[:, None]) @ right
