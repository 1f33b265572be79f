"""Levenberg–Marquardt over the frames of a track: blocks on the diagonal, neighbours beside them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.linalg import solveh_banded
from torch import Tensor

from hund_backend.descent.reduced_body import FitVariables


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
    neighbours: list[Float[Tensor, "_ unknowns unknowns"]]
    """Rows t + 1 and t + 2, columns t; empty where frames are independent."""

    @classmethod
    def zeros(cls, frames: int, unknowns: int, betas: int, like: Tensor) -> "NormalEquations":
        """Equations of no term at all."""
        return cls(
            hessian=like.new_zeros(frames, unknowns, unknowns),
            gradient=like.new_zeros(frames, unknowns),
            betas_hessian=like.new_zeros(betas, betas),
            betas_gradient=like.new_zeros(betas),
            mixed_hessian=like.new_zeros(frames, unknowns, betas),
            neighbours=[],
        )

    def couple(self) -> None:
        """Make room for terms in time."""
        frames, unknowns = self.gradient.shape
        self.neighbours = [
            self.hessian.new_zeros(frames - apart, unknowns, unknowns) for apart in (1, 2)
        ]

    def hold_frames(self, count: int) -> None:
        """Let the first frames have no step."""
        self.hessian[:count] = 0
        self.gradient[:count] = 0
        self.mixed_hessian[:count] = 0
        for blocks in self.neighbours:
            blocks[:count] = 0

    def hold_pose(self) -> None:
        """Let only the global orientation and the place have a step."""
        self.gradient[:, 3:-3] = 0
        for blocks in (self.hessian, *self.neighbours):
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
        """Add ½ Σ w ‖r‖² of residuals within frames."""
        rows = weights.sqrt()[..., None]
        right = (rows * residuals).flatten(1)[..., None]
        rows = rows[..., None]
        jacobian = (rows * jacobian).flatten(1, 2)
        transposed = jacobian.transpose(-1, -2)
        self.hessian += transposed @ jacobian
        self.gradient += (transposed @ right)[..., 0]
        if betas_jacobian is not None:
            builds = (rows * betas_jacobian).flatten(1, 2)
            self.mixed_hessian += transposed @ builds
            self.betas_hessian += torch.einsum("frb,frc->bc", builds, builds)
            self.betas_gradient += torch.einsum("frb,fr->b", builds, right[..., 0])

    def add_to_joints(
        self,
        columns: list[int],
        hessian: Float[Tensor, "frames joints 3 3"],
        gradient: Float[Tensor, "frames joints 3"],
    ) -> None:
        """Add terms of joints' own rotations, given as blocks."""
        blocks = _joint_blocks(self.hessian)
        blocks[:, columns] += hessian
        self.gradient[:, :-3].unflatten(-1, (-1, 3))[:, columns] += gradient

    def add_in_time(
        self,
        residuals: Float[Tensor, "inner rows"],
        jacobians: list[Float[Tensor, "inner rows unknowns"]],
    ) -> None:
        """Add ½ ‖r‖² of residuals over three frames, with the derivative by each of them."""
        inner = len(residuals)
        for place, jacobian in enumerate(jacobians):
            transposed = jacobian.transpose(-1, -2)
            self.gradient[place : place + inner] += (transposed @ residuals[..., None])[..., 0]
            self.hessian[place : place + inner] += transposed @ jacobian
            for apart, other in enumerate(jacobians[:place][::-1], start=1):
                start = place - apart
                self.neighbours[apart - 1][start : start + inner] += transposed @ other

    def add_to_joints_in_time(
        self,
        residuals: Float[Tensor, "inner joints 3"],
        jacobians: list[Float[Tensor, "inner joints 3 3"]],
    ) -> None:
        """Add ½ ‖r‖² of residuals of joints' own rotations over three frames."""
        inner = len(residuals)
        turning = self.gradient[:, :-3].unflatten(-1, (-1, 3))
        for place, jacobian in enumerate(jacobians):
            transposed = jacobian.transpose(-1, -2)
            turning[place : place + inner] += (transposed @ residuals[..., None])[..., 0]
            _joint_blocks(self.hessian)[place : place + inner] += transposed @ jacobian
            for apart, other in enumerate(jacobians[:place][::-1], start=1):
                start = place - apart
                blocks = _joint_blocks(self.neighbours[apart - 1])
                blocks[start : start + inner] += transposed @ other


def _joint_blocks(
    matrices: Float[Tensor, "frames unknowns unknowns"],
) -> Float[Tensor, "frames joints 3 3"]:
    """A view of the blocks on the diagonal that belong to one joint each."""
    blocks = matrices[:, :-3, :-3].unflatten(1, (-1, 3)).unflatten(3, (-1, 3))
    return blocks.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """How carefully to step and when to stop."""

    iterations: int = 30
    tolerance: float = 1e-4  # relative decrease of the energy at which a group has converged
    damping: float = 1e-2  # first factor on the Hessian's diagonal
    damping_down: float = 0.2  # factor after a step that helped
    damping_up: float = 6.0  # factor after a step that did not
    damping_range: tuple[float, float] = (1e-6, 1e6)
    floor: float = 1e-6  # added to the diagonal: what nothing touches stays where it is


