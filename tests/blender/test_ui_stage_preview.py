"""Stage preview: shows a stage's poses, and leaves actions, files and renders unchanged."""

import importlib
import shutil
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest
from conftest import MODULE
from drawing import draw
from synthetic_people import (
    BONE_NAMES,
    bone_heads,
    build_descent,
    build_reconstruction,
    go_to_frame,
)

FRAMES = (1, 4, 9)
BONE_TOLERANCE = 1e-4  # metres
PRESENT = np.ones((2, 9), bool)
PRESENT[1, 3] = False  # the second person in frame 4


def module(name):
    return importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture(autouse=True)
def enabled():
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield
    bpy.ops.preferences.addon_disable(module=MODULE)


def load(path):
    assert bpy.ops.hund.load(filepath=str(path)) == {"FINISHED"}
    return bpy.context.scene.hund.results[-1]


@pytest.fixture(scope="module")
def descent():
    return build_descent(people=2, frames=9, present=PRESENT)


@pytest.fixture
def result(descent, tmp_path):
    """A result whose file has five stages."""
    descent[0].save(tmp_path / "walk.npz")
    return load(tmp_path / "walk.npz")


def only_result():
    (entry,) = bpy.context.scene.hund.results
    return entry


def people():
    return [bpy.data.objects[f"Person {number} - dance"] for number in (1, 2)]


def heads(frames=FRAMES, armatures=people):
    positions = []
    for frame in frames:
        go_to_frame(bpy.context.scene, frame)
        positions.append([bone_heads(armature) for armature in armatures()])
    return np.array(positions)


def current_heads():
    bpy.context.view_layer.update()
    return np.array([bone_heads(armature) for armature in people()])


def bone_values():
    """Values of all bones, and the custom properties of the armatures."""
    channels = (
        "location",
        "rotation_quaternion",
        "rotation_euler",
        "rotation_axis_angle",
        "scale",
    )
    values = {
        (armature.name, bone.name, channel): tuple(getattr(bone, channel))
        for armature in people()
        for bone in armature.pose.bones
        for channel in channels
    }
    return values, [sorted(armature.keys()) for armature in people()]


def fcurves():
    from test_bridge_motion import fcurves_of, keys_of

    return {
        (armature.name, curve.data_path, curve.array_index): keys_of(curve).tobytes()
        for armature in people()
        for curve in fcurves_of(armature)
    }


def rest_bones():
    return [
        (bone.name, tuple(map(tuple, bone.matrix_local)))
        for armature in people()
        for bone in armature.data.bones
    ]


@pytest.fixture
def expected_heads(descent):
    """Heads in FRAMES if a stage, or the final motion for None, is written as an action."""

    def write_stage(stage):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        reconstruction = descent[0] if stage is None else descent[1][stage]
        written = module("bridge.scene").write(bpy.context, reconstruction)
        return heads(armatures=lambda: written.people)

    return write_stage


@pytest.mark.parametrize("stage", [0, 2, 4])
def test_stage_has_same_pose_as_if_written_as_action(stage, expected_heads, result, tmp_path):
    expected, final = expected_heads(stage), expected_heads(None)
    result = load(tmp_path / "walk.npz")
    result.show_descent, result.stage = True, stage
    preview = heads()
    expected[1, 1] = final[1, 1]  # a person who is not present keeps the action's pose
    assert np.abs(preview - expected).max() < BONE_TOLERANCE
    assert np.abs(preview - final)[:, 0].max() > 0.1


def test_switching_shows_and_restores_pose_exactly(result):
    go_to_frame(bpy.context.scene, 7)
    before, before_heads = bone_values(), current_heads()
    result.show_descent = True
    first = current_heads()
    result.stage = 3
    assert np.abs(first - before_heads).max() > 0.1 and np.abs(first - current_heads()).max() > 0.1
    result.show_descent = False
    assert bone_values() == before
    assert np.array_equal(current_heads(), before_heads)


def test_frame_changes_leave_action_unchanged(result):
    before, keys, rest = heads(), fcurves(), rest_bones()
    result.show_descent = True
    for stage in range(5):
        result.stage = stage
        heads()
    assert fcurves() == keys and rest_bones() == rest
    result.show_descent = False
    assert np.array_equal(heads(), before)
    assert fcurves() == keys and rest_bones() == rest


def test_outside_of_clip_actions_pose_is_kept(result):
    outside = (-3, 0, 10, 40)
    before = heads(outside)
    result.show_descent = True
    assert np.array_equal(heads(outside), before)


def test_nearest_frame_is_shown_at_other_scene_rates(descent, tmp_path, expected_heads):
    expected = expected_heads(2)
    bpy.context.scene.hund.match_scene = False
    bpy.context.scene.render.fps = 60
    descent[0].save(tmp_path / "walk.npz")
    result = load(tmp_path / "walk.npz")
    result.show_descent, result.stage = True, 2
    bpy.context.scene.render.fps = 24  # this does not move the keys
    assert np.abs(heads((1, 17)) - expected[[0, 2]]).max() < BONE_TOLERANCE
    assert np.array_equal(heads((18,)), heads((17,)))


