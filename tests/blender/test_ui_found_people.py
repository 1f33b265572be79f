"""Find People: a list with pictures and ticks, which the reconstruction follows."""

import json
import shutil
from pathlib import Path

import bpy
import pytest
from drawing import draw
from synthetic_people import build_reconstruction
from test_ui_solve_again import module, preferences  # noqa: F401 - a fixture


@pytest.fixture
def clip(preferences, tmp_path):  # noqa: F811 - the fixture
    """A clip in the panel; the fake backend copies it as its reconstruction."""
    build_reconstruction(people=2, frames=4).save(tmp_path / "walk.npz")
    shutil.move(tmp_path / "walk.npz", tmp_path / "walk.mp4")
    bpy.context.scene.hund.clip = str(tmp_path / "walk.mp4")
    return tmp_path / "walk.mp4"


def found():
    return bpy.context.scene.hund.found


def find():
    assert bpy.ops.hund.find_people() == {"FINISHED"}
    return list(found().people)


def drawn():
    return draw(module("panels.source").HUND_PT_source, bpy.context)


def num_pictures():
    """Number of pictures in memory; without a window they have no icons."""
    return len(module("bridge.found_people")._previews or ())


def request(tmp_path):
    return json.loads((tmp_path / "cache" / "request.json").read_text())


def test_people_are_listed_and_still_figures_are_not_ticked(clip):
    people = find()
    assert [person.number for person in people] == [1, 2, 3]
    assert [person.is_chosen for person in people] == [True, False, True]
    layout = drawn()
    assert layout.properties.count("is_chosen") == 3
    assert "Does not move: a picture?" in layout.texts and "In view 50 %" in layout.texts
    assert num_pictures() == 3


def test_the_quick_look_gets_the_panels_range(clip):
    settings = bpy.context.scene.hund
    settings.use_range, settings.start, settings.end = True, 2, 9
    find()
    asked = json.loads(Path(found().file).with_name("request.json").read_text())
    assert (asked["command"], asked["start"], asked["end"]) == ("people", 2, 9)
    assert asked["clip"] == str(clip)


def test_another_clip_empties_the_list_and_frees_the_pictures(clip):
    find()
    drawn()
    assert num_pictures() == 3
    bpy.context.scene.hund.clip = str(clip.with_name("other.mp4"))
    assert not found().people and not found().file
    assert num_pictures() == 0
    assert "is_chosen" not in drawn().properties


@pytest.mark.parametrize(("name", "value"), [("use_speed", True), ("speed", 8.0)])
def test_another_speed_empties_the_list_whose_seconds_it_changes(clip, name, value):
    find()
    setattr(bpy.context.scene.hund, name, value)
    assert not found().people and not found().file


def test_slow_motion_is_asked_for_when_it_is_set(clip, tmp_path):
    settings = bpy.context.scene.hund
    settings.speed = 8.0
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    assert "speed" not in request(tmp_path)  # as the file says
    settings.use_speed = True
    layout = drawn()
    assert {"use_speed", "speed"} <= set(layout.properties)
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    assert request(tmp_path)["speed"] == 8.0
    find()
    asked = json.loads(Path(found().file).with_name("request.json").read_text())
    assert asked["speed"] == 8.0


def test_the_reconstruction_follows_the_ticks(clip, tmp_path):
    people = find()
    people[1].is_chosen, people[2].is_chosen = True, False
    bpy.context.scene.hund.people = 1  # an earlier choice, which is gray beside the list
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    assert "people" not in request(tmp_path)
    listed = json.loads(Path(request(tmp_path)["only"]).read_text())
    assert [person["chosen"] for person in listed["people"]] == [True, True, False]
    original = json.loads(Path(found().file).read_text())
    assert [person["chosen"] for person in original["people"]] == [True] * 3
    for person in (*listed["people"], *original["people"]):
        person.pop("chosen")
    assert listed == original


def test_without_a_list_everybody_is_reconstructed(clip, tmp_path):
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    assert "only" not in request(tmp_path)


def test_somebody_has_to_be_ticked(clip):
    for person in find():
        person.is_chosen = False
    with pytest.raises(RuntimeError, match="Tick at least one"):
        bpy.ops.hund.reconstruct()
    assert bpy.ops.hund.find_people.poll()


def test_a_failed_look_keeps_the_list(clip, tmp_path):
    find()
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"1")
    before = found().file
    bpy.context.scene.hund["clip"] = str(bad)  # without emptying the list
    with pytest.raises(RuntimeError, match=r"bad\.mp4 is no video"):
        bpy.ops.hund.find_people()
    assert found().file == before and len(found().people) == 3


def test_a_list_that_is_gone_gives_a_sentence(clip):
    find()
    shutil.rmtree(Path(found().file).parent)
    drawn()
    assert num_pictures() == 0
    with pytest.raises(RuntimeError, match="press Find People again"):
        bpy.ops.hund.reconstruct()
    assert not bpy.context.scene.hund.results


def test_the_list_is_saved_with_the_file(clip, tmp_path):
    find()[0].is_chosen = False
    path = str(tmp_path / "people.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert [person.is_chosen for person in found().people] == [False, False, True]
    drawn()
    assert num_pictures() == 3
