"""Laws of the preview: bodies at the right place, sides in the right colors, no partial files."""

import dataclasses
from types import SimpleNamespace

import cli_clips
import cli_fakes
import cv2
import numpy as np
import pytest
from full_disk import contents, full_disk, limits

from hund_backend import preview
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, PART_NAMES
from hund_backend.errors import BadInputError
from hund_backend.part_preview import TILE, upright_crop, write_part_sheet
from hund_backend.perception.crops import crop_from_image, transform_points
from hund_backend.preview import write_preview
from hund_backend.video import open_clip

WIDTH, HEIGHT, FRAMES = 160, 120, 7


def standing(distortion=()):
    """A person in the rest pose facing the camera from 3 m, a step to the right each frame."""
    made = cli_fakes.build_reconstruction(frames=FRAMES, joints=63, keypoints=33)
    rotations = np.zeros_like(made.rotations)
    rotations[..., 0] = 1
    rotations[..., 0, :] = (0, 1, 0, 0)  # half a turn about x: upright, face to the camera
    places = np.zeros_like(made.root_translation)
    places[..., 0] = np.linspace(-0.6, 0.6, FRAMES)
    places[..., 2] = 3
    focal = float(WIDTH) * 0.7
    camera = np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])
    keypoints = np.full_like(made.keypoints, 0.5)
    keypoints[..., :2] = (WIDTH / 2, HEIGHT / 2)
    return dataclasses.replace(
        made,
        provenance={"source": {"name": "clip.mp4"}, "options": {"distortion": list(distortion)}},
        fps=30.0,
        frame_numbers=np.arange(2, 2 + FRAMES),
        image_size=(WIDTH, HEIGHT),
        intrinsics=np.tile(camera, (FRAMES, 1, 1)),
        present=np.ones((1, FRAMES), bool),
        rotations=rotations,
        root_translation=places,
        betas=np.zeros_like(made.betas),
        expression=np.zeros_like(made.expression),
        arkit=np.zeros_like(made.arkit),
        keypoints=keypoints,
    )


@pytest.fixture
def clip(tmp_path):
    return cli_clips.write_video(tmp_path / "clip.mp4", num_frames=12, size=(WIDTH, HEIGHT))


def overlay_masks(result, clip):
    """Pixels of each frame that the overlay changes, before the video codec blurs it."""
    with open_clip(clip) as frames:
        plain = {frame.number: frame.image.astype(int) for frame in frames}
    return [
        np.abs(image - plain[int(result.frame_numbers[index])]).sum(-1) > 30
        for index, image in preview._overlay_frames(result, clip)
    ]


def columns(mask):
    return np.nonzero(mask)[1]


def test_the_body_is_drawn_at_its_position(clip):
    result = standing()
    found = [columns(mask).mean() + 0.5 for mask in overlay_masks(result, clip)]
    pelvis = result.root_translation[0]
    expected = WIDTH / 2 + 0.7 * WIDTH * pelvis[:, 0] / pelvis[:, 2]
    np.testing.assert_allclose(found, expected, atol=1.5)


