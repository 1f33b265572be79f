"""Levenberg–Marquardt over the frames of a track, with a block-banded Hessian."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.linalg import solveh_banded
from torch import Tensor

from ..reduced_body import FitVariables


@dataclass(kw_only=True)
class NormalEquations:
    """Hessian and gradient of an energy by the step of every frame and by the betas.

    Frames that share a term in time are at most two apart, so the Hessian is banded; the betas
    touch every frame.
    """

    hessian: Float[Tensor, "frames unknowns unknowns"]
    gradient: Float[Tensor, "frames unknowns"]
    betas_hessian: Float[Tensor, "betas betas"]
    betas_gradient: Float[Tensor, " betas"]
    mixed_hessian: Float[Tensor, "frames unknowns betas"]
    off_diagonal: list[Float[Tensor, "_ unknowns unknowns"]]
    """Rows t + 1 and t + 2, columns t; empty where frames are independent."""

    @classmethod
    def zeros(cls, frames: int, unknowns: int, betas: int, like: Tensor) -> "NormalEquations":
        """Equations of an energy of zero."""
        return cls(
            hessian=like.new_zeros(frames, unknowns, unknowns),
            gradient=like.new_zeros(frames, unknowns),
            betas_hessian=like.new_zeros(betas, betas),
            betas_gradient=like.new_zeros(betas),
            mixed_hessian=like.new_zeros(frames, unknowns, betas),
            off_diagonal=[],
        )

    def couple(self) -> None:
        """Allocate the blocks of neighboring frames."""
        frames, unknowns = self.gradient.shape
        self.off_diagonal = [
            self.hessian.new_zeros(frames - lag, unknowns, unknowns) for lag in (1, 2)
        ]

    def hold_frames(self, first: int, last: int = 0) -> None:
        """Fix some of the first and of the last frames: their steps are zero."""
        for values in (self.hessian, self.gradient, self.mixed_hessian, *self.off_diagonal):
            values[:first] = 0
            values[len(values) - last :] = 0

    def hold_pose(self) -> None:
        """Fix the pose: only global orientation and translation have a step."""
        self.gradient[:, 3:-3] = 0
        for blocks in (self.hessian, *self.off_diagonal):
            blocks[:, 3:-3] = 0
            blocks[:, :, 3:-3] = 0
        self.mixed_hessian[:, 3:-3] = 0

    def add(
        self,
        residuals: Float[Tensor, "frames items components"],
        jacobian: Float[Tensor, "frames items components unknowns"],
        weights: Float[Tensor, "frames items"],
        betas_jacobian: Float[Tensor, "frames items components betas"] | None = None,
    ) -> None:
        """Add ½ Σ w ‖r‖² of residuals that depend on one frame each."""
        rows = weights.sqrt()[..., None]
        right = (rows * residuals).flatten(1)[..., None]
        rows = rows[..., None]
        jacobian = (rows * jacobian).flatten(1, 2)
        transposed = jacobian.transpose(-1, -2)
        self.hessian += transposed @ jacobian
        self.gradient += (transposed @ right)[..., 0]
        if betas_jacobian is not None:
            by_betas = (rows * betas_jacobian).flatten(1, 2)
            self.mixed_hessian += transposed @ by_betas
            self.betas_hessian += torch.einsum("frb,frc->bc", by_betas, by_betas)
            self.betas_gradient += torch.einsum("frb,fr->b", by_betas, right[..., 0])

    def add_to_joints(
        self,
        columns: list[int],
        hessian: Float[Tensor, "frames joints 3 3"],
        gradient: Float[Tensor, "frames joints 3"],
    ) -> None:
        """Add terms of single joints' rotations, given as blocks."""
        blocks = _joint_blocks(self.hessian)
        blocks[:, columns] += hessian
        self.gradient[:, :-3].unflatten(-1, (-1, 3))[:, columns] += gradient

    def add_in_time(
        self,
        residuals: Float[Tensor, "inner rows"],
        jacobians: list[Float[Tensor, "inner rows unknowns"]],
    ) -> None:
        """Add ½ ‖r‖² of residuals that span three frames, given the Jacobian by each frame."""
        inner = len(residuals)
        for offset, jacobian in enumerate(jacobians):
            transposed = jacobian.transpose(-1, -2)
            self.gradient[offset : offset + inner] += (transposed @ residuals[..., None])[..., 0]
            self.hessian[offset : offset + inner] += transposed @ jacobian
            for lag, other in enumerate(jacobians[:offset][::-1], start=1):
                start = offset - lag
                self.off_diagonal[lag - 1][start : start + inner] += transposed @ other

    def add_differences(
        self,
        residuals: Float[Tensor, "inner items components"],
        jacobian: Float[Tensor, "frames items components unknowns"],
        weights: Float[Tensor, "inner items"],
        stencil: tuple[float, ...],
    ) -> None:
        """Add ½ Σ w ‖r_t‖² of residuals whose derivative by frame t + i is the stencil's i-th J_{t+i}.

        The same sum as by `add_in_time`, in half of the products: weights of a pair of frames are
        added up first.
        """
        frames, inner = len(jacobian), len(residuals)
        rows = weights[..., None].expand_as(residuals).flatten(1)
        weighted = rows * residuals.flatten(1)
        right = weighted.new_zeros(frames, weighted.shape[1])
        for offset, factor in enumerate(stencil):
            right[offset : offset + inner] += factor * weighted
        jacobian = jacobian.flatten(1, 2)
        transposed = jacobian.mT
        self.gradient += (transposed @ right.to(jacobian)[..., None])[..., 0]
        for lag, blocks in enumerate((self.hessian, *self.off_diagonal)[: len(stencil)]):
            pairs = rows.new_zeros(frames - lag, rows.shape[1])
            for offset, factor in enumerate(stencil[: len(stencil) - lag]):
                pairs[offset : offset + inner] += factor * stencil[offset + lag] * rows
            blocks += transposed[lag:] @ (pairs.to(jacobian)[..., None] * jacobian[: frames - lag])

    def add_to_joints_in_time(
        self,
        residuals: Float[Tensor, "inner joints 3"],
        jacobians: list[Float[Tensor, "inner joints 3 3"]],
    ) -> None:
        """Add ½ ‖r‖² of residuals of single joints' rotations that span three frames."""
        inner = len(residuals)
        of_joints = self.gradient[:, :-3].unflatten(-1, (-1, 3))
        for offset, jacobian in enumerate(jacobians):
            transposed = jacobian.transpose(-1, -2)
            of_joints[offset : offset + inner] += (transposed @ residuals[..., None])[..., 0]
            _joint_blocks(self.hessian)[offset : offset + inner] += transposed @ jacobian
            for lag, other in enumerate(jacobians[:offset][::-1], start=1):
                start = offset - lag
                blocks = _joint_blocks(self.off_diagonal[lag - 1])
                blocks[start : start + inner] += transposed @ other


