"""COCO detector: one person's 17 keypoints in the frame, by the second keypoint network."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from .crops import extract_crops, image_from_crop, transform_points
from .movenet import MoveNetOutput


@runtime_checkable
class CocoNetwork(Protocol):
    """A network for COCO's keypoints, as MoveNet."""

    def predict(self, images: UInt8[np.ndarray, "crops 256 256 3"]) -> MoveNetOutput:
        """Predict the keypoints of square crops (RGB)."""


@dataclass(frozen=True, kw_only=True)
class CocoPoses:
    """Keypoints of one person from several crops of a frame."""

    keypoints: Float[np.ndarray, "crops 17 2"]  # px of the frame
    scores: Float[np.ndarray, "crops 17"]  # of the network, 0…1


class CocoDetector:
    """Detector of COCO's keypoints in crops of one frame."""

    def __init__(self, image: UInt8[np.ndarray, "height width 3"], network: CocoNetwork) -> None:
        self.image, self.network = image, network

    def __call__(self, crops: Float[np.ndarray, "crops 4"]) -> CocoPoses:
        """Detect the person in the middle of each crop; the crops form one batch."""
        output = self.network.predict(extract_crops(self.image, crops))
        return CocoPoses(
            keypoints=transform_points(output.keypoints.astype(float), image_from_crop(crops)),
            scores=output.scores.astype(float),
        )
