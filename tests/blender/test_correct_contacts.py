"""Contacts as curves, and feet that are locked by them on any rig."""

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge import action, contact_curves, scene
from bl_ext.user_default.hund.bridge.retarget import feet, lock_feet, source_motion
from bl_ext.user_default.hund.bridge.retarget.apply import Options
from bl_ext.user_default.hund.bridge.retarget.errors import RetargetError
from conftest import MODULE
from retargeting import curves_of, mapping, retarget
from synthetic_people import build_reconstruction
from test_retarget_feet import DRIFT, FPS, FRAMES, PENETRATION, walking_character
from test_retarget_mapping import short_legs

RUNS = {"L": (8, 16), "R": (20, 30)}  # frames of the scene


def with_contacts(**options):
    flags = np.zeros((1, FRAMES, 4), np.float32)
    flags[0, 5:20, 0], flags[0, 8:25, 1], flags[0, 30:50, 3] = 0.9, 0.95, 0.8
    flags[0, 40, 2] = 1.0  # too short to be one
    reconstruction = build_reconstruction(frames=FRAMES, contacts=flags, **options)
    (character,) = scene.write(bpy.context, reconstruction, match_scene=True).people
    return character


def key_contacts(armature, contacts):
    """Key contacts of both feet, first and last frame of the scene."""
    frames = np.arange(1, FRAMES + 1, dtype=float)
    flags = np.zeros((FRAMES, 4), bool)
    for side, (first, last) in contacts.items():
        column = 2 * "LR".index(side)
        flags[first - 1 : last, column : column + 2] = True
    channels = action.channels_of(armature.animation_data)
    contact_curves.write(channels, armature, frames, flags)


def balls_and_soles(armature, preset):
    frames = np.arange(1, FRAMES + 1, dtype=float)
    names = mapping(armature, preset)
    motion = source_motion.read(armature, names, frames, lambda share: None).motion
    return {
        side: (motion.positions[f"toe.{side}"], feet.sole_points(motion, side)[..., 2])
        for side in "LR"
    }, motion


def test_contacts_stand_in_the_action_with_constant_keys():
    character = with_contacts()
    curves = curves_of(character)
    found = contact_curves.read(character, np.arange(1, FRAMES + 1, dtype=float))
    assert np.flatnonzero(found["L"][:, 0]).tolist() == list(range(5, 20))
    assert np.flatnonzero(found["L"][:, 1]).tolist() == list(range(8, 25))
    assert np.flatnonzero(found["R"][:, 1]).tolist() == list(range(30, 50))
    assert not found["R"][:, 0].any()
    for part in contact_curves.PARTS:
        path = contact_curves.data_path(part)
        assert 1 <= len(curves[path, 0]) <= 3
        curve = action.channels_of(character.animation_data).fcurves.find(path)
        assert all(point.interpolation == "CONSTANT" for point in curve.keyframe_points)
        assert curve.group.name == contact_curves.GROUP


@pytest.mark.parametrize("frame", [5, 6, 25, 26])
def test_contacts_are_properties_that_animate(frame):
    character = with_contacts()
    bpy.context.scene.frame_set(frame)
    assert bool(character["hund_contact_heel_L"]) == (6 <= frame < 21)
    assert bool(character["hund_contact_toe_L"]) == (9 <= frame < 26)


def test_contacts_are_no_change_of_the_animator():
    from bl_ext.user_default.hund.bridge import edits

    character = with_contacts()
    (collection,) = character.users_collection
    assert not edits.changes(collection)
    curve = action.channels_of(character.animation_data).fcurves.find(
        contact_curves.data_path("toe_L")
    )
    curve.keyframe_points[1].co.x += 3
    assert [change.aspect for change in edits.changes(collection)] == ["key"]


