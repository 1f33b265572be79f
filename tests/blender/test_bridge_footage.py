"""Footage: each frame of the scene shows the clip's picture of the same time."""

import dataclasses
import logging
import shutil
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import scene
from synthetic_people import build_reconstruction, go_to_frame

WALKER = Path(__file__).parents[1] / "data" / "walker.mp4"


def write(clip, fps, scene_fps, first=0, frames=12, stored=None, **changes):
    """Write frames `first` and later of a clip into a scene with its own frame rate."""
    bpy.ops.mesh.primitive_monkey_add()
    bpy.context.scene.render.fps = scene_fps
    numbers = first + np.arange(frames)
    reconstruction = dataclasses.replace(
        build_reconstruction(frames=frames, fps=fps), frame_numbers=numbers, times=numbers / fps
    )
    provenance = reconstruction.provenance | ({"footage": stored} if stored else {})
    reconstruction = dataclasses.replace(reconstruction, provenance=provenance, **changes)
    return scene.write(bpy.context, reconstruction, clip=clip, match_scene=False).camera


def picture_at(camera, frame):
    """Blender's number of the picture behind a camera."""
    # Blender's dependency graph does not order `frame_current` after the animation of
    # `frame_offset`: a frame's first evaluation may still use the previous frame's offset. Its
    # second cannot. The viewport is not affected: it computes the number again when it draws.
    go_to_frame(bpy.context.scene, frame)
    go_to_frame(bpy.context.scene, frame)
    return camera.data.background_images[0].image_user.frame_current


def make_pictures(folder, names, size=(8, 8)):
    image = bpy.data.images.new("blank", *size)
    image.file_format = "PNG"
    for name in names:
        image.save(filepath=str(folder / name))
    bpy.data.images.remove(image)
    return folder


@pytest.mark.parametrize(("fps", "scene_fps"), [(30, 30), (60, 24), (24, 60), (25, 30)])
@pytest.mark.parametrize("first", [0, 7])
def test_movie_is_synchronous_with_motion(fps, scene_fps, first):
    camera = write(WALKER, fps, scene_fps, first)
    background = camera.data.background_images[0]
    assert camera.data.show_background_images
    assert background.image.source == "MOVIE"
    for frame in range(1, 1 + int(11 * scene_fps / fps)):
        index = first + (frame - 1) * fps / scene_fps
        number = picture_at(camera, frame) - 1  # Blender counts from 1
        assert abs(number - index) < 0.5 + 1e-4  # half a picture from the motion's time


def test_footage_at_scene_rate_has_no_keys():
    assert write(WALKER, 30, 30).data.animation_data is None


def test_zoom_and_footage_are_keyed_together():
    bpy.ops.mesh.primitive_monkey_add()
    intrinsics = np.tile(np.diag([500.0, 500, 1]), (12, 1, 1))
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = np.linspace(500, 900, 12)
    reconstruction = build_reconstruction(frames=12, fps=48, intrinsics=intrinsics)
    camera = scene.write(bpy.context, reconstruction, clip=WALKER, match_scene=False).camera
    lenses, pictures = set(), set()
    for frame in range(1, 6):
        pictures.add(picture_at(camera, frame))
        lenses.add(camera.data.lens)
    assert len(lenses) == len(pictures) == 5


def test_picture_folder_plays_by_numbers(tmp_path):
    numbers = [8, 9, 10, 12, 13, 14]  # one is missing
    make_pictures(tmp_path, [f"shot_{number}.png" for number in numbers])
    camera = write(tmp_path, 30, 30, frames=7)
    assert camera.data.background_images[0].image.source == "SEQUENCE"
    assert [picture_at(camera, frame) for frame in range(1, 7)] == [8, 9, 10, 10, 12, 13]


def test_range_of_sequence_starts_at_its_first_picture(tmp_path):
    make_pictures(tmp_path, [f"{number:04d}.png" for number in range(101, 121)])
    camera = write(tmp_path / "%04d.png", 30, 30, first=5, frames=6)
    assert [picture_at(camera, frame) for frame in (1, 6)] == [106, 111]


def test_single_numbered_picture_is_static(tmp_path):
    make_pictures(tmp_path, ["shot_01.png", "shot_02.png"])
    camera = write(tmp_path / "shot_02.png", 30, 30, frames=1)
    assert camera.data.background_images[0].image.source == "FILE"


@pytest.mark.parametrize("name", ["missing.mp4", "missing_####.png", "broken.png", "."])
def test_unreadable_clip_gives_warning_and_no_footage(tmp_path, caplog, name):
    (tmp_path / "broken.png").write_text("no picture")
    clip = tmp_path / "empty" if name == "." else tmp_path / name
    (tmp_path / "empty").mkdir()
    with caplog.at_level(logging.WARNING):
        camera = write(clip, 30, 30, frames=2)
    assert len(camera.data.background_images) == 0
    assert "not shown" in caplog.text


@pytest.mark.parametrize("frames", [1, 12])
def test_files_are_shown_whatever_their_suffix_says(tmp_path, frames):
    make_pictures(tmp_path, ["photo.png"])
    stored = WALKER if frames > 1 else tmp_path / "photo.png"
    clip = shutil.copy(stored, tmp_path / ("film.png" if frames > 1 else "photo.mov"))
    image = write(Path(clip), 30, 30, frames=frames).data.background_images[0].image
    assert image.source == ("MOVIE" if frames > 1 else "FILE")
    assert image.size[0] > 0


