"""`--rig`: the command writes the user's rigs with the people's motion."""

import json
import shutil
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge import headless, job
from bl_ext.user_default.hund.bridge.retarget import rig_files
from bl_ext.user_default.hund.bridge.retarget.errors import RetargetError
from synthetic_people import build_reconstruction

FAKE = Path(__file__).parent / "fake_backend"


@pytest.fixture
def rig_file(tmp_path):
    """A .blend with a skinned Mixamo armature and another object."""
    armature = rig_tables.build("mixamo")
    mesh = bpy.data.objects.new("Skin", bpy.data.meshes.new("Skin"))
    mesh.data.from_pydata([(0, 0, 0), (0, 0, 1), (0, 1, 1)], [], [(0, 1, 2)])
    mesh.modifiers.new("Armature", "ARMATURE").object = armature
    mesh.parent = armature
    other = bpy.data.objects.new("Other", None)
    for obj in (mesh, other):
        bpy.context.scene.collection.objects.link(obj)
    path = tmp_path / "rig.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path), check_existing=False)
    return path


@pytest.fixture
def hund(tmp_path):
    """The command on a clip with two people; returns its exit code and its report."""
    clip = tmp_path / "walk.mp4"
    build_reconstruction(people=2, frames=5, moves_face=False).save(tmp_path / "walk.npz")
    shutil.copy(tmp_path / "walk.npz", clip)
    settings = job.Settings(
        log=tmp_path / "backend.log", interpreter=Path(sys.executable), root=FAKE
    )

    def run(*arguments):
        output = tmp_path / "out"
        code = headless.main([str(clip), *arguments, "--output", str(output)], settings)
        report = output / headless.REPORT
        return code, json.loads(report.read_text()) if report.is_file() else None

    return run


def test_each_person_moves_a_copy_of_the_rig(hund, rig_file, tmp_path):
    code, _ = hund("--rig", f"{rig_file}:mixamo", "--format", "blend", "fbx")
    assert code == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / "walk.blend"))
    scene = bpy.context.scene
    (rigs,) = [c for c in scene.collection.children if c.name.startswith("Rigs")]
    kinds = sorted(obj.type for obj in rigs.objects)
    assert kinds == ["ARMATURE", "ARMATURE", "MESH", "MESH"]
    armatures = [obj for obj in rigs.objects if obj.type == "ARMATURE"]
    hips = [
        [rig_tables.heads(obj, ["mixamorig:Hips"], f)["mixamorig:Hips"] for f in (1, 5)]
        for obj in armatures
    ]
    assert np.linalg.norm(np.diff(hips, axis=1), axis=-1).min() > 0.01  # both move
    assert np.abs(np.array(hips[0]) - hips[1]).max() > 0.01  # differently
    assert (tmp_path / "out" / "walk.fbx").stat().st_size > 0


def test_wrong_rigs_are_refused_in_a_sentence(hund, rig_file, tmp_path):
    code, _ = hund("--rig", str(rig_file))
    assert code == 2
    code, report = hund("--rig", f"{rig_file}:Nobody")
    assert code == 2 and "Nobody" in report["clips"][0]["message"]
    code, report = hund("--rig", f"{rig_file}:Other", "--overwrite")
    assert code == 2 and "not an armature" in report["clips"][0]["message"]
    with pytest.raises(RetargetError, match=r"FILE\.blend:ARMATURE"):
        rig_files.parse("rig.fbx:Armature")
    assert rig_files.parse(f"{tmp_path}/a:b.blend:My Rig") == (
        tmp_path / "a:b.blend",
        "My Rig",
        None,
    )
    assert rig_files.parse(f"2={tmp_path}/a.blend:Rig") == (tmp_path / "a.blend", "Rig", 2)
    with pytest.raises(RetargetError, match="first person"):
        rig_files.parse("0=rig.blend:Rig")
    code, _ = hund("--rig", f"1={rig_file}:mixamo", "--rig", f"1={rig_file}:mixamo")
    assert code == 2
    code, report = hund("--rig", f"1={rig_file}:mixamo", "--rig-controls", "ik", "--overwrite")
    assert code == 2 and "names no IK controls" in report["clips"][0]["message"]


def test_rigs_are_given_by_number_and_in_order():
    first, second, third = (rig_files.RigFile(Path(name), name) for name in "abc")
    numbered = rig_files.RigFile(Path("n"), "n", 2)
    assert rig_files.of_people([first], 3) == [first] * 3
    assert rig_files.of_people([first, second], 3) == [first, second, second]
    assert rig_files.of_people([numbered], 3) == [None, numbered, None]
    assert rig_files.of_people([first, numbered, third], 4) == [first, numbered, third, third]


def test_people_without_a_rig_keep_their_own_character(hund, rig_file, tmp_path):
    code, _ = hund("--rig", f"2={rig_file}:mixamo", "--keep-hand-contacts")
    assert code == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / "walk.blend"))
    (rigs,) = [c for c in bpy.data.collections if c.name.startswith("Rigs")]
    assert [obj.type for obj in rigs.objects].count("ARMATURE") == 1
    (hidden,) = [c for c in bpy.data.collections if c.name.startswith("Source")]
    assert [obj["hund_person"] for obj in hidden.objects if obj.type == "ARMATURE"] == [1]
