"""Match Scene: what it changes is what it says; light and backdrop are for empty scenes only."""

import dataclasses
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import backdrop, matching, scene
from synthetic_people import build_reconstruction, go_to_frame

WALKER = Path(__file__).parents[1] / "data" / "walker.mp4"
PHONE = matching.ClipFormat(29.97, 230, 1280, 720)


def settings(target):
    render = target.render
    return (
        round(render.fps / render.fps_base, 4),
        (target.frame_start, target.frame_end, target.use_preview_range),
        (render.resolution_x, render.resolution_y, render.resolution_percentage),
        (render.pixel_aspect_x, render.pixel_aspect_y),
    )


def test_changes_are_named_beforehand():
    target = bpy.context.scene
    assert matching.changes(target, PHONE, 1) == (
        "Frame rate 24 → 29.97, frames 1–250 → 1–230, size 1920 × 1080 → 1280 × 720"
    )
    target.use_preview_range = True
    assert "preview range off" in matching.changes(target, PHONE, 1)


@pytest.mark.parametrize("start", [-20, 1, 1001])
@pytest.mark.parametrize("fps", [23.976, 29.97, 50, 12.5])
def test_matched_scene_needs_no_change(start, fps):
    clip = matching.ClipFormat(fps, 230, 1280, 720, (1.0, 1.04))
    matching.match(bpy.context.scene, clip, start)
    assert matching.changes(bpy.context.scene, clip, start) == ""
    assert bpy.context.scene.frame_end == start + 229
    assert bpy.context.scene.frame_start == max(start, 0)  # Blender has no earlier range


def test_foreign_camera_is_named():
    bpy.ops.object.camera_add()
    bpy.context.scene.camera = bpy.context.object
    assert "Camera" in matching.changes(bpy.context.scene, PHONE, 1)
    written = scene.write(bpy.context, build_reconstruction(frames=3))
    clip = matching.clip_format(build_reconstruction(frames=3))
    assert bpy.context.scene.camera == written.camera
    assert matching.changes(bpy.context.scene, clip, 1) == ""


def write(**options):
    reconstruction = build_reconstruction(frames=3)
    return scene.write(bpy.context, reconstruction, clip=WALKER, **options)


def lights():
    return [obj for obj in bpy.context.scene.objects if obj.type == "LIGHT"]


def compositor():
    target = bpy.context.scene
    if bpy.app.version >= (5, 0, 0):
        return target.compositing_node_group
    return target.node_tree if target.use_nodes else None


def test_empty_scene_gets_one_sun_and_world_however_often():
    for _ in range(3):
        write(existing="ALL")
    assert len(lights()) == len(bpy.data.lights) == len(bpy.data.worlds) == 1
    assert bpy.context.scene.world == bpy.data.worlds[0]
    write(existing="ADD")
    assert len(lights()) == 1


def test_sun_shines_from_behind_and_above_the_camera():
    written = write()
    (sun,) = lights()
    bpy.context.view_layer.update()
    direction = np.array(sun.matrix_world)[:3, 2] * -1
    view = np.array(written.camera.matrix_world)[:3, 2] * -1
    assert direction[2] < -0.5
    assert direction @ view > 0.3


@pytest.mark.parametrize("kind", ["light", "world", "mesh", "off"])
def test_light_of_user_is_kept(kind):
    target = bpy.context.scene
    if kind == "light":
        bpy.ops.object.light_add()
    if kind == "world":
        target.world = bpy.data.worlds.new("Sky")
        if target.world.node_tree is None:  # before Blender 5.0
            target.world.use_nodes = True
        background = next(n for n in target.world.node_tree.nodes if n.type == "BACKGROUND")
        background.inputs["Color"].default_value = (1, 1, 1, 1)
    if kind == "mesh":
        bpy.ops.mesh.primitive_monkey_add()
    before = lights(), target.world, target.view_settings.view_transform
    write(match_scene=kind != "off")
    assert (lights(), target.world) == before[:2]
    if kind in {"light", "mesh", "off"}:
        assert target.view_settings.view_transform == before[2]
        assert not target.render.film_transparent
        assert compositor() is None


def test_compositor_of_user_is_kept():
    target = bpy.context.scene
    if bpy.app.version >= (5, 0, 0):
        target.compositing_node_group = bpy.data.node_groups.new("Mine", "CompositorNodeTree")
    else:
        target.use_nodes = True
    names = [node.name for node in compositor().nodes]
    write()
    assert [node.name for node in compositor().nodes] == names
    assert not target.render.film_transparent


