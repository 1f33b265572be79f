"""A picture in which every pixel tells where it is, and a hand network that knows the hands in it.

It stands in for the real network in tests of the detector: it reads from a crop's colors which part
of the frame it shows, and returns the hand nearest to its middle.
"""

from dataclasses import dataclass

import numpy as np

from hund_backend.perception.hands.network import HandOutput

SIZE = 240  # px of the square frame; colors tell pixels apart up to 255
INTRINSICS = np.array([[300.0, 0, SIZE / 2], [0, 300.0, SIZE / 2], [0, 0, 1]])
LENGTH = 40.0  # px of a hand
# An open left hand, palm to the camera, fingers up, in lengths from the wrist; thumb to the right
# on the screen as the person faces the camera.
SHAPE = np.array(
    [
        [0.0, 0.0],
        *([0.12, -0.1], [0.24, -0.22], [0.32, -0.33], [0.38, -0.42]),
        *([0.13, -0.45], [0.16, -0.65], [0.17, -0.78], [0.18, -0.88]),
        *([0.03, -0.47], [0.03, -0.7], [0.03, -0.85], [0.03, -0.97]),
        *([-0.07, -0.45], [-0.09, -0.66], [-0.1, -0.8], [-0.11, -0.91]),
        *([-0.16, -0.4], [-0.2, -0.55], [-0.23, -0.66], [-0.26, -0.75]),
    ]
)


def hand_points(wrist, angle=0.0, side=0, length=LENGTH):
    """Points of a hand, px: the angle turns its fingers clockwise from upward."""
    cosine, sine = np.cos(angle), np.sin(angle)
    shape = SHAPE * (1 if side == 0 else -1, 1)
    return np.array(wrist, float) + length * shape @ np.array([[cosine, sine], [-sine, cosine]])


def body_points(wrists, angles=(0.0, 0.0), length=LENGTH):
    """BlazePose's points of a person whose hands are there."""
    points = np.full((33, 2), SIZE / 2)
    for side, (wrist, angle) in enumerate(zip(wrists, angles, strict=True)):
        up = np.array([np.sin(angle), -np.cos(angle)])
        points[15 + side] = wrist
        points[13 + side] = wrist - 1.3 * length * up
        for knuckle in (17, 19, 21):
            points[knuckle + side] = wrist + 0.45 * length * up
    return points


@dataclass
class Hand:
    """A hand in the scene."""

    points: np.ndarray
    side: int
    presence: float = 0.97
    layer: str = ""  # "front": marked in the picture; "behind": seen where no mark is


def coordinate_image(hands=(), size=SIZE):
    """Red is the column of a pixel, green its row; blue marks hands that are in front."""
    image = np.zeros((size, size, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(size)[None], np.arange(size)[:, None]
    for hand in hands:
        if hand.layer == "front":
            for x, y in hand.points.astype(int):
                image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2, 2] = 255
    return image


class SceneNetwork:
    """Hand network that finds the scene's hands; counts its crops."""

    def __init__(self, hands):
        self.hands, self.num_crops = list(hands), 0

    def predict(self, images):
        self.num_crops += len(images)
        rows = [self._look(image) for image in images]
        keypoints, presence, right = (np.array(column) for column in zip(*rows, strict=True))
        count = len(images)
        return HandOutput(
            keypoints=keypoints.astype(np.float32),
            presence=presence.astype(np.float32),
            right=right.astype(np.float32),
            world_landmarks=np.tile(
                np.concatenate((SHAPE, np.zeros((21, 1))), axis=1), (count, 1, 1)
            ).astype(np.float32),
            features=np.zeros((count, 192), np.float32),
        )

    def _look(self, image):
        size, quarter = len(image), len(image) // 4
        place = np.array([quarter, 2 * quarter, 3 * quarter]) + 0.5
        pixels = np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2)
        seen = image[pixels[:, 1].astype(int), pixels[:, 0].astype(int), :2] + 0.5
        inputs = np.concatenate((pixels, np.ones((len(pixels), 1))), axis=1)
        frame_from_crop = np.linalg.lstsq(inputs, seen, rcond=None)[0]  # 3 × 2
        scale = np.sqrt(abs(np.linalg.det(frame_from_crop[:2])))
        middle = np.array([size / 2, size / 2, 1]) @ frame_from_crop
        best, nearest = None, 0.35 * size * scale
        marked = (image[..., 2] > 150).mean() > 0.01
        for hand in self.hands:
            if hand.layer == ("behind" if marked else "front"):
                continue
            away = np.linalg.norm(hand.points.mean(axis=0) - middle)
            if away < nearest:
                best, nearest = hand, away
        if best is None or scale < 1e-6:
            return np.tile(size / 2 + 40 * SHAPE, (1, 1)), 0.001, 0.5
        inverse = np.linalg.inv(frame_from_crop[:2])
        keypoints = (best.points - frame_from_crop[2]) @ inverse
        return keypoints, best.presence, 0.97 if best.side else 0.03
