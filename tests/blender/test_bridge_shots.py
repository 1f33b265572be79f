"""Shots: a camera and a bound marker for each shot of a clip with cuts, and nothing over a cut."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import action, edits, ownership, resample, scene, shots
from synthetic_people import bone_heads, build_reconstruction, go_to_frame

MODULE = "bl_ext.user_default.hund"
CLIP = Path("/somewhere/dance.mp4")
WALKER = Path(__file__).parents[1] / "data" / "walker.mp4"
FRAMES, STARTS = 12, (0, 4, 9)  # of the clip, and of its shots
FOCALS = np.repeat([400.0, 700, 1000], np.diff([*STARTS, FRAMES]))  # px, one for each shot


def cut_clip(starts=STARTS, frames=FRAMES, **changes):
    """A reconstruction whose cameras stand still within shots, each with another lens."""
    intrinsics = np.tile(np.array([[1.0, 0, 320], [0, 1, 180], [0, 0, 1]]), (frames, 1, 1))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = np.resize(FOCALS, frames)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    poses[:, 2, 3] = np.resize(FOCALS, frames) / 1000
    return build_reconstruction(
        frames=frames,
        people=changes.pop("people", 1),
        intrinsics=changes.pop("intrinsics", intrinsics),
        world_from_camera=changes.pop("world_from_camera", poses),
        shots=np.array(starts),
        **changes,
    )


@pytest.fixture
def enabled():
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield
    bpy.ops.preferences.addon_disable(module=MODULE)


def write(reconstruction=None, existing="AUTO", **options):
    options = {"clip": CLIP} | options
    return scene.write(bpy.context, reconstruction or cut_clip(), existing=existing, **options)


def marker_table():
    return [
        (marker.name, marker.frame, marker.camera and marker.camera.name)
        for marker in bpy.context.scene.timeline_markers
    ]


def texts(written):
    return edits.descriptions(edits.changes(written.collection))


EXPECTED = [
    ("Shot 1", 1, "Camera - dance"),
    ("Shot 2", 5, "Camera 2 - dance"),
    ("Shot 3", 10, "Camera 3 - dance"),
]


def test_each_shot_has_a_camera_with_its_lens_and_pose_bound_to_its_marker():
    written = write()
    assert marker_table() == EXPECTED
    for number, camera in enumerate(written.cameras):
        focal = FOCALS[STARTS[number]]
        assert camera.data.lens == pytest.approx(focal / 640 * 36, rel=1e-5)
        assert camera.matrix_world.translation.z == pytest.approx(focal / 1000, abs=1e-5)
        assert camera.animation_data is None and camera.data.animation_data is None
    for frame in range(1, FRAMES + 1):
        bpy.context.scene.frame_set(frame)
        shot = np.searchsorted(STARTS, frame - 1, side="right") - 1
        assert bpy.context.scene.camera == written.cameras[shot]


@pytest.mark.parametrize("starts", [None, np.array([0])])
def test_one_shot_is_one_camera_without_markers(starts):
    written = write(build_reconstruction(frames=FRAMES, moves_camera=True, shots=starts))
    assert not marker_table() and len(written.cameras) == 1
    assert written.camera.name == "Camera - dance" == bpy.context.scene.camera.name
    curves = [curve for item in bpy.data.actions for curve in action.fcurves(item)]
    moving = [curve for curve in curves if curve.data_path.startswith(("pose", "rotation", "loc"))]
    keys = [key.interpolation for curve in moving for key in curve.keyframe_points]
    assert len(moving) > 60 and set(keys) == {"LINEAR"}


def test_nothing_moves_over_a_cut():
    moving = build_reconstruction(frames=FRAMES, moves_camera=True, shots=np.array(STARTS))
    written = write(moving)
    person, scene_now = written.people[0], bpy.context.scene
    for start in STARTS[1:]:
        scene_now.frame_set(start)  # the frame before the cut: the clip's frame 0 is at 1
        before = bone_heads(person)
        scene_now.frame_set(start, subframe=0.9)
        assert np.array_equal(bone_heads(person), before)
        scene_now.frame_set(start + 1)
        assert not np.allclose(bone_heads(person), before, atol=1e-3)
    for camera, first, last in zip(written.cameras, STARTS, [*STARTS[1:], FRAMES], strict=True):
        curves = action.channels_in(camera.animation_data).fcurves
        frames = {key.co.x for curve in curves for key in curve.keyframe_points}
        assert frames == set(range(first + 1, last + 1))


@pytest.mark.parametrize("fps", [23.976, 24, 25, 60])
@pytest.mark.parametrize("use_subframes", [False, True])
def test_cameras_change_with_the_people_at_every_rate(fps, use_subframes):
    render = bpy.context.scene.render
    render.fps, render.fps_base = round(fps), round(fps) / fps
    held = build_reconstruction(frames=60, shots=np.array([0, 17, 40]))
    shot_of_row = np.searchsorted([0, 17, 40], np.arange(60), side="right") - 1
    held.root_translation[0] = np.array([[[0.0, 0, 4]], [[1.0, 0, 4]], [[2.0, 0, 4]]])[
        shot_of_row, 0
    ]
    written = write(held, match_scene=False, use_subframes=use_subframes)
    root = shots.cameras(written.name)
    positions = {}
    for frame in range(1, written.timing.end + 1):
        go_to_frame(bpy.context.scene, frame)
        camera = shots.camera_at(bpy.context.scene, written.name, frame)
        number = next(n for n, each in root.items() if each == camera)
        positions.setdefault(number, set()).add(
            round(float(bone_heads(written.people[0])[0, 0]), 3)
        )
    assert sorted(positions) == [1, 2, 3]
    assert all(len(found) == 1 for found in positions.values())  # one place in each shot
    assert len(set.union(*positions.values())) == 3


def test_resampling_takes_no_value_from_both_sides_of_a_cut():
    frames = 1 + np.arange(20) * 0.8
    keys = resample.at_whole_frames(frames, [7, 13])
    values = np.repeat([0.0, 1, 2], [7, 6, 7])
    assert set(keys.values(values)) == {0.0, 1.0, 2.0}
    assert np.array_equal(np.flatnonzero(np.diff(keys.values(values))) + 1, keys.cuts)
    nearest = np.abs(frames[:, None] - keys.frames).argmin(axis=0)
    assert np.abs(keys.values(values) - values[nearest]).max() == 0


def test_shots_shorter_than_a_frame_of_the_scene_are_left_out():
    render = bpy.context.scene.render
    render.fps, render.fps_base = 5, 1.0
    blinking = build_reconstruction(frames=60, fps=60.0, shots=np.array([0, 30, 31, 45]))
    written = write(blinking, match_scene=False)
    frames = [frame for _, frame, _ in marker_table()]
    assert frames == sorted(set(frames)) and len(written.cameras) == len(frames) == 3


def test_a_scene_that_is_not_matched_keeps_its_camera():
    own = bpy.data.objects.new("Own", bpy.data.cameras.new("Own"))
    bpy.context.scene.collection.objects.link(own)
    bpy.context.scene.camera = own
    written = write(match_scene=False)
    assert [entry[2] for entry in marker_table()] == [None] * 3
    bpy.context.scene.frame_set(10)
    assert bpy.context.scene.camera == own
    shots.bind(bpy.context.scene, written.name)  # what Look Through Camera does
    bpy.context.scene.frame_set(6)
    assert bpy.context.scene.camera == written.cameras[1]
    assert not texts(written)


def test_markers_and_cameras_are_no_changes_of_the_user():
    written = write()
    bpy.context.scene.frame_set(11)
    assert texts(written) == []


@pytest.mark.parametrize("existing", ["AUTO", "ALL", "MOTION"])
def test_writing_again_leaves_one_marker_and_camera_for_each_shot(existing):
    write()
    mine = bpy.context.scene.timeline_markers.new("Mine", frame=3)
    write(existing=existing)
    assert ("Mine", 3, None) in marker_table() and mine.name == "Mine"
    assert sorted(set(marker_table()) - {("Mine", 3, None)}) == EXPECTED
    assert sum(obj.type == "CAMERA" for obj in bpy.data.objects) == 3


@pytest.mark.parametrize("existing", ["AUTO", "ALL", "MOTION"])
def test_new_cuts_move_add_and_remove_markers(existing):
    write()
    cuts = cut_clip(starts=(0, 5))
    write(cuts, existing)
    assert marker_table() == [EXPECTED[0], ("Shot 2", 6, "Camera 2 - dance")]
    write(cut_clip(starts=(0, 2, 5, 8)), existing)
    expected = [(f"Shot {n}", f, n) for n, f in zip(range(1, 5), (1, 3, 6, 9), strict=True)]
    cameras = shots.cameras("dance")
    found = [(name, frame, camera) for name, frame, camera in marker_table()]
    assert found == [(name, frame, cameras[n].name) for name, frame, n in expected]
    write(build_reconstruction(frames=FRAMES, shots=np.array([0])), existing)
    assert marker_table() == []


def test_motion_alone_keeps_what_the_user_did_to_markers_and_cameras():
    written = write()
    markers = bpy.context.scene.timeline_markers
    markers["Shot 1"].name = "Close-up"
    markers["Shot 2"].frame = 7
    markers.remove(markers["Shot 3"])
    written.cameras[1].constraints.new("LIMIT_LOCATION").name = "Limit"
    edited = texts(written)
    assert {"Marker Shot 1", "Marker Shot 2", "Marker Shot 3"} < set(edited)
    again = write(cut_clip(starts=(0, 5, 8)))  # keeps what was changed
    assert again.collection == written.collection
    assert marker_table() == [("Close-up", 1, EXPECTED[0][2]), ("Shot 2", 7, EXPECTED[1][2])]
    assert "Limit" in again.cameras[1].constraints
    assert again.cameras[0].data.lens == pytest.approx(FOCALS[0] / 640 * 36, rel=1e-5)
    assert set(texts(again)) == set(edited)


def test_a_marker_of_the_user_that_binds_a_camera_of_ours_stays_and_follows_it():
    written = write()
    mine = bpy.context.scene.timeline_markers.new("Mine", frame=7)
    mine.camera = written.cameras[0]
    write(existing="ALL")
    assert ("Mine", 7, "Camera - dance") in marker_table()


def test_two_results_have_markers_of_their_own():
    first = write()
    second = write(existing="ADD")
    assert len(marker_table()) == 6
    bpy.context.scene.frame_set(6)
    assert bpy.context.scene.camera == second.cameras[1]
    shots.bind(bpy.context.scene, first.name)
    bpy.context.scene.frame_set(5)
    assert bpy.context.scene.camera == first.cameras[1]
    assert not texts(first) and not texts(second)
    shots.remove_markers(bpy.context.scene, first.name)
    assert [name for name, *_ in marker_table()] == ["Shot 1", "Shot 2", "Shot 3"]
    assert set(shots.markers(bpy.context.scene, second.name)) == {1, 2, 3}


def test_a_copy_of_the_scene_has_markers_of_the_user():
    written = write()
    bpy.ops.scene.new(type="FULL_COPY")
    assert len(bpy.data.scenes) == 2
    bpy.context.scene.timeline_markers[1].frame = 8
    assert texts(written) == []


def test_a_deleted_result_takes_its_markers_along(enabled, tmp_path):
    cut_clip().save(tmp_path / "dance.npz")
    assert bpy.ops.hund.load(filepath=str(tmp_path / "dance.npz")) == {"FINISHED"}
    assert len(marker_table()) == len(STARTS)
    bpy.context.scene.timeline_markers.new("Mine", frame=3)
    collection = next(iter(ownership.result_collections(bpy.context.scene).values()))
    for obj in list(collection.objects):
        bpy.data.objects.remove(obj)
    bpy.data.collections.remove(collection)
    bpy.context.view_layer.update()
    assert not bpy.context.scene.hund.results
    assert marker_table() == [("Mine", 3, None)]


def test_saving_and_opening_keeps_markers_ours(enabled, tmp_path):
    write()
    path = str(tmp_path / "shots.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert not edits.changes(bpy.data.collections["dance"])
    write()
    assert marker_table() == EXPECTED


def test_all_cameras_share_the_footage_in_time():
    written = write(cut_clip(), clip=WALKER)
    images = {camera.data.background_images[0].image for camera in written.cameras}
    assert len(images) == 1 and next(iter(images)).name == "Camera Footage - walker"
    users = [camera.data.background_images[0].image_user for camera in written.cameras]
    assert len({(u.frame_start, u.frame_duration, u.frame_offset) for u in users}) == 1


def test_the_floor_moves_all_cameras():
    from bl_ext.user_default.hund.bridge import floor

    written = write()
    before = [camera.matrix_world.translation.z for camera in written.cameras]
    floor.set_floor(written.collection, 0.25, 1.0)
    again = write(existing="ALL")
    bpy.context.view_layer.update()
    after = [camera.matrix_world.translation.z for camera in again.cameras]
    assert np.subtract(before, after) == pytest.approx([0.25] * 3, abs=1e-5)


def test_one_undo_takes_markers_and_cameras_back(enabled, tmp_path):
    cut_clip().save(tmp_path / "dance.npz")
    bpy.context.scene.timeline_markers.new("Mine", frame=3)
    bpy.ops.ed.undo_push(message="Before")
    assert bpy.ops.hund.load(filepath=str(tmp_path / "dance.npz")) == {"FINISHED"}
    bpy.ops.ed.undo_push(message="Loaded")
    bpy.context.scene.timeline_markers["Shot 2"].frame = 7
    bpy.ops.ed.undo_push(message="Moved")
    bpy.ops.ed.undo()
    mine = ("Mine", 3, None)
    assert sorted(set(marker_table()) - {mine}) == EXPECTED
    written = bpy.data.collections["dance"]
    assert edits.changes(written) == []
    bpy.ops.ed.undo()
    assert marker_table() == [mine] and not bpy.data.cameras
    bpy.ops.ed.redo()
    assert sorted(set(marker_table()) - {mine}) == EXPECTED
