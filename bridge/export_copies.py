"""Export copies: people as plain bones and skin, in the form that another program asks for.

A copy has the bones' evaluated poses as keys in every frame, without constraints, strips and
drivers. Rest pose, twist bones, unit and axes can be changed on it, and the scene stays as it is.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix

from ..hund_backend.errors import BadInputError
from . import action, bone_names, mesh, quaternions, rest_pose, world
from .armature import TWISTS

FROM_SCENE = "scene"  # rest pose or twist bones as they are in the scene
RESTS = (FROM_SCENE, *rest_pose.RESTS)
TWIST_CHOICES = (FROM_SCENE, "on", "off")
TARGETS = ("general", "unreal", "unity")  # programs whose unit and axes FBX files get
_UNITS = {"unreal": 0.01, "unity": 1.0}  # metres in a unit of the file
_TOLERANCE = 1e-6  # what varies by less is not keyed
_SCALE_TOLERANCE = 1e-4  # of bones, whose evaluated matrices are in single precision


@dataclass(frozen=True, kw_only=True)
class Form:
    """Form of people in an exchange file."""

    rest: str = FROM_SCENE  # one of `RESTS`
    twist: str = FROM_SCENE  # one of `TWIST_CHOICES`
    target: str = TARGETS[0]


@dataclass(frozen=True, kw_only=True)
class _Samples:
    """Evaluated motion of one person in frames of the scene."""

    objects: np.ndarray  # (frames, 4, 4), of the armature in the world
    bones: np.ndarray  # (frames, bones, 4, 4), in armature space
    keys: dict[bpy.types.Object, np.ndarray]  # (frames, shape keys) of each mesh


def needs_copies(armatures: Sequence[bpy.types.Object], form: Form, file_format: str) -> bool:
    """Return whether people cannot be exported in a form as they are in the scene."""
    is_for_engine = file_format == "fbx" and form.target != TARGETS[0]
    return (
        is_for_engine
        or form.twist != FROM_SCENE
        or any(
            rest_pose.rest_of(armature) != "A"
            or form.rest not in {FROM_SCENE, "A"}
            or _has_strips(armature)
            for armature in armatures
        )
    )


@contextmanager
def copied(
    armatures: Sequence[bpy.types.Object], form: Form, file_format: str
) -> Iterator[list[bpy.types.Object]]:
    """Copy people inside the block; they have the originals' names, which those get back after it.

    The scene goes to the frame before its first one, where the copies are in their rest pose:
    exporters of FBX and GLB take the bones' transforms at rest from the current pose. The skin of
    these formats stays bound in the A-pose, so that it is the same whatever the rest. BVH, which
    has no skin, gets rest bones.

    Args:
        armatures: the people, shown (see `shown.selected`).
        form: of the copies.
        file_format: one of `EXPORT_FORMATS`.
    """
    scene = bpy.context.scene
    frames = np.arange(scene.frame_start, scene.frame_end + 1)
    samples = _sample(armatures, frames)
    with ExitStack() as restore:
        restore.callback(scene.frame_set, scene.frame_current, subframe=scene.frame_subframe)
        before = set(bpy.data.user_map())
        restore.callback(_remove_new, before)
        edit_scene = bpy.data.scenes.new("Copies")
        copies = [
            _copy(armature, motion, frames, form, file_format, edit_scene)
            for armature, motion in zip(armatures, samples, strict=True)
        ]
        bpy.data.scenes.remove(edit_scene)
        pairs = list(zip(armatures, copies, strict=True))
        pairs += [
            (m, c) for a, copy in pairs for m, c in zip(_skins(a), copy.children, strict=True)
        ]
        for original, copy in pairs:
            for datablock, other in ((original, copy), (original.data, copy.data)):
                _exchange_names(datablock, other, restore)
        if file_format == "fbx" and form.target in _UNITS:
            settings = scene.unit_settings
            for name in ("system", "scale_length"):
                restore.callback(setattr, settings, name, getattr(settings, name))
            settings.system, settings.scale_length = "METRIC", _UNITS[form.target]
        scene.frame_set(scene.frame_start - 1)
        yield copies


def _has_strips(armature: bpy.types.Object) -> bool:
    datablocks = [armature, *(m.data.shape_keys for m in _skins(armature))]
    return any(d and d.animation_data and len(d.animation_data.nla_tracks) for d in datablocks)


def _skins(armature: bpy.types.Object) -> list[bpy.types.Object]:
    return [child for child in armature.children if child.type == "MESH"]


def _sample(armatures: Sequence[bpy.types.Object], frames: np.ndarray) -> list[_Samples]:
    """Evaluate people in frames of the scene."""
    scene = bpy.context.scene
    before = scene.frame_current, scene.frame_subframe
    objects, bones = ([[] for _ in armatures] for _ in range(2))
    keys = [{skin: [] for skin in _skins(armature)} for armature in armatures]
    for frame in frames:
        scene.frame_set(int(frame))
        depsgraph = bpy.context.evaluated_depsgraph_get()
        for index, armature in enumerate(armatures):
            evaluated = armature.evaluated_get(depsgraph)
            objects[index].append(np.array(evaluated.matrix_world))
            matrices = np.empty(16 * len(evaluated.pose.bones), np.float32)
            evaluated.pose.bones.foreach_get("matrix", matrices)
            # Blender stores columns one after the other.
            bones[index].append(matrices.reshape(-1, 4, 4).swapaxes(1, 2))
            for skin, values in keys[index].items():
                blocks = skin.data.shape_keys.key_blocks if skin.data.shape_keys else []
                column = np.empty(len(blocks), np.float32)
                if len(blocks):
                    blocks.foreach_get("value", column)
                values.append(column)
    scene.frame_set(before[0], subframe=before[1])
    return [
        _Samples(
            objects=np.array(objects[index]),
            bones=np.array(bones[index], np.float64),
            keys={skin: np.array(values) for skin, values in keys[index].items()},
        )
        for index in range(len(armatures))
    ]


def _copy(
    armature: bpy.types.Object,
    motion: _Samples,
    frames: np.ndarray,
    form: Form,
    file_format: str,
    edit_scene: bpy.types.Scene,
) -> bpy.types.Object:
    """Make the copy of one person, with its skin as children and keys."""
    bind = rest_pose.bind_armature(armature)
    copy = bpy.data.objects.new("Copy", bind.data.copy())
    edit_scene.collection.objects.link(copy)
    edit_scene.view_layers[0].update()  # makes the pose bones
    edit_scene.collection.objects.unlink(copy)
    copy.show_in_front, copy.data.display_type = True, "STICK"
    rest = rest_pose.rest_of(armature) if form.rest == FROM_SCENE else form.rest
    moved = rest_pose.displacements(copy, rest)
    skins = [_copy_skin(skin, copy, {armature, bind}) for skin in _skins(armature)]
    if form.twist != FROM_SCENE:
        for skin in skins:
            mesh.use_twist_bones(skin, copy, is_used=form.twist == "on")
    if form.twist == "off":
        _remove_twists(copy, edit_scene)
    rows = _rows(armature, copy)
    at_rest = {b.name: moved[b.name] @ b.matrix_local for b in copy.data.bones}
    if file_format == "bvh":
        rest_pose.move_bones(copy, moved, edit_scene)
    scale, file_from_armature = _file_from_armature(form, file_format)
    copy.data.transform(file_from_armature)
    for skin in skins:
        skin.data.transform(file_from_armature, shape_keys=True)
        skin.matrix_basis = file_from_armature @ skin.matrix_basis @ file_from_armature.inverted()
    first = np.array([at_rest[bone.name] for bone in copy.data.bones])
    poses = np.concatenate((first[None], motion.bones[:, rows]))
    placed = np.concatenate((motion.objects[:1], motion.objects))
    placed = np.array(Matrix.Scale(scale, 4)) @ placed @ np.array(file_from_armature.inverted())
    poses = np.array(file_from_armature) @ poses @ np.array(Matrix.Scale(1 / scale, 4))
    keyed = np.concatenate((frames[:1] - 1, frames))
    keys = action.Motion(f"{armature.name} Copy")
    _key_object(copy, keys, keyed, placed)
    _key_bones(copy, keys, keyed, poses)
    for original, skin in zip(_skins(armature), skins, strict=True):
        _key_shapes(skin, keys, frames, motion.keys[original])
    return copy


def _copy_skin(
    skin: bpy.types.Object, copy: bpy.types.Object, armatures: set[bpy.types.Object]
) -> bpy.types.Object:
    """Copy a mesh that one of the armatures deforms, without animation."""
    result = skin.copy()
    result.data = skin.data.copy()
    for datablock in (result, result.data, result.data.shape_keys):
        if datablock:
            datablock.animation_data_clear()
    result.constraints.clear()
    result.parent, result.parent_type = copy, "OBJECT"
    result.matrix_parent_inverse = Matrix.Identity(4)
    result.matrix_basis = skin.matrix_local
    for name in ("delta_location", "delta_rotation_euler"):
        setattr(result, name, (0, 0, 0))
    for name in ("hide_viewport", "hide_render"):
        setattr(result, name, False)
    for modifier in result.modifiers:
        if modifier.type == "ARMATURE" and modifier.object in armatures:
            modifier.object = copy
    return result


def _remove_twists(armature: bpy.types.Object, edit_scene: bpy.types.Scene) -> None:
    bones = bone_names.find_bones(armature)
    names = [bones[twist.name].name for twist in TWISTS if twist.name in bones]
    with rest_pose.edit_bones(armature, edit_scene) as edited:
        for name in names:
            edited.remove(edited[name])


def _rows(armature: bpy.types.Object, copy: bpy.types.Object) -> list[int]:
    """Return the positions of a copy's bones among those of the armature that is posed.

    Raises:
        BadInputError: the armature lacks a bone.
    """
    order = {bone.name: index for index, bone in enumerate(armature.pose.bones)}
    found = reversed(bone_names.find_bones(copy).items())  # the original names come last
    ours = {bone.name: name for name, bone in found}
    posed = bone_names.find_bones(armature)
    rows = []
    for bone in copy.data.bones:
        name = posed[ours[bone.name]].name if ours.get(bone.name) in posed else bone.name
        if name not in order:
            raise BadInputError(f"{armature.name} lacks the bone {bone.name}: load it again.")
        rows.append(order[name])
    return rows


def _file_from_armature(form: Form, file_format: str) -> tuple[float, Matrix]:
    """Return how many units of the file a Blender unit has, and the transform of data.

    For engines, data are in the file's unit and axes, y up, so that objects need neither scale nor
    rotation.
    """
    if file_format != "fbx" or form.target not in _UNITS:
        return 1.0, Matrix.Identity(4)
    scale = 1 / world.units_per_meter(bpy.context.scene) / _UNITS[form.target]
    return scale, Matrix.Rotation(-math.pi / 2, 4, "X") @ Matrix.Scale(scale, 4)


def _key_object(
    copy: bpy.types.Object, keys: action.Motion, frames: np.ndarray, matrices: np.ndarray
) -> None:
    """Key an object's place in the world, (frames, 4, 4)."""
    copy.rotation_mode = "QUATERNION"
    locations, rotations, scales = _parts(matrices)
    copy.location, copy.rotation_quaternion, copy.scale = locations[0], rotations[0], scales[0]
    channels = keys.channels(copy)
    for name, values in (
        ("location", locations),
        ("rotation_quaternion", rotations),
        ("scale", scales),
    ):
        if np.ptp(values, axis=0).max() > _TOLERANCE:
            action.write_channel(channels, name, frames, values)


