"""Recipe of the hand flow: `python -m hund_backend.training.priors.train_hand_flow`."""

import argparse
import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from ...body.model import BodyModel
from ...prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from ..optimization import Curve
from ..weights import write_weights
from .density import FlowRecipe, Pose, train_flow
from .hand_poses import HAND_JOINTS, HandPoseConfig, hand_poses

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HandRecipe(FlowRecipe):
    """Training of the flow of the left hand; right hands are mirrored before it."""

    layers: int = 6
    steps: int = 4000
    poses: HandPoseConfig = field(default_factory=HandPoseConfig)
    num_validation: int = 4000  # poses of the validation, and of the report


class HandPoseSampler:
    """Generated poses of the left hand."""

    def __init__(self, recipe: HandRecipe) -> None:
        self.recipe = recipe
        self.rest = BodyModel.load("keypoints").rest_template

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """Draw new poses."""
        return hand_poses(self.rest, count, generator, self.recipe.poses)


def train_hand_flow(recipe: HandRecipe, checkpoint: Path | None = None) -> tuple[PoseFlow, Curve]:
    """Return a trained flow over the left hand's finger joints, and its curve."""
    sampler = HandPoseSampler(recipe)
    validation = sampler.draw(
        recipe.num_validation, torch.Generator().manual_seed(recipe.seed + 1)
    )
    return train_flow(HAND_JOINTS, sampler, validation, recipe, checkpoint)


def report(flow: PoseFlow, recipe: HandRecipe) -> dict[str, float]:
    """Metrics of the model card, for new poses."""
    poses = HandPoseSampler(recipe).draw(
        recipe.num_validation, torch.Generator().manual_seed(recipe.seed + 2)
    )
    dimensions = 3 * len(flow.joints)
    return {
        "nats_per_dimension": float(flow.log_prob(poses).mean()) / dimensions,
        "energy_per_dimension": float(flow.energy(poses).mean()) / dimensions,
    }


def main() -> None:
    """Train the flow and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=HandRecipe.steps)
    parser.add_argument("--seed", type=int, default=HandRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=HAND_WEIGHTS_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = HandRecipe(steps=arguments.steps, seed=arguments.seed)
    logger.info("%s", recipe)
    flow, curve = train_hand_flow(recipe, arguments.checkpoint)
    figures = report(flow, recipe)
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
