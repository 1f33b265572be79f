"""Paths that start with //, and relative ones, in properties, preferences and the command."""

import importlib
import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from conftest import MODULE

SENTENCE = "is relative to the .blend: save the file first."


def module(name):
    return importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture(autouse=True)
def enabled():
    bpy.ops.preferences.addon_enable(module=MODULE)
    preferences = bpy.context.preferences.addons[MODULE].preferences
    preferences.interpreter = sys.executable
    yield preferences
    bpy.ops.preferences.addon_disable(module=MODULE)


@pytest.fixture
def folder(tmp_path):
    """The folder of the open .blend, which is saved."""
    (tmp_path / "project").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "project" / "scene.blend"))
    return tmp_path / "project"


@pytest.fixture
def reconstruction(folder):
    from synthetic_people import build_reconstruction

    build_reconstruction(people=1, frames=4).save(folder / "walk.npz")
    return folder / "walk.npz"


@pytest.fixture
def fake_backend(monkeypatch):
    """A backend that copies the clip: a saved Reconstruction."""
    preferences, job = module("preferences"), module("bridge.job")
    settings = preferences.settings
    root = Path(__file__).parent / "fake_backend"
    monkeypatch.setattr(
        preferences,
        "settings",
        lambda context: job.Settings(**{**vars(settings(context)), "root": root}),
    )


def test_registration_and_relative_paths_give_no_warning():
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import conftest, bpy
bpy.ops.preferences.addon_enable(module=conftest.MODULE)
hund = bpy.context.scene.hund
result = hund.results.add()
hund.clip = result.clip = "//clip.mp4"
result.filepath = "//clip.npz"
preferences = bpy.context.preferences.addons[conftest.MODULE].preferences
preferences.cache_folder, preferences.interpreter = "//cache", "//python"
"""
    command = [sys.executable, "-W", "ignore", "-W", "always::RuntimeWarning", "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert not result.stderr


def test_clip_is_resolved_against_saved_blend(fake_backend, reconstruction, enabled, folder):
    enabled.cache_folder = "//cache"
    reconstruction.rename(folder / "walk.mp4")
    bpy.context.scene.hund.clip = "//walk.mp4"
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    (result,) = bpy.context.scene.hund.results
    assert Path(result.filepath) == folder / "cache" / "walk.npz"
    assert Path(result.clip) == folder / "walk.mp4"


def test_dropped_clip_is_resolved_against_saved_blend(fake_backend, reconstruction, enabled):
    enabled.cache_folder = "//cache"
    clip = reconstruction.rename(reconstruction.with_suffix(".mp4"))
    files = [{"name": clip.name}]
    assert bpy.ops.hund.reconstruct_files(directory="//", files=files) == {"FINISHED"}
    assert Path(bpy.context.scene.hund.results[0].clip) == clip


def test_loaded_file_is_resolved_against_saved_blend(reconstruction):
    assert bpy.ops.hund.load(filepath="//walk.npz", clip="//walk.mp4") == {"FINISHED"}
    (result,) = bpy.context.scene.hund.results
    assert Path(result.filepath) == reconstruction
    assert Path(result.clip) == reconstruction.with_suffix(".mp4")
    result.filepath = "//walk.npz"
    assert result.unavailable_reason is None


def test_preferences_are_resolved_against_saved_blend(enabled, folder):
    preferences = module("preferences")
    enabled.cache_folder, enabled.interpreter = "//../cache", "//python"
    assert preferences.cache_folder(bpy.context).resolve() == folder.parent / "cache"
    assert preferences.settings(bpy.context).interpreter == folder / "python"


def test_relative_cache_folder_starts_at_folder_of_extension(enabled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache_folder = module("preferences").cache_folder
    own = Path(bpy.utils.extension_path_user(MODULE))
    enabled.cache_folder = "my cache"
    assert cache_folder(bpy.context) == own / "my cache"
    enabled.cache_folder = ""
    assert cache_folder(bpy.context) == own / "reconstructions"
    enabled.cache_folder = str(tmp_path)
    assert cache_folder(bpy.context) == tmp_path


def test_unsaved_file_refuses_clip():
    bpy.context.scene.hund.clip = "//clip.mp4"
    with pytest.raises(RuntimeError, match=f"//clip.mp4 {SENTENCE}"):
        bpy.ops.hund.reconstruct()


def test_unsaved_file_refuses_dropped_clip(tmp_path):
    with pytest.raises(RuntimeError, match=SENTENCE):
        bpy.ops.hund.reconstruct_files(directory="//", files=[{"name": "clip.mp4"}])


def test_unsaved_file_refuses_cache_folder(enabled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    enabled.cache_folder = "//cache"
    (tmp_path / "clip.mp4").write_bytes(b"")
    bpy.context.scene.hund.clip = str(tmp_path / "clip.mp4")
    with pytest.raises(RuntimeError, match=f"//cache {SENTENCE}"):
        bpy.ops.hund.reconstruct()
    assert not (tmp_path / "cache").exists()


def test_unsaved_file_refuses_interpreter(enabled):
    enabled.interpreter = "//python"
    bpy.context.scene.hund.clip = str(Path(__file__))
    with pytest.raises(RuntimeError, match=f"//python {SENTENCE}"):
        bpy.ops.hund.reconstruct()
    assert module("preferences").unavailable_reason(bpy.context) == f"//python {SENTENCE}"
    assert module("operators.command").run(["clip.mp4", "--output", "out"]) == 2


@pytest.mark.parametrize("paths", [("//bad.npz", ""), ("bad.npz", "//clip.mp4")])
def test_unsaved_file_refuses_loading(paths):
    with pytest.raises(RuntimeError, match=SENTENCE):
        bpy.ops.hund.load(filepath=paths[0], clip=paths[1])


def test_unsaved_file_tells_why_stages_are_unavailable():
    result = bpy.context.scene.hund.results.add()
    result.filepath = "//walk.npz"
    assert result.unavailable_reason == f"//walk.npz {SENTENCE}"


def test_command_resolves_paths_before_it_starts(folder, monkeypatch, tmp_path):
    headless, job = module("bridge.headless"), module("bridge.job")
    requests = []
    monkeypatch.setattr(headless.job, "run", lambda tasks, *_: requests.extend(tasks))
    settings = job.Settings(log=tmp_path / "backend.log")
    assert headless.main(["//clip.mp4", "--output", "//out"], settings) == 0
    (task,) = requests
    assert (task.clip, task.output) == (folder / "clip.mp4", folder / "out")


def test_command_refuses_relative_path_without_saved_file(monkeypatch, tmp_path, caplog):
    monkeypatch.chdir(tmp_path)
    headless, job = module("bridge.headless"), module("bridge.job")
    settings = job.Settings(log=tmp_path / "backend.log")
    assert headless.main(["//clip.mp4", "--output", "out"], settings) == 2
    assert headless.main(["clip.mp4", "--output", "//out"], settings) == 2
    assert caplog.messages == [f"//clip.mp4 {SENTENCE}", f"//out {SENTENCE}"]
    assert not list(tmp_path.iterdir())
