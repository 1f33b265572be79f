"""Variational autoencoder over poses, the baseline for the flows."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...body.rotations import sixd_to_matrix
from ...body.skeleton import JOINT_NAMES
from ...prior.augmented_sixd import NUM_MIXING, log_importance_weight, rotations_to_sixd

NUM_SAMPLES = 64  # of the latent, for the importance-weighted bound of a likelihood


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """Sizes of the autoencoder."""

    joints: tuple[str, ...]
    latent: int = 32
    hidden: int = 192
    mixing_std: float = 0.1  # of the freedoms that Gram-Schmidt forgets


class PoseVae(nn.Module):
    """Encoder and decoder of two hidden layers between scaled 6D representations and a latent.

    The inputs are scaled, not whitened: if all directions vary alike, explaining any of them costs
    more than it gains, and the latent stays empty.
    """

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.joints = tuple(JOINT_NAMES.index(name) - 1 for name in config.joints)
        features = 6 * len(self.joints)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.encoder = _layers(features, config.hidden, 2 * config.latent)
        self.decoder = _layers(config.latent, config.hidden, features)
        self.log_noise = nn.Parameter(torch.full((features,), -1.0))

    def fit_whitening(self, sixd: Float[Tensor, "samples features"]) -> None:
        """Set the fixed first layer so that each number of these samples is of unit variance."""
        self.mean.copy_(sixd.mean(0))
        self.scale.copy_(sixd.std(0))

    def bound(
        self, sixd: Float[Tensor, "*batch features"], num_samples: int = 1
    ) -> Float[Tensor, "*batch"]:
        """Importance-weighted lower bound of log p of a 6D representation (Burda et al., 2016)."""
        scaled = (sixd - self.mean) / self.scale
        mean, log_scale = self.encoder(scaled).chunk(2, dim=-1)
        noise = torch.randn(num_samples, *mean.shape).to(mean)
        latent = mean + log_scale.exp() * noise
        residual = (scaled - self.decoder(latent)) * (-self.log_noise).exp()
        likelihood = _log_normal(residual) - self.log_noise.sum()
        weight = likelihood + _log_normal(latent) - (_log_normal(noise) - log_scale.sum(-1))
        return weight.logsumexp(0) - math.log(num_samples) - self.scale.log().sum()

    def latent(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch latent"]:
        """Mean of the encoder's latent of a pose."""
        rotations = pose[..., self.joints, :, :]
        sixd = rotations_to_sixd(rotations, torch.zeros_like(rotations[..., 0]))
        return self.encoder((sixd - self.mean) / self.scale).chunk(2, dim=-1)[0]

    def pose(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch joints 3 3"]:
        """Pose decoded from a latent; other joints are at rest."""
        sixd = self.decoder(latent) * self.scale + self.mean
        pose = torch.eye(3).to(latent).repeat(*latent.shape[:-1], len(JOINT_NAMES) - 1, 1, 1)
        pose[..., self.joints, :, :] = sixd_to_matrix(sixd.unflatten(-1, (-1, 6)))
        return pose

    def energy(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Minus the one-sample bound at the encoder's mean; a latent alone cannot reject a pose."""
        rotations = pose[..., self.joints, :, :]
        sixd = rotations_to_sixd(rotations, torch.zeros_like(rotations[..., 0]))
        scaled = (sixd - self.mean) / self.scale
        latent = self.encoder(scaled).chunk(2, dim=-1)[0]
        residual = (scaled - self.decoder(latent)) * (-self.log_noise).exp()
        return 0.5 * (latent.square().sum(-1) + residual.square().sum(-1))

    def log_prob(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Lower bound of the log density over the rotations of its joints, nats."""
        rotations = pose[..., self.joints, :, :]
        mixing = self.config.mixing_std * torch.randn(*rotations.shape[:-2], NUM_MIXING).to(
            rotations
        )
        bound = self.bound(rotations_to_sixd(rotations, mixing), NUM_SAMPLES)
        return bound + log_importance_weight(mixing, self.config.mixing_std)


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, outputs),
    )


def _log_normal(values: Float[Tensor, "*batch dimensions"]) -> Float[Tensor, "*batch"]:
    return -0.5 * values.square().sum(-1) - 0.5 * values.shape[-1] * math.log(2 * math.pi)
