"""Where people are in a picture, and which way up: boxes and rough keypoints from MoveNet MultiPose.

MoveNet is fully convolutional: a heat map of people's centres, and at each centre the box and the
17 keypoints of COCO, regressed as CenterNet does (Zhou et al., "Objects as Points", 2019). Its
picture may have any size; a person is found best at 60 to 250 px of it, so large pictures are
looked at in several sizes.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from scipy.special import expit

from hund_backend.perception.engine import Engine, open_engine

OUTPUTS = ("center", "box_scale", "box_offset", "keypoints")
STRIDE_PX = 4  # side of a cell of the outputs, in pixels of the network's picture
MULTIPLE_PX = 32  # sides of the network's picture
SHOULDERS, HIPS = (5, 6), (11, 12)  # among COCO's keypoints


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """How hard to look for people."""

    sizes_px: tuple[int, ...] = (256, 640)  # longer sides of the network's pictures
    min_confidence: float = 0.25
    max_iou: float = 0.55  # of two boxes that overlap more, the less confident one goes
    max_batch: int = 8


@dataclass(frozen=True, kw_only=True)
class People:
    """People in one picture, the most confident first; pixels of the picture."""

    boxes: Float32[np.ndarray, "people 4"]  # x0, y0, x1, y1
    confidence: Float32[np.ndarray, " people"]
    keypoints: Float32[np.ndarray, "people 17 2"]  # COCO's, rough, also where they are hidden

    @property
    def turns(self) -> Float32[np.ndarray, " people"]:
        """Turn of each trunk from upright, radians, clockwise on screen.

        On 105 sports pictures within 30° of the truth for 95 % (upside-down people: 96 %).
        """
        shoulders = self.keypoints[:, SHOULDERS].mean(axis=1)
        trunk = shoulders - self.keypoints[:, HIPS].mean(axis=1)
        return np.arctan2(trunk[:, 0], -trunk[:, 1])

    def __getitem__(self, chosen: np.ndarray) -> "People":
        return People(
            boxes=self.boxes[chosen],
            confidence=self.confidence[chosen],
            keypoints=self.keypoints[chosen],
        )


class PeopleDetector:
    """Finds people in pictures of any size."""

    def __init__(self, engine: Engine, config: DetectorConfig) -> None:
        self.engine, self.config = engine, config

    @classmethod
    def open(
        cls, folder: Path, device: str = "cpu", config: DetectorConfig | None = None
    ) -> "PeopleDetector":
        """Load the network from the folder of networks; BadInputError if it is not there whole."""
        engine = open_engine(folder, "movenet_multipose", device)
        return cls(engine, config or DetectorConfig())

    def detect(
        self, images: list[UInt8[np.ndarray, "_ _ 3"]]
    ) -> list[Float32[np.ndarray, "people 5"]]:
        """Boxes (x0, y0, x1, y1, confidence) of every picture (RGB), in its pixels, best first."""
        found = self.find(images)
        return [np.column_stack([people.boxes, people.confidence]) for people in found]

    def find(self, images: list[UInt8[np.ndarray, "_ _ 3"]]) -> list[People]:
        """The people of every picture (RGB)."""
        step = self.config.max_batch
        batches = [images[start : start + step] for start in range(0, len(images), step)]
        return [people for batch in batches for people in self._find(batch)]

    def _find(self, images: list[np.ndarray]) -> list[People]:
        parts: list[list[People]] = [[] for _ in images]
        for size_px in self.config.sizes_px:
            # Enlarging a picture shows nobody new: only the first size may do that.
            first = size_px == self.config.sizes_px[0]
            chosen = [
                n for n, image in enumerate(images) if first or max(image.shape[:2]) >= size_px
            ]
            found = self._find_at([images[number] for number in chosen], size_px)
            for number, people in zip(chosen, found, strict=True):
                parts[number].append(people)
        return [suppress(_joined(rounds), self.config.max_iou) for rounds in parts]

    def _find_at(self, images: list[np.ndarray], size_px: int) -> list[People]:
        """People of every picture as the network sees them with that longer side."""
        if not images:
            return []
        scales = [size_px / max(image.shape[:2]) for image in images]
        outputs = self.engine(_batch(images, scales), OUTPUTS)
        found = []
        for number, (image, scale) in enumerate(zip(images, scales, strict=True)):
            heads = {name: outputs[name][number] for name in OUTPUTS}
            people = decode(heads, self.config.min_confidence)
            limit = np.float32([*image.shape[1::-1]] * 2)
            found.append(
                People(
                    boxes=(people.boxes / np.float32(scale)).clip(0, limit),
                    confidence=people.confidence,
                    keypoints=people.keypoints / np.float32(scale),
                )
            )
        return found


def _batch(
    images: list[np.ndarray], scales: list[float]
) -> Float32[np.ndarray, "batch 3 height width"]:
    """Pictures scaled into the upper left corner of the network's common picture."""
    small = [_scaled(image, scale) for image, scale in zip(images, scales, strict=True)]
    height, width = (
        -(-max(image.shape[axis] for image in small) // MULTIPLE_PX) * MULTIPLE_PX
        for axis in (0, 1)
    )
    batch = np.zeros((len(small), height, width, 3), np.float32)
    for whole, image in zip(batch, small, strict=True):
        whole[: image.shape[0], : image.shape[1]] = image
    return np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) / np.float32(127.5) - 1


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    size = [max(round(side * scale), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def decode(heads: dict[str, np.ndarray], min_confidence: float) -> People:
    """The people whose centres stand out, in pixels of the network's picture.

    Args:
        heads: of one picture, each channels x rows x columns, in cells: logit of a person's
            centre; height and width of the box; offset of its centre; offsets of the keypoints.
            Offsets are from the cell and stand y first.
        min_confidence: of the people to be kept.
    """
    confidence = expit(heads["center"][0])
    peaks = confidence == cv2.dilate(confidence, np.ones((3, 3), np.uint8))
    cells = np.argwhere(peaks & (confidence >= min_confidence))  # row, column
    rows, columns = cells.T
    center = cells + heads["box_offset"][:, rows, columns].T
    half = heads["box_scale"][:, rows, columns].T.clip(min=0) / 2
    offsets = heads["keypoints"][:, rows, columns].T.reshape(-1, 17, 2)
    corners = np.concatenate([(center - half)[:, ::-1], (center + half)[:, ::-1]], axis=1)
    return People(
        boxes=(corners * STRIDE_PX).astype(np.float32),
        confidence=confidence[rows, columns],
        keypoints=((cells[:, None] + offsets)[..., ::-1] * STRIDE_PX).astype(np.float32),
    )


def suppress(people: People, max_iou: float) -> People:
    """Non-maximum suppression: of people whose boxes overlap the most confident stays."""
    waiting = np.argsort(-people.confidence, kind="stable")
    kept = []
    while len(waiting):
        kept.append(waiting[0])
        overlap = iou(people.boxes[waiting[0]], people.boxes[waiting[1:]])
        waiting = waiting[1:][overlap <= max_iou]
    return people[np.array(kept, np.int64)]


def iou(
    box: Float32[np.ndarray, "4"], others: Float32[np.ndarray, "people 4"]
) -> Float32[np.ndarray, " people"]:
    """Intersection over union of one box with others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    overlap = (high - low).clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return overlap / np.maximum(areas - overlap, np.finfo(np.float32).tiny)


def _joined(parts: list[People]) -> People:
    return People(
        boxes=np.concatenate([people.boxes for people in parts]),
        confidence=np.concatenate([people.confidence for people in parts]),
        keypoints=np.concatenate([people.keypoints for people in parts]),
    )
