"""Sampling: world transforms of an armature's bones over frames.

Bones that only F-curves move are computed from the curves. Where constraints, drivers or NLA
strips take part, the armature is evaluated frame by frame in a temporary scene, without the meshes
and other objects of the user's scene.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

import bpy
import numpy as np
from mathutils import Euler, Quaternion

from .. import action, quaternions
from . import skeleton as skeletons
from .skeleton import Skeleton
from .steps import Pace

TEMPORARY_NAME = "~retarget"
_MOVING = ("location", "rotation", "scale", "delta_")  # data paths that move an object
_ROUNDING = 1e-3  # frames; keys are stored in single precision


def frame_range(armature: bpy.types.Object) -> tuple[int, int] | None:
    """Return the first and last whole frame of an armature's action, or None without keys."""
    animation = armature.animation_data
    curves = _curves(armature) if animation and animation.action else []
    ranges = [
        curve.range()
        for curve in curves
        if curve.data_path.startswith(('pose.bones["', *_MOVING)) and len(curve.keyframe_points)
    ]
    if not ranges:
        return None
    first, last = min(start for start, _ in ranges), max(end for _, end in ranges)
    return int(np.floor(first + _ROUNDING)), int(np.ceil(last - _ROUNDING))


def whole_frames(limits: tuple[int, int]) -> np.ndarray:
    """Return the frames of a range, both ends included, (frames,)."""
    return np.arange(limits[0], limits[1] + 1, dtype=np.float64)


def world_transforms(
    armature: bpy.types.Object,
    names: Sequence[str],
    frames: np.ndarray,
    pace: Pace,
) -> Generator[float, None, np.ndarray]:
    """Sample posed bones in the world, (frames, bones, 4, 4).

    Args:
        armature: object with an action.
        names: of the bones.
        frames: of the scene, (frames,).
        pace: of the pauses.

    Yields:
        Progress, 0…1.
    """
    skeleton = skeletons.read(armature)
    if is_keyed_only(armature, skeleton, names):
        posed = _from_curves(armature, skeleton, names, frames)
        return skeleton.world @ posed
    positions = [skeleton.index[name] for name in names]
    result = np.empty((len(frames), len(names), 4, 4))
    for span in pace.spans(len(frames)):
        with evaluated(armature) as (scene, depsgraph):
            swept = sweep(scene, depsgraph, armature, frames[span])
            result[span] = [world @ matrices[positions] for world, matrices in swept]
        yield span.stop / len(frames)
    return result


def is_keyed_only(armature: bpy.types.Object, skeleton: Skeleton, names: Sequence[str]) -> bool:
    """Return whether nothing but F-curves moves the bones, their ancestors and the object."""
    if armature.constraints or armature.parent or not _is_still(armature):
        return False
    animation = armature.animation_data
    if animation and any(
        not track.mute and any(not strip.mute for strip in track.strips)
        for track in animation.nla_tracks
    ):
        return False
    bones = {skeleton.names[index] for index in skeleton.with_ancestors(names)}
    return not is_constrained(armature, bones)


def is_constrained(armature: bpy.types.Object, bones: set[str]) -> bool:
    """Return whether constraints or drivers move bones; a chain's inverse kinematics, too."""
    driven = {
        curve.data_path.split('"')[1]
        for curve in (armature.animation_data.drivers if armature.animation_data else ())
        if curve.data_path.startswith('pose.bones["')
        and "constraints" not in curve.data_path
        and any(f".{path}" in curve.data_path for path in ("location", "rotation", "scale"))
    }
    if driven & bones:
        return True
    for bone in armature.pose.bones:
        for constraint in bone.constraints:
            if constraint.mute or (
                constraint.influence == 0 and not constraint.is_property_set("influence")
            ):
                continue
            if bone.name in bones or bones & _chain_of(bone, constraint):
                return True
    return False


def _chain_of(bone: bpy.types.PoseBone, constraint: bpy.types.Constraint) -> set[str]:
    """Return the bones above one that its constraint moves, too."""
    if constraint.type not in {"IK", "SPLINE_IK"}:
        return set()
    above = [parent.name for parent in bone.parent_recursive]
    return set(above[: constraint.chain_count - 1] if constraint.chain_count else above)


@contextmanager
def evaluated(
    *objects: bpy.types.Object,
) -> Iterator[tuple[bpy.types.Scene, bpy.types.Depsgraph]]:
    """Evaluate objects in a temporary scene; the user's scene is evaluated again afterwards."""
    user_scene = bpy.context.scene
    scene = bpy.data.scenes.new(TEMPORARY_NAME)
    try:
        for obj in objects:
            scene.collection.objects.link(obj)
        layer = scene.view_layers[0]
        layer.update()
        yield scene, layer.depsgraph
    finally:
        bpy.data.scenes.remove(scene)
        user_scene.frame_set(user_scene.frame_current, subframe=user_scene.frame_subframe)


