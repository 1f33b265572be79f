"""First minute: welcome, sample, help, about, and the log beside every error."""

import json
import tomllib

import bpy
import pytest
from conftest import ROOT
from drawing import draw
from synthetic_people import build_reconstruction
from test_ui_solve_again import module, preferences  # noqa: F401 - a fixture


def drawn(panel, name):
    return draw(getattr(module(f"panels.{panel}"), f"HUND_PT_{name}"), bpy.context)


def test_the_sample_is_welcomed_with_until_a_clip_is_chosen(preferences, tmp_path):  # noqa: F811
    layout = drawn("source", "source")
    assert "hund.try_sample" in layout.operators
    text = " ".join(layout.texts)
    assert "becomes a character" in text and "on this computer alone" in text
    assert str(tmp_path / "cache").replace(" ", "") in "".join(layout.texts).replace(" ", "")
    bpy.context.scene.hund.clip = str(tmp_path / "walk.mp4")
    assert "hund.try_sample" not in drawn("source", "source").operators


def test_the_sample_is_short_and_credited():
    clip = module("bridge.sample").CLIP
    assert clip.stat().st_size < 1e6
    assert "BSD 3-Clause" in clip.with_name("LICENSE").read_text()
    assert "`sample/walker.mp4`" in (ROOT / "NOTICE.md").read_text()


@pytest.fixture
def clip(preferences, tmp_path):  # noqa: F811
    """A clip that the fake backend copies as its reconstruction."""
    build_reconstruction(people=1, frames=4).save(tmp_path / "walk.npz")
    return (tmp_path / "walk.npz").rename(tmp_path / "walk.mp4")


def test_the_sample_makes_people_whatever_limits_another_clip_had(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(module("bridge.sample"), "CLIP", clip)
    settings = bpy.context.scene.hund
    settings.use_range, settings.start, settings.end = True, 100, 200
    settings.use_speed, settings.people = True, 1
    assert bpy.ops.hund.try_sample() == {"FINISHED"}
    asked = json.loads((tmp_path / "cache" / "request.json").read_text())
    assert not {"start", "end", "speed", "people"} & set(asked)
    assert settings.clip == str(clip) and len(settings.results) == 1
    assert any(item.type == "ARMATURE" for item in bpy.data.objects)


def test_an_error_stays_in_the_panel_with_the_log_until_the_next_job(clip):
    errors = module("operators.reconstruct").last_errors
    bad = clip.with_name("bad.mp4")
    bad.write_text("")
    bpy.context.scene.hund.clip = str(bad)
    with pytest.raises(RuntimeError):
        bpy.ops.hund.reconstruct()
    assert errors() == ["bad.mp4 is no video."]
    layout = drawn("solve", "solve")
    assert "bad.mp4" in " ".join(layout.texts)
    assert "hund.backend_log" in layout.operators
    bpy.context.scene.hund.clip = str(clip)
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    assert not errors()
    assert "hund.backend_log" not in drawn("solve", "solve").operators


def test_help_is_the_manual_as_a_page(preferences, tmp_path):  # noqa: F811
    page = module("bridge.about").write_manual(tmp_path / "ünï dir")
    text = page.read_text(encoding="utf-8")
    assert "HUND for Blender" in text and "<script" not in text
    assert page.as_uri().startswith("file:///")


def test_about_says_version_licence_and_weights(preferences):  # noqa: F811
    lines = module("operators.about").lines()
    version = tomllib.loads((ROOT / "blender_manifest.toml").read_text())["version"]
    assert lines[0] == f"HUND {version}"
    assert any("GNU General Public License" in line for line in lines)
    assert any("hund.safetensors" in line for line in lines)


def test_the_help_panel_has_manual_log_and_about(preferences):  # noqa: F811
    assert drawn("solve", "help").operators == ["hund.help", "hund.backend_log", "hund.about"]
