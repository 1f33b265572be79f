"""Training of hands: poses that are taken over, detections, and what a batch teaches."""

import numpy as np
import torch
from picture_assets import assets

from hund_backend.body.hand import HandModel, hand_axes, mirrored_rotations
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import LEFT_HAND_JOINTS
from hund_backend.descent.hands.hund import HandHund, HandHundConfig
from hund_backend.prior.hand_anatomy import HandAnatomy
from hund_backend.prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from hund_backend.training.hands.clip_detections import ClipHands
from hund_backend.training.hands.close_ups import sample_close_up
from hund_backend.training.hands.detected_samples import DetectedHands, detected_sample
from hund_backend.training.hands.detections import HandDetections
from hund_backend.training.hands.detector_errors import HandErrorConfig
from hund_backend.training.hands.landmark_offsets import landmark_offsets
from hund_backend.training.hands.metrics import (
    joint_error_deg,
    keypoint_error,
    pa_mpjpe_mm,
    rotation_angle_deg,
)
from hund_backend.training.hands.samples import HandDataset
from hund_backend.training.hands.self_supervision import UnlabeledHands, unlabeled_metrics
from hund_backend.training.hands.train_hand_hund import (
    HandHundRecipe,
    batch_loss,
    unlabeled_loss,
)
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
    # Their size is that of the bones' sum at rest, which poses change by a few per cent.
    torch.testing.assert_close(inputs.landmarks, points, atol=8e-3, rtol=0)
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


def exact_detections(hund, prior, count, shift=0.0):
    """What a perfect network would say of hands of both sides; shifts are in hand sizes.

    Keypoints are those of the model with its offsets.
    """
    generator = torch.Generator().manual_seed(4)
    model = hund.decoder.model
    fingers = FlowPoses(prior).draw(count, generator)[:, [j - 1 for j in LEFT_HAND_JOINTS]]
    turn = rotvec_to_matrix(1.2 * torch.randn(count, 1, 3, generator=generator))
    betas = torch.randn(count, 16, generator=generator)
    rotations = torch.cat((turn, fingers), dim=1)
    place = torch.tensor([0.03, -0.02, 0.7]) + 0.05 * torch.randn(count, 3, generator=generator)
    points = model(rotations, model.rest_points(betas)) + place[:, None]
    right = torch.arange(count) % 2 == 1
    flip = torch.where(right[:, None], torch.tensor([-1.0, 1.0, 1.0]), torch.ones(3))
    points, place = points * flip[:, None], place * flip
    rotations = torch.where(right[:, None, None, None], mirrored_rotations(rotations), rotations)
    intrinsics = np.array([[300.0, 0, 128], [0, 300.0, 128], [0, 0, 1]], np.float32)
    pixels = points[..., :2] / points[..., 2:] * 300 + 128
    size = (pixels.amax(1) - pixels.amin(1)).amax(-1)
    middle = (pixels.amax(1) + pixels.amin(1)) / 2
    pixels = pixels + shift * size[:, None, None]
    crops = torch.cat((middle, 2 * size[:, None], torch.full((count, 1), 0.3)), dim=-1)
    ones = torch.ones(count)
    return HandDetections(
        keypoints=torch.cat((pixels, torch.full((count, 21, 1), 0.9)), dim=-1).numpy(),
        landmarks=points.numpy(),
        crop=crops.numpy(),
        presence=ones.numpy(),
        right=right.float().numpy(),
        confidence=ones.numpy(),
        length_px=(100 * ones).numpy(),
        side=right.int().numpy(),
        intrinsics=np.repeat(intrinsics[None], count, axis=0),
        orientation=rotations[:, 0].numpy(),
        wrist=place.numpy(),
        fingers=rotations[:, 1:].numpy(),
        betas=betas.numpy(),
    )


def test_exact_detections_of_both_sides_are_left_hands_without_errors():
    hund, prior = make_hund()
    sample = detected_sample(exact_detections(hund, prior, 12), hund.decoder)
    assert keypoint_error(*sample).max() < 1e-3
    assert rotation_angle_deg(sample.inputs.palm_rotation, sample.truth.rotations[:, 0]).max() < 1


def test_other_hands_get_the_errors_and_turned_ones_keep_them():
    hund, prior = make_hund()
    real = detected_sample(exact_detections(hund, prior, 12, shift=0.05), hund.decoder)
    before = keypoint_error(*real)
    others = HandDataset(FlowPoses(prior), hund.decoder, EXACT)
    hands = DetectedHands(others, real)
    inputs, truth = hands.draw(20, torch.Generator().manual_seed(0))
    error = keypoint_error(inputs, truth)
    assert 0.7 * before.min() < error[:10].min() and error[:10].max() < 1.4 * before.max()
    low, high = hands.config.strength
    assert error[10:].min() > 0.6 * low * before.min()
    assert error[10:].max() < 1.6 * high * before.max()


