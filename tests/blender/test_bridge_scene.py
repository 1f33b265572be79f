"""Into a scene: whole or not at all, beside what is the user's, and in the place of what was ours."""

import dataclasses
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import armature, camera, job, scene
from moving_people import build_reconstruction, show

CLIP = Path("/somewhere/Dänce 歩く in the rain.mp4")


def write(clip=CLIP, people=1, frames=3, seed=0, **options):
    reconstruction = build_reconstruction(people=people, frames=frames, seed=seed)
    return scene.write(bpy.context, reconstruction, clip=clip, **options)


def names():
    """Every datablock of the file."""
    return sorted((type(datablock).__name__, datablock.name) for datablock in bpy.data.user_map())


def add_monkey():
    bpy.ops.mesh.primitive_monkey_add()
    return bpy.context.object


def test_all_is_in_one_collection_named_after_the_clip():
    written = write(people=2)
    assert written.name == written.collection.name == CLIP.stem
    assert written.frames == 3
    assert written.confidence == 0.75
    assert list(bpy.context.scene.collection.children) == [written.collection]
    meshes = [person.children[0] for person in written.people]
    assert set(written.collection.objects) == {*written.people, *meshes, written.camera}
    assert {obj.name.removeprefix(CLIP.stem) for obj in written.collection.objects} == {
        " Person 1",
        " Person 1 Body",
        " Person 2",
        " Person 2 Body",
        " Camera",
    }


def test_without_a_clip_the_file_itself_knows_its_name():
    assert write(clip=None).name == "dance"


def test_a_long_name_leaves_room_for_the_parts():
    written = write(clip=Path("/somewhere/" + "歩" * 60 + ".mp4"))
    assert written.people[0].name.endswith("歩 Person 1")
    assert written.people[0].children[0].name.endswith("Person 1 Body")


def test_nothing_is_left_of_the_building():
    before = set(bpy.data.scenes)
    write()
    assert set(bpy.data.scenes) == before
    assert not any(name.startswith("~") for _, name in names())


def test_writing_again_replaces_and_leaves_no_orphans():
    write(people=2)
    once = names()
    again = write(people=2, seed=1)
    assert names() == once
    assert list(bpy.context.scene.collection.children) == [again.collection]
    assert bpy.context.scene.camera == again.camera


def test_replacing_two_people_by_one_removes_the_other():
    write(people=2)
    write(people=1)
    alone = names()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    write(people=1)
    assert names() == alone


def test_adding_keeps_both():
    first = write()
    second = write(replace=False)
    assert set(bpy.context.scene.collection.children) == {first.collection, second.collection}
    assert second.name == f"{first.name}.001"
    assert len({person.name for person in (*first.people, *second.people)}) == 2


def test_replacing_takes_the_last_of_several():
    first = write()
    write(replace=False)
    third = write()
    assert set(bpy.context.scene.collection.children) == {first.collection, third.collection}


def test_another_clip_is_another_result_even_if_its_name_is_the_same():
    first = write()
    second = write(clip=Path("/elsewhere") / CLIP.name)
    assert set(bpy.context.scene.collection.children) == {first.collection, second.collection}


def test_what_follows_the_old_character_follows_the_new_one():
    first = write()
    follower = add_monkey()
    follower.parent, follower.parent_type = first.people[0], "BONE"
    follower.parent_bone = "Head01"
    aimed = follower.constraints.new("TRACK_TO")
    aimed.target, aimed.subtarget = first.people[0], "HandL"
    cast = bpy.data.collections.new("Cast")
    bpy.context.scene.collection.children.link(cast)
    cast.objects.link(first.people[0])
    second = write(seed=1)
    assert follower.parent == aimed.target == second.people[0]
    assert (follower.parent_bone, aimed.subtarget) == ("Head01", "HandL")
    assert list(cast.objects) == [second.people[0]]


def test_what_the_user_put_into_the_collection_or_copied_or_renamed_stays():
    first = write()
    monkey = add_monkey()
    copy = first.people[0].copy()
    inner = bpy.data.collections.new("Props")
    first.collection.objects.link(monkey)
    first.collection.objects.link(copy)
    first.collection.children.link(inner)
    renamed = first.camera
    renamed.name = "My Camera"
    second = write()
    kept = {monkey, copy, renamed}
    assert kept <= set(second.collection.objects)
    assert inner.name in second.collection.children
    assert copy.data is not None