def test_the_left_side_is_warm_and_on_the_right_of_a_person_facing_the_camera(clip):
    index, image = list(preview._overlay_frames(standing(), clip))[FRAMES // 2]
    assert index == FRAMES // 2
    red, _, blue = image.astype(int).transpose(2, 0, 1)
    assert columns(red > blue + 40).mean() > WIDTH / 2 + 3
    assert columns(blue > red + 40).mean() < WIDTH / 2 - 3


def test_lens_distortion_is_applied_to_the_body(clip):
    plain, bent = (overlay_masks(standing(lens), clip)[0] for lens in ((), (-0.4, 0.0, 0.0, 0.0)))
    assert np.abs(columns(bent) - WIDTH / 2).max() < np.abs(columns(plain) - WIDTH / 2).max() - 1


def test_absent_people_are_not_drawn(clip):
    result = standing()
    present = np.arange(FRAMES)[None] != 3
    masks = overlay_masks(dataclasses.replace(result, present=present), clip)
    assert [mask.any() for mask in masks] == present[0].tolist()


def test_the_overlay_has_all_frames_and_the_sheet_its_tiles(clip, tmp_path):
    video, sheet = write_preview(standing(), clip, tmp_path / "out")
    assert [path.name for path in (video, sheet)] == ["clip_overlay.mp4", "clip_sheet.png"]
    with open_clip(video) as frames:
        assert (frames.info.width, frames.info.height) == (WIDTH, HEIGHT)
        assert len(list(frames)) == FRAMES
    assert cv2.imread(str(sheet)).shape[1] == 4 * preview.TILE
    assert {path.name for path in video.parent.iterdir()} == {video.name, sheet.name}


def test_large_footage_is_scaled_down(tmp_path):
    clip = cli_clips.write_video(tmp_path / "big.mp4", num_frames=2, size=(2560, 1440))
    one = standing()
    result = dataclasses.replace(
        one, image_size=(2560, 1440), frame_numbers=np.arange(FRAMES), intrinsics=one.intrinsics
    )
    (_, image), *_ = preview._overlay_frames(result, clip)
    assert image.shape == (720, 1280, 3)


def test_a_clip_of_another_size_is_refused(tmp_path):
    small = cli_clips.write_video(tmp_path / "small.mp4", num_frames=12)
    with pytest.raises(BadInputError, match="another size"):
        write_preview(standing(), small, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("trouble", ["folder", "disk"])
def test_a_failed_write_is_reported_and_leaves_no_files(clip, tmp_path, monkeypatch, trouble):
    out = tmp_path / "out"
    if trouble == "folder":
        out.write_text("a file where the folder should be")
    else:
        monkeypatch.setattr(preview, "_open_writer", lambda path, image, fps: FullDisk(path))
    with pytest.raises(BadInputError, match="cannot be written"):
        write_preview(standing(), clip, out)
    assert trouble == "folder" or not list(out.iterdir())


def test_a_full_disk_leaves_the_preview_that_was_there(clip, tmp_path):
    out = tmp_path / "out"
    files = write_preview(standing(), clip, out)
    before = contents(out)
    for limit in {limit for path in files for limit in limits(path.stat().st_size)}:
        with pytest.raises(BadInputError, match="cannot be written"), full_disk(limit):
            write_preview(standing(), clip, out)
        assert contents(out) == before, limit


class FullDisk:
    """A video writer that says nothing and writes less, as OpenCV's does."""

    def __init__(self, path):
        path.write_bytes(b"half a header")

    def write(self, image):
        pass

    def release(self):
        pass


class _LeftHandEverywhere:
    """A network that predicts the same part in every cell."""

    def predict(self, images):
        labels = np.full((len(images), 3, 64, 64), PART_NAMES.index("left_hand"), np.uint8)
        return SimpleNamespace(parts=labels)


def test_the_part_sheet_shows_predicted_and_rendered_parts(clip, tmp_path):
    result = standing()
    result.keypoints[..., 0, 1] = 10
    path = write_part_sheet(result, clip, tmp_path, _LeftHandEverywhere())
    sheet = cv2.imread(str(path))[..., ::-1].astype(int)
    footage, predicted, rendered = np.split(sheet[:TILE, : 3 * TILE], 3, axis=1)
    assert (np.abs(predicted - footage).sum(-1) > 30).mean() > 0.9
    changed = np.abs(rendered - footage).sum(-1) > 30
    assert 0.02 < changed.mean() < 0.6
    assert sorted(tmp_path.glob("*_parts.png")) == [path]


def test_upright_crops_show_people_upright():
    points = np.random.default_rng(0).normal(0, 5, (33, 2))
    names = {name: BLAZEPOSE_NAMES.index(name) for name in BLAZEPOSE_NAMES}
    for side, x in (("left", 10), ("right", -10)):
        points[names[f"{side}_shoulder"]], points[names[f"{side}_hip"]] = (100, x), (0, x)
    shoulders = points[[names["left_shoulder"], names["right_shoulder"]]].mean(0, keepdims=True)
    crop = upright_crop(points)
    middle, tip = transform_points(np.stack((crop[:2], shoulders[0])), crop_from_image(crop))
    assert tip[1] < middle[1]