def test_offsets_of_landmarks_are_found_again():
    """Detections of a hand with offsets, seen by a model without them."""
    hund, prior = make_hund()
    detections = exact_detections(hund, prior, 60)
    model = hund.decoder.model
    true = model.offsets @ hand_axes(model.rest)
    model.offsets.zero_()
    sample = detected_sample(detections, hund.decoder)
    found = landmark_offsets(model, sample)
    assert (found - true).norm(dim=-1).max() < 0.003  # metres


def test_close_ups_show_the_hand_and_depend_on_their_seed_alone():
    prior, model = PoseFlow.load(HAND_WEIGHTS_FILE), HandModel.load()
    one, again = (
        sample_close_up(assets(), FlowPoses(prior), np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.image, again.image)
    turns = torch.from_numpy(np.concatenate((one.orientation[None], one.fingers))).float()
    flip = torch.tensor([-1.0 if one.side else 1.0, 1.0, 1.0])
    turns = mirrored_rotations(turns) if one.side else turns
    points = model(turns, model.rest_points(torch.from_numpy(one.betas))) * flip
    rays = (points.numpy() + one.wrist) @ one.intrinsics.T
    pixels = rays[:, :2] / rays[:, 2:]
    assert ((pixels > -40) & (pixels < 296)).all()
    assert 25 < np.ptp(pixels, axis=0).max() < 256


def test_a_batch_is_learned():
    """Training on one batch lowers its errors by a third and more."""
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
    assert after[0] < 0.65 * before[0]
    assert after[1] < 0.8 * before[1]


# --- Hands of clips ------------------------------------------------------------------------------


def clip_hands(hund, prior, frames=6):
    """Two hands of a clip that turn evenly, a left and a right one, then one after a gap."""
    generator = torch.Generator().manual_seed(4)
    fingers = prior.sample(1, generator, 0.5)[:, [joint - 1 for joint in LEFT_HAND_JOINTS]]
    rest = hund.decoder.model.rest_points(torch.zeros(frames, 16))
    angle = torch.linspace(0, 0.2, frames)[:, None, None]
    turn = rotvec_to_matrix(angle * torch.tensor([0.3, 1.0, 0.2]))
    rotations = torch.cat((turn, fingers.expand(frames, -1, -1, -1)), dim=1)
    posed = hund.decoder.pose(rotations, torch.tensor([0.0, 0.0, 0.7]).expand(frames, -1), rest)
    intrinsics = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]], np.float32)
    points = posed.points.numpy()
    pixels = points @ intrinsics.T
    left = np.concatenate((pixels[..., :2] / pixels[..., 2:], np.ones((frames, 21, 1))), axis=-1)
    right, other = left.copy(), points.copy()
    right[..., 0], other[..., 0] = 640 - right[..., 0], -other[..., 0]
    joined = lambda *values: np.concatenate(values).astype(np.float32)
    numbers = np.r_[:frames, :frames]
    numbers[frames + 3 :] += 5
    return ClipHands(
        keypoints=joined(left, right),
        landmarks=joined(points, other),
        crop=np.tile(np.float32([320, 240, 300, 0]), (2 * frames, 1)),
        intrinsics=np.tile(intrinsics, (2 * frames, 1, 1)),
        side=np.repeat([0, 1], frames).astype(np.int32),
        track=np.repeat([0, 1], frames).astype(np.int32),
        frame=numbers.astype(np.int32),
        fps=np.full(2 * frames, 30, np.float32),
    )


def test_triples_follow_each_other_and_show_left_hands():
    hund, prior = make_hund()
    hands = UnlabeledHands(clip_hands(hund, prior), hund.decoder.model)
    # Four of the left hand; before and after the right hand's gap one each.
    assert hands.middle.tolist() == [1, 2, 3, 4, 7, 10]
    inputs, fps = hands.all()
    assert len(inputs) == 18 and fps.tolist() == [30.0] * 6
    left, right = inputs.select(slice(0, 3)), inputs.select(slice(12, 15))
    torch.testing.assert_close(left.keypoints, right.keypoints, atol=1e-5, rtol=0)
    torch.testing.assert_close(left.landmarks, right.landmarks, atol=1e-5, rtol=0)
    drawn, fps = hands.draw(5, torch.Generator().manual_seed(0))
    assert len(drawn) == 15 and len(fps) == 5
    turns = drawn.rest_points.unflatten(0, (5, 3))
    torch.testing.assert_close(turns[:, 0], turns[:, 2])  # one hand's shape, thrice


def test_hands_without_truth_are_learned():
    hund, prior = make_hund()
    hands = UnlabeledHands(clip_hands(hund, prior), hund.decoder.model)
    before = unlabeled_metrics(hund, hands)["clips_cost"]
    recipe, polish = HandHundRecipe(network=SMALL), hands.config.polish
    optimizer = torch.optim.AdamW(hund.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        inputs, fps = hands.draw(8, generator)
        loss = unlabeled_loss(hund, inputs, fps, polish, recipe, 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert unlabeled_metrics(hund, hands)["clips_cost"][-1] < 0.8 * before[-1]
