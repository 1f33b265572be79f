"""The operators of keys do what the functions do, in one undo, and say what is missing."""

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default import hund
from bl_ext.user_default.hund import preferences
from bl_ext.user_default.hund.bridge import action
from bl_ext.user_default.hund.bridge.keys import (
    looping,
    mirroring,
    reduce,
    smoothing,
    trimming,
)
from bl_ext.user_default.hund.operators import keys as operators
from key_motions import key_times, keyed_chain, walking
from retargeting import curves_of, retarget, source_character

NAMES = ("reduce_keys", "smooth_keys", "mirror_motion", "trim_motion", "loop_motion")
SELECTING = NAMES[:3]


@pytest.fixture(autouse=True)
def extension(monkeypatch, tmp_path):
    monkeypatch.setattr(preferences, "presets_folder", lambda: tmp_path)
    hund.register()
    yield
    hund.unregister()


def run(name, **options):
    return getattr(bpy.ops.hund, name)(**options)


def activate(armature):
    bpy.context.view_layer.objects.active = armature
    return armature


def test_the_operators_do_what_the_functions_do():
    armature = activate(walking()[0])
    known = operators.mapping_of(armature)
    fps = 30.0
    found = looping.find(armature, fps=fps, shortest=0.6, longest=3.0, mapping=known)
    functions = {
        "reduce_keys": lambda: reduce.reduce_keys(
            armature, reduce.Options(), fps=fps, mapping=known
        ),
        "smooth_keys": lambda: smoothing.smooth(
            armature, smoothing.Options(strength=0.25), fps=fps, mapping=known
        ),
        "mirror_motion": lambda: mirroring.mirror(armature, mirroring.Options(), mapping=known),
        "trim_motion": lambda: trimming.trim(armature, 10, 40, start=None),
        "loop_motion": lambda: looping.loop(
            armature, looping.Options(first=found.first, last=found.last), mapping=known
        ),
    }
    original = armature.animation_data.action
    slot = getattr(armature.animation_data, "action_slot", None)
    results = {}
    for name, function in functions.items():
        for run_it in (lambda name=name: run(name, **options(name)), function):
            armature.animation_data.action = original.copy()
            if slot:
                slots = armature.animation_data.action.slots
                armature.animation_data.action_slot = slots[slot.identifier]
            run_it()
            results.setdefault(name, []).append(curves_of(armature))
    for name, (given, expected) in results.items():
        assert given.keys() == expected.keys()
        assert all(np.allclose(given[key], expected[key], atol=1e-5) for key in given), name


def options(name):
    chosen = {"trim_motion": {"start": 10, "end": 40}, "smooth_keys": {"strength": 0.25}}
    return chosen.get(name, {})


@pytest.mark.parametrize("name", NAMES)
def test_one_undo_takes_all_of_it_back(name):
    armature = activate(walking()[0])
    label, before = armature.name, curves_of(armature)
    bpy.ops.ed.undo_push(message="Before")
    assert run(name, **options(name)) == {"FINISHED"}
    after = curves_of(armature)
    assert any(
        before[key].shape != after[key].shape or not np.array_equal(before[key], after[key])
        for key in before
    )
    bpy.ops.ed.undo_push(message="Edit")
    bpy.ops.ed.undo()
    restored = curves_of(bpy.data.objects[label])
    assert all(np.array_equal(before[key], restored[key]) for key in before)


