"""The interface by which any prior over poses enters the descent."""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


class Slopes(NamedTuple):
    """Derivatives at a pose by steps δ of the prior's joints, each in R exp(δ), at zero."""

    latent: Float[Tensor, "*batch latent moved 3"]
    stretch: Float[Tensor, "*batch moved 3"]


@runtime_checkable
class PosePrior(Protocol):
    """How likely people take a pose: a map to a latent that is standard normal over real poses.

    A pose is the parent-relative rotations of all joints but the root, relative to rest.
    """

    joints: tuple[int, ...]
    """Places in `pose` of the joints it looks at."""

    def typical_pose(self) -> Float[Tensor, "joints 3 3"]:
        """The most likely pose; joints that the prior does not look at are at rest."""
        ...

    def latent(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch latent"]:
        """The prior's coordinates of a pose."""
        ...

    def pose(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch joints 3 3"]:
        """The pose of any coordinates; joints that the prior does not look at are at rest."""
        ...

    def stretch(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Log |dz/dR|, up to a constant: how far apart poses near this one lie in the latent.

        ½ ‖latent‖² − stretch is the negative logarithm of the density over rotations.
        """
        ...

    def slopes(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Slopes:
        """Derivatives of the latent and of the stretch."""
        ...

    def energy(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """½ ‖latent‖²: zero at the prior's mode."""
        ...

    def log_prob(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Logarithm of the density over the rotations of its joints, nats; volume in radians."""
        ...
