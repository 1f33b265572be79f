"""Block-pentadiagonal symmetric systems: unknowns of frames that touch frames up to two away."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

SEGMENT = 48  # frames whose factors are in memory at a time


class Bands(NamedTuple):
    """Rows of a system that belong to a stretch of frames."""

    diagonal: Float[Tensor, "*batch frames unknowns unknowns"]
    first: Float[Tensor, "*batch frames unknowns unknowns"]
    """Rows of the frame after, columns of the frame; what reaches beyond the end is not read."""
    second: Float[Tensor, "*batch frames unknowns unknowns"]
    right: Float[Tensor, "*batch frames unknowns"]


class _Carry(NamedTuple):
    """What the frames that are eliminated leave to the next two."""

    diagonal: Float[Tensor, "*batch unknowns unknowns"]
    first: Float[Tensor, "*batch unknowns unknowns"]
    next_diagonal: Float[Tensor, "*batch unknowns unknowns"]
    right: Float[Tensor, "*batch unknowns 1"]
    next_right: Float[Tensor, "*batch unknowns 1"]


class _Factor(NamedTuple):
    """A frame's rows of the Cholesky factor and of the half-solved right side."""

    triangle: Float[Tensor, "*batch unknowns unknowns"]
    first: Float[Tensor, "*batch unknowns unknowns"]
    second: Float[Tensor, "*batch unknowns unknowns"]
    right: Float[Tensor, "*batch unknowns 1"]


def banded_solution(
    bands: Callable[[int, int], Bands], frames: int, segment: int = SEGMENT
) -> Float[Tensor, "*batch frames unknowns"]:
    """Solution of A x = b by block Cholesky, in time linear in the frames.

    Factors are kept for one segment at a time and made again from the segment's start on the way
    back, so that beside the solution memory grows only by a few blocks per segment.

    Args:
        bands: rows of the frames from the first number up to before the second; asked twice.
        frames: of the whole system.
        segment: frames at a time.
    """
    starts = range(0, frames, segment)
    carries: list[_Carry] = []
    carry = None
    for start in starts:
        rows = bands(start, min(start + segment, frames))
        carry = carry or _nothing(rows)
        carries.append(carry)
        if start + segment < frames:
            _, carry = _eliminated(rows, carry, frames - start)
    solution: list[Tensor] = []
    for start, carry in zip(reversed(starts), reversed(carries), strict=True):
        if start + segment < frames:  # of the last one they are still here
            rows = bands(start, start + segment)
        factors, _ = _eliminated(rows, carry, frames - start)
        for factor in reversed(factors):
            right = factor.right
            for reach, block in zip(solution[-2:][::-1], (factor.first, factor.second)):  # noqa: B905
                right = right - block.mT @ reach
            solution.append(torch.linalg.solve_triangular(factor.triangle.mT, right, upper=True))
    return torch.stack(solution[::-1], dim=-3)[..., 0]


def _eliminated(rows: Bands, carry: _Carry, remaining: int) -> tuple[list[_Factor], _Carry]:
    """Eliminate a stretch of frames.

    Args:
        rows: of the stretch.
        carry: from the frames before.
        remaining: frames from the stretch's first to the last of all.
    """
    factors = []
    for frame in range(rows.right.shape[-2]):
        triangle = torch.linalg.cholesky(rows.diagonal[..., frame, :, :] + carry.diagonal)
        left = remaining - frame - 1  # frames after this one
        first = rows.first[..., frame, :, :] + carry.first
        second = rows.second[..., frame, :, :]
        first = _divided(first if left > 0 else torch.zeros_like(first), triangle)
        second = _divided(second if left > 1 else torch.zeros_like(second), triangle)
        right = rows.right[..., frame, :, None] + carry.right
        right = torch.linalg.solve_triangular(triangle, right, upper=False)
        factors.append(_Factor(triangle, first, second, right))
        carry = _Carry(
            carry.next_diagonal - first @ first.mT,
            -second @ first.mT,
            -second @ second.mT,
            carry.next_right - first @ right,
            -second @ right,
        )
    return factors, carry


def _divided(block: Tensor, triangle: Tensor) -> Tensor:
    """B L⁻ᵀ."""
    return torch.linalg.solve_triangular(triangle, block.mT, upper=False).mT


def _nothing(rows: Bands) -> _Carry:
    block = torch.zeros_like(rows.diagonal[..., 0, :, :])
    right = torch.zeros_like(rows.right[..., 0, :, None])
    return _Carry(block, block, block, right, right)