def _joint_blocks(
    matrices: Float[Tensor, "frames unknowns unknowns"],
) -> Float[Tensor, "frames joints 3 3"]:
    """A view of the blocks on the diagonal that belong to one joint each."""
    blocks = matrices[:, :-3, :-3].unflatten(1, (-1, 3)).unflatten(3, (-1, 3))
    return blocks.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """Damping and stopping of the iteration."""

    iterations: int = 30
    tolerance: float = 1e-4  # relative decrease of the energy at which a group has converged
    damping: float = 1e-2  # first factor on the Hessian's diagonal
    damping_down: float = 0.2  # factor after an accepted step
    damping_up: float = 6.0  # factor after a rejected step
    damping_range: tuple[float, float] = (1e-6, 1e6)
    floor: float = 1e-6  # added to the diagonal: unknowns without any term do not move


def solve_step(
    equations: NormalEquations,
    damping: Float[Tensor, " frames"],
    config: SolverConfig,
    *,
    with_betas: bool,
) -> tuple[Float[Tensor, "frames unknowns"], Float[Tensor, " betas"]]:
    """Step −(H + λ diag H)⁻¹ g of all frames and the betas.

    The betas are coupled with every frame, so they are eliminated last (Schur complement); they are
    solved for only where frames are otherwise independent.
    """
    diagonal = _stiffness(equations)
    hessian = equations.hessian + torch.diag_embed(damping[:, None] * diagonal + config.floor)
    right = equations.gradient[..., None]
    no_betas_step = torch.zeros_like(equations.betas_gradient)
    if equations.off_diagonal:
        return -_banded_solution(hessian, equations.off_diagonal, right)[..., 0], no_betas_step
    factor = torch.linalg.cholesky(hessian)
    if not with_betas:
        return -torch.cholesky_solve(right, factor)[..., 0], no_betas_step
    mixed = equations.mixed_hessian
    solution = torch.cholesky_solve(torch.cat((right, mixed), dim=-1), factor)
    schur = equations.betas_hessian - torch.einsum("fub,fuc->bc", mixed, solution[..., 1:])
    schur = schur + torch.diag(damping.max() * equations.betas_hessian.diagonal() + config.floor)
    gradient = equations.betas_gradient - torch.einsum("fub,fu->b", mixed, solution[..., 0])
    betas_step = -torch.linalg.solve(schur, gradient)
    return -solution[..., 0] - solution[..., 1:] @ betas_step, betas_step


