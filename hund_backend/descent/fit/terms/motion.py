"""Motion terms: accelerations of joints, and angular accelerations of their rotations."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ....body.rotations import matrix_to_rotvec
from ....prior.coordinates import inverse_right_jacobian
from ...keypoints import NUM_KEYPOINTS
from ...reduced_body import REDUCED_JOINTS
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations
from .kernels import Robust, charbonnier

_STENCIL = (1.0, -2.0, 1.0)  # of a second difference in time
# Mean accelerations in captured motion, m/s²: of the pelvis, and of joints relative to it.
_PELVIS = 2.9
_OF_TRUNK = {"Spine01": 1.1, "Spine02": 1.7, "Spine03": 2.3, "Neck01": 4.9, "Head01": 5.6}
_OF_SIDE = {
    "Clavicle": 4.2,
    "Upperarm": 4.4,
    "Lowerarm": 5.6,
    "Hand": 7.5,
    "Thigh": 1.4,
    "Calf": 5.2,
    "Ankle": 8.0,
    "Ball": 9.4,
}
TYPICAL_ACCELERATIONS = tuple(
    {"Pelvis": _PELVIS, **_OF_TRUNK}.get(name) or _OF_SIDE[name[:-1]] for name in REDUCED_JOINTS
)


@dataclass(frozen=True, kw_only=True)
class AccelerationConfig:
    """Weight, noise and cut-off of the joints' accelerations."""

    weight: float = 0.3  # at one, fast motion is smoothed away
    noise: float = 1.4  # times a joint's acceleration relative to the pelvis
    root_noise: float = 1.4  # times the pelvis's acceleration
    cutoff: float = 4.0


@dataclass(frozen=True, kw_only=True)
class AccelerationTerm:
    """½ Σ ρ(‖a / σ‖²) of the pelvis' acceleration and of the others' relative to it.

    Relative, because a jerk of the camera moves all joints alike and should count only once. With a
    reference, a is the acceleration of the difference from it.
    """

    names: ClassVar = ("motion",)
    rigid_invariant: ClassVar = True  # of frames that have no neighbours
    config: AccelerationConfig
    fps: float
    reference: Float[Tensor, "frames joints 3"] | None = None  # joints of another motion, metres
    activity: Float[Tensor, "frames joints"] | None = None  # m/s²; None: typical accelerations

    def residuals(
        self, joints: Float[Tensor, "frames joints 3"]
    ) -> Float[Tensor, "inner joints 3"]:
        """Accelerations in units of their noise, of all frames but the first and the last."""
        if self.reference is not None:
            joints = joints - self.reference
        motion = torch.cat((joints[:, :1], joints[:, 1:] - joints[:, :1]), dim=1)
        return _second_differences(motion, self.fps) / self._noise(joints)[..., None]

    def _noise(self, like: Tensor) -> Float[Tensor, "inner joints"]:
        """Acceleration that counts as one, of each joint, m/s²."""
        config = self.config
        factors = [config.root_noise] + [config.noise] * (len(TYPICAL_ACCELERATIONS) - 1)
        typical = like.new_tensor(TYPICAL_ACCELERATIONS).expand(len(like) - 2, -1)
        accelerations = typical if self.activity is None else self.activity[1:-1]
        return accelerations * like.new_tensor(factors)

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame; zero in the first and the last."""
        squares = self.residuals(at.posed.joints).square().sum(-1)
        return (self.config.weight * _smoothness_energy(squares, self.config.cutoff),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        config = self.config
        residuals = self.residuals(at.posed.joints)
        _, weights = charbonnier(residuals.square().sum(-1), config.cutoff)
        noise = self._noise(at.posed.joints)
        joints = at.point_jacobian[:, NUM_KEYPOINTS:] * self.fps**2
        equations.add_differences(
            residuals * noise[..., None],
            torch.cat((joints[:, :1], joints[:, 1:] - joints[:, :1]), dim=1),
            config.weight * weights / noise.square(),
            _STENCIL,
        )


@dataclass(frozen=True, kw_only=True)
class AngularAccelerationTerm:
    """½ Σ ρ(‖α / σ‖²) of the joints' angular accelerations in their parents, rad/s²."""

    names: ClassVar = ("turning",)
    rigid_invariant: ClassVar = True  # of frames that have no neighbours
    config: Robust
    fps: float

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame; zero in the first and the last."""
        velocities = _rotation_steps(at.variables.rotations)
        accelerations = (velocities[1:] - velocities[:-1]) * self.fps**2
        squares = (accelerations / self.config.noise).square().sum(-1)
        return (self.config.weight * _smoothness_energy(squares, self.config.cutoff),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        scale = self.fps**2 / self.config.noise
        steps = _rotation_steps(at.variables.rotations)
        residuals = (steps[1:] - steps[:-1]) * scale
        _, weights = charbonnier(residuals.square().sum(-1), self.config.cutoff)
        rows = (self.config.weight * weights).sqrt()[..., None]
        # ω_t = log(R_tᵀ R_{t+1}): a step δ_{t+1} enters by the right Jacobian, δ_t by minus the
        # left one.
        after, before = inverse_right_jacobian(steps), -inverse_right_jacobian(-steps)
        jacobians = [-before[:-1], before[1:] - after[:-1], after[1:]]
        jacobians = [rows[..., None] * scale * block for block in jacobians]
        equations.add_to_joints_in_time(rows * residuals, jacobians)


def _second_differences(
    points: Float[Tensor, "frames joints 3"], fps: float
) -> Float[Tensor, "inner joints 3"]:
    """(x_{t−1} − 2 x_t + x_{t+1}) fps² of all frames but the first and the last, m/s²."""
    before, middle, after = points[:-2], points[1:-1], points[2:]
    return (before - 2 * middle + after) * fps**2


def _rotation_steps(
    rotations: Float[Tensor, "frames joints 3 3"],
) -> Float[Tensor, "steps joints 3"]:
    """log(R_tᵀ R_{t+1}): rotation of each joint from frame to frame, in its own axes, radians."""
    return matrix_to_rotvec(rotations[:-1].mT @ rotations[1:])


def _smoothness_energy(
    squares: Float[Tensor, "inner items"], cutoff: float
) -> Float[Tensor, " frames"]:
    rho, _ = charbonnier(squares, cutoff)
    return pad(0.5 * rho.sum(-1), (1, 1))
