"""Rigify: FK and IK controls give the same pose as a plain skeleton, and the rig is unchanged."""

import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge.retarget import apply, steps
from bl_ext.user_default.hund.bridge.retarget.apply import Options
from retargeting import (
    FK,
    curves_of,
    datablock_counts,
    limb_errors,
    mapping,
    retarget,
    rig_state,
    source_character,
)
from test_retarget_feet import walking_character
from test_retarget_rigs import LINES, check_stance

GENERATE = Path(__file__).with_name("generate_rigify.py")
FRAMES = (1, 4, 8)
TOLERANCE, DEGREES = 5e-3, 3.0  # metres


@pytest.fixture(scope="session")
def generated(tmp_path_factory):
    """A .blend with a generated rig."""
    path = tmp_path_factory.mktemp("rigify") / "rig.blend"
    subprocess.run([sys.executable, GENERATE, path], check=True, capture_output=True, timeout=300)
    return path


@pytest.fixture
def rigify(generated):
    with bpy.data.libraries.load(str(generated)) as (_, wanted):
        wanted.objects = ["rig"]
    rig = wanted.objects[0]
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.update()
    return rig


def org_matrices(rig, frame):
    """World matrices of the bones with roles, without scale."""
    bpy.context.scene.frame_set(frame)
    evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    matrices = {}
    for role, bone in mapping(rig, "Rigify").bones.items():
        matrix = np.array(evaluated.matrix_world @ evaluated.pose.bones[bone].matrix)
        matrix[:3, :3] /= np.linalg.norm(matrix[:3, :3], axis=0)
        matrices[role] = matrix
    return matrices


@pytest.mark.parametrize("controls", ["FK", "IK"])
def test_limbs_point_where_the_source_s_do(rigify, controls):
    source = source_character(moves_face=False)
    options = Options(keep_contacts=False, controls=controls, key_switches=True)
    before, counts = rig_state(rigify), datablock_counts()
    retarget(source, rigify, "Rigify", options)
    assert datablock_counts() == {**counts, "actions": counts["actions"] + 1}
    for frame in FRAMES:
        errors = limb_errors(source, rigify, "Rigify", frame)
        assert max(errors.values()) < 1.0, errors
    rigify.animation_data.action = None
    assert {k: v for k, v in rig_state(rigify).items() if k != "pose"} == {
        k: v for k, v in before.items() if k != "pose"
    }
    for (name, *settings), (_, *known) in zip(
        rig_state(rigify)["pose"], before["pose"], strict=True
    ):
        assert settings[:4] == known[:4], name  # switches are keyed, nothing else


def test_ik_keys_meet_the_fk_pose(rigify):
    source = source_character(moves_face=False)
    poses, deforming = {}, {}
    for controls in ("FK", "IK"):
        options = Options(keep_contacts=False, controls=controls, key_switches=True)
        retarget(source, rigify, "Rigify", options)
        poses[controls] = [org_matrices(rigify, frame) for frame in FRAMES]
        deforming[controls] = [deform_matrices(rigify, frame) for frame in FRAMES]
    for first, second in zip(poses["FK"], poses["IK"], strict=True):
        for role, matrix in first.items():
            miss = np.linalg.norm(matrix[:3, 3] - second[role][:3, 3])
            assert miss < TOLERANCE, role
    # What the skin follows, also about the limbs' own axes.
    for first, second in zip(deforming["FK"], deforming["IK"], strict=True):
        assert len(first) > 80
        for name, matrix in first.items():
            assert np.linalg.norm(matrix[:3, 3] - second[name][:3, 3]) < TOLERANCE, name
            assert turn_deg(matrix, second[name]) < DEGREES, name


def turn_deg(first, second):
    """Angle between the rotations of two matrices."""
    turn = first[:3, :3].T @ second[:3, :3]
    return np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)))


def deform_matrices(rig, frame):
    """World matrices of the bones that deform the skin, without scale."""
    bpy.context.scene.frame_set(frame)
    evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    matrices = {}
    for bone in evaluated.pose.bones:
        if bone.bone.use_deform:
            matrix = np.array(evaluated.matrix_world @ bone.matrix)
            matrix[:3, :3] /= np.linalg.norm(matrix[:3, :3], axis=0)
            matrices[bone.name] = matrix
    return matrices


@pytest.mark.parametrize("controls", ["FK", "IK"])
def test_stance_feet_neither_slide_nor_sink(rigify, controls):
    source = walking_character()
    options = Options(controls=controls, key_switches=True)
    retarget(source, rigify, "Rigify", options)
    lines = limb_errors(source, rigify, "Rigify", 20, LINES)
    assert max(lines.values()) < 2, lines
    check_stance(source, rigify)


def test_fk_after_ik_is_as_fk_alone(rigify):
    source = source_character(moves_face=False)
    poses = []
    for controls in ("FK", "IK", "FK"):
        options = Options(keep_contacts=False, controls=controls, key_switches=True)
        retarget(source, rigify, "Rigify", options)
        poses.append(deform_matrices(rigify, FRAMES[1]))
    for name, matrix in poses[0].items():
        assert np.abs(matrix - poses[2][name]).max() < 1e-3, name


@pytest.mark.parametrize("controls", ["FK", "IK"])
def test_pauses_change_no_key(rigify, controls):
    source = source_character(moves_face=False, frames=56)
    options = Options(controls=controls, key_switches=True)
    retarget(source, rigify, "Rigify", options)
    expected = curves_of(rigify)
    task = apply.Task(
        source=source,
        source_mapping=mapping(source, "HUND"),
        target=rigify,
        target_mapping=mapping(rigify, "Rigify"),
    )
    counts, shares = datablock_counts(), []
    work = apply.apply_all([task], options, steps.Pace(1e-4))
    try:
        while True:
            shares.append(next(work))
            assert datablock_counts() == counts  # nothing temporary while it is paused
    except StopIteration:
        pass
    assert len(shares) > 3 and shares == sorted(shares)
    found = curves_of(rigify)
    assert found.keys() == expected.keys()
    assert all(np.abs(found[key] - expected[key]).max() < 1e-4 for key in found)


def test_switches_are_keyed_only_if_asked(rigify):
    source = source_character(moves_face=False, frames=4)
    before = rig_state(rigify)
    assert retarget(source, rigify, "Rigify", FK).is_hidden_by_switches  # Rigify starts in IK
    assert rig_state(rigify) == before
    assert not any('"]["' in path for path, _ in curves_of(rigify))
    keyed = {path.split('"')[1] for path, _ in curves_of(rigify)}
    assert {"torso", "thigh_fk.L", "spine_fk.002", "thumb.02.R"} <= keyed
    assert not any(name.startswith(("ORG-", "DEF-", "MCH-")) for name in keyed)
    options = Options(keep_contacts=False, key_switches=True)
    assert not retarget(source, rigify, "Rigify", options).is_hidden_by_switches
    assert any('"]["IK_FK"]' in path for path, _ in curves_of(rigify))
