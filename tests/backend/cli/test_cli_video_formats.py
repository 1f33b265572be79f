"""Laws of videos of all kinds: pictures, sizes and times are what a player shows."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import cli_clips
import cv2
import movies
import numpy as np
import pytest
from PIL import Image

from hund_backend.errors import BadInputError
from hund_backend.image_file import TRANSPARENT_GRAY
from hund_backend.video import open_clip
from hund_backend.video.color import HLG, PQ, sdr_from_hdr


def read(path, **choice):
    with open_clip(path, **choice) as clip:
        return list(clip), clip


def times_of(frames):
    return [frame.time for frame in frames]


def numbers_in(frames):
    return [cli_clips.number_of(frame.image) for frame in frames]


CONTAINERS = {".apng": "apng", ".png": "apng", ".mts": "mpegts", ".y4m": "yuv4mpegpipe"}


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("h264.mp4", "libx264", "yuv420p", {}),
        ("h264_b_frames.mp4", "libx264", "yuv420p", {"bf": "3"}),
        ("h264.mkv", "libx264", "yuv422p10le", {}),
        ("hevc.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        ("av1.mp4", "libsvtav1", "yuv420p", {"preset": "12"}),
        ("vp8.webm", "libvpx", "yuv420p", {}),
        ("vp9.webm", "libvpx-vp9", "yuv420p", {"deadline": "realtime"}),
        ("prores.mov", "prores_ks", "yuv422p10le", {}),
        ("mpeg2.ts", "mpeg2video", "yuv420p", {"qscale": "2"}),
        ("mpeg2.mpg", "mpeg2video", "yuv420p", {"qscale": "2"}),
        ("mpeg4.avi", "mpeg4", "yuv420p", {}),
        ("mjpeg.avi", "mjpeg", "yuvj420p", {}),
        ("dnxhr.mov", "dnxhd", "yuv422p", {"profile": "dnxhr_sq"}),
        ("raw.264", "libx264", "yuv420p", {"bf": "0"}),
        ("raw.hevc", "libx265", "yuv420p", {"x265-params": "log-level=none:bframes=0"}),
        ("mpeg1.mpg", "mpeg1video", "yuv420p", {"qscale": "2"}),
        ("disc.vob", "mpeg2video", "yuv420p", {"qscale": "2"}),
        ("camcorder.mts", "libx264", "yuv420p", {}),
        ("windows.wmv", "wmv2", "yuv420p", {}),
        ("flash.flv", "flv", "yuv420p", {}),
        ("vp8.ivf", "libvpx", "yuv420p", {}),
        ("raw.y4m", "rawvideo", "yuv420p", {}),
        ("v210.mov", "v210", "yuv422p10le", {}),
        ("cineform.mov", "cfhd", "yuv422p10le", {}),
        ("huffyuv.avi", "huffyuv", "rgb24", {}),
        ("deep.mkv", "ffv1", "gbrp16le", {}),
        ("gray.mkv", "ffv1", "gray16le", {}),
        ("animation.apng", "apng", "rgb24", {}),
        ("animation.png", "apng", "rgb24", {}),
    ],
)
def test_every_codec_gives_every_picture_at_its_time(tmp_path, name, codec, pix_fmt, options):
    is_large = codec in ("cfhd", "dnxhd", "mpeg1video", "mpeg2video")
    size = (256, 128) if is_large else movies.SIZE
    path = movies.write_movie(
        tmp_path / name,
        movies.pictures(5, size),
        codec,
        pix_fmt,
        container=CONTAINERS.get(Path(name).suffix),
        **options,
    )
    frames, clip = read(path)
    assert numbers_in(frames) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(times_of(frames), np.arange(5) / 30, atol=1e-3)
    assert (clip.info.width, clip.info.height) == size
    assert clip.info.fps == pytest.approx(30, rel=1e-6)
    assert clip.info.num_frames == 5
    assert clip.truncated is None
    assert clip.notes == ()


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_animations_keep_their_durations(tmp_path, suffix):
    first, *others = [Image.fromarray(image) for image in movies.pictures(4)]
    path = tmp_path / f"wave.{suffix}"
    first.save(path, save_all=True, append_images=others, duration=[100, 200, 50, 50])
    frames, clip = read(path)
    np.testing.assert_allclose(times_of(frames), [0, 0.1, 0.3, 0.35], atol=1e-3)
    assert numbers_in(frames) == [0, 1, 2, 3]
    assert clip.info.num_frames == 4


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
@pytest.mark.parametrize("name", ["wave.mp4", "wave.jpg", "wave.webp", "wave.gif", "wave"])
def test_animations_are_known_by_content(tmp_path, suffix, name):
    first, *others = [Image.fromarray(image) for image in movies.pictures(4)]
    first.save(tmp_path / f"saved.{suffix}", save_all=True, append_images=others, duration=100)
    (tmp_path / f"saved.{suffix}").rename(tmp_path / name)
    frames, _ = read(tmp_path / name)
    assert numbers_in(frames) == [0, 1, 2, 3]
    np.testing.assert_allclose(times_of(frames), np.arange(4) / 10, atol=1e-3)


def test_a_gif_of_one_frame_is_a_picture(tmp_path):
    Image.fromarray(movies.pictures(1)[0]).save(tmp_path / "still.gif")
    frames, clip = read(tmp_path / "still.gif")
    assert numbers_in(frames) == [0]
    assert clip.info.fps == 30 and clip.info.num_frames == 1


def half_transparent(count=3):
    images = []
    for image in movies.pictures(count):
        opacity = np.full((*image.shape[:2], 1), 255, np.uint8)
        opacity[24:] = 0
        images.append(np.dstack([image, opacity]))
    return images


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("vp8.webm", "libvpx", "yuva420p", {"auto-alt-ref": "0"}),
        ("vp9.webm", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"}),
        ("prores.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("animation.apng", "apng", "rgba", {}),
        ("qtrle.mov", "qtrle", "argb", {}),
        ("utvideo.avi", "utvideo", "gbrap", {}),
        ("ffv1.mkv", "ffv1", "bgra", {}),
        ("gray.mkv", "ffv1", "ya8", {}),
        ("vp9.mkv", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0"}),
    ],
)
def test_transparent_pixels_are_mid_gray(tmp_path, name, codec, pix_fmt, options):
    path = movies.write_movie(tmp_path / name, half_transparent(), codec, pix_fmt, **options)
    frames, _ = read(path)
    for number, frame in enumerate(frames):
        assert abs(float(frame.image[32:].mean()) - TRANSPARENT_GRAY) < 1
        assert abs(float(frame.image[4:20, 24:].mean()) - (20 + 9 * number)) < 3


def test_a_transparent_webp_animation_is_over_mid_gray(tmp_path):
    first, *others = [Image.fromarray(image) for image in half_transparent()]
    path = tmp_path / "wave.webp"
    first.save(path, save_all=True, append_images=others, duration=100, lossless=True)
    frames, _ = read(path)
    assert all((frame.image[32:] == TRANSPARENT_GRAY).all() for frame in frames)


PQ_CODES = {10: 0.3018, 50: 0.4400, 100: 0.5081, 203: 0.5807, 1000: 0.7518}  # of cd/m², BT.2408


def hdr_level(tmp_path, code, transfer):
    def label(frame):
        frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9

    def configure(stream):
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9

    frames = [movies.gray_frame(round(64 + 876 * code)) for _ in range(2)]
    path = movies.write_movie(
        tmp_path / f"{transfer}_{code}.mp4",
        frames,
        "libx264",
        "yuv420p10le",
        configure=configure,
        label=label,
    )
    (frame, _), clip = read(path)
    assert "HDR" in clip.notes[0]
    assert np.ptp(frame.image) <= 3  # gray stays gray
    return float(frame.image.mean())


def test_hdr_looks_as_on_a_standard_screen(tmp_path):
    levels = {light: hdr_level(tmp_path, code, PQ) for light, code in PQ_CODES.items()}
    for light in (10, 50, 100):  # up to half of diffuse white it is as bright
        assert levels[light] == pytest.approx(255 * (light / 203) ** (1 / 2.4), abs=4)
    assert 225 < levels[203] < 245 < levels[1000]
    assert hdr_level(tmp_path, 0.75, HLG) == pytest.approx(levels[203], abs=5)
    assert 130 < hdr_level(tmp_path, 0.5, HLG) < 155


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_mapping_of_hdr_ascends_from_black_to_white(transfer):
    grays = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[:, None], 3, axis=1)
    mapped = sdr_from_hdr(grays, transfer)
    assert (np.diff(mapped[:, 0]) >= -1e-6).all()
    assert mapped[0].max() < 0.02 and mapped[-1].min() > 0.98
    np.testing.assert_allclose(mapped, mapped[:, :1].repeat(3, 1), atol=2e-3)


@pytest.mark.parametrize(("matrix", "full"), [(1, False), (5, False), (1, True), (5, True)])
def test_colors_follow_the_matrix_and_range_in_the_header(tmp_path, matrix, full):
    color = np.array([200, 60, 30])
    red, blue = (0.2126, 0.0722) if matrix == 1 else (0.299, 0.114)
    luma = float(color @ [red, 1 - red - blue, blue])
    chroma = (color[2] - luma) / (2 - 2 * blue), (color[0] - luma) / (2 - 2 * red)
    scale = (1.0, 0, 1.0) if full else (219 / 255, 16, 224 / 255)
    codes = [scale[1] + scale[0] * luma, *(128 + scale[2] * value for value in chroma)]
    frame = av.VideoFrame(*movies.SIZE, "yuv420p")
    for plane, code in zip(frame.planes, codes, strict=True):
        plane.update(bytes([round(code)]) * plane.buffer_size)

    def label(frame):
        frame.colorspace, frame.color_range = matrix, 2 if full else 1

    def configure(stream):
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1

    path = movies.write_movie(
        tmp_path / "c.mp4", [frame], configure=configure, label=label, qp="0"
    )
    (shown,), _ = read(path)
    np.testing.assert_allclose(shown.image[20, 20], color, atol=4)


INTERLACED = 0x20000000 | 0x00040000  # flags of the codec: interlaced motion and transform


def test_interlaced_video_gives_whole_bright_frames(tmp_path):
    width, height = 128, 96
    images = []
    for number in range(8):  # a white block moves 4 pixels in each half frame
        image = np.full((height, width, 3), 60, np.uint8)
        for half in (0, 1):
            left = 8 + 8 * number + 4 * half
            image[half::2, left : left + 32] = 220
        images.append(image)

    def label(frame):
        frame.interlaced_frame = True

    def configure(stream):
        stream.codec_context.flags |= INTERLACED

    try:
        path = movies.write_movie(
            tmp_path / "tape.ts", images, "mpeg2video", rate=25, configure=configure, label=label
        )
    except AttributeError:
        path = movies.write_movie(
            tmp_path / "tape.ts", images, "mpeg2video", rate=25, configure=configure
        )
    frames, clip = read(path)
    assert "interlaced" in clip.notes[0]
    assert len(frames) == 8
    np.testing.assert_allclose(times_of(frames), np.arange(8) / 25, atol=1e-3)
    for source, frame in zip(images, frames, strict=True):
        assert abs(float(frame.image.mean()) - source.mean()) < 6
    lines = frames[4].image[8:-8, :, 0].astype(int)
    combed = np.abs(np.diff(np.array(images[4])[8:-8, :, 0].astype(int), axis=0)).mean()
    assert np.abs(np.diff(lines, axis=0)).mean() < 0.3 * combed


@pytest.mark.parametrize(
    ("ratio", "size"), [(Fraction(2), (128, 48)), (Fraction(1, 2), (64, 96)), (64 / 45, (91, 48))]
)
def test_pixels_are_square(tmp_path, ratio, size):
    def configure(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(ratio).limit_denominator(100)

    path = movies.write_movie(tmp_path / "wide.mp4", movies.pictures(3), configure=configure)
    frames, clip = read(path)
    assert (clip.info.width, clip.info.height) == size
    assert clip.info.footage.pixel_aspect == pytest.approx(float(ratio), rel=1e-3)
    mark = frames[0].image[..., 0] > 140
    assert mark.any(0).sum() == pytest.approx(size[0] / 4, abs=2)
    assert mark.any(1).sum() == pytest.approx(size[1] / 4, abs=2)
    assert numbers_in(frames) == [0, 1, 2]


TIMINGS = {
    "even": [0, 33, 67, 100, 133, 167],
    "variable": [0, 20, 120, 140, 400, 1000],
    "jitter": [0, 35, 64, 102, 131, 167],
    "late": [5000, 5033, 5067, 5100, 5133, 5167],
}


@pytest.mark.parametrize("header", [30, 1000, Fraction(77, 10)])
@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("suffix", ["webm", "mp4"])
def test_times_are_those_of_the_stamps(tmp_path, suffix, timing, header):
    ticks = TIMINGS[timing]
    path = movies.write_movie(
        tmp_path / f"clip.{suffix}",
        movies.pictures(6),
        "libvpx" if suffix == "webm" else "libx264",
        rate=header,
        ticks=ticks,
        time_base=Fraction(1, 1000),
    )
    frames, clip = read(path)
    np.testing.assert_allclose(times_of(frames), (np.array(ticks) - ticks[0]) / 1000, atol=1e-3)
    assert numbers_in(frames) == list(range(6))
    mean = 5000 / (ticks[-1] - ticks[0])
    assert clip.info.fps == pytest.approx(mean, rel=0.25)  # of few frames, whatever is stated
    assert clip.truncated is None


def test_frames_of_the_same_stamp_ascend_and_later_ones_keep_their_time(tmp_path):
    path = movies.write_movie(tmp_path / "twice.mp4", movies.pictures(6), bf="0")
    ticks = cli_clips.vary_frame_rate(path, [512, 0, 1024, 512, 512, 512])
    frames, _ = read(path)
    times = np.array(times_of(frames))
    assert (np.diff(times) > 0).all()
    expected = np.array([0, 512, 512, 1536, 2048, 2560]) / ticks
    np.testing.assert_allclose(times[[0, 1, 3, 4, 5]], expected[[0, 1, 3, 4, 5]], atol=1e-3)


def test_files_that_were_joined_go_on_where_their_stamps_start_anew(tmp_path):
    part = movies.write_movie(tmp_path / "part.ts", movies.pictures(10), bf="0").read_bytes()
    (tmp_path / "joined.ts").write_bytes(part * 3)
    frames, _ = read(tmp_path / "joined.ts")
    assert numbers_in(frames) == [*range(10)] * 3
    np.testing.assert_allclose(times_of(frames), np.arange(30) / 30, atol=1e-3)


def test_missing_frames_do_not_change_the_rate(tmp_path):
    ticks = [index for index in range(24) if index not in (7, 20)]
    path = movies.write_movie(
        tmp_path / "lost.mkv", movies.pictures(22), ticks=ticks, time_base=Fraction(1, 30), bf="0"
    )
    frames, clip = read(path)
    np.testing.assert_allclose(times_of(frames), np.array(ticks) / 30, atol=1e-3)
    assert clip.info.fps == pytest.approx(30)


def test_a_stream_without_duration_is_counted(tmp_path):
    path = movies.write_movie(
        tmp_path / "live.webm",
        movies.pictures(20),
        "libvpx",
        container_options={"live": "1"},
    )
    with av.open(str(path)) as container:
        assert not container.duration
    frames, clip = read(path)
    assert len(frames) == clip.info.num_frames == 20
    assert clip.info.fps == pytest.approx(30, rel=0.01)
    assert clip.truncated is None


def test_an_edit_list_leaves_frames_out(tmp_path):
    ticks = [512 * index for index in range(-3, 5)]
    path = movies.write_movie(
        tmp_path / "edited.mp4",
        movies.pictures(8),
        bf="0",
        ticks=ticks,
        time_base=Fraction(1, 15360),
    )
    frames, clip = read(path)
    with av.open(str(path)) as container:
        shown = [frame.pts for frame in container.decode(video=0)]
    assert len(frames) == len(shown)
    np.testing.assert_allclose(np.diff(times_of(frames)), 1 / 30, atol=1e-3)
    assert clip.truncated is None


@pytest.mark.parametrize(("choice", "speed"), [({}, 8), ({"speed": 1.0}, 1), ({"speed": 4.0}, 4)])
def test_slow_motion_is_read_in_real_time(tmp_path, choice, speed):
    path = movies.write_movie(
        tmp_path / "slow.mp4",
        movies.pictures(6),
        container_options={"movflags": "use_metadata_tags"},
        metadata={"com.android.capture.fps": "240.000000"},
    )
    frames, clip = read(path, **choice)
    np.testing.assert_allclose(times_of(frames), np.arange(6) / 30 / speed, atol=1e-3)
    assert clip.info.fps == pytest.approx(30 * speed)
    assert clip.info.footage.fps == pytest.approx(30 * speed)
    assert bool(clip.notes) == (speed != 1)


def test_a_fast_video_in_real_time_stays_so(tmp_path):
    path = movies.write_movie(
        tmp_path / "fast.mp4",
        movies.pictures(6),
        rate=240,
        container_options={"movflags": "use_metadata_tags"},
        metadata={"com.android.capture.fps": "240.000000"},
    )
    frames, clip = read(path)
    np.testing.assert_allclose(times_of(frames), np.arange(6) / 240, atol=1e-3)
    assert clip.info.fps == 240


CORNERS = np.array([[20, 90], [160, 230]], np.uint8)  # a level for each corner


def corner_image():
    return np.kron(CORNERS, np.ones((24, 32), np.uint8))[..., None].repeat(3, 2)


def corners_of(image):
    height, width = image.shape[:2]
    rows, columns = [height // 4, 3 * height // 4], [width // 4, 3 * width // 4]
    return image[np.ix_(rows, columns)].mean(-1)


UPRIGHT = {  # corners when upright, by EXIF orientation
    1: CORNERS,
    2: CORNERS[:, ::-1],
    3: CORNERS[::-1, ::-1],
    4: CORNERS[::-1],
    5: CORNERS.T,
    6: np.rot90(CORNERS, -1),
    7: CORNERS[::-1, ::-1].T,
    8: np.rot90(CORNERS),
}


@pytest.mark.parametrize(
    ("degrees", "flip", "orientation"),
    [
        (0, False, 1),
        (0, True, 2),
        (180, False, 3),
        (180, True, 4),
        (270, False, 6),
        (90, False, 8),
        (90, True, None),
        (270, True, None),
    ],
)
def test_every_rotation_and_flip_of_a_video_is_upright(tmp_path, degrees, flip, orientation):
    path = movies.write_movie(
        tmp_path / "phone.mp4",
        [corner_image()] * 3,
        configure=lambda stream: stream.set_display_rotation(degrees, hflip=flip),
    )
    frames, clip = read(path)
    expected = np.rot90(CORNERS, degrees // 90)
    expected = expected[:, ::-1] if flip else expected
    np.testing.assert_allclose(corners_of(frames[0].image), expected, atol=6)
    found = clip.info.footage.orientation
    np.testing.assert_array_equal(UPRIGHT[found], expected)
    assert orientation in (found, None)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_every_orientation_of_a_picture_is_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(corner_image()).save(tmp_path / "phone.jpg", exif=exif, quality=95)
    (frame,), clip = read(tmp_path / "phone.jpg")
    np.testing.assert_allclose(corners_of(frame.image), UPRIGHT[orientation], atol=6)
    assert clip.info.footage.orientation == orientation


def write_streams(path, *streams, sound=False):
    """Write several streams: pictures and whether they are a cover."""
    with av.open(str(path), "w") as output:
        made = []
        for images, is_cover in streams:
            stream = output.add_stream("mjpeg" if is_cover else "libx264", rate=30)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if is_cover else "yuv420p"
            if is_cover:
                stream.disposition = av.stream.Disposition.attached_pic
            made.append(stream)
        voice = output.add_stream("aac", rate=8000, layout="mono") if sound else None
        for stream, (images, _) in zip(made, streams, strict=True):
            for image in images:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            output.mux(stream.encode(None))
        if voice is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            samples.sample_rate = 8000
            output.mux(voice.encode(samples))
            output.mux(voice.encode(None))
    return path


def test_a_cover_is_not_the_moving_picture(tmp_path):
    cover = (movies.pictures(1, (128, 128)), True)
    path = write_streams(tmp_path / "film.mp4", cover, (movies.pictures(5), False), sound=True)
    frames, clip = read(path)
    assert (clip.info.width, clip.info.height) == movies.SIZE
    assert numbers_in(frames) == [0, 1, 2, 3, 4]


def test_the_largest_of_several_streams_is_read(tmp_path):
    small, large = movies.pictures(4, (32, 32)), movies.pictures(5)
    path = write_streams(tmp_path / "two.mkv", (small, False), (large, False))
    frames, clip = read(path)
    assert (clip.info.width, clip.info.height) == movies.SIZE
    assert len(frames) == 5


@pytest.mark.parametrize("name", ["song.mp4", "song.mkv"])
@pytest.mark.parametrize("covers", [0, 1])
def test_sound_alone_is_named(tmp_path, name, covers):
    if covers and name == "song.mkv":
        pytest.skip("Matroska keeps covers as attachments")
    path = write_streams(tmp_path / name, *[(movies.pictures(1), True)] * covers, sound=True)
    with pytest.raises(BadInputError, match=f"^{name} has no video"):
        open_clip(path)


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_frames_before_and_after_damage_are_read_at_their_times(tmp_path, suffix):
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 20, (96, 128, 3), np.uint8)
    images = [image // 2 + texture for image in movies.pictures(60, (128, 96))]
    path = movies.write_movie(
        tmp_path / f"hurt.{suffix}", images, g="10", bf="0", tune="zerolatency", crf="10"
    )
    whole, _ = read(path)
    content = bytearray(path.read_bytes())
    start = int(0.45 * len(content))
    content[start : start + len(content) // 20] = rng.bytes(len(content) // 20)
    path.write_bytes(content)
    frames, clip = read(path)
    assert 30 <= len(frames) <= 60
    times = np.array(times_of(frames))
    assert times[0] == 0
    assert times[-1] == pytest.approx(whole[-1].time, abs=1e-3)
    assert (np.diff(times) > 0).all()
    by_time = {round(frame.time, 2): frame.image.astype(int) for frame in whole}
    for frame in [*frames[:20], *frames[-15:]]:
        assert np.abs(frame.image.astype(int) - by_time[round(frame.time, 2)]).mean() < 1
    if len(frames) < 60:
        assert "damaged" in clip.truncated


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("index_first.mp4", "libx264", {"movflags": "faststart"}),
        ("fragments.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("cut.mkv", "libx264", {}),
        ("cut.webm", "libvpx", {}),
        ("cut.avi", "mjpeg", {}),
        ("cut.ts", "mpeg2video", {}),
    ],
)
def test_a_file_that_is_cut_off_gives_what_is_left_at_its_times(tmp_path, name, codec, options):
    path = movies.write_movie(
        tmp_path / name,
        movies.pictures(60, (320, 240)),
        codec,
        "yuvj420p" if codec == "mjpeg" else "yuv420p",
        container_options=options,
        g="10",
        bf="0",
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    frames, clip = read(path)
    assert 15 < len(frames) < 55
    np.testing.assert_allclose(times_of(frames), np.arange(len(frames)) / 30, atol=1e-3)
    numbers = [number % 24 for number in range(len(frames))]  # that pictures can show
    assert numbers_in(frames)[:-1] == numbers[:-1]  # the last one may be half
    assert clip.truncated or name == "cut.ts"  # which says nowhere how long it is


def test_a_file_without_its_index_is_one_sentence(tmp_path):
    path = movies.write_movie(tmp_path / "cut.mp4", movies.pictures(60, (320, 240)))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(BadInputError, match=r"^cut.mp4 is no video .* H.264 mp4.$"):
        open_clip(path)


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path):
    content = b""
    for index, size in enumerate([(64, 48), (128, 96)]):
        ticks = range(10 * index, 10 * index + 10)
        part = movies.write_movie(
            tmp_path / f"{index}.ts", movies.pictures(10, size), bf="0", ticks=list(ticks)
        )
        content += part.read_bytes()
    (tmp_path / "both.ts").write_bytes(content)
    frames, clip = read(tmp_path / "both.ts")
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert numbers_in(frames) == [*range(10), *range(10)]
    assert "10 frames of both.ts have another size" in clip.truncated
    assert "64 × 48" in clip.truncated


def test_a_gap_in_a_sequence_keeps_its_time(tmp_path):
    for number in (101, 102, 105, 106):
        picture = cli_clips.numbered_image(number - 100)
        cv2.imwrite(str(tmp_path / f"shot.{number:04d}.png"), picture)
    frames, clip = read(tmp_path)
    assert [frame.number for frame in frames] == [0, 1, 4, 5]
    np.testing.assert_allclose(times_of(frames), np.array([0, 1, 4, 5]) / 30)
    assert clip.info.num_frames == 4
    assert clip.truncated is None
    frames, clip = read(tmp_path, start=2, end=4)
    assert numbers_in(frames) == [5]
    assert clip.info.num_frames == 1


def test_dates_and_steps_in_names_are_no_gaps(tmp_path):
    for folder, names in (("dates", (20240131, 20241105, 20251224)), ("steps", (10, 20, 30))):
        (tmp_path / folder).mkdir()
        for name in names:
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), cli_clips.numbered_image(0))
        frames, _ = read(tmp_path / folder)
        assert [frame.number for frame in frames] == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_short_videos(tmp_path, count):
    frames, clip = read(movies.write_movie(tmp_path / "short.mp4", movies.pictures(count)))
    assert numbers_in(frames) == list(range(count))
    assert clip.info.fps == 30


NAMES = [
    "a b.mp4",
    'it\'s "it".mp4',
    "🕺.mp4",
    "-i.mp4",
    "100%d.mp4",
    "concat:a.mp4",
    "shot_#.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_read_and_nothing_is_written(tmp_path, monkeypatch, name):
    folder = tmp_path / "read only"
    folder.mkdir()
    movies.write_movie(folder / "clip.mp4", movies.pictures(2)).rename(folder / name)
    monkeypatch.chdir(folder)
    folder.chmod(0o555)
    for path in (folder / name, type(folder)(name)):
        frames, _ = read(path)
        assert numbers_in(frames) == [0, 1]
    assert [path.name for path in folder.iterdir()] == [name]
    folder.chmod(0o755)


def test_links_and_wrong_suffixes_are_read(tmp_path):
    path = movies.write_movie(tmp_path / "clip.mp4", movies.pictures(3))
    (tmp_path / "link.mp4").symlink_to(path)
    for name in ("clip.png", "clip.avi", "clip"):
        shutil.copy(path, tmp_path / name)
    cv2.imwrite(str(tmp_path / "photo.jpg"), cli_clips.numbered_image(0))
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.mov")
    for name in ("link.mp4", "clip.png", "clip.avi", "clip"):
        assert numbers_in(read(tmp_path / name)[0]) == [0, 1, 2]
    assert numbers_in(read(tmp_path / "photo.mov")[0]) == [0]


def test_an_unknown_codec_is_named_with_what_to_do(tmp_path):
    path = movies.write_movie(tmp_path / "odd.mp4", movies.pictures(2))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(BadInputError, match=r"^odd.mp4 .* convert it to an H.264 mp4.$"):
        open_clip(path)
