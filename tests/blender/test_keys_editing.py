"""Smooth, Mirror, Trim and Loop: the laws of each, on plain skeletons and on our characters."""

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge import action, contact_curves
from bl_ext.user_default.hund.bridge.keys import (
    cycles,
    filters,
    looping,
    mirroring,
    reduce,
    smoothing,
    trimming,
)
from bl_ext.user_default.hund.bridge.keys.errors import KeysError
from bl_ext.user_default.hund.bridge.retarget import skeleton as skeletons
from key_motions import STEP_FRAMES, evaluated_joints, key_times, keyed_chain, walking
from retargeting import curves_of, mapping, retarget, source_character

FPS = 30.0


def lag(before, after):
    """Shift, in samples, at which two series are most alike, to half a sample."""
    shifts = range(-5, 6)
    count = len(before)
    middle = slice(10, count - 10)
    likeness = [-np.abs(np.roll(after, -shift)[middle] - before[middle]).sum() for shift in shifts]
    return list(shifts)[int(np.argmax(likeness))]


def wave(noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    times = np.arange(150)
    return np.sin(2 * np.pi * times / 40)[:, None] + noise * rng.normal(size=(150, 1))


# Smooth


@pytest.mark.parametrize("keep_extremes", [False, True])
def test_smoothing_has_no_lag_and_keeps_the_mean(keep_extremes):
    clean, noisy = wave(0), wave()
    smoothed = filters.smooth(noisy, 2.0, keep_extremes=keep_extremes)
    assert lag(clean[:, 0], smoothed[:, 0]) == 0
    assert abs(smoothed.mean() - noisy.mean()) < 0.01
    assert (
        np.abs(np.diff(smoothed, n=2, axis=0)).mean()
        < 0.2 * np.abs(np.diff(noisy, n=2, axis=0)).mean()
    )


def test_smoothing_reversed_motion_is_reversed_smoothing():
    noisy = wave()
    for keep_extremes in (False, True):
        forward = filters.smooth(noisy, 3.0, keep_extremes=keep_extremes)
        backward = filters.smooth(noisy[::-1].copy(), 3.0, keep_extremes=keep_extremes)[::-1]
        assert np.abs(forward - backward).max() < 0.02


def test_steady_motion_and_the_ends_stay():
    ramp = np.linspace(0, 3, 60)[:, None] * [1, -2]
    assert np.allclose(filters.smooth(ramp, 4.0, keep_extremes=True), ramp)
    noisy = wave()
    smoothed = filters.smooth(noisy, 4.0, keep_extremes=False)
    assert np.allclose(smoothed[[0, -1]], noisy[[0, -1]])


def test_extremes_keep_their_height_and_time():
    clean = wave(0)
    kept = filters.smooth(clean, 5.0, keep_extremes=True)
    lowered = filters.smooth(clean, 5.0, keep_extremes=False)
    top = 30 + int(clean[30:70].argmax())
    assert abs(kept[top] - clean[top]) < 0.04
    assert clean[top] - lowered[top] > 0.2
    assert abs(30 + int(kept[30:70].argmax()) - top) <= 1


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
def test_smoothed_keys_are_on_the_same_frames(mode):
    armature, _ = keyed_chain(mode)
    before = curves_of(armature)
    smoothing.smooth(armature, smoothing.Options(keep_contacts=False), fps=FPS)
    after = curves_of(armature)
    for name, keys in before.items():
        if np.ptp(keys[:, 1]) > 1e-5:
            assert np.array_equal(keys[:, 0], after[name][:, 0])


def test_few_keys_stay_few_when_smoothed():
    armature, _ = keyed_chain("QUATERNION")
    reduce.reduce_keys(armature, reduce.Options(), fps=FPS)
    before = curves_of(armature)
    smoothing.smooth(armature, smoothing.Options(keep_contacts=False), fps=FPS)
    after = curves_of(armature)
    assert all(np.array_equal(before[name][:, 0], after[name][:, 0]) for name in before)
    assert any(not np.allclose(before[name], after[name], atol=1e-4) for name in before)


def test_feet_in_contact_stay_when_smoothed():
    source, contacts = walking()
    target = rig_tables.build("mixamo")
    retarget(source, target, "Mixamo", contacts=contacts)
    frames, rig = key_times(target), mapping(target, "Mixamo")
    before = evaluated_joints(target, frames)
    options = smoothing.Options(strength=0.6, keep_extremes=False)
    smoothed = smoothing.smooth(target, options, fps=FPS, mapping=rig, contacts=contacts)
    after = evaluated_joints(target, frames)
    order = [bone.name for bone in target.data.bones]
    assert smoothed.sliding == ()
    distance = np.linalg.norm(after - before, axis=-1)
    assert distance.max() > 0.02  # something was smoothed
    for side in "LR":
        rows = contacts[side].max(-1) > 0.9
        for role in ("foot", "toe"):
            assert distance[rows, order.index(rig.bones[f"{role}.{side}"])].max() < 2e-3


# Mirror


@pytest.mark.parametrize("rig", ["HUND", "mixamo", "makehuman"])
@pytest.mark.parametrize("is_reduced", [False, True])
def test_mirrored_twice_a_motion_is_itself(rig, is_reduced):
    armature = source_character(frames=30)
    preset = "HUND"
    if rig != "HUND":
        preset = {"mixamo": "Mixamo", "makehuman": "MPFB Default"}[rig]
        target = rig_tables.build(rig, rolls=np.random.default_rng(1))
        target.location, target.rotation_euler = (1, 2, 0), (0, 0, 0.8)
        bpy.context.view_layer.update()
        retarget(armature, target, preset)
        armature = target
    if is_reduced:
        reduce.reduce_keys(armature, reduce.Options(tolerance=0.01), fps=FPS)
    frames, known = key_times(armature), mapping(armature, preset)
    before, keys = evaluated_joints(armature, frames), curves_of(armature)
    mirroring.mirror(armature, mirroring.Options(), mapping=known)
    once = evaluated_joints(armature, frames)
    mirroring.mirror(armature, mirroring.Options(), mapping=known)
    twice = evaluated_joints(armature, frames)
    assert np.abs(once - before).max() > 0.1
    assert np.abs(twice - before).max() < (2e-3 if is_reduced else 1e-4)
    if not is_reduced:
        after = curves_of(armature)
        assert all(np.allclose(keys[name][:, 0], after[name][:, 0]) for name in keys)


def test_a_mirrored_motion_is_the_reflection_in_the_facing_plane():
    armature = source_character(frames=12)
    known = mapping(armature, "HUND")
    frames = key_times(armature)
    names = [bone.name for bone in armature.data.bones if bone.use_deform]
    before = evaluated_joints(armature, frames, names)
    mirroring.mirror(armature, mirroring.Options(), mapping=known)
    after = evaluated_joints(armature, frames, names)
    other = mirroring.counterparts(skeletons.read(armature), known)
    order = [names.index(other[name]) for name in names]
    order += [len(names) + place for place in order]
    left, right = (names.index(known.bones[f"thigh.{side}"]) for side in "LR")
    # The plane of the first frame maps the hip joints onto each other but for their heights.
    side = (before[0, left] - before[0, right]) * [1, 1, 0]
    side /= np.linalg.norm(side)
    middle = (before[0, left] + before[0, right]) / 2
    reflected = before - 2 * ((before - middle) @ side)[..., None] * side
    assert np.abs(after - reflected[:, order]).max() < 2e-3
    assert np.allclose((after[0, left] + after[0, right]) / 2, middle, atol=1e-3)


def test_bones_of_selected_names_alone_are_mirrored():
    armature = source_character(frames=12)
    before = curves_of(armature)
    mirroring.mirror(
        armature,
        mirroring.Options(bones=frozenset({"Upperarm.L"})),
        mapping=mapping(armature, "HUND"),
    )
    after = curves_of(armature)
    changed = {
        path
        for path, index in before
        if not np.array_equal(before[path, index], after[path, index])
    }
    assert changed == {'pose.bones["Upperarm.L"].rotation_quaternion'}


def test_contact_curves_change_sides():
    armature, _ = walking()
    frames = key_times(armature)
    if not contact_curves.are_on(armature):
        pytest.skip("characters have no contact curves")
    before = contact_curves.read(armature, frames)
    mirroring.mirror(armature, mirroring.Options(), mapping=mapping(armature, "HUND"))
    after = contact_curves.read(armature, frames)
    assert np.array_equal(before["L"], after["R"]) and np.array_equal(before["R"], after["L"])
    assert not np.array_equal(before["L"], before["R"])


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("arm.L", "arm.R"), True),
        (("l_arm", "r_arm"), True),
        (("rig:LeftArm", "rig:RightArm"), True),
        (("Bip001 L Hand", "Bip001 R Hand"), True),
        (("first", "second"), False),
    ],
)
def test_counterparts_by_name(names, pairs):
    armature = rig_tables.link(bpy.data.armatures.new("pair"), "pair")
    bpy.ops.object.mode_set(mode="EDIT")
    for index, name in enumerate(names):
        armature.data.edit_bones.new(name).tail = (index, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    found = mirroring.counterparts(skeletons.read(armature), None)
    assert (found[names[0]] == names[1]) == pairs
    assert all(found[found[name]] == name for name in names)


# Trim


@pytest.mark.parametrize("is_reduced", [False, True])
@pytest.mark.parametrize(("first", "last", "start"), [(20, 50, None), (20, 50, 101), (21, 22, 1)])
def test_trimming_changes_nothing_inside(is_reduced, first, last, start):
    armature, _ = keyed_chain("QUATERNION")
    if is_reduced:
        reduce.reduce_keys(armature, reduce.Options(), fps=FPS)
    times = np.arange(first, last + 0.01, 0.5)
    before = evaluated_joints(armature, times)
    trimming.trim(armature, first, last, start=start)
    shift = 0 if start is None else start - first
    assert np.abs(evaluated_joints(armature, times + shift) - before).max() < 1e-4
    for keys in curves_of(armature).values():
        if len(keys) > 1:
            assert keys[0, 0] == first + shift and keys[-1, 0] == last + shift


@pytest.mark.parametrize("kind", ["AUTO", "AUTO_CLAMPED", "VECTOR", "ALIGNED", "FREE"])
def test_trimmed_béziers_keep_their_shape(kind):
    armature, _ = keyed_chain("QUATERNION", bones=1)
    curve = action.fcurves(armature.animation_data.action)[0]
    rng = np.random.default_rng(0)
    curve.keyframe_points.clear()
    for frame in (1, 9, 24, 31, 60):
        key = curve.keyframe_points.insert(frame, rng.normal())
        key.interpolation = "BEZIER"
        key.handle_left_type = key.handle_right_type = kind
        if kind == "FREE":
            key.handle_left, key.handle_right = (frame - 9, 3), (frame + 12, -2)
    curve.update()
    times = np.arange(13, 41.01, 0.25)
    before = [curve.evaluate(time) for time in times]
    trimming.trim_curve(curve, 13, 41, 0.0)
    assert np.abs(np.array([curve.evaluate(time) for time in times]) - before).max() < 1e-3
    assert [key.co.x for key in curve.keyframe_points] == [13, 24, 31, 41]


def test_the_face_stays_in_time_with_the_body():
    armature = source_character(frames=30)
    mesh = next(child for child in armature.children if child.data.shape_keys)
    keys = mesh.data.shape_keys

    def values(frame):
        bpy.context.scene.frame_set(frame)
        return np.array([block.value for block in keys.key_blocks])

    before = values(12)
    trimming.trim(armature, 10, 20, start=1)
    assert np.allclose(values(3), before, atol=1e-5)
    assert not np.allclose(values(8), before, atol=1e-2)


def test_an_empty_range_is_refused():
    armature, _ = keyed_chain("QUATERNION")
    for first, last in ((30, 20), (200, 300), (-9, 1)):
        with pytest.raises(KeysError, match="range"):
            trimming.trim(armature, first, last, start=None)


# Loop


def test_the_cycle_of_a_walk_is_found():
    armature, _ = walking()
    found = looping.find(
        armature, fps=FPS, shortest=0.6, longest=3.0, mapping=mapping(armature, "HUND")
    )
    assert found.last - found.first == 2 * STEP_FRAMES
    assert found.difference < 1e-3


def test_standing_still_is_no_cycle():
    rng = np.random.default_rng(0)
    still = np.zeros((40, 6)) + 1e-4 * rng.normal(size=(40, 6))
    phase = 2 * np.pi * np.arange(60)[:, None] / 25
    moving = np.sin(phase + np.arange(6))
    found = cycles.find(np.concatenate((still, moving)), 10, 60)
    assert found.first >= 35 and found.last - found.first in {25, 50}


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "AXIS_ANGLE"])
@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("is_reduced", [False, True])
def test_a_loop_closes_in_pose_and_velocity(mode, in_place, is_reduced):
    armature, _ = keyed_chain(mode)
    if is_reduced:
        reduce.reduce_keys(armature, reduce.Options(), fps=FPS)
    first, last = 15, 55
    assert_loop(armature, None, first, last, in_place)


