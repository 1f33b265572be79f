"""Source motion: a source armature's action as a motion of roles in the world."""

from collections.abc import Generator
from typing import NamedTuple

import bpy
import numpy as np

from .. import ownership
from . import rig, roles, sampling, steps
from . import skeleton as skeletons
from .errors import RetargetError
from .mapping import RigMapping
from .rotations import orthonormal
from .steps import Pace, Progress
from .transfer import RoleMotion

_LOW = 2.0  # percent of the frames in which a foot may be below the floor: noise


class SourceMotion(NamedTuple):
    """Motion of a source with the frames that it is sampled at."""

    motion: RoleMotion
    frames: np.ndarray  # (frames,): of the scene


def read(
    armature: bpy.types.Object,
    mapping: RigMapping,
    frames: np.ndarray | None,
    report: Progress,
) -> SourceMotion:
    """Sample an armature's action at once (see `sample`).

    Args:
        armature: object with an action.
        mapping: of its bones.
        frames: of the scene; None: all whole frames of the action.
        report: called with the progress.

    Raises:
        RetargetError: it has no action, or its bones cannot be used.
    """
    return steps.finish(sample(armature, mapping, frames, Pace(np.inf)), report)


def sample(
    armature: bpy.types.Object,
    mapping: RigMapping,
    frames: np.ndarray | None,
    pace: Pace,
) -> Generator[float, None, SourceMotion]:
    """Sample an armature's action.

    Args:
        armature: object with an action.
        mapping: of its bones.
        frames: of the scene; None: all whole frames of the action.
        pace: of the pauses.

    Yields:
        Progress, 0…1.

    Raises:
        RetargetError: it has no action, or its bones cannot be used.
    """
    if frames is None:
        limits = sampling.frame_range(armature)
        if limits is None:
            raise RetargetError(
                f"{armature.name} has no motion: choose an armature with an action."
            )
        frames = sampling.whole_frames(limits)
    rig.check_mapping(armature, mapping)
    skeleton = skeletons.read(armature)
    rest = rig.rest_of(skeleton, mapping, {}, use_bone_parents=True)
    rig.check_limbs(armature, rest)
    mapped = list(mapping.bones)
    names = [mapping.bones[role] for role in mapped]
    transforms = yield from sampling.world_transforms(armature, names, frames, pace)
    rotations, positions = {}, {}
    for index, role in enumerate(mapped):
        posed = orthonormal(transforms[:, index, :3, :3])
        rotations[role] = posed @ rest.rotations[role].T
        positions[role] = transforms[:, index, :3, 3]
    ground = rig.ground_of(armature, rest)
    floor = 0.0
    if not _stands_on_zero(armature):
        floor = _estimated_floor(rest.heads, rest.up, ground, positions)
    return SourceMotion(RoleMotion(rest, rotations, positions, ground, floor), frames)


def _stands_on_zero(armature: bpy.types.Object) -> bool:
    """Return whether the floor of the motion is at z = 0, as in all that we make."""
    return ownership.PERSON in armature


def _estimated_floor(
    heads: dict[str, np.ndarray],
    up: np.ndarray,
    ground: float,
    positions: dict[str, np.ndarray],
) -> float:
    """Return the height on which the lowest foot stands, but for a few frames."""
    lowest = [
        positions[role][:, 2] - (heads[role] @ up - ground)
        for name in ("foot", "toe")
        for role in (f"{name}.{side}" for side in roles.SIDES)
        if role in positions
    ]
    if not lowest:
        return 0.0
    return float(np.percentile(np.min(lowest, axis=0), _LOW))
