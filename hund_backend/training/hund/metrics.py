"""Metrics of a descent: errors of each stage where the truth is known."""

from dataclasses import dataclass, fields

from jaxtyping import Float
from torch import Tensor

from ...body.procrustes import similarity_aligned
from ...descent.learned.network import Step
from ...descent.learned.state_decoder import PosedState
from .samples import Truth


@dataclass(frozen=True, kw_only=True)
class StageMetrics:
    """Errors of each sample of a batch, and the evidence loss L."""

    mpjpe_mm: Float[Tensor, " batch"]  # of the reduced joints, aligned at the pelvis
    pa_mpjpe_mm: Float[Tensor, " batch"]  # after Procrustes alignment
    points_mm: Float[Tensor, " batch"]  # of BlazePose's keypoints on the skin, pelvis-aligned
    translation_mm: Float[Tensor, " batch"]
    depth_percent: Float[Tensor, " batch"]  # of the true distance
    loss: Float[Tensor, " batch"]

    def means(self) -> dict[str, float]:
        """Means over the batch."""
        return {f.name: float(getattr(self, f.name).mean()) for f in fields(self)}


def pose_metrics(posed: PosedState, loss: Float[Tensor, " batch"], truth: Truth) -> StageMetrics:
    """Errors of posed bodies."""
    true = truth.posed

    def relative(points: Tensor, body: PosedState) -> Tensor:
        return points - body.joints[:, :1]

    def distance_mm(points: Tensor, targets: Tensor) -> Float[Tensor, " batch"]:
        return 1000 * (points - targets).norm(dim=-1).mean(-1)

    joints, true_joints = relative(posed.joints, posed), relative(true.joints, true)
    points, true_points = relative(posed.points, posed), relative(true.points, true)
    offset = posed.translation - true.translation
    return StageMetrics(
        mpjpe_mm=distance_mm(joints, true_joints),
        pa_mpjpe_mm=distance_mm(similarity_aligned(joints, true_joints), true_joints),
        points_mm=distance_mm(points, true_points),
        translation_mm=1000 * offset.norm(dim=-1),
        depth_percent=100 * offset[:, 2].abs() / true.translation[:, 2],
        loss=loss,
    )


def stage_metrics(steps: list[Step], truth: Truth) -> list[StageMetrics]:
    """Metrics of s_0 … s_M."""
    return [pose_metrics(step.posed, step.losses.total, truth) for step in steps]
