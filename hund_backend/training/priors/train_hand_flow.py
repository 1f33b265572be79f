"""Recipe of the hand flow: `python -m hund_backend.training.priors.train_hand_flow`."""

import argparse
import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from hund_backend.body.model import BodyModel
from hund_backend.prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow

from ..weights import write_weights
from .density import FlowRecipe, Pose, fit
from .hand_poses import HAND_JOINTS, HandPoseConfig, hand_poses

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HandRecipe(FlowRecipe):
    """How the flow of the left hand is trained; right hands are mirrored before it."""

    layers: int = 6
    steps: int = 4000
    poses: HandPoseConfig = field(default_factory=HandPoseConfig)
    shown: int = 4000  # poses of the validation, and of the figures


class HandStream:
    """Poses of the left hand without end, no two alike."""

    def __init__(self, recipe: HandRecipe) -> None:
        self.recipe = recipe
        self.rest = BodyModel.load("keypoints").rest_template

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """So many new poses."""
        return hand_poses(self.rest, count, generator, self.recipe.poses)


def fit_hand(
    recipe: HandRecipe, checkpoint: Path | None = None
) -> tuple[PoseFlow, list[dict[str, int | float]]]:
    """A trained flow over the left hand's finger joints, and its curve."""
    stream = HandStream(recipe)
    validation = stream.draw(recipe.shown, torch.Generator().manual_seed(recipe.seed + 1))
    return fit(HAND_JOINTS, stream, validation, recipe, checkpoint)


def report(flow: PoseFlow, recipe: HandRecipe) -> dict[str, float]:
    """Figures of the model card, of new poses."""
    poses = HandStream(recipe).draw(recipe.shown, torch.Generator().manual_seed(recipe.seed + 2))
    dimensions = 3 * len(flow.joints)
    return {
        "nats_per_dimension": float(flow.log_prob(poses).mean()) / dimensions,
        "energy_per_dimension": float(flow.energy(poses).mean()) / dimensions,
    }


def main() -> None:
    """Train the flow and write it into the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=HandRecipe.steps)
    parser.add_argument("--seed", type=int, default=HandRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="goes on from this file if it is there")
    parser.add_argument("--output", type=Path, default=HAND_WEIGHTS_FILE)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = HandRecipe(steps=chosen.steps, seed=chosen.seed)
    logger.info("%s", recipe)
    flow, curve = fit_hand(recipe, chosen.checkpoint)
    figures = report(flow, recipe)
    description = {
        "kind": "hand flow",
        "config": asdict(flow.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(chosen.output, flow.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
