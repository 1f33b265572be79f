"""Shards: pictures with their truth in files of a few hundred, read back one by one.

A shard is a safetensors file: images as JPEG, labels and depths as PNG, in rows of bytes with
their boundaries, and one array for each other field of a picture. Nothing of it is decoded before
it is asked for, and the file is mapped, not read.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8, UInt16
from safetensors import safe_open
from safetensors.numpy import save

from hund_backend.errors import BadInputError

from ...atomic_write import write_file
from ..motion.motion_set import Split
from .scene import Picture

SCHEMA = "hund-pictures/1"
JPEG_QUALITY = 92
CODED = ("image", "labels", "depth")  # fields that are stored as coded pictures
STORED = tuple(field.name for field in fields(Picture) if field.name not in CODED)
MIDDLE = 2**15  # millimetres: the pelvis' depth in a stored depth; 0 is nothing


def write_shard(path: Path, pictures: Sequence[Picture], about: dict[str, str]) -> None:
    """Write some pictures whole or not at all; `about` says what they are."""
    tensors = {name: np.stack([getattr(p, name) for p in pictures]) for name in STORED}
    for name in CODED:
        rows = [_coded(name, picture) for picture in pictures]
        tensors[f"{name}_bytes"] = np.concatenate(rows)
        tensors[f"{name}_starts"] = np.cumsum([0, *map(len, rows)])
    write_file(path, save(tensors, about))


def shard_path(folder: Path, split: Split, number: int) -> Path:
    """Where the shard of that number of a split lies."""
    return folder / f"{split}-{number:05d}.safetensors"


class PictureSet:
    """The pictures of a split, as many as there are already; a sequence."""

    def __init__(self, folder: Path, split: Split) -> None:
        """Open the shards of a folder; BadInputError if it has none, or of another kind."""
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
        """A picture with its truth."""
        stored = {name: self._row(name, index) for name in STORED}
        depth = _metres(self._decoded("depth", index), float(stored["root_translation"][2]))
        stored["motion_frame"] = int(stored["motion_frame"])
        return Picture(image=self.image(index), labels=self.labels(index), depth=depth, **stored)

    def image(self, index: int) -> UInt8[np.ndarray, "256 256 3"]:
        """The picture alone, RGB."""
        return np.ascontiguousarray(self._decoded("image", index)[..., ::-1])

    def labels(self, index: int) -> UInt8[np.ndarray, "256 256"]:
        """The labels alone."""
        return self._decoded("labels", index)

    def truth(self, name: str) -> np.ndarray:
        """A field of all pictures, stacked; one that is not itself a picture."""
        return np.concatenate([shard.get_tensor(name) for shard in self._shards])

    def _place(self, index: int) -> tuple[int, int]:
        """Shard of a picture, and its place in it."""
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} pictures, none has the index {index}.")
        shard = bisect_right(self._starts, index) - 1
        return shard, index - self._starts[shard]

    def _row(self, name: str, index: int) -> np.ndarray | np.generic:
        shard, row = self._place(index)
        return self._shards[shard].get_slice(name)[row : row + 1][0]

    def _decoded(self, name: str, index: int) -> np.ndarray:
        shard, row = self._place(index)
        start, end = self._shards[shard].get_slice(f"{name}_starts")[row : row + 2]
        coded = self._shards[shard].get_slice(f"{name}_bytes")[int(start) : int(end)]
        return cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)


def about(split: Split, seed: int, recipe: int, indices: range) -> dict[str, str]:
    """What a shard says of itself: whose pictures it has, and which."""
    said = {"split": split, "seed": seed, "recipe": recipe}
    said |= {"first": indices.start, "past": indices.stop}
    return {"schema": SCHEMA, "about": json.dumps(said, sort_keys=True)}


def read_about(path: Path) -> dict[str, str]:
    """What the shard of that path says of itself."""
    with safe_open(path, "np") as shard:
        return shard.metadata() or {}


def _coded(name: str, picture: Picture) -> UInt8[np.ndarray, " bytes"]:
    if name == "image":
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        return cv2.imencode(".jpg", picture.image[..., ::-1], quality)[1].ravel()
    if name == "labels":
        return cv2.imencode(".png", picture.labels)[1].ravel()
    return cv2.imencode(".png", _millimetres(picture))[1].ravel()


def _millimetres(picture: Picture) -> UInt16[np.ndarray, "256 256"]:
    behind = (picture.depth - picture.root_translation[2]) * 1000
    seen = np.isfinite(behind)
    stored = np.where(seen, np.rint(np.where(seen, behind, 0)) + MIDDLE, 0)
    return stored.clip(0, 2**16 - 1).astype(np.uint16)


def _metres(stored: UInt16[np.ndarray, "256 256"], pelvis: float) -> Float[np.ndarray, "256 256"]:
    metres = (stored.astype(np.float32) - MIDDLE) / 1000 + pelvis
    return np.where(stored > 0, metres, np.inf).astype(np.float32)