@pytest.mark.parametrize("legs", [0.8, 1.0])
@pytest.mark.parametrize("kind", ["ours", "mixamo"])
def test_edited_contacts_lock_the_feet(kind, legs):
    armature, preset = walking_character(), "HUND"
    if kind == "mixamo":
        target = rig_tables.build("mixamo", place=short_legs(legs))
        retarget(armature, target, "Mixamo", Options(keep_contacts=False))
        armature, preset = target, "Mixamo"
    key_contacts(armature, RUNS)
    before, motion = balls_and_soles(armature, preset)
    lengths = limb_lengths(motion)
    keys = curves_of(armature)
    locked = lock_feet.lock_feet(armature, mapping(armature, preset))
    assert locked.runs == 2 and locked.frames > 15
    after, solved = balls_and_soles(armature, preset)
    for side, (first, last) in RUNS.items():
        balls, heights = after[side]
        span = slice(first - 1, last)
        speeds = np.linalg.norm(np.diff(balls[span, :2], axis=0), axis=-1) * FPS
        assert speeds.max() < DRIFT
        assert np.abs(heights[span].min(1)).max() < PENETRATION
        assert heights.min() > -PENETRATION
        # Eased: no frame jumps.
        change = np.linalg.norm(balls - before[side][0], axis=-1)
        assert np.abs(np.diff(change)).max() < 0.04
    assert np.allclose(limb_lengths(solved), lengths, rtol=1e-3)
    # The hips move less than the feet, and no other bone has new keys.
    hips = np.linalg.norm(solved.positions["hips"] - motion.positions["hips"], axis=-1)
    assert hips.max() < 0.05
    changed = {
        path
        for (path, index), values in keys.items()
        if not np.array_equal(values, curves_of(armature)[path, index])
    }
    names = mapping(armature, preset).bones
    legs_and_hips = {
        names[role]
        for role in ("hips", *(f"{n}.{s}" for n in ("thigh", "shin", "foot") for s in "LR"))
    }
    assert {path.split('"')[1] for path in changed} <= legs_and_hips


def limb_lengths(motion):
    return np.array(
        [
            np.linalg.norm(motion.positions[f"shin.{s}"] - motion.positions[f"{n}.{s}"], axis=-1)
            for s in "LR"
            for n in ("thigh", "foot")
        ]
    )


def test_locking_again_changes_little():
    armature = walking_character()
    key_contacts(armature, RUNS)
    lock_feet.lock_feet(armature, mapping(armature, "HUND"))
    once, _ = balls_and_soles(armature, "HUND")
    lock_feet.lock_feet(armature, mapping(armature, "HUND"))
    twice, _ = balls_and_soles(armature, "HUND")
    for side in "LR":
        assert np.abs(twice[side][0] - once[side][0]).max() < 3e-3


def samples_of(armature):
    """Values of all curves at the frames of the motion."""
    curves = action.channels_of(armature.animation_data).fcurves
    return {
        (curve.data_path, curve.array_index): np.array(
            [curve.evaluate(frame) for frame in range(1, FRAMES + 1)]
        )
        for curve in curves
    }


def test_a_range_leaves_frames_outside_as_they_are():
    armature = walking_character()
    key_contacts(armature, RUNS | {"L": (35, 50)})
    before = samples_of(armature)
    lock_feet.lock_feet(armature, mapping(armature, "HUND"), limits=(18, 30))
    after = samples_of(armature)
    ease = lock_feet.EASE * FPS + 1
    outside = np.arange(1, FRAMES + 1)
    outside = (outside < 18 - ease) | (outside > 30 + ease)
    assert all(np.allclose(v[outside], after[k][outside], atol=1e-6) for k, v in before.items())
    balls, _ = balls_and_soles(armature, "HUND")[0]["R"]
    speeds = np.linalg.norm(np.diff(balls[19:30, :2], axis=0), axis=-1) * FPS
    assert speeds.max() < DRIFT


