"""A light flow: invertible linear maps with a bent line per coordinate between them.

In the manner of the lighter flow that the flow priors' paper (Zanfir et al., 2020) is said to have
chosen for its speed: fully connected invertible layers and activations like PReLU. Its
Jacobian is a product of matrices, which a Gauss-Newton descent wants.
"""

import torch
import zuko
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Transform, constraints

STEEPEST = 0.9  # bend beyond which a slope would come near zero


class BendTransform(Transform):
    """y = x + b (√(x² + 1) − 1): slopes 1 − b and 1 + b far out, smooth in the middle, |b| < 1.

    A PReLU with a round corner: the descent needs derivatives that do not jump.

    Args:
        bend: b before it is squashed into its range.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, bend: Float[Tensor, " features"]) -> None:
        super().__init__()
        self.bend = STEEPEST * torch.tanh(bend)

    def _call(self, x: Tensor) -> Tensor:
        return x + self.bend * ((x.square() + 1).sqrt() - 1)

    def _inverse(self, y: Tensor) -> Tensor:
        # (y + b − x)² = b² (x² + 1): of the two roots the one on the rising branch.
        shifted, squared = y + self.bend, self.bend.square()
        root = (shifted.square() + 1 - squared).sqrt()
        return (shifted - self.bend * root) / (1 - squared)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm of each coordinate's slope."""
        return torch.log1p(self.bend * x / (x.square() + 1).sqrt())


def light_flow(features: int, layers: int) -> zuko.flows.Flow:
    """A flow of so many invertible linear layers, a bend after each of them but the last."""
    transforms: list[zuko.flows.UnconditionalTransform] = []
    for layer in range(layers):
        transforms.append(
            zuko.flows.UnconditionalTransform(
                zuko.transforms.LULinearTransform, torch.eye(features)
            )
        )
        transforms.append(
            zuko.flows.UnconditionalTransform(
                zuko.transforms.MonotonicAffineTransform,
                torch.zeros(features),
                torch.zeros(features),
            )
        )
        if layer < layers - 1:
            transforms.append(
                zuko.flows.UnconditionalTransform(BendTransform, torch.zeros(features))
            )
    base = zuko.flows.UnconditionalDistribution(
        zuko.distributions.DiagNormal, torch.zeros(features), torch.ones(features), buffer=True
    )
    return zuko.flows.Flow(transforms, base)
