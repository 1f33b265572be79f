"""Laws of reading clips: every frame once, upright, in order, with its own time."""

import io
import socket
import wave

import cli_clips
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hund_backend.errors import BadInputError
from hund_backend.image_file import TRANSPARENT_GRAY, read_image
from hund_backend.sources import clip_name
from hund_backend.video import open_clip


def frames_of(path, **choice):
    with open_clip(path, **choice) as clip:
        return list(clip), clip


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return cli_clips.write_video(tmp_path_factory.mktemp("clip") / "walk.mp4", num_frames=20)


@pytest.fixture
def numbered(tmp_path):
    for number in range(12):
        picture = cli_clips.numbered_image(number)
        cv2.imwrite(str(tmp_path / f"shot_{number + 1}.png"), picture)
    return tmp_path


def test_every_frame_is_read_once_in_order_with_its_time(video):
    frames, clip = frames_of(video)
    assert [frame.number for frame in frames] == list(range(20))
    assert [cli_clips.number_of(frame.image) for frame in frames] == list(range(20))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(20) / 30, atol=1e-6)
    assert (clip.info.width, clip.info.height, clip.info.num_frames) == (64, 48, 20)
    assert clip.info.fps == 30
    assert clip.truncated is None


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_range_of_frames_is_a_slice_of_the_clip(video, data):
    start = data.draw(st.integers(0, 19))
    end = data.draw(st.integers(start, 19))
    frames, clip = frames_of(video, start=start, end=end)
    assert [frame.number for frame in frames] == list(range(start, end + 1))
    assert [cli_clips.number_of(frame.image) for frame in frames] == list(range(start, end + 1))
    assert clip.info.num_frames == len(frames)
    assert clip.truncated is None


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"start": 20}, "ends with frame 19: choose a first frame before 20"),
        ({"start": -1}, "numbered from 0"),
        ({"start": 5, "end": 4}, "before the first"),
    ],
)
def test_an_empty_range_is_refused(video, choice, words):
    with pytest.raises(BadInputError, match=words):
        open_clip(video, **choice)


def wave_file():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(800))
    return buffer.getvalue()


SOUND_TRACK = b"\0\0\0\x18ftypisom" + b"\0\0\0\x20hdlr" + bytes(8) + b"soun" + bytes(40)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("song.mp3", b"ID3" + bytes(300)),
        ("song.wav", wave_file()),
        ("song.dat", wave_file()),
        ("song.mp4", SOUND_TRACK),
        ("song.ogg", b"OggS" + bytes(300)),
    ],
)
def test_a_sound_file_has_no_video(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=f"^{name} has no video"):
        open_clip(tmp_path / name)


def test_an_end_beyond_the_clip_gives_all_frames_and_a_warning(video):
    frames, clip = frames_of(video, start=15, end=99)
    assert len(frames) == 5
    assert "ends with frame 19" in clip.truncated


def test_a_rotation_flag_is_applied(tmp_path):
    path = cli_clips.write_video(tmp_path / "phone.mp4")
    cli_clips.rotate_right(path)
    frames, clip = frames_of(path)
    assert (clip.info.width, clip.info.height) == (48, 64)
    assert frames[0].image.shape == (64, 48, 3)
    assert frames[0].image[4, -4].min() > 200  # the mark went from top left to top right
    assert frames[0].image[4, 4].max() < 100


def test_variable_frame_rates_keep_their_times(tmp_path):
    path = cli_clips.write_video(tmp_path / "vfr.mp4", num_frames=20)
    durations = [256, 768] * 10
    ticks = cli_clips.vary_frame_rate(path, durations)
    frames, _ = frames_of(path)
    expected = np.concatenate([[0], np.cumsum(durations)[:-1]]) / ticks
    np.testing.assert_allclose([frame.time for frame in frames], expected, atol=2e-4)


def test_a_truncated_video_gives_its_readable_frames_and_a_warning(tmp_path):
    path = cli_clips.write_video(tmp_path / "cut.mp4", num_frames=40, size=(320, 240))
    cli_clips.truncate(path, kept=0.5)
    frames, clip = frames_of(path)
    assert 5 < len(frames) < 35
    assert f"{len(frames)} of 40 frames" in clip.truncated


def test_colors_are_rgb(tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "red.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 30, (8, 8)
    )
    writer.write(np.full((8, 8, 3), (0, 0, 255), np.uint8))
    writer.release()
    cv2.imwrite(str(tmp_path / "red.png"), np.full((8, 8, 3), (0, 0, 255), np.uint8))
    for name in ("red.avi", "red.png"):
        (frame,), _ = frames_of(tmp_path / name)
        red, green, blue = frame.image[4, 4]
        assert red > 240
        assert max(green, blue) < 15


def test_closing_early_ends_the_iteration(video):
    with open_clip(video) as clip:
        next(clip)
    assert list(clip) == []


def test_4k_is_read(tmp_path):
    path = cli_clips.write_video(tmp_path / "4k.mp4", num_frames=2, size=(3840, 2160))
    frames, _ = frames_of(path)
    assert [frame.image.shape for frame in frames] == [(2160, 3840, 3)] * 2


