"""The roll of upper arms and thighs, read from the plane in which elbows and knees bend.

Solvers that made the packs let a limb's first bone roll freely and bend the hinge about whatever
axis is left, by up to half a turn: positions are right, the elbow seems bent the wrong way. Our
hinges bend about one axis, so a bent limb tells the roll of its first bone; a straight one takes
it from the frames around it. Where an elbow would need an upper arm rolled beyond what a shoulder
can, the solver took the wrong one of two bends: the forearm is turned back about the upper arm.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded
from torch import Tensor

from hund_backend.body.rotations import rotvec_to_matrix

STRAIGHT = 0.2  # sine of the bend below which the plane of a limb means nothing
# Roll of an upper arm, radians, beyond which the elbow is bent backwards. In the packs runs of
# bent frames have either less than 100° in the mean or more than 129°.
BACKWARDS = math.radians(115)
TRUST = 1e-4  # weight of the roll that the source has itself, where the limb is straight
SMOOTHNESS = 1e-2  # weight of the differences between frames


def hinged(
    turned: Float[Tensor, "frames 3 3"],
    lower: Float[Tensor, "frames 3"],
    bone: Float[Tensor, " 3"],
    axis: Float[Tensor, " 3"],
) -> Float[Tensor, "frames 3 3"]:
    """Orientation of a limb's first bone, rolled so that its hinge bends about our axis.

    Args:
        turned: orientation of the first bone in the world, along its own direction already.
        lower: direction of the second bone in the world.
        bone: direction of both bones at rest, where the limb is straight.
        axis: the hinge's axis at rest; a positive turn about it flexes.
    """
    bone = bone / bone.norm()
    axis = axis - (axis @ bone) * bone
    axis = axis / axis.norm()
    local = (turned.mT @ (lower / lower.norm(dim=-1, keepdim=True))[..., None])[..., 0]
    # A flexed bone leans to `front`; what it leans to the axis tells the roll.
    front = torch.linalg.cross(axis, bone)
    lean = torch.stack((local @ front, local @ axis), dim=-1)
    return turned @ rotvec_to_matrix(_smoothed(lean)[:, None] * bone)


def bent_backwards(
    bend: Float[Tensor, " frames"], roll: Float[Tensor, " frames"]
) -> Bool[Tensor, " frames"]:
    """Frames whose hinge is bent the wrong way, by the roll its first bone would need.

    A limb changes from one bend to the other only through straight, so each run of bent frames is
    judged as a whole.

    Args:
        bend: sine of the angle between the limb's two bones.
        roll: twist of the first bone against its parent, radians, −π…π.
    """
    bent = bend > STRAIGHT
    changes = torch.cat((torch.zeros_like(bent[:1]), bent[1:] ^ bent[:-1]))
    runs = changes.cumsum(0)
    excess = bend.new_zeros(int(runs[-1]) + 1)
    excess = excess.index_add(0, runs, (roll.abs() - BACKWARDS) * bend)
    return bent & (excess > 0)[runs]


def _smoothed(lean: Float[Tensor, "frames 2"]) -> Float[Tensor, " frames"]:
    """The angles of a lean, smooth over time where it is small, radians.

    Least squares over unit complex numbers: a tridiagonal system in the number of frames.
    """
    bend = lean.norm(dim=-1)
    weight = (bend - STRAIGHT).clamp(min=0).square().numpy()
    target = torch.view_as_complex((lean / bend.clamp(min=1e-9)[:, None]).contiguous()).numpy()
    steps = np.full(len(weight), 2 * SMOOTHNESS)
    steps[0] -= SMOOTHNESS
    steps[-1] -= SMOOTHNESS
    bands = np.full((2, len(weight)), -SMOOTHNESS)
    bands[1] = weight + TRUST + steps
    right = weight * target + TRUST
    numbers = solveh_banded(bands, np.stack((right.real, right.imag), axis=-1))
    return torch.from_numpy(np.arctan2(numbers[:, 1], numbers[:, 0]))
