"""Buttons of the panel: clip card, range from the playhead, check, first view, export, Escape."""

import importlib
import sys
import time
from pathlib import Path

import bpy
import pytest
from conftest import MODULE

FAKE = Path(__file__).parent / "fake_backend"


def module(name):
    return importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture
def enabled():
    bpy.ops.preferences.addon_enable(module=MODULE)
    preferences = bpy.context.preferences.addons[MODULE].preferences
    preferences.interpreter = sys.executable
    yield preferences
    bpy.ops.preferences.addon_disable(module=MODULE)


@pytest.fixture
def backend(enabled, monkeypatch):
    """The extension with the fake backend."""
    preferences, job = module("preferences"), module("bridge.job")
    settings = preferences.settings
    monkeypatch.setattr(
        preferences,
        "settings",
        lambda context: job.Settings(**{**vars(settings(context)), "root": FAKE}),
    )
    return enabled


@pytest.fixture
def reconstruction(tmp_path):
    from synthetic_people import build_reconstruction

    build_reconstruction(people=2, frames=6).save(tmp_path / "walk.npz")
    return tmp_path / "walk.npz"


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def read_card(clip):
    bpy.context.scene.hund.clip = str(clip)
    cards = module("bridge.clip_card")
    assert bpy.context.scene.hund.card is None
    wait(lambda: not cards.poll())
    return bpy.context.scene.hund.card


def datablocks():
    return {datablock.name_full for datablock in bpy.data.user_map()}


# The clip's card


def test_card_is_read_once_and_again_when_the_file_changes(backend, tmp_path):
    clip = tmp_path / "歩く مشي.mp4"
    clip.write_bytes(b"1")
    before = datablocks()
    card = read_card(clip)
    assert (card.width, card.height, card.fps, card.frames) == (4, 2, 25.0, 50)
    assert card.seconds == 2.0
    assert bpy.context.scene.hund.card is card
    assert datablocks() == before
    clip.write_bytes(b"another")
    assert read_card(clip) is not card


def test_card_of_a_bad_clip_gives_the_reason(backend, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"1")
    assert read_card(tmp_path / "bad.mp4").error == "bad.mp4 is no video."


def test_missing_clip_and_missing_interpreter_have_no_card(backend, tmp_path):
    cards, settings = module("bridge.clip_card"), bpy.context.scene.hund
    settings.clip = str(tmp_path / "missing.mp4")
    assert settings.card is None and not cards.poll()
    backend.interpreter = "/missing/python"
    settings.clip = __file__
    assert settings.card is None and not cards.poll()


# Range from the playhead


@pytest.mark.parametrize("fps", [24, 25, 50])
@pytest.mark.parametrize("start", [1, 1001])
def test_range_is_set_from_the_playhead(backend, tmp_path, fps, start):
    (tmp_path / "walk.mp4").write_bytes(b"1")
    scene = bpy.context.scene
    scene.render.fps, scene.hund.start_frame = fps, start
    read_card(tmp_path / "walk.mp4")
    for limit, seconds in (("start", 0.4), ("end", 1.2)):
        scene.frame_set(start + round(seconds * fps))
        assert bpy.ops.hund.set_range(limit=limit) == {"FINISHED"}
        number = getattr(scene.hund, limit)
        assert abs(number / 25 - seconds) <= 0.5 / fps + 0.5 / 25
    assert scene.hund.use_range
    scene.frame_set(start + 10 * fps)  # beyond the clip
    bpy.ops.hund.set_range(limit="start")
    assert scene.hund.start == scene.hund.end == 49
    scene.frame_set(start - 5)
    bpy.ops.hund.set_range(limit="end")
    assert scene.hund.start == scene.hund.end == 0


# Number of people


def test_limit_of_people_is_a_switch_of_its_number(enabled):
    settings = bpy.context.scene.hund
    assert not settings.use_people
    settings.use_people = True
    assert settings.people == 1
    settings.people = 3
    assert settings.use_people
    settings.use_people = False
    assert settings.people == 0


# Check of the interpreter


def check():
    operator = module("operators.check_backend")
    assert bpy.ops.hund.check_backend() == {"FINISHED"}
    wait(lambda: operator._poll() is None)
    return operator.report(bpy.context)


def script(folder, body):
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_check_names_missing_packages_and_the_command(enabled):
    report = check()
    assert not report.ready and "torch" in report.text
    assert report.command.startswith(f'"{sys.executable}" -m pip install -r "')
    requirements = report.command.split('"')[-2]
    assert "torch" in Path(requirements).read_text()
    assert bpy.ops.hund.copy_command.poll()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo hello", "is no Python"),
        ("echo python 3 9 2", "This is Python 3.9.2"),
        ("echo python 3 12 1; echo broken >&2", "cannot run HUND (broken)"),
    ],
)
def test_check_explains_programs_that_do_not_work(enabled, tmp_path, body, words):
    enabled.interpreter = script(tmp_path, body)
    report = check()
    assert not report.ready and words in report.text and not report.command
    assert not bpy.ops.hund.copy_command.poll()


