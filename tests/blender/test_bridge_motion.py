"""Bones, mesh and camera in the scene match the Reconstruction at any frame rate."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import scene
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from synthetic_people import (
    BODY,
    BONE_NAMES,
    bone_heads,
    build_reconstruction,
    expected_vertices,
    forward_kinematics,
    go_to_frame,
    in_world,
    mesh_vertices,
)

BONE_TOLERANCE, MESH_TOLERANCE = 1e-4, 5e-4  # metres


def write(reconstruction, **options):
    return scene.write(bpy.context, reconstruction, **options)


def fcurves_of(datablock):
    action = datablock.animation_data.action
    if bpy.app.version < (4, 4):
        return list(action.fcurves)
    return list(
        action.layers[0].strips[0].channelbag(datablock.animation_data.action_slot).fcurves
    )


def motion_curves_of(armature):
    """F-curves of bones' transforms, without those of contacts and confidence."""
    paths = (".location", ".rotation_quaternion")
    return [curve for curve in fcurves_of(armature) if curve.data_path.endswith(paths)]


def keys_of(fcurve):
    values = np.empty(2 * len(fcurve.keyframe_points), np.float32)
    fcurve.keyframe_points.foreach_get("co", values)
    return values.reshape(-1, 2)


def assert_people_match(reconstruction, written, frames):
    for index in (0, 7, len(frames) - 1):
        go_to_frame(bpy.context.scene, frames[index])
        for person, armature in enumerate(written.people):
            joints = in_world(reconstruction, reconstruction.joints[person, index], index)
            assert np.abs(bone_heads(armature) - joints).max() < BONE_TOLERANCE
            vertices = expected_vertices(reconstruction, person, index)
            assert np.abs(mesh_vertices(armature) - vertices).max() < MESH_TOLERANCE


@pytest.mark.parametrize("moves_camera", [False, True])
def test_bones_and_mesh_match_reconstruction(moves_camera):
    reconstruction = build_reconstruction(people=2, moves_camera=moves_camera)
    written = write(reconstruction)
    assert len(written.people) == 2
    assert_people_match(reconstruction, written, 1 + np.arange(20))


@pytest.mark.parametrize("start", [-30, 11])
@pytest.mark.parametrize(("clip_fps", "scene_fps"), [(60, 24), (24, 60), (29.97, 30)])
def test_exact_motion_keeps_speed_at_other_scene_rates(clip_fps, scene_fps, start):
    bpy.context.scene.render.fps = scene_fps
    reconstruction = build_reconstruction(fps=clip_fps)
    written = write(reconstruction, start_frame=start, match_scene=False, use_subframes=True)
    assert bpy.context.scene.render.fps == scene_fps
    frames = start + reconstruction.times * scene_fps
    frames = np.rint(frames) if scene_fps == 30 else frames  # 29.97 is near enough
    assert_people_match(reconstruction, written, frames)


def test_rounded_time_stamps_give_whole_frames():
    times = np.round(np.arange(20) / 29.97, 3)
    written = write(build_reconstruction(fps=29.97, times=times, frame_numbers=np.arange(20)))
    for fcurve in motion_curves_of(written.people[0]):
        assert np.array_equal(keys_of(fcurve)[:, 0], 1 + np.arange(20))


def test_missing_frames_leave_gaps_in_time():
    numbers = np.delete(np.arange(25), [4, 5, 6, 17, 18])
    reconstruction = build_reconstruction(times=numbers / 30, frame_numbers=numbers)
    assert_people_match(reconstruction, write(reconstruction), 1 + numbers)


def test_quaternion_signs_are_continuous():
    written = write(build_reconstruction(seed=3))
    fcurves = {(f.data_path, f.array_index): f for f in fcurves_of(written.people[0])}
    for name in BONE_NAMES:
        path = f'pose.bones["{name}"].rotation_quaternion'
        rotations = np.stack([keys_of(fcurves[path, index])[:, 1] for index in range(4)], 1)
        assert np.allclose(np.linalg.norm(rotations, axis=1), 1, atol=1e-4)
        assert (np.sum(rotations[1:] * rotations[:-1], axis=1) > 0.5).all()


def test_rotations_between_frames_are_interpolated_linearly():
    reconstruction = build_reconstruction()
    written = write(reconstruction)
    rotations = reconstruction.rotations[0, 4:6].astype(np.float64)
    rotations[1] *= np.sign((rotations[0] * rotations[1]).sum(-1, keepdims=True))
    middle = rotations.sum(0) / np.linalg.norm(rotations.sum(0), axis=-1, keepdims=True)
    translation = reconstruction.root_translation[0, 4:6].mean(0)
    _, transforms = forward_kinematics(middle, translation, reconstruction.betas[0])
    go_to_frame(bpy.context.scene, 5.5)
    expected = in_world(reconstruction, transforms[:, :3, 3], 4)
    assert np.abs(bone_heads(written.people[0]) - expected).max() < BONE_TOLERANCE


