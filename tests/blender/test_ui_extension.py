"""Extension: registration, tooltips, panels, operators and their errors."""

import importlib
import subprocess
import sys
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
    yield bpy.context.preferences.addons[MODULE].preferences
    if MODULE in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_disable(module=MODULE)


@pytest.fixture
def backend(enabled, monkeypatch, tmp_path):
    """The extension with a fake backend, which copies the clip: a saved Reconstruction."""
    enabled.interpreter = sys.executable
    enabled.cache_folder = str(tmp_path / "cache")
    settings = module("preferences").settings
    job = module("bridge.job")
    monkeypatch.setattr(
        module("preferences"),
        "settings",
        lambda context: job.Settings(**{**vars(settings(context)), "root": FAKE}),
    )
    return enabled


@pytest.fixture
def clip(tmp_path):
    """A saved Reconstruction for the fake backend to copy."""
    from synthetic_people import build_reconstruction

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


def test_enabling_and_disabling_twice_leaves_nothing():
    before = registered()
    for _ in range(2):
        bpy.ops.preferences.addon_enable(module=MODULE)
        assert registered() != before and hasattr(bpy.types, "HUND_PT_solve")
        bpy.ops.preferences.addon_disable(module=MODULE)
        assert registered() == before
    reconstruct = module("operators.reconstruct")
    assert not bpy.app.timers.is_registered(reconstruct._poll_job)


def test_enabling_imports_no_large_packages():
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import conftest, bpy
bpy.ops.preferences.addon_enable(module=conftest.MODULE)
large = {{"torch", "cv2", "scipy", "onnxruntime", "jaxtyping"}} & set(sys.modules)
assert hasattr(bpy.types, "HUND_PT_solve") and not large, large
"""
    subprocess.run([sys.executable, "-c", code], check=True)


VERBS = {
    "Adapt",
    "Add",
    "Animate",
    "Choose",
    "Color",
    "Copy",
    "Exchange",
    "Export",
    "Fill",
    "Find",
    "Follow",
    "Go",
    "Keep",
    "Key",
    "Leave",
    "Let",
    "Limit",
    "List",
    "Load",
    "Look",
    "Mark",
    "Move",
    "Open",
    "Pin",
    "Pose",
    "Reconstruct",
    "Remove",
    "Replace",
    "Save",
    "Set",
    "Show",
    "Smooth",
    "Solve",
    "Start",
    "Stop",
    "Turn",
    "Write",
}


def test_tooltips_begin_with_verb_and_have_no_full_stop(enabled):
    names = [name for name in dir(bpy.ops.hund) if not name.startswith("_")]
    texts = [getattr(bpy.ops.hund, name).get_rna_type().description for name in names]
    hidden = {"results", "roles", "active_role", "pairs", "active_pair", "found", "message"}
    for owner in (bpy.context.scene.hund, bpy.context.scene.hund.retarget, enabled):
        properties = set(type(owner).__annotations__) - hidden
        texts += [owner.bl_rna.properties[name].description for name in properties]
    assert len(texts) >= 15
    assert not [text for text in texts if text.split()[0] not in VERBS or text.endswith(".")]


def poll_message(operator):
    with pytest.raises(RuntimeError) as error:
        operator()
    return str(error.value)


def test_disabled_buttons_tell_the_reason(backend, tmp_path):
    assert "Choose a clip" in poll_message(bpy.ops.hund.reconstruct)
    bpy.context.scene.hund.clip = str(tmp_path / "missing.mp4")
    assert "does not exist" in poll_message(bpy.ops.hund.reconstruct)
    assert "No reconstruction is running" in poll_message(bpy.ops.hund.cancel)
    assert "No reconstruction is running" in poll_message(bpy.ops.hund.finish)
    backend.interpreter = "/missing/python"
    bpy.context.scene.hund.clip = str(tmp_path)
    assert "preferences" in poll_message(bpy.ops.hund.reconstruct)


def scene_content():
    return {
        "collections": sorted(c.name for c in bpy.data.collections),
        "objects": sorted((o.name, o.type) for o in bpy.data.objects),
        "results": [(r.name, r.people, r.frames) for r in bpy.context.scene.hund.results],
        "range": (bpy.context.scene.frame_start, bpy.context.scene.frame_end),
    }


def test_button_drop_and_import_give_the_same_scene(backend, clip, tmp_path):
    bpy.context.scene.hund.clip = str(clip)
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    expected = scene_content()
    assert expected["results"] == [("walk", 1, 5)] and len(expected["objects"]) >= 3

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    files = [{"name": clip.name}]
    assert bpy.ops.hund.reconstruct_files(directory=str(tmp_path), files=files) == {"FINISHED"}
    assert scene_content() == expected

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    result = module("bridge.job").load(tmp_path / "cache" / "walk.npz")
    module("bridge.scene").write(bpy.context, result, clip=clip)
    assert scene_content() == expected | {"results": []}


def test_loading_again_gives_the_same_scene(backend, clip, tmp_path):
    bpy.context.scene.hund.clip = str(clip)
    bpy.ops.hund.reconstruct()
    before = scene_content()
    (entry,) = bpy.context.scene.hund.results
    assert bpy.ops.hund.load(filepath=entry.filepath, clip=entry.clip) == {"FINISHED"}
    assert scene_content() == before


def test_adaptation_is_requested_only_if_chosen(enabled, clip):
    def requested_seconds():
        (task,) = module("operators.reconstruct").make_tasks(bpy.context, [clip])
        return task.options.get("adapt")

    assert requested_seconds() is None
    bpy.context.scene.hund.adapt = True
    assert requested_seconds() == 60
    bpy.context.scene.hund.adapt_seconds = 1
    assert requested_seconds() == 5


def test_damaged_file_is_reported_and_changes_nothing(backend, tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    before = scene_content()
    with pytest.raises(RuntimeError, match="damaged"):
        bpy.ops.hund.load(filepath=str(tmp_path / "bad.npz"))
    assert scene_content() == before


@pytest.mark.parametrize("name", ["bad", "nobody", "killed"])
def test_backend_error_is_reported_and_changes_nothing(backend, tmp_path, name):
    (tmp_path / f"{name}.mp4").write_bytes(b"")
    bpy.context.scene.hund.clip = str(tmp_path / f"{name}.mp4")
    before = scene_content()
    with pytest.raises(RuntimeError) as caught:
        bpy.ops.hund.reconstruct()
    assert str(caught.value).count(f"{name}.mp4") == 1
    assert scene_content() == before


def test_objects_of_user_are_kept(backend, clip):
    cube = bpy.data.objects.new("User Cube", bpy.data.meshes.new("User Cube"))
    bpy.context.scene.collection.objects.link(cube)
    bpy.context.scene.render.fps = 60
    bpy.context.scene.hund.match_scene = False
    bpy.context.scene.hund.clip = str(clip)
    bpy.ops.hund.reconstruct()
    bpy.ops.hund.reconstruct()
    assert bpy.context.scene.render.fps == 60
    assert bpy.data.objects["User Cube"].users_collection == (bpy.context.scene.collection,)
    assert len(bpy.context.scene.hund.results) == 1


def test_reconstruct_works_in_pose_mode(backend, clip):
    bpy.context.scene.hund.clip = str(clip)
    bpy.ops.hund.reconstruct()
    armature = next(item for item in bpy.data.objects if item.type == "ARMATURE")
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="POSE")
    bpy.context.scene.hund.existing = "ADD"
    assert bpy.ops.hund.reconstruct() == {"FINISHED"}
    assert len(bpy.context.scene.hund.results) == 2