def test_check_of_a_file_that_is_no_program(enabled, tmp_path):
    (tmp_path / "python").write_text("text")
    enabled.interpreter = str(tmp_path / "python")
    assert "cannot be started" in check().text


def test_check_of_a_silent_program_ends(enabled, tmp_path, monkeypatch):
    monkeypatch.setattr(module("bridge.installation"), "LIMIT_SECONDS", 0.3)
    enabled.interpreter = script(tmp_path, "exec sleep 60")
    assert "did not answer" in check().text


def test_report_belongs_to_its_interpreter(enabled, tmp_path):
    assert check()
    enabled.interpreter = script(tmp_path, "exit 0")
    assert module("operators.check_backend").report(bpy.context) is None


# First view of a result


@pytest.fixture
def startup_scene(enabled):
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    return bpy.context.scene


def load(path):
    assert bpy.ops.hund.load(filepath=str(path)) == {"FINISHED"}


def test_untouched_startup_cube_is_hidden(startup_scene, reconstruction):
    cube = startup_scene.objects["Cube"]
    load(reconstruction)
    assert cube.hide_viewport and cube.hide_render


def touch(scene, change):
    cube = scene.objects["Cube"]
    match change:
        case "moved":
            cube.location.x = 1
        case "edited":
            cube.data.vertices[0].co.x = 2
        case "modified":
            cube.modifiers.new("Bevel", "BEVEL")
        case "animated":
            cube.keyframe_insert("location", frame=1)
        case "renamed":
            cube.name = "House"
        case "accompanied":
            scene.collection.objects.link(bpy.data.objects.new("House", None))
    bpy.context.view_layer.update()
    return cube


CHANGES = ["moved", "edited", "modified", "animated", "renamed", "accompanied"]


@pytest.mark.parametrize("change", CHANGES)
def test_cube_that_the_user_has_touched_is_kept(startup_scene, reconstruction, change):
    cube = touch(startup_scene, change)
    load(reconstruction)
    assert not cube.hide_viewport and not cube.hide_render


def test_undo_of_the_load_shows_the_cube(startup_scene, reconstruction):
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.hund.load("EXEC_DEFAULT", True, filepath=str(reconstruction))
    assert bpy.data.objects["Cube"].hide_viewport
    bpy.ops.ed.undo()
    assert not bpy.data.objects["Cube"].hide_viewport


def test_look_through_sets_camera_and_playback_but_not_the_range(enabled, reconstruction):
    scene = bpy.context.scene
    scene.hund.match_scene, scene.hund.start_frame = False, 101
    scene.frame_start, scene.frame_end = 1, 500
    load(reconstruction)
    scene.camera = None
    result = scene.hund.results[0]
    assert bpy.ops.hund.look_through(name=result.name) == {"FINISHED"}
    assert scene.camera == module("bridge.shots").cameras(result.name)[1]
    assert (scene.frame_start, scene.frame_end) == (1, 500)
    assert scene.use_preview_range
    assert (scene.frame_preview_start, scene.frame_preview_end) == (result.start, result.end)
    assert result.start <= scene.frame_current <= result.end


def test_look_through_reports_a_camera_that_was_removed(enabled, reconstruction):
    load(reconstruction)
    bpy.data.objects.remove(bpy.context.scene.camera)
    with pytest.raises(RuntimeError, match="load the result again"):
        bpy.ops.hund.look_through(name=bpy.context.scene.hund.results[0].name)


# Export


def test_export_writes_to_the_folder_and_reports_it(enabled, reconstruction, tmp_path):
    load(reconstruction)
    settings = bpy.context.scene.hund
    settings.export_format, settings.export_folder = "bvh", str(tmp_path / "out")
    assert bpy.ops.hund.export() == {"FINISHED"}
    assert len(list((tmp_path / "out").glob("*.bvh"))) == 2


def test_export_in_a_form_writes_as_the_function_does(enabled, reconstruction, tmp_path):
    settings = bpy.context.scene.hund
    settings.rest = "I"
    load(reconstruction)
    settings.export_format, settings.export_folder = "bvh", str(tmp_path / "out")
    settings.export_names, settings.export_rest, settings.export_twist = "mixamo", "T", "off"
    assert bpy.ops.hund.export() == {"FINISHED"}
    people = [settings.results[0].characters[0]]
    assert module("bridge.rest_pose").rest_of(people[0]) == "I"
    form = module("bridge.export_copies").Form(rest="T", twist="off")
    [path] = module("bridge.exports").export(
        people, tmp_path, "same", "bvh", names="mixamo", form=form
    )
    written = next((tmp_path / "out").glob("*_1.bvh"))
    assert written.read_text() == path.read_text()