@pytest.mark.parametrize("behind", ["footage", "transparent", "world"])
def test_backdrop(behind):
    write(behind="footage")
    write(behind=behind, existing="ALL")
    assert bpy.context.scene.render.film_transparent == (behind != "world")
    assert (compositor() is not None) == (behind == "footage")
    assert len(bpy.data.node_groups) <= 1


def render(path):
    target = bpy.context.scene
    target.render.engine = "CYCLES"
    target.cycles.samples = 1
    target.render.resolution_percentage = 10
    target.render.image_settings.file_format = "PNG"
    target.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = np.array(image.pixels[:]).reshape(image.size[1], image.size[0], 4)
    bpy.data.images.remove(image)
    return pixels


def test_render_shows_people_before_the_picture_of_the_frame(tmp_path):
    """Each picture of a sequence has its own gray; in a gap, the one before it is shown."""
    numbers, shown = [8, 9, 11, 12], np.array([8, 9, 9, 11, 12])
    for number in numbers:
        picture = bpy.data.images.new("plain", 64, 36)
        picture.generated_color = (number / 20, number / 20, number / 20, 1)
        picture.file_format = "PNG"
        picture.save(filepath=str(tmp_path / f"{number:04d}.png"))
        bpy.data.images.remove(picture)
    reconstruction = build_reconstruction(frames=5)
    scene.write(bpy.context, reconstruction, clip=tmp_path)
    saved = bpy.data.images.load(str(tmp_path / "0008.png"))
    darkest = saved.pixels[0]
    bpy.data.images.remove(saved)
    corners = []
    for frame in range(1, 6):
        go_to_frame(bpy.context.scene, frame)
        pixels = render(tmp_path / "render.png")
        corners.append(float(pixels[5, 5, 0]))  # scaled pictures end softly
        center = pixels[..., :3].reshape(-1, 3)
        assert np.ptp(center, axis=0).max() > 0.05  # the person differs from the plain footage
    assert abs(corners[0] - darkest) < 0.02
    step = corners[1] - corners[0]
    assert step > 0.01
    assert np.allclose(corners, corners[0] + step * (shown - shown[0]), atol=0.02)


@pytest.mark.parametrize("size", [(640, 360), (400, 400), (640, 240)])
@pytest.mark.parametrize("aspect", [1.0, 2.0])
def test_footage_of_any_pixels_is_as_wide_as_the_render(tmp_path, size, aspect):
    """Its left quarter is dark; in pictures of other proportions its center is the picture's."""
    picture = bpy.data.images.new("quarter", round(64 / aspect), 36)
    pixels = np.ones((36, round(64 / aspect), 4), np.float32)
    pixels[:, : round(16 / aspect), :3] = 0.2
    pixels[:9, :, 1] = 0.0  # the lowest quarter lacks green
    picture.pixels = pixels.ravel()
    picture.file_format = "PNG"
    picture.save(filepath=str(tmp_path / "picture.png"))
    bpy.data.images.remove(picture)
    stored = {"fps": 30.0, "orientation": 1, "pixel_aspect": aspect}
    reconstruction = build_reconstruction(frames=1)
    provenance = reconstruction.provenance | {"footage": stored}
    reconstruction = dataclasses.replace(reconstruction, provenance=provenance)
    target = bpy.context.scene
    target.render.resolution_x, target.render.resolution_y = size
    scene.write(
        bpy.context, reconstruction, clip=tmp_path / "picture.png", match_scene=size == (640, 360)
    )
    backdrop.set_up(target, target.camera, "walk", "footage")
    shown = render(tmp_path / "render.png")
    height, width = shown.shape[:2]
    middle = shown[height // 2]
    border = np.argmax(middle[: width // 2, 0] > 0.6)
    assert abs(border - width / 4) <= 1.5
    lowest = height / 2 - width * 36 / 64 / 4  # of what has green, in pixels from below
    if lowest > 2:
        right = shown[:, -3, 1]
        assert abs(np.argmax(right > 0.5) - lowest) <= 1.5


def test_render_of_gray_world_is_neither_black_nor_white(tmp_path):
    scene.write(bpy.context, build_reconstruction(frames=2), behind="world")
    pixels = render(tmp_path / "render.png")[..., :3]
    assert 0.2 < pixels.mean() < 0.8
    assert np.ptp(pixels.mean(-1)) > 0.1  # somebody is there


def test_startup_scene_gets_a_sun_beside_its_light():
    bpy.ops.wm.read_homefile(use_empty=False, use_factory_startup=True)
    world = bpy.context.scene.world
    for _ in range(2):
        write(existing="ALL")
    assert sorted(light.data.type for light in lights()) == ["POINT", "SUN"]
    assert bpy.data.objects["Light"].data.energy == 1000
    assert bpy.context.scene.world == world