def test_a_moved_collection_is_replaced_where_it_is():
    first = write()
    shots = bpy.data.collections.new("Shots")
    bpy.context.scene.collection.children.link(shots)
    bpy.context.scene.collection.children.unlink(first.collection)
    shots.children.link(first.collection)
    second = write()
    assert list(shots.children) == [second.collection]
    assert list(bpy.context.scene.collection.children) == [shots]


@pytest.mark.parametrize("module", [armature, camera])
@pytest.mark.parametrize("is_second", [False, True])
def test_a_failure_leaves_the_file_as_it_was(monkeypatch, module, is_second):
    def break_down(*_):
        raise MemoryError

    if is_second:
        write()
    before = names()
    monkeypatch.setattr(module, "_add_bones" if module is armature else "_optics", break_down)
    with pytest.raises(MemoryError):
        write(people=2)
    assert names() == before
    monkeypatch.undo()
    write(people=2)


def test_a_file_of_another_skeleton_is_refused():
    reconstruction = build_reconstruction(frames=2)
    other = dataclasses.replace(
        reconstruction, joint_names=("Hip", *reconstruction.joint_names[1:])
    )
    before = names()
    with pytest.raises(job.FailedError, match="another skeleton"):
        scene.write(bpy.context, other)
    assert names() == before


def test_the_users_objects_mode_and_selection_stay_as_they_are():
    monkey = add_monkey()
    bpy.ops.object.mode_set(mode="EDIT")
    places = [tuple(vertex.co) for vertex in monkey.data.vertices]
    write()
    assert bpy.context.mode == "EDIT_MESH"
    assert bpy.context.object == monkey
    assert monkey.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert monkey.select_get()
    assert [tuple(vertex.co) for vertex in monkey.data.vertices] == places
    assert bpy.context.selected_objects == [monkey]


def settings(of):
    render = of.render
    return (
        render.fps / render.fps_base,
        of.frame_start,
        of.frame_end,
        render.resolution_x,
        render.resolution_y,
    )


@pytest.mark.parametrize("is_asked", [False, True])
@pytest.mark.parametrize("startup", ["empty", "blender", "cube gone", "own"])
def test_a_free_scene_becomes_the_clips_and_others_only_if_asked(startup, is_asked):
    if startup in {"blender", "cube gone"}:
        bpy.ops.wm.read_homefile(use_empty=False, use_factory_startup=True)
    if startup == "cube gone":
        bpy.data.objects.remove(bpy.data.objects["Cube"])
    if startup == "own":
        bpy.ops.mesh.primitive_cube_add()  # called Cube, as Blender's
        bpy.ops.object.camera_add()
        bpy.context.scene.camera = bpy.context.object
    of = bpy.context.scene
    before, camera_before = settings(of), of.camera
    written = write(frames=8, match_scene=is_asked, start_frame=5)
    if startup == "own" and not is_asked:
        assert (settings(of), of.camera) == (before, camera_before)
    else:
        assert settings(of) == (30, 5, 12, 640, 360)
        assert of.camera == written.camera
        assert of.frame_current == 5


@pytest.mark.parametrize("fps", [23.976, 29.97, 30000 / 1001, 59.94, 12.5, 25, 120, 0.5])
def test_rates_of_clips_are_met_exactly(fps):
    scene.write(bpy.context, build_reconstruction(frames=3, fps=fps), clip=CLIP)
    render = bpy.context.scene.render
    assert render.fps / render.fps_base == pytest.approx(fps, rel=1e-6)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 3)


def test_one_picture_is_one_frame():
    written = write(frames=1)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 1)
    assert written.frames == 1


def test_a_second_clip_does_not_change_the_rate_of_the_first():
    write()
    scene.write(bpy.context, build_reconstruction(frames=3, fps=60), clip=Path("/b.mp4"))
    assert bpy.context.scene.render.fps == 30


def test_a_result_survives_saving_and_opening(tmp_path):
    written = write(frames=3)
    show(bpy.context.scene, 3)
    place = np.array(written.people[0].pose.bones["HandL"].head)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    show(bpy.context.scene, 3)
    person = bpy.data.objects[f"{CLIP.stem} Person 1"]
    assert np.allclose(person.pose.bones["HandL"].head, place, atol=1e-6)
    write()
    assert len(bpy.context.scene.collection.children) == 1


def test_blenders_process_needs_neither_torch_nor_cv2():
    assert not {"torch", "cv2"} & sys.modules.keys()
