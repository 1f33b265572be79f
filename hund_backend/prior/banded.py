"""Block-pentadiagonal symmetric systems: frames coupled with frames up to two away."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

SEGMENT = 48  # frames whose factors are in memory at a time


class Bands(NamedTuple):
    """Block rows of a range of frames: A by its lower bands, and the right-hand side b."""

    diagonal: Float[Tensor, "*batch frames unknowns unknowns"]
    first: Float[Tensor, "*batch frames unknowns unknowns"]
    """Row of the next frame, column of this one; blocks beyond the last frame are not read."""
    second: Float[Tensor, "*batch frames unknowns unknowns"]
    """Row of the frame after the next, column of this one."""
    rhs: Float[Tensor, "*batch frames unknowns"]


class _Carry(NamedTuple):
    """Updates of the next two frames' rows by the frames that are eliminated."""

    diagonal: Float[Tensor, "*batch unknowns unknowns"]
    first: Float[Tensor, "*batch unknowns unknowns"]
    next_diagonal: Float[Tensor, "*batch unknowns unknowns"]
    rhs: Float[Tensor, "*batch unknowns 1"]
    next_rhs: Float[Tensor, "*batch unknowns 1"]


class _Factor(NamedTuple):
    """Column of a frame in the Cholesky factor L, and its part of L⁻¹ b."""

    triangle: Float[Tensor, "*batch unknowns unknowns"]
    first: Float[Tensor, "*batch unknowns unknowns"]
    second: Float[Tensor, "*batch unknowns unknowns"]
    rhs: Float[Tensor, "*batch unknowns 1"]


def solve_block_banded(
    bands: Callable[[int, int], Bands], frames: int, segment: int = SEGMENT
) -> Float[Tensor, "*batch frames unknowns"]:
    """Solve A x = b by block Cholesky, in time linear in the number of frames.

    Factors are kept for one segment at a time and computed again from the segment's first frame in
    the backward pass, so that memory beside the solution grows only by a few blocks per segment.

    Args:
        bands: returns the rows of the frames start…stop − 1, given start and stop; called twice
            for each segment but the last.
        frames: number of frames of the whole system.
        segment: frames at a time.
    """
    starts = range(0, frames, segment)
    carries: list[_Carry] = []
    carry = None
    for start in starts:
        rows = bands(start, min(start + segment, frames))
        carry = carry or _zero_carry(rows)
        carries.append(carry)
        if start + segment < frames:
            _, carry = _eliminate(rows, carry, frames - start)
    solution: list[Tensor] = []
    for start, carry in zip(reversed(starts), reversed(carries), strict=True):
        if start + segment < frames:  # the last segment's rows are still at hand
            rows = bands(start, start + segment)
        factors, _ = _eliminate(rows, carry, frames - start)
        for factor in reversed(factors):
            rhs = factor.rhs
            below = (factor.first, factor.second)
            for solved, block in zip(solution[-2:][::-1], below):  # noqa: B905
                rhs = rhs - block.mT @ solved
            solution.append(torch.linalg.solve_triangular(factor.triangle.mT, rhs, upper=True))
    return torch.stack(solution[::-1], dim=-3)[..., 0]


def _eliminate(rows: Bands, carry: _Carry, remaining: int) -> tuple[list[_Factor], _Carry]:
    """Eliminate a range of frames.

    Args:
        rows: of the range.
        carry: from the frames before.
        remaining: frames from the range's first to the last of all.
    """
    factors = []
    for frame in range(rows.rhs.shape[-2]):
        triangle = torch.linalg.cholesky(rows.diagonal[..., frame, :, :] + carry.diagonal)
        following = remaining - frame - 1  # frames after this one
        first = rows.first[..., frame, :, :] + carry.first
        second = rows.second[..., frame, :, :]
        first = _right_solve(first if following > 0 else torch.zeros_like(first), triangle)
        second = _right_solve(second if following > 1 else torch.zeros_like(second), triangle)
        rhs = rows.rhs[..., frame, :, None] + carry.rhs
        rhs = torch.linalg.solve_triangular(triangle, rhs, upper=False)
        factors.append(_Factor(triangle, first, second, rhs))
        carry = _Carry(
            carry.next_diagonal - first @ first.mT,
            -second @ first.mT,
            -second @ second.mT,
            carry.next_rhs - first @ rhs,
            -second @ rhs,
        )
    return factors, carry


def _right_solve(block: Tensor, triangle: Tensor) -> Tensor:
    """Return B L⁻ᵀ."""
    return torch.linalg.solve_triangular(triangle, block.mT, upper=False).mT


def _zero_carry(rows: Bands) -> _Carry:
    block = torch.zeros_like(rows.diagonal[..., 0, :, :])
    rhs = torch.zeros_like(rows.rhs[..., 0, :, None])
    return _Carry(block, block, block, rhs, rhs)