@pytest.mark.parametrize("name", SELECTING)
def test_selected_bones_alone_are_edited(name):
    armature = activate(walking()[0])
    bpy.ops.object.mode_set(mode="POSE")
    for bone in armature.pose.bones:
        holder = bone if hasattr(bone, "select") else bone.bone
        holder.select = bone.name == "Upperarm.L"
    before = curves_of(armature)
    assert run(name, use_selected=True) == {"FINISHED"}
    after = curves_of(armature)
    changed = {key[0] for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {'pose.bones["Upperarm.L"].rotation_quaternion'}
    bpy.ops.object.mode_set(mode="OBJECT")


def test_nothing_else_is_changed():
    armature = activate(source_character(frames=40))
    mesh = next(child for child in armature.children if child.data.shape_keys)
    armature["dial"] = 1.0
    armature.keyframe_insert('["dial"]', frame=5)

    def others():
        keys = mesh.data.shape_keys.animation_data
        found = [curve for curve in action.channels_of(keys).fcurves]
        found += [
            curve
            for curve in action.channels_of(armature.animation_data).fcurves
            if not curve.data_path.startswith("pose.bones")
            and not curve.data_path.startswith('["hund_contact')
        ]
        return {
            (curve.data_path, curve.array_index): [tuple(key.co) for key in curve.keyframe_points]
            for curve in found
        }

    before = others()
    for name in SELECTING:
        assert run(name) == {"FINISHED"}
    assert before and others() == before


def test_what_is_missing_is_said():
    for name in NAMES:
        assert not getattr(bpy.ops.hund, name).poll()
    armature = activate(rig_tables.build("mixamo"))
    for name in NAMES:
        assert not getattr(bpy.ops.hund, name).poll()
    armature.animation_data_create().action = bpy.data.actions.new("Empty")
    for name in NAMES:
        with pytest.raises(RuntimeError, match="moves no bone"):
            run(name, **options(name))
    armature, _ = keyed_chain("QUATERNION")
    activate(armature)
    with pytest.raises(RuntimeError, match="is selected"):
        bpy.ops.object.mode_set(mode="POSE")
        bpy.ops.pose.select_all(action="DESELECT")
        run("smooth_keys", use_selected=True)
    bpy.ops.object.mode_set(mode="OBJECT")
    with pytest.raises(RuntimeError, match="outside of the range"):
        run("trim_motion", start=900, end=950)
    with pytest.raises(RuntimeError, match="at least 8 frames"):
        run("loop_motion", use_found=False, start=3, end=5)


def test_an_action_in_tweak_mode_is_refused():
    armature = activate(keyed_chain("QUATERNION")[0])
    animation = armature.animation_data
    strip = animation.nla_tracks.new().strips.new("motion", 1, animation.action)
    animation.action = None
    assert not bpy.ops.hund.mirror_motion.poll()
    strip.select = True
    animation.nla_tracks[0].select = True
    animation.nla_tracks.active = animation.nla_tracks[0]
    animation.use_tweak_mode = True
    assert animation.use_tweak_mode
    assert not bpy.ops.hund.mirror_motion.poll()


def test_the_operator_shows_the_cycle_that_it_found():
    armature = activate(walking()[0])
    assert run("loop_motion", in_place=True) == {"FINISHED"}
    first, last = key_times(armature)[[0, -1]]
    assert last - first == 30
    item = armature.animation_data.action
    assert (item.frame_start, item.frame_end) == (first, last)


def test_the_trimmed_motion_moves_to_the_start_of_the_scene():
    armature = activate(keyed_chain("QUATERNION")[0])
    bpy.context.scene.frame_start = 101
    run("trim_motion", start=20, end=30, use_shift=True)
    assert key_times(armature)[[0, -1]].tolist() == [101, 111]


def test_keys_are_reduced_while_a_motion_is_applied():
    source, first = source_character(frames=60), rig_tables.build("mixamo")
    second = rig_tables.build("mixamo")
    settings = bpy.context.scene.hund.retarget
    settings.source, settings.target = source, first
    settings.keep_contacts, settings.reduce_keys, settings.key_tolerance_mm = False, True, 10
    assert bpy.ops.hund.retarget() == {"FINISHED"}
    retarget(source, second, "Mixamo")
    assert count(first) < 0.7 * count(second)
    options = reduce.Options(tolerance=0.01, contact_tolerance=0.002)
    reduce.reduce_keys(second, options, fps=30.0, mapping=operators.mapping_of(second))
    given, expected = curves_of(first), curves_of(second)
    assert all(np.array_equal(given[key], expected[key]) for key in given)


def count(armature):
    return sum(len(keys) for keys in curves_of(armature).values())
