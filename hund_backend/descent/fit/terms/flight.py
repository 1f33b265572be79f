"""Flight term: while nothing bears a person, the center of mass accelerates with gravity."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ....body.center_of_mass import GRAVITY, mass_weights
from ...body_contacts import BodyContacts
from ...keypoints import NUM_KEYPOINTS
from ...reduced_body import REDUCED_JOINTS
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations

_STENCIL = (1.0, -2.0, 1.0)  # of a second difference in time


@dataclass(frozen=True, kw_only=True)
class FlightConfig:
    """Noise of flights; a weight of zero switches the term off."""

    weight: float = 1.0
    # m/s² √s: of accelerations, white in time, so that a flight counts the same at any frame rate.
    noise: float = 0.2


@dataclass(frozen=True, kw_only=True)
class FlightTerm:
    """½ Σ a ‖(c̈ + g u) / σ‖² of the center of mass c, with gravity g and the up direction u.

    a is the confidence that nothing bears the person in a frame and its neighbors.
    """

    names: ClassVar = ("flight",)
    rigid_invariant: ClassVar = False
    config: FlightConfig
    contacts: BodyContacts
    fps: float

    @property
    def _noise(self) -> float:
        return self.config.noise * self.fps**0.5

    @property
    def _confidence(self) -> Float[Tensor, " inner"]:
        airborne = self.contacts.airborne
        return torch.minimum(torch.minimum(airborne[:-2], airborne[2:]), airborne[1:-1])

    def _residuals(self, joints: Float[Tensor, "frames joints 3"]) -> Float[Tensor, "inner 3"]:
        center = torch.einsum("j,fjx->fx", _weights(joints), joints)
        acceleration = (center[:-2] - 2 * center[1:-1] + center[2:]) * self.fps**2
        return (acceleration + GRAVITY * self.contacts.up) / self._noise

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame; zero in the first and the last."""
        squares = self._residuals(at.posed.joints).square().sum(-1)
        return (pad(0.5 * self.config.weight * self._confidence * squares, (1, 1)),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        residuals = self._residuals(at.posed.joints)
        rows = (self.config.weight * self._confidence).sqrt()[:, None]
        joints = at.point_jacobian[:, NUM_KEYPOINTS:]
        jacobian = torch.einsum("j,fjxu->fxu", _weights(joints), joints)
        jacobian = jacobian * (self.fps**2 / self._noise)
        inner = len(residuals)
        jacobians = [
            factor * rows[..., None] * jacobian[first : first + inner]
            for first, factor in enumerate(_STENCIL)
        ]
        equations.add_in_time(rows * residuals, jacobians)


def _weights(like: Tensor) -> Float[Tensor, " joints"]:
    """Weight of each reduced joint in the center of mass."""
    return torch.from_numpy(mass_weights(REDUCED_JOINTS)).to(like)
