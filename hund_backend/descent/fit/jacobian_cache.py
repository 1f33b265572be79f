"""Cache of the prior's latent Jacobian, and gradients through the prior."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...prior.coordinates import cross_matrix
from ...prior.pose_prior import PosePrior

_MAX_ROTATION = 0.1  # radians that a joint may turn before its frame's Jacobian is recomputed


class JacobianCache:
    """Latent Jacobians at the poses of a descent, reused while a pose changes little.

    They make up a Gauss–Newton Hessian, which may be slightly outdated. Gradients may not:
    `prior_gradient` computes them exactly, and cheaply.
    """

    def __init__(self, prior: PosePrior | None) -> None:
        self._prior = prior
        self._rotations: Tensor | None = None
        self._jacobian: Tensor | None = None

    def latent_jacobian(
        self, pose: Float[Tensor, "frames joints 3 3"]
    ) -> Float[Tensor, "frames latent prior_joints 3"]:
        """Derivative by rotation steps δ of the prior's joints, at this pose or at one near it."""
        rotations = pose[:, self._prior.joints]
        if self._rotations is None:
            self._rotations, self._jacobian = rotations.clone(), self._prior.jacobian(pose).latent
            return self._jacobian
        # ‖A − B‖_F = 2√2 sin(θ/2), close to √2 θ.
        squares = (rotations - self._rotations).square().sum((-2, -1)).amax(-1)
        outdated = squares > 2 * _MAX_ROTATION**2
        if outdated.any():
            self._rotations[outdated] = rotations[outdated]
            self._jacobian[outdated] = self._prior.jacobian(pose[outdated]).latent
        return self._jacobian


def prior_gradient(
    prior: PosePrior,
    pose: Float[Tensor, "frames joints 3 3"],
    latent_gradient: Float[Tensor, "frames latent"],
    log_det_gradient: Float[Tensor, " frames"],
) -> Float[Tensor, "frames prior_joints 3"]:
    """Gradient by rotation steps δ of the prior's joints of a function of latent and log-determinant.

    Args:
        prior: the pose prior.
        pose: where the gradient is taken.
        latent_gradient: gradient by the latent.
        log_det_gradient: gradient by log |dz/dR|.
    """
    with torch.enable_grad():
        steps = pose.new_zeros(len(pose), len(prior.joints), 3).requires_grad_()
        first_order = torch.eye(3).to(pose) + cross_matrix(steps)
        rotated = pose.clone()
        rotated[:, prior.joints] = pose[:, prior.joints] @ first_order
        value = (latent_gradient * prior.latent(rotated)).sum()
        if log_det_gradient.any():
            value = value + (log_det_gradient * prior.log_det(rotated)).sum()
        return torch.autograd.grad(value, steps)[0]
