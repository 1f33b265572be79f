"""Characters: bones, mesh, shape keys and twist."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import scene
from bl_ext.user_default.hund.bridge.armature import TWISTS
from bl_ext.user_default.hund.bridge.bone_names import to_blender
from synthetic_people import (
    BODY,
    BONE_NAMES,
    JOINT_NAMES,
    PARENTS,
    build_reconstruction,
    expected_vertices,
    go_to_frame,
    mesh_vertices,
    rotvecs_to_quaternions,
)


@pytest.fixture
def person():
    return scene.write(bpy.context, build_reconstruction(frames=2)).people[0]


def with_rotated_joint(joint, rotvec):
    """A Reconstruction with random betas and the rest pose, but for one joint's rotation."""
    rotvecs = np.zeros((1, 2, len(JOINT_NAMES), 3))
    rotvecs[:, :, JOINT_NAMES.index(joint)] = rotvec
    face = {
        "expression": np.zeros((1, 2, 20), np.float32),
        "arkit": np.zeros((1, 2, 52), np.float32),
    }
    rotations = rotvecs_to_quaternions(rotvecs).astype(np.float32)
    return build_reconstruction(frames=2, rotations=rotations, **face)


def test_every_joint_has_a_bone_with_the_same_parent(person):
    bones = person.data.bones
    twists = (to_blender(twist.name) for twist in TWISTS)
    assert {bone.name for bone in bones} == {*BONE_NAMES, *twists}
    for joint, parent in enumerate(PARENTS):
        bone_parent = bones[BONE_NAMES[joint]].parent
        assert (bone_parent.name if bone_parent else None) == (
            BONE_NAMES[parent] if parent >= 0 else None
        )


def test_rest_bones_are_at_rest_joints_and_soles_on_ground(person):
    betas = build_reconstruction(frames=2).betas[0]
    joints = BODY.joints + np.tensordot(betas, BODY.joint_basis, 1)
    heads = np.array([person.data.bones[name].head_local for name in BONE_NAMES])
    offsets = heads - heads[0]
    body = np.stack((offsets[:, 0], offsets[:, 2], -offsets[:, 1]), 1)  # x left, y up, z front
    assert np.allclose(body, joints, atol=1e-6)
    person.data.pose_position = "REST"
    assert abs(mesh_vertices(person)[:, 2].min()) < 1e-5


def test_left_and_right_bones_are_mirrored():
    symmetric = build_reconstruction(frames=2, betas=np.zeros((1, 16), np.float32))
    bones = scene.write(bpy.context, symmetric).people[0].data.bones
    mirror = np.diag([-1.0, 1, 1])
    for bone in bones:
        if bone.name.endswith(".L"):
            other = bones[bone.name[:-1] + "R"]
            axes, others = (
                np.array(bone.matrix_local)[:3, :3],
                np.array(other.matrix_local)[:3, :3],
            )
            # A reflection changes the handedness of axes; x keeps its sense of bending.
            assert np.allclose(mirror @ others @ np.diag([-1, 1, 1]), axes, atol=2e-3), bone.name
            assert np.isclose(bone.length, other.length, atol=1e-4), bone.name


def test_limb_bones_end_at_next_joint(person):
    bones = person.data.bones
    assert all(bone.length > 0.01 for bone in bones)
    for limb, end in (
        ("Thigh", "Calf"),
        ("Calf", "Ankle"),
        ("Upperarm", "Lowerarm"),
        ("Lowerarm", "Hand"),
    ):
        for side in "LR":
            gap = bones[f"{limb}.{side}"].tail_local - bones[f"{end}.{side}"].head_local
            assert gap.length < 1e-6


@pytest.mark.parametrize(
    ("joint", "rotvec"),
    [
        ("CalfL", (1, 0, 0)),
        ("CalfR", (1, 0, 0)),
        ("LowerarmL", (-1, -1, 0)),
        ("Index02R", (0, 0, -1)),
    ],
)
def test_hinges_bend_about_x(joint, rotvec):
    person = scene.write(bpy.context, with_rotated_joint(joint, rotvec)).people[0]
    go_to_frame(bpy.context.scene, 1)
    axis = np.abs(person.pose.bones[to_blender(joint)].rotation_quaternion.axis)
    assert axis[0] > 0.95


