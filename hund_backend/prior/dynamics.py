"""Dynamics of poses: how likely a pose follows two others, in the latents of a pose prior."""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from hund_backend.errors import BadInputError
from hund_backend.weights_file import being_read

from .root_motion import GROUPS, ROOT_NUMBERS, UNKNOWN, knows

WEIGHTS_FILE = Path(__file__).parents[1] / "weights" / "dynamics.safetensors"
FPS = 30.0  # of the clips that it learned from
FARTHEST = 2.0  # that a pose's latent counts

Latents = Float[Tensor, "*batch frames latent"]
Roots = Float[Tensor, "*batch frames 14"]
Steps = Float[Tensor, "*batch inner latent"]


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """What the dynamics are made of."""

    latent: int  # numbers of the prior's latent
    hidden: int = 256  # units of the network
    variance_range: float = 4.0  # log-variances stay within so much of the typical ones


class Transition(NamedTuple):
    """Where the next latent is expected, and how surely."""

    mean: Float[Tensor, "*batch latent"]
    log_variance: Float[Tensor, "*batch latent"]
    """Of the independent components C (z − mean), with C from `Dynamics.components`."""


class Dynamics(nn.Module):
    """A second-order transition z_{t+1} ~ t_n(g(z_t, z_{t−1}, root_t), Σ_t) with heavy tails.

    g = z_t + v + a, where v = z_t − z_{t−1} is the velocity and a, the acceleration, is a linear map of
    (squashed z_t, v, root_t) plus a network of one hidden layer of tanh. Σ_t = C⁻¹ diag(σ_t²) C⁻ᵀ with a constant
    triangle C. An untrained model is constant velocity. "Weakly Supervised 3D Human Pose and Shape
    Reconstruction with Normalizing Flows" (Zanfir et al., 2020) speaks of dynamics in the latents
    of a flow; the form here is our own.

    Time is counted in steps of 1/30 s. Of a clip with r = 30 / fps, velocities are divided by r before
    the transition sees them and accelerations multiplied by r², so that g stays the same
    differential equation; variances are multiplied by r^k with a fitted k (`pace_exponent`).
    """

    def __init__(self, config: DynamicsConfig) -> None:
        super().__init__()
        self.config = config
        latent, hidden = config.latent, config.hidden
        inputs = 2 * latent + ROOT_NUMBERS + len(GROUPS)
        self.linear = nn.Linear(inputs, latent)
        self.hidden = nn.Linear(inputs, hidden)
        self.bend = nn.Linear(hidden, latent, bias=False)
        self.spread = nn.Linear(hidden + latent, latent)
        for layer in (self.linear, self.bend, self.spread):
            nn.init.zeros_(layer.weight)
        for layer in (self.linear, self.spread):
            nn.init.zeros_(layer.bias)
        self.triangle = nn.Parameter(torch.zeros(latent, latent))  # C below its diagonal
        self.log_diagonal = nn.Parameter(torch.zeros(latent))
        self.log_freedom = nn.Parameter(torch.tensor(math.log(8.0)))  # of n − 2
        self.register_buffer("velocity_scale", torch.ones(latent))
        self.register_buffer("acceleration_scale", torch.ones(latent))
        self.register_buffer("root_mean", torch.zeros(ROOT_NUMBERS))
        self.register_buffer("root_scale", torch.ones(ROOT_NUMBERS))
        self.register_buffer("pace_exponent", torch.tensor(4.0))

    @classmethod
    def load(cls, prior: Path, path: Path = WEIGHTS_FILE) -> "Dynamics":
        """Read dynamics that `training/fit_dynamics.py` has written.

        Args:
            prior: weights of the pose prior in whose latents they are to be used.
            path: weights of the dynamics.

        Raises:
            BadInputError: a file is missing or damaged, or the dynamics belong to another prior.
        """
        with being_read("The dynamics", path):
            description = json.loads(path.with_suffix(".json").read_text())
            belongs = description["prior"] == hashlib.sha256(prior.read_bytes()).hexdigest()
            dynamics = cls(DynamicsConfig(**description["config"]))
            dynamics.load_state_dict(load_file(path))
        if not belongs:
            raise BadInputError(
                f"The dynamics {path} belong to another pose prior than {prior}; "
                "train them on its latents or restore both files from the project."
            )
        return dynamics.eval().requires_grad_(False)

    @property
    def freedom(self) -> Float[Tensor, ""]:
        """Parameter n of Student's t, more than two; the smaller, the heavier the tails."""
        return 2 + self.log_freedom.exp()

    @property
    def components(self) -> Float[Tensor, "latent latent"]:
        """C, the triangle that makes what is left of a step independent."""
        return self.triangle.tril(-1) + torch.diag(self.log_diagonal.exp())

    def typical_log_variance(self, fps: float = FPS) -> Float[Tensor, ""]:
        """Log-variance of a step as the triangle C alone has it."""
        return self.pace_exponent * math.log(FPS / fps)

    def tail_weights(self, residuals: Steps) -> Float[Tensor, "*batch inner"]:
        """Weight of each step's square in least squares: below 1 beyond what is typical.

        That of Student's t, (n + D) / (n − 2 + ‖r‖²), but never above 1: a smoothed sequence has small
        residuals, and weights that grow with them would smooth it ever more.
        """
        size, freedom = residuals.shape[-1], self.freedom
        square = residuals.square().sum(-1)
        return ((freedom + size) / (freedom - 2 + square)).clamp(max=1.0)

    def transition(
        self,
        here: Float[Tensor, "*batch latent"],
        before: Float[Tensor, "*batch latent"],
        root: Float[Tensor, "*batch 14"] | None = None,
        fps: float = FPS,
    ) -> Transition:
        """The next latent's mean and log-variances.

        Args:
            here: latent of this frame.
            before: latent of the frame before it.
            root: of this frame, from `root_motion`; NaN where unknown, None: nothing is known.
            fps: frames a second.
        """
        pace = FPS / fps
        inputs = self._inputs(here, before, root, pace)
        bent = torch.tanh(self.hidden(inputs))
        acceleration = self.linear(inputs) + self.bend(bent)
        mean = 2 * here - before + pace**2 * self.acceleration_scale * acceleration
        speed = inputs[..., self.config.latent : 2 * self.config.latent]
        raw = self.spread(torch.cat((bent, torch.log(1e-3 + speed.square())), dim=-1))
        limit = self.config.variance_range
        log_variance = limit * torch.tanh(raw / limit)
        return Transition(mean, log_variance + self.typical_log_variance(fps))

    def log_prob(
        self, latents: Latents, roots: Roots | None = None, fps: float = FPS
    ) -> Float[Tensor, "*batch inner"]:
        """Logarithm of p(z_{t+1} | z_t, z_{t−1}) of all frames but the first two, nats."""
        here, before, after, root = _steps(latents, roots)
        step = self.transition(here, before, root, fps)
        square = self._whitened(after - step.mean, step.log_variance).square().sum(-1)
        size, freedom = latents.shape[-1], self.freedom
        shape = torch.lgamma((freedom + size) / 2) - torch.lgamma(freedom / 2)
        shape = shape - 0.5 * size * torch.log(math.pi * (freedom - 2))
        volume = self.log_diagonal.sum() - 0.5 * step.log_variance.sum(-1)
        # In this form Σ is the covariance, whatever n is.
        return shape + volume - 0.5 * (freedom + size) * torch.log1p(square / (freedom - 2))

    def predict(
        self, latents: Latents, roots: Roots | None, steps: int, fps: float = FPS
    ) -> Float[Tensor, "*batch steps latent"]:
        """The means of the next frames, one from the other; the root goes on as in the last frame.

        Args:
            latents: at least two frames.
            roots: of the same frames.
            steps: how many frames to predict.
            fps: frames a second.
        """
        before, here = latents[..., -2, :], latents[..., -1, :]
        root = None if roots is None else roots[..., -1, :]
        ahead = []
        for _ in range(steps):
            before, here = here, self.transition(here, before, root, fps).mean
            ahead.append(here)
        return torch.stack(ahead, dim=-2)

    def sample(
        self,
        latents: Latents,
        roots: Roots | None,
        steps: int,
        generator: torch.Generator | None = None,
        fps: float = FPS,
    ) -> Float[Tensor, "*batch steps latent"]:
        """A motion drawn from the model after at least two frames; the root goes on."""
        before, here = latents[..., -2, :], latents[..., -1, :]
        root = None if roots is None else roots[..., -1, :]
        half = float(self.freedom) / 2
        ahead = []
        for _ in range(steps):
            step = self.transition(here, before, root, fps)
            noise = torch.randn(here.shape, generator=generator, dtype=here.dtype).to(here)
            # torch draws no χ² with a generator; its cube root is nearly normal (Wilson & Hilferty, 1931).
            draw = torch.randn(here.shape[:-1], generator=generator, dtype=here.dtype).to(here)
            chi = (1 - 1 / (9 * half) + draw / (3 * math.sqrt(half))).clamp(min=0.1) ** 3
            scaled = (
                noise
                * (0.5 * step.log_variance).exp()
                * ((half - 1) / half / chi).sqrt()[..., None]
            )
            turned = torch.linalg.solve_triangular(self.components, scaled[..., None], upper=False)
            before, here = here, step.mean + turned[..., 0]
            ahead.append(here)
        return torch.stack(ahead, dim=-2)

    def log_variances(
        self, latents: Latents, roots: Roots | None = None, fps: float = FPS
    ) -> Steps:
        """Of the steps to all frames but the first two; a fit holds them while it takes steps."""
        here, before, _, root = _steps(latents, roots)
        return self.transition(here, before, root, fps).log_variance

    def residuals(
        self,
        latents: Latents,
        log_variance: Steps,
        roots: Roots | None = None,
        fps: float = FPS,
    ) -> Steps:
        """W_t (z_{t+1} − g(z_t, z_{t−1})): unexpected in units of its own spread.

        Args:
            latents: of frames in a row.
            log_variance: from `log_variances`, held fixed.
            roots: of the same frames; known, not sought.
            fps: frames a second.
        """
        here, before, after, root = _steps(latents, roots)
        mean = self.transition(here, before, root, fps).mean
        return self._whitened(after - mean, log_variance)

    def residual_jacobians(
        self,
        latents: Latents,
        log_variance: Steps,
        roots: Roots | None = None,
        fps: float = FPS,
        dtype: torch.dtype | None = None,
    ) -> tuple[Float[Tensor, "*batch inner latent latent"], ...]:
        """Derivatives of the residuals by z_{t−1}, z_t and z_{t+1}.

        Args:
            latents: of frames in a row.
            log_variance: from `log_variances`, held fixed.
            roots: of the same frames.
            fps: frames a second.
            dtype: precision of the derivatives, where that of the latents is more than is needed.
        """
        pace, latent = FPS / fps, self.config.latent
        dtype = dtype or latents.dtype
        here, before, _, root = _steps(latents, roots)
        bent = torch.tanh(self.hidden(self._inputs(here, before, root, pace)))
        scaled = pace**2 * self.components * self.acceleration_scale
        # C is multiplied into the layers, not into the derivatives of every frame.
        linear = (scaled @ self.linear.weight[:, : 2 * latent]).to(dtype)
        hidden = self.hidden.weight[:, : 2 * latent].to(dtype)
        bend = (scaled @ self.bend.weight).to(dtype)
        slopes = linear + bend @ ((1 - bent.square())[..., None].to(dtype) * hidden)
        sureness = (-0.5 * log_variance).exp()[..., None].to(dtype)
        by_place, by_velocity = (sureness * slopes).split(latent, dim=-1)
        by_place = by_place * (1 + (here / FARTHEST).square())[..., None, :].to(dtype) ** -1.5
        by_velocity = by_velocity / (pace * self.velocity_scale).to(dtype)
        whitening = sureness * self.components.to(dtype)
        return whitening + by_velocity, -(2 * whitening + by_place + by_velocity), whitening

    def _whitened(self, difference: Steps, log_variance: Steps) -> Steps:
        return (-0.5 * log_variance).exp() * (difference @ self.components.T)

    def _inputs(
        self,
        here: Float[Tensor, "*batch latent"],
        before: Float[Tensor, "*batch latent"],
        root: Float[Tensor, "*batch 14"] | None,
        pace: float,
    ) -> Float[Tensor, "*batch inputs"]:
        if root is None:
            root = here.new_full((*here.shape[:-1], ROOT_NUMBERS), UNKNOWN)
        known = knows(root).to(here)
        root = ((root.to(here) - self.root_mean) / self.root_scale).nan_to_num(nan=0.0)
        velocity = (here - before) / (pace * self.velocity_scale)
        # Poses farther out than those that were learned from must not be pushed ever harder.
        return torch.cat((squashed(here), velocity, root, known), dim=-1)


def squashed(latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch latent"]:
    """The latent where it is usual, never more than k: z / √(1 + z² / k²)."""
    return latent / (1 + (latent / FARTHEST).square()).sqrt()


def _steps(
    latents: Latents, roots: Roots | None
) -> tuple[Steps, Steps, Steps, Float[Tensor, "*batch inner 14"] | None]:
    """This frame, the one before, the one after, and the root of this one, of all inner frames."""
    root = None if roots is None else roots[..., 1:-1, :]
    return latents[..., 1:-1, :], latents[..., :-2, :], latents[..., 2:, :], root
