"""Features of pictures: outputs of the frozen BlazePose for each, computed once and kept on disk.

`python -m hund_backend.training.parts.features PICTURES FOLDER` resumes where it stopped, and adds
pictures that have been generated since. Training pictures are used plain and mirrored: the network
is not equivariant to mirroring, so mirrored features are not those of the mirrored picture.
"""

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from safetensors import safe_open
from torch import Tensor

from ...body.skeleton import PART_MIRROR, PART_NAMES
from ...errors import BadInputError
from ...perception.blazepose import BlazePose
from ...perception.packed_part_maps import pack_part_maps, unpack_part_maps
from ...perception.part_head import SIZE, PartHeadInputs, part_head_inputs
from ...weights_file import WEIGHTS
from ..motion.motion_set import Split
from ..pictures.results import ResultFile, complete, result_files, write_results
from ..pictures.shards import PictureSet, picture_counts

PLAIN, MIRRORED = "plain", "mirrored"
VARIANTS = (PLAIN, MIRRORED)
STORED = ("decoder", "bottleneck", "trunk", "picture", "mask", "points", "parts")
MAX_DECODER = 24.0  # largest value of a decoder: a sum of four that end at 6


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Inputs of the part head for some pictures, and their true parts."""

    inputs: PartHeadInputs
    parts: Float32[Tensor, "pictures parts 64 64"]  # share of each cell; they sum to one


@runtime_checkable
class PictureSource(Protocol):
    """Pictures of people and their parts, as PictureSet."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> UInt8[np.ndarray, "256 256 3"]:
        """Return a picture (RGB)."""

    def labels(self, index: int) -> UInt8[np.ndarray, "256 256"]:
        """Return its parts, indices into PART_NAMES."""


def coverage(labels: UInt8[np.ndarray, "height width"]) -> Float32[np.ndarray, "parts 64 64"]:
    """Share of each of 64 x 64 cells that shows each part."""
    step = len(labels) // SIZE
    is_part = labels == np.arange(len(PART_NAMES), dtype=np.uint8)[:, None, None]
    cells = is_part.reshape(len(PART_NAMES), SIZE, step, SIZE, step)
    return cells.mean(axis=(2, 4), dtype=np.float32)


def quantize(decoder: Float32[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Quantize a decoder's values to bytes, finer for small values."""
    return (255 * np.sqrt(decoder.clip(0, MAX_DECODER) / MAX_DECODER)).round().astype(np.uint8)


def dequantize(quantized: UInt8[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """Invert `quantize`."""
    return (quantized.float() / 255).square() * MAX_DECODER


def feature_files(count: int, folder: Path, split: Split) -> list[ResultFile]:
    """List the files of all pictures of a split: those of training also mirrored."""
    return [
        file
        for variant in (VARIANTS if split == "train" else VARIANTS[:1])
        for file in result_files(count, folder, split, variant)
    ]


def extractor(folder: Path) -> Callable[[ResultFile], None]:
    """Return what writes files of features of a folder's pictures."""
    blazepose = BlazePose.open(WEIGHTS / "perception")
    pictures = cache(partial(PictureSet, folder))
    return lambda file: write_features(pictures(file.split), blazepose, file)


def write_features(pictures: PictureSource, blazepose: BlazePose, file: ResultFile) -> None:
    """Run BlazePose on the pictures of a file, and write it."""
    mirrored = file.variant == MIRRORED
    write_results(file, lambda indices: _features(pictures, blazepose, indices, mirrored))


def _features(
    pictures: PictureSource, blazepose: BlazePose, indices: range, mirrored: bool
) -> dict[str, np.ndarray]:
    """Features of some pictures, as they are stored."""
    images = np.stack([pictures.image(index) for index in indices])
    parts = pack_part_maps(np.stack([coverage(pictures.labels(index)) for index in indices]))
    if mirrored:
        images = np.ascontiguousarray(images[:, :, ::-1])
        truth = unpack_part_maps(parts)[:, list(PART_MIRROR), :, ::-1]
        parts = pack_part_maps(np.ascontiguousarray(truth))
    inputs = part_head_inputs(images, blazepose.predict(images, maps=True))
    return {
        "decoder": quantize(inputs.decoder.numpy()),
        "bottleneck": inputs.bottleneck.numpy().astype(np.float16),
        "trunk": inputs.trunk.numpy().astype(np.float16),
        "picture": (inputs.picture.numpy() * 255).round().astype(np.uint8),
        "mask": (inputs.mask.numpy() * 255).round().astype(np.uint8),
        "points": inputs.points.numpy(),
        "parts": parts,
    }


class FeatureSet:
    """Stored features of a split's pictures, read on demand."""

    def __init__(self, folder: Path, split: Split) -> None:
        """Open the files.

        Raises:
            BadInputError: there are none.
        """
        paths = sorted(
            p for variant in VARIANTS for p in folder.glob(f"{split}-*-{variant}.safetensors")
        )
        if not paths:
            raise BadInputError(f"{folder} has no features of the split '{split}': extract some.")
        self._files = [safe_open(path, "pt") for path in paths]
        counts = [file.get_slice("mask").get_shape()[0] for file in self._files]
        self._locations = [(f, row) for f, count in enumerate(counts) for row in range(count)]

    def __len__(self) -> int:
        return len(self._locations)

    def batch(self, indices: list[int]) -> Batch:
        """Return the features of some pictures."""
        rows = partial(self._rows, indices)
        inputs = PartHeadInputs(
            decoder=dequantize(rows("decoder")),
            bottleneck=rows("bottleneck").float(),
            trunk=rows("trunk").float(),
            picture=rows("picture").float() / 255,
            mask=rows("mask").float() / 255,
            points=rows("points"),
        )
        return Batch(
            inputs=inputs, parts=torch.from_numpy(unpack_part_maps(rows("parts").numpy()))
        )

    def _rows(self, indices: list[int], name: str) -> Tensor:
        rows = [self._locations[index] for index in indices]
        return torch.stack([self._files[file].get_slice(name)[row] for file, row in rows])


def main() -> None:
    """Extract features of all pictures of a folder, or resume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    parser.add_argument("folder", type=Path, help="where the features go")
    parser.add_argument("--processes", type=int, default=1, help="that share the work")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    files = [
        file
        for split, count in picture_counts(arguments.pictures).items()
        for file in feature_files(count, arguments.folder, split)
    ]
    complete(partial(extractor, arguments.pictures), files, STORED, arguments.processes)


if __name__ == "__main__":
    main()
