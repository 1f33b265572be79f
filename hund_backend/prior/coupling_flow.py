"""Coupling flows (RealNVP and neural splines): heavier contenders of the light flow."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import zuko
from jaxtyping import Float
from torch import Tensor, nn


class CouplingFlow(nn.Module):
    """One of zuko's coupling flows, with what a pose flow needs of a bijection."""

    def __init__(self, flow: zuko.flows.Flow) -> None:
        super().__init__()
        self.flow = flow

    @classmethod
    def realnvp(cls, features: int, layers: int, hidden: int) -> "CouplingFlow":
        """Affine couplings with random masks (Dinh et al., 2017)."""
        with _fixed_chance():
            return cls(
                zuko.flows.RealNVP(
                    features, transforms=layers, randmask=True, hidden_features=(hidden, hidden)
                )
            )

    @classmethod
    def spline(cls, features: int, layers: int, hidden: int, bins: int) -> "CouplingFlow":
        """Couplings by monotonic rational-quadratic splines (Durkan et al., 2019)."""
        with _fixed_chance():
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
        """Latent, and the logarithm of the Jacobian's determinant."""
        return self.flow().transform.call_and_ladj(values)

    def inverse(
        self, latent: Float[Tensor, "*batch features"]
    ) -> Float[Tensor, "*batch features"]:
        """What the latent was made of."""
        return self.flow().transform.inv(latent)

    def pushed(
        self,
        values: Float[Tensor, "*batch features"],
        tangents: Float[Tensor, "*batch directions features"],
    ) -> tuple[Float[Tensor, "*batch directions features"], Float[Tensor, "*batch directions"]]:
        """Derivatives in some directions, by one backward pass per feature: latent, log-determinant."""
        with torch.enable_grad():
            inputs = values.detach().requires_grad_()
            latent, log_det = self.forward(inputs)
            rows = [
                torch.autograd.grad(latent[..., row].sum(), inputs, retain_graph=True)[0]
                for row in range(latent.shape[-1])
            ]
            growth = torch.autograd.grad(log_det.sum(), inputs)[0].to(tangents)
        latent = tangents @ torch.stack(rows, dim=-1).to(tangents)
        return latent, (tangents @ growth[..., None])[..., 0]


@contextmanager
def _fixed_chance() -> Iterator[None]:
    """Masks and permutations are part of the architecture: the same in every process."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