def _stiffness(equations: NormalEquations) -> Float[Tensor, "frames unknowns"]:
    """Curvature of the energy along each unknown when all frames move alike.

    Terms in time hold frames to each other, the more the higher the frame rate. Damping by their
    diagonal would hold the whole motion to where it began.
    """
    stiffness = equations.hessian.diagonal(dim1=-2, dim2=-1).clone()
    frames = len(stiffness)
    for lag, blocks in enumerate(equations.off_diagonal, start=1):
        diagonal = blocks.diagonal(dim1=-2, dim2=-1)
        stiffness[lag:] += diagonal
        stiffness[: frames - lag] += diagonal
    return stiffness.clamp(min=0)


def _banded_solution(
    hessian: Float[Tensor, "frames unknowns unknowns"],
    off_diagonal: list[Float[Tensor, "_ unknowns unknowns"]],
    right: Float[Tensor, "frames unknowns columns"],
) -> Float[Tensor, "frames unknowns columns"]:
    """Solution of the block-banded symmetric system by LAPACK's band Cholesky."""
    frames, unknowns = hessian.shape[:2]
    length = frames * unknowns
    # LAPACK's lower form keeps A[i, j] at [i − j, j]. Seen through strides, the block in rows
    # t + k and columns t is a parallelogram there; `unknowns` rows above catch the upper triangle.
    padded = np.zeros((4 * unknowns, length))
    row, column = padded.strides
    for lag, blocks in enumerate([hessian, *off_diagonal]):
        window = np.lib.stride_tricks.as_strided(
            padded[(1 + lag) * unknowns :],
            shape=blocks.shape,
            strides=(unknowns * column, row, column - row),
        )
        window[...] = blocks.numpy(force=True)
    band = padded[unknowns:]
    columns = right.reshape(length, -1).numpy(force=True).astype(np.float64)
    solution = solveh_banded(band, columns, lower=True, overwrite_ab=True, check_finite=False)
    return torch.from_numpy(solution).to(right).reshape(right.shape)


@dataclass(kw_only=True)
class Minimum:
    """Result of a minimization."""

    variables: FitVariables
    energies: Float[Tensor, "frames terms"]
    converged: Bool[Tensor, " groups"]


def minimize(
    energies_of: Callable[[FitVariables], Float[Tensor, "frames terms"]],
    equations_of: Callable[[FitVariables], NormalEquations],
    variables: FitVariables,
    groups: Int[Tensor, " frames"],
    config: SolverConfig,
    report: Callable[[], None],
    *,
    with_betas: bool = False,
) -> Minimum:
    """Lower an energy by damped Gauss–Newton steps (Levenberg–Marquardt).

    Frames fall into groups that accept or refuse a step, and change their damping, together:
    each frame is a group where frames are independent, all frames are one otherwise.

    Args:
        energies_of: terms of each frame.
        equations_of: their derivatives.
        variables: initial ones.
        groups: group of each frame, from zero.
        config: steps and stopping.
        report: called once an iteration; may raise to cancel.
        with_betas: whether the betas move too, which needs a single group.
    """
    num_groups = int(groups.max()) + 1
    damping = torch.full((num_groups,), config.damping, dtype=variables.translation.dtype)
    energies = energies_of(variables)
    totals = _group_sums(energies, groups, num_groups)
    converged = torch.zeros(num_groups, dtype=torch.bool)
    equations = None
    for _ in range(config.iterations):
        report()
        if equations is None:
            equations = equations_of(variables)
        step, betas_step = solve_step(equations, damping[groups], config, with_betas=with_betas)
        candidate = variables.apply_step(step, betas_step)
        new_energies = energies_of(candidate)
        new_totals = _group_sums(new_energies, groups, num_groups)
        better = new_totals < totals
        damping = damping * torch.where(better, config.damping_down, config.damping_up)
        damping = damping.clamp(*config.damping_range)
        gain = (totals - new_totals) / totals.abs().clamp(min=1e-9)
        # A step rejected under heavy damping cannot improve either.
        converged |= (better & (gain < config.tolerance)) | (~better & (damping > 1e3))
        if better.any():
            variables = _select(better[groups], candidate, variables, with_betas=with_betas)
            energies = torch.where(better[groups, None], new_energies, energies)
            totals = torch.where(better, new_totals, totals)
            equations = None
        if converged.all():
            break
    return Minimum(variables=variables, energies=energies, converged=converged)


def _group_sums(
    energies: Float[Tensor, "frames terms"], groups: Int[Tensor, " frames"], num_groups: int
) -> Float[Tensor, " groups"]:
    return energies.new_zeros(num_groups).index_add(0, groups, energies.sum(-1))


def _select(
    chosen: Bool[Tensor, " frames"],
    candidate: FitVariables,
    variables: FitVariables,
    *,
    with_betas: bool,
) -> FitVariables:
    """The candidate in the chosen frames, the old variables elsewhere."""
    return FitVariables(
        torch.where(chosen[:, None, None, None], candidate.rotations, variables.rotations),
        torch.where(chosen[:, None], candidate.translation, variables.translation),
        candidate.betas if with_betas else variables.betas,
    )
