"""Exports: people who are hidden are written whole, and the scene is unchanged afterwards."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import action, exports, scene, shown
from bl_ext.user_default.hund.hund_backend.errors import BadInputError
from synthetic_people import build_reconstruction

FRAMES = 6
FORMATS = ("fbx", "glb", "usd")
IMPORTERS = {
    "fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path, automatic_bone_orientation=False),
    "glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    "usd": lambda path: bpy.ops.wm.usd_import(filepath=path),
}


@pytest.fixture
def people():
    """Two people: the first one leaves after frame 3, the second one comes at frame 3."""
    present = np.ones((2, FRAMES), bool)
    present[0, 3:] = False
    present[1, :2] = False
    reconstruction = build_reconstruction(
        people=2, frames=FRAMES, moves_face=False, present=present
    )
    return scene.write(bpy.context, reconstruction, match_scene=True).people


def meshes(people):
    return [person.children[0] for person in people]


def vertex_count(mesh, file_format):
    """Vertices of a mesh in a file; glTF splits them at the seams of the texture."""
    if file_format != "glb":
        return len(mesh.data.vertices)
    texture = mesh.data.uv_layers[0].uv
    return len({(loop.vertex_index, *texture[loop.index].vector) for loop in mesh.data.loops})


def rest_heads(armature):
    """Heads of an armature's rest bones relative to the first one, in metres, by name."""
    matrix, bones = armature.matrix_world.to_3x3(), armature.data.bones
    origin = bones["Pelvis"].head_local
    return {bone.name: np.array(matrix @ (bone.head_local - origin)) for bone in bones}


def fcurve_mutes():
    """Whether each F-curve that hides an object is muted."""
    mutes = []
    for obj in bpy.data.objects:
        if obj.type == "MESH" and obj.animation_data:
            curves = action.fcurves(obj.animation_data.action)
            mutes += [curve.mute for curve in curves if curve.data_path.startswith("hide_")]
    return mutes


def scene_state():
    """Visibility, selection, frame and animation of the scene."""
    layer, current = bpy.context.view_layer, bpy.context.scene
    layer.update()
    flags = [
        (
            item.name,
            item.hide_viewport,
            item.hide_render,
            item.hide_select,
            item.hide_get(),
            item.select_get(),
            [(modifier.show_viewport, modifier.show_render) for modifier in item.modifiers],
            item.animation_data and item.animation_data.action,
            getattr(item.data, "pose_position", None),
        )
        for item in layer.objects
    ]
    frame = (current.frame_current, current.frame_subframe)
    return flags, layer.objects.active, frame, fcurve_mutes(), len(bpy.data.collections)


def assert_whole(path, file_format, vertices, heads):
    """Assert that a file has two skinned meshes, with their rest poses."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    IMPORTERS[file_format](str(path))
    skins = [
        item
        for item in bpy.data.objects
        if item.type == "MESH" and any(mod.type == "ARMATURE" for mod in item.modifiers)
    ]
    skins.sort(key=lambda item: item.name)
    assert len(skins) == 2
    for skin, count, expected in zip(skins, vertices, heads, strict=True):
        (modifier,) = (mod for mod in skin.modifiers if mod.type == "ARMATURE")
        assert len(skin.data.vertices) == count
        assert all(vertex.groups for vertex in skin.data.vertices)
        bpy.context.scene.frame_set(shown_frames(modifier.object)[0])
        rest = rest_heads(modifier.object)
        for name, head in expected.items():
            in_file = name.replace(".", "_") if file_format == "usd" else name
            assert np.abs(rest[in_file] - head).max() < 1e-3, name


def shown_frames(armature):
    """Frames of an imported armature's action in which it has a size."""
    frames = []
    start, end = (round(frame) for frame in armature.animation_data.action.frame_range)
    for frame in range(start, end + 1):
        bpy.context.scene.frame_set(frame)
        scale = armature.matrix_world.to_scale()
        assert all(np.isclose(value, round(value), atol=1e-3) for value in scale)  # 0 or 1
        frames += [frame] if scale[0] > 0.5 else []
    return frames


@pytest.mark.parametrize("frame", [1, 3, 6])
@pytest.mark.parametrize("file_format", FORMATS)
def test_people_out_of_view_are_whole(people, file_format, frame, tmp_path):
    bpy.context.scene.frame_set(frame)
    assert [mesh.hide_render for mesh in meshes(people)] == [frame > 3, frame < 3]
    vertices = [vertex_count(mesh, file_format) for mesh in meshes(people)]
    heads = [rest_heads(person) for person in people]
    before = scene_state()
    [path] = exports.export(people, tmp_path, "walk", file_format)
    assert scene_state() == before
    assert_whole(path, file_format, vertices, heads)


