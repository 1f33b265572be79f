"""Laws of the descent made visible: it is seen where it is asked for, and nothing else ever knows of it."""

import importlib
import shutil
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest
from conftest import MODULE
from moving_people import JOINT_NAMES, build_descent, build_reconstruction, heads_of, show

FRAMES = (1, 4, 9)
BONE_TOLERANCE = 1e-4  # metres
PRESENT = np.ones((2, 9), bool)
PRESENT[1, 3] = False  # the second person, in frame 4


def part(name):
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
def note(descent, tmp_path):
    """A result whose file tells of five stages."""
    descent[0].save(tmp_path / "walk.npz")
    return load(tmp_path / "walk.npz")


def only():
    (note,) = bpy.context.scene.hund.results
    return note


def people():
    return [bpy.data.objects[f"dance Person {number}"] for number in (1, 2)]


def heads(frames=FRAMES, who=people):
    places = []
    for frame in frames:
        show(bpy.context.scene, frame)
        places.append([heads_of(armature) for armature in who()])
    return np.array(places)


def heads_now():
    bpy.context.view_layer.update()
    return np.array([heads_of(armature) for armature in people()])


def held():
    """Every number in every channel of every bone, and what else objects carry."""
    channels = (
        "location",
        "rotation_quaternion",
        "rotation_euler",
        "rotation_axis_angle",
        "scale",
    )
    numbers = {
        (armature.name, bone.name, channel): tuple(getattr(bone, channel))
        for armature in people()
        for bone in armature.pose.bones
        for channel in channels
    }
    return numbers, [sorted(armature.keys()) for armature in people()]


def curves():
    from test_bridge_motion import curves_of, keys_of

    return {
        (armature.name, curve.data_path, curve.array_index): keys_of(curve).tobytes()
        for armature in people()
        for curve in curves_of(armature)
    }


def rests():
    return [
        (bone.name, tuple(map(tuple, bone.matrix_local)))
        for armature in people()
        for bone in armature.data.bones
    ]


@pytest.fixture
def written(descent):
    """Where joints stand at each of FRAMES if a stage, or the finished motion, is an action."""

    def heads_of_stage(stage):
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        told = descent[0] if stage is None else descent[1][stage]
        made = part("bridge.scene").write(bpy.context, told)
        return heads(who=lambda: made.people)

    return heads_of_stage


@pytest.mark.parametrize("stage", [0, 2, 4])
def test_a_stage_stands_as_if_it_had_been_written_as_an_action(stage, written, note, tmp_path):
    expected, finished = written(stage), written(None)
    note = load(tmp_path / "walk.npz")
    note.show_descent, note.stage = True, stage
    found = heads()
    expected[1, 1] = finished[1, 1]  # who is not seen keeps the action's pose
    assert np.abs(found - expected).max() < BONE_TOLERANCE
    assert np.abs(found - finished)[:, 0].max() > 0.1


def test_switching_shows_it_at_once_and_takes_it_back_exactly(note):
    show(bpy.context.scene, 7)
    before, places = held(), heads_now()
    note.show_descent = True
    first = heads_now()
    note.stage = 3
    assert np.abs(first - places).max() > 0.1 and np.abs(first - heads_now()).max() > 0.1
    note.show_descent = False
    assert held() == before
    assert np.array_equal(heads_now(), places)


def test_frames_come_and_go_and_the_action_is_what_it_was(note):
    before, keys, rest = heads(), curves(), rests()
    note.show_descent = True
    for stage in range(5):
        note.stage = stage
        heads()
    assert curves() == keys and rests() == rest
    note.show_descent = False
    assert np.array_equal(heads(), before)
    assert curves() == keys and rests() == rest


def test_outside_of_the_clip_the_actions_pose_stays(note):
    outside = (-3, 0, 10, 40)
    before = heads(outside)
    note.show_descent = True
    assert np.array_equal(heads(outside), before)


def test_in_a_scene_of_another_rate_the_nearest_frame_is_shown(descent, tmp_path, written):
    expected = written(2)
    bpy.ops.mesh.primitive_cube_add()  # a scene of somebody's own keeps its rate
    bpy.context.scene.render.fps = 60
    descent[0].save(tmp_path / "walk.npz")
    note = load(tmp_path / "walk.npz")
    note.show_descent, note.stage = True, 2
    bpy.context.scene.render.fps = 24  # the keys stay where they are
    assert np.abs(heads((1, 17)) - expected[[0, 2]]).max() < BONE_TOLERANCE
    assert np.array_equal(heads((18,)), heads((17,)))


