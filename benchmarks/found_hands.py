"""Hands found in clips: `python -m benchmarks.found_hands CLIP… [--sheets DIR] [--sizes]`.

Prints the share of each person's frames in which each hand is found, and the hand network's crops
and time a frame. `--sheets` draws the hands over every fifth frame. `--sizes` looks for the same
hands in smaller pictures, and where they are painted over.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from hund_backend.body.camera import default_intrinsics
from hund_backend.perception.crops import crop_from_image, extract_crops, transform_points
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.hands.detector import (
    HandDetector,
    HandDetectorConfig,
    HandRequest,
)
from hund_backend.perception.hands.network import HandNetwork, HandOutput
from hund_backend.perception.run import Perception
from hund_backend.video import Frame, open_clip
from tools.calibrate_confidence import hide

FINGERS = [[0, *range(first, first + 4)] for first in (1, 5, 9, 13, 17)]
COLORS = ((80, 255, 80), (255, 80, 80))  # RGB, left and right
EVERY = 5  # frames, of a sheet
UPPER_BODY = [0, *range(11, 23)]  # BlazePose's nose and arms
COLUMNS, TILE = 6, 400  # of a sheet; px
SIZES = (64, 48, 32, 24, 16, 12, 8)  # px of a hand
SURE = 0.8  # confidence of a hand that serves as truth


class CountingNetwork:
    """The hand network, with a count of its crops and its time."""

    def __init__(self, network: HandNetwork) -> None:
        self.network, self.crops, self.seconds = network, 0, 0.0

    def predict(self, images: np.ndarray) -> HandOutput:
        """Predict the hand in each crop."""
        start = time.perf_counter()
        output = self.network.predict(images)
        self.crops, self.seconds = (
            self.crops + len(images),
            time.perf_counter() - start + self.seconds,
        )
        return output


def draw(image: np.ndarray, person: Evidence, row: int) -> np.ndarray:
    """Draw a person's hands, the surer the brighter, over head and arms."""
    around = person.keypoints[row, UPPER_BODY, :2]
    low, high = around.min(axis=0), around.max(axis=0)
    crop = np.array([*((low + high) / 2), 1.2 * (high - low).max(), 0.0])
    tile = extract_crops(image, crop[None], TILE)[0]
    for side in np.flatnonzero(person.hands.observed[row]):
        points = person.hands.keypoints[row, side]
        shade = 0.35 + 0.65 * points[:, 2].mean()
        color = tuple(int(shade * value) for value in COLORS[side])
        places = np.rint(transform_points(points[:, :2], crop_from_image(crop, TILE)))
        for finger in FINGERS:
            cv2.polylines(tile, [places[finger].astype(np.int32)], False, color, 1, cv2.LINE_AA)
    cv2.putText(tile, str(person.frames[row]), (8, 26), 0, 0.8, (255, 255, 255), 2)
    return tile


def sheet(frames: list[Frame], people: list[Evidence]) -> np.ndarray:
    """Return a sheet of every fifth frame of everybody."""
    tiles = [
        draw(frames[person.frames[row]].image, person, row)
        for person in people
        for row in range(0, len(person.frames), EVERY)
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def by_size(
    frames: list[Frame], person: Evidence, network: HandNetwork
) -> tuple[list[tuple[int, float, float]], list[bool]]:
    """Look for the sure hands of a person in smaller pictures and where they are painted over.

    Returns:
        Size, confidence (0: not found) and mean error in lengths of the hand, of each hand; and
        whether each painted-over hand was found.
    """
    anything = HandDetectorConfig(min_length=1, min_confidence=0.0, min_presence=0.0)
    detector, rng = HandDetector(network, anything), np.random.default_rng(0)
    smaller, invented = [], []
    for row in np.flatnonzero(person.observed)[::EVERY]:
        image, points = frames[person.frames[row]].image, person.keypoints[row]
        request = HandRequest.of_body(points[:, :2], person.world_landmarks[row], points[:, 2])
        intrinsics, length = person.intrinsics[row], request.hand_length
        (truth,) = detector.detect(image, [request], intrinsics)
        sure = [hand is not None and hand.confidence > SURE for hand in truth]
        for size in SIZES:
            scale = size / length
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            less = HandRequest(points=scale * request.points, hand_length=size)
            (found,) = detector.detect(small, [less], intrinsics * ((scale,), (scale,), (1.0,)))
            for side in np.flatnonzero(sure):
                hand = found[side]
                if hand is None:
                    smaller.append((size, 0.0, np.nan))
                    continue
                error = np.linalg.norm(hand.points / scale - truth[side].points, axis=-1).mean()
                smaller.append((size, hand.confidence, error / length))
        for side in np.flatnonzero(sure):
            for _ in range(6):
                image = hide(image, truth[side].points, 2.5 * length, rng)
        (found,) = HandDetector(network).detect(image, [request], intrinsics)
        invented += [found[side] is not None for side in np.flatnonzero(sure)]
    return smaller, invented


def main() -> None:
    """Measure clips and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--sheets", type=Path, metavar="DIR")
    parser.add_argument("--sizes", action="store_true")
    arguments = parser.parse_args()
    perception = Perception.open("cpu")
    hand_network = perception.hand_detector.network
    smaller, invented = [], []
    for path in arguments.clips:
        network = CountingNetwork(hand_network)
        perception.hand_detector = HandDetector(network)
        with open_clip(path) as clip:
            frames, info = list(clip), clip.info
        intrinsics = default_intrinsics(info.width, info.height)
        people = perception.run(frames, intrinsics, fps=info.fps, hands=True)
        print(
            f"{path.name}: {len(frames)} frames, {len(people)} people, "
            f"{network.crops / len(frames):.1f} crops and "
            f"{1000 * network.seconds / len(frames):.0f} ms a frame"
        )
        for person in people:
            found, sure = person.hands.observed, person.hands.keypoints[..., 2].mean(axis=-1) > 0.5
            print(
                f"  left {found[:, 0].mean():.0%} right {found[:, 1].mean():.0%}; "
                f"above 0.5: {sure[:, 0].mean():.0%} {sure[:, 1].mean():.0%}"
            )
            if arguments.sizes:
                measured = by_size(frames, person, hand_network)
                smaller += measured[0]
                invented += measured[1]
        if arguments.sheets and people:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            image = cv2.cvtColor(sheet(frames, people), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(arguments.sheets / f"{path.stem}.png"), image)
    for size in SIZES if smaller else ():
        rows = np.array([row[1:] for row in smaller if row[0] == size])
        median, most = np.nanquantile(rows[:, 1], (0.5, 0.9))
        print(
            f"{size} px: found {(rows[:, 0] > 0).mean():.0%}, above 0.5 "
            f"{(rows[:, 0] > 0.5).mean():.0%}; error {median:.1%}, 90th percentile {most:.1%}"
        )
    if invented:
        print(f"painted over: {np.mean(invented):.1%} of {len(invented)} found")


if __name__ == "__main__":
    main()
