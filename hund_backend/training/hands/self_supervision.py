"""Self-supervision of a hand's descent: hands of real clips, which have no truth.

Their cost is what the descent itself goes by: its losses L(s), which hold the prior and the joints'
ranges, and the polish's accelerations and collisions. Hands are drawn with those of the frames
before and after.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...body.hand import HandModel
from ...body.rotations import rotvec_to_matrix
from ...descent.hands.hund import HandHund
from ...descent.hands.inputs import HandInputs
from ...descent.hands.polish import HandPolishConfig, acceleration_cost, collision_cost
from ...descent.learned.network import Step
from ..descent_training import stage_means
from .clip_detections import ClipHands

NUM_BETAS = 16


@dataclass(frozen=True, kw_only=True)
class UnlabeledConfig:
    """How hands of clips are drawn, and the weights of their cost."""

    turn_deg: float = 20.0  # of the crop about its axis, standard deviation
    size: float = 0.1  # of the crop's side, logarithm
    betas: float = 1.0  # standard deviation of the hand's shape, which is not known
    polish: HandPolishConfig = HandPolishConfig()


class UnlabeledHands:
    """Triples of hands that follow each other in clips."""

    def __init__(
        self, hands: ClipHands, model: HandModel, config: UnlabeledConfig | None = None
    ) -> None:
        """Prepare the triples.

        Args:
            hands: of clips.
            model: hand, for its shapes.
            config: how they are drawn.
        """
        self.model, self.config = model, config or UnlabeledConfig()
        rest = model.rest_points(torch.zeros(len(hands), NUM_BETAS))
        mirrored = torch.from_numpy(hands.side == 1)
        self.inputs = HandInputs.from_keypoints(
            hands.keypoints, hands.landmarks, hands.crop, hands.intrinsics, rest, mirrored
        )
        self.fps = torch.from_numpy(hands.fps)
        after = (np.diff(hands.frame) == 1) & (np.diff(hands.track) == 0)
        self.middle = torch.from_numpy(np.flatnonzero(after[:-1] & after[1:]) + 1)

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[HandInputs, Float[Tensor, " triples"]]:
        """Draw triples, the three hands of each in a row, and their frames a second."""
        chosen = self.middle[torch.randint(len(self.middle), (count,), generator=generator)]
        inputs, config = self._triples(chosen), self.config

        def three(values: Tensor) -> Tensor:
            return values.repeat_interleave(3, dim=0)

        angle = np.deg2rad(config.turn_deg) * torch.randn(count, 1, generator=generator)
        turn = three(rotvec_to_matrix(angle * torch.tensor([0.0, 0.0, 1.0])))
        size = three((config.size * torch.randn(count, generator=generator)).exp())
        betas = config.betas * torch.randn(count, NUM_BETAS, generator=generator)
        changed = HandInputs.from_points(
            inputs.keypoints @ turn[:, :2, :2].mT / size[:, None, None],
            inputs.confidence,
            inputs.landmarks @ turn.mT,
            inputs.crop_width * size,
            inputs.camera_from_crop @ turn.mT,
            self.model.rest_points(three(betas)),
            inputs.mirrored,
        )
        return changed, self.fps[chosen]

    def all(self) -> tuple[HandInputs, Float[Tensor, " triples"]]:
        """Return all triples as they are, of hands of the mean shape."""
        return self._triples(self.middle), self.fps[self.middle]

    def _triples(self, middle: Int[Tensor, " triples"]) -> HandInputs:
        return self.inputs.select((middle[:, None] + torch.tensor([-1, 0, 1])).flatten())


def unlabeled_cost(
    hund: HandHund,
    step: Step,
    inputs: HandInputs,
    fps: Float[Tensor, " triples"],
    config: HandPolishConfig,
) -> Float[Tensor, " triples"]:
    """Cost of states whose truth is not known: means of the three hands of each triple.

    Args:
        hund: network.
        step: states of hands that were drawn as triples.
        inputs: their evidence.
        fps: frames a second of the triples.
        config: weights of accelerations and collisions.
    """
    depth = collision_cost(hund, step.posed.rotations, inputs.rest_points, config)
    single = step.losses.total + depth
    middle = 3 * torch.arange(len(fps)) + 1
    moving = acceleration_cost(step.posed, inputs, middle, fps, config)
    return single.unflatten(0, (-1, 3)).mean(-1) + moving


@torch.no_grad()
def unlabeled_metrics(hund: HandHund, hands: UnlabeledHands) -> dict[str, list[float]]:
    """Mean losses L(s) and whole costs of s_0 … s_M on all triples."""
    inputs, fps = hands.all()
    steps, config = hund(inputs), hands.config.polish

    def cost(step: Step) -> Tensor:
        return unlabeled_cost(hund, step, inputs, fps, config)

    return {
        "clips_loss": stage_means(steps, lambda step: step.losses.total, 3),
        "clips_cost": stage_means(steps, cost, 3),
    }
