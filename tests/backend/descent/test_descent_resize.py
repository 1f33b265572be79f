"""Resizing: a person larger and farther away, in the same picture."""

import numpy as np
import pytest
import torch

from hund_backend.body.model import BodyModel
from hund_backend.descent.resize import resized
from hund_backend.descent.result import DescentResult
from hund_backend.descent.state import State


def standing(frames=2):
    state = State(
        pose=torch.eye(3).repeat(frames, 62, 1, 1),
        betas=torch.linspace(-0.5, 0.5, 16).expand(frames, -1),
        global_orient=torch.diag(torch.tensor([1.0, -1, -1])).expand(frames, 3, 3),
        root_translation=torch.tensor([0.3, 0.1, 4.0]).expand(frames, 3),
    )
    return DescentResult(
        state=state,
        stages=state,
        stage_losses=torch.zeros(frames, 1, 1),
        terms=("keypoints",),
        joint_confidence=torch.ones(frames, 63),
        converged=True,
    )


@pytest.mark.parametrize("ratio", [0.92, 1.08])
def test_a_resized_person_has_another_size_in_the_same_picture(ratio):
    body, before = BodyModel.load("keypoints"), standing()
    after = resized(before, body, ratio)
    joints = [each.state.posed(body).joints for each in (before, after)]
    heights = [float(np.ptp(each[0, :, 1].numpy())) for each in joints]
    assert heights[1] / heights[0] == pytest.approx(ratio, abs=0.01)
    pictures = [each[..., :2] / each[..., 2:] for each in joints]
    assert (pictures[1] - pictures[0]).abs().max() < 0.01  # a hundredth of the focal length
    assert after.state.betas[0].equal(after.state.betas[1])


def test_a_ratio_of_one_changes_nothing():
    body, before = BodyModel.load("keypoints"), standing()
    after = resized(before, body, 1.0)
    torch.testing.assert_close(after.state.betas, before.state.betas)
    torch.testing.assert_close(after.state.root_translation, before.state.root_translation)
