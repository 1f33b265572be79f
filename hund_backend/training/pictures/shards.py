"""Shards: pictures with their truth in files of a few hundred, read back one by one.

A shard is a safetensors file: images as JPEG, labels and depths as PNG, in rows of bytes with their
boundaries, and one array for each other field of a picture. Files are mapped, and pictures decoded
on demand.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
from jaxtyping import Float, UInt8, UInt16
from safetensors import safe_open
from safetensors.numpy import save

from ...atomic_write import write_file
from ...errors import BadInputError
from ..motion.motion_set import Split
from .scene import Picture

SCHEMA = "hund-pictures/1"
JPEG_QUALITY = 92
ENCODED = ("image", "labels", "depth")  # fields that are stored as encoded images
ARRAYS = tuple(field.name for field in fields(Picture) if field.name not in ENCODED)
PELVIS_DEPTH = 2**15  # value of the pelvis' depth in a stored depth, in millimetres; 0 is empty


def write_shard(path: Path, pictures: Sequence[Picture], header: dict[str, str]) -> None:
    """Write a shard of pictures with a header."""
    tensors = {name: np.stack([getattr(p, name) for p in pictures]) for name in ARRAYS}
    for name in ENCODED:
        rows = [_encode(name, picture) for picture in pictures]
        tensors[f"{name}_bytes"] = np.concatenate(rows)
        tensors[f"{name}_starts"] = np.cumsum([0, *map(len, rows)])
    write_file(path, save(tensors, header))


def shard_path(folder: Path, split: Split, number: int) -> Path:
    """Path of a shard."""
    return folder / f"{split}-{number:05d}.safetensors"


def picture_counts(folder: Path) -> dict[Split, int]:
    """Count the pictures of each split that a folder has; those of training come last.

    Raises:
        BadInputError: it has none, or some of another schema.
    """
    stored = [s for s in reversed(get_args(Split)) if any(folder.glob(f"{s}-*.safetensors"))]
    if not stored:
        raise BadInputError(f"{folder} has no pictures: generate some.")
    return {split: len(PictureSet(folder, split)) for split in stored}


class PictureSet:
    """Stored pictures of a split, as a sequence."""

    def __init__(self, folder: Path, split: Split) -> None:
        """Open the shards of a folder.

        Raises:
            BadInputError: it has none, or some of another schema.
        """
        paths = sorted(folder.glob(f"{split}-*.safetensors"))
        if not paths:
            raise BadInputError(f"{folder} has no pictures of the split '{split}': generate some.")
        self._shards = [safe_open(path, "np") for path in paths]
        for path, shard in zip(paths, self._shards, strict=True):
            if (shard.metadata() or {}).get("schema") != SCHEMA:
                raise BadInputError(f"{path} is no shard of schema {SCHEMA}: generate it again.")
        counts = [shard.get_slice("crop").get_shape()[0] for shard in self._shards]
        self._starts = np.cumsum([0, *counts]).tolist()

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[Picture]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Picture:
        """Return a picture with its truth."""
        stored = {name: self._row(name, index) for name in ARRAYS}
        depth = _decode_depth(self._decode("depth", index), float(stored["root_translation"][2]))
        stored["motion_frame"] = int(stored["motion_frame"])
        return Picture(image=self.image(index), labels=self.labels(index), depth=depth, **stored)

    def image(self, index: int) -> UInt8[np.ndarray, "256 256 3"]:
        """Return a picture alone, RGB."""
        return np.ascontiguousarray(self._decode("image", index)[..., ::-1])

    def labels(self, index: int) -> UInt8[np.ndarray, "256 256"]:
        """Return the labels alone."""
        return self._decode("labels", index)

    def truth(self, name: str) -> np.ndarray:
        """Return a field of all pictures, stacked; no image field."""
        return np.concatenate([shard.get_tensor(name) for shard in self._shards])

    def _locate(self, index: int) -> tuple[int, int]:
        """Shard of a picture, and its row there."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} pictures, none has the index {index}.")
        shard = bisect_right(self._starts, index) - 1
        return shard, index - self._starts[shard]

    def _row(self, name: str, index: int) -> np.ndarray | np.generic:
        shard, row = self._locate(index)
        return self._shards[shard].get_slice(name)[row : row + 1][0]

    def _decode(self, name: str, index: int) -> np.ndarray:
        shard, row = self._locate(index)
        start, end = self._shards[shard].get_slice(f"{name}_starts")[row : row + 2]
        encoded = self._shards[shard].get_slice(f"{name}_bytes")[int(start) : int(end)]
        return cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)


def shard_header(split: Split, seed: int, recipe: int, indices: range) -> dict[str, str]:
    """Header of a shard: the pictures that it holds."""
    contents = {"split": split, "seed": seed, "recipe": recipe}
    contents |= {"first": indices.start, "past": indices.stop}
    return {"schema": SCHEMA, "about": json.dumps(contents, sort_keys=True)}


def read_header(path: Path) -> dict[str, str]:
    """Read the header of a shard."""
    with safe_open(path, "np") as shard:
        return shard.metadata() or {}


def _encode(name: str, picture: Picture) -> UInt8[np.ndarray, " bytes"]:
    if name == "image":
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        return cv2.imencode(".jpg", picture.image[..., ::-1], quality)[1].ravel()
    if name == "labels":
        return cv2.imencode(".png", picture.labels)[1].ravel()
    return cv2.imencode(".png", _encode_depth(picture))[1].ravel()


def _encode_depth(picture: Picture) -> UInt16[np.ndarray, "256 256"]:
    depth_mm = (picture.depth - picture.root_translation[2]) * 1000
    finite = np.isfinite(depth_mm)
    stored = np.where(finite, np.rint(np.where(finite, depth_mm, 0)) + PELVIS_DEPTH, 0)
    return stored.clip(0, 2**16 - 1).astype(np.uint16)


def _decode_depth(
    stored: UInt16[np.ndarray, "256 256"], pelvis: float
) -> Float[np.ndarray, "256 256"]:
    metres = (stored.astype(np.float32) - PELVIS_DEPTH) / 1000 + pelvis
    return np.where(stored > 0, metres, np.inf).astype(np.float32)
