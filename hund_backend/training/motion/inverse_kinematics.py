"""Inverse kinematics: poses of our body whose joints are at target positions."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.kinematics import forward_kinematics
from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import PARENTS
from ...prior.coordinates import cross_matrix, inverse_right_jacobian, log_map
from ...prior.limits import JointLimits


@dataclass(frozen=True, kw_only=True)
class IKConfig:
    """Scales of the residuals: each residual is divided by its scale and squared."""

    position: float = 0.01  # metres from a target
    limit: float = 0.1  # radians beyond a joint limit
    start: float = 1.0  # radians from the initial pose
    steps: int = 12
    longest_step: float = 0.5  # radians of a joint in one step


class InverseKinematics:
    """Damped Gauss-Newton over the rotations of some joints, many frames at once.

    Minimizes Σ w_j ‖p_j − target_j‖² for each frame on its own, with soft joint limits and a weak
    pull to the initial pose, which decides what the targets leave open. The pelvis stays where it
    is.
    """

    def __init__(
        self,
        rest_joints: Float[Tensor, "63 3"],
        free_joints: tuple[int, ...],
        config: IKConfig | None = None,
    ) -> None:
        """Store the skeleton and the free joints.

        Args:
            rest_joints: our joints at rest, body frame, metres.
            free_joints: joints that turn, in our order; all others keep their rotations.
            config: scales of the residuals.
        """
        self.rest, self.free_joints = rest_joints.double(), free_joints
        self.config = config or IKConfig()
        self._limits = JointLimits(torch.float64)
        self._limited = [
            (limit_index, free_joints.index(joint + 1))
            for limit_index, joint in enumerate(self._limits.joints)
            if joint + 1 in free_joints
        ]
        self._descendants = _descendant_mask(free_joints)

    def solve(
        self,
        start: Float[Tensor, "frames 63 3 3"],
        targets: Float[Tensor, "frames 63 3"],
        weights: Float[Tensor, "frames 63"],
    ) -> Float[Tensor, "frames 63 3 3"]:
        """Turn the free joints towards their targets.

        Args:
            start: initial parent-relative rotations; the pelvis in the targets' frame.
            targets: positions of joints relative to the pelvis, metres.
            weights: of the targets; 0 where there is none.
        """
        start = start.double()
        rotations, damping = start, start.new_full((len(start),), 1e-3)
        cost, hessian, gradient = self._normal_equations(rotations, start, targets, weights)
        for _ in range(self.config.steps):
            eye = torch.eye(hessian.shape[-1], dtype=torch.float64)
            damped = hessian + damping[:, None, None] * (eye + hessian * eye)
            step = -torch.linalg.solve(damped, gradient).unflatten(-1, (-1, 3))
            longest = step.norm(dim=-1).amax(-1).clamp(min=1e-12)
            step = step * (self.config.longest_step / longest).clamp(max=1)[:, None, None]
            candidate = rotations.clone()
            turned = rotations[:, self.free_joints] @ rotvec_to_matrix(step)
            candidate[:, self.free_joints] = turned
            new = self._normal_equations(candidate, start, targets, weights)
            is_better = new[0] < cost
            damping = torch.where(is_better, damping / 5, damping * 10).clamp(1e-9, 1e6)
            rotations, cost, hessian, gradient = (
                torch.where(is_better.view(-1, *[1] * (old.dim() - 1)), updated, old)
                for updated, old in zip(
                    (candidate, *new), (rotations, cost, hessian, gradient), strict=True
                )
            )
        return rotations

    def positions(self, rotations: Float[Tensor, "frames 63 3 3"]) -> Float[Tensor, "frames 63 3"]:
        """Joints relative to the pelvis, metres."""
        rest = self.rest.expand(len(rotations), -1, -1)
        return forward_kinematics(rotations.double(), rest, PARENTS)[1] - rest[:, :1]

    def _normal_equations(
        self, rotations: Tensor, start: Tensor, targets: Tensor, weights: Tensor
    ) -> tuple[
        Float[Tensor, " frames"],
        Float[Tensor, "frames unknowns unknowns"],
        Float[Tensor, "frames unknowns"],
    ]:
        """Cost, Gauss-Newton matrix and gradient for steps δ of the joints, each in R exp(δ)."""
        targeted = weights.amax(0).nonzero()[:, 0].tolist()
        rest = self.rest.expand(len(rotations), -1, -1)
        orientations, joints = forward_kinematics(rotations, rest, PARENTS)
        error = joints - rest[:, :1] - targets
        scale = weights[:, targeted].sqrt() / self.config.position
        # A rotation ω of a joint moves its descendants by ω × arm: −[arm]× ω, in the world.
        arms = joints[:, targeted, None] - joints[:, None, self.free_joints]
        arms = arms * self._descendants[targeted][..., None]
        moves = -cross_matrix(arms) @ orientations[:, None, self.free_joints]
        jacobian = (scale[..., None, None, None] * moves).transpose(-3, -2).flatten(-2)
        residuals = [(scale[..., None] * error[:, targeted]).flatten(1)]
        jacobians = [jacobian.flatten(1, 2)]
        current, initial = rotations[:, self.free_joints], start[:, self.free_joints]
        deviation = log_map(current, initial)
        residuals.append((deviation / self.config.start).flatten(1))
        jacobians.append(self._blocks(inverse_right_jacobian(deviation) / self.config.start))
        if self._limited:
            rows, limited = (list(indices) for indices in zip(*self._limited, strict=True))
            excess = self._limits.excess(rotations[:, 1:])[:, rows]
            jacobian_of_excess = self._limits.excess_jacobian(rotations[:, 1:])[:, rows]
            residuals.append((excess / self.config.limit).flatten(1))
            blocks = jacobian_of_excess.new_zeros(
                len(jacobian_of_excess), len(self.free_joints), 3, 3
            )
            blocks[:, limited] = jacobian_of_excess / self.config.limit
            unknowns = torch.tensor(limited)[:, None] * 3 + torch.arange(3)
            jacobians.append(self._blocks(blocks)[:, unknowns.flatten()])
        residual, jacobian = torch.cat(residuals, 1), torch.cat(jacobians, 1)
        return (
            residual.square().sum(-1),
            jacobian.mT @ jacobian,
            (jacobian.mT @ residual[..., None])[..., 0],
        )

    def _blocks(
        self, blocks: Float[Tensor, "frames free_joints 3 3"]
    ) -> Float[Tensor, "frames unknowns unknowns"]:
        """Block-diagonal matrix over all unknowns."""
        count = len(self.free_joints)
        matrix = blocks.new_zeros(len(blocks), count, 3, count, 3)
        diagonal = torch.arange(count)
        matrix[:, diagonal, :, diagonal] = blocks.transpose(0, 1)
        return matrix.flatten(3, 4).flatten(1, 2)


def _descendant_mask(free_joints: tuple[int, ...]) -> Bool[Tensor, "63 free_joints"]:
    """Mask of the joints below each free joint."""
    mask = torch.zeros(len(PARENTS), len(free_joints), dtype=torch.bool)
    for joint in range(len(PARENTS)):
        ancestor = PARENTS[joint]
        while ancestor >= 0:
            if ancestor in free_joints:
                mask[joint, free_joints.index(ancestor)] = True
            ancestor = PARENTS[ancestor]
    return mask
