"""Scores of a descent: errors of each stage where the truth is known."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.descent.learned.hund import Step
from hund_backend.descent.learned.state_decoder import Posed

from .samples import Truth


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Of each of a batch: millimetres, and the loss that the stages are told."""

    mpjpe_mm: Float[Tensor, " batch"]  # pelvis on pelvis, all moved joints
    pa_mpjpe_mm: Float[Tensor, " batch"]  # after the best similarity
    points_mm: Float[Tensor, " batch"]  # of BlazePose's keypoints on the skin, pelvis on pelvis
    translation_mm: Float[Tensor, " batch"]
    depth_percent: Float[Tensor, " batch"]  # of the true distance
    loss: Float[Tensor, " batch"]

    def means(self) -> dict[str, float]:
        """Of the batch."""
        return {f.name: float(getattr(self, f.name).mean()) for f in fields(self)}


def scores_of(posed: Posed, loss: Float[Tensor, " batch"], truth: Truth) -> Scores:
    """Errors of posed bodies."""
    true = truth.posed

    def relative(places: Tensor, of: Posed) -> Tensor:
        return places - of.joints[:, :1]

    def distance(found: Tensor, right: Tensor) -> Float[Tensor, " batch"]:
        return 1000 * (found - right).norm(dim=-1).mean(-1)

    found, right = relative(posed.joints, posed), relative(true.joints, true)
    points, places = relative(posed.points, posed), relative(true.points, true)
    away = posed.translation - true.translation
    return Scores(
        mpjpe_mm=distance(found, right),
        pa_mpjpe_mm=distance(similar(found, right), right),
        points_mm=distance(points, places),
        translation_mm=1000 * away.norm(dim=-1),
        depth_percent=100 * away[:, 2].abs() / true.translation[:, 2],
        loss=loss,
    )


def stage_scores(steps: list[Step], truth: Truth) -> list[Scores]:
    """Scores of s_0 … s_M."""
    return [scores_of(step.posed, step.feedback.loss, truth) for step in steps]


def similar(
    points: Float[Tensor, "batch joints 3"], target: Float[Tensor, "batch joints 3"]
) -> Float[Tensor, "batch joints 3"]:
    """Points under the rotation, scale and shift that bring them nearest the target (Umeyama 1991)."""
    middle = target.mean(1, keepdim=True)
    points, target = points - points.mean(1, keepdim=True), target - middle
    left, values, right = torch.linalg.svd((target.mT @ points).double())
    flip = torch.ones_like(values)
    flip[:, 2] = torch.det(left @ right).sign()
    rotation = ((left * flip[:, None]) @ right).to(points)
    scale = (values * flip).sum(-1).to(points) / points.square().sum((1, 2)).clamp(min=1e-9)
    return scale[:, None, None] * points @ rotation.mT + middle
