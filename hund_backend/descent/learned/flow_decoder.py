"""Flow decoder: from latents to the 6D form of poses, with the flow's systems inverted once."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...prior.augmented_sixd import rotations_to_sixd
from ...prior.light_flow import LightFlow, inverse_activation
from ...prior.pose_flow import PoseFlow


class FlowDecoder(nn.Module):
    """Differentiable map from a prior's latents to the 6D form of its joints; no parameters.

    Attributes:
        latent_size: length of the latent.
    """

    def __init__(self, prior: PoseFlow, *, uses_flow: bool = True) -> None:
        """Invert the flow's matrices.

        Args:
            prior: its flow maps latents to poses.
            uses_flow: False for latents that are whitened 6D rotations.
        """
        super().__init__()
        assert isinstance(prior.flow, LightFlow)
        self.latent_size = prior.config.features
        self._register("mean", prior.mean)
        self._register("unwhitening", torch.linalg.inv(prior.whitening.double()).T)
        self._register("whitening", prior.whitening.T)
        self._register_flow(prior.flow if uses_flow else None)

    def _register(self, name: str, values: Tensor) -> None:
        # Derived from the prior: not saved with the weights.
        self.register_buffer(name, values.detach().float().contiguous(), persistent=False)

    def _register_flow(self, flow: LightFlow | None) -> None:
        layers = len(flow.lu_factors) if flow is not None else 0
        forward = torch.zeros(layers, self.latent_size, self.latent_size, dtype=torch.float64)
        for layer in range(layers):
            factors = flow.lu_factors[layer].detach().double()
            upper = factors.triu(1) + torch.eye(self.latent_size)
            forward[layer] = (factors.tril() @ upper).T
        empty = self.mean[None, :0]
        self._register("forward_matrices", forward)
        self._register("inverse_matrices", torch.linalg.inv(forward))
        self._register("shifts", flow.shifts if layers else empty)
        self._register("slopes", flow.max_slope * torch.tanh(flow.bends) if layers else empty)

    def forward(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
        """6D rotations of a latent."""
        values = latent
        for layer in reversed(range(len(self.inverse_matrices))):
            if layer < len(self.slopes):
                values = inverse_activation(values, self.slopes[layer])
            values = (values - self.shifts[layer]) @ self.inverse_matrices[layer]
        return values @ self.unwhitening + self.mean

    def latent_of(
        self, rotations: Float[Tensor, "batch joints 3 3"], prior: PoseFlow
    ) -> Float[Tensor, "batch latent"]:
        """Latent of rotations of the prior's joints."""
        sixd = rotations_to_sixd(rotations, torch.zeros_like(rotations[..., 0]))
        if len(self.forward_matrices):
            return prior.encode(sixd)[0]
        return (sixd - self.mean) @ self.whitening
