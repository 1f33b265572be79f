"""Laws of the extension as Blender sees it: what it registers, draws, refuses and leaves behind."""

import importlib
import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from conftest import MODULE

FAKE = Path(__file__).parent / "fake_backend"


def part(name):
    return importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture
def enabled():
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield bpy.context.preferences.addons[MODULE].preferences
    if MODULE in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_disable(module=MODULE)


@pytest.fixture
def backend(enabled, monkeypatch, tmp_path):
    """The extension with a backend that copies the clip: clips are Reconstructions in disguise."""
    enabled.interpreter = sys.executable
    enabled.cache_folder = str(tmp_path / "cache")
    settings = part("preferences").settings
    job = part("bridge.job")
    monkeypatch.setattr(
        part("preferences"),
        "settings",
        lambda context: job.Settings(**{**vars(settings(context)), "root": FAKE}),
    )
    return enabled


@pytest.fixture
def clip(tmp_path):
    """A clip that the fake backend makes a Reconstruction of."""
    from moving_people import build_reconstruction

    build_reconstruction(people=1, frames=5).save(tmp_path / "walk.npz")
    return (tmp_path / "walk.npz").rename(tmp_path / "walk.mp4")


def registered():
    handlers = [
        (name, entry)
        for name in dir(bpy.app.handlers)
        if isinstance(entries := getattr(bpy.app.handlers, name), list)
        for entry in entries
    ]
    menu = getattr(bpy.types.TOPBAR_MT_file_import.draw, "_draw_funcs", [])
    return {
        "types": {name for name in dir(bpy.types) if "hund" in name.lower()},
        "operators": set(dir(bpy.ops.hund)),
        "handlers": handlers,
        "menu": len(menu),
        "scene": hasattr(bpy.types.Scene, "hund"),
        "command": None,
    }


def test_enabling_and_disabling_twice_leaves_nothing_behind():
    before = registered()
    for _ in range(2):
        bpy.ops.preferences.addon_enable(module=MODULE)
        assert registered() != before and hasattr(bpy.types, "HUND_PT_solve")
        bpy.ops.preferences.addon_disable(module=MODULE)
        assert registered() == before
    reconstruct = part("operators.reconstruct")
    assert not bpy.app.timers.is_registered(reconstruct._wait_for_the_job)


def test_enabling_imports_nothing_heavy():
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import conftest, bpy
bpy.ops.preferences.addon_enable(module=conftest.MODULE)
heavy = {{"torch", "cv2", "scipy", "onnxruntime", "jaxtyping"}} & set(sys.modules)
assert hasattr(bpy.types, "HUND_PT_solve") and not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


VERBS = {
    "Bring",
    "Choose",
    "Let",
    "Limit",
    "Name",
    "Open",
    "Reconstruct",
    "Remove",
    "Set",
    "Stop",
    "Turn",
}


def test_every_tooltip_begins_with_a_verb_and_has_no_full_stop(enabled):
    names = [name for name in dir(bpy.ops.hund) if not name.startswith("_")]
    texts = [getattr(bpy.ops.hund, name).get_rna_type().description for name in names]
    for owner in (bpy.context.scene.hund, enabled):
        own = set(type(owner).__annotations__) - {"results"}
        texts += [owner.bl_rna.properties[name].description for name in own]
    assert len(texts) >= 15
    assert not [text for text in texts if text.split()[0] not in VERBS or text.endswith(".")]


class Layout:
    """Stands in for a layout; notes what is drawn."""

    def __init__(self):
        self.drawn = []

    def __getattr__(self, name):
        if name in {"row", "column", "box"}:
            return lambda **_: self
        return lambda *args, **kwargs: self.drawn.append((name, args, kwargs)) or self


@pytest.mark.parametrize("name", ["source", "solve", "result"])
def test_panels_draw_in_object_and_pose_mode(enabled, name, monkeypatch):
    panel = getattr(part(f"panels.{name}"), f"HUND_PT_{name}")
    assert panel.poll(bpy.context)
    stand_in = type("Panel", (), {"layout": Layout(), "_draw_running": None})()
    panel.draw(stand_in, bpy.context)
    assert stand_in.layout.drawn


def refusal(operator):
    with pytest.raises(RuntimeError) as error:
        operator()
    return str(error.value)


def test_a_grey_button_says_why(backend, tmp_path):
    assert "Choose a clip" in refusal(bpy.ops.hund.reconstruct)
    bpy.context.scene.hund.clip = str(tmp_path / "gone.mp4")
    assert "does not exist" in refusal(bpy.ops.hund.reconstruct)
    assert "Nothing is running" in refusal(bpy.ops.hund.cancel)
    assert "Nothing is running" in refusal(bpy.ops.hund.finish)
    backend.interpreter = "/nowhere/python"
    bpy.context.scene.hund.clip = str(tmp_path)
    assert "preferences" in refusal(bpy.ops.hund.reconstruct)


