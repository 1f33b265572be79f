"""Fingers in the scene turn as in the Reconstruction, with the confidence of their hand."""

from dataclasses import replace

import bpy
import numpy as np
from bl_ext.user_default.hund.bridge import confidence, scene
from bl_ext.user_default.hund.hund_backend.body.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    LEFT_HAND_JOINTS,
    RIGHT_HAND_JOINTS,
)
from synthetic_people import (
    BONE_NAMES,
    build_reconstruction,
    forward_kinematics,
    go_to_frame,
    quaternions_to_matrices,
)

FINGERS = (*LEFT_HAND_JOINTS, *RIGHT_HAND_JOINTS)


def armature_from_body(armature, reconstruction):
    """Rotation from the body frame to the armature's, by the rest joints."""
    joints, _ = forward_kinematics(
        reconstruction.rotations[0, 0], np.zeros(3), reconstruction.betas[0]
    )
    heads = np.array([armature.data.bones[name].head_local for name in BONE_NAMES])
    left, _, right = np.linalg.svd((heads - heads[0]).T @ (joints - joints[0]))
    return left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right


def test_fingers_turn_as_in_the_reconstruction():
    reconstruction = build_reconstruction()
    (armature,) = scene.write(bpy.context, reconstruction).people
    change = armature_from_body(armature, reconstruction)
    for index in (0, 7, 19):
        go_to_frame(bpy.context.scene, 1 + index)
        rotations = quaternions_to_matrices(reconstruction.rotations[0, index])
        for joint in FINGERS:
            bone = armature.pose.bones[BONE_NAMES[joint]]
            rest = np.array(bone.bone.matrix_local.to_3x3())
            turned = rest @ np.array(bone.matrix_basis.to_3x3()) @ rest.T
            expected = change @ rotations[joint] @ change.T
            assert np.abs(turned - expected).max() < 1e-3, JOINT_NAMES[joint]


def test_fingers_have_the_confidence_of_their_hand():
    reconstruction = build_reconstruction()
    values = reconstruction.joint_confidence.copy()
    values[..., list(LEFT_HAND_JOINTS)] = 0.25
    values[..., JOINT_INDEX["HandL"]] = 0.75
    values[..., list(RIGHT_HAND_JOINTS)] = values[..., [JOINT_INDEX["HandR"]]]
    reconstruction = replace(reconstruction, joint_confidence=values)
    written = scene.write(bpy.context, reconstruction)
    of_bones = confidence.of_bones(written.people[0])
    assert {of_bones[BONE_NAMES[joint]] for joint in LEFT_HAND_JOINTS} == {0.25}
    # Nobody has looked for the right hand: it has no confidence of its own.
    assert not {BONE_NAMES[joint] for joint in RIGHT_HAND_JOINTS} & set(of_bones)
    body = np.array([v for name, v in of_bones.items() if v != 0.25])
    assert abs(written.confidence - body.mean()) < 0.05
