"""Units and rates: people have their size and speed in scenes and files of any unit and rate."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import action, exports, influences, scene
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from synthetic_people import (
    bone_heads,
    build_reconstruction,
    expected_vertices,
    go_to_frame,
    in_world,
    mesh_vertices,
)
from test_bridge_exports import IMPORTERS

SCALES = [0.01, 1.0, 100.0]  # metres in a Blender unit
FRAMES = 7
IMPORTERS = IMPORTERS | {
    "bvh": lambda path: bpy.ops.import_anim.bvh(filepath=path, update_scene_fps=True)
}


def write(scale, fps=30.0, start=1):
    bpy.context.scene.unit_settings.scale_length = scale
    reconstruction = build_reconstruction(
        frames=FRAMES, fps=fps, moves_face=False, moves_camera=True
    )
    return reconstruction, scene.write(bpy.context, reconstruction, start_frame=start)


@pytest.mark.parametrize("scale", SCALES)
def test_bones_mesh_and_camera_have_the_right_size(scale):
    reconstruction, written = write(scale)
    width, height = reconstruction.image_size
    go_to_frame(bpy.context.scene, 4)
    joints = in_world(reconstruction, reconstruction.joints[0, 3], 3)
    assert np.abs(bone_heads(written.people[0]) * scale - joints).max() < 1e-4
    vertices = expected_vertices(reconstruction, 0, 3)
    assert np.abs(mesh_vertices(written.people[0]) * scale - vertices).max() < 5e-4
    pixels = reconstruction.joints[0, 3].astype(float) @ reconstruction.intrinsics[3].T
    pixels = pixels[:, :2] / pixels[:, 2:]
    views = [
        world_to_camera_view(bpy.context.scene, written.camera, Vector(joint / scale))
        for joint in joints
    ]
    seen = np.array(views)[:, :2] * [1, -1] * [width, height] + [0, height]
    assert np.abs(seen - pixels).max() < 0.1
    depth = np.array(views)[:, 2]
    data = written.camera.data
    assert data.clip_start < depth.min() < depth.max() < data.clip_end / 10


def test_scene_without_unit_system_is_in_metres():
    bpy.context.scene.unit_settings.system = "NONE"
    reconstruction, written = write(0.01)
    joints = in_world(reconstruction, reconstruction.joints[0, 0], 0)
    go_to_frame(bpy.context.scene, 1)
    assert np.abs(bone_heads(written.people[0]) - joints).max() < 1e-4


def state():
    target = bpy.context.scene
    bpy.context.view_layer.update()
    return (
        target.unit_settings.scale_length,
        target.render.fps_base,
        [
            (obj.name, obj.parent and obj.parent.name, [tuple(row) for row in obj.matrix_world])
            for obj in target.objects
        ],
        sorted(bpy.data.objects.keys()),
    )


@pytest.mark.parametrize(("scale", "fps"), [(0.01, 30), (1.0, 12.5), (100.0, 29.97)])
@pytest.mark.parametrize("file_format", ["fbx", "glb", "usd", "bvh"])
def test_exported_people_have_size_place_and_speed(file_format, scale, fps, tmp_path):
    _, written = write(scale, fps, start=101)
    go_to_frame(bpy.context.scene, 101)
    first = bone_heads(written.people[0])[0] * scale
    go_to_frame(bpy.context.scene, 100 + FRAMES)
    last = bone_heads(written.people[0])[0] * scale
    before = state()
    [path] = exports.export(written.people, tmp_path, "walk", file_format)
    assert state() == before
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    if file_format == "usd":  # Blender takes time codes for frames and keeps its own rate
        bpy.context.scene.render.fps = round(fps)
        bpy.context.scene.render.fps_base = round(fps) / fps
    IMPORTERS[file_format](str(path))
    (imported,) = (obj for obj in bpy.data.objects if obj.type == "ARMATURE")
    curves = action.fcurves(imported.animation_data.action)
    ends = [
        min(curve.keyframe_points[0].co[0] for curve in curves),
        max(curve.keyframe_points[-1].co[0] for curve in curves),
    ]
    if file_format == "glb":
        assert ends[0] == pytest.approx(0, abs=1e-3)  # nobody waits for the start frame
    render = bpy.context.scene.render
    seconds = (ends[1] - ends[0]) * render.fps_base / render.fps
    if file_format == "fbx" and seconds != pytest.approx((FRAMES - 1) / fps, rel=2e-3):
        seconds /= render.fps_base  # Blender's importer, but not its exporter, leaves it out
    # BVH's importer derives the scene's rate from single precision.
    assert seconds == pytest.approx((FRAMES - 1) / fps, rel=2e-3)
    for frame, expected in zip(ends, (first, last), strict=True):
        go_to_frame(bpy.context.scene, frame)
        head = imported.matrix_world @ imported.pose.bones[0].head
        assert np.abs(np.array(head) - expected).max() < 1e-3


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("fps", [12.5, 24, 29.97])
def test_usd_header_has_the_rate_and_metres(scale, fps, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "_is_complete_usd", lambda path: True)  # it is text
    _, written = write(scale, fps)
    monkeypatch.setitem(exports._SUFFIXES, "usd", ".usda")
    exports.export(written.people, tmp_path, "walk", "usd")
    header = (tmp_path / "walk.usda").read_text().split("def ")[0]
    assert [path.name for path in tmp_path.iterdir()] == ["walk.usda"]
    values = dict(line.strip().split(" = ") for line in header.splitlines() if " = " in line)
    assert float(values["timeCodesPerSecond"]) == pytest.approx(fps, rel=1e-6)
    assert float(values["metersPerUnit"]) == 1
    assert float(values["endTimeCode"]) - float(values["startTimeCode"]) == FRAMES - 1


def weights_of(mesh):
    return [[(e.group, e.weight) for e in vertex.groups] for vertex in mesh.data.vertices]


@pytest.mark.parametrize("limit", influences.LIMITS)
def test_limited_weights_are_the_largest_and_are_restored(limit):
    _, written = write(1.0)
    (mesh,) = written.people[0].children
    before = weights_of(mesh)
    assert max(len(groups) for groups in before) > 4
    with influences.limited(mesh, limit):
        during = weights_of(mesh)
    assert weights_of(mesh) == before
    for old, new in zip(before, during, strict=True):
        kept = sorted((weight for _, weight in new if weight), reverse=True)
        assert len(kept) <= limit
        assert sum(kept) == pytest.approx(1, abs=1e-5)
        if len(old) > limit:
            largest = sorted((weight for _, weight in old), reverse=True)[:limit]
            assert np.allclose(kept, np.array(largest) / sum(largest), atol=1e-6)
        else:
            assert new == old


@pytest.mark.parametrize(("limit", "tolerance"), [(4, 0.01), (8, 1e-4)])
def test_skin_of_glb_is_near_the_full_skin(limit, tolerance, tmp_path):
    _, written = write(1.0)
    go_to_frame(bpy.context.scene, 4)
    expected = mesh_vertices(written.people[0])
    [path] = exports.export(written.people, tmp_path, "walk", "glb", glb_influences=limit)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.import_scene.gltf(filepath=str(path))
    (imported,) = (obj for obj in bpy.data.objects if obj.type == "ARMATURE")
    go_to_frame(bpy.context.scene, 3 * 24 / 30)
    vertices = mesh_vertices(imported)
    gaps = [np.linalg.norm(vertices - vertex, axis=1).min() for vertex in expected[::7]]
    assert max(gaps) < tolerance  # to the nearest vertex: glTF splits them at seams
