"""Laws of the training of builds: samples are found again, and a batch is learned by heart."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from hund_backend.descent.build.network import NUM_ESTIMATED
from hund_backend.descent.build.outline import NUM_LINES, SEGMENTS, Outlines
from hund_backend.errors import BadInputError
from hund_backend.training.builds.samples import (
    EXACT,
    FOUND,
    STORED,
    BuildSamples,
    sample_files,
)
from hund_backend.training.builds.train_build import (
    BuildRecipe,
    evaluated,
    train_build,
    training_samples,
)
from hund_backend.training.pictures import results
from hund_backend.training.pictures.results import is_complete


def random_samples(count, seed=0, breadth=0.0):
    """Samples whose torso tells the first betas."""
    generator = torch.Generator().manual_seed(seed)
    betas = torch.randn(count, 16, generator=generator)
    ratios = 0.02 * torch.randn(count, NUM_LINES, generator=generator)
    ratios[:, :NUM_ESTIMATED] += 0.1 * betas[:, :NUM_ESTIMATED]
    outlines = Outlines(
        ratios=ratios + breadth,
        valid=torch.ones(count, NUM_LINES, dtype=torch.bool),
        own=torch.ones(count, NUM_LINES),
        axes=torch.randn(count, len(SEGMENTS), 3, generator=generator),
        across=torch.randn(count, 2, 3, generator=generator),
        confidence=torch.ones(count),
        overlap=torch.full((count,), 0.9),
    )
    return BuildSamples(outlines=outlines, betas=betas)


def write(folder, found, exact):
    """Write the samples of both kinds of masks."""
    kinds = {FOUND: found, EXACT: exact}
    for file in sample_files({"train": len(exact)}, folder, len(found)):
        rows = torch.arange(file.indices.start, file.indices.stop)
        save_file(kinds[file.variant].select(rows).arrays(), file.path)


def test_samples_are_read_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "PER_FILE", 3)
    found, exact = random_samples(4), random_samples(4, breadth=-0.1)
    write(tmp_path, found, exact)
    assert all(
        is_complete(file, STORED) for file in sample_files({"train": 4}, tmp_path, num_found=4)
    )
    again = BuildSamples.read(tmp_path, "train", EXACT)
    torch.testing.assert_close(again.outlines.vectors(), exact.outlines.vectors())
    torch.testing.assert_close(again.betas, found.betas)
    with pytest.raises(BadInputError):
        BuildSamples.read(tmp_path, "held_out", FOUND)


def test_first_pictures_have_samples_of_found_masks_too(tmp_path):
    files = sample_files({"held_out": 400, "train": 700}, tmp_path, num_found=500)
    counted = {}
    for file in files:
        key = file.split, file.variant
        counted[key] = counted.get(key, 0) + len(file.indices)
    assert counted == {
        ("held_out", FOUND): 400,
        ("held_out", EXACT): 400,
        ("train", FOUND): 500,
        ("train", EXACT): 700,
    }
    assert len({file.path for file in files}) == len(files)


def test_exact_masks_are_as_generous_as_found_ones(tmp_path):
    found, exact = random_samples(40), random_samples(40, breadth=-0.1)
    write(tmp_path, found, exact)
    both = training_samples(tmp_path).outlines.ratios
    torch.testing.assert_close(both[:40].mean(0), both[40:].mean(0))


def test_a_batch_is_learned_by_heart():
    samples = random_samples(64)
    recipe = BuildRecipe(steps=300, batch=64, noise=0.0, decay=0.0, rate=1e-2)
    network, curve = train_build(samples, samples, recipe)
    figures = evaluated(network, samples)
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert np.mean(figures["errors"]) < 0.7 * np.mean(figures["errors_of_mean_body"])