@pytest.mark.parametrize("name", ["dot.avi", "dot.png"])
def test_one_pixel_is_a_frame(tmp_path, name):
    if name == "dot.avi":
        cli_clips.write_video(tmp_path / name, num_frames=1, size=(1, 1), codec="MJPG")
    else:
        cv2.imwrite(str(tmp_path / name), np.zeros((1, 1, 3), np.uint8))
    (frame,), clip = frames_of(tmp_path / name)
    assert frame.image.shape == (1, 1, 3)
    assert clip.truncated is None


def test_names_may_contain_any_characters(tmp_path):
    for name in ("Tänzerin 舞.mp4", "Tänzerin 舞.png"):
        path = tmp_path / name
        if path.suffix == ".mp4":
            cli_clips.write_video(path, num_frames=1)
        else:
            path.write_bytes(cv2.imencode(".png", cli_clips.numbered_image(0))[1].tobytes())
        (frame,), _ = frames_of(path)
        assert frame.image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.mp4", None, "does not exist"),
        ("none_%04d.png", None, "holds no pictures"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"this is no video", "is no video"),
        ("text.png", b"this is no picture", "no picture"),
    ],
)
def test_unreadable_clips_are_named(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=words) as caught:
        open_clip(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_video_without_frames_is_named(tmp_path):
    path = cli_clips.write_video(tmp_path / "zero.mp4", num_frames=0)
    with pytest.raises(BadInputError, match="holds no frames"):
        open_clip(path)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(BadInputError, match="holds no pictures"):
        open_clip(tmp_path)


@pytest.mark.parametrize(
    "pattern", ["", "shot_%d.png", "shot_%02d.png", "shot_##.png", "shot_*.png", "*.png"]
)
def test_an_image_sequence_is_sorted_by_number(numbered, pattern):
    frames, clip = frames_of(numbered / pattern if pattern else numbered)
    expected = list(range(9, 12)) if "2d" in pattern or "##" in pattern else list(range(12))
    assert [cli_clips.number_of(frame.image) for frame in frames] == expected
    assert [frame.number for frame in frames] == list(range(len(expected)))
    assert clip.info.num_frames == len(expected)


def test_a_numbered_image_alone_is_one_image(numbered):
    frames, _ = frames_of(numbered / "shot_3.png")
    assert [cli_clips.number_of(frame.image) for frame in frames] == [2]


def test_an_unreadable_image_of_a_sequence_is_skipped_with_a_warning(numbered):
    (numbered / "shot_5.png").write_bytes(b"broken")
    frames, clip = frames_of(numbered)
    assert [frame.number for frame in frames] == [0, 1, 2, 3, *range(5, 12)]
    assert "11 of 12 frames" in clip.truncated


def test_images_of_another_size_are_scaled_to_the_first(numbered):
    cv2.imwrite(str(numbered / "shot_5.png"), cli_clips.numbered_image(4, (128, 96)))
    frames, clip = frames_of(numbered)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert [cli_clips.number_of(frame.image) for frame in frames] == list(range(12))
    assert "1 frame of" in clip.truncated and "scaled to 64 × 48 pixels" in clip.truncated


def test_results_are_named_after_the_clip(numbered):
    assert clip_name(numbered / "a.walk.mp4") == "a.walk"
    assert clip_name(numbered) == numbered.name
    assert clip_name(numbered / "shot_%04d.png") == "shot"
    assert clip_name(numbered / "####.png") == numbered.name


GRADIENT = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (16, 1))  # 16 x 64


def written(path, array):
    cv2.imwrite(str(path), array)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg", ".webp"])
def test_gray_images_have_three_equal_channels(tmp_path, suffix):
    image = read_image(written(tmp_path / f"grey{suffix}", GRADIENT))
    assert (
        np.abs(image.astype(int) - GRADIENT[..., None]).max() <= 6
    )  # JPEG and WebP lose a little


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_images_become_8_bit(tmp_path, suffix):
    deep = np.dstack([GRADIENT] * 3).astype(np.uint16) * 257
    image = read_image(written(tmp_path / f"deep{suffix}", deep))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.dstack([GRADIENT] * 3))


def test_transparent_pixels_become_gray(tmp_path):
    opacity = np.full_like(GRADIENT, 255)
    opacity[:8] = 0
    rgba = np.dstack([GRADIENT, GRADIENT, GRADIENT, opacity])
    image = read_image(written(tmp_path / "cut_out.png", rgba))
    assert (image[:8] == TRANSPARENT_GRAY).all()
    np.testing.assert_array_equal(image[8:], np.dstack([GRADIENT] * 3)[8:])


def test_palettes_and_cmyk_become_rgb(tmp_path):
    color = Image.new("RGB", (16, 16), (200, 30, 60))
    color.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    color.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    for name in ("palette.png", "cmyk.jpg"):
        assert np.abs(read_image(tmp_path / name)[8, 8].astype(int) - (200, 30, 60)).max() <= 5


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_exif_orientation_is_applied(tmp_path, suffix):
    picture = Image.fromarray(cli_clips.numbered_image(0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    picture.save(tmp_path / f"phone.{suffix}", exif=exif)
    image = read_image(tmp_path / f"phone.{suffix}")
    assert image.shape == (64, 48, 3)
    assert image[4, -4].min() > 200


def test_a_playlist_opens_no_connection(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        playlist = f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"
        (tmp_path / "list.m3u8").write_text(playlist)
        with pytest.raises(BadInputError):
            open_clip(tmp_path / "list.m3u8")
        with pytest.raises(TimeoutError):
            server.accept()
