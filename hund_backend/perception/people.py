"""Where people are in a picture: boxes from NanoDet.

NanoDet is a fully convolutional one-stage detector (RangiLyu, 2020) whose boxes are distributions
over distances to the four sides (Li et al., "Generalized Focal Loss", 2020).
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from scipy.special import expit, softmax

from .engine import Engine, open_engine
from .manifest import verified

STRIDES_PX = (8, 16, 32)
BINS = 11  # distances of 0…10 strides
MULTIPLE_PX = 32  # sides of the network's picture
MEAN = np.float32([103.53, 116.28, 123.675])  # blue, green, red, as it was trained
STD = np.float32([57.375, 57.12, 58.395])
EMPTY = np.zeros((0, 5), np.float32)


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """How hard to look for people."""

    size_px: int = 416  # longer side of the network's picture
    min_confidence: float = 0.35
    max_iou: float = 0.6  # of two boxes that overlap more, the less confident one goes
    max_batch: int = 8


class PeopleDetector:
    """Boxes of people in pictures of any size."""

    def __init__(self, engine: Engine, config: DetectorConfig) -> None:
        self.engine, self.config = engine, config

    @classmethod
    def open(
        cls, folder: Path, device: str = "cpu", config: DetectorConfig | None = None
    ) -> "PeopleDetector":
        """Load the network from the folder of networks; BadInputError if it is not there whole."""
        path = verified(folder, "nanodet_person.safetensors")
        return cls(open_engine(path, device), config or DetectorConfig())

    def detect(
        self, images: list[UInt8[np.ndarray, "_ _ 3"]]
    ) -> list[Float32[np.ndarray, "people 5"]]:
        """Boxes (x0, y0, x1, y1, confidence) of every picture (RGB), in its pixels, best first."""
        step = self.config.max_batch
        batches = [images[start : start + step] for start in range(0, len(images), step)]
        return [boxes for batch in batches for boxes in self._detect(batch)]

    def _detect(self, images: list[np.ndarray]) -> list[np.ndarray]:
        scales = [self.config.size_px / max(image.shape[:2]) for image in images]
        outputs = self.engine(_batch(images, scales))
        found = []
        for number, (image, scale) in enumerate(zip(images, scales, strict=True)):
            maps = [outputs[f"stride_{stride}"][number] for stride in STRIDES_PX]
            boxes = np.concatenate(
                [
                    decode(features, stride, self.config.min_confidence)
                    for features, stride in zip(maps, STRIDES_PX, strict=True)
                ]
            )
            boxes[:, :4] /= scale
            height, width = image.shape[:2]
            boxes[:, :4] = boxes[:, :4].clip(0, (width, height, width, height))
            found.append(suppress(boxes, self.config.max_iou))
        return found


def _batch(images: list[np.ndarray], scales: list[float]) -> np.ndarray:
    """Pictures scaled into the upper left corner of the network's common picture."""
    small = [_scaled(image, scale) for image, scale in zip(images, scales, strict=True)]
    height, width = (
        -(-max(image.shape[axis] for image in small) // MULTIPLE_PX) * MULTIPLE_PX
        for axis in (0, 1)
    )
    batch = np.zeros((len(small), 3, height, width), np.float32)
    for planes, image in zip(batch, small, strict=True):
        normalized = (image[..., ::-1] - MEAN) / STD
        planes[:, : image.shape[0], : image.shape[1]] = normalized.transpose(2, 0, 1)
    return batch


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    smaller = scale < 1
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )


def decode(
    features: Float32[np.ndarray, "45 rows columns"], stride_px: int, min_confidence: float
) -> Float32[np.ndarray, "people 5"]:
    """Boxes of the cells that see a person, in pixels of the network's picture.

    Args:
        features: the person's logit, then for left, top, right and bottom the logits of the
            distance from the cell's centre, in bins of one stride.
        stride_px: side of a cell.
        min_confidence: of the boxes to be kept.
    """
    confidence = expit(features[0])
    rows, columns = np.nonzero(confidence >= min_confidence)
    logits = features[1:, rows, columns].reshape(4, BINS, -1)
    distances = np.einsum("sbn,b->sn", softmax(logits, axis=1), np.arange(BINS)) * stride_px
    center = np.stack([columns, rows]).astype(np.float32) * stride_px + stride_px / 2
    boxes = [center - distances[:2], center + distances[2:], confidence[None, rows, columns]]
    return np.concatenate(boxes).T.astype(np.float32)


def suppress(
    boxes: Float32[np.ndarray, "people 5"], max_iou: float
) -> Float32[np.ndarray, "people 5"]:
    """Non-maximum suppression: of boxes that overlap the most confident stays; best first."""
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    kept = []
    while len(boxes):
        kept.append(boxes[0])
        boxes = boxes[1:][iou(boxes[0], boxes[1:]) <= max_iou]
    return np.stack(kept) if kept else EMPTY


def iou(
    box: Float32[np.ndarray, " 5"], others: Float32[np.ndarray, "people 5"]
) -> Float32[np.ndarray, " people"]:
    """Intersection over union of one box with others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    overlap = (high - low).clip(0).prod(axis=1)
    areas = (others[:, 2:4] - others[:, :2]).prod(axis=1) + (box[2:4] - box[:2]).prod()
    return overlap / np.maximum(areas - overlap, np.finfo(np.float32).tiny)
