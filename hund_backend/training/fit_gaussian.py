"""Recipe of the Gaussian pose prior: `python -m hund_backend.training.fit_gaussian MOCAP_FOLDER`."""

import argparse
import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors.torch import save_file
from torch import Tensor

from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES
from hund_backend.prior.coordinates import log_round
from hund_backend.prior.gaussian import WEIGHTS_FILE, GaussianPrior
from hund_backend.prior.limits import LIMITS, JointLimits

from .motion import mirrored, motions, read_pack

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GaussianRecipe:
    """What the prior is made of."""

    packs: tuple[str, ...] = ("cmu_subset", "cmu_eval8", "deepmimic")
    held_out: tuple[str, ...] = (
        "cmu_subset/05",
        "cmu_subset/12",
        "deepmimic/humanoid3d_cartwheel",
        "deepmimic/humanoid3d_spinkick",
    )
    toes_from: str = "cmu_eval8"  # the only pack that moves its toes; the others borrow from it
    tolerance: float = 0.26  # radians beyond the limits at which a frame is a fault of the capture
    noise: float = 0.07  # radians: what captured skeletons leave out, on every axis of every joint
    hand_noise: float = 0.2  # radians: wrists hardly move in the packs
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Poses:
    """Poses of all clips in a row."""

    rotations: Float[Tensor, "frames 62 3 3"]
    weights: Float[Tensor, " frames"]
    held_out: Bool[Tensor, " frames"]
    faulty: Bool[Tensor, " frames"]


def gather(recipe: GaussianRecipe, folder: Path) -> Poses:
    """Read the packs as poses of our body.

    A clip weighs as the square root of its length, so that minutes of walking do not drown the
    rest. Frames beyond the joint limits are faults of the capture (feet turned backwards in the
    ballet of CMU 05, elbows bent the wrong way) and are marked.
    """
    rest = BodyModel.load("keypoints").rest_template
    limits = JointLimits(torch.float64)
    rotations, weights, held_out, faulty, toes = [], [], [], [], []
    for name in recipe.packs:
        for motion in motions(read_pack(folder / f"{name}_30fps.npz"), rest):
            pose = motion.rotations[:, 1:]
            excess = limits.excess(pose).abs().amax((-2, -1))
            rotations.append(pose.float())
            faulty.append(excess > recipe.tolerance)
            weights.append(torch.full((len(pose),), len(pose) ** -0.5))
            held_out.append(torch.full((len(pose),), motion.name.startswith(recipe.held_out)))
            toes.append(torch.full((len(pose),), name == recipe.toes_from))
    poses = torch.cat(rotations)
    _lend_toes(poses, torch.cat(toes), recipe.seed)
    return Poses(
        rotations=poses,
        weights=torch.cat(weights),
        held_out=torch.cat(held_out),
        faulty=torch.cat(faulty),
    )


def fitted(recipe: GaussianRecipe, poses: Poses) -> GaussianPrior:
    """The Gaussian of the training poses and their mirror images."""
    used = ~poses.held_out & ~poses.faulty
    joints = tuple(
        JOINT_INDEX[name] - 1
        for name in JOINT_NAMES
        if name in {f"{limit.joint[:-1]}{side}" for limit in LIMITS for side in "LR"}
        or name in {limit.joint for limit in LIMITS}
    )
    rotations = poses.rotations[used].double()
    both = torch.cat((rotations, _mirrored_pose(rotations)))[:, joints]
    weights = poses.weights[used].double().repeat(2)
    weights = weights / weights.sum()
    centers = _mean_rotations(both, weights)
    turns = log_round(both, centers).flatten(1)
    noise = torch.full((len(joints), 3), recipe.noise, dtype=torch.float64)
    hands = [
        place for place, joint in enumerate(joints) if JOINT_NAMES[joint + 1] in ("HandL", "HandR")
    ]
    noise[hands] = recipe.hand_noise
    covariance = torch.einsum("f,fa,fb->ab", weights, turns, turns)
    covariance += torch.diag(noise.flatten().square())
    whitening = torch.linalg.inv(torch.linalg.cholesky(covariance))
    return GaussianPrior(joints, centers, whitening)


def report(prior: GaussianPrior, poses: Poses) -> dict[str, float]:
    """Figures of the model card: Mahalanobis distances, likelihoods and rejected frames."""
    figures = {}
    prior = prior.double()
    log_det = prior.whitening.diagonal().log().sum()
    for split, chosen in (("train", ~poses.held_out), ("held_out", poses.held_out)):
        pose = poses.rotations[chosen & ~poses.faulty].double()
        squares = prior.latent(pose).square()
        dimensions = squares.shape[-1]
        likelihood = log_det - 0.5 * squares.sum(-1) - 0.5 * dimensions * math.log(2 * math.pi)
        figures[f"{split}_frames"] = int(chosen.sum())
        figures[f"{split}_beyond_limits"] = float(poses.faulty[chosen].double().mean())
        figures[f"{split}_mean_square_latent"] = float(squares.mean())
        figures[f"{split}_nats_per_dimension"] = float(likelihood.mean() / dimensions)
    return figures


def write(
    prior: GaussianPrior, recipe: GaussianRecipe, figures: dict[str, float], path: Path
) -> None:
    """Write the weights and their description beside them."""
    tensors = {name: values.float().contiguous() for name, values in prior.state_dict().items()}
    save_file(tensors, path)
    path.chmod(0o644)  # safetensors makes files that only their owner reads
    description = {
        "kind": "gaussian pose prior",
        "joints": [JOINT_NAMES[joint + 1] for joint in prior.joints],
        "recipe": asdict(recipe),
        "figures": figures,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix(".json").write_text(json.dumps(description, indent=2) + "\n")


def _lend_toes(poses: Tensor, moving: Bool[Tensor, " frames"], seed: int) -> None:
    """Give frames of packs without toes the toes of random frames of the pack that has them."""
    generator = torch.Generator().manual_seed(seed)
    lenders = moving.nonzero()[:, 0]
    picks = torch.randint(len(lenders), (int((~moving).sum()),), generator=generator)
    for side in "LR":
        joint = JOINT_INDEX[f"Ball{side}"] - 1
        poses[~moving, joint] = poses[lenders[picks], joint]


def _mirrored_pose(pose: Float[Tensor, "frames 62 3 3"]) -> Float[Tensor, "frames 62 3 3"]:
    root = torch.eye(3, dtype=pose.dtype).expand(len(pose), 1, 3, 3)
    return mirrored(torch.cat((root, pose), dim=1))[:, 1:]


def _mean_rotations(
    rotations: Float[Tensor, "frames moved 3 3"], weights: Float[Tensor, " frames"]
) -> Float[Tensor, "moved 3 3"]:
    """The rotation of each joint round which the rotation vectors average to zero."""
    centers = rotations[0]
    for _ in range(10):
        turns = torch.einsum("f,fja->ja", weights, matrix_to_rotvec(centers.mT @ rotations))
        centers = centers @ rotvec_to_matrix(turns)
    return centers


def main() -> None:
    """Fit the prior to a folder of packs and write it into the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = GaussianRecipe()
    logger.info("%s", recipe)
    poses = gather(recipe, arguments.folder)
    prior = fitted(recipe, poses)
    figures = report(prior, poses)
    write(prior, recipe, figures, arguments.output)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
