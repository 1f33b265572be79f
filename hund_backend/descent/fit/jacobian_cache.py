"""Derivatives of a pose prior's latent, remembered while a pose stays where it is."""

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.prior.coordinates import cross_matrix
from hund_backend.prior.pose_prior import PosePrior

FAR = 0.1  # radians that a joint may turn before the derivatives are computed anew


class JacobianCache:
    """The latent's derivatives at poses of a descent, which mostly moves little.

    They make up a Gauss-Newton Hessian, which may be a little old; a gradient may not: `pulled_back` has
    it exactly, and cheaply.
    """

    def __init__(self, prior: PosePrior) -> None:
        self._prior = prior
        self._rotations: Tensor | None = None
        self._slopes: Tensor | None = None

    def at(
        self, pose: Float[Tensor, "frames joints 3 3"]
    ) -> Float[Tensor, "frames latent moved 3"]:
        """Derivatives by steps δ of the prior's joints, at this pose or at one near it."""
        rotations = pose[:, self._prior.joints]
        if self._rotations is None:
            self._rotations, self._slopes = rotations.clone(), self._prior.jacobian(pose).latent
            return self._slopes
        # ‖A − B‖_F = 2√2 sin(θ/2), close to √2 θ.
        turned = (rotations - self._rotations).square().sum((-2, -1)).amax(-1) > 2 * FAR**2
        if turned.any():
            self._rotations[turned] = rotations[turned]
            self._slopes[turned] = self._prior.jacobian(pose[turned]).latent
        return self._slopes


def pulled_back(
    prior: PosePrior,
    pose: Float[Tensor, "frames joints 3 3"],
    by_latent: Float[Tensor, "frames latent"],
    by_log_det: Float[Tensor, " frames"],
) -> Float[Tensor, "frames moved 3"]:
    """Gradient by steps δ of the prior's joints of something that depends on latent and stretch.

    Args:
        prior: whose latent.
        pose: where.
        by_latent: the gradient by the latent.
        by_stretch: the gradient by the stretch.
    """
    with torch.enable_grad():
        steps = pose.new_zeros(len(pose), len(prior.joints), 3).requires_grad_()
        first_order = torch.eye(3).to(pose) + cross_matrix(steps)
        turned = pose.clone()
        turned[:, prior.joints] = pose[:, prior.joints] @ first_order
        value = (by_latent * prior.latent(turned)).sum()
        if by_log_det.any():
            value = value + (by_log_det * prior.log_det(turned)).sum()
        return torch.autograd.grad(value, steps)[0]
