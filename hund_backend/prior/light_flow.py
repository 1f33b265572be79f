"""A light flow: invertible linear maps with a bent line per coordinate between them.

In the manner of the lighter flow that the flow priors' paper (Zanfir et al., 2020) is said to have
chosen for its speed: fully connected invertible layers and activations like PReLU. Its
Jacobian is a product of matrices, which a Gauss-Newton descent wants.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LightFlow(nn.Module):
    """So many layers x → bend(L U x + c), the last without a bend; L lower, U unit upper triangular.

    Bends stay below `steepest`. Poses that nobody takes lie far out, where only the slopes 1 ± bend
    count: products of small ones would bring them near the latent's middle.
    """

    def __init__(self, features: int, layers: int, steepest: float) -> None:
        super().__init__()
        self.steepest = steepest
        self.triangles = nn.Parameter(torch.eye(features).repeat(layers, 1, 1))
        self.shifts = nn.Parameter(torch.zeros(layers, features))
        self.bends = nn.Parameter(torch.zeros(layers - 1, features))

    def forward(
        self, values: Float[Tensor, "*batch features"]
    ) -> tuple[Float[Tensor, "*batch features"], Float[Tensor, "*batch"]]:
        """Latent, and the logarithm of the Jacobian's determinant."""
        diagonals = self.triangles.diagonal(dim1=-2, dim2=-1)
        log_det = diagonals.abs().log().sum().expand(values.shape[:-1])
        for layer, matrix in enumerate(self._matrices()):
            values = values @ matrix.T + self.shifts[layer]
            if layer < len(self.bends):
                log_det = log_det + slope(values, self._bend(layer)).log().sum(-1)
                values = bent(values, self._bend(layer))
        return values, log_det

    def inverse(
        self, latent: Float[Tensor, "*batch features"]
    ) -> Float[Tensor, "*batch features"]:
        """What the latent was made of."""
        values = latent
        for layer in reversed(range(len(self.triangles))):
            if layer < len(self.bends):
                values = unbent(values, self._bend(layer))
            values = (values - self.shifts[layer])[..., None]
            lower, upper = self.triangles[layer].tril(), self._upper(layer)
            values = torch.linalg.solve_triangular(lower, values, upper=False)
            values = torch.linalg.solve_triangular(upper, values, upper=True, unitriangular=True)
            values = values[..., 0]
        return values

    def pushed(
        self,
        values: Float[Tensor, "*batch features"],
        tangents: Float[Tensor, "*batch directions features"],
    ) -> tuple[Float[Tensor, "*batch directions features"], Float[Tensor, "*batch directions"]]:
        """Derivatives in some directions, in their precision: of the latent, and of the log-determinant."""
        growth = torch.zeros_like(tangents[..., 0])
        for layer, matrix in enumerate(self._matrices()):
            tangents = tangents @ matrix.T.to(tangents)
            values = values @ matrix.T + self.shifts[layer]
            if layer < len(self.bends):
                bend = self._bend(layer)
                steepness = slope(values, bend)
                turning = curvature(values, bend) / steepness
                growth = growth + (tangents @ turning.to(tangents)[..., None])[..., 0]
                tangents = steepness.to(tangents)[..., None, :] * tangents
                values = bent(values, bend)
        return tangents, growth

    def _matrices(self) -> list[Float[Tensor, "features features"]]:
        layers = range(len(self.triangles))
        return [self.triangles[layer].tril() @ self._upper(layer) for layer in layers]

    def _upper(self, layer: int) -> Float[Tensor, "features features"]:
        unit = torch.eye(len(self.triangles[layer])).to(self.triangles)
        return self.triangles[layer].triu(1) + unit

    def _bend(self, layer: int) -> Float[Tensor, " features"]:
        return self.steepest * torch.tanh(self.bends[layer])


def bent(
    x: Float[Tensor, "*batch features"], bend: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    """Bend lines to x + b (√(x² + 1) − 1): slopes 1 − b and 1 + b far out, smooth between, |b| < 1.

    A PReLU with a round corner: the descent needs derivatives that do not jump.
    """
    return x + bend * ((x.square() + 1).sqrt() - 1)


def unbent(
    y: Float[Tensor, "*batch features"], bend: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    """The x of a y = bent(x): of the roots of (y + b − x)² = b² (x² + 1) that on the rising branch."""
    shifted, squared = y + bend, bend.square()
    root = (shifted.square() + 1 - squared).sqrt()
    return (shifted - bend * root) / (1 - squared)


def slope(
    x: Float[Tensor, "*batch features"], bend: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    """Derivative of `bent`."""
    return 1 + bend * x / (x.square() + 1).sqrt()


def curvature(
    x: Float[Tensor, "*batch features"], bend: Float[Tensor, " features"]
) -> Float[Tensor, "*batch features"]:
    """Second derivative of `bent`."""
    return bend * (x.square() + 1) ** -1.5