def test_channels_without_keys_are_restored(result):
    """Bones without F-curves that the user has posed, one with another rotation mode."""
    result.show_descent = True
    for armature in people():
        armature.animation_data_clear()
    result.show_descent = False
    bone = people()[0].pose.bones["Hand.L"]
    bone.rotation_mode, bone.rotation_euler, bone.scale = "XYZ", (4, 0.2, 0.3), (1, 2, 1)
    people()[0].pose.bones["Pelvis"].location = (0.1, 0.2, 0.3)
    before, before_heads = bone_values(), heads()
    result.show_descent = True
    preview = heads()
    assert np.abs(preview - before_heads)[0].max() > 0.1
    go_to_frame(bpy.context.scene, FRAMES[-1])
    result.show_descent = False
    assert bone_values() == before and np.array_equal(heads(), before_heads)


def test_edits_during_preview_are_kept(result):
    go_to_frame(bpy.context.scene, 7)
    result.show_descent = True
    people()[0].pose.bones["Hand.L"].rotation_quaternion = (0, 1, 0, 0)
    people()[1].pose.bones["Hand.L"].rotation_quaternion = (0, 0, 1, 0)
    people()[1].pose.bones["Hand.L"].keyframe_insert("rotation_quaternion", frame=7)
    result.show_descent = False
    bpy.context.view_layer.update()
    assert tuple(people()[0].pose.bones["Hand.L"].rotation_quaternion) == (0, 1, 0, 0)
    go_to_frame(bpy.context.scene, 3)
    go_to_frame(bpy.context.scene, 7)
    assert tuple(people()[1].pose.bones["Hand.L"].rotation_quaternion) == (0, 0, 1, 0)


def test_undo_and_redo_with_preview(result):
    result.show_descent = False
    go_to_frame(bpy.context.scene, 7)
    bpy.ops.ed.undo_push(message="Before")
    before, keys, before_heads = bone_values(), fcurves(), current_heads()
    result.show_descent, result.stage = True, 1
    bpy.ops.ed.undo_push(message="Show")
    preview = current_heads()
    go_to_frame(bpy.context.scene, 2)
    result.stage = 4
    people()[0].pose.bones["Hand.L"].keyframe_insert("location")
    bpy.ops.ed.undo_push(message="Edit")
    bpy.ops.ed.undo()
    assert only_result().show_descent and np.allclose(current_heads(), preview, atol=1e-5)
    bpy.ops.ed.undo()
    assert not only_result().show_descent and np.array_equal(current_heads(), before_heads)
    assert bone_values() == before and fcurves() == keys
    bpy.ops.ed.redo()
    assert only_result().show_descent and np.allclose(current_heads(), preview, atol=1e-5)
    only_result().show_descent = False
    assert np.array_equal(current_heads(), before_heads)


def test_saved_file_has_final_motion(result, tmp_path):
    go_to_frame(bpy.context.scene, 7)
    before, before_heads = bone_values(), current_heads()
    result.show_descent = True
    preview = current_heads()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"), copy=True)
    assert np.array_equal(current_heads(), preview)
    bpy.ops.preferences.addon_disable(module=MODULE)  # as for users without the extension
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert bone_values() == before and np.array_equal(current_heads(), before_heads)
    bpy.ops.preferences.addon_enable(module=MODULE)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert not only_result().show_descent and bone_values() == before


def test_automatically_saved_file_opens_with_final_motion(result, tmp_path, monkeypatch):
    """Blender calls no handlers for such files."""
    go_to_frame(bpy.context.scene, 7)
    for armature in people():
        armature.animation_data.action = None  # no key restores the pose
    before = bone_values()
    result.show_descent = True
    save_handlers = list(bpy.app.handlers.save_pre)
    bpy.app.handlers.save_pre.clear()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "crash.blend"), copy=True)
    bpy.app.handlers.save_pre.extend(save_handlers)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "crash.blend"))
    assert not only_result().show_descent and bone_values() == before


