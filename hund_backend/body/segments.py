"""Line segments, as the axes of capsules: where two of them are nearest to each other."""

import torch
from jaxtyping import Float
from torch import Tensor

_SMALLEST = 1e-12  # divisor: where segments are parallel, or points, any share will do


@torch.no_grad()
def closest_shares(
    apart: Float[Tensor, "*batch 3"],
    first: Float[Tensor, "*batch 3"],
    second: Float[Tensor, "*batch 3"],
) -> tuple[Float[Tensor, " *batch"], Float[Tensor, " *batch"]]:
    """Shares of two segments at which they are nearest to each other.

    Ericson, "Real-Time Collision Detection", 2005, §5.1.9. The shares have no gradient: to first
    order the distance does not change with them.

    Args:
        apart: from the second's start to the first's, metres.
        first: from the first's start to its end.
        second: the same of the second.

    Returns:
        0…1, of the first and of the second.
    """
    long, wide = first.square().sum(-1), second.square().sum(-1)
    both = (first * second).sum(-1)
    along, across = (first * apart).sum(-1), (second * apart).sum(-1)
    parallel = (long * wide - both.square()).clamp(min=_SMALLEST)
    share = ((both * across - along * wide) / parallel).clamp(0, 1)
    other = ((both * share + across) / wide.clamp(min=_SMALLEST)).clamp(0, 1)
    share = ((both * other - along) / long.clamp(min=_SMALLEST)).clamp(0, 1)
    return share, other
