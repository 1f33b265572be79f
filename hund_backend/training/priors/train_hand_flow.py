"""Recipe of the hand flow: `python -m hund_backend.training.priors.train_hand_flow HANDS MOCAP`."""

import argparse
import json
import logging
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.hand import HAND_JOINT_NAMES, HandModel
from ...body.model import BodyModel
from ...body.rotations import matrix_to_rotvec, rotvec_to_matrix
from ...body.skeleton import JOINT_NAMES, LEFT_HAND_JOINTS
from ...prior.hand_anatomy import HandAnatomy
from ...prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from ..optimization import Curve
from ..weights import write_weights
from .density import FlowRecipe, Pose, train_flow
from .hand_captures import HandCaptures, hand_captures
from .hand_poses import HandPoseConfig, hand_poses

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HandRecipe(FlowRecipe):
    """Training of the flow of the left hand; right hands are mirrored before it."""

    layers: int = 6
    steps: int = 4000
    poses: HandPoseConfig = field(default_factory=HandPoseConfig)
    generated_share: float = 0.45  # of the poses; the others are captured or keyed
    between_share: float = 0.3  # of the captured ones, led part of the way to another pose
    jitter_deg: float = 2.5  # std of each joint's rotation vector, degrees
    held_out_every: int = 9  # each so many-th clip is held out
    num_validation: int = 4000  # poses of the validation, and of the report


class HandPoseSampler:
    """Poses of the left hand: generated, captured and keyed."""

    def __init__(self, captures: HandCaptures, recipe: HandRecipe, *, held_out: bool) -> None:
        """Take the captures that are held out, or the others.

        Args:
            captures: recorded and keyed poses.
            recipe: of the mixture.
            held_out: which captures; the generated poses are new ones anyway.
        """
        self.recipe = recipe
        self.rest = BodyModel.load("keypoints").rest_template
        is_held_out = captures.clips % recipe.held_out_every == recipe.held_out_every - 1
        chosen = is_held_out if held_out else ~is_held_out
        self.rotations, clips = captures.rotations[chosen], captures.clips[chosen]
        # Long clips count more than short ones, but not by their length.
        lengths = torch.bincount(clips).clamp(min=1).float()
        self.weights = lengths[clips] ** -0.5

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """Draw new poses."""
        recipe = self.recipe
        num_generated = round(recipe.generated_share * count)
        fingers = [joint - 1 for joint in LEFT_HAND_JOINTS]
        generated = hand_poses(self.rest, num_generated, generator, recipe.poses)
        pose = torch.eye(3).repeat(count, len(JOINT_NAMES) - 1, 1, 1)
        pose[:num_generated] = generated
        if num_generated < count:
            captured = self._captured(count - num_generated, generated[:, fingers], generator)
            pose[num_generated:, fingers] = captured
        return pose[torch.randperm(count, generator=generator)]

    def _captured(
        self,
        count: int,
        generated: Float[Tensor, "others joints 3 3"],
        generator: torch.Generator,
    ) -> Float[Tensor, "count joints 3 3"]:
        """Captured poses, some of them led towards others or towards generated ones."""
        recipe = self.recipe
        picks = torch.multinomial(self.weights, 2 * count, replacement=True, generator=generator)
        first, second = self.rotations[picks].unflatten(0, (2, count))
        share = torch.rand(count, 1, 1, generator=generator)
        if len(generated):
            use = torch.rand(count, generator=generator) < 0.5
            other = torch.randint(len(generated), (count,), generator=generator)
            second = torch.where(use[:, None, None, None], generated[other], second)
        moved = torch.rand(count, 1, 1, generator=generator) < recipe.between_share
        jitter = torch.randn(*first.shape[:-1], generator=generator)
        way = share * moved * matrix_to_rotvec(first.mT @ second)
        return (
            first
            @ rotvec_to_matrix(way)
            @ rotvec_to_matrix(math.radians(recipe.jitter_deg) * jitter)
        )


def train_hand_flow(
    captures: HandCaptures, recipe: HandRecipe, checkpoint: Path | None = None
) -> tuple[PoseFlow, Curve]:
    """Return a trained flow over the left hand's finger joints, and its curve."""
    sampler = HandPoseSampler(captures, recipe, held_out=False)
    validation = HandPoseSampler(captures, recipe, held_out=True).draw(
        recipe.num_validation, torch.Generator().manual_seed(recipe.seed + 1)
    )
    return train_flow(HAND_JOINT_NAMES, sampler, validation, recipe, checkpoint)


def report(flow: PoseFlow, captures: HandCaptures, recipe: HandRecipe) -> dict[str, float]:
    """Metrics of the model card, for new generated poses and for held-out captures."""
    figures = {}
    for name, share in (("generated", 1.0), ("captured", 0.0)):
        changed = replace(recipe, generated_share=share, between_share=0.0, jitter_deg=0.0)
        poses = HandPoseSampler(captures, changed, held_out=True).draw(
            recipe.num_validation, torch.Generator().manual_seed(recipe.seed + 2)
        )
        dimensions = 3 * len(flow.joints)
        log_prob, energy = flow.log_prob(poses).mean(), flow.energy(poses).mean()
        figures[f"nats_per_dimension_{name}"] = float(log_prob) / dimensions
        figures[f"energy_per_dimension_{name}"] = float(energy) / dimensions
    anatomy = HandAnatomy(HandModel.load().rest)
    samples = flow.sample(2000, torch.Generator().manual_seed(recipe.seed + 3))
    excess = anatomy.excess(samples[:, flow.joints]).abs().amax(-1).rad2deg()
    figures["samples_beyond_limits_by_15_deg"] = float((excess > 15).float().mean())
    return figures


def main() -> None:
    """Train the flow and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hands", type=Path, help="folder of recorded hands")
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--captures", type=Path, help="poses taken over before, or to be kept")
    parser.add_argument("--steps", type=int, default=HandRecipe.steps)
    parser.add_argument("--seed", type=int, default=HandRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=HAND_WEIGHTS_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = HandRecipe(steps=arguments.steps, seed=arguments.seed)
    logger.info("%s", recipe)
    model = HandModel.load()
    captures = hand_captures(arguments.hands, arguments.mocap, model, arguments.captures)
    flow, curve = train_hand_flow(captures, recipe, arguments.checkpoint)
    figures = report(flow, captures, recipe)
    description = {
        "kind": "hand flow",
        "config": asdict(flow.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(arguments.output, flow.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
