"""Sole contacts: where the points of the feet bear on the ground or another support."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SoleContacts:
    """Contacts of the points of SOLE_NAMES of one person, camera frame."""

    bearing: Float[Tensor, "frames 6"]  # confidence that a point bears on something, 0…1
    on_floor: Float[Tensor, "frames 6"]
    """Confidence that this is the floor, 0…1; at most `bearing`."""
    over_floor: Float[Tensor, "frames 6"]
    """Confidence that the floor is below a point, 0…1: not where a person has jumped off it."""
    up: Float[Tensor, "3"]  # unit vector away from the floor
    floor: float  # height of the floor under this person along `up`, metres

    def select(self, frames: Int[Tensor, " chosen"]) -> "SoleContacts":
        """Contacts of some of the frames, in the given order."""
        return SoleContacts(
            bearing=self.bearing[frames],
            on_floor=self.on_floor[frames],
            over_floor=self.over_floor[frames],
            up=self.up,
            floor=self.floor,
        )
