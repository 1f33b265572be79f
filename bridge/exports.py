"""Scene files: .blend and the exchange formats, written atomically by Blender's exporters."""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import addon_utils
import bpy
import numpy as np
from mathutils import Matrix

from ..hund_backend.atomic_write import atomic_write
from . import absence, bone_styles, export_copies, influences, shown, world

_EXPORT_ADDONS = {"fbx": "io_scene_fbx", "glb": "io_scene_gltf2", "bvh": "io_anim_bvh"}
_SUFFIXES = {"usd": ".usdc"}
_AS_IN_SCENE = export_copies.Form()
# Where the FBX header says the unit: of Unity, in the scene's own; else in the objects' scale.
_FBX_SCALES = {"unity": "FBX_SCALE_ALL"}


def files(folder: Path, name: str, file_format: str, people: int) -> list[Path]:
    """Return the files of a clip in one format; BVH has one file per person."""
    suffix = _SUFFIXES.get(file_format, f".{file_format}")
    if file_format != "bvh" or people == 1:
        return [folder / f"{name}{suffix}"]
    return [folder / f"{name}_{person}{suffix}" for person in range(1, people + 1)]


def export(
    armatures: Sequence[bpy.types.Object],
    folder: Path,
    name: str,
    file_format: str,
    *,
    glb_influences: int = influences.DEFAULT_LIMIT,
    names: str = bone_styles.STYLES[0],
    form: export_copies.Form = _AS_IN_SCENE,
) -> list[Path]:
    """Write the people of the open scene in one format.

    All people are written whole, also those who are hidden, at the current frame or at all. They
    have their size in metres, or as the format says, for any unit of the scene. In frames in which
    keys hide them, they are invisible or scaled to nothing (see `absence`). The scene is unchanged afterwards.

    Args:
        armatures: the people, in the order of the Reconstruction.
        folder: output folder.
        name: of the clip.
        file_format: one of `EXPORT_FORMATS`.
        glb_influences: largest number of bones that move a vertex in GLB files, 4 or 8. Four can
            be read by every viewer.
        names: of the bones in exchange files, one of `bone_styles.STYLES`.
        form: rest pose, twist bones, unit and axes. A USD file has the A-rest.

    Raises:
        BadInputError: the folder cannot be written to, the disk is full, or a person cannot be
            selected.
    """
    if file_format in _EXPORT_ADDONS:
        addon_utils.enable(_EXPORT_ADDONS[file_format], default_set=False)
    targets = files(folder, name, file_format, len(armatures))
    if file_format == "blend":
        _write_atomically(targets[0], _write_blend)
        return targets
    scene = bpy.context.scene
    hidden = absence.hidden_frames(armatures, scene)  # now: to be selected, people are shown
    with ExitStack() as changes:
        people, has_copies = armatures, export_copies.needs_copies(armatures, form, file_format)
        if has_copies:
            changes.enter_context(shown.selected([*armatures, *_meshes(armatures)]))
            people = changes.enter_context(export_copies.copied(armatures, form, file_format))
            copies = dict(zip(armatures, people, strict=True))
            hidden = {copies[armature]: flags for armature, flags in hidden.items()}
        changes.enter_context(bone_styles.renamed(people, names))
        writers = {
            "fbx": lambda path: _write_fbx(path, form.target),
            "glb": lambda path: _write_glb(
                path, people, glb_influences, rest_from_pose=has_copies
            ),
            "usd": lambda path: _write_usd(path, people, hidden),
        }
        if file_format == "bvh":
            for armature, target in zip(people, targets, strict=True):
                with shown.selected([armature]):
                    _write_atomically(
                        target, lambda path, armature=armature: _write_bvh(path, armature)
                    )
        else:
            children = [child for armature in people for child in armature.children]
            changes.enter_context(shown.selected([*people, *children]))
            if file_format != "usd":
                changes.enter_context(absence.scaled_to_nothing(hidden, scene))
            _write_atomically(targets[0], writers[file_format])
    return targets


def _write_atomically(target: Path, write: Callable[[Path], None]) -> None:
    """Write a file by one of Blender's exporters, whole or not at all."""
    with atomic_write(target) as [part]:
        try:
            write(part)
        except RuntimeError as error:  # raised by an operator that fails
            raise OSError(_reason(error)) from error
        if not part.is_file() or not part.stat().st_size:
            raise OSError("Blender wrote nothing")


def _reason(error: RuntimeError) -> str:
    """Return the message of an operator's error: of a traceback, the last line of its error."""
    lines = [line.strip() for line in str(error).splitlines()]
    messages = [line for line in lines if line and not line.startswith("Location:")]
    return messages[-1].removeprefix("Error: ") if messages else "Blender gives no reason"


def _write_blend(path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, compress=True, check_existing=False)


def _write_fbx(path: Path, target: str) -> None:
    bpy.ops.export_scene.fbx(
        filepath=str(path),
        check_existing=False,
        use_selection=True,
        object_types={"ARMATURE", "MESH"},
        add_leaf_bones=False,
        bake_anim=True,
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,  # else each person gets the actions of all
        bake_anim_simplify_factor=0.0,  # keeps every frame
        axis_forward="-Z",
        axis_up="Y",
        apply_scale_options=_FBX_SCALES.get(target, "FBX_SCALE_NONE"),
    )


