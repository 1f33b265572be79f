"""A source character with large motion, and what the tests of retargeting measure."""

import bpy
import numpy as np
from bl_ext.user_default.hund.bridge import scene
from bl_ext.user_default.hund.bridge.retarget import presets
from bl_ext.user_default.hund.bridge.retarget.apply import Options, apply_motion
from rig_tables import angle_deg, directions, heads
from synthetic_people import build_reconstruction

PRESETS = presets.load(None)
LIMBS = tuple(
    (f"{a}.{side}", f"{b}.{side}")
    for side in "LR"
    for a, b in (
        ("upper_arm", "forearm"),
        ("forearm", "hand"),
        ("thigh", "shin"),
        ("shin", "foot"),
    )
)
FK = Options(keep_contacts=False)


def source_character(frames=8, seed=0, **options):
    """A character of ours with large smooth motion of all joints."""
    reconstruction = build_reconstruction(frames=frames, seed=seed, **options)
    (character,) = scene.write(bpy.context, reconstruction, match_scene=True).people
    return character


def mapping(armature, preset):
    """The mapping of an armature by a preset."""
    return presets.resolve(PRESETS[preset], armature)


def retarget(source, target, preset, options=FK, **more):
    """Apply the motion of a character of ours by a preset."""
    return apply_motion(
        source, mapping(source, "HUND"), target, mapping(target, preset), options, **more
    )


def limb_errors(source, target, preset, frame, pairs=LIMBS):
    """Angles between the directions of the same limbs at a frame, degrees."""
    found = []
    for armature, names in ((source, mapping(source, "HUND")), (target, mapping(target, preset))):
        bones = names.bones
        points = heads(armature, list(bones.values()), frame)
        by_role = {role: points[bone] for role, bone in bones.items()}
        found.append(directions(by_role, pairs))
    return {pair: angle_deg(found[0][pair], found[1][pair]) for pair in pairs}


def curves_of(armature):
    """F-curves of an armature's own slot by path and component, as arrays of frame and value."""
    animation = armature.animation_data
    if bpy.app.version < (4, 4):
        curves = list(animation.action.fcurves)
    else:
        bag = animation.action.layers[0].strips[0].channelbag(animation.action_slot)
        curves = list(bag.fcurves)
    result = {}
    for curve in curves:
        values = np.empty(2 * len(curve.keyframe_points), np.float32)
        curve.keyframe_points.foreach_get("co", values)
        result[curve.data_path, curve.array_index] = values.reshape(-1, 2)
    return result


def channel(armature, bone, path):
    """Values of one property over its keys, (frames, components)."""
    curves = curves_of(armature)
    full = f'pose.bones["{bone}"].{path}'
    indices = sorted(index for name, index in curves if name == full)
    return np.stack([curves[full, index][:, 1] for index in indices], axis=1)


def rig_state(armature):
    """All of a rig that retargeting must leave alone."""
    return {
        "matrix": np.array(armature.matrix_world).tolist(),
        "bones": [
            (bone.name, np.array(bone.matrix_local).tolist()) for bone in armature.data.bones
        ],
        "pose": [
            (
                bone.name,
                bone.rotation_mode,
                list(bone.lock_location),
                list(bone.lock_rotation),
                [(item.type, item.name) for item in bone.constraints],
                sorted((key, str(value)) for key, value in bone.items() if key != "_RNA_UI"),
            )
            for bone in armature.pose.bones
        ],
    }


def datablock_counts():
    """Number of datablocks of each kind."""
    return {
        name: len(getattr(bpy.data, name))
        for name in ("actions", "armatures", "objects", "scenes", "collections", "meshes")
    }
