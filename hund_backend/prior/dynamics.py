"""Dynamics of poses: a second-order transition density in the latents of a pose prior."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import BadInputError
from ..weights_file import WEIGHTS, load_weights
from .prior_hash import prior_hash
from .root_motion import NUM_ROOT_FEATURES, ROOT_GROUPS, UNKNOWN, known_groups

WEIGHTS_FILE = WEIGHTS / "dynamics.safetensors"
FPS = 30.0  # frame rate of the training clips
SQUASH_LIMIT = 2.0  # bound of a squashed latent's components

Latents = Float[Tensor, "*batch frames latent"]
Roots = Float[Tensor, "*batch frames 14"]  # features of `root_motion`
Steps = Float[Tensor, "*batch inner latent"]  # one for each frame but the first and the last


@dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """Size of the dynamics."""

    latent: int  # dimensions of the prior's latent
    hidden: int = 256  # units of the hidden layer
    variance_range: float = 4.0  # largest difference of log-variances from the typical ones


class Transition(NamedTuple):
    """Mean and spread of the next latent."""

    mean: Float[Tensor, "*batch latent"]
    log_variance: Float[Tensor, "*batch latent"]
    """log σ² of the independent components C (z − mean), with C from `Dynamics.decorrelation`."""


class Dynamics(nn.Module):
    """Second-order transition z_{t+1} ~ t_n(g(z_t, z_{t−1}, root_t), Σ_t) with heavy tails.

    t_n is Student's t with n degrees of freedom, mean g and covariance Σ_t. g = z_t + v + a with
    the velocity v = z_t − z_{t−1} and the acceleration a, which is a linear map of (squashed z_t,
    v, root_t) plus a network with one hidden layer of tanh. Σ_t = C⁻¹ diag(σ_t²) C⁻ᵀ with a constant
    lower triangular C. An untrained model is constant velocity.

    Zanfir et al., "Weakly Supervised 3D Human Pose and Shape Reconstruction with Normalizing Flows"
    (ECCV 2020), mention dynamics in the latents of a flow; the form here is our own.

    The unit of time is 1/30 s. At another frame rate, with the time step r = 30 / fps, velocities
    are divided by r before they enter the transition and accelerations are multiplied by r², so
    that g stays the same differential equation; variances are multiplied by r^k with a fitted k
    (`time_step_exponent`).
    """

    def __init__(self, config: DynamicsConfig) -> None:
        super().__init__()
        self.config = config
        latent, hidden = config.latent, config.hidden
        inputs = 2 * latent + NUM_ROOT_FEATURES + len(ROOT_GROUPS)
        self.linear = nn.Linear(inputs, latent)
        self.hidden = nn.Linear(inputs, hidden)
        self.acceleration_head = nn.Linear(hidden, latent, bias=False)
        self.log_variance_head = nn.Linear(hidden + latent, latent)
        for layer in (self.linear, self.acceleration_head, self.log_variance_head):
            nn.init.zeros_(layer.weight)
        for layer in (self.linear, self.log_variance_head):
            nn.init.zeros_(layer.bias)
        self.lower_triangle = nn.Parameter(torch.zeros(latent, latent))  # C below its diagonal
        self.log_diagonal = nn.Parameter(torch.zeros(latent))
        self.log_degrees_of_freedom = nn.Parameter(torch.tensor(math.log(8.0)))  # of n − 2
        self.register_buffer("velocity_scale", torch.ones(latent))
        self.register_buffer("acceleration_scale", torch.ones(latent))
        self.register_buffer("root_mean", torch.zeros(NUM_ROOT_FEATURES))
        self.register_buffer("root_scale", torch.ones(NUM_ROOT_FEATURES))
        self.register_buffer("time_step_exponent", torch.tensor(4.0))

    @classmethod
    def load(cls, prior: nn.Module, path: Path = WEIGHTS_FILE) -> "Dynamics":
        """Load dynamics that `training/priors/train_dynamics.py` has written.

        Args:
            prior: the pose prior whose latents will be used.
            path: weights file of the dynamics.

        Raises:
            BadInputError: a file is missing or damaged, or the dynamics belong to another prior.
        """
        with load_weights("The dynamics", path):
            description = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            belongs = description["prior"] == prior_hash(prior)
            dynamics = cls(DynamicsConfig(**description["config"]))
            dynamics.load_state_dict(load_file(path))
        if not belongs:
            raise BadInputError(
                f"The dynamics {path} belong to another pose prior; "
                "train them on its latents or restore both files from the project."
            )
        return dynamics.eval().requires_grad_(False)

    @property
    def degrees_of_freedom(self) -> Float[Tensor, ""]:
        """Parameter n of Student's t, more than two; the smaller, the heavier the tails."""
        return 2 + self.log_degrees_of_freedom.exp()

    @property
    def decorrelation(self) -> Float[Tensor, "latent latent"]:
        """C, which makes the components of z_{t+1} − g independent; lower triangular."""
        return self.lower_triangle.tril(-1) + torch.diag(self.log_diagonal.exp())

    def typical_log_variance(self, fps: float = FPS) -> Float[Tensor, ""]:
        """Return the log-variance of a step at σ_t = 1 and 30 frames a second, k log r."""
        return self.time_step_exponent * math.log(FPS / fps)

    def robust_weights(self, residuals: Steps) -> Float[Tensor, "*batch inner"]:
        """Return the weight of each step's squared residual r in reweighted least squares.

        It is that of Student's t, (n + D) / (n − 2 + ‖r‖²) in D dimensions, but at most 1: a
        smoothed sequence has small residuals, and weights above 1 would smooth it ever more.
        """
        size, degrees_of_freedom = residuals.shape[-1], self.degrees_of_freedom
        square = residuals.square().sum(-1)
        return ((degrees_of_freedom + size) / (degrees_of_freedom - 2 + square)).clamp(max=1.0)

    def transition(
        self,
        current: Float[Tensor, "*batch latent"],
        previous: Float[Tensor, "*batch latent"],
        root: Float[Tensor, "*batch 14"] | None = None,
        fps: float = FPS,
    ) -> Transition:
        """Return the mean and the log-variances of the next latent.

        Args:
            current: latent of this frame, z_t.
            previous: latent of the frame before it, z_{t−1}.
            root: features of this frame from `root_motion`; NaN where unknown, None if all are.
            fps: frames a second.
        """
        time_step = FPS / fps
        inputs = self._inputs(current, previous, root, time_step)
        hidden = torch.tanh(self.hidden(inputs))
        acceleration = self.linear(inputs) + self.acceleration_head(hidden)
        mean = 2 * current - previous + time_step**2 * self.acceleration_scale * acceleration
        speed = inputs[..., self.config.latent : 2 * self.config.latent]
        raw = self.log_variance_head(torch.cat((hidden, torch.log(1e-3 + speed.square())), dim=-1))
        limit = self.config.variance_range
        log_variance = limit * torch.tanh(raw / limit)
        return Transition(mean, log_variance + self.typical_log_variance(fps))

    def log_prob(
        self, latents: Latents, roots: Roots | None = None, fps: float = FPS
    ) -> Float[Tensor, "*batch inner"]:
        """Return log p(z_{t+1} | z_t, z_{t−1}) of all frames but the first two, nats."""
        current, previous, following, root = _steps(latents, roots)
        step = self.transition(current, previous, root, fps)
        square = self._whitened(following - step.mean, step.log_variance).square().sum(-1)
        size, degrees_of_freedom = latents.shape[-1], self.degrees_of_freedom
        shape = torch.lgamma((degrees_of_freedom + size) / 2) - torch.lgamma(
            degrees_of_freedom / 2
        )
        shape = shape - 0.5 * size * torch.log(math.pi * (degrees_of_freedom - 2))
        volume = self.log_diagonal.sum() - 0.5 * step.log_variance.sum(-1)
        # In this parametrization Σ is the covariance, whatever n is.
        return (
            shape
            + volume
            - 0.5 * (degrees_of_freedom + size) * torch.log1p(square / (degrees_of_freedom - 2))
        )

    def predict(
        self, latents: Latents, roots: Roots | None, steps: int, fps: float = FPS
    ) -> Float[Tensor, "*batch steps latent"]:
        """Return the means of the next frames, each from the two before it.

        The root's features stay those of the last frame.

        Args:
            latents: at least two frames.
            roots: of the same frames.
            steps: number of frames to predict.
            fps: frames a second.
        """
        previous, current = latents[..., -2, :], latents[..., -1, :]
        root = None if roots is None else roots[..., -1, :]
        predicted = []
        for _ in range(steps):
            previous, current = current, self.transition(current, previous, root, fps).mean
            predicted.append(current)
        return torch.stack(predicted, dim=-2)

    def sample(
        self,
        latents: Latents,
        roots: Roots | None,
        steps: int,
        generator: torch.Generator | None = None,
        fps: float = FPS,
    ) -> Float[Tensor, "*batch steps latent"]:
        """Sample the next frames; arguments are those of `predict`."""
        previous, current = latents[..., -2, :], latents[..., -1, :]
        root = None if roots is None else roots[..., -1, :]
        half = float(self.degrees_of_freedom) / 2
        shape, dtype = current.shape, current.dtype
        sampled = []
        for _ in range(steps):
            step = self.transition(current, previous, root, fps)
            noise = torch.randn(shape, generator=generator, dtype=dtype).to(current)
            # torch samples no χ² with a generator; its cube root is nearly normal (Wilson and
            # Hilferty, 1931).
            normal = torch.randn(shape[:-1], generator=generator, dtype=dtype).to(current)
            chi = (1 - 1 / (9 * half) + normal / (3 * math.sqrt(half))).clamp(min=0.1) ** 3
            scaled = (
                noise
                * (0.5 * step.log_variance).exp()
                * ((half - 1) / half / chi).sqrt()[..., None]
            )
            correlated = torch.linalg.solve_triangular(
                self.decorrelation, scaled[..., None], upper=False
            )
            previous, current = current, step.mean + correlated[..., 0]
            sampled.append(current)
        return torch.stack(sampled, dim=-2)

    def log_variances(
        self, latents: Latents, roots: Roots | None = None, fps: float = FPS
    ) -> Steps:
        """Return log σ_t² of the steps to all frames but the first two.

        Gauss-Newton holds them fixed during a step.
        """
        current, previous, _, root = _steps(latents, roots)
        return self.transition(current, previous, root, fps).log_variance

    def residuals(
        self,
        latents: Latents,
        log_variance: Steps,
        roots: Roots | None = None,
        fps: float = FPS,
    ) -> Steps:
        """Return W_t (z_{t+1} − g(z_t, z_{t−1})), the prediction errors in standard deviations.

        W_t = diag(1 / σ_t) C.

        Args:
            latents: of consecutive frames.
            log_variance: from `log_variances`, held fixed.
            roots: of the same frames.
            fps: frames a second.
        """
        current, previous, following, root = _steps(latents, roots)
        mean = self.transition(current, previous, root, fps).mean
        return self._whitened(following - mean, log_variance)

    def residual_jacobians(
        self,
        latents: Latents,
        log_variance: Steps,
        roots: Roots | None = None,
        fps: float = FPS,
        dtype: torch.dtype | None = None,
    ) -> tuple[Float[Tensor, "*batch inner latent latent"], ...]:
        """Return the derivatives of the residuals by z_{t−1}, z_t and z_{t+1}.

        Args:
            latents: of consecutive frames.
            log_variance: from `log_variances`, held fixed.
            roots: of the same frames.
            fps: frames a second.
            dtype: of the derivatives, if they need less precision than the latents.
        """
        time_step, latent = FPS / fps, self.config.latent
        dtype = dtype or latents.dtype
        current, previous, _, root = _steps(latents, roots)
        activations = torch.tanh(self.hidden(self._inputs(current, previous, root, time_step)))
        scaled = time_step**2 * self.decorrelation * self.acceleration_scale
        # C is multiplied into the layers, not into the derivatives of every frame.
        linear = (scaled @ self.linear.weight[:, : 2 * latent]).to(dtype)
        hidden = self.hidden.weight[:, : 2 * latent].to(dtype)
        head = (scaled @ self.acceleration_head.weight).to(dtype)
        by_inputs = linear + head @ ((1 - activations.square())[..., None].to(dtype) * hidden)
        inverse_std = (-0.5 * log_variance).exp()[..., None].to(dtype)
        by_latent, by_velocity = (inverse_std * by_inputs).split(latent, dim=-1)
        squash_slope = (1 + (current / SQUASH_LIMIT).square())[..., None, :].to(dtype) ** -1.5
        by_latent = by_latent * squash_slope
        by_velocity = by_velocity / (time_step * self.velocity_scale).to(dtype)
        whitening = inverse_std * self.decorrelation.to(dtype)
        return whitening + by_velocity, -(2 * whitening + by_latent + by_velocity), whitening

    def _whitened(self, difference: Steps, log_variance: Steps) -> Steps:
        return (-0.5 * log_variance).exp() * (difference @ self.decorrelation.T)

    def _inputs(
        self,
        current: Float[Tensor, "*batch latent"],
        previous: Float[Tensor, "*batch latent"],
        root: Float[Tensor, "*batch 14"] | None,
        time_step: float,
    ) -> Float[Tensor, "*batch inputs"]:
        if root is None:
            root = current.new_full((*current.shape[:-1], NUM_ROOT_FEATURES), UNKNOWN)
        known = known_groups(root).to(current)
        root = ((root.to(current) - self.root_mean) / self.root_scale).nan_to_num(nan=0.0)
        velocity = (current - previous) / (time_step * self.velocity_scale)
        # Squashed, because accelerations must not grow beyond the poses of the training data.
        return torch.cat((squash(current), velocity, root, known), dim=-1)


def squash(latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch latent"]:
    """Return z / √(1 + z² / k²): close to z where |z| is small, and never larger than k."""
    return latent / (1 + (latent / SQUASH_LIMIT).square()).sqrt()


def _steps(
    latents: Latents, roots: Roots | None
) -> tuple[Steps, Steps, Steps, Float[Tensor, "*batch inner 14"] | None]:
    """Return latents of all inner frames, of the frames before and after them, and their roots."""
    root = None if roots is None else roots[..., 1:-1, :]
    return latents[..., 1:-1, :], latents[..., :-2, :], latents[..., 2:, :], root