def test_a_target_takes_the_contacts_of_its_source():
    source, target = walking_character(), rig_tables.build("mixamo", place=short_legs(1.2))
    key_contacts(source, RUNS)
    retarget(source, target, "Mixamo", Options(keep_contacts=False))
    assert not contact_curves.are_on(target)  # nothing of the rig is changed unasked
    lock_feet.lock_feet(target, mapping(target, "Mixamo"))
    balls, _ = balls_and_soles(target, "Mixamo")[0]["L"]
    speeds = np.linalg.norm(np.diff(balls[7:16, :2], axis=0), axis=-1) * FPS
    assert speeds.max() < DRIFT
    count = lock_feet.add_contacts(target, mapping(target, "Mixamo"), use_source=True)
    frames = np.arange(1, FRAMES + 1, dtype=float)
    own, theirs = (contact_curves.read(each, frames) for each in (target, source))
    assert count == 2 and all(np.array_equal(own[side], theirs[side]) for side in "LR")


def test_contacts_are_found_in_the_motion_where_none_are_known():
    source, target = walking_character(), rig_tables.build("mixamo")
    retarget(source, target, "Mixamo", Options())
    count = lock_feet.add_contacts(target, mapping(target, "Mixamo"), use_source=False)
    assert count >= 2 and contact_curves.are_on(target)


def test_feet_on_a_step_stay_on_it():
    """A contact well above the floor keeps its height."""
    armature = walking_character()
    channels = action.channels_of(armature.animation_data)
    for index in range(3):
        curve = channels.fcurves.find('pose.bones["Pelvis"].location', index=index)
        axis = np.array(armature.data.bones["Pelvis"].matrix_local)[2, index]
        for point in curve.keyframe_points:
            point.co.y += 0.4 * axis
    key_contacts(armature, RUNS)
    lock_feet.lock_feet(armature, mapping(armature, "HUND"))
    for side, (first, last) in RUNS.items():
        heights = balls_and_soles(armature, "HUND")[0][side][1][first - 1 : last].min(1)
        assert np.ptp(heights) < PENETRATION and abs(np.median(heights) - 0.4) < 0.05


@pytest.mark.parametrize("wrong", ["action", "mesh", "legs", "range"])
def test_wrong_use_is_refused_in_a_sentence(wrong):
    armature = walking_character()
    names, limits = mapping(armature, "HUND"), None
    if wrong == "action":
        armature.animation_data.action = None
    elif wrong == "mesh":
        armature = next(obj for obj in bpy.data.objects if obj.type == "MESH")
    elif wrong == "legs":
        from dataclasses import replace

        bones = {r: b for r, b in names.bones.items() if not r.startswith("shin")}
        names = replace(names, bones=bones)
    else:
        limits = (500, 600)
    with pytest.raises(RetargetError, match=r"\.$"):
        lock_feet.lock_feet(armature, names, limits)


def test_the_operators_do_what_the_functions_do():
    bpy.ops.preferences.addon_enable(module=MODULE)
    try:
        armature = walking_character()
        key_contacts(armature, RUNS)
        bpy.context.view_layer.objects.active = armature
        assert bpy.ops.hund.lock_feet() == {"FINISHED"}
        by_operator = curves_of(armature)
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        armature = walking_character()
        key_contacts(armature, RUNS)
        lock_feet.lock_feet(armature, mapping(armature, "HUND"))
        by_function = curves_of(armature)
        assert by_operator.keys() == by_function.keys()
        assert all(np.allclose(by_operator[k], by_function[k], atol=1e-5) for k in by_function)
        rig = rig_tables.build("mixamo")
        bpy.context.view_layer.objects.active = rig
        assert not bpy.ops.hund.lock_feet.poll() and not bpy.ops.hund.add_contacts.poll()
        retarget(armature, rig, "Mixamo", Options())
        assert bpy.ops.hund.add_contacts() == {"FINISHED"} and contact_curves.are_on(rig)
    finally:
        bpy.ops.preferences.addon_disable(module=MODULE)
