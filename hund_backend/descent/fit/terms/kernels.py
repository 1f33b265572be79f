"""Robust kernels, and the weight, noise and cut-off that a term passes them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Robust:
    """Weight, noise and cut-off of a robust term; a weight of zero switches the term off."""

    weight: float
    noise: float  # σ, in the residuals' unit
    cutoff: float  # k, in units of the noise


def geman_mcclure(
    squares: Float[Tensor, "*batch"], cutoff: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """ρ(s) = s / (1 + s / k²): s where it is small, never more than k² (Geman & McClure, 1987).

    Args:
        squares: squared residuals in units of the noise, s.
        cutoff: k, in units of the noise; a residual of k counts half.

    Returns:
        ρ, and its derivative by s, which is the residual's weight in least squares.
    """
    shrink = 1 / (1 + squares / cutoff**2)
    return squares * shrink, shrink**2


def charbonnier(
    squares: Float[Tensor, "*batch"], cutoff: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """ρ(s) = 2k² (√(1 + s / k²) − 1): s where it is small, 2k √s where it is large.

    Fast motion is penalized, but not smoothed away (Charbonnier et al., 1994).

    Args:
        squares: squared residuals in units of the noise, s.
        cutoff: k, in units of the noise, where the parabola turns into a line.

    Returns:
        ρ, and its derivative by s.
    """
    root = torch.sqrt(1 + squares / cutoff**2)
    return 2 * cutoff**2 * (root - 1), 1 / root
