"""Hand detections: what the real hand detector says of close-ups, with the truth, kept on disk.

`python -m hund_backend.training.hands.detections HANDS MOCAP --scenery FOLDER FOLDER` renders,
detects and resumes where it stopped; pictures are not kept, but for a sheet of the first.
"""

import argparse
import logging
import time
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Int32, UInt8
from safetensors.numpy import load_file, save

from ...atomic_write import write_file
from ...body.hand import HandModel
from ...errors import BadInputError
from ...perception.hands.crops import HAND_LENGTH
from ...perception.hands.detector import HandDetector, HandDetectorConfig, HandRequest
from ...perception.hands.network import HandNetwork
from ...weights_file import WEIGHTS
from ..motion.motion_set import Split, motion_set
from ..pictures.body_template import BodyTemplate
from ..pictures.generate import load_assets
from ..priors.hand_captures import hand_captures
from ..priors.train_hand_flow import HandPoseSampler, HandRecipe
from .close_ups import CloseUp, sample_close_up

logger = logging.getLogger(__name__)

RECIPE = 1  # version: increased when the same seed gives other pictures
PER_FILE = 100  # pictures
SPLITS: tuple[Split, ...] = ("held_out", "train")
BODY_NOISE = 0.025  # metres: of the body's points, of which the crops come
LENGTH_NOISE = 0.1  # of the hand's length as the body tells it, logarithm
SHEET = 40  # pictures
SHEET_COLUMNS = 10


@dataclass(frozen=True, kw_only=True)
class HandDetections:
    """Detections of hands, one a picture, and the truth; px of the picture, metres in its camera."""

    keypoints: Float32[np.ndarray, "hands 21 3"]  # x, y, confidence
    landmarks: Float32[np.ndarray, "hands 21 3"]  # axes of the camera
    crop: Float32[np.ndarray, "hands 4"]
    presence: Float32[np.ndarray, " hands"]
    right: Float32[np.ndarray, " hands"]  # the network's probability of a right hand
    confidence: Float32[np.ndarray, " hands"]  # of the hand
    length_px: Float32[np.ndarray, " hands"]  # of the hand in the frame that was filmed
    side: Int32[np.ndarray, " hands"]  # true
    intrinsics: Float32[np.ndarray, "hands 3 3"]
    orientation: Float32[np.ndarray, "hands 3 3"]  # true; of the hand joint: body → camera
    wrist: Float32[np.ndarray, "hands 3"]  # true
    fingers: Float32[np.ndarray, "hands 15 3 3"]  # true; in their parents' frames
    betas: Float32[np.ndarray, "hands 16"]  # true

    @classmethod
    def read(cls, folder: Path, split: Split) -> "HandDetections":
        """Read all detections of a split.

        Raises:
            BadInputError: there are none.
        """
        paths = sorted(folder.glob(f"{split}-*.safetensors"))
        if not paths:
            raise BadInputError(f"{folder} has no detections of the split '{split}': make some.")
        files = [load_file(path) for path in paths]
        return cls(**{f.name: np.concatenate([one[f.name] for one in files]) for f in fields(cls)})

    def __len__(self) -> int:
        return len(self.side)

    @property
    def found(self) -> np.ndarray:
        """Whether the detector would keep each hand."""
        config = HandDetectorConfig()
        return (self.confidence >= config.min_confidence) & (self.presence >= config.min_presence)