@pytest.mark.parametrize("in_place", [True, False])
def test_a_walk_loops_in_place_or_travels_on(in_place):
    armature, _ = walking()
    start = evaluated_joints(armature, np.array([11.0, 41.0]), ["Pelvis"])[:, 0]
    travel = assert_loop(armature, mapping(armature, "HUND"), 11, 41, in_place)
    expected = 0 if in_place else np.linalg.norm((start[1] - start[0])[:2])
    assert abs(np.linalg.norm(travel[:2]) - expected) < 1e-3
    assert armature.animation_data.action.use_cyclic


def assert_loop(armature, known, first, last, in_place):
    """The first pose comes again, moved over the floor if it travels; return the travel."""
    frames = np.arange(first, last + 1.0)
    rough = np.abs(np.diff(evaluated_joints(armature, frames), n=2, axis=0)).max()
    options = looping.Options(first=first, last=last, in_place=in_place)
    assert looping.loop(armature, options, mapping=known) == last - first
    joints = evaluated_joints(armature, frames)
    travel = joints[-1, 0] - joints[0, 0]
    assert abs(travel[2]) < 1e-4
    if in_place:
        assert np.abs(travel).max() < 1e-4
    assert np.abs(joints[-1] - joints[0] - travel).max() < 1e-4
    jump = (joints[1] - joints[0]) - (joints[-1] - joints[-2])
    assert np.abs(jump).max() < max(2 * rough, 1e-3)
    assert key_times(armature)[[0, -1]].tolist() == [first, last]
    return travel


def test_a_loop_needs_frames():
    armature, _ = keyed_chain("QUATERNION")
    for first, last in ((10, 12), (-5, 40), (40, 400)):
        with pytest.raises(KeysError, match="at least 8 frames"):
            looping.loop(armature, looping.Options(first=first, last=last))
    with pytest.raises(KeysError, match="shorter than a cycle"):
        looping.find(armature, fps=FPS, shortest=9, longest=10)
