"""Hand network: 21 points and 3D landmarks of the hand in a square crop.

MediaPipe Hands' landmark network (Zhang et al., "MediaPipe Hands: On-device Real-time Hand
Tracking", 2020). One network serves both hands: MediaPipe gives it left and right hands as they
are, and it says itself which one it sees.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from ..engine import Engine, batches_of, open_engine, planes_of
from .evidence import NUM_HAND_POINTS

HAND_CROP_PX = 224
OUTPUTS = ("landmarks", "presence", "handedness", "world_landmarks", "bottleneck")
NUM_HAND_FEATURES = 192  # channels of the bottleneck


@dataclass(frozen=True, kw_only=True)
class HandOutput:
    """Output for crops; pixels are those of the crop, its corners at 0 and 224."""

    keypoints: Float32[np.ndarray, "crops 21 2"]
    presence: Float32[np.ndarray, " crops"]  # probability of a hand in the crop
    right: Float32[np.ndarray, " crops"]  # probability that it is a right hand
    world_landmarks: Float32[np.ndarray, "crops 21 3"]
    """Metres from the center of the hand, in the axes of the crop: x right, y down, z away."""
    features: Float32[np.ndarray, "crops 192"]  # inner features, averaged over their cells


class HandNetwork:
    """The landmark network of MediaPipe Hands, on batches of crops."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> "HandNetwork":
        """Load the network.

        Args:
            folder: the folder of networks.
            device: "cpu", "cuda", "cuda:1" …

        Raises:
            BadInputError: the network is missing or damaged.
        """
        return cls(open_engine(folder, "hand_landmark", device))

    def predict(self, images: UInt8[np.ndarray, "crops 224 224 3"]) -> HandOutput:
        """Predict the hand in each crop.

        Args:
            images: square crops (RGB), the fingers up and the hand in the middle half.
        """
        raws = [
            self.engine(planes_of(batch) / np.float32(255), OUTPUTS)
            for batch in batches_of(images)
        ]
        raw = {name: np.concatenate([each[name] for each in raws]) for name in OUTPUTS}
        count = len(images)
        return HandOutput(
            keypoints=raw["landmarks"].reshape(count, NUM_HAND_POINTS, 3)[..., :2],
            presence=raw["presence"].reshape(count),
            right=raw["handedness"].reshape(count),
            world_landmarks=raw["world_landmarks"].reshape(count, NUM_HAND_POINTS, 3),
            features=raw["bottleneck"].mean(axis=(2, 3)),
        )
