"""Wrong use of retargeting: it is refused in one sentence, and nothing is left or lost."""

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge.retarget import apply, detection, steps
from bl_ext.user_default.hund.bridge.retarget.apply import Options, apply_motion
from bl_ext.user_default.hund.bridge.retarget.errors import RetargetError
from bl_ext.user_default.hund.bridge.retarget.mapping import RigMapping
from retargeting import (
    FK,
    LIMBS,
    PRESETS,
    curves_of,
    datablock_counts,
    limb_errors,
    mapping,
    retarget,
    rig_state,
    source_character,
)


def refused(match, *arguments, options=FK):
    """Check that a motion is refused in one sentence and that nothing is changed."""
    counts = datablock_counts()
    with pytest.raises(RetargetError, match=match) as caught:
        apply_motion(*arguments, options)
    text = str(caught.value)
    assert text.endswith(".") and text.count(". ") == 0
    assert datablock_counts() == counts


def add_bone(armature, name, head, tail, parent):
    """Add a bone to an armature."""
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    bone = armature.data.edit_bones.new(name)
    bone.head, bone.tail = head, tail
    bone.parent = armature.data.edit_bones[parent]
    bpy.ops.object.mode_set(mode="OBJECT")


def test_what_is_no_rig_is_refused():
    source, target = source_character(), rig_tables.build("mixamo")
    own, names = mapping(source, "HUND"), mapping(target, "Mixamo")
    empty = bpy.data.objects.new("Empty", None)
    still = rig_tables.build("cmu")
    refused("not an armature", source, own, empty, names)
    refused("Nothing is not an armature", source, own, None, names)
    refused("not an armature", empty, own, target, names)
    refused("the same armature", source, own, source, own)
    refused("has no motion", still, mapping(still, "CMU BVH"), target, names)
    bare = rig_tables.link(bpy.data.armatures.new("Bare"), "Bare")
    refused("has no bone", source, own, bare, names)
    with pytest.raises(RetargetError, match="has no bones"):
        detection.detect(bare, PRESETS)


def test_mappings_that_cannot_be_used_are_refused():
    source, target = source_character(), rig_tables.build("mixamo")
    own, names = mapping(source, "HUND"), mapping(target, "Mixamo")
    shin = target.data.bones["mixamorig:LeftLeg"]
    add_bone(target, "Flat", shin.head_local, shin.tail_local, "mixamorig:LeftUpLeg")
    few = RigMapping(bones={"hips": "mixamorig:Hips", "head": "mixamorig:Head"})
    twice = RigMapping(bones={**names.bones, "head": "mixamorig:Hips"})
    wrong = RigMapping(bones={**names.bones, "shin.L": "mixamorig:Hat"})
    flat = RigMapping(bones={**names.bones, "shin.L": "Flat", "foot.L": "mixamorig:LeftLeg"})
    refused("Only", source, own, target, few)
    refused("mapped twice", source, own, target, twice)
    refused("has no bone", source, own, target, wrong)
    refused("has no length", source, own, target, flat)
    refused("names no IK controls", source, own, target, names, options=Options(controls="IK"))
    target.scale = (1, 2, 1)
    bpy.context.view_layer.update()
    refused("unevenly", source, own, target, names)


def test_bones_almost_without_length_are_no_obstacle():
    source, target = source_character(), rig_tables.build("mixamo")
    for bone in ("mixamorig:LeftForeArm", "mixamorig:Spine1"):
        head = target.data.bones[bone].head_local
        add_bone(target, f"{bone} helper", head, head + rig_tables.Vector((0, 0, 1e-5)), bone)
    found = detection.detect(target, PRESETS).mapping
    apply_motion(source, mapping(source, "HUND"), target, found, FK)
    assert max(limb_errors(source, target, "Mixamo", 4).values()) < 1


def test_a_body_without_feet_is_animated_without_contacts():
    source = source_character()
    target = rig_tables.build("mixamo", keep=lambda bone: "Foot" not in bone and "Toe" not in bone)
    assert retarget(source, target, "Mixamo", Options()).lowered == 0
    pairs = tuple(pair for pair in LIMBS if not pair[1].startswith("foot"))
    assert max(limb_errors(source, target, "Mixamo", 4, pairs).values()) < 1


