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
        return self.dynamics.residuals(latent, self._log_variance(latent), None, self.fps)

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame; zero in the first and the last."""
        rho, _ = charbonnier(self.residuals(at.latent).square().sum(-1), self._cutoff)
        return (self.config.weight * pad(0.5 * rho, (1, 1)),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add the Hessian; the gradient goes to the latent's."""
        residuals = self.residuals(at.latent)
        _, weights = charbonnier(residuals.square().sum(-1), self._cutoff)
        rows = (self.config.weight * weights).sqrt()[..., None]
        # Single precision, as of the prior's own derivatives: large matrices, whose rounding is
        # far below what a step can notice.
        jacobians = self.dynamics.residual_jacobians(
            at.latent, self._log_variance(at.latent), None, self.fps, torch.float32
        )
        weighted, rows = (rows**2 * residuals)[:, None].float(), rows[..., None].float()
        inner, latent_jacobian = len(residuals), at.latent_jacobian.float()
        gradient = torch.zeros_like(at.latent)
        for first, by_latent in enumerate(jacobians):
            gradient[first : first + inner] += (weighted @ by_latent)[:, 0]
        by_step = [
            rows * (by_latent @ latent_jacobian[first : first + inner])
            for first, by_latent in enumerate(jacobians)
        ]
        equations.add_in_time(torch.zeros_like(weighted[:, 0]), by_step)
        at.add_latent_gradient(gradient)

    @property
    def _cutoff(self) -> float:
        """Length of a residual from which it counts by its length, not by its square."""
        return self.config.cutoff * self.dynamics.config.latent**0.5

    def _log_variance(
        self, latent: Float[Tensor, "frames latent"]
    ) -> Float[Tensor, "inner latent"]:
        """Log-variance of the steps, the same for all.

        Second differences of smooth curves are of size 1 / fps². The dynamics' own exponent is
        that of clips with noise: at high rates it would let motion tremble.
        """
        log_variance = latent.new_tensor(4 * math.log(FPS / self.fps))
        return log_variance.expand(len(latent) - 2, latent.shape[-1])
