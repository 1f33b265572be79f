"""Laws of shots: cuts, fades and dissolves are found; flashes, pans and repeats are none."""

import cv2
import numpy as np
import pytest

from hund_backend.perception.shots import ShotDetector

SIZE = (160, 90)


def view(seed, shift=0.0):
    """A picture of random blobs, moved to the side."""
    rng = np.random.default_rng(seed)
    image = np.full((SIZE[1], SIZE[0], 3), rng.integers(60, 200, 3), np.uint8)
    for x, y, radius, *color in rng.integers(
        (-40, 0, 8, 0, 0, 0), (200, 90, 30, 255, 255, 255), (14, 6)
    ):
        center = round((x + shift) * 16), round(y * 16)
        cv2.circle(image, center, int(radius) * 16, tuple(map(int, color)), -1, cv2.LINE_AA, 4)
    return image


def shot(seed, length=24, speed=1.0):
    """A moving view with the noise of a sensor."""
    rng = np.random.default_rng(100 + seed)
    images = [view(seed, speed * frame) for frame in range(length)]
    return [np.clip(i + rng.normal(0, 2, i.shape), 0, 255).astype(np.uint8) for i in images]


def look(images, fps=30.0):
    detector = ShotDetector(fps=fps)
    kinds = [
        detector.add(image, following)
        for image, following in zip(images, [*images[1:], None], strict=True)
    ]
    return detector.shots(), kinds


@pytest.mark.parametrize("seed", range(4))
def test_cuts_are_found_where_they_are(seed):
    images = [*shot(seed), *shot(seed + 10), *shot(seed + 20)]
    shots, kinds = look(images)
    assert shots == (0, 24, 48)
    assert [n for n, kind in enumerate(kinds) if kind.cut] == [24, 48]


@pytest.mark.parametrize("speed", [0.0, 1.0, 4.0, -4.0])
def test_a_moving_camera_is_no_cut(speed):
    assert look(shot(1, speed=speed))[0] == (0,)


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length):
    images = shot(2)
    for frame in range(10, 10 + length):
        images[frame] = np.clip(images[frame].astype(int) + 170, 0, 255).astype(np.uint8)
    assert look(images)[0] == (0,)


def test_black_frames_are_blank_and_a_cut_lies_behind_them_where_the_view_changed():
    black = [np.zeros_like(view(0))] * 3
    shots, kinds = look([*shot(3), *black, *shot(4)])
    assert shots == (0, 27)
    assert [n for n, kind in enumerate(kinds) if kind.blank] == [24, 25, 26]
    images = shot(3, length=30)
    images[12:15] = black
    assert look(images)[0] == (0,)


def test_a_dissolve_is_found_near_its_middle():
    before, after = shot(5, 40, speed=0.2), shot(6, 40, speed=0.2)
    mixed = [
        cv2.addWeighted(a, 1 - s, b, s, 0)
        for a, b, s in zip(before[-12:], after[:12], np.linspace(0.05, 0.95, 12), strict=True)
    ]
    shots, _ = look([*before[:-12], *mixed, *after[12:]])
    assert len(shots) == 2 and abs(shots[1] - 34) <= 8


def test_repeated_frames_are_known():
    images = shot(7)
    images[8:12] = [images[7]] * 4
    shots, kinds = look(images)
    assert shots == (0,)
    assert [n for n, kind in enumerate(kinds) if kind.repeated] == [8, 9, 10, 11]


def test_no_frames_are_one_shot():
    assert ShotDetector(fps=30.0).shots() == (0,)
