"""Forms of exchange files: rest pose, names, twist bones, unit and axes; the motion is the same."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import action, bone_names, bone_styles, clips, exports, scene
from bl_ext.user_default.hund.bridge.armature import TWISTS
from bl_ext.user_default.hund.bridge.export_copies import Form
from bl_ext.user_default.hund.hund_backend.body.skeleton import JOINT_NAMES
from bl_ext.user_default.hund.hund_backend.errors import BadInputError
from exchange_files import (
    fbx_nodes,
    glb_nodes,
    heads_over_time,
    imported,
    read_fbx,
    skin_vertices,
)
from synthetic_people import bone_heads, build_reconstruction, go_to_frame

FRAMES = 3
JOINT_TOLERANCE = 1e-3  # metres
NODES = {"fbx": fbx_nodes, "glb": glb_nodes}


def write(rest="A", people=1, unit=1.0, **options):
    bpy.context.scene.unit_settings.scale_length = unit
    options = {"frames": FRAMES, "moves_face": False} | options
    reconstruction = build_reconstruction(people=people, **options)
    return scene.write(bpy.context, reconstruction, rest=rest).people


def motion_of(person, unit=1.0):
    """Joints (frames, joints, 3) and vertices (frames, vertices, 3), metres."""
    joints, vertices = [], []
    for frame in range(1, FRAMES + 1):
        go_to_frame(bpy.context.scene, frame)
        joints.append(bone_heads(person))
        vertices.append(skin_vertices(person))
    go_to_frame(bpy.context.scene, 1)
    return np.array(joints) * unit, np.array(vertices) * unit


def scene_state():
    """Names, places, actions, rest bones and weights of everything in the file."""
    bpy.context.view_layer.update()
    target = bpy.context.scene
    return (
        sorted(item.name for item in bpy.data.user_map()),
        target.unit_settings.scale_length,
        (target.frame_current, target.frame_subframe),
        [
            (
                item.name,
                item.animation_data and item.animation_data.action,
                [round(value, 5) for row in item.matrix_world for value in row],
                item.hide_viewport,
                item.select_get(),
            )
            for item in target.objects
        ],
        [
            (bone.name, bone.use_deform, tuple(bone.head_local), tuple(bone.tail_local))
            for data in bpy.data.armatures
            for bone in data.bones
        ],
        [
            (group.name, len(item.data.vertices))
            for item in target.objects
            for group in item.vertex_groups
        ],
    )


def export(people, folder, file_format, names="blender", **form):
    before = scene_state()
    paths = exports.export(people, folder, "walk", file_format, names=names, form=Form(**form))
    assert scene_state() == before
    return paths


def limb_directions(places, table):
    """Directions of both arms and legs at rest."""
    return {
        (start, side): (end - begin) / np.linalg.norm(end - begin)
        for side in "LR"
        for start, stop in (("Upperarm", "Hand"), ("Thigh", "Ankle"))
        for begin, end in [(places[table[f"{start}{side}"]], places[table[f"{stop}{side}"]])]
    }


def expected_directions(rest):
    sides = {"L": 1.0, "R": -1.0}
    arms = {"T": lambda x: (x, 0, 0), "I": lambda _: (0, 0, -1)}[rest]
    return {("Upperarm", s): arms(x) for s, x in sides.items()} | {
        ("Thigh", s): (0, 0, -1) for s in sides
    }


@pytest.mark.parametrize(
    ("file_format", "rest", "names", "target"),
    [
        ("fbx", "T", "mixamo", "general"),
        ("fbx", "I", "blender", "unreal"),
        ("fbx", "T", "unity", "unity"),
        ("fbx", "scene", "unreal", "unreal"),
        ("glb", "T", "unity", "general"),
        ("glb", "I", "ghum", "general"),
        ("bvh", "T", "mixamo", "general"),
    ],
)
def test_motion_is_the_same_in_every_form(file_format, rest, names, target, tmp_path):
    (person,) = write()
    joints, vertices = motion_of(person)
    [path] = export([person], tmp_path, file_format, names, rest=rest, target=target)
    table = bone_styles.names(names)
    if rest != "scene" and file_format in NODES:
        for key, direction in limb_directions(NODES[file_format](path), table).items():
            np.testing.assert_allclose(direction, expected_directions(rest)[key], atol=1e-3)
    (armature,) = imported(path)
    order = [table[name] for name in JOINT_NAMES]
    found = heads_over_time(armature, order, FRAMES)
    assert np.abs(found - joints).max() < JOINT_TOLERANCE
    if file_format == "bvh":
        places = {bone.name: np.array(bone.head_local) for bone in armature.data.bones}
        matrix = np.array(armature.matrix_world.to_3x3())
        places = {name: matrix @ place for name, place in places.items()}
        for key, direction in limb_directions(places, table).items():
            np.testing.assert_allclose(direction, expected_directions(rest)[key], atol=1e-3)
    elif file_format == "fbx":  # glTF splits vertices, and four bones a vertex are not all
        assert np.abs(skin_vertices(armature) - vertices[-1]).max() < JOINT_TOLERANCE


@pytest.mark.parametrize("unit", [0.01, 1.0])
@pytest.mark.parametrize(("target", "factor", "height"), [("unreal", 1, 100), ("unity", 100, 1)])
def test_files_for_engines_have_their_unit_and_no_scale(target, factor, height, unit, tmp_path):
    (person,) = write(unit=unit)
    joints, _ = motion_of(person, unit)
    [path] = export([person], tmp_path, "fbx", target=target)
    settings, nodes, links = read_fbx(path)
    assert settings["UnitScaleFactor"][0] == pytest.approx(factor)
    assert (settings["UpAxis"][0], settings["UpAxisSign"][0]) == (1, 1)  # y
    assert (settings["FrontAxis"][0], settings["FrontAxisSign"][0]) == (2, 1)  # z
    for _, matrix in nodes.values():
        np.testing.assert_allclose(matrix.to_scale(), 1, atol=1e-4)
    for root in nodes.keys() - links.keys():  # the armature and the skin
        np.testing.assert_allclose(np.array(nodes[root][1]), np.eye(4), atol=1e-4)
    thigh, calf = (fbx_nodes(path)[name] for name in ("Thigh.L", "Calf.L"))
    expected = np.linalg.norm(
        joints[0, JOINT_NAMES.index("ThighL")] - joints[0, JOINT_NAMES.index("CalfL")]
    )
    assert np.linalg.norm(thigh - calf) == pytest.approx(expected, abs=1e-4)
    lengths = [np.array(matrix.translation) for name, matrix in nodes.values() if name == "Calf.L"]
    assert np.linalg.norm(lengths[0]) == pytest.approx(expected * height, rel=1e-3)
    (armature,) = imported(path)
    order = [bone_names.to_blender(name) for name in JOINT_NAMES]
    assert np.abs(heads_over_time(armature, order, FRAMES) - joints).max() < JOINT_TOLERANCE


@pytest.mark.parametrize("twist", ["on", "off"])
def test_twist_bones_are_used_or_left_out(twist, tmp_path):
    (person,) = write()
    joints, vertices = motion_of(person)
    [path] = export([person], tmp_path, "fbx", "unreal", twist=twist)
    (armature,) = imported(path)
    table = bone_styles.names("unreal")
    assert (
        np.abs(
            heads_over_time(armature, [table[name] for name in JOINT_NAMES], FRAMES) - joints
        ).max()
        < JOINT_TOLERANCE
    )
    bones = {table[entry.name] for entry in TWISTS} & set(armature.data.bones.keys())
    assert len(bones) == (len(TWISTS) if twist == "on" else 0)
    gap = np.linalg.norm(skin_vertices(armature) - vertices[-1], axis=1)
    if twist == "off":  # as in the scene, whose twist bones do not deform
        assert gap.max() < JOINT_TOLERANCE
        return
    deformed = {group.name for group in armature.children[0].vertex_groups}
    assert bones <= deformed
    assert 1e-3 < gap.max() < 0.05  # only along upper arms and forearms


@pytest.mark.parametrize("style", bone_styles.STYLES)
def test_names_are_unique_and_mapped_back(style):
    table = bone_styles.names(style)
    assert len({name.lower() for name in table.values()}) == len(table)
    (person,) = write()
    before = [bone.name for bone in person.data.bones]
    person.data.bones["Hand.L"].name = "foot_l"  # the name of another bone in a style
    with bone_styles.renamed([person], style):
        bones = bone_names.find_bones(person)
        assert style == "blender" or all(bones[name].name == table[name] for name in table)
    assert [b.name for b in person.data.bones] == [n.replace("Hand.L", "foot_l") for n in before]


def test_names_are_those_of_the_programs():
    expected = {
        "mixamo": ("mixamorig:Hips", "mixamorig:LeftForeArm", "mixamorig:RightHandThumb2"),
        "unreal": ("pelvis", "lowerarm_l", "thumb_02_r"),
        "unity": ("Hips", "LeftLowerArm", "RightThumbIntermediate"),
    }
    for style, names in expected.items():
        table = bone_styles.names(style)
        assert tuple(table[name] for name in ("Pelvis", "LowerarmL", "Thumb02R")) == names


@pytest.mark.parametrize("file_format", ["fbx", "glb"])
def test_strips_are_exported_as_the_action_was(file_format, tmp_path):
    people = write(people=2, moves_face=True)
    joints = [motion_of(person)[0] for person in people]
    faces = people[0].children[0].data.shape_keys.name
    clips.push_to_nla(clips.animated_objects(people))
    paths = export(people, tmp_path, file_format)
    assert faces in bpy.data.shape_keys
    order = [bone_names.to_blender(name) for name in JOINT_NAMES]
    for armature, expected in zip(imported(paths[0]), joints, strict=True):
        assert np.abs(heads_over_time(armature, order, FRAMES) - expected).max() < JOINT_TOLERANCE
        blocks = next(c for c in armature.children if c.type == "MESH").data.shape_keys
        curves = action.fcurves(blocks.animation_data.action)
        assert any(len(curve.keyframe_points) > 1 for curve in curves)


def test_failed_export_in_a_form_leaves_the_scene_unchanged(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("Error: broken")

    (person,) = write()
    before = scene_state()
    monkeypatch.setattr(exports, "_write_fbx", fail)
    with pytest.raises(BadInputError, match="broken"):
        exports.export([person], tmp_path, "walk", "fbx", names="unity", form=Form(rest="T"))
    assert scene_state() == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("file_format", "target"), [("fbx", "unity"), ("glb", "general")])
def test_absent_people_have_no_size_in_any_form(file_format, target, tmp_path):
    present = np.ones((2, FRAMES), bool)
    present[0, 2:] = False
    present[1, :1] = False
    people = write(people=2, present=present)
    [path] = export(people, tmp_path, file_format, rest="T", target=target)
    sizes = []
    for armature in imported(path):
        curves = action.fcurves(armature.animation_data.action)
        start = min(curve.keyframe_points[0].co[0] for curve in curves)
        sizes.append([])
        for frame in range(FRAMES):
            go_to_frame(bpy.context.scene, start + frame)
            sizes[-1].append(round(armature.matrix_world.to_scale()[0], 3))
    assert sizes == [[1, 1, 0], [0, 1, 1]]


def test_moved_parented_and_scaled_people_keep_their_places(tmp_path):
    """What the user has done to the object is in the file, too: parent, place, turn and size."""
    (person,) = write()
    parent = bpy.data.objects.new("Stage", None)
    bpy.context.scene.collection.objects.link(parent)
    parent.location, parent.rotation_euler = (1, 2, 0.5), (0, 0, 0.7)
    person.parent, person.location, person.scale = parent, (0.1, 0, 0.3), (1.2, 1.2, 1.2)
    joints, vertices = motion_of(person)
    [path] = export([person], tmp_path, "fbx", rest="T", target="unreal")
    (armature,) = imported(path)
    order = [bone_names.to_blender(name) for name in JOINT_NAMES]
    assert np.abs(heads_over_time(armature, order, FRAMES) - joints).max() < JOINT_TOLERANCE
    assert np.abs(skin_vertices(armature) - vertices[-1]).max() < JOINT_TOLERANCE


@pytest.mark.parametrize("file_format", ["usd", "glb", "fbx"])
def test_people_of_another_rest_are_exported_as_they_move(file_format, tmp_path):
    (person,) = write("T")
    joints, _ = motion_of(person)
    [path] = export([person], tmp_path, file_format)
    (armature,) = imported(path)
    separator = "_" if file_format == "usd" else "."
    order = [bone_names.to_blender(name).replace(".", separator) for name in JOINT_NAMES]
    assert np.abs(heads_over_time(armature, order, FRAMES) - joints).max() < JOINT_TOLERANCE
