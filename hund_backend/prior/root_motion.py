"""How the pelvis moves: what the dynamics of a pose may know about the rest of the motion."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.rotations import matrix_to_rotvec

# Numbers of each group: what is not known of a motion is unknown group by group.
GROUPS = {"velocity": 3, "turning": 3, "floor": 4, "contacts": 4}
ROOT_NUMBERS = sum(GROUPS.values())
UNKNOWN = float("nan")


def root_motion(
    orientation: Float[Tensor, "*batch frames 3 3"],
    place: Float[Tensor, "*batch frames 3"],
    contacts: Bool[Tensor, "*batch frames 4"] | None,
    fps: float,
) -> Float[Tensor, "*batch frames 14"]:
    """Features of the pelvis's motion, the same whatever way the person faces and wherever it is.

    Args:
        orientation: of the pelvis in a world with y up.
        place: of the pelvis, metres, in a world whose floor is at 0.
        contacts: left heel, left toe, right heel, right toe on the floor; none: not known.
        fps: frames a second.

    Returns:
        velocity (m/s) and angular velocity (rad/s) since the frame before, height (m), the
        direction of gravity, and the contacts as 0 or 1; vectors along the pelvis's own axes.
    """
    travel = (place[..., 1:, :] - place[..., :-1, :])[..., None]
    velocity = fps * (orientation[..., 1:, :, :].mT @ travel)[..., 0]
    turning = fps * matrix_to_rotvec(orientation[..., :-1, :, :].mT @ orientation[..., 1:, :, :])
    gravity = -orientation[..., 1, :]
    if contacts is None:
        known = place.new_full((*place.shape[:-1], 4), UNKNOWN)
    else:
        known = contacts.to(place)
    moving = torch.cat((velocity, turning), dim=-1)
    moving = torch.cat((moving[..., :1, :], moving), dim=-2)
    return torch.cat((moving, place[..., 1:2], gravity, known), dim=-1)


def knows(root: Float[Tensor, "*batch 14"]) -> Bool[Tensor, "*batch 4"]:
    """Which groups are known."""
    groups = root.split(list(GROUPS.values()), dim=-1)
    return torch.stack([~group.isnan().any(-1) for group in groups], dim=-1)


def forgotten(
    root: Float[Tensor, "*batch 14"], hidden: Bool[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch 14"]:
    """The same features without the hidden groups."""
    sizes = torch.tensor(list(GROUPS.values()), device=hidden.device)
    return root.masked_fill(hidden.repeat_interleave(sizes, dim=-1), UNKNOWN)
