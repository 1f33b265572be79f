"""Result of a descent, learned or fitted."""

from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor

from .state import State


@dataclass(frozen=True)
class DescentResult:
    """States of one person over all frames of a track, and the descent that led to them."""

    state: State  # batch: frames
    stages: State  # batch: frames, stages; the intermediate states, the last one included
    stage_losses: Float[Tensor, "frames stages terms"]
    terms: tuple[str, ...]  # names of the losses
    joint_confidence: Float[Tensor, "frames 63"]  # 0…1
    converged: bool

    def select(self, frames: Int[Tensor, " chosen"]) -> "DescentResult":
        """Return the result in some of the frames, in the given order."""
        return replace(
            self,
            state=self.state.select(frames),
            stages=self.stages.select(frames),
            stage_losses=self.stage_losses[frames],
            joint_confidence=self.joint_confidence[frames],
        )
