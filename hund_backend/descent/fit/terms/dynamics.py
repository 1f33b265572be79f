"""Dynamics term: transitions of the prior's latents from frame to frame."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ....prior.dynamics import FPS, Dynamics
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations
from .kernels import charbonnier

_STENCIL = (1.0, -2.0, 1.0)  # of a second difference in time


@dataclass(frozen=True, kw_only=True)
class LatentDynamicsConfig:
    """Weight and cut-off of the dynamics."""

    weight: float = 0.1
    cutoff: float = 1.0  # in units of the typical length of a residual


@dataclass(frozen=True, kw_only=True)
class LatentDynamicsTerm:
    """½ ρ(‖e‖²) of the dynamics' prediction errors e, in units of their spread.

    The spread is the same for all steps: one that grew with the speed would favor motions that are
    fast for no reason.
    """

    names: ClassVar = ("dynamics",)
    rigid_invariant: ClassVar = True
    config: LatentDynamicsConfig
    dynamics: Dynamics
    fps: float

    def residuals(self, latent: Float[Tensor, "frames latent"]) -> Float[Tensor, "inner latent"]:
        """Standardized prediction errors of all frames but two."""
        log_variance = self._log_variance.to(latent).expand(len(latent) - 2, latent.shape[-1])
        return self.dynamics.residuals(latent, log_variance, None, self.fps)

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame; zero in the first and the last."""
        rho, _ = charbonnier(self.residuals(at.latent).square().sum(-1), self._cutoff)
        return (self.config.weight * pad(0.5 * rho, (1, 1)),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add the Hessian; the gradient goes to the latent's.

        In the Hessian the prediction is that of constant velocity: what the network adds to it
        changes steps by little and costs most of the time. The gradient is exact.
        """
        with torch.enable_grad():
            latent = at.latent.detach().requires_grad_()
            residuals = self.residuals(latent)
            _, weights = charbonnier(residuals.detach().square().sum(-1), self._cutoff)
            weights = self.config.weight * weights
            energy = 0.5 * (weights * residuals.square().sum(-1)).sum()
            at.add_latent_gradient(torch.autograd.grad(energy, latent)[0])
        spread = torch.exp(0.5 * self._log_variance)
        # Single precision, as of the prior's own derivatives: large matrices, whose rounding is
        # far below what a step can notice.
        whitening = (self.dynamics.decorrelation / spread).to(at.latent.dtype)
        jacobian = whitening.float() @ at.latent_jacobian.float()
        zeros = torch.zeros_like(residuals.detach())[..., None]
        equations.add_differences(
            zeros, jacobian[:, :, None], weights[:, None].expand(zeros.shape[:2]), _STENCIL
        )

    @property
    def _cutoff(self) -> float:
        """Length of a residual from which it counts by its length, not by its square."""
        return self.config.cutoff * self.dynamics.config.latent**0.5

    @property
    def _log_variance(self) -> Float[Tensor, ""]:
        """Log-variance of all steps: they are second differences of smooth curves, of size 1 / fps²."""
        return torch.tensor(4 * math.log(FPS / self.fps))