def test_what_has_no_keys_comes_back_too(note):
    """A bone that the user holds in other angles and that no curve moves."""
    note.show_descent = True
    for armature in people():
        armature.animation_data_clear()
    note.show_descent = False
    bone = people()[0].pose.bones["HandL"]
    bone.rotation_mode, bone.rotation_euler, bone.scale = "XYZ", (4, 0.2, 0.3), (1, 2, 1)
    people()[0].pose.bones["Pelvis"].location = (0.1, 0.2, 0.3)
    before, places = held(), heads()
    note.show_descent = True
    shown = heads()
    assert np.abs(shown - places)[0].max() > 0.1
    show(bpy.context.scene, FRAMES[-1])
    note.show_descent = False
    assert held() == before and np.array_equal(heads(), places)


def test_what_is_edited_meanwhile_stays(note):
    show(bpy.context.scene, 7)
    note.show_descent = True
    people()[0].pose.bones["HandL"].rotation_quaternion = (0, 1, 0, 0)
    people()[1].pose.bones["HandL"].rotation_quaternion = (0, 0, 1, 0)
    people()[1].pose.bones["HandL"].keyframe_insert("rotation_quaternion", frame=7)
    note.show_descent = False
    bpy.context.view_layer.update()
    assert tuple(people()[0].pose.bones["HandL"].rotation_quaternion) == (0, 1, 0, 0)
    show(bpy.context.scene, 3)
    show(bpy.context.scene, 7)
    assert tuple(people()[1].pose.bones["HandL"].rotation_quaternion) == (0, 0, 1, 0)


def test_undo_and_redo_go_through_it(note):
    note.show_descent = False
    show(bpy.context.scene, 7)
    bpy.ops.ed.undo_push(message="Before")
    before, keys, places = held(), curves(), heads_now()
    note.show_descent, note.stage = True, 1
    bpy.ops.ed.undo_push(message="Show")
    shown = heads_now()
    show(bpy.context.scene, 2)
    note.stage = 4
    people()[0].pose.bones["HandL"].keyframe_insert("location")
    bpy.ops.ed.undo_push(message="Edit")
    bpy.ops.ed.undo()
    assert only().show_descent and np.allclose(heads_now(), shown, atol=1e-5)
    bpy.ops.ed.undo()
    assert not only().show_descent and np.array_equal(heads_now(), places)
    assert held() == before and curves() == keys
    bpy.ops.ed.redo()
    assert only().show_descent and np.allclose(heads_now(), shown, atol=1e-5)
    only().show_descent = False
    assert np.array_equal(heads_now(), places)


def test_a_saved_file_holds_the_finished_motion(note, tmp_path):
    show(bpy.context.scene, 7)
    before, places = held(), heads_now()
    note.show_descent = True
    shown = heads_now()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"), copy=True)
    assert np.array_equal(heads_now(), shown)
    bpy.ops.preferences.addon_disable(module=MODULE)  # for those who do not have it
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert held() == before and np.array_equal(heads_now(), places)
    bpy.ops.preferences.addon_enable(module=MODULE)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert not only().show_descent and held() == before


def test_a_file_that_blender_saved_by_itself_opens_with_the_finished_motion(
    note, tmp_path, monkeypatch
):
    """Such files are written without asking anybody."""
    show(bpy.context.scene, 7)
    for armature in people():
        armature.animation_data.action = None  # no key would put it right
    before = held()
    note.show_descent = True
    saving = list(bpy.app.handlers.save_pre)
    bpy.app.handlers.save_pre.clear()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "crash.blend"), copy=True)
    bpy.app.handlers.save_pre.extend(saving)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "crash.blend"))
    assert not only().show_descent and held() == before


def rendered(path):
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


def test_pictures_show_the_finished_motion(note, tmp_path):
    show(bpy.context.scene, 7)
    people()[1].animation_data_clear()  # what has no keys is rendered as it is held
    finished = rendered(tmp_path / "finished")
    places = heads_now()
    assert len(finished) == 2 and finished[0] != finished[1]
    note.show_descent = True
    shown = heads_now()
    assert rendered(tmp_path / "shown") == finished
    assert np.array_equal(heads_now(), shown)  # and it is seen again afterwards
    note.show_descent = False
    assert np.array_equal(heads_now(), places)


