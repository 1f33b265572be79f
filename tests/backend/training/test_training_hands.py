"""Training of hands: poses that are taken over, simulated detections, and what a batch teaches."""

import torch

from hund_backend.body.hand import HandModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import LEFT_HAND_JOINTS
from hund_backend.descent.hands.hund import HandHund, HandHundConfig
from hund_backend.prior.hand_anatomy import HandAnatomy
from hund_backend.prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from hund_backend.training.hands.detector_errors import HandErrorConfig
from hund_backend.training.hands.metrics import (
    joint_error_deg,
    keypoint_error,
    pa_mpjpe_mm,
    rotation_angle_deg,
)
from hund_backend.training.hands.samples import HandDataset
from hund_backend.training.hands.train_hand_hund import HandHundRecipe, batch_loss
from hund_backend.training.priors.hand_captures import fit_rotations

SMALL = HandHundConfig(stages=3, hidden=48, context=24, memory=32)
EXACT = HandErrorConfig(
    level_std=0.0,
    turn_deg=0.0,
    finger_deg=0.0,
    joint_deg=0.0,
    sideways_deg=0.0,
    size=0.0,
    shift=0.0,
    jitter=0.0,
    finger_shift=0.0,
    landmark_jitter=0.0,
    lost_finger=0.0,
)


class FlowPoses:
    """Poses of the hand's flow."""

    def __init__(self, flow):
        self.flow = flow

    def draw(self, count, generator):
        """Draw poses."""
        return self.flow.sample(count, generator, 0.8)


def make_hund():
    prior = PoseFlow.load(HAND_WEIGHTS_FILE)
    torch.manual_seed(0)
    return HandHund(SMALL, HandModel.load(), prior), prior


def test_poses_are_taken_over_from_points_of_other_sizes():
    """Points of our own hand, turned, moved and enlarged, give its bones' directions again."""
    prior, model = PoseFlow.load(HAND_WEIGHTS_FILE), HandModel.load()
    poses = prior.sample(6, torch.Generator().manual_seed(1), 0.6)
    fingers = poses[:, [joint - 1 for joint in LEFT_HAND_JOINTS]]
    turn = rotvec_to_matrix(torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(2)))
    points = model.joints(torch.cat((turn, fingers), dim=1), model.rest)
    found, errors = fit_rotations(1.3 * points + 0.5, model, HandAnatomy(model.rest))
    assert errors.median() < 5  # degrees: twists and hinges' sideways bends are not taken over
    assert rotation_angle_deg(found, fingers).median() < 12


def test_exact_detections_show_the_true_hand():
    hund, prior = make_hund()
    dataset = HandDataset(FlowPoses(prior), hund.decoder, EXACT)
    inputs, truth = dataset.draw(20, torch.Generator().manual_seed(0))
    assert keypoint_error(inputs, truth).max() < 1e-4
    points = truth.points - truth.points.mean(1, keepdim=True)
    torch.testing.assert_close(inputs.landmarks, points, atol=2e-3, rtol=0)
    assert inputs.keypoints.abs().max() < 0.6  # hands lie in their crops


def test_simulated_errors_are_those_of_a_usable_network():
    hund, prior = make_hund()
    dataset = HandDataset(FlowPoses(prior), hund.decoder)
    inputs, truth = dataset.draw(300, torch.Generator().manual_seed(0))
    error = keypoint_error(inputs, truth)
    assert 0.01 < error.median() < 0.1
    # What the network is sure of is better.
    sure = inputs.confidence[:, 0] > inputs.confidence[:, 0].median()
    assert error[sure].mean() < error[~sure].mean()


def test_a_batch_is_learned():
    """Training on one batch lowers its errors by half and more."""
    hund, prior = make_hund()
    sample = HandDataset(FlowPoses(prior), hund.decoder).draw(8, torch.Generator().manual_seed(0))
    recipe = HandHundRecipe(network=SMALL)
    optimizer = torch.optim.Adam(hund.parameters(), lr=3e-3)

    def errors():
        with torch.no_grad():
            posed = hund(sample.inputs)[-1].posed
        return pa_mpjpe_mm(posed, sample.truth).mean(), joint_error_deg(posed, sample.truth).mean()

    before = errors()
    for _ in range(80):
        loss = batch_loss(hund, prior, sample, recipe, stages=3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = errors()
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.7 * before[1]