def facts_of_the_scene():
    return {
        "collections": sorted(c.name for c in bpy.data.collections),
        "objects": sorted((o.name, o.type) for o in bpy.data.objects),
        "results": [(r.name, r.people, r.frames) for r in bpy.context.scene.hund.results],
        "range": (bpy.context.scene.frame_start, bpy.context.scene.frame_end),
    }


def test_the_button_the_drop_and_the_import_do_the_same(backend, clip, tmp_path):
    bpy.context.scene.hund.clip = str(clip)
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    pressed = facts_of_the_scene()
    assert pressed["results"] == [("walk", 1, 5)] and len(pressed["objects"]) == 3

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    files = [{"name": clip.name}]
    assert bpy.ops.hund.reconstruct_files(directory=str(tmp_path), files=files) == {"FINISHED"}
    assert facts_of_the_scene() == pressed

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    result = part("bridge.job").load(tmp_path / "cache" / "walk.npz")
    part("bridge.scene").write(bpy.context, result, clip=clip)
    written = facts_of_the_scene()
    assert written == pressed | {"results": []}


def test_a_finished_file_is_loaded_and_loaded_again(backend, clip, tmp_path):
    bpy.context.scene.hund.clip = str(clip)
    bpy.ops.hund.reconstruct()
    before = facts_of_the_scene()
    (note,) = bpy.context.scene.hund.results
    assert bpy.ops.hund.load(filepath=note.filepath, clip=note.clip) == {"FINISHED"}
    assert facts_of_the_scene() == before


def test_learning_is_asked_for_only_where_it_is_wanted(enabled, clip):
    def asked():
        (task,) = part("operators.reconstruct").tasks(bpy.context, [clip])
        return task.options.get("adapt")

    assert asked() is None
    bpy.context.scene.hund.adapt = True
    assert asked() == 60
    bpy.context.scene.hund.adapt_seconds = 1
    assert asked() == 5


def test_learning_has_a_word_on_the_bar(enabled):
    forecast, solve = part("bridge.forecast"), part("panels.solve")
    heard = forecast.Forecast(60.0)
    heard.hear("detect", 1, 2)
    heard.hear("adapt 1/2", 3, 300)
    status = part("bridge.job").Status(
        clip="walk.mp4",
        position=1,
        clips=1,
        stage=heard.stage,
        person=heard.person,
        done=heard.done,
        total=heard.total,
        share=heard.share,
        seconds_left=None,
        stopping=False,
        finishing=False,
    )
    assert solve.words(status) == "Learning, person 1/2"


def test_a_bad_file_is_reported_and_changes_nothing(backend, tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    before = facts_of_the_scene()
    with pytest.raises(RuntimeError, match="damaged"):
        bpy.ops.hund.load(filepath=str(tmp_path / "bad.npz"))
    assert facts_of_the_scene() == before


@pytest.mark.parametrize("name", ["bad", "nobody", "killed"])
def test_an_error_of_the_backend_is_reported_and_changes_nothing(backend, tmp_path, name):
    (tmp_path / f"{name}.mp4").write_bytes(b"")
    bpy.context.scene.hund.clip = str(tmp_path / f"{name}.mp4")
    before = facts_of_the_scene()
    with pytest.raises(RuntimeError, match=f"{name}.mp4: "):
        bpy.ops.hund.reconstruct()
    assert facts_of_the_scene() == before


def test_the_users_objects_stay_as_they_are(backend, clip):
    cube = bpy.data.objects.new("Mine", bpy.data.meshes.new("Mine"))
    bpy.context.scene.collection.objects.link(cube)
    bpy.context.scene.render.fps = 60
    bpy.context.scene.hund.clip = str(clip)
    bpy.ops.hund.reconstruct()
    bpy.ops.hund.reconstruct()
    assert bpy.context.scene.render.fps == 60
    assert bpy.data.objects["Mine"].users_collection == (bpy.context.scene.collection,)
    assert len(bpy.context.scene.hund.results) == 1


def test_it_works_from_pose_mode(backend, clip):
    bpy.context.scene.hund.clip = str(clip)
    bpy.ops.hund.reconstruct()
    armature = next(item for item in bpy.data.objects if item.type == "ARMATURE")
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="POSE")
    bpy.context.scene.hund.replace = False
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    assert len(bpy.context.scene.hund.results) == 2
