"""Scene files: .blend and the exchange formats, by Blender's own writers, whole or not at all."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import addon_utils
import bpy
from mathutils import Matrix

from ..hund_backend.atomic_write import atomic_write

_WRITERS_ADDON = {"fbx": "io_scene_fbx", "glb": "io_scene_gltf2", "bvh": "io_anim_bvh"}
_SUFFIX = {"usd": ".usdc"}


def files(folder: Path, name: str, file_format: str, people: int) -> list[Path]:
    """The files of one clip in one format: BVH holds one skeleton, so each person gets one."""
    suffix = _SUFFIX.get(file_format, f".{file_format}")
    if file_format != "bvh" or people == 1:
        return [folder / f"{name}{suffix}"]
    return [folder / f"{name}_{person}{suffix}" for person in range(1, people + 1)]


def export(
    armatures: Sequence[bpy.types.Object], folder: Path, name: str, file_format: str
) -> list[Path]:
    """Write the people of the open scene in one format.

    Args:
        armatures: the people, in the order of the Reconstruction.
        folder: where to.
        name: of the clip.
        file_format: one of `EXPORT_FORMATS`.

    Raises:
        BadInputError: the folder cannot be written to, or the disk is full.
    """
    if file_format in _WRITERS_ADDON:
        addon_utils.enable(_WRITERS_ADDON[file_format], default_set=False)
    targets = files(folder, name, file_format, len(armatures))
    if file_format == "blend":
        _write_whole(targets[0], _write_blend)
    elif file_format == "bvh":
        for armature, target in zip(armatures, targets, strict=True):
            select([armature])
            _write_whole(target, lambda path, armature=armature: _write_bvh(path, armature))
    else:
        select([*armatures, *(mesh for armature in armatures for mesh in armature.children)])
        writers = {"fbx": _write_fbx, "glb": _write_glb, "usd": _write_usd}
        _write_whole(targets[0], writers[file_format])
    return targets


def select(objects: Sequence[bpy.types.Object]) -> None:
    """Select these and nothing else; the first one becomes active."""
    layer = bpy.context.view_layer
    for item in layer.objects:
        item.select_set(item in objects)
    layer.objects.active = objects[0]


def _write_whole(target: Path, write: Callable[[Path], None]) -> None:
    """Write a file by one of Blender's writers, whole or not at all."""
    with atomic_write(target) as [part]:
        try:
            write(part)
        except RuntimeError as error:  # how an operator of Blender says that it failed
            raise OSError(_reason(error)) from error
        if not part.is_file() or not part.stat().st_size:
            raise OSError("Blender wrote nothing")


def _reason(error: RuntimeError) -> str:
    """One sentence of a report, or of a whole traceback its last line that says what happened."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("Location:")]
    return said[-1].removeprefix("Error: ") if said else "Blender does not say why"


def _write_blend(path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, compress=True, check_existing=False)


def _write_fbx(path: Path) -> None:
    bpy.ops.export_scene.fbx(
        filepath=str(path),
        check_existing=False,
        use_selection=True,
        object_types={"ARMATURE", "MESH"},
        add_leaf_bones=False,
        bake_anim=True,
        bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False,  # else every person gets everybody's actions
        bake_anim_simplify_factor=0.0,  # every frame as it is
        axis_forward="-Z",
        axis_up="Y",
    )


def _write_glb(path: Path) -> None:
    bpy.ops.export_scene.gltf(
        filepath=str(path),
        check_existing=False,
        export_format="GLB",
        use_selection=True,
        export_yup=True,
        export_animations=True,
        export_animation_mode="ACTIVE_ACTIONS",
        export_force_sampling=True,  # bakes the twist bones' constraints
        export_morph_normal=False,
    )


def _write_bvh(path: Path, armature: bpy.types.Object) -> None:
    scene = bpy.context.scene
    # Blender writes BVH in the armature's own axes, z up; everybody else reads it with y up.
    y_up = Matrix.Rotation(-math.pi / 2, 4, "X")
    _turn_rest(armature, y_up)
    try:
        bpy.ops.export_anim.bvh(
            filepath=str(path),
            check_existing=False,
            frame_start=scene.frame_start,
            frame_end=scene.frame_end,
            rotate_mode="ZXY",
        )
    finally:
        _turn_rest(armature, y_up.inverted())


def _turn_rest(armature: bpy.types.Object, turn: Matrix) -> None:
    """Turn the rest pose, and with it every pose: keys are relative to it."""
    armature.data.transform(turn)
    armature.data.update_tag()  # else the poses are evaluated on the old rest


def _write_usd(path: Path) -> None:
    bpy.ops.wm.usd_export(
        filepath=str(path),
        check_existing=False,
        selected_objects_only=True,
        export_animation=True,
        export_armatures=True,
        export_shapekeys=True,
        evaluation_mode="RENDER",
    )
