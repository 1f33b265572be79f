"""Body contacts: where points of a person bear on the floor or another support, and flights."""

from dataclasses import dataclass, fields, replace

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class BodyContacts:
    """Contacts of the points of CONTACT_NAMES of one person, camera frame."""

    bearing: Float[Tensor, "frames 12"]  # confidence that a point bears on something, 0…1
    on_floor: Float[Tensor, "frames 12"]
    """Confidence that this is the floor, 0…1; at most `bearing`."""
    over_floor: Float[Tensor, "frames 12"]
    """Confidence that the floor is below a point, 0…1: not where a person has jumped off it."""
    on_level: Float[Tensor, "frames 12"]
    """Confidence that a point bears on a level support that is not the floor, 0…1."""
    levels: Float[Tensor, "frames 12"]  # heights of these supports along `up`, metres
    airborne: Float[Tensor, " frames"]  # confidence that nothing bears the person, 0…1
    up: Float[Tensor, "3"]  # unit vector away from the floor
    floor: float  # height of the floor under this person along `up`, metres

    def select(self, frames: Int[Tensor, " chosen"]) -> "BodyContacts":
        """Contacts of some of the frames, in the given order."""
        of_frames = {
            field.name: getattr(self, field.name)[frames]
            for field in fields(self)
            if field.name not in ("up", "floor")
        }
        return replace(self, **of_frames)
