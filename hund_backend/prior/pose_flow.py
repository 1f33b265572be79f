"""Normalizing flows over poses: bijections under which people's poses are standard normal."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from ..body.rotations import sixd_to_matrix
from ..body.skeleton import JOINT_NAMES
from ..weights_file import WEIGHTS, load_weights
from .augmented_sixd import NUM_MIXING, log_importance_weight, rotations_to_sixd
from .coordinates import cross_matrix
from .light_flow import LightFlow
from .pose_prior import PriorJacobian

WEIGHTS_FILE = WEIGHTS / "pose_flow.safetensors"
HAND_WEIGHTS_FILE = WEIGHTS / "hand_flow.safetensors"  # of a left hand; mirror right ones
NUM_MIXING_SAMPLES = 16  # over which a likelihood averages


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Joints and size of a flow."""

    joints: tuple[str, ...]
    kind: str = "light"  # "light", "realnvp" or "spline"
    layers: int = 6
    hidden: int = 128  # width of the two hidden layers of a coupling; the light flow has none
    bins: int = 8  # of a spline
    max_slope: float = 0.4  # of the light flow's activations: slopes within 1 ± max_slope
    mixing_std: float = 0.1  # of the mixing by which the 6D form is augmented

    @property
    def features(self) -> int:
        """Dimensions of the 6D representation, and of the latent."""
        return 6 * len(self.joints)


