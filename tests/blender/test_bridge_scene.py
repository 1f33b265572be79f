"""Writing into a scene: atomic, keeps the user's datablocks, replaces previous results."""

import dataclasses
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import armature, camera, job, ownership, scene
from synthetic_people import build_reconstruction, go_to_frame

CLIP = Path("/somewhere/Dänce 歩く in the rain.mp4")


def write(clip=CLIP, people=1, frames=3, seed=0, **options):
    reconstruction = build_reconstruction(people=people, frames=frames, seed=seed)
    return scene.write(bpy.context, reconstruction, clip=clip, **options)


def datablock_names():
    """Types and names of all datablocks of the file."""
    return sorted((type(datablock).__name__, datablock.name) for datablock in bpy.data.user_map())


def add_monkey():
    bpy.ops.mesh.primitive_monkey_add()
    return bpy.context.object


def test_result_is_one_collection_named_after_clip():
    written = write(people=2)
    assert written.name == written.collection.name == CLIP.stem
    assert written.frames == 3
    assert written.confidence == 0.75
    assert list(bpy.context.scene.collection.children) == [written.collection]
    meshes = [person.children[0] for person in written.people]
    (sun,) = (obj for obj in written.collection.objects if obj.type == "LIGHT")
    assert set(written.collection.objects) == {*written.people, *meshes, written.camera, sun}
    assert {obj.name.removesuffix(f" - {CLIP.stem}") for obj in written.collection.objects} == {
        "Person 1",
        "Person 1 Body",
        "Person 2",
        "Person 2 Body",
        "Camera",
        "Sun",
    }


def test_without_clip_name_is_from_provenance():
    assert write(clip=None).name == "dance"


def test_long_clip_name_keeps_part_names():
    written = write(clip=Path("/somewhere/" + "歩" * 60 + ".mp4"))
    assert written.people[0].name.startswith("Person 1 - 歩歩")
    assert written.people[0].children[0].name.startswith("Person 1 Body - 歩歩")
    assert not any(name.endswith(".001") for _, name in datablock_names())


def test_temporary_scene_and_names_are_removed():
    before = set(bpy.data.scenes)
    write()
    assert set(bpy.data.scenes) == before
    assert not any(name.startswith("~") for _, name in datablock_names())


def test_second_write_replaces_without_orphans():
    write(people=2)
    once = datablock_names()
    again = write(people=2, seed=1)
    assert datablock_names() == once
    assert list(bpy.context.scene.collection.children) == [again.collection]
    assert bpy.context.scene.camera == again.camera


def test_replacing_two_people_by_one_removes_second():
    write(people=2)
    write(people=1)
    alone = datablock_names()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    write(people=1)
    assert datablock_names() == alone


def test_without_replace_both_results_are_kept():
    first = write()
    second = write(existing="ADD")
    assert set(bpy.context.scene.collection.children) == {first.collection, second.collection}
    assert second.name == f"{first.name} 2"
    assert len({person.name for person in (*first.people, *second.people)}) == 2


def test_replace_removes_latest_of_several():
    first = write()
    write(existing="ADD")
    third = write()
    assert set(bpy.context.scene.collection.children) == {first.collection, third.collection}


def test_clips_with_same_name_in_other_folders_are_separate():
    first = write()
    second = write(clip=Path("/elsewhere") / CLIP.name)
    assert set(bpy.context.scene.collection.children) == {first.collection, second.collection}


def test_references_to_previous_character_point_to_new_one():
    first = write()
    follower = add_monkey()
    follower.parent, follower.parent_type = first.people[0], "BONE"
    follower.parent_bone = "Head01"
    aimed = follower.constraints.new("TRACK_TO")
    aimed.target, aimed.subtarget = first.people[0], "Hand.L"
    cast = bpy.data.collections.new("Cast")
    bpy.context.scene.collection.children.link(cast)
    cast.objects.link(first.people[0])
    second = write(seed=1)
    assert follower.parent == aimed.target == second.people[0]
    assert (follower.parent_bone, aimed.subtarget) == ("Head01", "Hand.L")
    assert list(cast.objects) == [second.people[0]]


@pytest.mark.parametrize("existing", ["ALL", "MOTION"])
def test_objects_added_or_copied_by_user_are_kept(existing):
    first = write()
    monkey = add_monkey()
    copy = first.people[0].copy()
    inner = bpy.data.collections.new("Props")
    first.collection.objects.link(monkey)
    first.collection.objects.link(copy)
    first.collection.children.link(inner)
    second = write(existing=existing)
    assert {monkey, copy} <= set(second.collection.objects)
    assert inner.name in second.collection.children
    assert copy.data is not None and copy not in second.people


