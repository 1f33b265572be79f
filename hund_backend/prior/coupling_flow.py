"""Coupling flows (RealNVP and neural splines): heavier alternatives to the light flow."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import zuko
from jaxtyping import Float
from torch import Tensor, nn


class CouplingFlow(nn.Module):
    """Coupling flow of zuko with the interface of `LightFlow`."""

    def __init__(self, flow: zuko.flows.Flow) -> None:
        super().__init__()
        self.flow = flow

    @classmethod
    def realnvp(cls, features: int, layers: int, hidden: int) -> "CouplingFlow":
        """Build affine couplings with random masks (Dinh et al., "RealNVP", ICLR 2017)."""
        with _fixed_seed():
            return cls(
                zuko.flows.RealNVP(
                    features, transforms=layers, randmask=True, hidden_features=(hidden, hidden)
                )
            )

    @classmethod
    def spline(cls, features: int, layers: int, hidden: int, bins: int) -> "CouplingFlow":
        """Build couplings by monotonic rational-quadratic splines.

        Durkan et al., "Neural Spline Flows", NeurIPS 2019.
        """
        with _fixed_seed():
            return cls(
                zuko.flows.NSF(
                    features,
                    bins=bins,
                    passes=2,
                    transforms=layers,
                    randperm=True,
                    hidden_features=(hidden, hidden),
                )
            )

    def forward(
        self, values: Float[Tensor, "*batch features"]
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Return the latent and log |det J| of the map to it."""
        return self.flow().transform.call_and_ladj(values)

    def inverse(
        self, latent: Float[Tensor, "*batch features"]
    ) -> Float[Tensor, "*batch features"]:
        """Return the values whose latent this is."""
        return self.flow().transform.inv(latent)

    def jvp(
        self,
        values: Float[Tensor, "*batch features"],
        tangents: Float[Tensor, "*batch directions features"],
    ) -> tuple[Float[Tensor, "*batch directions features"], Float[Tensor, "*batch directions"]]:
        """Return Jacobian-vector products of the latent and of the log-determinant.

        It takes one backward pass per feature.

        Args:
            values: point at which to differentiate.
            tangents: directions; their dtype is that of the result.
        """
        with torch.enable_grad():
            inputs = values.detach().requires_grad_()
            latent, log_det = self.forward(inputs)
            rows = [
                torch.autograd.grad(latent[..., row].sum(), inputs, retain_graph=True)[0]
                for row in range(latent.shape[-1])
            ]
            log_det_gradient = torch.autograd.grad(log_det.sum(), inputs)[0].to(tangents)
        latent = tangents @ torch.stack(rows, dim=-1).to(tangents)
        return latent, (tangents @ log_det_gradient[..., None])[..., 0]


@contextmanager
def _fixed_seed() -> Iterator[None]:
    """Draw the same masks and permutations in every process: they belong to the architecture."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
