"""Hand detections: what the real hand detector says of close-ups, with the truth, kept on disk.

`python -m hund_backend.training.hands.detections HANDS MOCAP --scenery FOLDER FOLDER` renders,
detects and resumes where it stopped; pictures are not kept, but for a sheet of the first.
"""

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, Int32, UInt8
from safetensors.numpy import load_file

from ...atomic_write import write_file
from ...body.hand import HandModel
from ...perception.hands.crops import HAND_LENGTH
from ...perception.hands.detector import HandDetector, HandDetectorConfig, HandRequest
from ...perception.hands.network import HandNetwork
from ...weights_file import WEIGHTS
from ..motion.motion_set import Split, motion_set
from ..pictures.body_template import BodyTemplate
from ..pictures.generate import load_assets
from ..pictures.results import ResultFile, complete, result_files, stored_files, write_results
from ..pictures.scene import PictureAssets
from ..priors.hand_captures import HandCaptures, hand_captures
from ..priors.train_hand_flow import HandPoseSampler, HandRecipe
from .close_ups import CloseUp, sample_close_up

RECIPE = 1  # version: increased when the same seed gives other pictures
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
        files = [load_file(path) for path in stored_files(folder, split, "detections")]
        return cls(**{f.name: np.concatenate([one[f.name] for one in files]) for f in fields(cls)})

    def __len__(self) -> int:
        return len(self.side)

    @property
    def found(self) -> np.ndarray:
        """Whether the detector would keep each hand."""
        config = HandDetectorConfig()
        return (self.confidence >= config.min_confidence) & (self.presence >= config.min_presence)


STORED = tuple(field.name for field in fields(HandDetections))


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


@dataclass(frozen=True, kw_only=True)
class CloseUpSource:
    """What all close-ups are made from."""

    captures: HandCaptures
    mocap: Path  # folder of <pack>_30fps.npz
    scenery: Path  # that fetch_scenery fills
    seed: int

    def sampler(self) -> Callable[[Split, int], tuple[CloseUp, np.random.Generator]]:
        """Return what makes a split's close-up of a number, and gives its random numbers' rest."""
        motions, template = motion_set(self.mocap), BodyTemplate()

        @cache
        def assets(split: Split) -> tuple[PictureAssets, HandPoseSampler]:
            poses = HandPoseSampler(self.captures, HandRecipe(), held_out=split == "held_out")
            return load_assets(split, motions, self.scenery, template), poses

        def sample(split: Split, index: int) -> tuple[CloseUp, np.random.Generator]:
            rng = np.random.default_rng([self.seed, RECIPE, SPLITS.index(split), index])
            return sample_close_up(*assets(split), rng), rng

        return sample

    def writer(self) -> Callable[[ResultFile], None]:
        """Return what writes files of detections."""
        anything = HandDetectorConfig(min_length=1, min_confidence=0.0, min_presence=0.0)
        detector = HandDetector(HandNetwork.open(WEIGHTS / "perception"), anything)
        sample = self.sampler()

        def write(file: ResultFile) -> None:
            def compute(indices: range) -> dict[str, np.ndarray]:
                rows = []
                for index in indices:
                    close_up, rng = sample(file.split, index)
                    rows.append(detect(close_up, detector, rng))
                arrays = {name: np.stack([row[name] for row in rows]) for name in STORED}
                return {
                    name: np.ascontiguousarray(values, np.int32 if name == "side" else np.float32)
                    for name, values in arrays.items()
                }

            write_results(file, compute)

        return write


def write_sheets(source: CloseUpSource, folder: Path, splits: list[Split]) -> None:
    """Write a sheet of each split's first close-ups with the detected points."""
    sample = source.sampler()
    for split in splits:
        keypoints = HandDetections.read(folder, split).keypoints[:SHEET]
        tiles = [draw(sample(split, index)[0].image, hand) for index, hand in enumerate(keypoints)]
        write_file(sheet_path(folder, split), _sheet(tiles))


def sheet_path(folder: Path, split: Split) -> Path:
    """Path of a split's sheet."""
    return folder / f"{split}.png"


def _sheet(tiles: list[UInt8[np.ndarray, "256 256 3"]]) -> bytes:
    """Encode pictures in rows of SHEET_COLUMNS as PNG."""
    tiles = tiles + [np.zeros_like(tiles[0])] * (-len(tiles) % SHEET_COLUMNS)
    lines = [tiles[i : i + SHEET_COLUMNS] for i in range(0, len(tiles), SHEET_COLUMNS)]
    _, png = cv2.imencode(".png", np.vstack([np.hstack(line) for line in lines])[..., ::-1])
    return png.tobytes()


def draw(
    image: UInt8[np.ndarray, "256 256 3"], keypoints: Float32[np.ndarray, "21 3"]
) -> UInt8[np.ndarray, "256 256 3"]:
    """Return a picture with the points drawn over it, the more green the more confident."""
    image = image.copy()
    for x, y, confidence in keypoints:
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
    parser.add_argument("--processes", type=int, default=1, help="that share the work")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    captures = hand_captures(
        arguments.hands, arguments.mocap, HandModel.load(), arguments.captures
    )
    source = CloseUpSource(
        captures=captures,
        mocap=arguments.mocap,
        scenery=arguments.scenery,
        seed=arguments.seed,
    )
    counts: dict[Split, int] = {"held_out": arguments.held_out, "train": arguments.count}
    files = [
        file for split in SPLITS for file in result_files(counts[split], arguments.folder, split)
    ]
    complete(source.writer, files, STORED, arguments.processes)
    missing = [s for s in SPLITS if counts[s] and not sheet_path(arguments.folder, s).exists()]
    if missing:
        write_sheets(source, arguments.folder, missing)


if __name__ == "__main__":
    main()