def test_moved_collection_is_replaced_in_place():
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
def test_failure_leaves_file_unchanged(monkeypatch, module, is_second):
    def fail(*_):
        raise MemoryError

    if is_second:
        write()
    before = datablock_names()
    monkeypatch.setattr(module, "_add_bones" if module is armature else "_lens_properties", fail)
    with pytest.raises(MemoryError):
        write(people=2)
    assert datablock_names() == before
    monkeypatch.undo()
    write(people=2)


def test_other_skeleton_is_rejected():
    reconstruction = build_reconstruction(frames=2)
    other = dataclasses.replace(
        reconstruction, joint_names=("Hip", *reconstruction.joint_names[1:])
    )
    before = datablock_names()
    with pytest.raises(job.JobError, match="another skeleton"):
        scene.write(bpy.context, other)
    assert datablock_names() == before


def test_mode_selection_and_objects_of_user_are_kept():
    monkey = add_monkey()
    bpy.ops.object.mode_set(mode="EDIT")
    vertices = [tuple(vertex.co) for vertex in monkey.data.vertices]
    write()
    assert bpy.context.mode == "EDIT_MESH"
    assert bpy.context.object == monkey
    assert monkey.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert monkey.select_get()
    assert [tuple(vertex.co) for vertex in monkey.data.vertices] == vertices
    assert bpy.context.selected_objects == [monkey]


def settings(scene):
    render = scene.render
    return (
        render.fps / render.fps_base,
        (scene.frame_start, scene.frame_end, scene.frame_current, scene.use_preview_range),
        (render.resolution_x, render.resolution_y, render.resolution_percentage),
        (render.pixel_aspect_x, render.pixel_aspect_y),
        (render.film_transparent, scene.view_settings.view_transform, scene.world),
    )


@pytest.mark.parametrize("match_scene", [False, True])
@pytest.mark.parametrize("startup", ["empty", "blender", "no cube", "own"])
def test_scene_is_matched_only_on_request(startup, match_scene):
    if startup in {"blender", "no cube"}:
        bpy.ops.wm.read_homefile(use_empty=False, use_factory_startup=True)
    if startup == "no cube":
        bpy.data.objects.remove(bpy.data.objects["Cube"])
    if startup == "own":
        bpy.ops.mesh.primitive_cube_add()  # has the same name as Blender's
        bpy.ops.object.camera_add()
        bpy.context.scene.camera = bpy.context.object
    target = bpy.context.scene
    target.use_preview_range = True
    target.frame_set(3)
    before, camera_before = settings(target), target.camera
    written = write(frames=8, match_scene=match_scene, start_frame=5)
    if match_scene:
        rate, frames, size, aspect, _ = settings(target)
        assert (rate, frames, size) == (30, (5, 12, 5, False), (640, 360, 100))
        assert aspect == pytest.approx((1.04, 1))
        assert target.camera == written.camera
    else:
        assert settings(target) == before
        assert target.camera == (camera_before or written.camera)


@pytest.mark.parametrize("fps", [23.976, 29.97, 30000 / 1001, 59.94, 12.5, 25, 120, 0.5])
def test_scene_gets_exact_clip_rate(fps):
    scene.write(bpy.context, build_reconstruction(frames=3, fps=fps), clip=CLIP)
    render = bpy.context.scene.render
    assert render.fps / render.fps_base == pytest.approx(fps, rel=1e-6)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 3)


def test_single_picture_is_one_frame():
    written = write(frames=1)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 1)
    assert written.frames == 1


def test_second_clip_keeps_scene_rate():
    write()
    second = build_reconstruction(frames=3, fps=60)
    scene.write(bpy.context, second, clip=Path("/b.mp4"), match_scene=False)
    assert bpy.context.scene.render.fps == 30


def test_result_survives_saving_and_opening(tmp_path):
    written = write(frames=3)
    go_to_frame(bpy.context.scene, 3)
    head = np.array(written.people[0].pose.bones["Hand.L"].head)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    go_to_frame(bpy.context.scene, 3)
    person = bpy.data.objects[f"Person 1 - {CLIP.stem}"]
    assert np.allclose(person.pose.bones["Hand.L"].head, head, atol=1e-6)
    ownership.renew_marks()  # the enabled extension does this
    write()
    assert len(bpy.context.scene.collection.children) == 1


def test_blender_process_imports_neither_torch_nor_cv2():
    assert not {"torch", "cv2"} & sys.modules.keys()
