"""A scene with synthetic people, and stand-ins for the networks that detect them.

Frames are 256 pixels square and encode their coordinates: red is the column, green the row, blue
the number of the frame. So a stand-in can tell from a crop which part of which frame it shows, and
return the people there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hund_backend.body.skeleton import KEYPOINT_MIRROR
from hund_backend.perception.blazepose import BlazePoseOutput
from hund_backend.perception.movenet import MoveNetOutput
from hund_backend.perception.person_detector import PersonBoxes
from hund_backend.video import Frame

SIZE = 256
INTRINSICS = np.array([[256.0, 0, 128], [0, 256, 128], [0, 0, 1]])
MIRRORED_POINTS = [*KEYPOINT_MIRROR["blazepose"], *range(33, 39)]
COCO = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]  # among BlazePose's points


def _skeleton():
    """39 points of an upright person of height 1 with the mid-hip at the origin, y down."""
    points = np.zeros((39, 2))
    points[[0, 33, 34]] = (0, -0.42), (0, 0), (0, -0.5)
    left = {11: (0.1, -0.3), 13: (0.15, -0.15), 15: (0.2, -0.02), 23: (0.06, 0)}
    left |= {17: (0.21, 0.02), 19: (0.22, 0.02), 21: (0.2, 0), 25: (0.08, 0.22)}
    left |= {27: (0.08, 0.42), 29: (0.08, 0.46), 31: (0.12, 0.48), 9: (0.01, -0.4)}
    left |= {1: (0.01, -0.44), 2: (0.02, -0.44), 3: (0.03, -0.44), 7: (0.05, -0.42)}
    for index, (x, y) in left.items():
        points[index] = x, y
        points[MIRRORED_POINTS[index]] = -x, y
    return points


SKELETON = _skeleton()


@dataclass(frozen=True)
class PersonPose:
    """Place, size and rotation of a person in one frame."""

    hip: tuple[float, float]  # px
    height: float  # px
    angle: float = 0.0  # radians, clockwise
    flipped: bool = False  # the network takes left for right

    @property
    def points(self):
        skeleton = SKELETON.copy()
        if self.flipped:
            skeleton[11:33] *= (-1, 1)
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        return np.array(self.hip) + self.height * skeleton @ rotation.T

    @property
    def box(self):
        points = self.points[:33]
        return np.concatenate((points.min(axis=0), points.max(axis=0)))


@dataclass
class SyntheticScene:
    """A clip of synthetic people, and both networks' stand-ins.

    A person is a function from the frame to a pose, or to None while not in view. Earlier people
    stand in front of later ones.
    """

    people: list[Callable[[int], PersonPose | None]]
    num_frames: int = 1
    batch_sizes: list[int] = field(default_factory=list)  # number of crops of each prediction

    def frames(self):
        for number in range(self.num_frames):
            yield Frame(number=number, time=number / 30, image=frame_image(number))

    def poses(self, number):
        return [pose for person in self.people if (pose := person(number)) is not None]

    def predict(self, images):
        """Stand-in for BlazePose."""
        self.batch_sizes.append(len(images))
        rows = [self._predict_crop(image) for image in images]
        stacked = [np.stack(column).astype(np.float32) for column in zip(*rows, strict=True)]
        keypoints, peaks, world = stacked
        return BlazePoseOutput(
            keypoints=keypoints,
            peaks=peaks,
            visibility=peaks,
            presence=peaks,
            person=peaks[:, 0],
            world_landmarks=world,
            masks=np.ones((len(images), 256, 256), np.float32),
            features=np.ones((len(images), 560), np.float32),
        )

    def _predict_crop(self, image):
        image_from_crop, number = locate_crop(image)
        best = (np.full((39, 2), 128.0), np.full(39, 0.1), np.zeros((39, 3)))
        if image_from_crop is None:
            return best
        crop_from_image = np.linalg.inv(image_from_crop)
        for pose in self.poses(number):
            points = pose.points @ crop_from_image[:2, :2].T + crop_from_image[:2, 2]
            if np.linalg.det(crop_from_image) < 0:
                points = points[MIRRORED_POINTS]  # in a mirrored image left hands look like right
            quality = _quality(points)
            if quality > best[1][0] + 0.2:  # who stands in front wins unless much worse
                height = np.linalg.norm(points[34] - points[33]) * 2
                world = np.column_stack(((points - points[33]) / height, np.zeros(39)))
                best = (points, np.full(39, quality), world)
        return best

    def detect(self, images):
        """Stand-in for the person detector; it takes everybody as upright."""
        found = []
        for image in images:
            poses = self.poses(int(image[0, 0, 2]))
            inside = [p for p in poses if (np.abs(np.array(p.hip) - 128) < 128).all()]
            found.append(
                PersonBoxes(
                    boxes=np.array([p.box for p in inside], np.float32).reshape(-1, 4),
                    confidence=np.full(len(inside), 0.9, np.float32),
                    keypoints=np.array([_upright(p) for p in inside], np.float32).reshape(
                        -1, 17, 2
                    ),
                )
            )
        return found


class SecondNetwork:
    """Stand-in for MoveNet: it sees what the scene's landmark network sees."""

    def __init__(self, scene):
        self.scene = scene
        self.batch_sizes = []  # number of crops of each prediction

    def predict(self, images):
        self.batch_sizes.append(len(images))
        rows = [self.scene._predict_crop(image) for image in images]
        return MoveNetOutput(
            keypoints=np.stack([points[COCO] for points, _, _ in rows]).astype(np.float32),
            scores=np.stack([peaks[COCO] for _, peaks, _ in rows]).astype(np.float32),
        )


def _upright(pose):
    low, high = pose.box[:2], pose.box[2:]
    return (low + high) / 2 + (high - low).max() * SKELETON[COCO]


def _quality(points):
    """Quality of a detection: falls with shift, resize and rotation of the person in the crop."""
    axis = (points[34] - points[33]) / 128
    offset = np.linalg.norm(points[33] - 128) / 256
    growth = np.log(np.linalg.norm(axis) * 1.25)
    angle = np.arctan2(axis[0], -axis[1])
    return 0.95 * np.exp(-((offset / 0.4) ** 2) - (growth / 0.7) ** 2 - (angle / 0.9) ** 2)


def frame_image(number):
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.stack((x, y, np.full_like(x, number)), axis=-1).astype(np.uint8)


def locate_crop(image):
    """Return the map from a crop to the frame it was extracted from, and the frame's number."""
    inside = ((image[..., :2] > 2) & (image[..., :2] < SIZE - 3)).all(axis=-1)
    inside &= (np.arange(256) % 5 == 2) & (np.arange(256) % 5 == 2)[:, None]  # enough of them
    rows, columns = np.nonzero(inside)
    centers = np.stack((columns + 0.5, rows + 0.5, np.ones(len(rows))), axis=-1)
    coordinates = image[rows, columns, :2] + 0.5
    if len(rows) < 50:
        return None, 0
    matrix = np.eye(3)
    matrix[:2] = np.linalg.lstsq(centers, coordinates, rcond=None)[0].T
    return matrix, int(np.median(image[..., 2]))
