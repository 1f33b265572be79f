"""A track that continues over cuts is descended shot by shot, with one body shape."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import evidence_of, mini_reduced_body, random_variables

from hund_backend.body.file import NUM_BETAS
from hund_backend.body.skeleton import JOINT_NAMES
from hund_backend.descent.over_shots import descend_by_shot
from hund_backend.descent.result import DescentResult
from hund_backend.descent.state import State

FRAMES = 7
SHOTS = np.array([0, 0, 0, 1, 1, 2, 2])


def track(shots=SHOTS):
    body = mini_reduced_body()
    return replace(evidence_of(body, random_variables(body, FRAMES)), shots=shots)


def smooth(evidence, rows):
    """A result that depends on all frames it is given: means over them."""
    frames = len(evidence.frames)
    mean = torch.from_numpy(evidence.keypoints[..., 0]).mean()
    state = State(
        pose=torch.eye(3).expand(frames, len(JOINT_NAMES) - 1, 3, 3),
        betas=mean.float().expand(frames, NUM_BETAS),
        global_orient=torch.eye(3).expand(frames, 3, 3),
        root_translation=torch.stack((mean.expand(frames), rows, rows), dim=-1).float(),
    )
    return DescentResult(
        state=state,
        stages=State(**{name: values[:, None] for name, values in vars(state).items()}),
        stage_losses=rows[:, None, None].float(),
        terms=("keypoints",),
        joint_confidence=rows[:, None].float().expand(frames, len(JOINT_NAMES)),
        converged=True,
    )


def test_no_shot_depends_on_another():
    evidence = track()
    joined = descend_by_shot(evidence, smooth)
    for shot in range(3):
        rows = torch.from_numpy(np.flatnonzero(SHOTS == shot))
        alone = smooth(evidence.select(rows.numpy()), rows)
        part = joined.select(rows)
        assert torch.equal(part.state.root_translation, alone.state.root_translation)
        assert torch.equal(part.stage_losses, alone.stage_losses)
        assert torch.equal(part.joint_confidence, alone.joint_confidence)
        assert torch.equal(part.stages.root_translation, alone.stages.root_translation)


def test_body_shape_is_the_mean_of_observed_frames():
    evidence = track()
    evidence.observed[:] = True
    evidence.observed[3:5] = False
    betas = descend_by_shot(evidence, smooth).state.betas
    expected = 0
    for shot, frames in ((0, 3), (2, 2)):
        rows = np.flatnonzero(SHOTS == shot)
        alone = smooth(evidence.select(rows), torch.from_numpy(rows))
        expected = expected + frames / 5 * alone.state.betas[0]
    assert torch.equal(betas, betas[:1].expand_as(betas))
    assert torch.allclose(betas[0], expected, rtol=1e-4)


@pytest.mark.parametrize("shots", [None, np.zeros(FRAMES, int)], ids=["unknown", "one"])
def test_one_shot_is_one_descent(shots):
    evidence, rows = track(shots), torch.arange(FRAMES)
    joined, alone = descend_by_shot(evidence, smooth), smooth(evidence, rows)
    assert torch.equal(joined.state.root_translation, alone.state.root_translation)
    assert torch.equal(joined.state.betas, alone.state.betas)
