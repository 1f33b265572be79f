"""Metrics of a hand's descent, by stage."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.procrustes import similarity_aligned
from ...descent.hands.inputs import HandInputs
from ...descent.hands.state_decoder import PosedHand


def pa_mpjpe_mm(posed: PosedHand, truth: PosedHand) -> Float[Tensor, " batch"]:
    """Mean distance of the 21 points after Procrustes alignment, mm."""
    aligned = similarity_aligned(posed.points, truth.points)
    return 1000 * (aligned - truth.points).norm(dim=-1).mean(-1)


def joint_error_deg(posed: PosedHand, truth: PosedHand) -> Float[Tensor, " batch"]:
    """Mean angle between rotations of the finger joints and the true ones, degrees."""
    return rotation_angle_deg(posed.rotations[:, 1:], truth.rotations[:, 1:]).mean(-1)


def wrist_error_deg(posed: PosedHand, truth: PosedHand) -> Float[Tensor, " batch"]:
    """Angle between the rotation of the wrist and the true one, degrees."""
    return rotation_angle_deg(posed.rotations[:, 0], truth.rotations[:, 0])


def rotation_angle_deg(
    rotations: Float[Tensor, "*batch 3 3"], others: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch"]:
    """Angle of the rotation that leads from one to the other, degrees."""
    # By the chord, which is exact for small angles too.
    half = (rotations - others).norm(dim=(-2, -1)) / 8**0.5
    return torch.rad2deg(2 * torch.arcsin(half.clamp(max=1)))


def keypoint_error(inputs: HandInputs, truth: PosedHand) -> Float[Tensor, " batch"]:
    """Mean distance of the detected keypoints from the true ones, in sizes of the hand.

    The size is the longer side of the box around the true points.
    """
    depth = truth.points[..., 2:].clamp(min=0.05)
    exact = truth.points[..., :2] / depth / inputs.crop_width[:, None, None]
    size = (exact.amax(1) - exact.amin(1)).amax(-1)
    return (exact - inputs.keypoints).norm(dim=-1).mean(-1) / size