@pytest.mark.parametrize(
    "name", ["a b.mp4", "it's it.mp4", "🕺.mp4", "-i.mp4", "100%d.mp4", "a_#.mp4"]
)
def test_footage_may_have_any_name_and_nothing_is_written_beside_it(tmp_path, name):
    shutil.copy(WALKER, tmp_path / name)
    image = write(tmp_path / name, 30, 30).data.background_images[0].image
    assert image.source == "MOVIE" and tuple(image.size) == (720, 406)
    assert image.frame_duration == 16
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_animations_that_blender_shows_no_more_than_the_first_frame_of_are_left_out(
    tmp_path, caplog
):
    make_pictures(tmp_path, ["wave.png"])
    with caplog.at_level(logging.WARNING):
        camera = write(tmp_path / "wave.png", 30, 30, frames=5)
    assert len(camera.data.background_images) == 0
    assert "Blender cannot play wave.png" in caplog.text


@pytest.mark.parametrize(("size", "method"), [((1000, 400), "CROP"), ((400, 400), "FIT")])
def test_footage_keeps_width_in_other_aspect_ratios(size, method):
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = size
    camera = write(WALKER, 30, 30)
    assert (render.resolution_x, render.resolution_y) == size
    assert camera.data.background_images[0].frame_method == method


@pytest.mark.parametrize("size", [(640, 360), (400, 400), (1600, 500)])
def test_sideways_footage_is_rotated_and_fills_width(tmp_path, size):
    make_pictures(tmp_path, ["sideways.png"], (360, 640))  # the reconstruction's is 640 by 360
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = size
    background = write(tmp_path / "sideways.png", 30, 30, frames=1).data.background_images[0]
    assert background.frame_method == "FIT"
    height = min(size[1], size[0] * 640 / 360)  # as fitted, before the rotation
    assert height * background.scale == pytest.approx(size[0])
    assert background.rotation == pytest.approx(np.pi / 2)


def test_replacing_keeps_one_footage():
    write(WALKER, 30, 30)
    write(WALKER, 30, 30)
    assert len(bpy.data.images) == 1


def test_varying_rates_show_the_picture_of_the_time():
    times = np.array([0, 0.03, 0.1, 0.13, 0.2, 0.3, 0.33, 0.5, 0.6, 0.7, 0.8, 0.9])
    camera = write(WALKER, 13, 30, stored={"fps": 30.0}, times=times)  # Blender counts by 30
    for frame in range(1, 28):
        assert picture_at(camera, frame) == frame


def test_slow_motion_shows_every_eighth_picture():
    stored = {"fps": 240.0, "speed": 8.0}
    camera = write(WALKER, 240, 30, stored=stored, frames=25)
    assert [picture_at(camera, frame) for frame in (1, 2, 4)] == [1, 9, 25]


# How a picture's left top, right top, left bottom and right bottom come to lie, by EXIF.
UPRIGHT = {1: "abcd", 2: "badc", 3: "dcba", 4: "cdab", 5: "acbd", 6: "cadb", 7: "dbca", 8: "bdac"}


def shown(corners, background):
    """Corners as the camera shows them: mirrored first, then rotated clockwise."""
    square = np.array(list(corners)).reshape(2, 2)
    if background.use_flip_x:
        square = square[:, ::-1]
    return "".join(np.rot90(square, -round(background.rotation / (np.pi / 2))).ravel())


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_of_every_orientation_are_upright(tmp_path, orientation):
    make_pictures(tmp_path, ["photo.png"], (640, 360))
    size = (640, 360) if orientation < 5 else (360, 640)
    stored = {"fps": 30.0, "orientation": orientation, "pixel_aspect": 1.0}
    camera = write(tmp_path / "photo.png", 30, 30, frames=1, stored=stored, image_size=size)
    background = camera.data.background_images[0]
    assert shown("abcd", background) == UPRIGHT[orientation]
    assert background.scale == 1 or orientation >= 5


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_movies_are_turned_as_far_as_blender_does_not(orientation):
    stored = {"fps": 30.0, "orientation": orientation, "pixel_aspect": 1.0}
    background = write(WALKER, 30, 30, stored=stored).data.background_images[0]
    by_blender = {1: 0, 2: 2, 3: 2, 4: 0, 5: 1, 6: 1, 7: 3, 8: 3}[orientation]  # quarter turns
    if bpy.app.version < (4, 4, 0):
        by_blender = 0
    turned = "".join(np.rot90(np.array(list("abcd")).reshape(2, 2), -by_blender).ravel())
    assert shown(turned, background) == UPRIGHT[orientation]


def test_pixels_that_are_not_square_are_stretched():
    stored = {"fps": 30.0, "orientation": 1, "pixel_aspect": 64 / 45}
    image = write(WALKER, 30, 30, stored=stored).data.background_images[0].image
    assert image.display_aspect[0] / image.display_aspect[1] == pytest.approx(64 / 45)


def test_a_gap_in_a_sequence_shows_the_picture_before(tmp_path):
    make_pictures(tmp_path, [f"shot_{number}.png" for number in (8, 9, 11, 12)])
    camera = write(tmp_path, 30, 30, frames=5)
    assert [picture_at(camera, frame) for frame in range(1, 6)] == [8, 9, 9, 11, 12]
