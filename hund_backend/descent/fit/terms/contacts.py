"""Contact term: points in contact keep their place, lie on their support, and do not sink."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ...body_contacts import BodyContacts
from ...reduced_body import ReducedBody
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations
from .kernels import charbonnier

NUM_POINTS = 12  # of CONTACT_NAMES


@dataclass(frozen=True, kw_only=True)
class ContactConfig:
    """Noise of the contacts; a weight of zero switches the term off."""

    weight: float = 1.0
    drift: float = 0.0015  # m/√s: random walk of a point that stays in place
    height: float = 0.004  # metres: of a point that bears on the floor or another level
    depth: float = 0.006  # metres: of any point below the floor
    # In units of the noise, where the parabola turns into a line: a contact that was taken for one
    # wrongly pulls, but does not hold.
    cutoff: float = 6.0


@dataclass(frozen=True, kw_only=True)
class ContactTerm:
    """½ Σ b ρ(‖Δx / σ‖²) + ½ Σ f ρ(((u·x − h) / σ_h)²) + ½ Σ o (min(u·x − h, 0) / σ_d)².

    Δx is the step of a point from one frame to the next, b the confidence that it bears on something
    in both, f that this is the floor with normal u and height h, o that the floor is below the
    point. The second sum is there once more for other supports with heights of their own.
    """

    names: ClassVar = ("contacts",)
    rigid_invariant: ClassVar = False
    config: ContactConfig
    contacts: BodyContacts
    points: ReducedBody  # whose points are those of CONTACT_NAMES
    fps: float
    reference: Float[Tensor, "frames 12 3"] | None = None
    """Points of another motion: with them, Δx is the step of the difference from it."""

    def _points(self, at: EvaluationPoint) -> Float[Tensor, "frames 12 3"]:
        return self.points.forward(at.variables).points[:, :NUM_POINTS]

    def _steps(
        self, points: Float[Tensor, "frames 12 3"]
    ) -> tuple[Float[Tensor, "steps 12 3"], Float[Tensor, "steps 12"]]:
        """Steps in units of their noise, and the confidence that the point bears in both frames."""
        bearing = self.contacts.bearing
        if self.reference is not None:
            points = points - self.reference
        steps = (points[1:] - points[:-1]) / self._step_noise
        return steps, torch.minimum(bearing[1:], bearing[:-1])

    @property
    def _step_noise(self) -> float:
        return self.config.drift / self.fps**0.5

    def _heights(self, points: Float[Tensor, "frames 12 3"]) -> Float[Tensor, "frames 12"]:
        return points @ self.contacts.up - self.contacts.floor

    def _supports(
        self, points: Float[Tensor, "frames 12 3"]
    ) -> list[tuple[Float[Tensor, "frames 12"], Float[Tensor, "frames 12"]]]:
        """Confidence of bearing on the floor and on other levels, and heights over these."""
        contacts = self.contacts
        over_level = points @ contacts.up - contacts.levels
        return [(contacts.on_floor, self._heights(points)), (contacts.on_level, over_level)]

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        config, points = self.config, self._points(at)
        steps, both = self._steps(points)
        rho, _ = charbonnier(steps.square().sum(-1), config.cutoff)
        energy = pad(0.5 * (both * rho).sum(-1), (1, 0))
        for confidence, heights in self._supports(points):
            rho, _ = charbonnier((heights / config.height).square(), config.cutoff)
            energy = energy + 0.5 * (confidence * rho).sum(-1)
        depths = (self._heights(points) / config.depth).clamp(max=0)
        energy = energy + 0.5 * (self.contacts.over_floor * depths.square()).sum(-1)
        return (config.weight * energy,)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        config = self.config
        posed = self.points.forward(at.variables)
        points = posed.points[:, :NUM_POINTS]
        jacobian = self.points.jacobian(posed)[:, :NUM_POINTS]
        steps, both = self._steps(points)
        _, weights = charbonnier(steps.square().sum(-1), config.cutoff)
        rows = (config.weight * both * weights).sqrt()[..., None]
        scaled = rows[..., None] / self._step_noise
        equations.add_in_time(
            (rows * steps).flatten(1),
            [-(scaled * jacobian[:-1]).flatten(1, 2), (scaled * jacobian[1:]).flatten(1, 2)],
        )
        by_step = torch.einsum("x,fnxu->fnu", self.contacts.up, jacobian)[:, :, None]
        for confidence, heights in self._supports(points):
            _, weights = charbonnier((heights / config.height).square(), config.cutoff)
            equations.add(
                (heights / config.height)[..., None],
                by_step / config.height,
                config.weight * confidence * weights,
            )
        heights = self._heights(points)
        equations.add(
            (heights / config.depth)[..., None],
            by_step / config.depth,
            config.weight * self.contacts.over_floor * (heights < 0),
        )