def test_constant_channels_have_one_key():
    reconstruction = build_reconstruction(moves_face=False)
    reconstruction.rotations[:, :, 20:] = [1, 0, 0, 0]
    written = write(reconstruction)
    curves = motion_curves_of(written.people[0])
    lengths = {curve.data_path.split('"')[1]: len(keys_of(curve)) for curve in curves}
    assert {lengths[name] for name in BONE_NAMES[:20]} == {20}
    assert {lengths[name] for name in BONE_NAMES[20:]} == {1}
    keys = written.people[0].children[0].data.shape_keys
    assert keys.animation_data is None
    values = [keys.key_blocks[name].value for name in BODY.arkit_names]
    assert np.allclose(values, reconstruction.arkit[0, 0])


def test_person_has_one_action_if_blender_has_slots():
    written = write(build_reconstruction())
    mesh = written.people[0].children[0]
    owners = (written.people[0], mesh.data.shape_keys)
    actions = {owner.animation_data.action for owner in owners}
    assert len(actions) == (1 if bpy.app.version >= (4, 4) else 2)
    assert all(fcurves_of(owner) for owner in owners)


def test_character_is_hidden_before_and_after_presence():
    present = np.zeros((1, 20), bool)
    present[0, [6, 7, 12]] = True
    armature = write(build_reconstruction(present=present)).people[0]
    hidden = []
    for frame in range(1, 21):
        go_to_frame(bpy.context.scene, frame)
        objects = (armature, armature.children[0])
        hidden.append([(obj.hide_viewport, obj.hide_render) for obj in objects])
    assert hidden == [[(not 6 <= index <= 12,) * 2] * 2 for index in range(20)]


def test_character_always_present_has_no_visibility_keys():
    armature = write(build_reconstruction()).people[0]
    assert armature.children[0].animation_data is None
    assert not any(curve.data_path.startswith("hide") for curve in fcurves_of(armature))


@pytest.mark.parametrize("zooms", [False, True])
@pytest.mark.parametrize("moves", [False, True])
def test_camera_projects_joints_like_the_intrinsics(moves, zooms):
    intrinsics = np.tile([[500.0, 0, 330], [0, 520, 170], [0, 0, 1]], (20, 1, 1))
    if zooms:
        intrinsics[:, 0, 0] *= np.linspace(1, 2, 20)
        intrinsics[:, 1, 1] *= np.linspace(1, 2, 20)
    reconstruction = build_reconstruction(moves_camera=moves, intrinsics=intrinsics)
    camera = write(reconstruction).camera
    width, height = reconstruction.image_size
    assert bpy.context.scene.camera == camera
    assert (camera.animation_data is not None) == moves
    assert (camera.data.animation_data is not None) == zooms
    for index in (0, 9, 19):
        go_to_frame(bpy.context.scene, 1 + index)
        joints = reconstruction.joints[0, index].astype(np.float64)
        pixels = joints @ intrinsics[index].T
        pixels = pixels[:, :2] / pixels[:, 2:]
        projected = [
            world_to_camera_view(bpy.context.scene, camera, Vector(joint))
            for joint in in_world(reconstruction, joints, index)
        ]
        projected = np.array(projected)[:, :2] * [1, -1] * [width, height] + [0, height]
        assert np.abs(projected - pixels).max() < 0.1


def test_either_the_keys_or_the_expression_move_the_face():
    both = build_reconstruction()
    written = write(both)
    blocks = written.people[0].children[0].data.shape_keys.key_blocks
    go_to_frame(bpy.context.scene, 5)
    expressions = [blocks[f"Expression {number:02d}"].value for number in range(1, 21)]
    values = [blocks[name].value for name in BODY.arkit_names]
    assert not any(expressions) and any(values)
    np.testing.assert_allclose(values, both.arkit[0, 4], atol=1e-4)
    alone = write(build_reconstruction(arkit=np.zeros_like(both.arkit)))
    blocks = alone.people[0].children[0].data.shape_keys.key_blocks
    go_to_frame(bpy.context.scene, 5)
    expressions = [blocks[f"Expression {number:02d}"].value for number in range(1, 21)]
    np.testing.assert_allclose(expressions, both.expression[0, 4], atol=1e-4)
