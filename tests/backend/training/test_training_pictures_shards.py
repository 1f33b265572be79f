"""Shards of pictures: round trip, and resuming."""

from dataclasses import fields
from functools import cache

import numpy as np
import pytest
from picture_assets import assets, motions, write_scenery
from safetensors import safe_open

from hund_backend.errors import BadInputError
from hund_backend.training.pictures import generate as generating
from hund_backend.training.pictures.generate import GenerationConfig, generate, render_picture
from hund_backend.training.pictures.scenery import load_scenery
from hund_backend.training.pictures.shards import (
    ENCODED,
    PictureSet,
    picture_counts,
    shard_header,
    shard_path,
    write_shard,
)

SPLIT_ORDER = GenerationConfig(train=2, validation=0, held_out=1, seed=7)


@cache
def some_pictures():
    return [render_picture(assets(), seed=3, index=index) for index in range(3)]


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(generating, "PER_SHARD", 1)


def written(folder):
    for number, part in enumerate((some_pictures()[:2], some_pictures()[2:])):
        indices = range(2 * number, 2 * number + len(part))
        write_shard(
            shard_path(folder, "train", number), part, shard_header("train", 3, 1, indices)
        )
    return PictureSet(folder, "train")


def contents(folder):
    """Of the shards, but for the order in which they name what is in them."""
    read = {}
    for path in sorted(folder.iterdir()):
        with safe_open(path, "np") as shard:
            names = shard.keys()
            tensors = {name: shard.get_tensor(name).tobytes() for name in names}
            read[path.name] = (shard.metadata(), tensors)
    return read


def test_shards_round_trip(tmp_path):
    stored = written(tmp_path)
    assert len(stored) == 3
    for read, picture in zip(stored, some_pictures(), strict=True):
        for field in fields(picture):
            if field.name not in ENCODED:
                assert np.array_equal(getattr(read, field.name), getattr(picture, field.name))
        assert np.array_equal(read.labels, picture.labels)
        assert np.array_equal(np.isfinite(read.depth), np.isfinite(picture.depth))
        rendered = np.isfinite(read.depth)
        assert np.abs(read.depth[rendered] - picture.depth[rendered]).max() < 6e-4
        assert np.abs(read.image.astype(float) - picture.image).mean() < 6


def test_pictures_of_stored_splits_are_counted(tmp_path):
    with pytest.raises(BadInputError, match="generate some"):
        picture_counts(tmp_path)
    written(tmp_path)
    held_out = shard_header("held_out", 3, 1, range(1))
    write_shard(shard_path(tmp_path, "held_out", 0), some_pictures()[:1], held_out)
    assert picture_counts(tmp_path) == {"held_out": 1, "train": 3}


def test_truth_stacks_a_field_of_all_pictures(tmp_path):
    stored = written(tmp_path)
    expected = np.stack([picture.joints for picture in some_pictures()])
    assert np.array_equal(stored.truth("joints"), expected)
    assert np.array_equal(stored.image(2), stored[2].image)


def test_index_beyond_the_last_picture_is_an_error(tmp_path):
    with pytest.raises(IndexError):
        written(tmp_path)[3]


def test_resumed_generation_by_two_processes_equals_uninterrupted_by_one(tmp_path, small_shards):
    scenery = write_scenery(tmp_path / "scenery")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    generate(motions(), scenery, SPLIT_ORDER, whole)
    first = GenerationConfig(train=1, validation=0, held_out=1, seed=SPLIT_ORDER.seed)
    generate(motions(), scenery, first, parts)
    shard_path(parts, "held_out", 0).unlink()
    generate(motions(), scenery, SPLIT_ORDER, parts, processes=2)
    assert len(contents(whole)) == 3
    assert contents(parts) == contents(whole)


def test_folders_of_other_pictures_are_refused(tmp_path):
    scenery = write_scenery(tmp_path / "scenery")
    written(tmp_path / "pictures")
    config = GenerationConfig(train=2, validation=0, held_out=0, seed=0)
    with pytest.raises(BadInputError):
        generate(motions(), scenery, config, tmp_path / "pictures")


def test_missing_pictures_are_an_error(tmp_path):
    with pytest.raises(BadInputError):
        PictureSet(tmp_path, "train")


def test_splits_share_no_scenery(tmp_path):
    folder = write_scenery(tmp_path)
    sceneries = [load_scenery(folder, split) for split in ("train", "validation", "held_out")]
    for kind in ("panoramas", "photographs"):
        pictures = [getattr(scenery, kind) for scenery in sceneries]
        assert [len(some) for some in pictures] == [1, 1, 1]
        assert not np.allclose(pictures[0][0], pictures[1][0])
        assert not np.allclose(pictures[0][0], pictures[2][0])


def test_missing_scenery_is_an_error(tmp_path):
    with pytest.raises(BadInputError):
        load_scenery(tmp_path, "train")
