"""The tiny training runs from end to end: everything can overfit, and the stages descend."""

import cv2
import pytest

from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.hund import Hund, HundConfig
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.hund.train_hund import HundRecipe
from hund_backend.training.priors.train_dynamics import DynamicsRecipe
from hund_backend.training.priors.train_pose_flow import PoseRecipe
from hund_backend.training.tiny import TinyRecipe, summary, synthetic_motion, train_tiny

RECIPE = TinyRecipe(
    num_clips=6,
    num_validation_clips=2,
    num_frames=40,
    flow=PoseRecipe(layers=2, steps=30, batch=64, every=10, rate=5e-3, whitening_poses=1000),
    dynamics=DynamicsRecipe(
        hidden=16, posture_copies=0, steps=30, batch=64, every=10, horizon=4, num_rollouts=8
    ),
    hund=HundRecipe(
        network=HundConfig(
            stages=2, hidden=64, context=32, memory=48, part_code=8, feature_code=8
        ),
        stages=(2, 2),
        steps=60,
        batch=24,
        every=30,
        rate=6e-3,
    ),
    num_validation=48,
    num_donors=48,
    overfit_batch=8,
    overfit_steps=40,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def result(folder):
    return train_tiny(folder, RECIPE)


def test_every_model_can_overfit_one_batch(result):
    for change in result.overfit:
        assert change.after < change.before, change.metric


def test_training_lowers_the_validation_loss_of_hund(result):
    change = result.validation[-1]
    assert change.after < 0.7 * change.before


def test_stages_descend(result):
    losses = [stage["loss"] for stage in result.stages_after]
    assert losses[-1] < losses[0] < result.stages_before[0]["loss"]
    assert losses == sorted(losses, reverse=True)


def test_weights_can_be_loaded(result, folder):
    flow = PoseFlow.load(folder / "pose_flow.safetensors")
    Dynamics.load(flow, folder / "dynamics.safetensors")
    Hund.load(BodyModel.load("keypoints"), flow, folder / "hund.safetensors")


def test_summary_and_curve_are_written(result, folder):
    text = (folder / "summary.md").read_text()
    assert text == summary(result)
    assert "synthetic motion" in text
    assert cv2.imread(str(folder / "curve.png")) is not None


def test_synthetic_clips_stand_on_the_floor():
    poses = synthetic_motion(RECIPE)
    assert len(poses.rotations) == RECIPE.num_clips * RECIPE.num_frames
    assert poses.splits.count("validation") == RECIPE.num_validation_clips
    assert poses.contacts.any()
