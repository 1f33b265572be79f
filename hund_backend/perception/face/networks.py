"""Face networks: landmarks of the face in a square crop, and blend shape coefficients of landmarks.

The networks and their decoding follow MediaPipe's face landmarker (Grishchenko et al., "Attention
Mesh: High-fidelity Face Mesh Prediction in Real-time", 2020, and the model cards "FaceMesh-V2" and
"Blendshape V2").
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.special import expit

from ..engine import Engine, batches_of, open_engine, planes_of
from .evidence import NUM_ARKIT, NUM_LANDMARKS
from .visibility import NUM_FEATURES

# The landmarks that the blend shape network reads, in ascending order.
# fmt: off
BLENDSHAPE_LANDMARKS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65,
    66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136,
    144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172,
    173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283,
    284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324,
    332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385,
    386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472,
    473, 474, 475, 476, 477,
)
# fmt: on


@dataclass(frozen=True, kw_only=True)
class FaceOutput:
    """Decoded output for crops; pixels are those of the crop, its corners at 0 and 256."""

    landmarks: Float32[np.ndarray, "crops 478 3"]  # z in px, away from the camera
    presence: Float32[np.ndarray, " crops"]  # probability of a face in the crop
    features: Float32[np.ndarray, "crops 512"]  # last values before the network's outputs


@runtime_checkable
class FaceReader(Protocol):
    """Networks that read faces, as FaceNetworks."""

    def predict(self, images: UInt8[np.ndarray, "crops 256 256 3"]) -> FaceOutput:
        """Predict the landmarks of the face in each crop."""

    def coefficients(
        self, landmarks: Float[np.ndarray, "faces 478 3"]
    ) -> Float32[np.ndarray, "faces 52"]:
        """Predict the coefficients 0…1 of the ARKit keys from landmarks."""


class FaceNetworks:
    """The networks of MediaPipe's face landmarker, on batches."""

    def __init__(self, landmark_engine: Engine, blendshape_engine: Engine) -> None:
        self.landmark_engine, self.blendshape_engine = landmark_engine, blendshape_engine

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> "FaceNetworks":
        """Load the networks.

        Args:
            folder: the folder of networks.
            device: "cpu", "cuda", "cuda:1" …

        Raises:
            BadInputError: a network is missing or damaged.
        """
        return cls(
            open_engine(folder, "face_landmarks", device),
            open_engine(folder, "face_blendshapes", device),
        )

    def predict(self, images: UInt8[np.ndarray, "crops 256 256 3"]) -> FaceOutput:
        """Predict the landmarks of the face in each crop.

        Args:
            images: square crops (RGB), the face upright and filling two thirds of the square.
        """
        outputs = [self._predict_batch(batch) for batch in batches_of(images)]
        return FaceOutput(
            landmarks=np.concatenate([output.landmarks for output in outputs]),
            presence=np.concatenate([output.presence for output in outputs]),
            features=np.concatenate([output.features for output in outputs]),
        )

    def _predict_batch(self, images: UInt8[np.ndarray, "crops 256 256 3"]) -> FaceOutput:
        planes = planes_of(images)
        planes /= 255
        raw = self.landmark_engine(planes, ("landmarks", "presence", "trunk"))
        return FaceOutput(
            landmarks=raw["landmarks"].reshape(-1, NUM_LANDMARKS, 3),
            presence=expit(raw["presence"].reshape(-1)),
            features=raw["trunk"].reshape(-1, NUM_FEATURES),
        )

    def coefficients(
        self, landmarks: Float[np.ndarray, "faces 478 3"]
    ) -> Float32[np.ndarray, "faces 52"]:
        """Predict the coefficients 0…1 of the ARKit keys from landmarks.

        Args:
            landmarks: x and y in px of the frame or of the crop; z is not read.
        """
        if not len(landmarks):
            return np.zeros((0, NUM_ARKIT), np.float32)
        points = landmarks[:, list(BLENDSHAPE_LANDMARKS), :2].astype(np.float32)
        row = np.ascontiguousarray(points.transpose(0, 2, 1)[:, :, None])
        raw = self.blendshape_engine(row, ("coefficients",))["coefficients"]
        # The network's first output is for a neutral face; tongueOut, the last key, is unknown.
        return np.pad(raw[:, 1:], ((0, 0), (0, 1)))
