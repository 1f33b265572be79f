"""Recipe of the pose flow: `python -m hund_backend.training.priors.train_pose_flow MOCAP`."""

import argparse
import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...prior.gaussian import GaussianPrior
from ...prior.pose_flow import WEIGHTS_FILE, PoseFlow
from ..motion.motion_set import MotionSet, motion_set
from ..optimization import Curve
from ..weights import write_weights
from .augmentation import Augmentation, AugmentationConfig
from .density import FlowRecipe, Pose, train_flow

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PoseRecipe(FlowRecipe):
    """Training of the flow of the body's poses."""

    max_rarity: float = 4.0  # largest sampling weight of a rare pose, relative to a common one
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


class MotionPoseSampler:
    """Augmented training poses of captured motion; rare poses are drawn more often."""

    def __init__(self, poses: MotionSet, recipe: PoseRecipe) -> None:
        used = poses.frames_of("train")
        self.poses = poses.rotations[used, 1:]
        self.weights = poses.weights()[used] * _rarity(self.poses, recipe.max_rarity)
        self.augment = Augmentation(recipe.augmentation)

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """Draw augmented poses."""
        picks = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return self.augment(self.poses[picks], generator)


def add_dequantization_noise(pose: Pose, config: AugmentationConfig, seed: int = 0) -> Pose:
    """Poses with the noise of training and no other change, the same for every model."""
    noise_only = replace(config, limb_swap_share=0.0, large_noise_share=0.0)
    return Augmentation(noise_only)(pose, torch.Generator().manual_seed(seed))


def train_pose_flow(
    poses: MotionSet,
    recipe: PoseRecipe,
    checkpoint: Path | None = None,
    initial: PoseFlow | None = None,
) -> tuple[PoseFlow, Curve]:
    """Return a trained flow over the joints of the Gaussian prior, and its curve."""
    sampler, validation = MotionPoseSampler(poses, recipe), validation_poses(poses, recipe)
    joints = GaussianPrior.load().joint_names
    return train_flow(joints, sampler, validation, recipe, checkpoint, initial)


def report(prior: PoseFlow, poses: MotionSet, recipe: PoseRecipe) -> dict[str, float]:
    """Metrics of the model card, for poses with the noise of training."""
    figures: dict[str, float] = {}
    for split in ("train", "validation", "held_out"):
        pose = poses.rotations[poses.frames_of(split), 1:][::3]
        pose = add_dequantization_noise(pose, recipe.augmentation)
        dimensions = 3 * len(prior.joints)
        figures[f"{split}_frames"] = int(poses.frames_of(split).sum())
        figures[f"{split}_nats_per_dimension"] = float(prior.log_prob(pose).mean()) / dimensions
        figures[f"{split}_energy_per_dimension"] = float(prior.energy(pose).mean()) / dimensions
    return figures


def _rarity(pose: Pose, max_ratio: float) -> Float[Tensor, " frames"]:
    """Sampling weight of each pose: its clamped squared distance from the Gaussian's mean."""
    prior = GaussianPrior.load()
    distance = prior.latent(pose).square().mean(-1)
    return distance.clamp(max=max_ratio * float(distance.median()))


def validation_poses(poses: MotionSet, recipe: PoseRecipe) -> Pose:
    """Poses of the validation split, with the noise of training."""
    return add_dequantization_noise(
        poses.rotations[poses.frames_of("validation"), 1:], recipe.augmentation
    )


def main() -> None:
    """Train a flow on a folder of packs and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--kind", choices=("light", "realnvp", "spline"), default=PoseRecipe.kind)
    parser.add_argument("--layers", type=int, default=PoseRecipe.layers)
    parser.add_argument("--hidden", type=int, default=PoseRecipe.hidden)
    parser.add_argument("--max-slope", type=float, default=PoseRecipe.max_slope)
    parser.add_argument("--steps", type=int, default=PoseRecipe.steps)
    parser.add_argument("--rate", type=float, default=PoseRecipe.rate)
    parser.add_argument("--seed", type=int, default=PoseRecipe.seed)
    parser.add_argument("--weights", type=Path, help="initial weights; default: none")
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = PoseRecipe(
        kind=arguments.kind,
        layers=arguments.layers,
        hidden=arguments.hidden,
        max_slope=arguments.max_slope,
        steps=arguments.steps,
        rate=arguments.rate,
        seed=arguments.seed,
    )
    logger.info("%s", recipe)
    poses = motion_set(arguments.folder)
    initial = arguments.weights and PoseFlow.load(arguments.weights)
    flow, curve = train_pose_flow(poses, recipe, arguments.checkpoint, initial)
    figures = report(flow, poses, recipe)
    description = {
        "kind": "pose flow",
        "config": asdict(flow.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(arguments.output, flow.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
