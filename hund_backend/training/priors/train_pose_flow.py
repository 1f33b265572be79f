"""Recipe of the pose flow: `python -m hund_backend.training.priors.train_pose_flow MOCAP_FOLDER`."""

import argparse
import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.pose_flow import WEIGHTS_FILE, PoseFlow

from ..motion.motion_set import MotionSet, motion_set
from ..weights import write_weights
from .augmentation import Augmentation, AugmentationConfig
from .density import FlowRecipe, Pose, fit

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PoseRecipe(FlowRecipe):
    """How the flow of the body's poses is trained."""

    rarest: float = 4.0  # times as often as a common one is a rare pose shown
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


class PoseStream:
    """Batches of poses without end: rare ones more often, each changed by chance."""

    def __init__(self, poses: MotionSet, recipe: PoseRecipe) -> None:
        used = poses.frames_of("train")
        self.poses = poses.rotations[used, 1:]
        self.weights = poses.weights()[used] * _rarity(self.poses, recipe.rarest)
        self.augment = Augmentation(recipe.augmentation)

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """So many changed poses."""
        picks = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return self.augment(self.poses[picks], generator)


def dequantized(pose: Pose, config: AugmentationConfig, seed: int = 0) -> Pose:
    """Poses with the noise of training and no other change, the same for every model."""
    still = replace(config, recombined=0.0, stirred=0.0)
    return Augmentation(still)(pose, torch.Generator().manual_seed(seed))


def fit_poses(
    poses: MotionSet, recipe: PoseRecipe, checkpoint: Path | None = None
) -> tuple[PoseFlow, list[dict[str, int | float]]]:
    """A trained flow over the joints of the Gaussian prior, and its curve."""
    stream, validation = PoseStream(poses, recipe), validation_poses(poses, recipe)
    return fit(GaussianPrior.load().joint_names, stream, validation, recipe, checkpoint)


def report(prior: PoseFlow, poses: MotionSet, recipe: PoseRecipe) -> dict[str, float]:
    """Figures of the model card, of poses with the noise of training."""
    figures: dict[str, float] = {}
    for split in ("train", "validation", "held_out"):
        pose = poses.rotations[poses.frames_of(split), 1:][::3]
        pose = dequantized(pose, recipe.augmentation)
        dimensions = 3 * len(prior.joints)
        figures[f"{split}_frames"] = int(poses.frames_of(split).sum())
        figures[f"{split}_nats_per_dimension"] = float(prior.log_prob(pose).mean()) / dimensions
        figures[f"{split}_energy_per_dimension"] = float(prior.energy(pose).mean()) / dimensions
    return figures


def _rarity(pose: Pose, most: float) -> Float[Tensor, " frames"]:
    """How often to show each pose: by its squared distance from the Gaussian's mean."""
    prior = GaussianPrior.load()
    square = prior.latent(pose).square().mean(-1)
    return square.clamp(max=most * float(square.median()))


def validation_poses(poses: MotionSet, recipe: PoseRecipe) -> Pose:
    """Poses of the validation split, with the noise of training."""
    return dequantized(poses.rotations[poses.frames_of("validation"), 1:], recipe.augmentation)


def main() -> None:
    """Train a flow on a folder of packs and write it into the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--kind", choices=("light", "realnvp", "spline"), default=PoseRecipe.kind)
    parser.add_argument("--layers", type=int, default=PoseRecipe.layers)
    parser.add_argument("--hidden", type=int, default=PoseRecipe.hidden)
    parser.add_argument("--max-slope", type=float, default=PoseRecipe.max_slope)
    parser.add_argument("--steps", type=int, default=PoseRecipe.steps)
    parser.add_argument("--seed", type=int, default=PoseRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="goes on from this file if it is there")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = PoseRecipe(
        kind=chosen.kind,
        layers=chosen.layers,
        hidden=chosen.hidden,
        max_slope=chosen.max_slope,
        steps=chosen.steps,
        seed=chosen.seed,
    )
    logger.info("%s", recipe)
    poses = motion_set(chosen.folder)
    flow, curve = fit_poses(poses, recipe, chosen.checkpoint)
    figures = report(flow, poses, recipe)
    description = {
        "kind": "pose flow",
        "config": asdict(flow.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(chosen.output, flow.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
