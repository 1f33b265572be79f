"""Normalizing flows over poses: bijections that make the poses of people standard normal."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from hund_backend.body.rotations import sixd_to_matrix
from hund_backend.body.skeleton import JOINT_NAMES
from hund_backend.weights_file import being_read

from .augmented_sixd import FREEDOMS, log_weight, sixd_of
from .coordinates import cross_matrix
from .coupling_flow import CouplingFlow
from .light_flow import LightFlow
from .pose_prior import Slopes

WEIGHTS = Path(__file__).parents[1] / "weights"
WEIGHTS_FILE = WEIGHTS / "pose_flow.safetensors"
HAND_WEIGHTS_FILE = WEIGHTS / "hand_flow.safetensors"  # of a left hand; mirror right ones
DRAWS = 16  # of the freedoms that Gram-Schmidt forgets, to integrate them out of a likelihood


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """What a flow is made of."""

    joints: tuple[str, ...]
    kind: str = "light"  # "light", "realnvp" or "spline"
    layers: int = 6
    hidden: int = 128  # width of the two hidden layers of a coupling; the light flow has none
    bins: int = 8  # of a spline
    steepest: float = 0.4  # bend of the light flow's lines
    spread: float = 0.1  # of the freedoms that Gram-Schmidt forgets

    @property
    def features(self) -> int:
        """Numbers in the 6D representation, and in the latent."""
        return 6 * len(self.joints)


class PoseFlow(nn.Module):
    """A flow over the 6D representation of some joints, decoded through Gram-Schmidt.

    Any latent is a valid pose, and a pose has one latent: that of its own two columns per joint.
    So the latents of real poses fill 3 of 6 dimensions per joint, and half their squared length is
    about 3/2 per joint; the other dimensions take up what Gram-Schmidt forgets (augmented_sixd.py).

    After "Weakly Supervised 3D Human Pose and Shape Reconstruction with Normalizing Flows"
    (Zanfir et al., 2020), which puts a flow before the pose and penalises ‖z‖².
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.joints = tuple(JOINT_NAMES.index(name) - 1 for name in config.joints)
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("whitening", torch.eye(config.features))
        self.flow = _flow(config)
        generator = torch.Generator().manual_seed(0)
        draws = torch.randn(DRAWS, len(self.joints), FREEDOMS, generator=generator)
        self.register_buffer("mixings", config.spread * draws, persistent=False)

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "PoseFlow":
        """Read a flow that `save` has written.

        Raises:
            BadInputError: the file is missing or damaged, or belongs to another skeleton.
        """
        with being_read("The pose prior", path):
            config = json.loads(path.with_suffix(".json").read_text())["config"]
            flow = cls(FlowConfig(**config | {"joints": tuple(config["joints"])}))
            flow.load_state_dict(load_file(path))
        return flow.eval().requires_grad_(False)

    def whiten(self, sixd: Float[Tensor, "samples features"]) -> None:
        """Set the fixed first layer so that these samples are uncorrelated and of unit variance."""
        samples = sixd.double()
        mean = samples.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((samples - mean).T))
        self.mean.copy_(mean)
        self.whitening.copy_((vectors / values.sqrt()).T)

    def encode(
        self, sixd: Float[Tensor, "*batch features"]
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Latent of a 6D representation, and log p of the representation."""
        latent, log_det = self.flow(self._white(sixd))
        normal = -0.5 * latent.square().sum(-1) - 0.5 * latent.shape[-1] * math.log(2 * math.pi)
        return latent, normal + log_det + torch.linalg.slogdet(self.whitening).logabsdet

    def decode(self, latent: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """6D representation of a latent."""
        white = self.flow.inverse(latent)
        return torch.linalg.solve(self.whitening, white[..., None])[..., 0] + self.mean

    def typical_pose(self) -> Float[Tensor, "joints 3 3"]:
        """The pose at the latent's origin; joints that the prior does not look at are at rest."""
        return self.pose(torch.zeros_like(self.mean))

    def latent(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch latent"]:
        """The flow's coordinates of a pose."""
        rotations = pose[..., self.joints, :, :]
        return self.encode(sixd_of(rotations, torch.zeros_like(rotations[..., 0])))[0]

    def pose(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch joints 3 3"]:
        """The pose of any coordinates; joints that the prior does not look at are at rest."""
        rotations = sixd_to_matrix(self.decode(latent).unflatten(-1, (-1, 6)))
        rest = torch.eye(3, dtype=latent.dtype, device=latent.device)
        pose = rest.expand(*latent.shape[:-1], len(JOINT_NAMES) - 1, 3, 3).clone()
        pose[..., self.joints, :, :] = rotations
        return pose

    def stretch(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Log |dz/da| of the 6D representation a, without the constant of the first layer."""
        rotations = pose[..., self.joints, :, :]
        return self.flow(self._white(sixd_of(rotations, torch.zeros_like(rotations[..., 0]))))[1]

    def slopes(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Slopes:
        """Derivatives of the latent and of the stretch by steps δ of its joints, in R exp(δ).

        Directions are pushed through the flow in single precision, whatever that of the pose: this is
        where a fit spends its time, and the seventh digit of a derivative changes no step.
        """
        rotations = pose[..., self.joints, :, :]
        sixd = sixd_of(rotations, torch.zeros_like(rotations[..., 0]))
        # d(R exp(δ) e)/dδ = −R [e]× for the two columns e of the representation.
        crosses = cross_matrix(torch.eye(3, dtype=pose.dtype, device=pose.device)[:2])
        columns = -(rotations[..., None, :, :] @ crosses).flatten(-3, -2)
        whitening = self.whitening.unflatten(-1, (-1, 6))
        tangents = torch.einsum("fjs,...jsa->...jaf", whitening, columns).flatten(-3, -2)
        latent, stretch = self.flow.pushed(self._white(sixd), tangents.float())
        return Slopes(
            latent=latent.to(pose).mT.unflatten(-1, (-1, 3)),
            stretch=stretch.to(pose).unflatten(-1, (-1, 3)),
        )

    def energy(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """½ ‖latent‖², the flow papers' prior on a pose."""
        return 0.5 * self.latent(pose).square().sum(-1)

    def log_prob(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Logarithm of the density over the rotations of its joints, nats; volume in radians.

        What Gram-Schmidt forgets is integrated out by the mean of a fixed set of draws: a lower
        bound in expectation, the same for every call.
        """
        rotations = pose[..., None, self.joints, :, :]
        mixings = self.mixings.expand(*rotations.shape[:-4], *self.mixings.shape)
        rotations = rotations.expand(*mixings.shape[:-1], 3, 3)
        _, log_density = self.encode(sixd_of(rotations, mixings))
        weighted = log_density + log_weight(mixings, self.config.spread)
        return weighted.logsumexp(-1) - math.log(len(self.mixings))

    def _white(self, sixd: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        return (sixd - self.mean) @ self.whitening.T

    def sample(
        self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Float[Tensor, "count joints 3 3"]:
        """Poses drawn from the prior, latents scaled by a temperature."""
        draws = torch.randn(count, self.config.features, generator=generator)
        return self.pose(temperature * draws.to(self.mean))


def _flow(config: FlowConfig) -> LightFlow | CouplingFlow:
    if config.kind == "light":
        return LightFlow(config.features, config.layers, config.steepest)
    if config.kind == "realnvp":
        return CouplingFlow.realnvp(config.features, config.layers, config.hidden)
    if config.kind == "spline":
        return CouplingFlow.spline(config.features, config.layers, config.hidden, config.bins)
    raise ValueError(f"unknown kind of flow {config.kind!r}; choose light, realnvp or spline")
