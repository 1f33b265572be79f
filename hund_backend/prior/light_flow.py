"""Light flow: invertible linear layers with a smooth PReLU-like activation between them.

It follows the lighter flow that the paper on flow priors (Zanfir et al., "Weakly Supervised 3D
Human Pose and Shape Reconstruction with Normalizing Flows", ECCV 2020) is said to have chosen for
its speed: fully connected invertible layers and activations like PReLU. Its Jacobian is a product
of matrices, which suits Gauss-Newton.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LightFlow(nn.Module):
    """Layers x → f(L U x + c), the last without f; L lower, U unit upper triangular.

    The bend b of f satisfies |b| < `max_slope`. Implausible poses lie far from the origin, where f
    has the slopes 1 ± b: a product of small slopes would bring them near the latent's origin.
    """

    def __init__(self, features: int, layers: int, max_slope: float) -> None:
        super().__init__()
        self.max_slope = max_slope
        self.lu_factors = nn.Parameter(torch.eye(features).repeat(layers, 1, 1))
        self.shifts = nn.Parameter(torch.zeros(layers, features))
        self.bends = nn.Parameter(torch.zeros(layers - 1, features))

    def forward(
        self, values: Float[Tensor, "*batch features"]
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Return the latent and log |det J| of the map to it."""
        diagonals = self.lu_factors.diagonal(dim1=-2, dim2=-1)
        log_det = diagonals.abs().log().sum().expand(values.shape[:-1])
        for layer, matrix in enumerate(self._matrices()):
            values = values @ matrix.T + self.shifts[layer]
            if layer < len(self.bends):
                log_det = log_det + activation_slope(values, self._bend(layer)).log().sum(-1)
                values = activation(values, self._bend(layer))
        return values, log_det

    def inverse(
        self, latent: Float[Tensor, "*batch features"]
    ) -> Float[Tensor, "*batch features"]:
        """Return the values whose latent this is."""
        values = latent
        for layer in reversed(range(len(self.lu_factors))):
            if layer < len(self.bends):
                values = inverse_activation(values, self._bend(layer))
            values = (values - self.shifts[layer])[..., None]
            lower, upper = self.lu_factors[layer].tril(), self._upper(layer)
            values = torch.linalg.solve_triangular(lower, values, upper=False)
            values = torch.linalg.solve_triangular(upper, values, upper=True, unitriangular=True)
            values = values[..., 0]
        return values

    def jvp(
        self,
        values: Float[Tensor, "*batch features"],
        tangents: Float[Tensor, "*batch directions features"],
    ) -> tuple[Float[Tensor, "*batch directions features"], Float[Tensor, "*batch directions"]]:
        """Return Jacobian-vector products of the latent and of the log-determinant.

        Args:
            values: point at which to differentiate.
            tangents: directions; their dtype is that of the result.
        """
        log_det_tangents = torch.zeros_like(tangents[..., 0])
        for layer, matrix in enumerate(self._matrices()):
            tangents = tangents @ matrix.T.to(tangents)
            values = values @ matrix.T + self.shifts[layer]
            if layer < len(self.bends):
                bend = self._bend(layer)
                slope = activation_slope(values, bend)
                log_slope_derivative = activation_curvature(values, bend) / slope
                log_det_tangents = (
                    log_det_tangents
                    + (tangents @ log_slope_derivative.to(tangents)[..., None])[..., 0]
                )
                tangents = slope.to(tangents)[..., None, :] * tangents
                values = activation(values, bend)
        return tangents, log_det_tangents

    def _matrices(self) -> list[Float[Tensor, "features features"]]:
        layers = range(len(self.lu_factors))
        return [self.lu_factors[layer].tril() @ self._upper(layer) for layer in layers]

    def _upper(self, layer: int) -> Float[Tensor, "features features"]:
        unit = torch.eye(len(self.lu_factors[layer])).to(self.lu_factors)
        return self.lu_factors[layer].triu(1) + unit

    def _bend(self, layer: int) -> Float[Tensor, " features"]:
        return self.max_slope * torch.tanh(self.bends[layer])


def activation(
    x: Float[Tensor, "*batch features"], bend: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    """Return f(x) = x + b (√(x² + 1) − 1), with slopes 1 − b and 1 + b far from zero, |b| < 1.

    It is a PReLU with a round corner: the descent needs continuous derivatives.
    """
    return x + bend * ((x.square() + 1).sqrt() - 1)


def inverse_activation(
    y: Float[Tensor, "*batch features"], bend: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    """Return x with f(x) = y: the root of (y + b − x)² = b² (x² + 1) on the rising branch."""
    shifted, squared = y + bend, bend.square()
    root = (shifted.square() + 1 - squared).sqrt()
    return (shifted - bend * root) / (1 - squared)


def activation_slope(
    x: Float[Tensor, "*batch features"], bend: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    """Return the first derivative f'(x) of the activation."""
    return 1 + bend * x / (x.square() + 1).sqrt()


def activation_curvature(
    x: Float[Tensor, "*batch features"], bend: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    """Return the second derivative f''(x) of the activation."""
    return bend * (x.square() + 1) ** -1.5
