"""A Gaussian over body poses: the simplest pose prior."""

import json
import math
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_NAMES
from hund_backend.weights_file import being_read

from .coordinates import log_jacobian, log_round
from .pose_prior import Slopes

WEIGHTS_FILE = Path(__file__).parents[1] / "weights" / "pose_gaussian.safetensors"


class GaussianPrior(nn.Module):
    """Normal distribution of the rotation vectors of all body joints round their mean rotations.

    The latent is W log(C_jᵀ R_j) over the joints j, with W the inverse of the Cholesky factor of
    the covariance, so that ½ ‖latent‖² is half the squared Mahalanobis distance.
    """

    def __init__(
        self,
        joints: tuple[int, ...],
        centers: Float[Tensor, "moved 3 3"],
        whitening: Float[Tensor, "latent coordinates"],
    ) -> None:
        super().__init__()
        self.joints = joints
        self.register_buffer("centers", centers)
        self.register_buffer("whitening", whitening)

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "GaussianPrior":
        """Read a prior that `training/fit_gaussian.py` has written.

        Raises:
            BadInputError: the file is missing or damaged, or belongs to another skeleton.
        """
        with being_read("The Gaussian pose prior", path):
            tensors = load_file(path)
            config = json.loads(path.with_suffix(".json").read_text())
            joints = tuple(JOINT_NAMES.index(name) - 1 for name in config["joints"])
            return cls(joints, tensors["centers"], tensors["whitening"])

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints it looks at."""
        return tuple(JOINT_NAMES[joint + 1] for joint in self.joints)

    def typical_pose(self) -> Float[Tensor, "joints 3 3"]:
        """The mean pose; joints that the prior does not look at are at rest."""
        pose = torch.eye(3).to(self.centers).repeat(len(JOINT_NAMES) - 1, 1, 1)
        pose[list(self.joints)] = self.centers
        return pose

    def latent(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch latent"]:
        """The prior's coordinates of a pose, standard normal over real poses."""
        return self._turns(pose).flatten(-2) @ self.whitening.T

    def pose(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch joints 3 3"]:
        """The pose of any coordinates; joints that the prior does not look at are at rest."""
        turns = torch.linalg.solve_triangular(self.whitening, latent[..., None], upper=False)
        rotations = self.centers @ rotvec_to_matrix(turns[..., 0].unflatten(-1, (-1, 3)))
        rest = torch.eye(3, dtype=latent.dtype, device=latent.device)
        pose = rest.expand(*latent.shape[:-1], len(JOINT_NAMES) - 1, 3, 3).clone()
        pose[..., self.joints, :, :] = rotations
        return pose

    def stretch(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """How much longer rotation vectors are than the rotations' own steps.

        The volume of rotations shrinks with the angle θ from the centre by 2 (1 − cos θ) / θ².
        """
        half = (self._turns(pose).norm(dim=-1) / 2).clamp(min=1e-6)
        return -2 * (half.sin() / half).log().sum(-1)

    def slopes(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Slopes:
        """Derivatives of the latent and of the stretch by steps δ of its joints, in R exp(δ)."""
        turns = self._turns(pose)
        steps = log_jacobian(turns)
        whitening = self.whitening.unflatten(-1, (-1, 3))
        half = (turns.norm(dim=-1, keepdim=True) / 2).clamp(min=1e-6)
        by_turns = (1 / half - 1 / half.tan()) * turns / (2 * half)
        return Slopes(
            latent=torch.einsum("lja,...jab->...ljb", whitening, steps),
            stretch=(by_turns[..., None, :] @ steps)[..., 0, :],
        )

    def energy(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """½ ‖latent‖²: zero at the mean pose."""
        return 0.5 * self.latent(pose).square().sum(-1)

    def log_prob(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch"]:
        """Logarithm of the density over the rotations of its joints, nats; volume in radians."""
        latent = self.latent(pose)
        normal = -0.5 * latent.square().sum(-1) - 0.5 * latent.shape[-1] * math.log(2 * math.pi)
        return normal + self.whitening.diagonal().log().sum() + self.stretch(pose)

    def _turns(self, pose: Float[Tensor, "*batch joints 3 3"]) -> Float[Tensor, "*batch moved 3"]:
        return log_round(pose[..., self.joints, :, :], self.centers)