def detect(
    close_up: CloseUp, detector: HandDetector, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the detector's best try at a hand, whatever its confidence, and the truth."""
    points = close_up.keypoints + rng.normal(0, BODY_NOISE, close_up.keypoints.shape)
    rays = points @ close_up.intrinsics.T
    pixels = rays[:, :2] / rays[:, 2:].clip(0.05)
    length = close_up.intrinsics[0, 0] * HAND_LENGTH / close_up.wrist[2]
    length = length * np.exp(rng.normal(0, LENGTH_NOISE))
    request = HandRequest(points=pixels, hand_length=float(length))
    (hands,) = detector.detect(close_up.image, [request], close_up.intrinsics)
    hand = hands[close_up.side]
    size = len(close_up.image)
    if hand is None:
        keypoints, landmarks = np.zeros((21, 3)), np.zeros((21, 3))
        crop, presence, right, confidence = np.array([size / 2, size / 2, size, 0]), 0.0, 0.5, 0.0
    else:
        keypoints = np.concatenate((hand.points, hand.point_confidence[:, None]), axis=1)
        landmarks, crop = hand.world_landmarks, hand.crop
        presence, right, confidence = hand.presence, hand.right, hand.confidence
    return {
        "keypoints": keypoints,
        "landmarks": landmarks,
        "crop": crop,
        "presence": np.array(presence),
        "right": np.array(right),
        "confidence": np.array(confidence),
        "length_px": np.array(close_up.length_px),
        "side": np.array(close_up.side, np.int32),
        "intrinsics": close_up.intrinsics,
        "orientation": close_up.orientation,
        "wrist": close_up.wrist,
        "fingers": close_up.fingers,
        "betas": close_up.betas,
    }


def draw(close_up: CloseUp, found: dict[str, np.ndarray]) -> UInt8[np.ndarray, "256 256 3"]:
    """Return the picture with the detected points."""
    image = close_up.image.copy()
    for x, y, confidence in found["keypoints"]:
        color = (int(255 * (1 - confidence)), int(255 * confidence), 0)
        cv2.circle(image, (round(float(x)), round(float(y))), 2, color, -1, cv2.LINE_AA)
    return image


def main() -> None:
    """Render and detect, or resume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hands", type=Path, help="folder of recorded hands")
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("folder", type=Path, help="where the detections go")
    parser.add_argument("--scenery", type=Path, required=True, help="that fetch_scenery fills")
    parser.add_argument("--captures", type=Path, help="poses taken over before, or to be kept")
    parser.add_argument("--count", type=int, default=5000, help="pictures for training")
    parser.add_argument("--held-out", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    captures = hand_captures(
        arguments.hands, arguments.mocap, HandModel.load(), arguments.captures
    )
    anything = HandDetectorConfig(min_length=1, min_confidence=0.0, min_presence=0.0)
    detector = HandDetector(HandNetwork.open(WEIGHTS / "perception"), anything)
    motions, template = motion_set(arguments.mocap), BodyTemplate()
    for number, split in enumerate(SPLITS):
        count = arguments.held_out if split == "held_out" else arguments.count
        assets = load_assets(split, motions, arguments.scenery, template)
        poses = HandPoseSampler(captures, HandRecipe(), held_out=split == "held_out")
        for first in range(0, count, PER_FILE):
            path = arguments.folder / f"{split}-{first // PER_FILE:05d}.safetensors"
            if path.exists():
                continue
            rows, tiles, started = [], [], time.perf_counter()
            for index in range(first, min(first + PER_FILE, count)):
                rng = np.random.default_rng([arguments.seed, RECIPE, number, index])
                close_up = sample_close_up(assets, poses, rng)
                rows.append(detect(close_up, detector, rng))
                if index < SHEET:
                    tiles.append(draw(close_up, rows[-1]))
            arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
            for name, values in arrays.items():
                kind = np.int32 if name == "side" else np.float32
                arrays[name] = np.ascontiguousarray(values, kind)
            write_file(path, save(arrays))
            if len(tiles) == SHEET:
                lines = [tiles[i : i + SHEET_COLUMNS] for i in range(0, SHEET, SHEET_COLUMNS)]
                sheet = np.vstack([np.hstack(line) for line in lines])
                _, png = cv2.imencode(".png", sheet[..., ::-1])
                write_file(arguments.folder / f"{split}.png", png.tobytes())
            each = (time.perf_counter() - started) / len(rows)
            logger.info("%s: %d pictures, %.2f s each", path.name, len(rows), each)


if __name__ == "__main__":
    main()
