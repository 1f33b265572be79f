"""Gaussian prior over body poses, the baseline of the pose flow."""

import json
import math
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from ..body.rotations import rotvec_to_matrix
from ..body.skeleton import JOINT_NAMES
from ..weights_file import WEIGHTS, load_weights
from .coordinates import inverse_right_jacobian, log_map
from .pose_prior import PriorJacobian

WEIGHTS_FILE = WEIGHTS / "pose_gaussian.safetensors"


class GaussianPrior(nn.Module):
    """Normal distribution of the body joints' rotation vectors about their mean rotations.

    The latent is z = W log(C_jᵀ R_j) over the joints j, with the mean rotations C_j and W the
    inverse of the Cholesky factor of the covariance: ‖z‖ is the Mahalanobis distance.
    """

    def __init__(
        self,
        joints: tuple[int, ...],
        centers: Float[Tensor, "modeled 3 3"],
        whitening: Float[Tensor, "latent coordinates"],
    ) -> None:
        super().__init__()
        self.joints = joints
        self.register_buffer("centers", centers)
        self.register_buffer("whitening", whitening)

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "GaussianPrior":
        """Load a prior that `training/priors/fit_gaussian.py` has written.

        Raises:
            BadInputError: the file is missing or damaged, or belongs to another skeleton.
        """
        with load_weights("The Gaussian pose prior", path):
            tensors = load_file(path)
            config = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            joints = tuple(JOINT_NAMES.index(name) - 1 for name in config["joints"])
            return cls(joints, tensors["centers"], tensors["whitening"])

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the modeled joints."""
        return tuple(JOINT_NAMES[joint + 1] for joint in self.joints)

    def typical_pose(self) -> Float[Tensor, "joints 3 3"]:
        """Return the mean pose; joints outside the prior are at rest."""
        pose = torch.eye(3).to(self.centers).repeat(len(JOINT_NAMES) - 1, 1, 1)
        pose[list(self.joints)] = self.centers
        return pose

    def latent(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch latent"]:
        """Return the latent of a pose, standard normal over real poses."""
        return self._rotvecs(pose).flatten(-2) @ self.whitening.T

    def pose(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch joints 3 3"]:
        """Return the pose of a latent; joints outside the prior are at rest."""
        rotvecs = torch.linalg.solve_triangular(self.whitening, latent[..., None], upper=False)
        rotations = self.centers @ rotvec_to_matrix(rotvecs[..., 0].unflatten(-1, (-1, 3)))
        rest = torch.eye(3, dtype=latent.dtype, device=latent.device)
        pose = rest.expand(*latent.shape[:-1], len(JOINT_NAMES) - 1, 3, 3).clone()
        pose[..., self.joints, :, :] = rotations
        return pose

    def log_det(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return the log-volume of rotation vectors over that of rotations, −Σ_j log v(θ_j).

        The volume of SO(3) shrinks with the angle θ from the center by v(θ) = 2 (1 − cos θ) / θ².
        """
        half = (self._rotvecs(pose).norm(dim=-1) / 2).clamp(min=1e-6)
        return -2 * (half.sin() / half).log().sum(-1)

    def jacobian(self, pose: Float[Tensor, "*batch joints 3 3"]) -> PriorJacobian:
        """Return the derivatives of latent and log-determinant by steps δ in R exp(δ)."""
        rotvecs = self._rotvecs(pose)
        by_step = inverse_right_jacobian(rotvecs)
        whitening = self.whitening.unflatten(-1, (-1, 3))
        half = (rotvecs.norm(dim=-1, keepdim=True) / 2).clamp(min=1e-6)
        by_rotvec = (1 / half - 1 / half.tan()) * rotvecs / (2 * half)
        return PriorJacobian(
            latent=torch.einsum("lja,...jab->...ljb", whitening, by_step),
            log_det=(by_rotvec[..., None, :] @ by_step)[..., 0, :],
        )

    def energy(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return ½ ‖z‖², zero at the mean pose."""
        return 0.5 * self.latent(pose).square().sum(-1)

    def log_prob(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Return the log-density over the modeled joints' rotations, nats; volume in radians."""
        latent = self.latent(pose)
        normal = -0.5 * latent.square().sum(-1) - 0.5 * latent.shape[-1] * math.log(2 * math.pi)
        return normal + self.whitening.diagonal().log().sum() + self.log_det(pose)

    def _rotvecs(
        self, pose: Float[Tensor, "*batch joints 3 3"]
    ) -> Float[Tensor, "*batch modeled 3"]:
        return log_map(pose[..., self.joints, :, :], self.centers)
