"""Samples: outlines of synthetic pictures with their true betas.

`python -m hund_backend.training.builds.samples PICTURES DETECTIONS FOLDER` poses every picture as a
job does, compares its mask with the mean body, and resumes where it stopped. The masks are those of
the pictures' labels; for the first pictures of each split also those of BlazePose, which takes
longer.
"""

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor

from ...body.model import BodyModel
from ...descent.build.outline import Outlines, outlines_of
from ...descent.learned.hund import Hund
from ...descent.learned.inputs import NetworkInputs
from ...descent.reduced_body import ReducedBody
from ...perception.blazepose import BlazePose
from ...perception.crop_detector import downsampled_mask
from ...perception.crops import camera_from_crop
from ...perception.evidence import Evidence
from ...prior.pose_flow import PoseFlow
from ...weights_file import WEIGHTS
from ..hund.detections import Detections
from ..motion.motion_set import Split
from ..pictures.results import ResultFile, complete, result_files, stored_files, write_results
from ..pictures.shards import PictureSet, picture_counts

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
        paths = stored_files(folder, split, "samples", masks)
        samples = [cls.from_arrays(load_file(path)) for path in paths]
        return cls(
            outlines=Outlines.concatenated([some.outlines for some in samples]),
            betas=torch.cat([some.betas for some in samples]),
        )

    @classmethod
    def from_arrays(cls, arrays: dict[str, Tensor]) -> "BuildSamples":
        """Samples of arrays by the names of STORED."""
        outlines = {field.name: arrays[field.name] for field in fields(Outlines)}
        return cls(outlines=Outlines(**outlines), betas=arrays["betas"])

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays of the samples, by the names of STORED."""
        outlines = {f.name: getattr(self.outlines, f.name).numpy() for f in fields(Outlines)}
        return outlines | {"betas": self.betas.numpy()}

    def __len__(self) -> int:
        return len(self.betas)

    def select(self, samples: Tensor) -> "BuildSamples":
        """Return some of the samples."""
        return BuildSamples(outlines=self.outlines.select(samples), betas=self.betas[samples])


STORED = (*(field.name for field in fields(Outlines)), "betas")


class Outliner:
    """Outlines of pictures, posed by the learned descent."""

    def __init__(self) -> None:
        body, prior = BodyModel.load("keypoints"), PoseFlow.load()
        self.hund = Hund.load(body, prior)
        self.skin, self.reduced_body = BodyModel.load("low"), ReducedBody.from_body(body)

    @torch.no_grad()
    def __call__(
        self, detections: Detections, rows: range, masks: UInt8[np.ndarray, "pictures 64 64"]
    ) -> BuildSamples:
        """Return the samples of some pictures.

        Each picture is a track of its own for the landmarks' scale, as in a job.
        """
        evidence = [
            evidence_of(detections, row, mask[None]) for row, mask in zip(rows, masks, strict=True)
        ]
        outlines = []
        for each in evidence:
            inputs = NetworkInputs.from_evidence(each, self.hund.decoder.bones)
            states = self.hund.descend(inputs).states
            rotations = torch.cat((states.global_orient[:, -1:], states.pose[:, -1]), dim=1)
            reduced = rotations[:, list(self.reduced_body.joint_indices)]
            outlines.append(outlines_of(each, reduced, self.skin, self.reduced_body))
        betas = torch.from_numpy(detections.betas[rows.start : rows.stop])
        return BuildSamples(outlines=Outlines.concatenated(outlines), betas=betas)


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


def sampler(pictures: Path, detections: Path) -> Callable[[ResultFile], None]:
    """Return what writes files of samples of a folder's pictures, given their detections."""
    outliner, network = Outliner(), BlazePose.open(WEIGHTS / "perception")
    pictures_of = cache(partial(PictureSet, pictures))

    def masks(file: ResultFile, indices: range) -> UInt8[np.ndarray, "pictures 64 64"]:
        some = pictures_of(file.split)
        if file.variant == EXACT:
            full = [(some.labels(i) > 0).astype(np.float32) for i in indices]
        else:
            full = list(network.predict(np.stack([some.image(i) for i in indices])).masks)
        return np.stack([downsampled_mask(mask) for mask in full])

    def write(file: ResultFile) -> None:
        detected = Detections.read_files([replace(file, folder=detections, variant="").path])
        first = file.indices.start

        def compute(indices: range) -> dict[str, np.ndarray]:
            rows = range(indices.start - first, indices.stop - first)
            return outliner(detected, rows, masks(file, indices)).arrays()

        write_results(file, compute)

    return write


def sample_files(counts: dict[Split, int], folder: Path, num_found: int) -> list[ResultFile]:
    """List the files of all samples: of each split's first pictures also those with found masks."""
    return [
        file
        for split, count in counts.items()
        for masks, number in ((FOUND, min(count, num_found)), (EXACT, count))
        for file in result_files(number, folder, split, masks)
    ]


def main() -> None:
    """Process all pictures, which have detections, or resume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    parser.add_argument("detections", type=Path, help="folder that detections.py fills")
    parser.add_argument("folder", type=Path, help="where the samples go")
    parser.add_argument("--found", type=int, default=20000, help="pictures with BlazePose's masks")
    parser.add_argument("--processes", type=int, default=1, help="that share the work")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    files = sample_files(picture_counts(arguments.pictures), arguments.folder, arguments.found)
    make_sampler = partial(sampler, arguments.pictures, arguments.detections)
    complete(make_sampler, files, STORED, arguments.processes)


if __name__ == "__main__":
    main()
