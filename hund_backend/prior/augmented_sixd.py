"""The 6D representation of rotations, filled up so that a density over it is not degenerate.

Six numbers of true rotations lie on a surface of three dimensions, on which a flow over the six could
pile up without limit. Gram-Schmidt forgets three degrees of freedom: the lengths of the two columns
and the share of the first in the second. Random ones are put back in training (inverse
Gram-Schmidt), so that the data fill the six dimensions, and are integrated out of a likelihood.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

FREEDOMS = 3  # of a joint that Gram-Schmidt forgets


def sixd_of(
    rotations: Float[Tensor, "*batch joints 3 3"], mixing: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch sixd"]:
    """Two columns of each joint, mixed by an upper triangle that Gram-Schmidt undoes.

    Args:
        rotations: of the joints.
        mixing: logarithm of the first column's length, share of the first column in the second,
            logarithm of the length of the rest; zeros leave the rotation's own columns.

    Returns:
        first column, then second column, joint after joint.
    """
    first, second = rotations[..., :, 0], rotations[..., :, 1]
    length, share, rest = mixing[..., None].unbind(-2)
    columns = torch.stack((length.exp() * first, share * first + rest.exp() * second), dim=-2)
    return columns.flatten(-3)


def log_weight(mixing: Float[Tensor, "*batch joints 3"], spread: float) -> Float[Tensor, "*batch"]:
    """What to add to log p(sixd) for the log density of the rotations, one draw of the mixing.

    With a₁ = e^l r₁ and a₂ = s r₁ + e^m r₂ the volume is da₁ da₂ = e^{3l} e^{2m} dl ds dm dR, where
    dR is that of SO(3) in radians. The mixing is drawn from a normal distribution q of the
    given spread, and p(R) = E_q[ p(a) e^{3l + 2m} / q(l, s, m) ].
    """
    volume = 3 * mixing[..., 0] + 2 * mixing[..., 2]
    square = (mixing / spread).square().sum(-1)
    normal = 0.5 * square + FREEDOMS * (0.5 * math.log(2 * math.pi) + math.log(spread))
    return (volume + normal).sum(-1)