class PoseFlow(nn.Module):
    """Flow over the 6D representation of some joints, decoded by Gram-Schmidt.

    z = flow(W (a − μ)) with the 6D representation a of the joints and a fixed whitening (μ, W).

    Any latent decodes to a valid pose, and the latent of a pose is that of the two columns of its
    rotations. So the latents of real poses fill 3 of 6 dimensions per joint, and half their squared
    norm is about 3/2 per joint; the other dimensions hold the mixing (`augmented_sixd.py`).

    After Zanfir et al., "Weakly Supervised 3D Human Pose and Shape Reconstruction with Normalizing
    Flows" (ECCV 2020), which decodes poses through a flow and penalizes ‖z‖².
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.joints = tuple(JOINT_NAMES.index(name) - 1 for name in config.joints)
        self.register_buffer("mean", torch.zeros(config.features))
        self.register_buffer("whitening", torch.eye(config.features))
        self.flow = _flow(config)
        generator = torch.Generator().manual_seed(0)
        draws = torch.randn(NUM_MIXING_SAMPLES, len(self.joints), NUM_MIXING, generator=generator)
        self.register_buffer("mixings", config.mixing_std * draws, persistent=False)

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "PoseFlow":
        """Load a flow that training has written.

        Raises:
            BadInputError: the file is missing or damaged, or belongs to another skeleton.
        """
        with load_weights("The pose prior", path):
            config = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["config"]
            flow = cls(FlowConfig(**config | {"joints": tuple(config["joints"])}))
            flow.load_state_dict(load_file(path))
        return flow.eval().requires_grad_(False)

    def fit_whitening(self, sixd: Float[Tensor, "samples features"]) -> None:
        """Set the whitening so that these samples are uncorrelated and of unit variance."""
        samples = sixd.double()
        mean = samples.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((samples - mean).T))
        self.mean.copy_(mean)
        self.whitening.copy_((vectors / values.sqrt()).T)

    def encode(
        self, sixd: Float[Tensor, "*batch features"]
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Return the latent z and the log-density log p(a), nats, of a 6D representation a."""
        latent, log_det = self.flow(self._whitened(sixd))
        normal = -0.5 * latent.square().sum(-1) - 0.5 * latent.shape[-1] * math.log(2 * math.pi)
        return latent, normal + log_det + torch.linalg.slogdet(self.whitening).logabsdet

    def decode(self, latent: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch features"]:
        """Return the 6D representation of a latent, the inverse of `encode`."""
        white = self.flow.inverse(latent)
        return torch.linalg.solve(self.whitening, white[..., None])[..., 0] + self.mean

    def typical_pose(self) -> Float[Tensor, "joints 3 3"]:
        """Return the pose at the latent's origin; joints outside the prior are at rest."""
        return self.pose(torch.zeros_like(self.mean))

    def latent(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch latent"]:
        """Return the latent of a pose."""
        return self.encode(rotations_to_sixd(pose[..., self.joints, :, :]))[0]

    def pose(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch joints 3 3"]:
        """Return the pose of a latent; joints outside the prior are at rest."""
        rotations = sixd_to_matrix(self.decode(latent).unflatten(-1, (-1, 6)))
        rest = torch.eye(3, dtype=latent.dtype, device=latent.device)
        pose = rest.expand(*latent.shape[:-1], len(JOINT_NAMES) - 1, 3, 3).clone()
        pose[..., self.joints, :, :] = rotations
        return pose

    def log_det(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return log |dz/da| of the 6D representation a, without the whitening's constant."""
        sixd = rotations_to_sixd(pose[..., self.joints, :, :])
        return self.flow(self._whitened(sixd))[1]

    def jacobian(self, pose: Float[Tensor, "*batch joints 3 3"]) -> PriorJacobian:
        """Return the derivatives of latent and log-determinant by steps δ in R exp(δ).

        The tangents are in single precision, whatever that of the pose: a fit spends most of its
        time here, and the seventh digit of a derivative changes no step.
        """
        rotations = pose[..., self.joints, :, :]
        sixd = rotations_to_sixd(rotations)
        # d(R exp(δ) e)/dδ = −R [e]× for the two columns e of the representation.
        crosses = cross_matrix(torch.eye(3, dtype=pose.dtype, device=pose.device)[:2])
        columns = -(rotations[..., None, :, :] @ crosses).flatten(-3, -2)
        whitening = self.whitening.unflatten(-1, (-1, 6))
        tangents = torch.einsum("fjs,...jsa->...jaf", whitening, columns).flatten(-3, -2)
        latent, log_det = self.flow.jvp(self._whitened(sixd), tangents.float())
        return PriorJacobian(
            latent=latent.to(pose).mT.unflatten(-1, (-1, 3)),
            log_det=log_det.to(pose).unflatten(-1, (-1, 3)),
        )

    def energy(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return ½ ‖z‖², the energy of a pose in Zanfir et al. (2020)."""
        return 0.5 * self.latent(pose).square().sum(-1)

    def log_prob(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return the log-density over the modeled joints' rotations, nats; volume in radians.

        The mixing is integrated out by importance sampling with a fixed set of samples: a lower
        bound in expectation, the same in every call.
        """
        rotations = pose[..., None, self.joints, :, :]
        mixings = self.mixings.expand(*rotations.shape[:-4], *self.mixings.shape)
        rotations = rotations.expand(*mixings.shape[:-1], 3, 3)
        _, log_density = self.encode(rotations_to_sixd(rotations, mixings))
        weighted = log_density + log_importance_weight(mixings, self.config.mixing_std)
        return weighted.logsumexp(-1) - math.log(len(self.mixings))

    def _whitened(
        self, sixd: Float[Tensor, "*batch features"]
    ) -> Float[Tensor, "*batch features"]:
        return (sixd - self.mean) @ self.whitening.T

    def sample(
        self, count: int, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Float[Tensor, "count joints 3 3"]:
        """Sample poses from the prior; the temperature scales the latents."""
        latents = torch.randn(count, self.config.features, generator=generator)
        return self.pose(temperature * latents.to(self.mean))


def _flow(config: FlowConfig) -> nn.Module:
    if config.kind == "light":
        return LightFlow(config.features, config.layers, config.max_slope)
    # Only training compares these: the extension has neither them nor their package.
    from .coupling_flow import CouplingFlow

    if config.kind == "realnvp":
        return CouplingFlow.realnvp(config.features, config.layers, config.hidden)
    if config.kind == "spline":
        return CouplingFlow.spline(config.features, config.layers, config.hidden, config.bins)
    raise ValueError(f"unknown kind of flow {config.kind!r}; choose light, realnvp or spline")
