"""MoveNet Thunder: 17 keypoints of the person in the middle of a square crop.

A CenterNet (Zhou et al., "Objects as Points", 2019) that regresses the keypoints of the person
whose center lies nearest to the middle, and reads each from a heat map near its regressed place.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.special import expit

from .blazepose import CROP_SIZE_PX
from .coco_pose import NUM_COCO_KEYPOINTS
from .engine import Engine, batches_of, open_engine, planes_of

OUTPUTS = ("center", "heatmaps", "keypoints", "offsets")
MAP_SIZE = 64  # cells along a side of the outputs
STRIDE_PX = CROP_SIZE_PX // MAP_SIZE
NEARNESS_CELLS = 1.8  # added to a distance by which a heat map is divided


@dataclass(frozen=True, kw_only=True)
class MoveNetOutput:
    """Decoded output for crops; pixels are those of the crop, its corners at 0 and 256."""

    keypoints: Float32[np.ndarray, "crops 17 2"]  # COCO's
    scores: Float32[np.ndarray, "crops 17"]  # of the heat maps at the keypoints, 0…1


class MoveNet:
    """MoveNet SinglePose Thunder, on batches of crops."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> "MoveNet":
        """Load the network.

        Args:
            folder: the folder of networks.
            device: "cpu", "cuda", "cuda:1" …

        Raises:
            BadInputError: the network is missing or damaged.
        """
        return cls(open_engine(folder, "movenet_thunder", device))

    def predict(self, images: UInt8[np.ndarray, "crops 256 256 3"]) -> MoveNetOutput:
        """Predict the keypoints of crops (RGB)."""
        batches = [self._predict_batch(batch) for batch in batches_of(images)]
        return MoveNetOutput(
            keypoints=np.concatenate([batch.keypoints for batch in batches]),
            scores=np.concatenate([batch.scores for batch in batches]),
        )

    def _predict_batch(self, images: UInt8[np.ndarray, "crops 256 256 3"]) -> MoveNetOutput:
        planes = planes_of(images)
        return decode_heads(self.engine(planes / np.float32(127.5) - 1, OUTPUTS))


def decode_heads(heads: dict[str, np.ndarray]) -> MoveNetOutput:
    """Decode the network's outputs.

    Args:
        heads: crops x channels x rows x columns, in cells: logit of a person's center; logits of
            the keypoints; offsets of the keypoints from the center's cell; offsets of each
            keypoint from the cell of its heat map. Offsets are y first.
    """
    cells = np.indices((MAP_SIZE, MAP_SIZE), np.float32)  # row and column of each cell
    crop = np.arange(len(heads["center"]))[:, None]
    middle = np.full((1, 1, 2), MAP_SIZE / 2, np.float32)
    row, column = _best_cell(expit(heads["center"]), middle, cells)
    regressed = heads["keypoints"][crop, :, row, column].reshape(-1, NUM_COCO_KEYPOINTS, 2)
    expected = np.stack((row, column), axis=-1).astype(np.float32) + regressed
    heatmaps, keypoint = expit(heads["heatmaps"]), np.arange(NUM_COCO_KEYPOINTS)[None]
    row, column = _best_cell(heatmaps, expected, cells)
    offsets = heads["offsets"].reshape(-1, NUM_COCO_KEYPOINTS, 2, MAP_SIZE, MAP_SIZE)
    places = np.stack((column, row), axis=-1) + offsets[crop, keypoint, :, row, column][..., ::-1]
    return MoveNetOutput(
        keypoints=(places * STRIDE_PX).astype(np.float32),
        scores=heatmaps[crop, keypoint, row, column],
    )


def _best_cell(
    maps: Float32[np.ndarray, "crops maps 64 64"],
    expected: Float32[np.ndarray, "#crops maps 2"],
    cells: Float32[np.ndarray, "2 64 64"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column of each map's best cell, weighted by its nearness to a place."""
    vertical, horizontal = (cells[axis] - expected[..., axis, None, None] for axis in range(2))
    nearness = maps / (np.hypot(vertical, horizontal) + np.float32(NEARNESS_CELLS))
    best = nearness.reshape(*nearness.shape[:2], MAP_SIZE**2).argmax(axis=-1)
    return best // MAP_SIZE, best % MAP_SIZE
