"""Bones as animators use them: names, mirror tools, shapes, colors and collections."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import (
    action,
    bone_names,
    bone_styles,
    exports,
    ownership,
    scene,
    stage_preview,
)
from bl_ext.user_default.hund.bridge.armature import TWISTS
from bl_ext.user_default.hund.hund_backend.body.skeleton import MIRROR
from bl_ext.user_default.hund.hund_backend.errors import BadInputError
from synthetic_people import (
    BODY,
    BONE_NAMES,
    JOINT_NAMES,
    build_descent,
    build_reconstruction,
    go_to_frame,
)

MIRRORED = np.diag([-1.0, 1, 1])  # exchanges left and right in armature space
TWIST_NAMES = tuple(twist.name for twist in TWISTS)


@pytest.fixture
def person():
    """A person of symmetric build in large motion, active in object mode, all bones shown."""
    betas = np.zeros((1, 16), np.float32)
    armature = scene.write(bpy.context, build_reconstruction(frames=3, betas=betas)).people[0]
    bpy.context.view_layer.objects.active = armature
    for collection in armature.data.collections_all:
        collection.is_visible = True
    go_to_frame(bpy.context.scene, 2)
    return armature


def select_bones(armature, names):
    """Select bones in Pose Mode; Blender 5 keeps the selection in the pose."""
    for bone in armature.pose.bones:
        holder = bone if hasattr(bone, "select") else bone.bone
        holder.select = bone.name in names


def selected_bones(armature):
    holders = [bone if hasattr(bone, "select") else bone.bone for bone in armature.pose.bones]
    return {holder.name for holder in holders if holder.select}


def select_edit_bones(armature, names):
    for bone in armature.data.edit_bones:
        bone.select = bone.select_head = bone.select_tail = bone.name in names


def mirror_of(name):
    return bpy.utils.flip_name(name)


def rest_axes(armature):
    return {bone.name: np.array(bone.matrix_local)[:3, :3] for bone in armature.data.bones}


@pytest.mark.parametrize("name", [*JOINT_NAMES, *TWIST_NAMES])
def test_names_convert_both_ways(name):
    assert bone_names.to_ghum(bone_names.to_blender(name)) == name


def test_blender_flips_every_name_to_its_partner(person):
    for joint, name in enumerate(BONE_NAMES):
        assert bpy.utils.flip_name(name) == BONE_NAMES[MIRROR[joint]]
    names = {bone.name for bone in person.data.bones}
    assert {bpy.utils.flip_name(name) for name in names} == names


def test_bones_keep_ghum_names_and_vertex_groups_match(person):
    for joint, name in zip(JOINT_NAMES, BONE_NAMES, strict=True):
        assert person.data.bones[name][bone_names.GHUM_NAME] == joint
    groups = {group.name for group in person.children[0].vertex_groups}
    assert groups <= {bone.name for bone in person.data.bones}
    assert bone_names.joint_bone_names(person) == list(BONE_NAMES)


def test_renamed_and_copied_bones_are_found(person):
    person.data.bones["Hand.L"].name = "Paw"
    bpy.ops.object.mode_set(mode="EDIT")
    select_edit_bones(person, {"Foot.R"})
    bpy.ops.armature.duplicate()
    bpy.ops.object.mode_set(mode="OBJECT")
    found = bone_names.find_bones(person)
    assert found["HandL"].name == "Paw" and found["FootR"].name == "Foot.R"


def test_missing_bone_is_reported(person):
    bpy.ops.object.mode_set(mode="EDIT")
    person.data.edit_bones.remove(person.data.edit_bones["Thumb03.L"])
    bpy.ops.object.mode_set(mode="OBJECT")
    assert bone_names.joint_bone_names(person) is None


def test_rest_bones_are_mirror_images(person):
    axes = rest_axes(person)
    bones = person.data.bones
    for name, own in axes.items():
        partner = bones[mirror_of(name)]
        # A reflection changes the handedness of axes; x keeps its sense of bending.
        assert np.allclose(MIRRORED @ axes[partner.name] @ MIRRORED, own, atol=1e-4), name
        gap = MIRRORED @ np.array(partner.tail_local) - np.array(bones[name].tail_local)
        assert np.abs(gap).max() < 1e-5, name


def pose_matrices(armature):
    bpy.context.view_layer.update()
    return {bone.name: np.array(bone.matrix) for bone in armature.pose.bones}


def test_pasting_flipped_mirrors_the_pose(person):
    before = pose_matrices(person)
    person.animation_data_clear()
    bpy.ops.object.mode_set(mode="POSE")
    select_bones(person, BONE_NAMES)
    bpy.ops.pose.copy()
    bpy.ops.pose.paste(flipped=True)
    after = pose_matrices(person)
    assert np.abs(after["Hand.L"] - before["Hand.L"]).max() > 0.1
    mirrored = np.diag([-1.0, 1, 1, 1])
    for name in BONE_NAMES:
        expected = mirrored @ before[mirror_of(name)] @ mirrored
        assert np.abs(after[name] - expected).max() < 1e-3, name


def test_select_mirror_selects_the_partner(person):
    bpy.ops.object.mode_set(mode="POSE")
    select_bones(person, {"Hand.L", "Thigh.R"})
    bpy.ops.pose.select_mirror()
    assert selected_bones(person) == {"Hand.R", "Thigh.L"}


def test_x_mirror_moves_the_partner(person):
    bpy.ops.object.mode_set(mode="EDIT")
    bones = person.data.edit_bones
    person.data.use_mirror_x = True
    before = np.array(bones["Thumb03.R"].tail)
    select_edit_bones(person, set())
    bones["Thumb03.L"].select_tail = True
    bpy.ops.transform.translate(value=(0.02, 0.01, -0.03), orient_type="GLOBAL")
    moved = np.array(bones["Thumb03.R"].tail) - before
    bpy.ops.object.mode_set(mode="OBJECT")
    assert np.allclose(moved, (-0.02, 0.01, -0.03), atol=1e-5)


def test_symmetrize_replaces_a_side(person):
    before = rest_axes(person)
    bpy.ops.object.mode_set(mode="EDIT")
    bones = person.data.edit_bones
    for bone in [bone for bone in bones if bone.name.endswith(".R")]:
        bones.remove(bone)
    select_edit_bones(person, {bone.name for bone in bones if bone.name.endswith(".L")})
    bpy.ops.armature.symmetrize(direction="POSITIVE_X")
    bpy.ops.object.mode_set(mode="OBJECT")
    after = rest_axes(person)
    assert set(after) == set(before)
    assert all(np.allclose(after[name], before[name], atol=1e-4) for name in before)
    assert bone_names.joint_bone_names(person) == list(BONE_NAMES)  # not their partners


def names_in_use(armature):
    """All names that follow a bone's: of bones, groups, F-curves and constraints."""
    (mesh,) = armature.children
    curves = action.fcurves(armature.animation_data.action)
    return (
        [bone.name for bone in armature.data.bones],
        [group.name for group in mesh.vertex_groups],
        [(curve.data_path, curve.group and curve.group.name) for curve in curves],
        [c.subtarget for bone in armature.pose.bones for c in bone.constraints],
        [(c.name, sorted(bone.name for bone in c.bones)) for c in armature.data.collections_all],
    )


