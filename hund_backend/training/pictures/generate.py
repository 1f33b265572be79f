"""Generates synthetic pictures: `python -m hund_backend.training.pictures.generate MOCAP_FOLDER …`.

Held-out pictures come first, then those for validation, then those for training, so that an
interrupted run leaves a usable set. Started again it resumes: a picture depends on the seed, its
split and its number alone.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from ...errors import BadInputError
from ..motion.motion_set import MotionSet, Split, motion_set
from ..worker_pool import run_tasks
from .body_template import BodyTemplate
from .person_sampler import PersonSampler
from .scene import Picture, PictureAssets, sample_picture
from .scenery import load_scenery
from .shards import read_header, shard_header, shard_path, write_shard

logger = logging.getLogger(__name__)

RECIPE = 1  # version: increased when the same seed gives other pictures
PER_SHARD = 250  # pictures
SPLIT_ORDER: tuple[Split, ...] = ("held_out", "validation", "train")

Shard = tuple[Split, int, range]  # its split, its number there, and the numbers of its pictures


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Numbers of pictures of each split, and the seed."""

    train: int = 20_000
    validation: int = 500
    held_out: int = 1_000
    seed: int = 0

    def shards(self) -> Iterator[Shard]:
        """Yield split, number and pictures of each shard, in the order of their generation."""
        for split in SPLIT_ORDER:
            count = getattr(self, split)
            for number, first in enumerate(range(0, count, PER_SHARD)):
                yield split, number, range(first, min(first + PER_SHARD, count))


def load_assets(
    split: Split, motions: MotionSet, scenery: Path, template: BodyTemplate
) -> PictureAssets:
    """Load the assets of a split; `scenery` is the folder of all splits' scenery."""
    scenery_of_split = load_scenery(scenery, split)
    sampler = PersonSampler(motions, scenery_of_split, template)
    return PictureAssets(template=template, sampler=sampler, scenery=scenery_of_split)


def render_picture(assets: PictureAssets, seed: int, index: int) -> Picture:
    """Render a picture of a split by its number."""
    split = get_args(Split).index(assets.scenery.split)
    return sample_picture(assets, np.random.default_rng([seed, RECIPE, split, index]))


class Renderer:
    """Renders shards; it keeps the assets of the last split."""

    def __init__(self, motions: MotionSet, scenery: Path, folder: Path, seed: int) -> None:
        """Take motions, the folder of all splits' scenery, the folder of the shards, the seed."""
        self._motions, self._scenery, self._folder, self._seed = motions, scenery, folder, seed
        self._assets: PictureAssets | None = None

    def __call__(self, shard: Shard) -> None:
        """Render and write a shard."""
        split, number, indices = shard
        if self._assets is None or self._assets.scenery.split != split:
            self._assets = load_assets(split, self._motions, self._scenery, BodyTemplate())
        pictures = [render_picture(self._assets, self._seed, index) for index in indices]
        header = shard_header(split, self._seed, RECIPE, indices)
        write_shard(shard_path(self._folder, split, number), pictures, header)


def generate(
    motions: MotionSet, scenery: Path, config: GenerationConfig, folder: Path, processes: int = 1
) -> None:
    """Write the shards that are missing, by some processes.

    Raises:
        BadInputError: the folder has pictures of another seed or recipe, or there is no scenery.
    """
    missing = []
    for split, number, indices in config.shards():
        path = shard_path(folder, split, number)
        if not path.exists():
            missing.append((split, number, indices))
        elif read_header(path) != shard_header(split, config.seed, RECIPE, indices):
            raise BadInputError(f"{path} has other pictures: name another folder.")
    started = time.perf_counter()
    renderer = partial(Renderer, motions, scenery, folder, config.seed)
    for split, number, _ in run_tasks(renderer, missing, processes):
        name = shard_path(folder, split, number).name
        logger.info("%s after %.0f s", name, time.perf_counter() - started)


def main() -> None:
    """Generate pictures, or resume."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocap", type=Path, help="folder of motion packs")
    parser.add_argument(
        "--scenery", type=Path, required=True, help="folder that fetch_scenery fills"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the shards")
    parser.add_argument(
        "--count", type=int, default=GenerationConfig.train, help="pictures for training"
    )
    parser.add_argument("--validation", type=int, default=GenerationConfig.validation)
    parser.add_argument("--held-out", type=int, default=GenerationConfig.held_out)
    parser.add_argument("--seed", type=int, default=GenerationConfig.seed)
    parser.add_argument("--processes", type=int, default=1, help="that share the work")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = GenerationConfig(
        train=arguments.count,
        validation=arguments.validation,
        held_out=arguments.held_out,
        seed=arguments.seed,
    )
    motions = motion_set(arguments.mocap)
    generate(motions, arguments.scenery, config, arguments.output, arguments.processes)


if __name__ == "__main__":
    main()
