"""Pin term: places of joints in single frames, set by hand."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ....body.camera import project
from ...keypoints import NUM_KEYPOINTS
from ..linearization import EvaluationPoint, LinearizationPoint
from ..solver import NormalEquations
from .projection import projection_jacobian


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Places where joints belong in some of the frames; camera frame, metres."""

    frames: Int[Tensor, " pins"]  # positions in the frames of the fit
    joints: Int[Tensor, " pins"]  # indices into REDUCED_JOINTS
    places: Float[Tensor, "pins 3"]


@dataclass(frozen=True, kw_only=True)
class PinConfig:
    """Noise of the pins: of the place, and of its projection."""

    noise: float = 0.001  # metres
    pixel_noise: float = 0.0005  # fraction of the crop's side

    def scaled(self, factor: float) -> "PinConfig":
        """Noise times a factor."""
        return PinConfig(noise=factor * self.noise, pixel_noise=factor * self.pixel_noise)


@dataclass(frozen=True, kw_only=True)
class PinTerm:
    """½ Σ ‖(x − q) / σ‖² + ½ Σ ‖(Π(x) − Π(q)) / σ_px‖² of the pinned joints x and their places q."""

    names: ClassVar = ("pins",)
    rigid_invariant: ClassVar = False
    config: PinConfig
    pins: Pins
    intrinsics: Float[Tensor, "frames 3 3"]  # px
    crop_side: Float[Tensor, " frames"]  # px

    def residuals(self, at: EvaluationPoint) -> Float[Tensor, "pins 3"]:
        """Offsets of the joints from their places, metres."""
        return at.posed.joints[self.pins.frames, self.pins.joints] - self.pins.places

    def _pixel_residuals(self, at: EvaluationPoint) -> Float[Tensor, "pins 2"]:
        """Offsets in the picture, in units of their noise."""
        lens = self.intrinsics[self.pins.frames]
        joints = at.posed.joints[self.pins.frames, self.pins.joints]
        offsets = project(joints[:, None], lens) - project(self.pins.places[:, None], lens)
        return offsets[:, 0] / self._pixel_noise[:, None]

    @property
    def _pixel_noise(self) -> Float[Tensor, " pins"]:
        return self.config.pixel_noise * self.crop_side[self.pins.frames]

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame."""
        squares = (self.residuals(at) / self.config.noise).square().sum(-1)
        squares = squares + self._pixel_residuals(at).square().sum(-1)
        energy = torch.zeros_like(self.crop_side)
        return (energy.index_add(0, self.pins.frames, 0.5 * squares),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        frames, joints = self.pins.frames, self.pins.joints
        by_step = at.point_jacobian[frames, NUM_KEYPOINTS + joints]
        points = at.posed.joints[frames, joints][:, None]
        lens = projection_jacobian(points, self.intrinsics[frames])[:, 0]
        lens = lens / self._pixel_noise[:, None, None]
        jacobian = torch.cat((by_step / self.config.noise, lens @ by_step), dim=1)
        residuals = torch.cat(
            (self.residuals(at) / self.config.noise, self._pixel_residuals(at)), dim=1
        )
        transposed = jacobian.mT
        equations.hessian.index_add_(0, frames, transposed @ jacobian)
        equations.gradient.index_add_(0, frames, (transposed @ residuals[..., None])[..., 0])
