"""Batch command without a window: files, exit codes and report, with a fake backend."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import (
    bone_styles,
    exports,
    headless,
    job,
    ownership,
    rest_pose,
    scene,
)
from bl_ext.user_default.hund.hund_backend.errors import HundError
from bl_ext.user_default.hund.hund_backend.options import EXPORT_FORMATS
from synthetic_people import BONE_NAMES, build_reconstruction, in_world

HERE = Path(__file__).parent
FAKE = HERE / "fake_backend"
OPTIONAL = {"adapt", "method", "people"}


@pytest.fixture(scope="module")
def saved_reconstruction(tmp_path_factory):
    """A Reconstruction for the fake backend to copy."""
    folder = tmp_path_factory.mktemp("reconstruction")
    build_reconstruction(people=1, frames=4, moves_face=False).save(folder / "walk.npz")
    return folder / "walk.npz"


@pytest.fixture
def clips(tmp_path, saved_reconstruction):
    def make(*names):
        paths = [tmp_path / "clips" / f"{name}.mp4" for name in names]
        paths[0].parent.mkdir(exist_ok=True)
        for path in paths:
            shutil.copy(saved_reconstruction, path)
        return [str(path) for path in paths]

    return make


@pytest.fixture
def hund(tmp_path):
    """The command; returns its exit code and its report."""
    settings = job.Settings(
        log=tmp_path / "backend.log", interpreter=Path(sys.executable), root=FAKE
    )

    def run(*arguments):
        code = headless.main([*arguments, "--output", str(tmp_path / "out")], settings)
        report = tmp_path / "out" / headless.REPORT
        return code, json.loads(report.read_text()) if report.is_file() else None

    return run


def statuses(report):
    return [entry["status"] for entry in report["clips"]]


def temporary_files(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_clip_gives_scene(hund, clips, tmp_path):
    code, report = hund(*clips("walk"))
    assert code == 0 and statuses(report) == ["done"] and report["clips"][0]["people"] == 1
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / "walk.blend"))
    assert [item.type for item in bpy.data.objects].count("ARMATURE") == 1
    assert bpy.context.scene.frame_end == 4
    assert not temporary_files(tmp_path / "out")


def test_batch_continues_after_errors_and_skips_done_clips(hund, clips, tmp_path):
    hund(*clips("done"))
    before = (tmp_path / "out" / "done.blend").stat().st_mtime_ns
    code, report = hund(*clips("a", "bad", "done", "killed", "b"))
    assert statuses(report) == ["done", "failed", "skipped", "failed", "done"]
    assert code == report["exit_code"] == 2
    assert (tmp_path / "out" / "done.blend").stat().st_mtime_ns == before
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.blend")) == ["a", "b", "done"]
    assert not temporary_files(tmp_path / "out")


def test_missing_scene_is_written_from_existing_reconstruction(hund, clips, tmp_path):
    hund(*clips("walk"))
    (tmp_path / "out" / "walk.blend").unlink()
    code, report = hund(*clips("walk"), "--format", "blend", "bvh")
    assert code == 0 and statuses(report) == ["done"]
    assert (tmp_path / "out" / "walk.blend").is_file() and (
        tmp_path / "out" / "walk.bvh"
    ).is_file()


def test_relative_paths_start_at_current_folder(clips, tmp_path, monkeypatch):
    clips("walk")
    monkeypatch.chdir(tmp_path)
    Path("python").symlink_to(sys.executable)
    arguments = ["clips/walk.mp4", "--output", "scenes", "--interpreter", "./python"]
    settings = job.Settings(log=tmp_path / "log" / "backend.log", root=FAKE)
    assert headless.main(arguments, settings) == 0
    assert (tmp_path / "scenes" / "walk.blend").is_file()


def test_overwrite_repeats_done_clips(hund, clips):
    hund(*clips("walk"))
    assert statuses(hund(*clips("walk"), "--overwrite")[1]) == ["done"]


@pytest.mark.parametrize(("name", "code"), [("bad", 2), ("nobody", 3), ("crash", 1)])
def test_exit_code_tells_kind_of_error(hund, clips, name, code):
    exit_code, report = hund(*clips(name))
    assert exit_code == code and report["clips"][0]["message"].endswith(".")


def test_command_options_reach_request(hund, clips, monkeypatch):
    requested = []
    monkeypatch.setattr(job, "run", lambda tasks, *_: requested.extend(tasks))
    (clip,) = clips("walk")
    hund(clip)
    hund(clip, "--adapt")
    hund(clip, "--adapt", "7.5", "--method", "hund", "--people", "2")
    hund(clip, "--method", "fit")
    given = [{k: v for k, v in t.options.items() if k in OPTIONAL} for t in requested]
    assert given == [
        {},
        {"adapt": 60.0},
        {"adapt": 7.5, "method": "hund", "people": 2},
        {"method": "fit"},
    ]


def test_wrong_argument_is_bad_input(hund, capsys):
    assert hund("walk.mp4", "--format", "obj")[0] == 2
    assert "--format" in capsys.readouterr().err


def test_output_that_is_a_file_is_bad_input(clips, hund, tmp_path):
    (tmp_path / "out").write_text("")
    assert hund(*clips("walk"))[0] == 2


def test_clips_of_same_name_do_not_overwrite_each_other(hund, clips, tmp_path):
    (first,) = clips("walk")
    (tmp_path / "more").mkdir()
    second = shutil.copy(first, tmp_path / "more")
    code, report = hund(first, str(second))
    assert code == 2 and statuses(report) == ["failed", "failed"]


def test_control_c_cancels_remaining_clips(hund, clips, monkeypatch):
    def interrupt(self, status):
        if status.stage == "detect":
            raise KeyboardInterrupt

    monkeypatch.setattr(headless.Batch, "show_status", interrupt)
    code, report = hund(*clips("slow", "walk"))
    assert code == 130 and statuses(report) == ["cancelled", "cancelled"]


def test_killed_batch_continues_on_next_run(hund, clips, tmp_path):
    arguments = [*clips("first", "held", "last"), "--output", str(tmp_path / "out")]
    command = [sys.executable, HERE / "run_headless.py", FAKE, tmp_path / "log", *arguments]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (tmp_path / "out" / "first.blend").is_file():
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "out" / "held.npz").exists()
    (tmp_path / "clips" / "release").touch()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / "first.blend"))
    code, report = hund(*arguments[:3])
    assert code == 0 and statuses(report) == ["skipped", "done", "done"]


def test_failed_scene_leaves_no_files(hund, clips, tmp_path, monkeypatch):
    def fail_on_full_disk(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "_write_blend", fail_on_full_disk)
    code, report = hund(*clips("walk"))
    assert code == 2 and "No space left" in report["clips"][0]["message"]
    assert not list((tmp_path / "out").glob("*.blend")) and not temporary_files(tmp_path / "out")


@contextlib.contextmanager
def discarded_output(capfd):
    """Discard the output: pytest captures it in files, which cannot grow on a full disk either."""
    with capfd.disabled(), Path(os.devnull).open("w") as null:
        sys.stdout.flush()
        originals = [os.dup(fd) for fd in (1, 2)]
        for fd in (1, 2):
            os.dup2(null.fileno(), fd)
        try:
            yield
        finally:
            sys.stdout.flush()
            for fd, original in zip((1, 2), originals, strict=True):
                os.dup2(original, fd)
                os.close(original)


@pytest.mark.skipif(sys.platform == "win32", reason="a file's size cannot be limited there")
@pytest.mark.parametrize("file_format", EXPORT_FORMATS)
def test_full_disk_keeps_previous_scene(file_format, tmp_path, capfd):
    from full_disk import contents, full_disk, limits

    reconstruction = build_reconstruction(people=1, frames=4, moves_face=False)
    people = scene.write(bpy.context, reconstruction, match_scene=True).people
    [target] = exports.export(people, tmp_path, "walk", file_format)
    before = contents(tmp_path)
    for limit in limits(target.stat().st_size // 2):
        with (
            pytest.raises(HundError, match="cannot be written"),
            discarded_output(capfd),
            full_disk(limit),
        ):
            exports.export(people, tmp_path, "walk", file_format)
        assert contents(tmp_path) == before, limit


IMPORTERS = {
    "fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path, automatic_bone_orientation=False),
    "glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    "bvh": lambda path: bpy.ops.import_anim.bvh(
        filepath=path, axis_forward="-Z", axis_up="Y", use_fps_scale=False, frame_start=1
    ),
    "usd": lambda path: bpy.ops.wm.usd_import(filepath=path),
}


@pytest.mark.parametrize("file_format", IMPORTERS)
def test_exported_people_are_unchanged_after_import(file_format, tmp_path):
    reconstruction = build_reconstruction(people=2, frames=4, moves_face=False)
    written = scene.write(bpy.context, reconstruction, match_scene=True)
    fps = bpy.context.scene.render.fps
    files = exports.export(written.people, tmp_path, "walk", file_format)
    assert len(files) == (2 if file_format == "bvh" else 1)

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.render.fps = fps
    for path in files:
        IMPORTERS[file_format](str(path))
    armatures = sorted(
        (item for item in bpy.data.objects if item.type == "ARMATURE"), key=lambda item: item.name
    )
    assert len(armatures) == 2
    for frame in range(4):
        # Formats keep the time, but count frames from different starts.
        bpy.context.scene.frame_set(frame + first_frame(armatures[0]))
        for person, armature in enumerate(armatures):
            expected = in_world(reconstruction, reconstruction.joints[person, frame], frame)
            for joint, name in enumerate(BONE_NAMES):
                name = name.replace(".", "_") if file_format == "usd" else name
                bone = armature.pose.bones.get(name)
                assert bone, name
                head = np.array(armature.matrix_world @ bone.head)
                assert np.abs(head - expected[joint]).max() < 1e-3, (name, frame)


def first_frame(armature):
    action = armature.animation_data and armature.animation_data.action
    return round(action.frame_range[0]) if action else 1


def test_people_get_their_rest_names_strips_and_assets(hund, clips, tmp_path):
    options = "--rest-pose T --twist-bones none --engine unity --bone-names unity --nla --assets"
    code, report = hund(*clips("walk"), "--format", "blend", "fbx", *options.split())
    assert (code, report["exit_code"]) == (0, 0)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / "walk.blend"))
    (person,) = (obj for obj in bpy.data.objects if ownership.PERSON in obj)
    assert rest_pose.rest_of(person) == "T"
    assert person.animation_data.action is None
    (strip,) = person.animation_data.nla_tracks[0].strips
    assert strip.name == "walk" and strip.action.asset_data.tags[0].name == "HUND"
    assert strip.action.preview and min(strip.action.preview.image_size) > 0
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.import_scene.fbx(filepath=str(tmp_path / "out" / "walk.fbx"))
    (armature,) = (obj for obj in bpy.data.objects if obj.type == "ARMATURE")
    names = bone_styles.names("unity")
    expected = {name for joint, name in names.items() if "Twist" not in joint}
    assert set(armature.data.bones.keys()) == expected
    assert armature.animation_data.action  # the strip's motion
