"""Resampling: motion on whole frames of a scene, at the clip's speed."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import quaternions, resample, scene, timeline
from bl_ext.user_default.hund.bridge.action import fcurves
from synthetic_people import (
    bone_heads,
    build_reconstruction,
    go_to_frame,
    rotvecs_to_quaternions,
)

RATES = [(60, 24), (24, 60), (50, 29.97), (29.97, 24), (30, 30), (120, 25)]


def set_rate(fps):
    render = bpy.context.scene.render
    render.fps = round(fps)
    render.fps_base = render.fps / fps


def write(reconstruction, fps, **options):
    set_rate(fps)
    return scene.write(bpy.context, reconstruction, match_scene=False, **options)


def frames_of(curve):
    return np.array([point.co[0] for point in curve.keyframe_points])


def all_curves(written):
    owners = [*written.people, *(person.children[0] for person in written.people)]
    owners += [written.camera, written.camera.data]
    owners += [person.children[0].data.shape_keys for person in written.people]
    actions = {owner.animation_data.action for owner in owners if owner.animation_data}
    return [curve for action in actions for curve in fcurves(action)]


@pytest.mark.parametrize("values", [np.random.default_rng(0).normal(size=(12, 5))])
def test_whole_frames_are_unchanged(values):
    frames = np.array([3, 4, 5, 9, 10, 11, 12, 20, 21, 22, 23, 24.0])
    resampler = resample.at_whole_frames(frames)
    assert np.array_equal(resampler.frames, frames)
    assert np.array_equal(resampler.values(values), values)
    rotations = values[:, :4] / np.linalg.norm(values[:, :4], axis=1, keepdims=True)
    assert np.array_equal(resampler.rotations(rotations), rotations)


@pytest.mark.parametrize(("clip_fps", "scene_fps"), RATES)
@pytest.mark.parametrize("start", [-7, 1])
def test_keys_are_on_all_whole_frames_from_first_to_last(clip_fps, scene_fps, start):
    reconstruction = build_reconstruction(fps=clip_fps, moves_camera=True)
    written = write(reconstruction, scene_fps, start_frame=start)
    timing = timeline.timing_of(reconstruction, scene_fps, start)
    assert timing.end - 1 < timing.frames[-1] <= timing.end
    lengths = set()
    for curve in all_curves(written):
        frames = frames_of(curve)
        assert np.array_equal(frames, np.rint(frames))
        lengths.add(len(frames))
        if len(frames) > 1:
            assert np.array_equal(frames, np.arange(start, timing.end + 1))
    assert lengths <= {1, timing.end + 1 - start}


@pytest.mark.parametrize(("clip_fps", "scene_fps"), RATES)
def test_constant_velocity_stays_exact(clip_fps, scene_fps):
    rng = np.random.default_rng(3)
    axis = np.array([1.0, 2, 3]) / np.sqrt(14)
    times = np.arange(40) / clip_fps
    signs = rng.choice([-1, 1], size=(40, 1))  # either sign is the same rotation
    resampler = resample.at_whole_frames(5 + times * scene_fps)
    key_times = np.minimum((resampler.frames - 5) / scene_fps, times[-1])
    expected = rotvecs_to_quaternions(key_times[:, None] * 4.0 * axis)
    rotations = resampler.rotations(signs * rotvecs_to_quaternions(times[:, None] * 4.0 * axis))
    cosines = np.abs((rotations * expected).sum(-1))
    assert np.abs(cosines - 1).max() < 1e-12
    assert np.allclose(resampler.values(np.outer(times, axis)), np.outer(key_times, axis))


@pytest.mark.parametrize("fraction", [0, 0.25, 0.5, 1])
@pytest.mark.parametrize("angle", [0, 1e-9, 1e-4, 0.5, 3.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_slerp_turns_by_a_fraction_of_the_angle(fraction, angle, sign):
    rng = np.random.default_rng(1)
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    first = rng.normal(size=4)
    first /= np.linalg.norm(first)
    second = quaternions.multiply(first, rotvecs_to_quaternions(axis * angle))
    expected = quaternions.multiply(first, rotvecs_to_quaternions(axis * angle * fraction))
    result = quaternions.slerp(first, sign * second, np.array([fraction]))
    assert np.abs(result - expected).max() < 1e-9


def test_a_single_present_frame_is_shown():
    present = np.zeros((1, 40), bool)
    present[0, 17] = True
    reconstruction = build_reconstruction(frames=40, fps=120, present=present)
    mesh = write(reconstruction, 24).people[0].children[0]
    shown = []
    for frame in range(1, 10):
        go_to_frame(bpy.context.scene, frame)
        shown.append(not mesh.hide_render)
    assert shown == [frame == 1 + round(17 / 120 * 24) for frame in range(1, 10)]


def test_variable_rate_is_resampled_in_time():
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.uniform(0.5, 1.8, size=30)) / 30
    times -= times[0]
    positions = np.outer(times, [0.5, -0.2, 0.1]) + np.array([0, 0, 4])
    resampler = resample.at_whole_frames(1 + 25 * times)
    expected = np.outer(np.minimum((resampler.frames - 1) / 25, times[-1]), [0.5, -0.2, 0.1])
    assert np.allclose(resampler.values(positions), expected + np.array([0, 0, 4]))


@pytest.mark.parametrize(("clip_fps", "scene_fps"), RATES)
def test_resampled_motion_is_near_the_exact_one(clip_fps, scene_fps):
    reconstruction = build_reconstruction(fps=clip_fps, frames=60, moves_face=False)
    exact = write(reconstruction, scene_fps, use_subframes=True)
    resampled = write(reconstruction, scene_fps, existing="ADD")
    for frame in range(1, resampled.timing.end + 1):
        go_to_frame(bpy.context.scene, frame)
        heads = [bone_heads(each.people[0]) for each in (exact, resampled)]
        assert np.abs(heads[0] - heads[1]).max() < 0.01
