"""Laws of the training of builds: samples are found again, and a batch is learned by heart."""

import numpy as np
import pytest
import torch

from hund_backend.descent.build.network import NUM_ESTIMATED
from hund_backend.descent.build.outline import NUM_LINES, SEGMENTS, Outlines
from hund_backend.errors import BadInputError
from hund_backend.training.builds.samples import EXACT, FOUND, BuildSamples, save_samples
from hund_backend.training.builds.train_build import (
    BuildRecipe,
    evaluated,
    train_build,
    training_samples,
)


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


def test_samples_are_read_as_they_were_written(tmp_path):
    found, exact = random_samples(4), random_samples(4, breadth=-0.1)
    kinds = {FOUND: found.outlines, EXACT: exact.outlines}
    save_samples(tmp_path / "train-00000.safetensors", kinds, found.betas)
    again = BuildSamples.read(tmp_path, "train", EXACT)
    torch.testing.assert_close(again.outlines.vectors(), exact.outlines.vectors())
    torch.testing.assert_close(again.betas, found.betas)
    with pytest.raises(BadInputError):
        BuildSamples.read(tmp_path, "held_out", FOUND)


def test_exact_masks_are_as_generous_as_found_ones(tmp_path):
    found, exact = random_samples(40), random_samples(40, breadth=-0.1)
    kinds = {FOUND: found.outlines, EXACT: exact.outlines}
    save_samples(tmp_path / "train-00000.safetensors", kinds, found.betas)
    both = training_samples(tmp_path).outlines.ratios
    torch.testing.assert_close(both[:40].mean(0), both[40:].mean(0))


def test_a_batch_is_learned_by_heart():
    samples = random_samples(64)
    recipe = BuildRecipe(steps=300, batch=64, noise=0.0, decay=0.0, rate=1e-2)
    network, curve = train_build(samples, samples, recipe)
    figures = evaluated(network, samples)
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert np.mean(figures["errors"]) < 0.7 * np.mean(figures["errors_of_mean_body"])
