"""Samples: outlines of synthetic pictures with their true betas.

`python -m hund_backend.training.builds.samples PICTURES DETECTIONS FOLDER` poses every picture as a
job does, compares its mask with the mean body, and resumes where it stopped. The masks are those of
the pictures' labels; for the first files of each split also those of BlazePose, which takes longer.
"""

import argparse
import logging
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file, save
from torch import Tensor

from ...atomic_write import write_file
from ...body.model import BodyModel
from ...descent.build.outline import Outlines, outlines_of
from ...descent.learned.hund import Hund
from ...descent.learned.inputs import NetworkInputs
from ...descent.reduced_body import ReducedBody
from ...errors import BadInputError
from ...perception.blazepose import BlazePose
from ...perception.crop_detector import downsampled_mask
from ...perception.crops import camera_from_crop
from ...perception.evidence import Evidence
from ...prior.pose_flow import PoseFlow
from ...weights_file import WEIGHTS
from ..hund.detections import Detections
from ..motion.motion_set import Split
from ..pictures.results import BATCH, PER_FILE
from ..pictures.shards import PictureSet

logger = logging.getLogger(__name__)

FOUND, EXACT = "found", "exact"  # masks of BlazePose, and of the labels


@dataclass(frozen=True, kw_only=True)
class BuildSamples:
    """Outlines and the true betas behind them."""

    outlines: Outlines
    betas: Float[Tensor, "samples 16"]

    @classmethod
    def read(cls, folder: Path, split: Split, masks: str) -> "BuildSamples":
        """Read the samples of a split with one kind of masks.

        Raises:
            BadInputError: there are none.
        """
        outlines, betas = [], []
        for path in sorted(folder.glob(f"{split}-*.safetensors")):
            tensors = load_file(path)
            if f"{masks}.ratios" in tensors:
                names = [field.name for field in fields(Outlines)]
                outlines.append(Outlines(**{n: tensors[f"{masks}.{n}"] for n in names}))
                betas.append(tensors["betas"])
        if not outlines:
            raise BadInputError(f"{folder} has no samples of the split '{split}': make some.")
        return cls(outlines=Outlines.concatenated(outlines), betas=torch.cat(betas))

    def __len__(self) -> int:
        return len(self.betas)

    def select(self, samples: Tensor) -> "BuildSamples":
        """Return some of the samples."""
        return BuildSamples(outlines=self.outlines.select(samples), betas=self.betas[samples])


class Outliner:
    """Outlines of pictures, posed by the learned descent."""

    def __init__(self) -> None:
        body, prior = BodyModel.load("keypoints"), PoseFlow.load()
        self.hund = Hund.load(body, prior)
        self.skin, self.reduced_body = BodyModel.load("low"), ReducedBody.from_body(body)

    @torch.no_grad()
    def __call__(
        self, detections: Detections, rows: slice, masks: UInt8[np.ndarray, "pictures 64 64"]
    ) -> Outlines:
        """Return the outlines of some pictures.

        Each picture is a track of its own for the landmarks' scale, as in a job.
        """
        evidence = [
            evidence_of(detections, row, mask[None])
            for row, mask in zip(range(*rows.indices(len(detections))), masks, strict=True)
        ]
        outlines = []
        for each in evidence:
            inputs = NetworkInputs.from_evidence(each, self.hund.decoder.bones)
            states = self.hund.descend(inputs).states
            rotations = torch.cat((states.global_orient[:, -1:], states.pose[:, -1]), dim=1)
            reduced = rotations[:, list(self.reduced_body.joint_indices)]
            outlines.append(outlines_of(each, reduced, self.skin, self.reduced_body))
        return Outlines.concatenated(outlines)


def evidence_of(
    detections: Detections, index: int, mask: UInt8[np.ndarray, "1 64 64"]
) -> Evidence:
    """Return the evidence of one picture, in standard quality."""
    row = slice(index, index + 1)
    crops = detections.crop[row].astype(float)
    intrinsics = detections.intrinsics[row].astype(float)
    keypoints = (detections.keypoints[row], detections.confidence[row, :, None])
    return Evidence(
        track_id=0,
        frames=np.arange(1),
        observed=np.ones(1, dtype=bool),
        keypoints=np.concatenate(keypoints, axis=-1).astype(float),
        world_landmarks=detections.landmarks[row].astype(float)
        @ camera_from_crop(crops[0], intrinsics[0]).T,
        crops=crops,
        intrinsics=intrinsics,
        masks=mask,
        features=detections.features[row].astype(np.float32),
    )


def save_samples(
    path: Path, outlines: dict[str, Outlines], betas: Float[Tensor, "samples 16"]
) -> None:
    """Write outlines by kind of mask, and the true betas behind them."""
    tensors = {"betas": betas}
    for kind, each in outlines.items():
        tensors |= {f"{kind}.{f.name}": getattr(each, f.name).contiguous() for f in fields(each)}
    write_file(path, save(tensors))


def write_samples(
    pictures: PictureSet, detections: Detections, folder: Path, split: Split, found_files: int
) -> None:
    """Write the samples of a split that are missing in a folder.

    Args:
        pictures: of the split.
        detections: in its first pictures.
        folder: where the samples go.
        split: its name.
        found_files: number of files with masks of BlazePose, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outliner, network = Outliner(), BlazePose.open(WEIGHTS / "perception")
    for number, first in enumerate(range(0, len(detections), PER_FILE)):
        path = folder / f"{split}-{number:05d}.safetensors"
        if path.exists():
            continue
        last = min(first + PER_FILE, len(detections))
        kinds: dict[str, list[Outlines]] = {EXACT: []}
        for start in range(first, last, BATCH):
            rows = slice(start, min(start + BATCH, last))
            indices = range(rows.start, rows.stop)
            exact = [(pictures.labels(i) > 0).astype(np.float32) for i in indices]
            masks = {EXACT: np.stack([downsampled_mask(mask) for mask in exact])}
            if number < found_files:
                found = network.predict(np.stack([pictures.image(i) for i in indices])).masks
                masks[FOUND] = np.stack([downsampled_mask(mask) for mask in found])
            for kind, values in masks.items():
                kinds.setdefault(kind, []).append(outliner(detections, rows, values))
        outlines = {kind: Outlines.concatenated(batches) for kind, batches in kinds.items()}
        save_samples(path, outlines, torch.from_numpy(detections.betas[first:last]))
        logger.info("%s: %d pictures", path.name, last - first)


def main() -> None:
    """Process all pictures that have detections, or resume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    parser.add_argument("detections", type=Path, help="folder that detections.py fills")
    parser.add_argument("folder", type=Path, help="where the samples go")
    parser.add_argument("--found-files", type=int, default=12, help="with BlazePose's masks")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    for split in get_args(Split):
        write_samples(
            PictureSet(arguments.pictures, split),
            Detections.read(arguments.detections, split),
            arguments.folder,
            split,
            arguments.found_files,
        )


if __name__ == "__main__":
    main()
