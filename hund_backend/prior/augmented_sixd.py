"""Augmented 6D rotations: six full dimensions per joint, for a density that is not degenerate.

The two columns of a true rotation lie on a three-dimensional surface in six dimensions, on which a
flow over the six numbers could pile up density without limit. Gram-Schmidt discards three numbers
per joint: the entries of the upper triangular factor by which orthonormal columns are mixed. Random
ones are put back in training (inverse Gram-Schmidt), so that the data fill all six dimensions, and
are integrated out of a likelihood.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

NUM_MIXING = 3  # entries of a joint's triangular factor


def rotations_to_sixd(
    rotations: Float[Tensor, "*batch joints 3 3"],
    mixing: Float[Tensor, "*batch joints 3"] | None = None,
) -> Float[Tensor, "*batch sixd"]:
    """Convert rotations R to the 6D form a₁ = e^l r₁, a₂ = s r₁ + e^m r₂.

    r₁ and r₂ are the first two columns of R. Gram-Schmidt recovers R from any mixing.

    Args:
        rotations: R of the joints.
        mixing: (l, s, m) of each joint: logarithm of the first column's length, share of the first
            column in the second, logarithm of the second's remaining length. None stands for zeros,
            which give the columns of the rotation.

    Returns:
        a₁, then a₂, joint after joint.
    """
    if mixing is None:
        mixing = torch.zeros_like(rotations[..., 0])
    first, second = rotations[..., :, 0], rotations[..., :, 1]
    length, share, rest = mixing[..., None].unbind(-2)
    columns = torch.stack((length.exp() * first, share * first + rest.exp() * second), dim=-2)
    return columns.flatten(-3)


def log_importance_weight(
    mixing: Float[Tensor, "*batch joints 3"], mixing_std: float
) -> Float[Tensor, "*batch"]:
    """Return the logarithm of the weight of one mixing sample, e^{3l + 2m} / q(l, s, m).

    The volume element is da₁ da₂ = e^{3l} e^{2m} dl ds dm dR, with dR of SO(3) in radians, and the
    mixing is drawn from a normal distribution q, so p(R) = E_q[ p(a) e^{3l + 2m} / q(l, s, m) ].

    Args:
        mixing: (l, s, m) of the joints.
        mixing_std: standard deviation of q.
    """
    volume = 3 * mixing[..., 0] + 2 * mixing[..., 2]
    square = (mixing / mixing_std).square().sum(-1)
    normal = 0.5 * square + NUM_MIXING * (0.5 * math.log(2 * math.pi) + math.log(mixing_std))
    return (volume + normal).sum(-1)
