"""Generates pictures: `python -m hund_backend.training.pictures.generate MOCAP_FOLDER …`.

Held-out pictures come first, then those for validation, then those for training, so that whatever
there is when it is stopped is of use. Started again it goes on where it was: a picture depends on
the seed, its split and its number, and on nothing else.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch

from hund_backend.errors import BadInputError

from ..motion.motion_set import MotionSet, Split, motion_set
from .body_template import Mannequin
from .person_sampler import Casting
from .scene import Picture, Studio, draw_picture
from .scenery import load_scenery
from .shards import about, read_about, shard_path, write_shard

logger = logging.getLogger(__name__)

RECIPE = 1  # of pictures; another number when the same seed gives other pictures
PER_SHARD = 250
ORDER: tuple[Split, ...] = ("held_out", "validation", "train")


@dataclass(frozen=True, kw_only=True)
class Order:
    """How many pictures of each split are wanted, and of which chance."""

    train: int = 20_000
    validation: int = 500
    held_out: int = 1_000
    seed: int = 0

    def shards(self) -> Iterator[tuple[Split, int, range]]:
        """Split, number and pictures of each shard, in the order in which they are made."""
        for split in ORDER:
            count = getattr(self, split)
            for number, first in enumerate(range(0, count, PER_SHARD)):
                yield split, number, range(first, min(first + PER_SHARD, count))


def studio_of(split: Split, motions: MotionSet, scenery: Path, mannequin: Mannequin) -> Studio:
    """What the pictures of a split are made of; `scenery` is the folder of all splits' scenery."""
    of_split = load_scenery(scenery, split)
    casting = Casting(motions, of_split, mannequin)
    return Studio(mannequin=mannequin, casting=casting, scenery=of_split)


def picture_of(studio: Studio, seed: int, index: int) -> Picture:
    """The picture of that number of a split."""
    split = get_args(Split).index(studio.scenery.split)
    return draw_picture(studio, np.random.default_rng([seed, RECIPE, split, index]))


def generate(motions: MotionSet, scenery: Path, order: Order, folder: Path) -> None:
    """Write the shards that are wanted and not there yet.

    Raises:
        BadInputError: the folder has pictures of another seed or recipe, or there is no scenery.
    """
    mannequin = Mannequin()
    studio = None
    for split, number, indices in order.shards():
        path = shard_path(folder, split, number)
        said = about(split, order.seed, RECIPE, indices)
        if path.exists():
            if read_about(path) != said:
                raise BadInputError(f"{path} has other pictures: name another folder.")
            continue
        if studio is None or studio.scenery.split != split:
            studio = studio_of(split, motions, scenery, mannequin)
        started = time.perf_counter()
        pictures = [picture_of(studio, order.seed, index) for index in indices]
        write_shard(path, pictures, said)
        each = (time.perf_counter() - started) / len(indices)
        logger.info("%s: %d pictures, %.3f s each", path.name, len(indices), each)


def main() -> None:
    """Generate pictures, or go on doing so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocap", type=Path, help="folder of motion packs")
    parser.add_argument("--scenery", type=Path, required=True, help="what fetch_scenery made")
    parser.add_argument("--output", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--count", type=int, default=Order.train, help="pictures for training")
    parser.add_argument("--validation", type=int, default=Order.validation)
    parser.add_argument("--held-out", type=int, default=Order.held_out)
    parser.add_argument("--seed", type=int, default=Order.seed)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)  # one process a core does more than several threads in one
    cv2.setNumThreads(1)
    order = Order(
        train=chosen.count,
        validation=chosen.validation,
        held_out=chosen.held_out,
        seed=chosen.seed,
    )
    generate(motion_set(chosen.mocap), chosen.scenery, order, chosen.output)


if __name__ == "__main__":
    main()
