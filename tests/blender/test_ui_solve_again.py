"""Solve Again: the motion alone is replaced, from kept evidence; a sentence says when it is gone."""

import importlib
import json
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from conftest import MODULE
from drawing import draw
from synthetic_people import bone_heads, build_reconstruction, go_to_frame

FAKE = Path(__file__).parent / "fake_backend"
FRAME = 4


def module(name):
    return importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture
def preferences(monkeypatch, tmp_path):
    """The extension's preferences, with the fake backend."""
    bpy.ops.preferences.addon_enable(module=MODULE)
    addon_preferences = bpy.context.preferences.addons[MODULE].preferences
    addon_preferences.interpreter, addon_preferences.cache_folder = (
        sys.executable,
        str(tmp_path / "cache"),
    )
    settings, job = module("preferences").settings, module("bridge.job")
    monkeypatch.setattr(
        module("preferences"),
        "settings",
        lambda context: job.Settings(**{**vars(settings(context)), "root": FAKE}),
    )
    yield addon_preferences
    bpy.ops.preferences.addon_disable(module=MODULE)


def solved(seed=0, smoothing=1.0, polish=True, evidence="abc"):
    options = {"smoothing": smoothing, "polish": polish}
    provenance = {"source": {"name": "walk.mp4"}, "evidence": evidence, "options": options}
    return build_reconstruction(people=2, frames=6, seed=seed, provenance=provenance)


def write_evidence(path, identity="abc"):
    with path.open("wb") as opened:
        np.savez(opened, schema="hund-evidence/1", identity=identity)


@pytest.fixture
def folder(preferences, tmp_path):
    """A folder with a reconstruction, its evidence, and what solving it again gives."""
    solved().save(tmp_path / "walk.npz")
    write_evidence(tmp_path / "walk.evidence")
    again = tmp_path / "again.npz"
    solved(seed=1, smoothing=0.25).save(again)
    again.rename(tmp_path / "walk.solved")
    return tmp_path


def load(path):
    assert bpy.ops.hund.load(filepath=str(path)) == {"FINISHED"}
    return bpy.context.scene.hund.results[-1]


def heads():
    go_to_frame(bpy.context.scene, FRAME)
    people = bpy.context.scene.hund.results[0].characters
    return [bone_heads(people[index]) for index in sorted(people)]


def drawn():
    return draw(module("panels.result").HUND_PT_result, bpy.context)


def solve_again():
    name = bpy.context.scene.hund.results[0].name
    return bpy.ops.hund.solve_again("EXEC_DEFAULT", name=name)


def test_the_motion_is_replaced_and_everything_else_stays(folder):
    scene, result = bpy.context.scene, load(folder / "walk.npz")
    assert result.smoothing == 1.0 and result.solve_again_reason is None
    person = result.characters[0]
    person.constraints.new("LIMIT_ROTATION").name = "Mine"
    scene.frame_end, scene.hund.start_frame, result.smoothing = 77, 101, 0.25
    assert solve_again() == {"FINISHED"}
    found = heads()
    assert scene.frame_end == 77 and person == result.characters[0]
    assert "Mine" in person.constraints and len(scene.hund.results) == 1
    assert result.smoothing == 0.25 and Path(result.filepath).parent == folder / "cache"
    assert Path(result.evidence_path) == folder / "walk.evidence"
    assert result.solve_again_reason is None
    request = json.loads((folder / "cache" / "request.json").read_text())
    assert request["command"] == "solve" and request["smoothing"] == 0.25
    assert request["evidence"] == str(folder / "walk.evidence")
    # As the bridge's function alone writes it.
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    write, reconstruction = module("bridge.scene").write, module("bridge.job").load
    first = write(bpy.context, reconstruction(folder / "walk.npz"))
    write(bpy.context, reconstruction(folder / "walk.solved"), existing="MOTION")
    go_to_frame(bpy.context.scene, FRAME)
    expected = [bone_heads(person) for person in first.people]
    assert np.allclose(found, expected, atol=1e-5)


def test_an_untouched_result_keeps_its_characters_too(folder):
    result = load(folder / "walk.npz")
    before, people = heads(), dict(result.characters)
    assert solve_again() == {"FINISHED"}
    assert dict(result.characters) == people
    assert not np.allclose(heads(), before, atol=1e-2)


def test_without_bones_the_new_motion_is_added_beside(folder):
    result = load(folder / "walk.npz")
    person = result.characters[0]
    bpy.context.view_layer.objects.active = person
    bpy.ops.object.mode_set(mode="EDIT")
    person.data.edit_bones.remove(person.data.edit_bones["Head01"])
    bpy.ops.object.mode_set(mode="OBJECT")
    assert solve_again() == {"FINISHED"}
    assert len(bpy.context.scene.hund.results) == 2 and "Head01" not in person.data.bones


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "walk.evidence").unlink(), "no longer on the disk"),
        (lambda folder: (folder / "walk.evidence").write_bytes(b"no"), "damaged"),
        (lambda folder: write_evidence(folder / "walk.evidence", "other"), "has replaced"),
        (lambda folder: solved(polish=False).save(folder / "walk.npz"), "Draft quality"),
        (lambda folder: solved(evidence="").save(folder / "walk.npz"), "keeps nothing"),
    ],
)
def test_a_sentence_says_why_it_cannot_be_solved_again(folder, spoil, reason):
    spoil(folder)
    result = load(folder / "walk.npz")
    before = heads()
    assert reason in result.solve_again_reason
    with pytest.raises(RuntimeError, match=reason):
        solve_again()
    assert np.array_equal(heads(), before)


def test_panel_has_slider_and_reason(folder):
    load(folder / "walk.npz")
    layout = drawn()
    assert "smoothing" in layout.properties and "hund.solve_again" in layout.operators
    (folder / "walk.evidence").unlink()
    assert "What was found" in " ".join(drawn().texts)


def test_results_of_earlier_versions_have_no_slider(folder):
    build_reconstruction(people=1, frames=4).save(folder / "old.npz")
    load(folder / "old.npz")
    assert "smoothing" not in drawn().properties


def test_the_first_reconstruction_gets_the_panels_smoothing_and_keeps_its_evidence(folder):
    settings = bpy.context.scene.hund
    clip = folder / "walk.mp4"
    clip.write_bytes((folder / "walk.npz").read_bytes())
    settings.clip, settings.smoothing = str(clip), 2.5
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    request = json.loads((folder / "cache" / "request.json").read_text())
    assert request["smoothing"] == 2.5 and request["keep_evidence"] is True