def test_exchanged_names_of_the_sides_move_the_right_limbs():
    def exchange(bone):
        left, right = ("Left", "Right") if "Left" in bone else ("Right", "Left")
        return bone.replace(left, right)

    source, target = source_character(), rig_tables.build("mixamo", rename=exchange)
    found = detection.detect(target, PRESETS)
    assert found.notes
    apply_motion(source, mapping(source, "HUND"), target, found.mapping, FK)
    plain = rig_tables.build("mixamo")
    retarget(source, plain, "Mixamo")
    names = list(mapping(plain, "Mixamo").bones.values())
    expected = rig_tables.heads(plain, names, 5)
    points = rig_tables.heads(target, [exchange(name) for name in names], 5)
    for name in names:
        assert np.abs(points[exchange(name)] - expected[name]).max() < 1e-4


def test_modes_in_which_keys_would_be_lost_are_refused():
    source, target = source_character(), rig_tables.build("mixamo")
    own, names = mapping(source, "HUND"), mapping(target, "Mixamo")
    bpy.ops.object.mode_set(mode="EDIT")
    refused("Edit Mode", source, own, target, names)
    bpy.ops.object.mode_set(mode="OBJECT")
    target.pose.bones[names.bones["hips"]].lock_location = (True, True, True)
    refused("is locked", source, own, target, names)
    target.pose.bones[names.bones["hips"]].lock_location = (False, False, False)
    animation = target.animation_data_create()
    strip = animation.nla_tracks.new().strips.new("Wave", 1, bpy.data.actions.new("Wave"))
    strip.action.use_fake_user = True
    animation.nla_tracks[0].select = strip.select = True
    try:
        animation.use_tweak_mode = True
    except (AttributeError, RuntimeError):
        return
    if animation.use_tweak_mode:
        refused("tweak mode", source, own, target, names)


def test_another_armature_s_action_is_left_alone():
    source, target, other = source_character(), rig_tables.build("mixamo"), rig_tables.build("cmu")
    retarget(source, target, "Mixamo")
    shared = target.animation_data.action
    before = {key: values.copy() for key, values in curves_of(target).items()}
    other.animation_data_create().action = shared
    retarget(source, other, "CMU BVH")
    assert target.animation_data.action == shared != other.animation_data.action
    after = curves_of(target)
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[key], before[key]) for key in after)


def test_several_armatures_of_one_datablock_get_motions_of_their_own():
    source, first = source_character(), rig_tables.build("mixamo")
    second = first.copy()
    bpy.context.scene.collection.objects.link(second)
    retarget(source, first, "Mixamo")
    retarget(source, second, "Mixamo")
    assert first.data == second.data
    assert first.animation_data.action != second.animation_data.action


@pytest.mark.parametrize("chunks", [1, 3])
def test_work_that_is_left_leaves_nothing(chunks):
    source, target = source_character(frames=200, moves_face=False), rig_tables.build("mixamo")
    holder = bpy.data.objects.new("Holder", None)
    bpy.context.scene.collection.objects.link(holder)
    source.constraints.new("COPY_LOCATION").target = holder  # evaluated frame by frame
    before, counts = rig_state(target), datablock_counts()
    task = apply.Task(
        source=source,
        source_mapping=mapping(source, "HUND"),
        target=target,
        target_mapping=mapping(target, "Mixamo"),
    )
    work = apply.apply_all([task], FK, steps.Pace(1e-4))
    for _ in range(chunks):
        next(work)
    work.close()
    assert rig_state(target) == before and datablock_counts() == counts
    assert target.animation_data is None


def test_undo_takes_back_the_last_motion_only():
    source, target = source_character(), rig_tables.build("mixamo")
    target.name = "Target"
    bpy.ops.ed.undo_push(message="Before")
    retarget(source, target, "Mixamo")
    bpy.ops.ed.undo_push(message="First")
    source, target = bpy.data.objects[source.name], bpy.data.objects["Target"]
    retarget(source, target, "Mixamo", Options(travel="VIDEO"))
    bpy.ops.ed.undo_push(message="Second")
    assert len([a for a in bpy.data.actions if "hund_retargeted" in a]) == 2
    bpy.ops.ed.undo()
    assert len([a for a in bpy.data.actions if "hund_retargeted" in a]) == 1
    assert bpy.data.objects["Target"].animation_data.action is not None
    bpy.ops.ed.undo()
    assert bpy.data.objects["Target"].animation_data is None