@pytest.mark.parametrize("file_format", FORMATS)
def test_hidden_objects_and_collections_are_whole(people, file_format, tmp_path):
    people[0].hide_viewport = people[1].hide_select = True
    people[1].hide_set(True)
    bpy.context.scene.collection.children[0].hide_viewport = True
    bpy.context.scene.collection.children[0].hide_render = True
    vertices = [vertex_count(mesh, file_format) for mesh in meshes(people)]
    heads = [rest_heads(person) for person in people]
    before = scene_state()
    [path] = exports.export(people, tmp_path, "walk", file_format)
    assert scene_state() == before
    assert_whole(path, file_format, vertices, heads)


def test_people_of_excluded_collection_are_whole(people, tmp_path):
    vertices = [vertex_count(mesh, "glb") for mesh in meshes(people)]
    heads = [rest_heads(person) for person in people]
    (collection,) = bpy.context.view_layer.layer_collection.children
    collection.exclude = True
    before = scene_state()
    [path] = exports.export(people, tmp_path, "walk", "glb")
    assert scene_state() == before
    assert bpy.context.view_layer.layer_collection.children[0].exclude
    assert_whole(path, "glb", vertices, heads)


@pytest.mark.parametrize("frame", [1, 6])
@pytest.mark.parametrize("file_format", ["fbx", "glb"])
def test_absent_people_have_no_size(people, file_format, frame, tmp_path):
    bpy.context.scene.frame_set(frame)
    before = scene_state(), curves(people), [tuple(person.delta_scale) for person in people]
    [path] = exports.export(people, tmp_path, "walk", file_format)
    after = scene_state(), curves(people), [tuple(person.delta_scale) for person in people]
    assert after == before
    fps = bpy.context.scene.render.fps
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.render.fps = fps
    IMPORTERS[file_format](str(path))
    armatures = [item for item in bpy.data.objects if item.type == "ARMATURE"]
    armatures.sort(key=lambda item: item.name)
    for armature, count in zip(armatures, (3, 4), strict=True):
        shown = shown_frames(armature)
        start, end = (round(frame) for frame in armature.animation_data.action.frame_range)
        assert end - start == FRAMES - 1  # not one frame more
        expected = range(start, start + 3) if count == 3 else range(start + 2, end + 1)
        assert shown == list(expected)


def test_absent_people_are_invisible_in_usd(people, tmp_path, usd_module):
    usd = usd_module("Usd")
    before = scene_state()
    [path] = exports.export(people, tmp_path, "walk", "usd")
    assert scene_state() == before
    stage = usd.Stage.Open(str(path))
    prims = [prim for prim in stage.Traverse() if prim.GetTypeName() == "SkelRoot"]
    prims.sort(key=lambda prim: prim.GetName())
    visible = [
        [prim.GetAttribute("visibility").Get(frame) == "inherited" for frame in range(1, 7)]
        for prim in prims
    ]
    assert visible == [
        [frame <= 3 for frame in range(1, 7)],
        [frame >= 3 for frame in range(1, 7)],
    ]


def test_people_who_are_always_present_keep_their_size(tmp_path):
    people = scene.write(bpy.context, build_reconstruction(frames=2, moves_face=False)).people
    [path] = exports.export(people, tmp_path, "walk", "glb")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    IMPORTERS["glb"](str(path))
    (armature,) = (item for item in bpy.data.objects if item.type == "ARMATURE")
    paths = {curve.data_path for curve in action.fcurves(armature.animation_data.action)}
    assert "scale" not in paths


def curves(people):
    """Paths and keys of the people's F-curves."""
    return [
        (curve.data_path, curve.array_index, len(curve.keyframe_points), curve.mute)
        for person in people
        for curve in action.fcurves(person.animation_data.action)
    ]


def test_hidden_armatures_have_bvh_files(people, tmp_path):
    people[0].hide_viewport = True
    people[1].hide_set(True)
    before = scene_state()
    files = exports.export(people, tmp_path, "walk", "bvh")
    assert scene_state() == before
    assert all(path.stat().st_size for path in files)


@pytest.mark.parametrize("file_format", FORMATS)
def test_failed_export_leaves_scene_unchanged(people, file_format, tmp_path, monkeypatch):
    def fail(*_, **__):
        for person in people:
            person.data.pose_position = "REST"
            person.animation_data.action = None
            person.hide_viewport = True
        bpy.context.scene.frame_set(2)
        raise RuntimeError("Error: broken")

    bpy.context.scene.frame_set(5, subframe=0.25)
    people[0].select_set(True)
    bpy.context.view_layer.objects.active = people[1]
    before = scene_state()
    monkeypatch.setattr(exports, f"_write_{file_format}", fail)
    with pytest.raises(BadInputError, match="broken"):
        exports.export(people, tmp_path, "walk", file_format)
    assert scene_state() == before
    assert not list(tmp_path.iterdir())


def test_wrong_selection_fails(people, tmp_path, monkeypatch):
    monkeypatch.setattr(shown, "_show", lambda *_: None)
    before = scene_state()
    with pytest.raises(BadInputError, match="Person 2 Body"):
        exports.export(people, tmp_path, "walk", "fbx")
    assert scene_state() == before
    assert not list(tmp_path.iterdir())
