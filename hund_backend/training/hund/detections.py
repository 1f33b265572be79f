"""Detections: outputs of the frozen networks on pictures with known people, kept on disk.

`python -m hund_backend.training.hund.detections PICTURES FOLDER` processes every picture once and
resumes where it stopped. Detections with their truth give the detector's errors.
"""

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32, UInt8
from safetensors.numpy import load_file

from ...errors import BadInputError
from ...perception.blazepose import BlazePoseOutput
from ...perception.confidence import keypoint_confidence
from ...perception.crop_detector import LIMB_JOINTS, NUM_KEYPOINTS, LandmarkNetwork
from ...perception.crops import image_from_crop, transform_points
from ...perception.part_head import BlazePoseWithParts
from ...weights_file import WEIGHTS
from ..motion.motion_set import Split
from ..pictures.results import ResultFile, complete, result_files, stored_files, write_results
from ..pictures.scene import Picture
from ..pictures.shards import PictureSet, picture_counts


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Detections in pictures, and the truth; frame and camera frame of each picture."""

    keypoints: Float32[np.ndarray, "pictures 33 2"]  # px of the frame
    confidence: Float32[np.ndarray, "pictures 33"]
    landmarks: Float32[np.ndarray, "pictures 33 3"]  # metres from the mid-hip, axes of the crop
    features: Float16[np.ndarray, "pictures features"]  # pooled BlazePose features
    parts: UInt8[np.ndarray, "pictures 3 64 64"]  # of the part head, packed
    rotations: Float32[np.ndarray, "pictures 63 3 3"]  # true; parent-relative, pelvis → camera
    root_translation: Float32[np.ndarray, "pictures 3"]
    betas: Float32[np.ndarray, "pictures 16"]
    intrinsics: Float32[np.ndarray, "pictures 3 3"]  # of the frame
    crop: Float32[np.ndarray, "pictures 4"]

    @classmethod
    def read(cls, folder: Path, split: Split) -> "Detections":
        """Read all detections of a split.

        Raises:
            BadInputError: there are none, or some are of another version.
        """
        return cls.read_files(stored_files(folder, split, "detections"))

    @classmethod
    def read_files(cls, paths: list[Path]) -> "Detections":
        """Read the detections of some files.

        Raises:
            BadInputError: one is missing, or of another version.
        """
        files = []
        for path in paths:
            if not path.exists():
                raise BadInputError(f"{path} with detections is missing: make them first.")
            files.append(load_file(path))
            if files[-1].keys() != set(STORED):
                raise BadInputError(f"{path} is of an older version: make the detections again.")
        return cls(**{name: np.concatenate([file[name] for file in files]) for name in STORED})

    def __len__(self) -> int:
        return len(self.keypoints)


STORED = tuple(field.name for field in fields(Detections))


def detector(folder: Path) -> Callable[[ResultFile], None]:
    """Return what writes files of detections of a folder's pictures."""
    network = BlazePoseWithParts.open(WEIGHTS / "perception")
    pictures_of = cache(partial(PictureSet, folder))

    def write(file: ResultFile) -> None:
        pictures = pictures_of(file.split)
        write_results(file, lambda indices: _detect_batch([pictures[i] for i in indices], network))

    return write


def _detect_batch(pictures: list[Picture], network: LandmarkNetwork) -> dict[str, np.ndarray]:
    """Detections of some pictures, as they are stored."""
    output = network.predict(np.stack([picture.image for picture in pictures]))
    crops = np.stack([picture.crop for picture in pictures]).astype(float)
    arrays = {
        "keypoints": transform_points(
            output.keypoints[:, :NUM_KEYPOINTS].astype(float), image_from_crop(crops)
        ),
        "confidence": _confidence(output),
        "landmarks": output.world_landmarks[:, :NUM_KEYPOINTS],
        "crop": crops,
    }
    for name in ("rotations", "root_translation", "betas", "intrinsics"):
        arrays[name] = np.stack([getattr(picture, name) for picture in pictures])
    arrays = {name: np.ascontiguousarray(values, np.float32) for name, values in arrays.items()}
    return arrays | {"features": output.features.astype(np.float16), "parts": output.parts}


def _confidence(output: BlazePoseOutput) -> np.ndarray:
    quality = output.peaks[:, LIMB_JOINTS].mean(axis=1)
    return keypoint_confidence(output.peaks, output.visibility, quality)[:, :NUM_KEYPOINTS]


def main() -> None:
    """Process all pictures of a folder, or resume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    parser.add_argument("folder", type=Path, help="where the detections go")
    parser.add_argument("--processes", type=int, default=1, help="that share the work")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    files = [
        file
        for split, count in picture_counts(arguments.pictures).items()
        for file in result_files(count, arguments.folder, split)
    ]
    complete(partial(detector, arguments.pictures), files, STORED, arguments.processes)


if __name__ == "__main__":
    main()