@pytest.mark.parametrize(("names", "bone"), [("blender", "Hand.L"), ("ghum", "HandL")])
def test_export_has_the_chosen_names_of_bones(enabled, reconstruction, tmp_path, names, bone):
    load(reconstruction)
    settings = bpy.context.scene.hund
    settings.export_format, settings.export_folder = "bvh", str(tmp_path / "out")
    settings.export_names = names
    assert bpy.ops.hund.export() == {"FINISHED"}
    lines = next((tmp_path / "out").glob("*_1.bvh")).read_text().splitlines()
    assert any(line.split() == ["JOINT", bone] for line in lines)


def test_export_of_selected_people_only(enabled, reconstruction, tmp_path):
    load(reconstruction)
    settings = bpy.context.scene.hund
    settings.export_selected, settings.export_format = True, "bvh"
    settings.export_folder = str(tmp_path / "out")
    for obj in bpy.context.view_layer.objects:
        obj.select_set(False)
    assert not bpy.ops.hund.export.poll()
    settings.results[0].characters[1].select_set(True)
    assert bpy.ops.hund.export() == {"FINISHED"}
    assert len(list((tmp_path / "out").glob("*.bvh"))) == 1


def test_export_without_a_folder_says_so(enabled, reconstruction):
    load(reconstruction)
    with pytest.raises(RuntimeError, match="Choose a folder"):
        bpy.ops.hund.export()


# Escape


class Event:
    def __init__(self, kind="ESC", x=0, y=0):
        self.type, self.value, self.mouse_x, self.mouse_y = kind, "PRESS", x, y


class Region:
    def __init__(self, kind, x, y, width, height, tab="HUND"):
        self.type, self.x, self.y, self.width, self.height = kind, x, y, width, height
        self.active_panel_category = tab


class Area:
    def __init__(self, *regions):
        self.type, self.regions = "VIEW_3D", regions
        self.y = 20


def window(tab="HUND"):
    regions = Region("WINDOW", 0, 20, 1000, 700), Region("UI", 800, 100, 200, 500, tab)
    screen = type("Screen", (), {"areas": [Area(*regions)]})()
    return type("Window", (), {"screen": screen})()


@pytest.mark.parametrize(
    ("x", "y", "tab", "expected"),
    [
        (900, 300, "HUND", True),
        (900, 300, "Item", False),
        (400, 300, "HUND", False),
        (900, 650, "HUND", False),
        (100, 5, "Item", True),  # the status bar
    ],
)
def test_escape_counts_over_the_panel_and_the_status_bar(enabled, x, y, tab, expected):
    assert module("bridge.screen").is_over_panel(window(tab), x, y) == expected


@pytest.mark.parametrize(("x", "passes"), [(400, True), (900, False)])
def test_escape_elsewhere_passes_and_never_cancels_unasked(
    backend, tmp_path, monkeypatch, x, passes
):
    reconstruct, job = module("operators.reconstruct"), module("bridge.job")
    (tmp_path / "slow.mp4").write_bytes(b"")
    tasks = reconstruct.make_tasks(bpy.context, [tmp_path / "slow.mp4"])
    running = job.Job(tasks, module("preferences").settings(bpy.context))
    monkeypatch.setattr(reconstruct, "_job", running)
    asked = []
    monkeypatch.setattr(reconstruct, "ask_to_cancel", lambda: asked.append(True))
    context = type("Context", (), {"window": window()})()
    answer = reconstruct.ReconstructMixin.modal(None, context, Event(x=x, y=300))
    assert (answer == {"PASS_THROUGH"}) == passes == (not asked)
    assert running.running and not running.status.stopping
    running.close()


def test_result_waits_until_edit_mode_is_left(backend, reconstruction, monkeypatch):
    reconstruct, job = module("operators.reconstruct"), module("bridge.job")
    clip = reconstruction.rename(reconstruction.with_suffix(".mp4"))
    running = job.Job(
        reconstruct.make_tasks(bpy.context, [clip]), module("preferences").settings(bpy.context)
    )
    monkeypatch.setattr(reconstruct, "_job", running)
    operator = type("Operator", (reconstruct.ReconstructMixin,), {})()
    operator._outcomes, operator._scene = [], bpy.context.scene.name
    editing = type("Context", (), {"window": window(), "mode": "EDIT_MESH"})()
    wait(lambda: operator.modal(editing, Event("TIMER")) and not running.running)
    assert operator.modal(editing, Event("TIMER")) == {"PASS_THROUGH"}
    assert reconstruct.is_waiting() and len(operator._outcomes) == 1
    assert "waits" in reconstruct.backend_unavailable_reason(bpy.context)
    reconstruct.stop()
    assert not reconstruct.is_waiting()
