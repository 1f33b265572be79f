"""Features of pictures: what the frozen eyes say of each, kept on disk so that they look once.

`python -m hund_backend.training.parts.features PICTURES FOLDER` goes on where it was, and takes up
pictures that have been made since. Pictures for training are shown plain and mirrored: the network
is no mirror of itself, so a mirrored answer is not the answer for the mirrored picture.
"""

import argparse
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from safetensors import safe_open
from safetensors.numpy import save
from torch import Tensor

from hund_backend.body.skeleton import PART_MIRROR, PART_NAMES
from hund_backend.errors import BadInputError
from hund_backend.perception.blazepose import BlazePose
from hund_backend.perception.packed_part_maps import pack_part_maps, unpack_part_maps
from hund_backend.perception.part_head import SIZE, PartHeadInputs, part_head_inputs
from hund_backend.perception.run import WEIGHTS

from ...atomic_write import write_file
from ..motion.motion_set import Split
from ..pictures.shards import PictureSet

logger = logging.getLogger(__name__)

KINDS = ("plain", "mirrored")
PER_FILE = 250
MOST = 24.0  # of a decoder's value: a sum of four that end at 6
BATCH = 10  # crops at once


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Clues of some pictures, and what is true."""

    clues: PartHeadInputs
    parts: Float32[Tensor, "pictures parts 64 64"]  # share of each cell; they sum to one


@runtime_checkable
class Album(Protocol):
    """Pictures of people and their parts, as PictureSet."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> UInt8[np.ndarray, "256 256 3"]:
        """A picture (RGB)."""

    def labels(self, index: int) -> UInt8[np.ndarray, "256 256"]:
        """Its parts, indices into PART_NAMES."""


def coverage(labels: UInt8[np.ndarray, "height width"]) -> Float32[np.ndarray, "parts 64 64"]:
    """Share of each of 64 x 64 cells that shows each part."""
    step = len(labels) // SIZE
    shown = labels == np.arange(len(PART_NAMES), dtype=np.uint8)[:, None, None]
    cells = shown.reshape(len(PART_NAMES), SIZE, step, SIZE, step)
    return cells.mean(axis=(2, 4), dtype=np.float32)


def squeezed(decoder: Float32[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """A decoder's values as bytes, small ones finer than large ones."""
    return (255 * np.sqrt(decoder.clip(0, MOST) / MOST)).round().astype(np.uint8)


def stretched(stored: UInt8[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """A decoder's values again."""
    return (stored.float() / 255).square() * MOST


def extract(pictures: Album, blazepose: BlazePose, folder: Path, split: Split) -> None:
    """Write the features of a split's pictures that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS if split == "train" else KINDS[:1]:
        for first in range(0, len(pictures), PER_FILE):
            indices = range(first, min(first + PER_FILE, len(pictures)))
            path = folder / f"{split}-{first // PER_FILE:05d}-{kind}.safetensors"
            if path.exists() and _rows(path) == len(indices):
                continue
            parts = [
                _features(pictures, blazepose, i, kind == "mirrored") for i in _batches(indices)
            ]
            tensors = {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}
            write_file(path, save(tensors))
            logger.info("%s: %d pictures", path.name, len(indices))


def _batches(indices: range) -> list[range]:
    return [indices[start : start + BATCH] for start in range(0, len(indices), BATCH)]


def _rows(path: Path) -> int:
    with safe_open(path, "np") as file:
        return file.get_slice("mask").get_shape()[0]


def _features(
    pictures: Album, blazepose: BlazePose, indices: range, mirrored: bool
) -> dict[str, np.ndarray]:
    """What is kept of some pictures."""
    images = np.stack([pictures.image(index) for index in indices])
    parts = pack_part_maps(np.stack([coverage(pictures.labels(index)) for index in indices]))
    if mirrored:
        images = np.ascontiguousarray(images[:, :, ::-1])
        truth = unpack_part_maps(parts)[:, list(PART_MIRROR), :, ::-1]
        parts = pack_part_maps(np.ascontiguousarray(truth))
    clues = part_head_inputs(images, blazepose.predict(images, maps=True))
    return {
        "decoder": squeezed(clues.decoder.numpy()),
        "bottleneck": clues.bottleneck.numpy().astype(np.float16),
        "trunk": clues.trunk.numpy().astype(np.float16),
        "picture": (clues.picture.numpy() * 255).round().astype(np.uint8),
        "mask": (clues.mask.numpy() * 255).round().astype(np.uint8),
        "points": clues.points.numpy(),
        "parts": parts,
    }


class FeatureSet:
    """Features of a split's pictures, as many as there are; read as they are asked for."""

    def __init__(self, folder: Path, split: Split) -> None:
        """Open the files; BadInputError if there are none."""
        paths = sorted(p for kind in KINDS for p in folder.glob(f"{split}-*-{kind}.safetensors"))
        if not paths:
            raise BadInputError(f"{folder} has no features of the split '{split}': extract some.")
        self._files = [safe_open(path, "pt") for path in paths]
        counts = [file.get_slice("mask").get_shape()[0] for file in self._files]
        self._places = [(f, row) for f, count in enumerate(counts) for row in range(count)]

    def __len__(self) -> int:
        return len(self._places)

    def batch(self, indices: list[int]) -> Batch:
        """Some pictures' features."""
        rows = partial(self._rows, indices)
        clues = PartHeadInputs(
            decoder=stretched(rows("decoder")),
            bottleneck=rows("bottleneck").float(),
            trunk=rows("trunk").float(),
            picture=rows("picture").float() / 255,
            mask=rows("mask").float() / 255,
            points=rows("points"),
        )
        return Batch(clues=clues, parts=torch.from_numpy(unpack_part_maps(rows("parts").numpy())))

    def _rows(self, indices: list[int], name: str) -> Tensor:
        places = [self._places[index] for index in indices]
        return torch.stack([self._files[file].get_slice(name)[row] for file, row in places])


def main() -> None:
    """Look at every picture of a folder, or go on doing so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    parser.add_argument("folder", type=Path, help="where the features go")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    blazepose = BlazePose.open(WEIGHTS / "perception")
    for split in reversed(get_args(Split)):
        if any(chosen.pictures.glob(f"{split}-*.safetensors")):
            extract(PictureSet(chosen.pictures, split), blazepose, chosen.folder, split)


if __name__ == "__main__":
    main()