def test_ghum_names_last_for_the_block_only(person):
    before = names_in_use(person)
    heads = pose_matrices(person)
    with pytest.raises(ZeroDivisionError), bone_styles.renamed([person], "ghum"):
        bones, groups, curves, targets, _ = names_in_use(person)
        assert set(bones) == {*JOINT_NAMES, *TWIST_NAMES}
        assert groups == list(JOINT_NAMES)
        assert {path.split('"')[1] for path, _ in curves if path.startswith("pose")} <= set(
            JOINT_NAMES
        )
        assert set(targets) <= set(JOINT_NAMES)
        go_to_frame(bpy.context.scene, 3)
        go_to_frame(bpy.context.scene, 2)
        for name, matrix in pose_matrices(person).items():
            assert np.allclose(matrix, heads[bone_names.to_blender(name)], atol=1e-6)
        raise ZeroDivisionError
    assert names_in_use(person) == before


@pytest.mark.parametrize("names", bone_styles.STYLES[:2])
def test_exported_bones_have_the_chosen_names(person, names, tmp_path):
    before = names_in_use(person)
    [path] = exports.export([person], tmp_path, "walk", "glb", names=names)
    assert names_in_use(person) == before
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.import_scene.gltf(filepath=str(path))
    (armature,) = (item for item in bpy.data.objects if item.type == "ARMATURE")
    expected = JOINT_NAMES if names == "ghum" else BONE_NAMES
    assert set(expected) <= {bone.name for bone in armature.data.bones}


