"""Roll of upper arms and thighs from the plane in which elbows and knees bend.

Solvers that made the packs let a limb's first bone roll freely and bend the hinge about whatever
axis is left, by up to half a turn: positions are right, but the elbow seems bent the wrong way. Our
hinges bend about one axis, so a bent limb determines the roll of its first bone; a straight one
takes it from the frames around it. Where an elbow would need an upper arm rolled beyond what a
shoulder can, the solver took the wrong one of two bends: the forearm is turned back about the upper
arm.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded
from torch import Tensor

from ...body.rotations import rotvec_to_matrix

STRAIGHT_SINE = 0.2  # sine of the bend below which a limb has no bending plane
# Roll of an upper arm, radians, beyond which the elbow is bent backwards. In the packs runs of
# bent frames have either less than 100° in the mean or more than 129°.
BACKWARDS_ROLL = math.radians(115)
PRIOR_WEIGHT = 1e-4  # of the source's own roll, where the limb is straight
SMOOTHNESS = 1e-2  # weight of the differences between frames


def hinged(
    orientation: Float[Tensor, "frames 3 3"],
    second: Float[Tensor, "frames 3"],
    bone: Float[Tensor, " 3"],
    axis: Float[Tensor, " 3"],
) -> Float[Tensor, "frames 3 3"]:
    """Orientation of a limb's first bone, rolled so that its hinge bends about our axis.

    Args:
        orientation: of the first bone in the world, already along its own direction.
        second: direction of the second bone in the world.
        bone: direction of both bones at rest, where the limb is straight.
        axis: the hinge's axis at rest; a positive angle about it flexes.
    """
    bone = bone / bone.norm()
    axis = axis - (axis @ bone) * bone
    axis = axis / axis.norm()
    local = (orientation.mT @ (second / second.norm(dim=-1, keepdim=True))[..., None])[..., 0]
    # A flexed bone leans to `front`; what it leans to the axis tells the roll.
    front = torch.linalg.cross(axis, bone)
    lean = torch.stack((local @ front, local @ axis), dim=-1)
    return orientation @ rotvec_to_matrix(_smooth_angles(lean)[:, None] * bone)


def bent_backwards(
    bend: Float[Tensor, " frames"], roll: Float[Tensor, " frames"]
) -> Bool[Tensor, " frames"]:
    """Frames whose hinge is bent the wrong way, judged by the roll its first bone would need.

    A limb changes from one bend to the other only through straight, so each run of bent frames is
    judged as a whole.

    Args:
        bend: sine of the angle between the limb's two bones.
        roll: twist of the first bone relative to its parent, radians, −π…π.
    """
    bent = bend > STRAIGHT_SINE
    changes = torch.cat((torch.zeros_like(bent[:1]), bent[1:] ^ bent[:-1]))
    runs = changes.cumsum(0)
    excess = bend.new_zeros(int(runs[-1]) + 1)
    excess = excess.index_add(0, runs, (roll.abs() - BACKWARDS_ROLL) * bend)
    return bent & (excess > 0)[runs]


def _smooth_angles(lean: Float[Tensor, "frames 2"]) -> Float[Tensor, " frames"]:
    """Angles of 2D directions, smooth over time where they are short, radians.

    Least squares over unit complex numbers: a tridiagonal system in the number of frames.
    """
    bend = lean.norm(dim=-1)
    weight = (bend - STRAIGHT_SINE).clamp(min=0).square().numpy()
    target = torch.view_as_complex((lean / bend.clamp(min=1e-9)[:, None]).contiguous()).numpy()
    steps = np.full(len(weight), 2 * SMOOTHNESS)
    steps[0] -= SMOOTHNESS
    steps[-1] -= SMOOTHNESS
    bands = np.full((2, len(weight)), -SMOOTHNESS)
    bands[1] = weight + PRIOR_WEIGHT + steps
    rhs = weight * target + PRIOR_WEIGHT
    solution = solveh_banded(bands, np.stack((rhs.real, rhs.imag), axis=-1))
    return torch.from_numpy(np.arctan2(solution[:, 1], solution[:, 0]))
