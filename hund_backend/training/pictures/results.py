"""Results of pictures: arrays that frozen networks compute from each, computed once, kept on disk.

A result file covers the pictures of a range. A folder is completed: files that are missing, that
lack pictures, or that an older version wrote are written, the others are kept.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from ...atomic_write import write_file
from ...errors import BadInputError
from ..motion.motion_set import Split
from ..worker_pool import run_tasks

logger = logging.getLogger(__name__)

PER_FILE = 250  # pictures
BATCH = 10  # pictures at once


@dataclass(frozen=True, kw_only=True)
class ResultFile:
    """A file of results, and the pictures of a split that it covers."""

    folder: Path
    split: Split
    number: int  # of the split's files
    indices: range
    variant: str = ""  # of the results, where a folder has several of each picture

    @property
    def path(self) -> Path:
        """Path of the file; the variant ends its name."""
        name = "-".join(filter(None, (self.split, f"{self.number:05d}", self.variant)))
        return self.folder / f"{name}.safetensors"


def result_files(count: int, folder: Path, split: Split, variant: str = "") -> list[ResultFile]:
    """List the files of all pictures of a split."""
    ranges = [range(first, min(first + PER_FILE, count)) for first in range(0, count, PER_FILE)]
    return [
        ResultFile(folder=folder, split=split, number=number, indices=indices, variant=variant)
        for number, indices in enumerate(ranges)
    ]


def stored_files(folder: Path, split: Split, kind: str, variant: str = "") -> list[Path]:
    """List the files of a split that a folder has, in the order of their pictures.

    Args:
        folder: of the results.
        split: of the pictures.
        kind: what the results are, for the message.
        variant: that ends the files' names.

    Raises:
        BadInputError: there are none.
    """
    paths = sorted(folder.glob("-".join(filter(None, (split, "*", variant))) + ".safetensors"))
    if not paths:
        raise BadInputError(f"{folder} has no {kind} of the split '{split}': make some.")
    return paths


def is_complete(file: ResultFile, names: Collection[str]) -> bool:
    """Return whether a file has the arrays of these names, with a row for each of its pictures."""
    if not file.path.exists():
        return False
    with safe_open(file.path, "np") as stored:
        if set(stored.keys()) != set(names):
            return False
        return all(stored.get_slice(name).get_shape()[0] == len(file.indices) for name in names)


def write_results(file: ResultFile, compute: Callable[[range], dict[str, np.ndarray]]) -> None:
    """Compute the results of a file's pictures, some at once, and write them."""
    batches = [file.indices[start : start + BATCH] for start in range(0, len(file.indices), BATCH)]
    parts = [compute(batch) for batch in batches]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    write_file(file.path, save(arrays))


def complete(
    make_writer: Callable[[], Callable[[ResultFile], None]],
    files: Sequence[ResultFile],
    names: Collection[str],
    processes: int = 1,
) -> None:
    """Write the files that are not complete.

    Args:
        make_writer: makes what writes a file, in each process.
        files: all files of a folder.
        names: of the arrays of each file.
        processes: that share the work.
    """
    missing = [file for file in files if not is_complete(file, names)]
    for file in run_tasks(make_writer, missing, processes):
        logger.info("%s: %d pictures", file.path.name, len(file.indices))