def sweep(
    scene: bpy.types.Scene,
    depsgraph: bpy.types.Depsgraph,
    armature: bpy.types.Object,
    frames: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the object's matrix and all its posed bones, (bones, 4, 4), at each frame.

    Args:
        scene: temporary, with the armature.
        depsgraph: of it.
        armature: to evaluate.
        frames: (frames,).
    """
    count = len(armature.data.bones)
    buffer = np.empty(16 * count, np.float32)
    for frame in frames:
        whole = int(np.floor(frame))
        scene.frame_set(whole, subframe=float(frame - whole))
        current = armature.evaluated_get(depsgraph)
        current.pose.bones.foreach_get("matrix", buffer)
        matrices = buffer.reshape(count, 4, 4).swapaxes(1, 2).astype(np.float64)
        yield np.array(current.matrix_world, np.float64), matrices


def _curves(armature: bpy.types.Object) -> list[bpy.types.FCurve]:
    """Return the F-curves of the armature's own slot."""
    animation = armature.animation_data
    if not action.HAS_SLOTS:
        return list(animation.action.fcurves)
    if animation.action_slot is None:
        return []
    strips = [strip for layer in animation.action.layers for strip in layer.strips]
    bags = [strip.channelbag(animation.action_slot) for strip in strips]
    return [curve for bag in bags if bag for curve in bag.fcurves]


def _is_still(armature: bpy.types.Object) -> bool:
    """Return whether the object itself has no keys and no drivers."""
    animation = armature.animation_data
    if animation is None:
        return True
    curves = [*animation.drivers, *(_curves(armature) if animation.action else ())]
    return not any(curve.data_path.startswith(_MOVING) for curve in curves)


def _from_curves(
    armature: bpy.types.Object, skeleton: Skeleton, names: Sequence[str], frames: np.ndarray
) -> np.ndarray:
    """Return posed bones in armature space, (frames, bones, 4, 4)."""
    own = own_transforms_of(armature, skeleton, names, frames)
    posed = skeletons.pose(skeleton, own, own)
    shape = (len(frames), 4, 4)  # bones without keys, with unkeyed ones above, have one pose
    matrices = [np.broadcast_to(posed[skeleton.index[name]], shape) for name in names]
    return np.stack(matrices, axis=1)


def own_transforms_of(
    armature: bpy.types.Object, skeleton: Skeleton, names: Sequence[str], frames: np.ndarray
) -> dict[int, np.ndarray]:
    """Return the own transforms of bones and of all bones above them, by their curves.

    They are (frames, 4, 4), or (1, 4, 4) if nothing is keyed.
    """
    needed = skeleton.with_ancestors(names)
    channels: dict[str, dict[tuple[str, int], np.ndarray]] = {}
    wanted = {skeleton.names[bone] for bone in needed}
    for curve in _curves(armature):
        if curve.mute or not curve.data_path.startswith('pose.bones["'):
            continue
        _, bone, prop = curve.data_path.split('"', 2)
        if bone in wanted and prop.startswith("]."):
            values = np.array([curve.evaluate(frame) for frame in frames.tolist()])
            channels.setdefault(bone, {})[prop[2:], curve.array_index] = values
    return {
        bone: own_transforms(
            armature.pose.bones[skeleton.names[bone]],
            channels.get(skeleton.names[bone], {}),
            len(frames),
        )
        for bone in needed
    }


def own_transforms(
    bone: bpy.types.PoseBone, channels: dict[tuple[str, int], np.ndarray], frames: int
) -> np.ndarray:
    """Return a bone's own transforms, (frames, 4, 4), or (1, 4, 4) if nothing is keyed."""
    if not channels:
        return np.array(bone.matrix_basis, np.float64)[None]

    def values(path: str) -> np.ndarray:
        held = np.array(getattr(bone, path), np.float64)
        columns = [
            channels.get((path, index), np.full(frames, value)) for index, value in enumerate(held)
        ]
        return np.stack(columns, -1)

    result = np.zeros((frames, 4, 4))
    result[:, :3, :3] = quaternions.to_matrices(_rotations(bone.rotation_mode, values))
    result[:, :3, :3] *= values("scale")[:, None, :]
    result[:, :3, 3] = values("location")
    result[:, 3, 3] = 1
    return result


def _rotations(mode: str, values: Callable[[str], np.ndarray]) -> np.ndarray:
    """Return unit quaternions (frames, 4) of a bone's rotation channels."""
    if mode == "QUATERNION":
        rotations = values("rotation_quaternion")
    elif mode == "AXIS_ANGLE":
        rotations = np.array(
            [Quaternion(row[1:], row[0]) for row in values("rotation_axis_angle")]
        )
    else:
        rotations = np.array(
            [Euler(row, mode).to_quaternion() for row in values("rotation_euler")]
        )
    norm = np.linalg.norm(rotations, axis=-1, keepdims=True)
    return np.where(norm > 0, rotations / np.where(norm > 0, norm, 1), [1.0, 0, 0, 0])
