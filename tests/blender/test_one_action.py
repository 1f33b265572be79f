"""One action: people and cameras as slots of one action, with the same motion as separate ones."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import action, edits, exports, scene
from exchange_files import heads_over_time, imported
from synthetic_people import (
    BONE_NAMES,
    bone_heads,
    build_reconstruction,
    go_to_frame,
    in_world,
)

FRAMES = 4
pytestmark = pytest.mark.skipif(not action.HAS_SLOTS, reason="Blender has slots since 4.4")


def build(seed=0):
    return build_reconstruction(people=2, frames=FRAMES, moves_camera=True, seed=seed)


def write(reconstruction, **options):
    return scene.write(bpy.context, reconstruction, one_action=True, **options)


def errors(written, reconstruction, frame=3):
    """Distances of the people's joints from the reconstruction's, largest of each, metres."""
    go_to_frame(bpy.context.scene, frame)
    found = []
    for index, person in enumerate(written.people):
        joints = reconstruction.joints[index, frame - 1]
        expected = in_world(reconstruction, joints, frame - 1)
        found.append(np.linalg.norm(bone_heads(person) - expected, axis=1).max())
    return found


def test_everything_has_a_slot_of_one_action():
    written = write(build())
    (item,) = bpy.data.actions
    people = written.people
    datablocks = [*people, *(p.children[0].data.shape_keys for p in people), written.camera]
    assert {datablock.animation_data.action for datablock in datablocks} == {item}
    assert {slot.name_display for slot in item.slots} == {d.name for d in datablocks}
    assert max(errors(written, build())) < 1e-4
    assert not edits.changes(written.collection)


def test_replaced_motion_keeps_edited_keys_of_their_person_only():
    written = write(build())
    first, second = written.people
    (item,) = bpy.data.actions
    bag = action.channels_of(first.animation_data)
    path = 'pose.bones["Head01"].rotation_quaternion'
    for index in range(4):
        curve = bag.fcurves.find(path, index=index)
        for point in curve.keyframe_points:
            point.co[1] = float(index == 0)
    assert edits.descriptions(edits.changes(written.collection)) == ["Hand-made keys on Motion"]
    other = build(seed=9)
    renewed = write(other, existing="MOTION")
    assert renewed.people == (first, second)
    assert first.animation_data.action == second.animation_data.action == item
    curve = bag.fcurves.find(path, index=1)
    assert all(abs(point.co[1]) < 1e-6 for point in curve.keyframe_points)
    own = action.channels_of(second.animation_data).fcurves.find(path, index=1)
    assert any(abs(point.co[1]) > 1e-3 for point in own.keyframe_points)
    distances = errors(renewed, other)
    assert distances[1] < 1e-4  # the face's joints of the first follow the edited head
    go_to_frame(bpy.context.scene, 3)
    camera = np.array(renewed.camera.matrix_world)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    expected = scene.write(bpy.context, other)
    go_to_frame(bpy.context.scene, 3)
    np.testing.assert_allclose(camera, np.array(expected.camera.matrix_world), atol=1e-5)


@pytest.mark.parametrize("file_format", ["fbx", "glb"])
def test_files_have_the_motion_of_each_person(file_format, tmp_path):
    written, places = write(build()), []
    for person in written.people:
        heads = []
        for frame in range(1, FRAMES + 1):
            go_to_frame(bpy.context.scene, frame)
            heads.append(bone_heads(person))
        places.append(np.array(heads))
    [path] = exports.export(written.people, tmp_path, "walk", file_format)
    armatures = imported(path)
    for armature, expected in zip(armatures, places, strict=True):
        assert np.abs(heads_over_time(armature, BONE_NAMES, FRAMES) - expected).max() < 1e-3
