"""Rigify: FK and IK controls give the same pose as a plain skeleton, and the rig is unchanged."""

import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
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
    poses = {}
    for controls in ("FK", "IK"):
        options = Options(keep_contacts=False, controls=controls, key_switches=True)
        retarget(source, rigify, "Rigify", options)
        poses[controls] = [org_matrices(rigify, frame) for frame in FRAMES]
    for first, second in zip(poses["FK"], poses["IK"], strict=True):
        for role, matrix in first.items():
            miss = np.linalg.norm(matrix[:3, 3] - second[role][:3, 3])
            assert miss < TOLERANCE, role
            # Bones of limbs with several segments are turned by what blends the segments.
            if role.split(".")[0] not in {"upper_arm", "forearm", "thigh", "shin"}:
                turn = matrix[:3, :3].T @ second[role][:3, :3]
                cosine = np.clip((np.trace(turn) - 1) / 2, -1, 1)
                assert np.degrees(np.arccos(cosine)) < DEGREES, role


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
