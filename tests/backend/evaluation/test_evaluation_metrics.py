"""Laws of the metrics: invariances, bounds, naive twins, missing joints."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from hund_backend.evaluation import metrics

FRAMES, JOINTS = 5, 12
seeds = st.integers(0, 2**32 - 1)


def two_poses(seed: int):
    rng = np.random.default_rng(seed)
    truth = rng.normal(scale=400, size=(FRAMES, JOINTS, 3)) + np.array([0, 0, 4000])
    return truth + rng.normal(scale=60, size=truth.shape), truth, rng


def all_valid():
    return np.ones((FRAMES, JOINTS), dtype=bool)


def similar(points, rng, scale=None):
    rotation = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    scale = rng.uniform(0.2, 5) if scale is None else scale
    return scale * points @ rotation.T + rng.normal(scale=1000, size=3)


@given(seeds)
def test_pa_mpjpe_does_not_change_under_similarities_of_the_prediction(seed):
    predicted, truth, rng = two_poses(seed)
    np.testing.assert_allclose(
        metrics.pa_mpjpe_mm(similar(predicted, rng), truth, all_valid()),
        metrics.pa_mpjpe_mm(predicted, truth, all_valid()),
        rtol=1e-6,
    )


@given(seeds)
def test_pa_mpjpe_scales_with_the_truth(seed):
    predicted, truth, rng = two_poses(seed)
    np.testing.assert_allclose(
        metrics.pa_mpjpe_mm(predicted, similar(truth, rng, scale=2.0), all_valid()),
        2 * metrics.pa_mpjpe_mm(predicted, truth, all_valid()),
        rtol=1e-6,
    )


@given(seeds)
def test_mpjpe_does_not_change_when_the_prediction_moves(seed):
    predicted, truth, rng = two_poses(seed)
    moved = predicted + rng.normal(scale=1000, size=3)
    np.testing.assert_allclose(
        metrics.mpjpe_mm(moved, truth, all_valid(), (0, 1)),
        metrics.mpjpe_mm(predicted, truth, all_valid(), (0, 1)),
    )


@given(seeds)
def test_no_similarity_brings_the_joints_nearer_than_the_aligned_ones(seed):
    predicted, truth, rng = two_poses(seed)
    aligned = metrics.similarity_aligned(predicted, truth, all_valid())
    best = ((aligned - truth) ** 2).sum(axis=(1, 2))
    small_turn = Rotation.from_rotvec(rng.normal(scale=0.01, size=3)).as_matrix()
    for other in (predicted, similar(predicted, rng), aligned @ small_turn, 1.01 * aligned):
        assert (((other - truth) ** 2).sum(axis=(1, 2)) >= best - 1e-6).all()


def test_the_alignment_is_what_a_general_optimiser_finds():
    predicted, truth, _ = two_poses(1)

    def squares(freedoms, frame):
        rotation = Rotation.from_rotvec(freedoms[:3]).as_matrix()
        moved = np.exp(freedoms[3]) * predicted[frame] @ rotation.T + 1000 * freedoms[4:]
        return ((moved - truth[frame]) ** 2).sum() / 1e6

    aligned = metrics.similarity_aligned(predicted, truth, all_valid())
    for frame in range(FRAMES):
        found = minimize(squares, np.zeros(7), args=(frame,), tol=1e-12).fun
        assert ((aligned[frame] - truth[frame]) ** 2).sum() / 1e6 == pytest.approx(found, rel=1e-5)


def test_a_mirror_image_does_not_pass_for_the_pose():
    _, truth, _ = two_poses(2)
    mirrored = truth * [-1, 1, 1]
    assert (metrics.pa_mpjpe_mm(mirrored, truth, all_valid()) > 50).all()
    np.testing.assert_allclose(metrics.pa_mpjpe_mm(truth, truth, all_valid()), 0, atol=1e-6)


def test_a_flat_pose_is_aligned_without_error():
    _, truth, rng = two_poses(3)
    flat = truth * [1, 1, 0]
    np.testing.assert_allclose(
        metrics.pa_mpjpe_mm(similar(flat, rng), flat, all_valid()), 0, atol=1e-6
    )


def test_a_prediction_of_one_point_lands_on_the_middle_of_the_truth():
    _, truth, _ = two_poses(4)
    aligned = metrics.similarity_aligned(np.full_like(truth, 7.0), truth, all_valid())
    np.testing.assert_allclose(
        aligned, np.broadcast_to(truth.mean(axis=1, keepdims=True), truth.shape)
    )


def test_fewer_than_three_joints_give_no_aligned_error():
    predicted, truth, _ = two_poses(5)
    valid = np.arange(JOINTS) < np.array([0, 1, 2, 3, 4])[:, None]
    known = np.isfinite(metrics.pa_mpjpe_mm(predicted, truth, valid))
    assert known.tolist() == [False, False, False, True, True]


@given(seeds)
def test_missing_joints_count_for_nothing(seed):
    predicted, truth, rng = two_poses(seed)
    valid = rng.random((FRAMES, JOINTS)) < 0.7
    valid[:, :4] = True
    spoilt = np.where(valid[..., None], predicted, np.nan)
    blank = np.where(valid[..., None], truth, np.nan)
    for score in (metrics.pa_mpjpe_mm, lambda *a: metrics.mpjpe_mm(*a, roots=(0, 1))):
        expected = [
            score(predicted[[f]][:, v], truth[[f]][:, v], v[v][None])[0]
            for f, v in enumerate(valid)
        ]
        np.testing.assert_allclose(score(spoilt, blank, valid), expected)


def test_mpjpe_is_the_naive_mean_of_distances_from_the_roots():
    predicted, truth, _ = two_poses(6)
    naive = [
        np.mean(
            [math.dist(p - (p0 + p1) / 2, t - (t0 + t1) / 2) for p, t in zip(ps, ts, strict=True)]
        )
        for (ps, ts) in zip(predicted, truth, strict=True)
        for (p0, p1), (t0, t1) in [(ps[:2], ts[:2])]
    ]
    np.testing.assert_allclose(metrics.mpjpe_mm(predicted, truth, all_valid(), (0, 1)), naive)


def test_mpjpe_needs_its_roots_and_counts_only_what_is_scored():
    predicted, truth, _ = two_poses(7)
    valid = all_valid()
    valid[2, 0] = False
    errors = metrics.mpjpe_mm(predicted, truth, valid, (0,), scored=tuple(range(1, JOINTS)))
    assert np.isnan(errors[2])
    with_root = metrics.mpjpe_mm(predicted, truth, valid, (0,))
    np.testing.assert_allclose(errors * (JOINTS - 1) / JOINTS, with_root)


def test_vertex_error_is_mpjpe_over_vertices():
    predicted, truth, _ = two_poses(8)
    np.testing.assert_allclose(
        metrics.pve_mm(predicted, truth, predicted[:, 0], truth[:, 0]),
        metrics.mpjpe_mm(predicted, truth, all_valid(), (0,)),
    )


@given(seeds)
def test_pck_agrees_with_a_naive_loop(seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (FRAMES, JOINTS, 2))
    predicted = truth + rng.normal(scale=10, size=truth.shape)
    valid = rng.random((FRAMES, JOINTS)) < 0.8
    size = rng.uniform(5, 60, FRAMES)
    predicted[1], size[2] = np.nan, np.nan  # nobody found; nothing to measure by
    hits, counted = metrics.pck_hits(predicted, truth, valid, size, 0.5)
    for f in range(FRAMES):
        joints = [j for j in range(JOINTS) if valid[f, j] and f != 2]
        near = [
            j for j in joints if f != 1 and math.dist(predicted[f, j], truth[f, j]) <= size[f] / 2
        ]
        assert (hits[f], counted[f]) == (len(near), len(joints))


def test_pck_grows_with_the_threshold_and_is_the_same_in_any_unit():
    rng = np.random.default_rng(9)
    truth = rng.uniform(0, 100, (FRAMES, JOINTS, 2))
    predicted = truth + rng.normal(scale=10, size=truth.shape)
    size = np.full(FRAMES, 30.0)
    hits = [
        metrics.pck_hits(predicted, truth, all_valid(), size, t)[0] for t in (0.0, 0.2, 0.5, 9.0)
    ]
    assert (np.diff(hits, axis=0) >= 0).all() and (hits[-1] == JOINTS).all()
    doubled = metrics.pck_hits(2 * predicted, 2 * truth, all_valid(), 2 * size, 0.5)
    assert (doubled[0] == hits[2]).all()


def test_a_segment_without_an_end_or_a_length_is_unknown():
    points = np.array([[[0.0, 0.0], [3.0, 4.0]]] * 3)
    points[2, 1] = 0
    valid = np.array([[True, True], [True, False], [True, True]])
    np.testing.assert_equal(metrics.segment_px(points, valid, (0, 1)), [5.0, np.nan, np.nan])


@pytest.mark.parametrize("fps", [24.0, 60.0])
def test_derivatives_of_polynomials_are_exact_at_any_rate(fps):
    time = np.arange(20)[:, None, None] / fps
    joints = time**3 * np.ones((1, JOINTS, 1)) * [0.0, 3.0, 4.0]  # third derivative 6 |(3, 4)|
    assert metrics.jitter(joints, fps) == pytest.approx(30)
    assert metrics.jitter(joints - time**3 * [0.0, 3.0, 4.0] + time**2, fps) == pytest.approx(
        0, abs=1e-6
    )
    falling = -0.5 * 9.81 * time**2 * np.ones((1, JOINTS, 1)) * [0.0, 0.0, 1.0]
    assert metrics.acceleration(falling, fps) == pytest.approx(9.81)


def test_derivatives_need_enough_frames():
    joints = np.zeros((3, JOINTS, 3))
    assert metrics.acceleration(joints, 30.0) == 0 and math.isnan(metrics.jitter(joints, 30.0))
    assert math.isnan(metrics.acceleration(joints[:2], 30.0))


def test_rigid_motion_leaves_bones_their_length_and_a_pulse_does_not():
    rng = np.random.default_rng(10)
    rest = rng.normal(scale=300, size=(JOINTS, 3))
    turns = Rotation.random(8, random_state=3).as_matrix()
    bones = tuple((j, j + 1) for j in range(JOINTS - 1))
    moving = np.einsum("fab,jb->fja", turns, rest)
    assert metrics.bone_length_std_mm(moving, bones) == pytest.approx(0, abs=1e-9)
    pulse = np.array([1.1, 0.9] * 4)[:, None, None]
    lengths = np.linalg.norm(np.diff(rest, axis=0), axis=-1)
    assert metrics.bone_length_std_mm(pulse * moving, bones) == pytest.approx(0.1 * lengths.mean())


def test_feet_slide_only_along_the_ground_and_only_in_contact():
    feet = np.zeros((4, 2, 3))
    feet[:, 0] = [[0, 0, 0], [3, 4, 9], [3, 4, 9], [60, 0, 0]]  # 5 mm along the ground, then still
    contacts = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.2, 0.0]])
    up = np.array([0.0, 0.0, 1.0])
    assert metrics.foot_sliding_mm(feet, contacts, up) == pytest.approx(2.5)
    assert math.isnan(metrics.foot_sliding_mm(feet, np.zeros((4, 2)), up))


def test_means_leave_out_what_could_not_be_judged():
    values = np.array([1.0, np.nan, 4.0])
    assert metrics.mean_of(values) == 2.5
    assert metrics.mean_of(values, np.array([2.0, 9.0, 1.0])) == 2.0
    assert math.isnan(metrics.mean_of(np.array([np.nan])))


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(11)
    hits = 0
    for seed in range(200):
        values = rng.normal(5.0, 2.0, size=60)
        low, high = metrics.bootstrap_interval(values, np.arange(60), resamples=300, seed=seed)
        hits += low <= 5.0 <= high
    assert 175 <= hits <= 200  # 190 expected


def test_intervals_are_reproducible_and_hold_the_mean():
    values = np.random.default_rng(12).normal(size=50)
    groups = np.arange(50)
    first = metrics.bootstrap_interval(values, groups)
    assert first == metrics.bootstrap_interval(values, groups)
    assert first[0] < metrics.mean_of(values) < first[1]


def test_frames_that_fail_together_widen_the_interval():
    rng = np.random.default_rng(13)
    values = np.repeat(rng.normal(size=20), 10)
    apart = metrics.bootstrap_interval(values, np.arange(200))
    together = metrics.bootstrap_interval(values, np.repeat(np.arange(20), 10))
    assert together[1] - together[0] > 2 * (apart[1] - apart[0])


def test_one_group_has_no_interval():
    low, high = metrics.bootstrap_interval(np.ones(5), np.zeros(5, dtype=int))
    assert math.isnan(low) and math.isnan(high)