def render_frames(path):
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.seed = "CYCLES", 1, 0
    scene.render.resolution_x, scene.render.resolution_y = 64, 36
    scene.render.resolution_percentage = 100
    scene.cycles.use_denoising = False
    scene.world = scene.world or bpy.data.worlds.new("World")
    scene.render.image_settings.file_format = "BMP"
    scene.render.filepath = str(path)
    scene.frame_start, scene.frame_end = 4, 5
    bpy.ops.render.render(animation=True)
    return [file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*.bmp"))]


def test_renders_show_final_motion(result, tmp_path):
    go_to_frame(bpy.context.scene, 7)
    people()[1].animation_data_clear()  # without keys, its current pose is rendered
    final = render_frames(tmp_path / "final")
    before_heads = current_heads()
    assert len(final) == 2 and final[0] != final[1]
    result.show_descent = True
    preview = current_heads()
    assert render_frames(tmp_path / "preview") == final
    assert np.array_equal(current_heads(), preview)  # the preview is shown again
    result.show_descent = False
    assert np.array_equal(current_heads(), before_heads)


def test_disabling_extension_restores_pose(result):
    go_to_frame(bpy.context.scene, 7)
    before = bone_values()
    result.show_descent = True
    bpy.ops.preferences.addon_disable(module=MODULE)
    assert bone_values() == before
    bpy.ops.preferences.addon_enable(module=MODULE)


def drawn(result):
    """Properties of the preview and the reason why there is none, as the panel draws them."""
    layout = draw(module("panels.advanced").HUND_PT_advanced, bpy.context)
    props = [name for name in layout.properties if name in {"show_descent", "stage"}]
    text = " ".join(layout.texts)
    return props, [text[text.index("The ") :]] if "The " in text else []


def missing(path):
    path.unlink()


def other_shape(path):
    build_descent(people=1, frames=5, stages=3)[0].save(path)


def same_shape(path):
    reconstruction, _ = build_descent(people=2, frames=9, present=PRESENT)
    reversed_frames = reconstruction.stage_rotations[:, ::-1].copy()
    replace(reconstruction, stage_rotations=reversed_frames).save(path)


def without_stages(path):
    build_reconstruction(people=2, frames=9).save(path)


def damaged(path):
    path.write_bytes(b"no zip")


@pytest.mark.parametrize("spoil", [missing, other_shape, same_shape, without_stages, damaged])
def test_unusable_file_gives_message_and_no_preview(result, spoil):
    assert drawn(result) == (["show_descent", "stage"], [])
    before = heads()
    spoil(Path(result.filepath))
    result.show_descent = True
    assert np.array_equal(heads(), before)
    _, (message,) = drawn(result)
    assert message.endswith(".") and len(message) < 40


def test_restored_file_is_shown_again(result, tmp_path):
    path = Path(result.filepath)
    shutil.copy(path, tmp_path / "copy")
    result.show_descent = True
    preview = heads()
    path.unlink()
    assert np.abs(heads() - preview).max() > 0.1
    shutil.copy(tmp_path / "copy", path)
    assert np.array_equal(heads(), preview) and drawn(result)[1] == []


def test_file_without_stages_has_no_preview(tmp_path):
    build_reconstruction(frames=3).save(tmp_path / "walk.npz")
    result = load(tmp_path / "walk.npz")
    assert result.stages == 0 and drawn(result) == ([], [])


def test_file_is_read_once(result, monkeypatch):
    reads, load_file = [], module("bridge.job").load
    monkeypatch.setattr(
        module("bridge.job"), "load", lambda path: reads.append(path) or load_file(path)
    )
    Path(result.filepath).touch()
    result.show_descent = True
    heads()
    assert len(reads) == 1


def test_stage_is_limited_to_last(tmp_path):
    build_descent(frames=3, stages=2)[0].save(tmp_path / "walk.npz")
    result = load(tmp_path / "walk.npz")
    result.show_descent, result.stage = True, 4
    assert result.stage == 1


def test_loading_again_shows_final_motion(result):
    before = heads()
    result.show_descent = True
    result = load(result.filepath)
    assert not result.show_descent and np.array_equal(heads(), before)


def test_renamed_characters_are_found_and_copies_are_ignored(result):
    go_to_frame(bpy.context.scene, 7)
    first, second = people()
    copy = first.copy()
    result.characters  # noqa: B018 - a property
    bpy.context.scene.collection.children["dance"].objects.link(copy)
    bpy.context.scene.collection.children["dance"].name = "Shot 7"
    second.name = "Anna"
    assert result.characters == {0: first, 1: second}
    second.name = "Person 2 - dance"
    result.show_descent = True
    posed_copy = first.copy()
    bpy.context.scene.collection.objects.link(posed_copy)
    result.show_descent = False
    for bone in BONE_NAMES:  # a copy made during the preview is restored, too
        assert posed_copy.pose.bones[bone].matrix_basis == first.pose.bones[bone].matrix_basis


def test_missing_or_changed_characters_are_no_error(result):
    first, second = people()
    result.show_descent = True
    second.pose.bones["Hand.L"].name = "Paw"
    go_to_frame(bpy.context.scene, 4)
    go_to_frame(bpy.context.scene, 5)
    second.pose.bones["Paw"].name = "Hand.L"
    bpy.data.objects.remove(first)
    go_to_frame(bpy.context.scene, 6)
    bpy.data.objects.remove(second)
    go_to_frame(bpy.context.scene, 7)
    assert drawn(result)[1] == ["The characters are missing."]
