"""Depth anchor term: keeps each joint's depth near that of the learned descent's pose.

A picture says little about depth, so the fit pays for every error of the keypoints with limbs that
turn towards or away from the camera. The learned stages know more about depth than the detector's
landmarks; what they say of it is one more observation, and across the picture joints stay free.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...reduced_body import PosedReducedBody
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations
from .kernels import Robust, geman_mcclure


@dataclass(frozen=True, kw_only=True)
class DepthAnchor:
    """Depths of the joints from the pelvis, along the viewing ray on which the pelvis was."""

    rays: Float[Tensor, "frames 3"]  # unit
    depths: Float[Tensor, "frames joints"]  # metres, positive away from the camera

    @classmethod
    def of(cls, posed: PosedReducedBody) -> "DepthAnchor":
        """Depths of a posed body."""
        rays = torch.nn.functional.normalize(posed.joints[:, 0], dim=-1)
        return cls(rays=rays, depths=_depths(posed.joints, rays))

    def select(self, frames: Int[Tensor, " chosen"]) -> "DepthAnchor":
        """Anchor of some of the frames, in the given order."""
        return DepthAnchor(rays=self.rays[frames], depths=self.depths[frames])


@dataclass(frozen=True, kw_only=True)
class DepthAnchorTerm:
    """½ Σ ρ((d / σ)²) of the difference d of each joint's depth from its reference, metres."""

    names: ClassVar = ("depth_anchor",)
    rigid_invariant: ClassVar = False  # turning the body changes depths
    config: Robust
    anchor: DepthAnchor

    def residuals(self, posed: PosedReducedBody) -> Float[Tensor, "frames joints"]:
        """Depths minus reference depths, metres."""
        return _depths(posed.joints, self.anchor.rays) - self.anchor.depths

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        squares = (self.residuals(at.posed) / self.config.noise).square()
        rho, _ = geman_mcclure(squares, self.config.cutoff)
        return (self.config.weight * (0.5 * rho.sum(-1)),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        noise = self.config.noise
        residuals = self.residuals(at.posed) / noise
        _, robust = geman_mcclure(residuals.square(), self.config.cutoff)
        count, betas = residuals.shape[1], at.point_betas_jacobian

        def along_rays(jacobian: Tensor) -> Tensor:
            joints = jacobian[:, -count:]  # the joints are the last points
            relative = joints - joints[:, :1]
            return torch.einsum("fx,fjxu->fju", self.anchor.rays, relative)[:, :, None] / noise

        equations.add(
            residuals[..., None],
            along_rays(at.point_jacobian),
            self.config.weight * robust,
            None if betas is None else along_rays(betas),
        )


def _depths(
    joints: Float[Tensor, "frames joints 3"], rays: Float[Tensor, "frames 3"]
) -> Float[Tensor, "frames joints"]:
    """Depth of the joints from the pelvis, metres."""
    return torch.einsum("fjx,fx->fj", joints - joints[:, :1], rays)
