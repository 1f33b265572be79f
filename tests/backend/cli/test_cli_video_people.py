"""Law of people: their heights, places and times do not depend on how a clip is stored.

One clip of two people is stored in many ways; each is reconstructed as the first one is.
"""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import cv2
import movies
import numpy as np
import pytest

from hund_backend import pipeline
from hund_backend.models import Models
from hund_backend.options import QUALITIES, Options
from hund_backend.video import open_clip
from hund_backend.video.color import PQ, REFERENCE_WHITE, RGB709_FROM_RGB2020, SDR_GAMMA

ROOT = Path(__file__).parents[3]
NETWORKS = ROOT / "hund_backend" / "weights" / "perception" / "blazepose_heavy.safetensors"
PARTIAL = Fraction(45, 64)  # width of the stored picture by that of the shown one
# Measured: 0.003 and 0.012; the pictures are coded anew.
HEIGHT_TOLERANCE, PLACE_TOLERANCE = 0.03, 0.05  # of the height; of the distance
pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(not NETWORKS.exists(), reason="run 'make setup' to fetch the networks"),
]


@pytest.fixture(scope="module")
def images():
    with open_clip(ROOT / "tests" / "data" / "walker.mp4") as clip:
        pictures = [frame.image for frame in clip]
    return [picture[: len(picture) // 4 * 4] for picture in pictures]


@pytest.fixture(scope="module")
def solve():
    models, draft = Models.load("cpu"), QUALITIES["draft"]
    options = Options(stride=draft.stride, polish=False, hands=False, face=False)
    return lambda path: pipeline.reconstruct(path, options, models)


@pytest.fixture(scope="module")
def expected(images, solve, tmp_path_factory):
    return solve(
        movies.write_movie(tmp_path_factory.mktemp("clip") / "plain.mp4", images, crf="12")
    )


def pq_frame(image):
    """Return a frame of HDR that looks on a standard screen as an RGB image does."""
    shown = (image.astype(np.float64) / 255) ** SDR_GAMMA
    brightest = np.maximum(shown.max(-1, keepdims=True), 1e-6)
    above = np.clip((brightest - 0.5) / 0.5, 0, 0.98)
    light = np.where(brightest > 0.5, 0.5 - 0.5 * np.log(1 - above), brightest)
    shown = shown * light / brightest @ np.linalg.inv(RGB709_FROM_RGB2020).T
    power = (np.maximum(shown, 0) * REFERENCE_WHITE / 10_000) ** 0.1593017578125
    red, green, blue = np.moveaxis(
        ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375, -1, 0
    )
    luma = 0.2627 * red + 0.678 * green + 0.0593 * blue
    chroma = [(blue - luma) / 1.8814, (red - luma) / 1.4746]
    planes = [
        64 + 876 * luma,
        *(512 + 896 * cv2.resize(each, None, fx=0.5, fy=0.5) for each in chroma),
    ]
    frame = av.VideoFrame(image.shape[1], image.shape[0], "yuv420p10le")
    for plane, codes in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        rows[:, : plane.width] = np.rint(codes)
        plane.update(rows.tobytes())
    return frame


def label_hdr(target):
    target.color_trc, target.color_primaries, target.colorspace = PQ, 9, 9


def store(kind, images, folder):
    """Write the clip in one of many ways."""
    match kind:
        case "av1":
            return movies.write_movie(folder / "a.mp4", images, "libsvtav1", preset="10", crf="20")
        case "anamorphic":
            size = (round(images[0].shape[1] * PARTIAL), images[0].shape[0])
            squeezed = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in images]

            def set_aspect(stream):
                stream.codec_context.sample_aspect_ratio = 1 / PARTIAL

            return movies.write_movie(folder / "a.mp4", squeezed, configure=set_aspect, crf="12")
        case "interlaced":
            options = {"x264-params": "tff=1:interlaced=1", "crf": "12"}
            return movies.write_movie(folder / "a.ts", images, **options)
        case "recorder":  # of a browser: a header of 1,000 per second, and a late start
            ticks = [5000 + round(1000 * index / 30) for index in range(len(images))]
            return movies.write_movie(
                folder / "a.webm",
                images,
                "libvpx",
                rate=1000,
                ticks=ticks,
                time_base=Fraction(1, 1000),
                b="8000000",
                deadline="realtime",
            )
        case "sideways":
            turned = [np.rot90(each, -1) for each in images]
            return movies.write_movie(
                folder / "a.mov",
                turned,
                configure=lambda stream: stream.set_display_rotation(90),
                crf="12",
            )
        case "hdr":
            return movies.write_movie(
                folder / "a.mp4",
                [pq_frame(each) for each in images],
                "libx265",
                "yuv420p10le",
                configure=lambda stream: label_hdr(stream.codec_context),
                label=label_hdr,
                **{"x265-params": "log-level=none", "crf": "12"},
            )
        case "pictures":
            for number, image in enumerate(images, 101):
                name = str(folder / f"shot.{number:04d}.png")
                cv2.imwrite(name, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            return folder
        case "animation":
            return movies.write_movie(folder / "a.png", images, "apng", "rgb24", container="apng")
    raise ValueError(kind)


def height(result, person):
    """Mean length from the ankles over hip and neck to the head, meters."""
    names, joints = result.joint_names, result.joints[person][result.present[person]]
    chain = [
        joints[:, names.index(name)] for name in ("AnkleL", "CalfL", "ThighL", "Neck01", "Head01")
    ]
    steps = [np.linalg.norm(b - a, axis=-1) for a, b in itertools.pairwise(chain)]
    return float(np.mean(np.sum(steps, axis=0)))


@pytest.mark.parametrize(
    "kind",
    ["av1", "anamorphic", "interlaced", "recorder", "sideways", "hdr", "pictures", "animation"],
)
def test_people_are_as_tall_and_where_they_are(kind, images, solve, expected, tmp_path):
    path = store(kind, images, tmp_path)
    with open_clip(path) as clip:
        brightness = np.mean([frame.image.mean() for frame in clip])
    assert brightness == pytest.approx(np.mean(images), abs=3)
    result = solve(path)
    assert np.abs(np.subtract(result.image_size, expected.image_size)).max() <= 1
    np.testing.assert_array_equal(result.frame_numbers, expected.frame_numbers)
    np.testing.assert_allclose(result.times, expected.times, atol=1e-3)
    assert len(result.track_ids) == len(expected.track_ids) == 2
    for person in range(2):
        assert (result.present[person] == expected.present[person]).mean() > 0.8
        both = result.present[person] & expected.present[person]
        tall = height(expected, person)
        assert 1.2 < tall < 1.9
        assert height(result, person) == pytest.approx(tall, rel=HEIGHT_TOLERANCE)
        place, true = (each.root_translation[person][both] for each in (result, expected))
        apart = np.linalg.norm(place - true, axis=-1) / np.linalg.norm(true, axis=-1)
        assert np.median(apart) < PLACE_TOLERANCE