def test_scale_is_locked_and_only_pelvis_moves(person):
    for bone in person.pose.bones:
        assert all(bone.lock_scale)
        is_fixed = all(bone.lock_location) or bone.bone.use_connect
        assert is_fixed == (bone.name != "Pelvis")


def test_mesh_is_valid_and_complete(person):
    mesh = person.children[0].data
    assert len(mesh.vertices) == len(BODY.template)
    assert len(mesh.polygons) == len(BODY.quads)
    assert not mesh.validate()  # True if it had to repair something
    assert all(polygon.use_smooth for polygon in mesh.polygons)
    texture = np.empty(2 * len(mesh.loops), np.float32)
    mesh.uv_layers.active.uv.foreach_get("vector", texture)
    assert 0 <= texture.min() < 0.1
    assert 0.9 < texture.max() <= 1


def test_skinning_weights_match_body(person):
    mesh = person.children[0]
    groups = [group.name for group in mesh.vertex_groups]
    assert groups == list(BONE_NAMES)
    for vertex in list(mesh.data.vertices)[::97]:
        weights = np.zeros(len(groups))
        for element in vertex.groups:
            weights[element.group] = element.weight
        assert np.allclose(weights, BODY.skinning_weights[vertex.index], atol=1e-6)


def test_shape_keys_have_betas_and_slider_ranges(person):
    reconstruction = build_reconstruction(frames=2)
    keys = person.children[0].data.shape_keys.key_blocks
    numbered = [f"Shape {n:02d}" for n in range(1, 17)]
    assert [key.name for key in keys] == [
        "Basis",
        *numbered,
        *(f"Expression {n:02d}" for n in range(1, 21)),
        *BODY.arkit_names,
    ]
    assert np.allclose([keys[name].value for name in numbered], reconstruction.betas[0], atol=1e-6)
    assert all(keys[name].slider_min <= -5 and keys[name].slider_max >= 5 for name in numbered)
    assert all(
        (keys[name].slider_min, keys[name].slider_max) == (0, 1) for name in BODY.arkit_names
    )


def test_twist_bones_deform_mesh_only_with_use_twist():
    reconstruction = with_rotated_joint("HandL", (0.9, -0.9, 0))
    person = scene.write(bpy.context, reconstruction).people[0]
    go_to_frame(bpy.context.scene, 1)
    assert np.abs(mesh_vertices(person) - expected_vertices(reconstruction, 0, 0)).max() < 5e-4
    assert not any(person.data.bones[to_blender(t.name)].use_deform for t in TWISTS)
    twisted = scene.write(bpy.context, reconstruction, use_twist=True).people[0]
    go_to_frame(bpy.context.scene, 1)
    distances = np.linalg.norm(
        mesh_vertices(twisted) - expected_vertices(reconstruction, 0, 0), axis=1
    )
    forearm = BODY.skinning_weights[:, JOINT_NAMES.index("LowerarmL")] > 0
    assert 0.005 < distances[forearm].max() < 0.1
    assert distances[~forearm].max() < 5e-4


@pytest.mark.parametrize(
    ("source", "limb", "twist", "fraction"),
    [
        ("HandL", "LowerarmL", "LowerarmTwistL", 0.5),
        ("HandR", "LowerarmR", "LowerarmTwistR", 0.5),
        ("UpperarmL", "UpperarmL", "UpperarmTwistL", -0.5),
        ("UpperarmR", "UpperarmR", "UpperarmTwistR", -0.5),
    ],
)
def test_twist_bone_copies_half_of_the_twist(source, limb, twist, fraction):
    person = scene.write(bpy.context, with_rotated_joint(source, (0, 0, 0))).people[0]
    person.animation_data_clear()
    source, limb, twist = (to_blender(name) for name in (source, limb, twist))
    bone = person.pose.bones[source]
    bone.rotation_quaternion = (np.cos(0.5), 0, np.sin(0.5), 0)  # 1 rad about the bone itself
    posed = person.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
    rest = person.data.bones[limb].matrix_local.inverted() @ person.data.bones[twist].matrix_local
    local = rest.inverted() @ posed[limb].matrix.inverted() @ posed[twist].matrix
    rotation = local.to_quaternion()
    assert np.isclose(rotation.angle * np.sign(rotation.axis.y), fraction, atol=0.02)
