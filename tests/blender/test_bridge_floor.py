"""Set Floor Here: a result moves as a whole, and the floor is kept when it is written again."""

import dataclasses

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import floor, scene, stage_preview
from bl_ext.user_default.hund.operators.set_floor import HUND_OT_set_floor
from synthetic_people import (
    bone_heads,
    build_descent,
    build_reconstruction,
    forward_kinematics,
    go_to_frame,
    in_world,
    mesh_vertices,
)


@pytest.fixture(autouse=True)
def operator():
    bpy.utils.register_class(HUND_OT_set_floor)
    yield
    bpy.utils.unregister_class(HUND_OT_set_floor)


def write(**options):
    reconstruction = build_reconstruction(people=2, frames=4, moves_camera=True)
    return scene.write(bpy.context, reconstruction, **options)


def activate(obj):
    for other in bpy.context.view_layer.objects:
        other.select_set(other == obj)
    bpy.context.view_layer.objects.active = obj


def heights(written, frame):
    """Heights of the bones and the camera in the world, and where the camera sees the bones."""
    go_to_frame(bpy.context.scene, frame)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    camera = np.array(written.camera.evaluated_get(depsgraph).matrix_world)
    heads = np.concatenate([bone_heads(person) for person in written.people])
    seen = (heads - camera[:3, 3]) @ camera[:3, :3]
    return np.append(heads[:, 2], camera[2, 3]), seen


@pytest.mark.parametrize("scale", [0.01, 1.0])
@pytest.mark.parametrize("source", ["CURSOR", "PERSON"])
def test_chosen_height_is_zero_and_camera_sees_the_same(source, scale):
    bpy.context.scene.unit_settings.scale_length = scale
    written = write()
    before, seen_before = heights(written, 2)
    bpy.context.scene.cursor.location.z = 0.4 / scale
    chosen = 0.4 / scale if source == "CURSOR" else mesh_vertices(written.people[1])[:, 2].min()
    activate(written.people[1])
    assert bpy.ops.hund.set_floor(source=source) == {"FINISHED"}
    after, seen = heights(written, 2)
    assert np.abs(after - (before - chosen)).max() < 1e-4 / scale
    assert np.abs(seen - seen_before).max() < 1e-4 / scale
    if source == "PERSON":
        assert abs(mesh_vertices(written.people[1])[:, 2].min()) < 1e-4 / scale


def test_usual_height_ignores_a_jump_and_keeps_the_frame():
    present = np.ones((1, 12), bool)
    present[0, :2] = False
    reconstruction = build_reconstruction(frames=12, present=present)
    written = scene.write(bpy.context, reconstruction)
    lowest = []
    for frame in range(3, 13):
        go_to_frame(bpy.context.scene, frame)
        lowest.append(mesh_vertices(written.people[0])[:, 2].min())
    go_to_frame(bpy.context.scene, 5.25)
    activate(written.people[0])
    bpy.ops.hund.set_floor(source="CLIP")
    current = bpy.context.scene.frame_current, bpy.context.scene.frame_subframe
    assert current == (5, pytest.approx(0.25))
    offset = written.people[0].delta_location.z
    assert offset == pytest.approx(-np.quantile(lowest, 0.25), abs=1e-4)


def test_setting_twice_is_setting_once():
    written = write()
    activate(written.people[0])
    bpy.ops.hund.set_floor(source="PERSON")
    once, _ = heights(written, 1)
    bpy.ops.hund.set_floor(source="PERSON")
    assert np.abs(heights(written, 1)[0] - once).max() < 1e-5


@pytest.mark.parametrize("existing", ["ALL", "MOTION"])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_height_of_camera_above_floor_is_kept(existing, shift):
    written = write()
    before, _ = heights(written, 1)
    bpy.context.scene.cursor.location.z = 0.25
    bpy.ops.hund.set_floor(source="CURSOR")
    again = build_reconstruction(people=2, frames=4, moves_camera=True)
    poses = again.world_from_camera.copy()
    poses[:, 2, 3] += shift  # another estimate of the ground
    again = dataclasses.replace(again, world_from_camera=poses)
    written = scene.write(bpy.context, again, existing=existing)
    assert np.abs(heights(written, 1)[0] - (before - 0.25)).max() < 1e-4


def test_added_result_has_its_own_floor():
    first = write()
    before, _ = heights(first, 1)
    bpy.context.scene.cursor.location.z = 0.25
    bpy.ops.hund.set_floor(source="CURSOR")
    second = write(existing="ADD")
    assert np.abs(heights(second, 1)[0] - before).max() < 1e-4
    assert floor.result_of(bpy.context.scene, second.people[0]) == second.collection
    assert floor.result_of(bpy.context.scene, first.people[0].children[0]) == first.collection
    assert floor.result_of(bpy.context.scene, None) is None


def test_parent_that_is_turned_and_scaled():
    written = write()
    before, _ = heights(written, 1)
    parent = bpy.data.objects.new("Set", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.rotation_euler, parent.scale = (0.4, 0.2, 1), (2, 2, 2)
    bpy.context.view_layer.update()
    for obj in (*written.people, written.camera):
        obj.parent = parent
        obj.matrix_parent_inverse = parent.matrix_world.inverted()
    bpy.context.scene.cursor.location.z = 0.25
    activate(written.people[0])
    bpy.ops.hund.set_floor(source="CURSOR")
    assert np.abs(heights(written, 1)[0] - (before - 0.25)).max() < 1e-4


def test_hidden_person_is_refused_in_a_sentence():
    present = np.ones((1, 4), bool)
    present[0, :2] = False
    written = scene.write(bpy.context, build_reconstruction(frames=4, present=present))
    go_to_frame(bpy.context.scene, 1)
    with pytest.raises(ValueError, match="hidden"):
        floor.lowest_point(written.people[0], bpy.context.evaluated_depsgraph_get())


def test_undo_brings_everything_back():
    written = write()
    names = [person.name for person in written.people], written.camera.name
    before, _ = heights(written, 1)
    bpy.ops.ed.undo_push(message="Before")
    bpy.context.scene.cursor.location.z = 0.25
    bpy.ops.hund.set_floor(source="CURSOR")
    bpy.ops.ed.undo_push(message="Set Floor Here")
    bpy.ops.ed.undo()
    people = tuple(bpy.data.objects[name] for name in names[0])
    cameras = (bpy.data.objects[names[1]],)
    written = dataclasses.replace(written, people=people, cameras=cameras)
    assert np.abs(heights(written, 1)[0] - before).max() < 1e-6
    assert floor.chosen_height(bpy.context.scene.collection.children[0]) is None


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_stage_preview_stands_on_the_same_floor(scale, tmp_path):
    bpy.context.scene.unit_settings.scale_length = scale
    final, stages = build_descent(frames=4)
    final.save(tmp_path / "walk.npz")
    written = scene.write(bpy.context, final)
    bpy.context.scene.cursor.location.z = 0.25 / scale
    bpy.ops.hund.set_floor(source="CURSOR")
    source = stage_preview.Source(
        str(tmp_path / "walk.npz"), stage_preview.fingerprint(final), final.fps, 1
    )
    stage_preview.show_stage({0: written.people[0]}, source, 2, bpy.context.scene)
    _, transforms = forward_kinematics(
        stages[2].rotations[0, 0], stages[2].root_translation[0, 0], final.betas[0]
    )
    expected = in_world(final, transforms[:, :3, 3], 0) - [0, 0, 0.25]
    assert np.abs(bone_heads(written.people[0]) * scale - expected).max() < 1e-4
