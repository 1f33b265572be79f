"""Reduce Keys: joints stay within the tolerance in every frame, and there are few keys."""

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge import action
from bl_ext.user_default.hund.bridge.keys import bezier, reduce, turning_points
from bl_ext.user_default.hund.bridge.keys.errors import KeysError
from key_motions import evaluated_joints, key_times, keyed_chain, walking
from retargeting import curves_of, mapping, retarget
from synthetic_people import random_motion

TOLERANCE, IN_CONTACT = 0.005, 0.002
ROUNDING = 2e-5  # metres: single precision of Blender's matrices


def reduced(armature, frames, **options):
    """Joints before and after a reduction, and what it says."""
    before = evaluated_joints(armature, frames)
    result = reduce.reduce_keys(armature, reduce.Options(**options), fps=30.0)
    return before, evaluated_joints(armature, frames), result


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "ZYX", "AXIS_ANGLE"])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_joint_is_off_by_more_in_any_frame(mode, seed):
    armature, frames = keyed_chain(mode, seed=seed)
    before, after, result = reduced(armature, frames)
    distance = np.linalg.norm(after - before, axis=-1)
    assert distance.max() <= TOLERANCE + ROUNDING
    assert abs(distance.max() - result.error) < ROUNDING
    assert result.after < (0.3 if mode == "QUATERNION" else 0.6) * result.before


def test_a_smaller_tolerance_needs_more_keys_and_is_held():
    counts = []
    for tolerance in (0.02, 0.005, 0.001):
        armature, frames = keyed_chain("QUATERNION")
        before, after, result = reduced(armature, frames, tolerance=tolerance)
        assert np.linalg.norm(after - before, axis=-1).max() <= tolerance + ROUNDING
        counts.append(result.after)
    assert counts == sorted(counts)


def test_ends_and_extremes_are_keys_with_their_values():
    armature, _ = keyed_chain("QUATERNION")
    before = curves_of(armature)
    reduce.reduce_keys(armature, reduce.Options(), fps=30.0)
    after = curves_of(armature)
    for name, keys in before.items():
        frames, values = keys.T
        kept = dict(after[name].tolist())
        assert {frames[0], frames[-1]} <= kept.keys() or np.ptp(values) < 1e-5
        for extreme in turning_points.find(values, 0.3 * np.ptp(values)):
            near = [frame for frame in kept if abs(frame - frames[extreme]) <= 2]
            assert near or np.ptp(values) < 0.05, name


def test_quaternions_stay_continuous_and_near_length_one():
    armature, frames = keyed_chain("QUATERNION", flips=True)
    _, _, _ = reduced(armature, frames)
    times = np.arange(frames[0], frames[-1], 0.25)
    by_path = {}
    for curve in action.fcurves(armature.animation_data.action):
        if "quaternion" in curve.data_path:
            column = [curve.evaluate(time) for time in times.tolist()]
            by_path.setdefault(curve.data_path, []).append(column)
    for columns in by_path.values():
        values = np.array(columns).T
        assert np.abs(np.linalg.norm(values, axis=-1) - 1).max() < 0.05
        assert (values[1:] * values[:-1]).sum(-1).min() > 0


def test_feet_in_contact_are_held_closer_on_a_walk():
    source, contacts = walking()
    target = rig_tables.build("mixamo")
    retarget(source, target, "Mixamo", contacts=contacts)
    frames = key_times(target)
    names = mapping(target, "Mixamo").bones
    before = evaluated_joints(target, frames)
    options = reduce.Options(tolerance=TOLERANCE, contact_tolerance=IN_CONTACT)
    result = reduce.reduce_keys(
        target,
        options,
        fps=30.0,
        mapping=mapping(target, "Mixamo"),
        contacts=contacts,
    )
    distance = np.linalg.norm(evaluated_joints(target, frames) - before, axis=-1)
    assert distance.max() <= TOLERANCE + ROUNDING
    assert 0 < result.contact_error <= IN_CONTACT + ROUNDING
    order = [bone.name for bone in target.data.bones]
    for side in "LR":
        rows = contacts[side].max(-1) > 0.9
        assert rows.any()
        for role in ("foot", "toe"):
            column = order.index(names[f"{role}.{side}"])
            assert distance[rows, column].max() <= IN_CONTACT + ROUNDING
    assert result.after < 0.25 * result.before


def test_keys_stand_where_contacts_begin_and_end():
    source, contacts = walking()
    rig = mapping(source, "HUND")
    reduce.reduce_keys(source, reduce.Options(), fps=30.0, mapping=rig, contacts=contacts)
    first = key_times(source)[0]
    for side in "LR":
        flags = np.concatenate(([False], contacts[side].max(-1) > 0.5, [False]))
        changes = np.flatnonzero(flags[1:] != flags[:-1])
        starts, ends = changes[::2], changes[1::2] - 1
        path = f'pose.bones["{rig.bones[f"shin.{side}"]}"].rotation_quaternion'
        keys = set((curves_of(source)[path, 0][:, 0] - first).astype(int).tolist())
        assert {*starts.tolist(), *ends.tolist()} <= keys


