"""State: everything that is estimated of a person in a frame."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..body.model import BodyModel, PosedBody


@dataclass(frozen=True, kw_only=True)
class State:
    """Pose, shape and translation of people; camera frame (x right, y down, z forward), metres."""

    pose: Float[Tensor, "*batch joints 3 3"]  # rotations of the non-root joints, parent-relative
    betas: Float[Tensor, "*batch betas"]
    global_orient: Float[Tensor, "*batch 3 3"]  # root joint: body frame → camera frame
    root_translation: Float[Tensor, "*batch 3"]  # pelvis in the camera frame

    @classmethod
    def stacked(cls, states: "list[State]", dim: int) -> "State":
        """States stacked along a new axis of the batch."""
        names = [field.name for field in fields(cls)]
        return cls(**{n: torch.stack([getattr(s, n) for s in states], dim) for n in names})

    @classmethod
    def concatenated(cls, states: "list[State]") -> "State":
        """States concatenated along the first axis of the batch."""
        names = [field.name for field in fields(cls)]
        return cls(**{n: torch.cat([getattr(s, n) for s in states]) for n in names})

    def select(self, batch: Int[Tensor, " chosen"]) -> "State":
        """States at some places of the first axis of the batch, in the given order."""
        return State(**{name: values[batch] for name, values in vars(self).items()})

    def posed(self, body: BodyModel) -> PosedBody:
        """Posed body model."""
        return body(
            self.pose,
            self.betas,
            global_orient=self.global_orient,
            root_translation=self.root_translation,
        )
