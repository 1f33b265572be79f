"""Laws of scoring: the truth scores perfectly, a miss counts, only shared joints are compared."""

import numpy as np
import pytest
from evaluation_kits import NAMES, make_estimates, make_kit, projected, random_people

from hund_backend.evaluation.scoring import frame_groups, score, scored_joints


def kit_and_guess(num_frames=8, noise=50.0, found=None):
    truth = random_people(num_frames)
    guess = truth + np.random.default_rng(1).normal(scale=noise, size=truth.shape)
    return make_kit(truth, projected(truth)), make_estimates(guess, projected(guess), found=found)


def test_the_truth_scores_perfectly():
    kit, guess = kit_and_guess(noise=0.0)
    figures = {key: figure.mean for key, figure in score(kit, guess, NAMES).items()}
    assert figures == pytest.approx(
        {"mpjpe_mm": 0, "pa_mpjpe_mm": 0} | dict.fromkeys(list(figures)[2:], 100), abs=1e-6
    )
    assert len(figures) == 5


def test_every_mean_lies_in_its_interval():
    kit, guess = kit_and_guess(noise=100.0)
    for figure in score(kit, guess, NAMES).values():
        assert figure.low <= figure.mean <= figure.high and figure.num_frames == 8


def test_a_person_who_was_not_found_is_wrong_in_2d_and_missing_in_3d():
    found = np.arange(8) != 3
    kit, guess = kit_and_guess(noise=0.0, found=found)
    figures = score(kit, guess, NAMES)
    assert figures["pck_torso_50"].mean == pytest.approx(100 * 7 / 8)
    assert figures["mpjpe_mm"].num_frames == figures["pa_mpjpe_mm"].num_frames == 7
    assert np.isnan(figures["pa_mpjpe_mm"].per_frame).tolist() == (~found).tolist()


def test_only_joints_that_all_define_are_shared():
    kit, guess = kit_and_guess()
    blind = make_estimates(
        random_people(8), projected(random_people(8)), defined={"left_hip", "nose", "right_hip"}
    )
    assert scored_joints(kit, guess) == NAMES
    assert scored_joints(kit, guess, blind) == ("right_hip", "left_hip")


def test_a_joint_that_is_not_scored_cannot_hurt():
    kit, guess = kit_and_guess()
    joints = tuple(name for name in NAMES if name != "left_wrist")
    spoilt_mm, spoilt_px = guess.joints_mm.copy(), guess.joints_px.copy()
    spoilt_mm[:, NAMES.index("left_wrist")] += 1e4
    spoilt_px[:, NAMES.index("left_wrist")] = np.nan
    before = score(kit, guess, joints)
    after = score(kit, make_estimates(spoilt_mm, spoilt_px), joints)
    assert {k: f.mean for k, f in before.items()} == {k: f.mean for k, f in after.items()}


def test_the_root_aligns_and_is_not_scored():
    kit, guess = kit_and_guess()
    without = tuple(name for name in NAMES if name != "pelvis")
    with_pelvis = score(kit, guess, NAMES)["mpjpe_mm"].mean
    assert with_pelvis == score(kit, guess, without)["mpjpe_mm"].mean


def test_the_pelvis_is_the_root_where_hips_are_unknown():
    truth = random_people(4)
    keep = [i for i, name in enumerate(NAMES) if "hip" not in name]
    names = tuple(NAMES[i] for i in keep)
    kit = make_kit(truth[:, keep], names=names)
    shifted = make_estimates(truth[:, keep] + 70.0, projected(truth[:, keep]), defined=names)
    figures = score(kit, shifted, names)
    assert set(figures) == {"mpjpe_mm", "pa_mpjpe_mm"}
    assert figures["mpjpe_mm"].mean == pytest.approx(0, abs=1e-9)


def test_only_what_the_kit_knows_is_scored():
    truth = random_people(4)
    flat = make_kit(None, projected(truth))
    guess = make_estimates(truth, projected(truth))
    assert set(score(flat, guess, NAMES)) == {"pck_head_50", "pck_torso_50", "pck_torso_20"}
    headless = make_kit(None, projected(truth)[:, 1:], names=NAMES[1:])
    guess = make_estimates(truth[:, 1:], projected(truth)[:, 1:], defined=NAMES[1:])
    assert set(score(headless, guess, NAMES[1:])) == {"pck_torso_50", "pck_torso_20"}


def test_pck_pools_keypoints_not_frames():
    truth = random_people(2)
    pixels = projected(truth)
    kit = make_kit(None, pixels)
    kit.frames[1].has_px[:8] = False
    kit.frames[1].has_px[[2, 11]] = True  # a shoulder and the other hip give the size
    off = pixels.copy()
    off[1] += 1e5
    figure = score(kit, make_estimates(truth, off), NAMES)["pck_torso_50"]
    labelled = kit.frames[1].has_px.sum()
    assert figure.mean == pytest.approx(100 * len(NAMES) / (len(NAMES) + labelled))


def test_the_other_diagonal_stands_in_for_a_torso():
    truth = random_people(1)
    pixels = projected(truth)
    kit = make_kit(None, pixels)
    kit.frames[0].has_px[NAMES.index("left_shoulder")] = False
    size = np.linalg.norm(
        pixels[0, NAMES.index("right_shoulder")] - pixels[0, NAMES.index("left_hip")]
    )
    for factor, percent in ((0.199, 100), (0.201, 0)):
        guess = make_estimates(truth, pixels + np.array([factor * size, 0]))
        assert score(kit, guess, NAMES)["pck_torso_20"].mean == percent


def test_pictures_stand_alone_and_a_clip_falls_by_the_second():
    truth = random_people(70)
    assert len(set(frame_groups(make_kit(truth).frames))) == 70
    assert np.bincount(frame_groups(make_kit(truth, clip="c.mp4").frames)).tolist() == [30, 30, 10]