def test_failed_export_restores_names(person, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("Error: broken")

    before = names_in_use(person)
    monkeypatch.setattr(exports, "_write_fbx", fail)
    with pytest.raises(BadInputError, match="broken"):
        exports.export([person], tmp_path, "walk", "fbx", names="ghum")
    assert names_in_use(person) == before


def shape_objects():
    return [obj for obj in bpy.data.objects if obj.type == "MESH" and not obj.data.polygons]


def test_people_share_shapes_that_no_scene_has():
    people = scene.write(bpy.context, build_reconstruction(people=2, frames=2)).people
    shapes = set(shape_objects())
    assert shapes and not shapes & set(bpy.context.scene.objects)
    for armature in people:
        used = {bone.custom_shape for bone in armature.pose.bones}
        assert None not in used and used <= shapes
    assert sum(len(shape.data.vertices) for shape in shapes) < 1000


def test_shapes_are_removed_with_their_result():
    first = scene.write(bpy.context, build_reconstruction(frames=2))
    count, old = len(shape_objects()), {shape.session_uid for shape in shape_objects()}
    assert all(ownership.is_owned(shape) for shape in shape_objects())
    scene.write(bpy.context, build_reconstruction(frames=2))
    assert len(shape_objects()) == count
    assert not old & {shape.session_uid for shape in shape_objects()}
    del first


def shape_frame(bone):
    """Center, axes as columns, and half extents of a bone's shape at rest in armature space."""
    matrix = np.array(bone.bone.matrix_local)
    axes = matrix[:3, :3] @ np.array(bone.custom_shape_rotation_euler.to_matrix())
    center = matrix[:3, :3] @ np.array(bone.custom_shape_translation) + matrix[:3, 3]
    return center, axes, np.array(bone.custom_shape_scale_xyz)


@pytest.mark.parametrize("seed", [0, 1])
def test_limb_rings_surround_the_skin(seed):
    armature = scene.write(bpy.context, build_reconstruction(frames=2, seed=seed)).people[0]
    (mesh,) = armature.children
    armature.data.pose_position = "REST"
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    vertices = np.array([vertex.co for vertex in evaluated.data.vertices])
    strongest = BODY.skinning_weights.argmax(axis=1)
    for joint in ("Upperarm", "Lowerarm", "Thigh", "Calf"):
        for side in "LR":
            center, axes, size = shape_frame(armature.pose.bones[f"{joint}.{side}"])
            skin = vertices[strongest == JOINT_NAMES.index(joint + side)]
            local = (skin - center) @ axes
            slab = local[np.argsort(np.abs(local[:, 1]))[:12]]
            radii = np.linalg.norm(slab[:, [0, 2]] / size[[0, 2]], axis=1)
            assert 0.5 < radii.max() < 1, (joint, side)


def test_shapes_are_mirror_images(person):
    for bone in person.pose.bones:
        partner = person.pose.bones[mirror_of(bone.name)]
        assert bone.custom_shape == partner.custom_shape
        center, _, size = shape_frame(bone)
        partner_center, _, partner_size = shape_frame(partner)
        assert np.allclose(center, MIRRORED @ partner_center, atol=1e-3), bone.name
        assert np.allclose(size, partner_size, atol=1e-3), bone.name


def test_shapes_scale_with_the_unit():
    metre = scene.write(bpy.context, build_reconstruction(frames=2)).people[0]
    sizes = {bone.name: np.array(bone.custom_shape_scale_xyz) for bone in metre.pose.bones}
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.unit_settings.scale_length = 0.01
    centimetre = scene.write(bpy.context, build_reconstruction(frames=2)).people[0]
    for bone in centimetre.pose.bones:
        assert np.allclose(bone.custom_shape_scale_xyz, 100 * sizes[bone.name], rtol=1e-3)


def test_sides_have_their_own_colors(person):
    colors = {"L": set(), "R": set(), "": set()}
    for bone in person.data.bones:
        side = bone.name[-1] if bone.name[-2:] in (".L", ".R") else ""
        colors[side].add(tuple(round(value, 3) for value in bone.color.custom.normal))
    assert all(len(side) == 1 for side in colors.values())
    assert len(set.union(*colors.values())) == 3


def test_fingers_face_and_twist_are_hidden_at_first():
    armature = scene.write(bpy.context, build_reconstruction(frames=2)).people[0]
    collections = armature.data.collections_all
    shown = {each.name for each in collections if each.is_visible_effectively}
    assert shown == {"Body"}
    assert {collection.name for collection in collections} == {
        "Body",
        "Hands",
        "Left Hand",
        "Right Hand",
        "Face",
        "Twist",
    }
    members = [{bone.name for bone in collection.bones} for collection in collections]
    assert sum(len(names) for names in members) == len(armature.data.bones)
    assert set.union(*members) == {bone.name for bone in armature.data.bones}
    assert all(
        name.endswith(".L") for name in members[list(collections.keys()).index("Left Hand")]
    )


@pytest.mark.parametrize("file_format", ["fbx", "glb", "usd"])
def test_shapes_are_not_exported(person, file_format, tmp_path):
    from test_bridge_exports import IMPORTERS

    [path] = exports.export([person], tmp_path, "walk", file_format)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    IMPORTERS[file_format](str(path))
    skins = [
        obj
        for obj in bpy.context.scene.objects
        if obj.type == "MESH" and any(mod.type == "ARMATURE" for mod in obj.modifiers)
    ]
    meshes = {obj for obj in bpy.context.scene.objects if obj.type == "MESH"}
    assert len(skins) == 1
    # Blender's glTF importer makes a shape of its own for bones.
    assert {obj.name for obj in meshes - set(skins)} <= {"Icosphere"}


def test_stage_preview_poses_and_restores_renamed_bones(tmp_path):
    descent, _ = build_descent(frames=3, moves_face=False)
    descent.save(tmp_path / "walk.npz")
    written = scene.write(bpy.context, descent, match_scene=True)
    source = stage_preview.Source(
        str(tmp_path / "walk.npz"), stage_preview.fingerprint(descent), descent.fps, 1
    )
    (armature,) = written.people
    go_to_frame(bpy.context.scene, 2)
    poses = []
    for name in ("Hand.L", "Paw"):
        armature.data.bones["Hand.L"].name = name
        before = pose_matrices(armature)[name]
        stage_preview.show_stage({0: armature}, source, 1, bpy.context.scene)
        poses.append(pose_matrices(armature)[name])
        stage_preview.restore_poses([armature])
        assert np.array_equal(pose_matrices(armature)[name], before)
    assert np.array_equal(*poses) and not np.allclose(poses[0], before, atol=0.01)


def test_pose_mode_survives_absence():
    """Scrubbing over frames without the person leaves the mode and the selection."""
    present = np.ones((1, 6), bool)
    present[0, :3] = False
    reconstruction = build_reconstruction(frames=6, present=present)
    (armature,) = scene.write(bpy.context, reconstruction, match_scene=True).people
    go_to_frame(bpy.context.scene, 5)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="POSE")
    select_bones(armature, {"Hand.L"})
    for frame in (2, 5):
        go_to_frame(bpy.context.scene, frame)
        assert armature.mode == "POSE" and selected_bones(armature) == {"Hand.L"}