def test_selected_bones_alone_lose_keys():
    armature, frames = keyed_chain("QUATERNION")
    before = curves_of(armature)
    _, _, _ = reduced(armature, frames, bones=frozenset({"bone.2"}))
    after = curves_of(armature)
    for name in before:
        is_same = np.array_equal(before[name], after[name])
        assert is_same == ("bone.2" not in name[0])


def test_other_curves_stay():
    armature, frames = keyed_chain("QUATERNION")
    armature["dial"] = 0.0
    bone = armature.pose.bones["bone.1"]
    bone["switch"] = 0.0
    for frame in range(1, 20):
        armature["dial"], bone["switch"] = frame / 7, float(frame % 2)
        armature.keyframe_insert('["dial"]', frame=frame)
        bone.keyframe_insert('["switch"]', frame=frame)
    names = [('["dial"]', 0), ('pose.bones["bone.1"]["switch"]', 0)]
    curve = next(
        curve
        for curve in action.fcurves(armature.animation_data.action)
        if "bone.2" in curve.data_path
    )
    curve.modifiers.new("NOISE")
    names.append((curve.data_path, curve.array_index))
    before = curves_of(armature)
    first, second, _ = reduced(armature, frames)
    after = curves_of(armature)
    assert all(np.array_equal(before[name], after[name]) for name in names)
    assert np.linalg.norm(second - first, axis=-1).max() <= TOLERANCE + ROUNDING


def test_a_constrained_rig_is_checked_by_evaluation():
    armature, frames = keyed_chain("QUATERNION")
    constraint = armature.pose.bones["bone.4"].constraints.new("COPY_ROTATION")
    constraint.target, constraint.subtarget = armature, "bone.1"
    before, after, result = reduced(armature, frames)
    assert np.linalg.norm(after - before, axis=-1).max() <= TOLERANCE + ROUNDING
    assert result.after < 0.5 * result.before


def test_a_failure_leaves_the_keys(monkeypatch):
    armature, _ = keyed_chain("QUATERNION")
    before = curves_of(armature)

    def cancel(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reduce.reduce_keys(armature, reduce.Options(), fps=30.0, report=cancel)
    after = curves_of(armature)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    for curve in action.fcurves(armature.animation_data.action):
        assert {key.interpolation for key in curve.keyframe_points} == {"LINEAR"}


def test_what_cannot_be_reduced_is_refused():
    armature = rig_tables.build("mixamo")
    with pytest.raises(KeysError, match="no action"):
        reduce.reduce_keys(armature, reduce.Options(), fps=30.0)
    with pytest.raises(KeysError, match="not an armature"):
        reduce.reduce_keys(bpy.data.objects.new("cube", None), reduce.Options(), fps=30.0)
    armature, _ = keyed_chain("QUATERNION")
    for curve in action.fcurves(armature.animation_data.action):
        curve.lock = True
    with pytest.raises(KeysError, match="No curve"):
        reduce.reduce_keys(armature, reduce.Options(), fps=30.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_fit_is_the_least_squares_solution(seed):
    rng = np.random.default_rng(seed)
    samples = random_motion(rng, 60, 3)
    keys = np.unique(np.concatenate(([0, 59], rng.integers(0, 60, 9))))
    corners = rng.random(len(keys)) < 0.3
    pinned = rng.random(len(keys)) < 0.5
    spline = bezier.fit(samples, keys, corners, pinned)
    assert np.allclose(spline.values[pinned], samples[keys[pinned]])
    is_smooth = ~corners
    is_smooth[[0, -1]] = True
    assert np.allclose(spline.slopes_in[is_smooth], spline.slopes_out[is_smooth])
    error = ((bezier.evaluate(spline, 60) - samples) ** 2).sum()
    for _ in range(30):
        step = rng.normal(size=spline.slopes_out.shape) * 1e-3
        step[corners] = 0
        values = spline.values + np.where(pinned[:, None], 0, 1e-3) * rng.normal(size=step.shape)
        other = spline._replace(
            values=values, slopes_in=spline.slopes_in + step, slopes_out=spline.slopes_out + step
        )
        # The weak pull of slopes towards the samples' own costs a little.
        assert ((bezier.evaluate(other, 60) - samples) ** 2).sum() > error - 1e-3


def test_cubic_motion_needs_two_keys():
    times = np.linspace(0, 1, 50)[:, None]
    samples = np.hstack((times**3 - times, 2 * times**2, 1 - times))
    keys = np.array([0, 49])
    spline = bezier.fit(samples, keys, np.zeros(2, bool), np.ones(2, bool))
    assert np.abs(bezier.evaluate(spline, 50) - samples).max() < 1e-6
