"""Channels: rotations in a bone's own rotation mode, with its locks."""

from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from .. import quaternions

_FREE_AXES = ((1, 2), (2, 0), (0, 1))  # of the plane that a turn about x, y, z turns
_ORDER = "XYZ"  # of the angles that stand for locks in other rotation modes


class Channels(NamedTuple):
    """Values of one property of a bone, and the rotations that they give."""

    path: str  # of the property, from the bone
    values: np.ndarray  # (frames, components)
    keyed: tuple[int, ...]  # components that are not locked
    rotations: np.ndarray  # (frames, 3, 3): what is reached


def rotation_channels(
    bone: bpy.types.PoseBone, rotations: np.ndarray, *, use_locks: bool
) -> Channels:
    """Express rotations in a bone's rotation mode.

    Signs of quaternions and turns of angles are chosen so that curves are continuous. A locked
    axis keeps its present angle; with one free axis the nearest rotation about it is taken.

    Args:
        bone: gives the mode and the locks.
        rotations: (frames, 3, 3), in the bone's own axes.
        use_locks: False: locked axes are keyed, too.
    """
    locks = _locks(bone) if use_locks else (False, False, False)
    wanted = quaternions.make_continuous(quaternions.from_matrices(rotations))
    if any(locks):
        wanted = _locked(bone, rotations, locks)
    if bone.rotation_mode == "QUATERNION":
        values, path = wanted, "rotation_quaternion"
        reached = quaternions.to_matrices(wanted)
        keyed = () if all(locks) else (0, 1, 2, 3)
    elif bone.rotation_mode == "AXIS_ANGLE":
        values, path = _axis_angles(wanted), "rotation_axis_angle"
        reached = quaternions.to_matrices(wanted)
        keyed = () if all(locks) else (0, 1, 2, 3)
    else:
        values = _continuous_angles(wanted, bone.rotation_mode)
        path, keyed = "rotation_euler", tuple(i for i in range(3) if not locks[i])
        if any(locks):
            held = [i for i in range(3) if locks[i]]
            values[:, held] = np.array(bone.rotation_euler)[held]
        reached = quaternions.to_matrices(_from_angles(values, bone.rotation_mode))
    return Channels(path, values, keyed, reached)


def _locks(bone: bpy.types.PoseBone) -> tuple[bool, bool, bool]:
    return tuple(bone.lock_rotation)


def _locked(
    bone: bpy.types.PoseBone, rotations: np.ndarray, locks: tuple[bool, bool, bool]
) -> np.ndarray:
    """Return the rotations (frames, 4) that locked axes allow."""
    is_euler = bone.rotation_mode not in {"QUATERNION", "AXIS_ANGLE"}
    order = bone.rotation_mode if is_euler else _ORDER
    held = np.array(
        bone.rotation_euler if is_euler else bone.matrix_basis.to_quaternion().to_euler(order)
    )
    free = [axis for axis in range(3) if not locks[axis]]
    if len(free) == 1 and not held.any():
        first, second = _FREE_AXES[free[0]]
        sine = rotations[:, second, first] - rotations[:, first, second]
        cosine = rotations[:, first, first] + rotations[:, second, second]
        angles = np.zeros((len(rotations), 3))
        angles[:, free[0]] = np.unwrap(np.arctan2(sine, cosine))
    else:
        angles = _continuous_angles(quaternions.from_matrices(rotations), order)
        angles[:, list(locks)] = held[list(locks)]
    return quaternions.make_continuous(_from_angles(angles, order))


def _continuous_angles(rotations: np.ndarray, order: str) -> np.ndarray:
    """Return angles (frames, 3) of which each is near the one before."""
    angles = np.empty((len(rotations), 3))
    before: Euler | None = None
    for index, rotation in enumerate(rotations.tolist()):
        quaternion = Quaternion(rotation)
        before = quaternion.to_euler(order, before) if before else quaternion.to_euler(order)
        angles[index] = before
    return angles


def _from_angles(angles: np.ndarray, order: str) -> np.ndarray:
    return np.array([Euler(row, order).to_quaternion() for row in angles.tolist()])


def _axis_angles(rotations: np.ndarray) -> np.ndarray:
    """Return angle and axis, (frames, 4); the axis does not flip, so the angle may be negative."""
    sines = np.linalg.norm(rotations[:, 1:], axis=-1)
    result = np.empty((len(rotations), 4))
    axis = np.array([0.0, 1, 0])
    for index, (rotation, sine) in enumerate(zip(rotations, sines, strict=True)):
        if sine > 1e-7:
            sign = -1 if rotation[1:] @ axis < 0 and index else 1
            axis = sign * rotation[1:] / sine
            sine = sign * sine
        result[index] = [2 * np.arctan2(sine, rotation[0]), *axis]
    result[:, 0] = np.unwrap(result[:, 0])
    return result