def _key_bones(
    copy: bpy.types.Object, keys: action.Motion, frames: np.ndarray, poses: np.ndarray
) -> None:
    """Key bones whose poses are (frames, bones, 4, 4) in the copy's space.

    A bone's own transform is basis = (B_p⁻¹ B_j)⁻¹ M_p⁻¹ M_j with the rest matrices B and the
    poses M of a bone j and its parent p.
    """
    bones = list(copy.data.bones)
    index = {bone.name: position for position, bone in enumerate(bones)}
    rest = np.array([bone.matrix_local for bone in bones], np.float64)
    channels = keys.channels(copy)
    for position, bone in enumerate(bones):
        bone.use_inherit_rotation, bone.inherit_scale = True, "FULL"
        bone.use_local_location = True
        basis = np.linalg.inv(rest[position]) @ poses[:, position]
        if bone.parent:
            parent = index[bone.parent.name]
            from_parent = np.linalg.inv(poses[:, parent]) @ poses[:, position]
            basis = np.linalg.inv(rest[position]) @ rest[parent] @ from_parent
        locations, rotations, scales = _parts(basis)
        copy.pose.bones[bone.name].rotation_mode = "QUATERNION"
        path = f'pose.bones["{bpy.utils.escape_identifier(bone.name)}"].'
        action.write_channel(
            channels, f"{path}rotation_quaternion", frames, rotations, group=bone.name
        )
        if not bone.use_connect and np.abs(locations).max() > _TOLERANCE:
            action.write_channel(channels, f"{path}location", frames, locations, group=bone.name)
        if np.abs(scales - 1).max() > _SCALE_TOLERANCE:
            action.write_channel(channels, f"{path}scale", frames, scales, group=bone.name)