def test_disabling_the_extension_takes_it_back(note):
    show(bpy.context.scene, 7)
    before = held()
    note.show_descent = True
    bpy.ops.preferences.addon_disable(module=MODULE)
    assert held() == before
    bpy.ops.preferences.addon_enable(module=MODULE)


def drawn(note):
    from test_ui_extension import Layout

    layout = Layout()
    panel = part("panels.result").HUND_PT_result
    panel.draw(type("Panel", (), {"layout": layout})(), bpy.context)
    props = [args[1] for kind, args, _ in layout.drawn if kind == "prop"]
    labels = [kw["text"] for kind, _, kw in layout.drawn if kind == "label" and "text" in kw]
    return props, [text for text in labels if text.startswith("Its ")]


def gone(path):
    path.unlink()


def another(path):
    build_descent(people=1, frames=5, stages=3)[0].save(path)


def same_shape(path):
    told, _ = build_descent(people=2, frames=9, present=PRESENT)
    turned = told.stage_rotations[:, ::-1].copy()
    replace(told, stage_rotations=turned).save(path)


def without_stages(path):
    build_reconstruction(people=2, frames=9).save(path)


def damaged(path):
    path.write_bytes(b"no zip")


@pytest.mark.parametrize("spoil", [gone, another, same_shape, without_stages, damaged])
def test_a_file_that_does_not_fit_is_told_of_and_nothing_moves(note, spoil):
    assert drawn(note) == (["show_descent", "stage"], [])
    before = heads()
    spoil(Path(note.filepath))
    note.show_descent = True
    assert np.array_equal(heads(), before)
    _, (sentence,) = drawn(note)
    assert sentence.endswith(".") and len(sentence) < 40


def test_a_file_that_came_back_is_shown_again(note, tmp_path):
    path = Path(note.filepath)
    shutil.copy(path, tmp_path / "aside")
    note.show_descent = True
    shown = heads()
    path.unlink()
    assert np.abs(heads() - shown).max() > 0.1
    shutil.copy(tmp_path / "aside", path)
    assert np.array_equal(heads(), shown) and drawn(note)[1] == []


def test_where_there_are_no_stages_nothing_is_offered(tmp_path):
    build_reconstruction(frames=3).save(tmp_path / "walk.npz")
    note = load(tmp_path / "walk.npz")
    assert note.stages == 0 and drawn(note) == ([], [])


def test_the_file_is_read_once(note, monkeypatch):
    reads, load_file = [], part("bridge.job").load
    monkeypatch.setattr(
        part("bridge.job"), "load", lambda path: reads.append(path) or load_file(path)
    )
    Path(note.filepath).touch()
    note.show_descent = True
    heads()
    assert len(reads) == 1


def test_a_stage_beyond_the_last_is_the_last(tmp_path):
    build_descent(frames=3, stages=2)[0].save(tmp_path / "walk.npz")
    note = load(tmp_path / "walk.npz")
    note.show_descent, note.stage = True, 4
    assert note.stage == 1


def test_loading_again_shows_the_finished_motion(note):
    before = heads()
    note.show_descent = True
    note = load(note.filepath)
    assert not note.show_descent and np.array_equal(heads(), before)


def test_renamed_characters_are_found_and_copies_are_left_alone(note):
    show(bpy.context.scene, 7)
    first, second = people()
    copy = first.copy()
    note.characters  # noqa: B018 - a property
    bpy.context.scene.collection.children["dance"].objects.link(copy)
    bpy.context.scene.collection.children["dance"].name = "Shot 7"
    second.name = "Anna"
    assert note.characters == {0: first, 1: second}
    second.name = "dance Person 2"
    note.show_descent = True
    during = first.copy()
    bpy.context.scene.collection.objects.link(during)
    note.show_descent = False
    for bone in JOINT_NAMES:  # a copy that was made meanwhile does not keep the stage's pose
        assert during.pose.bones[bone].matrix_basis == first.pose.bones[bone].matrix_basis


def test_characters_that_have_gone_or_were_rebuilt_do_no_harm(note):
    first, second = people()
    note.show_descent = True
    second.pose.bones["HandL"].name = "Paw"
    show(bpy.context.scene, 4)
    show(bpy.context.scene, 5)
    second.pose.bones["Paw"].name = "HandL"
    bpy.data.objects.remove(first)
    show(bpy.context.scene, 6)
    bpy.data.objects.remove(second)
    show(bpy.context.scene, 7)
    assert drawn(note)[1] == ["Its characters have gone."]