def solved(
    equations: NormalEquations,
    damping: Float[Tensor, " frames"],
    config: SolverConfig,
    *,
    with_betas: bool,
) -> tuple[Float[Tensor, "frames unknowns"], Float[Tensor, " betas"]]:
    """The step −(H + λ diag H)⁻¹ g of all frames and the betas.

    The betas touch every frame, so they are eliminated last (Schur complement); they move only
    where frames are otherwise independent.
    """
    diagonal = equations.hessian.diagonal(dim1=-2, dim2=-1)
    hessian = equations.hessian + torch.diag_embed(damping[:, None] * diagonal + config.floor)
    right = equations.gradient[..., None]
    still = torch.zeros_like(equations.betas_gradient)
    if equations.neighbours:
        return -_banded_solution(hessian, equations.neighbours, right)[..., 0], still
    factor = torch.linalg.cholesky(hessian)
    if not with_betas:
        return -torch.cholesky_solve(right, factor)[..., 0], still
    mixed = equations.mixed_hessian
    answer = torch.cholesky_solve(torch.cat((right, mixed), dim=-1), factor)
    schur = equations.betas_hessian - torch.einsum("fub,fuc->bc", mixed, answer[..., 1:])
    schur = schur + torch.diag(damping.max() * equations.betas_hessian.diagonal() + config.floor)
    gradient = equations.betas_gradient - torch.einsum("fub,fu->b", mixed, answer[..., 0])
    betas_step = -torch.linalg.solve(schur, gradient)
    return -answer[..., 0] - answer[..., 1:] @ betas_step, betas_step


def _banded_solution(
    hessian: Float[Tensor, "frames unknowns unknowns"],
    neighbours: list[Float[Tensor, "_ unknowns unknowns"]],
    right: Float[Tensor, "frames unknowns columns"],
) -> Float[Tensor, "frames unknowns columns"]:
    """Solution of the block-banded symmetric system by LAPACK's band Cholesky."""
    frames, unknowns = hessian.shape[:2]
    length = frames * unknowns
    # LAPACK's lower form keeps A[i, j] at [i − j, j]. Seen through strides, the block in rows
    # t + k and columns t is a parallelogram there; `unknowns` rows above catch the upper triangle.
    padded = np.zeros((4 * unknowns, length))
    row, column = padded.strides
    for apart, blocks in enumerate([hessian, *neighbours]):
        window = np.lib.stride_tricks.as_strided(
            padded[(1 + apart) * unknowns :],
            shape=blocks.shape,
            strides=(unknowns * column, row, column - row),
        )
        window[...] = blocks.numpy(force=True)
    band = padded[unknowns:]
    columns = right.reshape(length, -1).numpy(force=True).astype(np.float64)
    answer = solveh_banded(band, columns, lower=True, overwrite_ab=True, check_finite=False)
    return torch.from_numpy(answer).to(right).reshape(right.shape)


@dataclass(kw_only=True)
class Descent:
    """The outcome of a minimisation."""

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
) -> Descent:
    """Lower an energy by damped Gauss–Newton steps (Levenberg–Marquardt).

    Frames fall into groups that accept or refuse a step, and change their damping, together:
    every frame its own group where nothing couples them, one group otherwise.

    Args:
        energies_of: terms of each frame.
        equations_of: their derivatives.
        posture: where to start.
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
        step, betas_step = solved(equations, damping[groups], config, with_betas=with_betas)
        candidate = variables.moved(step, betas_step)
        new_energies = energies_of(candidate)
        new_totals = _group_sums(new_energies, groups, num_groups)
        better = new_totals < totals
        damping = damping * torch.where(better, config.damping_down, config.damping_up)
        damping = damping.clamp(*config.damping_range)
        gain = (totals - new_totals) / totals.abs().clamp(min=1e-9)
        # A refused step with heavy damping has nowhere to go either.
        converged |= (better & (gain < config.tolerance)) | (~better & (damping > 1e3))
        if better.any():
            variables = _chosen(better[groups], candidate, variables, with_betas=with_betas)
            energies = torch.where(better[groups, None], new_energies, energies)
            totals = torch.where(better, new_totals, totals)
            equations = None
        if converged.all():
            break
    return Descent(variables=variables, energies=energies, converged=converged)


def _group_sums(
    energies: Float[Tensor, "frames terms"], groups: Int[Tensor, " frames"], num_groups: int
) -> Float[Tensor, " groups"]:
    return energies.new_zeros(num_groups).index_add(0, groups, energies.sum(-1))


def _chosen(
    chosen: Bool[Tensor, " frames"],
    candidate: FitVariables,
    variables: FitVariables,
    *,
    with_betas: bool,
) -> FitVariables:
    """The candidate in the chosen frames, the posture elsewhere."""
    return FitVariables(
        torch.where(chosen[:, None, None, None], candidate.rotations, variables.rotations),
        torch.where(chosen[:, None], candidate.translation, variables.translation),
        candidate.betas if with_betas else variables.betas,
    )
