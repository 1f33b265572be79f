"""A stage with synthetic people, and stand-ins of the networks that see them without weights.

Frames are 256 pixels square and encode where they are: red is the column, green the row, blue the
number of the frame. So a stand-in can tell from a crop which part of which frame it shows, and
answers with what stands there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hund_backend.body.skeleton import KEYPOINT_MIRROR
from hund_backend.perception.blazepose import Look
from hund_backend.perception.person_detector import People
from hund_backend.video import Frame

SIZE = 256
INTRINSICS = np.array([[256.0, 0, 128], [0, 256, 128], [0, 0, 1]])
OTHER_SIDE = [*KEYPOINT_MIRROR["blazepose"], *range(33, 39)]
COCO = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]  # among BlazePose's points


def _skeleton():
    """39 points of an upright person of height 1 with the mid-hip at the origin, y down."""
    points = np.zeros((39, 2))
    points[[0, 33, 34]] = (0, -0.42), (0, 0), (0, -0.5)
    left = {11: (0.1, -0.3), 13: (0.15, -0.15), 15: (0.2, -0.02), 23: (0.06, 0)}
    left |= {17: (0.21, 0.02), 19: (0.22, 0.02), 21: (0.2, 0), 25: (0.08, 0.22)}
    left |= {27: (0.08, 0.42), 29: (0.08, 0.46), 31: (0.12, 0.48), 9: (0.01, -0.4)}
    left |= {1: (0.01, -0.44), 2: (0.02, -0.44), 3: (0.03, -0.44), 7: (0.05, -0.42)}
    for index, place in left.items():
        points[index] = place
        points[OTHER_SIDE[index]] = (-place[0], place[1])
    return points


SKELETON = _skeleton()


@dataclass(frozen=True)
class Pose:
    """Where a person is in one frame."""

    hip: tuple[float, float]  # px
    height: float  # px
    turn: float = 0.0  # radians, clockwise
    mirrored: bool = False  # the network takes left for right

    @property
    def points(self):
        skeleton = SKELETON.copy()
        if self.mirrored:
            skeleton[11:33] *= (-1, 1)
        cosine, sine = np.cos(self.turn), np.sin(self.turn)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        return np.array(self.hip) + self.height * skeleton @ rotation.T

    @property
    def box(self):
        points = self.points[:33]
        return np.concatenate((points.min(axis=0), points.max(axis=0)))


@dataclass
class Stage:
    """People by name: each a function from the frame to a pose, or None where he is not in view.

    Earlier people stand in front of later ones.
    """

    people: list[Callable[[int], Pose | None]]
    num_frames: int = 1
    looked: list[int] = field(default_factory=list)  # number of crops of each look

    def frames(self):
        for number in range(self.num_frames):
            yield Frame(number=number, time=number / 30, image=picture(number))

    def poses(self, number):
        return [pose for person in self.people if (pose := person(number)) is not None]

    def look(self, pictures):
        """BlazePose's stand-in."""
        self.looked.append(len(pictures))
        parts = [self._look(shown) for shown in pictures]
        stacked = [np.stack(column).astype(np.float32) for column in zip(*parts, strict=True)]
        keypoints, peaks, world = stacked
        return Look(
            keypoints=keypoints,
            peaks=peaks,
            visibility=peaks,
            presence=peaks,
            person=peaks[:, 0],
            world_landmarks=world,
            masks=np.ones((len(pictures), 256, 256), np.float32),
            features=np.ones((len(pictures), 560), np.float32),
        )

    def _look(self, shown):
        image_from_crop, number = where(shown)
        best = (np.full((39, 2), 128.0), np.full(39, 0.1), np.zeros((39, 3)))
        if image_from_crop is None:
            return best
        crop_from_image = np.linalg.inv(image_from_crop)
        for pose in self.poses(number):
            points = pose.points @ crop_from_image[:2, :2].T + crop_from_image[:2, 2]
            if np.linalg.det(crop_from_image) < 0:
                points = points[OTHER_SIDE]  # in a mirrored picture a left hand looks like a right
            quality = _quality(points)
            if quality > best[1][0] + 0.2:  # who stands in front wins unless seen much worse
                height = np.linalg.norm(points[34] - points[33]) * 2
                world = np.column_stack(((points - points[33]) / height, np.zeros(39)))
                best = (points, np.full(39, quality), world)
        return best

    def find(self, images):
        """The detector's stand-in; it knows nothing of turns."""
        found = []
        for image in images:
            poses = self.poses(int(image[0, 0, 2]))
            inside = [p for p in poses if (np.abs(np.array(p.hip) - 128) < 128).all()]
            found.append(
                People(
                    boxes=np.array([p.box for p in inside], np.float32).reshape(-1, 4),
                    confidence=np.full(len(inside), 0.9, np.float32),
                    keypoints=np.array([_upright(p) for p in inside], np.float32).reshape(
                        -1, 17, 2
                    ),
                )
            )
        return found


def _upright(pose):
    low, high = pose.box[:2], pose.box[2:]
    return (low + high) / 2 + (high - low).max() * SKELETON[COCO]


def _quality(points):
    """Falls as a person is off the middle of the crop, too small or large, or turned."""
    axis = (points[34] - points[33]) / 128
    offset = np.linalg.norm(points[33] - 128) / 256
    growth = np.log(np.linalg.norm(axis) * 1.25)
    turn = np.arctan2(axis[0], -axis[1])
    return 0.95 * np.exp(-((offset / 0.4) ** 2) - (growth / 0.7) ** 2 - (turn / 0.9) ** 2)


def picture(number):
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.stack((x, y, np.full_like(x, number)), axis=-1).astype(np.uint8)


def where(shown):
    """The map from a crop to the frame it was cut from, and the frame's number."""
    inside = ((shown[..., :2] > 2) & (shown[..., :2] < SIZE - 3)).all(axis=-1)
    inside &= (np.arange(256) % 5 == 2) & (np.arange(256) % 5 == 2)[:, None]  # enough of them
    rows, columns = np.nonzero(inside)
    places = np.stack((columns + 0.5, rows + 0.5, np.ones(len(rows))), axis=-1)
    image = shown[rows, columns, :2] + 0.5
    if len(rows) < 50:
        return None, 0
    matrix = np.eye(3)
    matrix[:2] = np.linalg.lstsq(places, image, rcond=None)[0].T
    return matrix, int(np.median(shown[..., 2]))
