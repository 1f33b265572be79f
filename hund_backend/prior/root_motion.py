"""Root motion: features of the pelvis's motion that the dynamics of a pose may depend on."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..body.rotations import matrix_to_rotvec

# Sizes of the groups of features; each group is known or unknown as a whole.
ROOT_GROUPS = {"velocity": 3, "angular_velocity": 3, "floor": 4, "contacts": 4}
NUM_ROOT_FEATURES = sum(ROOT_GROUPS.values())
UNKNOWN = float("nan")


def root_motion(
    orientation: Float[Tensor, "*batch frames 3 3"],
    translation: Float[Tensor, "*batch frames 3"],
    contacts: Bool[Tensor, "*batch frames 4"] | None,
    fps: float,
) -> Float[Tensor, "*batch frames 14"]:
    """Return features of the pelvis's motion, invariant to heading and horizontal position.

    Args:
        orientation: of the pelvis in a world with y up.
        translation: position of the pelvis in a world whose floor is at y = 0, metres.
        contacts: left heel, left toe, right heel, right toe on the floor; None if unknown.
        fps: frames a second.

    Returns:
        Velocity (m/s) and angular velocity (rad/s) since the previous frame, height (m), direction
        of gravity, and contacts as 0 or 1; vectors in the pelvis's own frame. The first frame has
        the velocities of the second.
    """
    travel = (translation[..., 1:, :] - translation[..., :-1, :])[..., None]
    velocity = fps * (orientation[..., 1:, :, :].mT @ travel)[..., 0]
    rotation_step = orientation[..., :-1, :, :].mT @ orientation[..., 1:, :, :]
    angular_velocity = fps * matrix_to_rotvec(rotation_step)
    gravity = -orientation[..., 1, :]
    if contacts is None:
        on_floor = translation.new_full((*translation.shape[:-1], 4), UNKNOWN)
    else:
        on_floor = contacts.to(translation)
    velocities = torch.cat((velocity, angular_velocity), dim=-1)
    velocities = torch.cat((velocities[..., :1, :], velocities), dim=-2)
    return torch.cat((velocities, translation[..., 1:2], gravity, on_floor), dim=-1)


def known_groups(root: Float[Tensor, "*batch 14"]) -> Bool[Tensor, "*batch 4"]:
    """Return which groups of features are known, that is without NaN."""
    groups = root.split(list(ROOT_GROUPS.values()), dim=-1)
    return torch.stack([~group.isnan().any(-1) for group in groups], dim=-1)


def mask_groups(
    root: Float[Tensor, "*batch 14"], hidden: Bool[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch 14"]:
    """Return the features with NaN in the hidden groups."""
    sizes = torch.tensor(list(ROOT_GROUPS.values()), device=hidden.device)
    return root.masked_fill(hidden.repeat_interleave(sizes, dim=-1), UNKNOWN)