def _write_glb(
    path: Path, armatures: Sequence[bpy.types.Object], limit: int, *, rest_from_pose: bool
) -> None:
    with ExitStack() as restore:
        _scale_to_meters(armatures, restore)
        for mesh in _meshes(armatures):
            restore.enter_context(influences.limited(mesh, limit))
        # The exporter computes seconds as frame / (fps * fps_base), Blender's as
        # frame / (fps / fps_base): a clip of 12.5 frames per second would be 8 % slow.
        render = bpy.context.scene.render
        restore.callback(setattr, render, "fps_base", render.fps_base)
        render.fps_base = 1 / render.fps_base
        bpy.ops.export_scene.gltf(
            filepath=str(path),
            check_existing=False,
            export_format="GLB",
            use_selection=True,
            export_yup=True,
            export_animations=True,
            export_animation_mode="ACTIVE_ACTIONS",
            export_frame_range=True,  # the scene's, as in the other formats
            export_force_sampling=True,  # bakes the twist bones' constraints
            export_anim_slide_to_zero=True,  # else a late start frame is a pause at the start
            export_morph_normal=False,
            export_influence_nb=limit,
            export_rest_position_armature=not rest_from_pose,
        )


def _write_bvh(path: Path, armature: bpy.types.Object) -> None:
    scene = bpy.context.scene
    # Blender writes BVH in the armature's axes, z up; other software expects y up.
    y_up = Matrix.Rotation(-math.pi / 2, 4, "X")
    _rotate_rest(armature, y_up)
    try:
        bpy.ops.export_anim.bvh(
            filepath=str(path),
            check_existing=False,
            frame_start=scene.frame_start,
            frame_end=scene.frame_end,
            rotate_mode="ZXY",
            global_scale=_meters_per_unit(),  # BVH has no unit: metres
        )
    finally:
        _rotate_rest(armature, y_up.inverted())


def _rotate_rest(armature: bpy.types.Object, rotation: Matrix) -> None:
    """Rotate the rest pose, and with it every pose: keys are relative to it."""
    armature.data.transform(rotation)
    armature.data.update_tag()  # else the poses are evaluated with the old rest pose


def _write_usd(
    path: Path,
    armatures: Sequence[bpy.types.Object],
    hidden: Mapping[bpy.types.Object, np.ndarray],
) -> None:
    """Write USD with one time code a frame, at the scene's rate, in metres."""
    with ExitStack() as restore:
        _scale_to_meters(armatures, restore)
        bpy.ops.wm.usd_export(
            filepath=str(path),
            check_existing=False,
            selected_objects_only=True,
            export_animation=True,
            export_armatures=True,
            export_shapekeys=True,
            convert_world_material=False,  # else the world becomes a light with a texture file
            evaluation_mode="RENDER",
        )
    # Unlike the other exporters, Blender's does not fail when the disk is full.
    if path.is_file() and not _is_complete_usd(path):
        raise OSError("the file is incomplete")
    absence.write_usd_visibility(path, hidden, bpy.context.scene)


def _meshes(armatures: Sequence[bpy.types.Object]) -> list[bpy.types.Object]:
    children = (child for armature in armatures for child in armature.children)
    return [child for child in children if child.type == "MESH"]


def _meters_per_unit() -> float:
    return 1 / world.units_per_meter(bpy.context.scene)


def _scale_to_meters(armatures: Sequence[bpy.types.Object], restore: ExitStack) -> None:
    """Make a Blender unit of the people a metre.

    GLB is in metres by definition and USD by its header, but Blender's exporters write units. A
    temporary parent is scaled: keys and data of people stay as they are. FBX needs no scaling, it
    has the scene's unit in its header.
    """
    scale = _meters_per_unit()
    if scale == 1:
        return
    scene = bpy.context.scene
    restore.callback(bpy.context.view_layer.update)
    for name in ("system", "scale_length"):
        restore.callback(setattr, scene.unit_settings, name, getattr(scene.unit_settings, name))
    scene.unit_settings.scale_length = 1
    parent = bpy.data.objects.new("Meters", None)
    restore.callback(bpy.data.objects.remove, parent)
    scene.collection.objects.link(parent)
    parent.scale = (scale,) * 3
    for top in {_top(armature) for armature in armatures}:
        restore.callback(setattr, top, "matrix_parent_inverse", top.matrix_parent_inverse.copy())
        restore.callback(setattr, top, "parent", None)
        top.parent = parent
        top.matrix_parent_inverse = Matrix.Identity(4)
    bpy.context.view_layer.update()


def _top(obj: bpy.types.Object) -> bpy.types.Object:
    """Return an object's ancestor without a parent, or the object itself."""
    while obj.parent:
        obj = obj.parent
    return obj


def _is_complete_usd(path: Path) -> bool:
    """Return whether a binary USD file includes its table of contents, which is written last.

    Bytes 16 to 24 of the file are the position of the table: a count and 32 bytes per section
    (`pxr/usd/sdf/crateFile.h` in OpenUSD).
    """
    with path.open("rb") as file:
        header = file.read(24)
        if len(header) < 24:
            return False
        (position,) = struct.unpack_from("<q", header, 16)
        file.seek(position)
        count = file.read(8)
        return len(count) == 8 and len(file.read()) == 32 * struct.unpack("<Q", count)[0]
