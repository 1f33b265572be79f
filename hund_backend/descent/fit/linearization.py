"""Linearization point: the variables, and what several terms need of the body and prior there."""

from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from ...prior.pose_prior import PosePrior
from ..reduced_body import FitVariables, PosedReducedBody, ReducedBody
from .jacobian_cache import JacobianCache


class EvaluationPoint:
    """Variables with the posed body and the prior's latent, each computed once when first read.

    The prior may be None where no term needs a latent.
    """

    def __init__(
        self, variables: FitVariables, reduced_body: ReducedBody, prior: PosePrior | None
    ) -> None:
        self.variables, self.reduced_body, self.prior = variables, reduced_body, prior

    @cached_property
    def posed(self) -> PosedReducedBody:
        """Joints and points."""
        return self.reduced_body.forward(self.variables)

    @cached_property
    def pose(self) -> Float[Tensor, "frames others 3 3"]:
        """Rotations of all non-root joints."""
        return self.reduced_body.full_pose(self.variables)

    @cached_property
    def latent(self) -> Float[Tensor, "frames latent"]:
        """Latent of the pose."""
        return self.prior.latent(self.pose)


class LinearizationPoint(EvaluationPoint):
    """Evaluation point with the derivatives by a step (`FitVariables.apply_step`) at zero.

    Terms of the latent add their gradients to `latent_gradient` and `log_det_gradient`; these are
    propagated through the prior once, for all terms together.
    """

    def __init__(
        self,
        variables: FitVariables,
        reduced_body: ReducedBody,
        prior: PosePrior | None,
        *,
        solves_betas: bool,
        cache: JacobianCache | None = None,
    ) -> None:
        super().__init__(variables, reduced_body, prior)
        self.solves_betas = solves_betas
        self._cache = cache or JacobianCache(prior)
        self.latent_gradient: Tensor | None = None
        self.log_det_gradient: Tensor | None = None

    @cached_property
    def point_jacobian(self) -> Float[Tensor, "frames points 3 unknowns"]:
        """Derivative of the points."""
        return self.reduced_body.jacobian(self.posed)

    @cached_property
    def point_betas_jacobian(self) -> Float[Tensor, "frames points 3 betas"] | None:
        """Derivative of the points by the betas; None where the betas are not solved for."""
        return self.reduced_body.betas_jacobian(self.posed) if self.solves_betas else None

    @cached_property
    def latent_jacobian(self) -> Float[Tensor, "frames latent unknowns"]:
        """Derivative of the latent; where the pose changed little, that of an earlier pose."""
        return self.scatter_joints(self._cache.latent_jacobian(self.pose))

    def add_latent_gradient(self, gradient: Float[Tensor, "frames latent"]) -> None:
        """Add a term's gradient by the latent."""
        before = self.latent_gradient
        self.latent_gradient = gradient if before is None else before + gradient

    def scatter_joints(
        self, derivatives: Float[Tensor, "*batch prior_joints 3"]
    ) -> Float[Tensor, "*batch unknowns"]:
        """Place derivatives by rotations of the prior's joints among those by all unknowns."""
        indices = self.reduced_body.joint_indices
        full = derivatives.new_zeros(*derivatives.shape[:-2], 3 * len(indices) + 3)
        columns = [indices.index(joint + 1) for joint in self.prior.joints]
        full[..., :-3].unflatten(-1, (-1, 3))[..., columns, :] = derivatives
        return full
