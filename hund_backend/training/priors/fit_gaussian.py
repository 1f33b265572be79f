"""Recipe of the Gaussian prior: `python -m hund_backend.training.priors.fit_gaussian MOCAP`."""

import argparse
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.rotations import matrix_to_rotvec, rotvec_to_matrix
from ...body.skeleton import JOINT_INDEX, JOINT_NAMES
from ...prior.coordinates import log_map
from ...prior.gaussian import WEIGHTS_FILE, GaussianPrior
from ...prior.limits import LIMITS
from ..motion.motion_set import MotionSet, Split, motion_set
from ..motion.retargeting import mirror_rotations
from ..weights import write_weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GaussianRecipe:
    """Noise that is added to the covariance."""

    noise: float = 0.07  # radians on every axis: variation that captured skeletons lack
    hand_noise: float = 0.2  # radians: wrists hardly move in the packs


def fit_gaussian(recipe: GaussianRecipe, motions: MotionSet) -> GaussianPrior:
    """Fit the Gaussian to the training poses and their mirror images."""
    used = motions.frames_of("train")
    joints = tuple(
        JOINT_INDEX[name] - 1
        for name in JOINT_NAMES
        if name in {f"{limit.joint[:-1]}{side}" for limit in LIMITS for side in "LR"}
        or name in {limit.joint for limit in LIMITS}
    )
    rotations = motions.rotations[used].double()
    poses = torch.cat((rotations, mirror_rotations(rotations)))[:, 1:][:, joints]
    weights = motions.weights()[used].double().repeat(2)
    weights = weights / weights.sum()
    centers = _mean_rotations(poses, weights)
    rotvecs = log_map(poses, centers).flatten(1)
    noise = torch.full((len(joints), 3), recipe.noise, dtype=torch.float64)
    hands = [
        index for index, joint in enumerate(joints) if JOINT_NAMES[joint + 1] in ("HandL", "HandR")
    ]
    noise[hands] = recipe.hand_noise
    covariance = torch.einsum("f,fa,fb->ab", weights, rotvecs, rotvecs)
    covariance += torch.diag(noise.flatten().square())
    whitening = torch.linalg.inv(torch.linalg.cholesky(covariance))
    return GaussianPrior(joints, centers, whitening)


def report(prior: GaussianPrior, motions: MotionSet) -> dict[str, float]:
    """Metrics of the model card: Mahalanobis distances, likelihoods and frames of each split."""
    figures = {}
    prior = prior.double()
    log_det = prior.whitening.diagonal().log().sum()
    for split in get_args(Split):
        pose = motions.rotations[motions.frames_of(split), 1:].double()
        squares = prior.latent(pose).square()
        dimensions = squares.shape[-1]
        likelihood = log_det - 0.5 * squares.sum(-1) - 0.5 * dimensions * math.log(2 * math.pi)
        figures[f"{split}_frames"] = len(pose)
        figures[f"{split}_mean_square_latent"] = float(squares.mean())
        figures[f"{split}_nats_per_dimension"] = float(likelihood.mean() / dimensions)
    return figures


def write_prior(
    prior: GaussianPrior, recipe: GaussianRecipe, figures: dict[str, float], path: Path
) -> None:
    """Write the weights and, beside them, their description."""
    description = {
        "kind": "gaussian pose prior",
        "joints": [JOINT_NAMES[joint + 1] for joint in prior.joints],
        "recipe": asdict(recipe),
        "figures": figures,
    }
    write_weights(path, prior.state_dict(), description)


def _mean_rotations(
    rotations: Float[Tensor, "frames moved 3 3"], weights: Float[Tensor, " frames"]
) -> Float[Tensor, "moved 3 3"]:
    """Mean rotation of each joint: rotation vectors relative to it average to zero."""
    centers = rotations[0]
    for _ in range(10):
        rotvecs = torch.einsum("f,fja->ja", weights, matrix_to_rotvec(centers.mT @ rotations))
        centers = centers @ rotvec_to_matrix(rotvecs)
    return centers


def main() -> None:
    """Fit the prior to a folder of packs and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = GaussianRecipe()
    logger.info("%s", recipe)
    motions = motion_set(arguments.folder)
    prior = fit_gaussian(recipe, motions)
    figures = report(prior, motions)
    write_prior(prior, recipe, figures, arguments.output)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
