"""Interface of the priors over poses that the descent and the training use."""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


class PriorJacobian(NamedTuple):
    """Derivatives at a pose R by steps δ of the prior's joints, each in R exp(δ), at δ = 0."""

    latent: Float[Tensor, "*batch latent modelled 3"]
    log_det: Float[Tensor, "*batch modelled 3"]


@runtime_checkable
class PosePrior(Protocol):
    """Density over poses: a map to a latent that is standard normal over real poses.

    A pose is the parent-relative rotations of all joints but the root, relative to rest. The prior
    models some of these joints and leaves the others at rest.
    """

    joints: tuple[int, ...]
    """Indices in `pose` of the modeled joints."""

    def typical_pose(self) -> Float[Tensor, "joints 3 3"]:
        """Return the most likely pose."""
        ...

    def latent(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch latent"]:
        """Return the latent z of a pose."""
        ...

    def pose(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch joints 3 3"]:
        """Return the pose of a latent; any latent has one."""
        ...

    def log_det(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return log |dz/dR| of the map from pose to latent, up to a constant.

        ½ ‖z‖² − log |dz/dR| is the negative logarithm of the density over rotations.
        """
        ...

    def jacobian(self, pose: Float[Tensor, "*batch joints 3 3"]) -> PriorJacobian:
        """Return the derivatives of the latent and of the log-determinant."""
        ...

    def energy(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return ½ ‖z‖², zero at the mode of the latents."""
        ...

    def log_prob(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return the log-density over the rotations of the modeled joints, nats.

        Volume is measured in radians.
        """
        ...