def _key_shapes(
    skin: bpy.types.Object, keys: action.Motion, frames: np.ndarray, values: np.ndarray
) -> None:
    """Set the shape keys of a copy, (frames, shape keys), and key those that vary."""
    shape_keys = skin.data.shape_keys
    for block, column in zip(shape_keys.key_blocks if shape_keys else (), values.T, strict=True):
        block.value = float(column[0])
        if np.ptp(column) > _TOLERANCE:
            path = f'key_blocks["{bpy.utils.escape_identifier(block.name)}"].value'
            action.write_channel(
                keys.channels(shape_keys, "Face"), path, frames, column[:, None], group="Face"
            )


def _parts(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return locations (frames, 3), rotations (frames, 4) and scales (frames, 3) of matrices."""
    scales = np.linalg.norm(matrices[:, :3, :3], axis=1)
    rotations = quaternions.from_matrices(matrices[:, :3, :3] / scales[:, None])
    return matrices[:, :3, 3], quaternions.make_continuous(rotations), scales


def _exchange_names(original: bpy.types.ID, copy: bpy.types.ID, restore: ExitStack) -> None:
    """Give a copy the name of its original until it is restored."""
    if not original.is_editable:
        return
    name, other = original.name, copy.name
    restore.callback(setattr, original, "name", name)
    restore.callback(setattr, copy, "name", other)
    original.name = f"~{other}"
    copy.name = name


def _remove_new(before: set[bpy.types.ID]) -> None:
    bpy.data.batch_remove(set(bpy.data.user_map()) - before)
