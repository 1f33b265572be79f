"""Inverse kinematics: poses of our body whose joints are where other joints were seen."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import PARENTS
from hund_backend.prior.coordinates import cross_matrix, inverse_right_jacobian, log_map
from hund_backend.prior.limits import JointLimits


@dataclass(frozen=True, kw_only=True)
class Pulls:
    """What residuals weigh: each is divided by its scale and squared."""

    place: float = 0.01  # metres from a target
    limit: float = 0.1  # radians beyond a joint limit
    start: float = 1.0  # radians from the start
    steps: int = 12
    longest_step: float = 0.5  # radians that a joint turns in one step


class InverseKinematics:
    """Damped Gauss-Newton over the rotations of some joints, many frames at once.

    Minimizes, for each frame for itself, Σ w_j ‖p_j − target_j‖² with soft joint limits and a weak
    pull to the start, which decides what the targets leave open. The pelvis stays in its place.
    """

    def __init__(
        self,
        rest_joints: Float[Tensor, "63 3"],
        moved: tuple[int, ...],
        pulls: Pulls | None = None,
    ) -> None:
        """Prepare.

        Args:
            rest_joints: our joints at rest, body frame, metres.
            moved: joints that turn, in our order; all others keep their rotations.
            pulls: scales of the residuals.
        """
        self.rest, self.moved, self.pulls = rest_joints.double(), moved, pulls or Pulls()
        self._limits = JointLimits(torch.float64)
        self._limited = [
            (place, moved.index(joint + 1))
            for place, joint in enumerate(self._limits.joints)
            if joint + 1 in moved
        ]
        self._carries = _carried(moved)

    def solve(
        self,
        start: Float[Tensor, "frames 63 3 3"],
        targets: Float[Tensor, "frames 63 3"],
        weights: Float[Tensor, "frames 63"],
    ) -> Float[Tensor, "frames 63 3 3"]:
        """Turn the joints towards their targets.

        Args:
            start: parent-relative rotations; the pelvis in the targets' frame.
            targets: places of joints against the pelvis, metres.
            weights: of the targets; 0 where there is none.
        """
        start = start.double()
        rotations, damping = start, start.new_full((len(start),), 1e-3)
        cost, hessian, gradient = self._normal_equations(rotations, start, targets, weights)
        for _ in range(self.pulls.steps):
            eye = torch.eye(hessian.shape[-1], dtype=torch.float64)
            damped = hessian + damping[:, None, None] * (eye + hessian * eye)
            step = -torch.linalg.solve(damped, gradient).unflatten(-1, (-1, 3))
            longest = step.norm(dim=-1).amax(-1).clamp(min=1e-12)
            step = step * (self.pulls.longest_step / longest).clamp(max=1)[:, None, None]
            tried = rotations.clone()
            tried[:, self.moved] = rotations[:, self.moved] @ rotvec_to_matrix(step)
            new = self._normal_equations(tried, start, targets, weights)
            better = new[0] < cost
            damping = torch.where(better, damping / 5, damping * 10).clamp(1e-9, 1e6)
            rotations, cost, hessian, gradient = (
                torch.where(better.view(-1, *[1] * (old.dim() - 1)), fresh, old)
                for fresh, old in zip(
                    (tried, *new), (rotations, cost, hessian, gradient), strict=True
                )
            )
        return rotations

    def places(self, rotations: Float[Tensor, "frames 63 3 3"]) -> Float[Tensor, "frames 63 3"]:
        """Joints against the pelvis, metres."""
        rest = self.rest.expand(len(rotations), -1, -1)
        return forward_kinematics(rotations.double(), rest, PARENTS)[1] - rest[:, :1]

    def _normal_equations(
        self, rotations: Tensor, start: Tensor, targets: Tensor, weights: Tensor
    ) -> tuple[
        Float[Tensor, " frames"],
        Float[Tensor, "frames unknowns unknowns"],
        Float[Tensor, "frames unknowns"],
    ]:
        """Cost, Gauss-Newton matrix and gradient by steps δ of the joints, each in R exp(δ)."""
        seen = weights.amax(0).nonzero()[:, 0].tolist()
        rest = self.rest.expand(len(rotations), -1, -1)
        turned, joints = forward_kinematics(rotations, rest, PARENTS)
        off = joints - rest[:, :1] - targets
        scale = weights[:, seen].sqrt() / self.pulls.place
        # A turn ω of a joint moves what it carries by ω × arm: −[arm]× on a turn in the world.
        arms = joints[:, seen, None] - joints[:, None, self.moved]
        arms = arms * self._carries[seen][..., None]
        moves = -cross_matrix(arms) @ turned[:, None, self.moved]
        jacobian = (scale[..., None, None, None] * moves).transpose(-3, -2).flatten(-2)
        residuals = [(scale[..., None] * off[:, seen]).flatten(1)]
        jacobians = [jacobian.flatten(1, 2)]
        now, was = rotations[:, self.moved], start[:, self.moved]
        away = log_map(now, was)
        residuals.append((away / self.pulls.start).flatten(1))
        jacobians.append(self._blocks(inverse_right_jacobian(away) / self.pulls.start))
        if self._limited:
            limited, moved = (list(places) for places in zip(*self._limited, strict=True))
            excess = self._limits.excess(rotations[:, 1:])[:, limited]
            slope = self._limits.excess_jacobian(rotations[:, 1:])[:, limited]
            residuals.append((excess / self.pulls.limit).flatten(1))
            blocks = slope.new_zeros(len(slope), len(self.moved), 3, 3)
            blocks[:, moved] = slope / self.pulls.limit
            rows = torch.tensor(moved)[:, None] * 3 + torch.arange(3)
            jacobians.append(self._blocks(blocks)[:, rows.flatten()])
        residual, jacobian = torch.cat(residuals, 1), torch.cat(jacobians, 1)
        return (
            residual.square().sum(-1),
            jacobian.mT @ jacobian,
            (jacobian.mT @ residual[..., None])[..., 0],
        )

    def _blocks(
        self, blocks: Float[Tensor, "frames moved 3 3"]
    ) -> Float[Tensor, "frames unknowns unknowns"]:
        """Blocks on the diagonal of a matrix of all unknowns."""
        count = len(self.moved)
        matrix = blocks.new_zeros(len(blocks), count, 3, count, 3)
        places = torch.arange(count)
        matrix[:, places, :, places] = blocks.transpose(0, 1)
        return matrix.flatten(3, 4).flatten(1, 2)


def _carried(moved: tuple[int, ...]) -> Bool[Tensor, "63 moved"]:
    """Which joints each moved joint carries with it."""
    carries = torch.zeros(len(PARENTS), len(moved), dtype=torch.bool)
    for joint in range(len(PARENTS)):
        above = PARENTS[joint]
        while above >= 0:
            if above in moved:
                carries[joint, moved.index(above)] = True
            above = PARENTS[above]
    return carries
