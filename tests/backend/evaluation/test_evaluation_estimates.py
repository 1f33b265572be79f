"""Estimates: the file alone gives the body's points, the annotated person is chosen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_kits import INTRINSICS, make_kit, projected

from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_quaternion, rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, H36M_NAMES, JOINT_NAMES, PARENTS
from hund_backend.errors import BadInputError
from hund_backend.evaluation.body_points import body_joints, body_points
from hund_backend.evaluation.estimates import ClipResult, estimate
from hund_backend.evaluation.report import evaluate, markdown, write
from hund_backend.evaluation.scoring import score
from hund_backend.evaluation.temporal_metrics import LIMBS, longest_run, score_track
from hund_backend.perception.evidence import Evidence
from hund_backend.reconstruction import Reconstruction

NAMES = (*LIMBS, "neck", "spine", "head_top", "head_joint", "pelvis", "right_small_toe")
SIZE = (1000, 1000)


@pytest.fixture(scope="module")
def body():
    return BodyModel.load("keypoints")


def perfect_result(body, people=2, frames=3, seed=0, present=None):
    """Result of a perfect pipeline: evidence and reconstruction of the same random poses."""
    rng = np.random.default_rng(seed)

    def tensor(scale, *shape):
        return torch.from_numpy(rng.normal(scale=scale, size=shape)).float()

    rotations = rotvec_to_matrix(tensor(0.2, people, frames, 63, 3))
    betas = tensor(1.0, people, 16)
    places = tensor(0.3, people, frames, 3) + torch.tensor([0.0, 0.0, 5.0])
    posed = body(
        rotations[:, :, 1:],
        betas[:, None].expand(-1, frames, -1),
        global_orient=rotations[:, :, 0],
        root_translation=places,
    )
    points = body.keypoints(posed, "blazepose").numpy().astype(float)
    joints = body.keypoints(posed, "h36m").numpy().astype(float)
    for limb in LIMBS:  # this detector finds what kits label, not what BlazePose does
        points[:, :, BLAZEPOSE_NAMES.index(limb)] = joints[:, :, H36M_NAMES.index(limb)]
    present = np.ones((people, frames), dtype=bool) if present is None else present
    confidence = np.ones((people, frames, 33, 1))
    keypoints = np.concatenate((projected(points), confidence), axis=-1).astype(np.float32)
    zeros = np.zeros((people, frames, 52), np.float32)
    reconstruction = Reconstruction(
        provenance={},
        fps=30.0,
        frame_numbers=np.arange(frames),
        times=np.arange(frames) / 30,
        image_size=SIZE,
        intrinsics=np.tile(INTRINSICS, (frames, 1, 1)),
        world_from_camera=np.tile(np.eye(4), (frames, 1, 1)),
        joint_names=JOINT_NAMES,
        parents=np.array(PARENTS),
        track_ids=np.arange(people) + 7,
        present=present,
        rotations=matrix_to_quaternion(rotations).numpy(),
        root_translation=places.numpy(),
        betas=betas.numpy(),
        expression=zeros[..., :20],
        arkit=zeros,
        joints=posed.joints.numpy(),
        keypoints=keypoints,
        joint_confidence=np.ones((people, frames, 63), np.float32),
        contacts=np.ones((people, frames, 4), np.float32),
        stage_losses=np.zeros((people, frames, 1, 1), np.float32),
    )
    reconstruction.validate()
    return ClipResult(
        reconstruction=reconstruction,
        evidence=tuple(
            perfect_evidence(7 + p, points[p], keypoints[p], present[p]) for p in range(people)
        ),
    )


def perfect_evidence(track_id, points, keypoints, present):
    frames = len(points)
    hips = [BLAZEPOSE_NAMES.index(hip) for hip in ("left_hip", "right_hip")]
    return Evidence(
        track_id=track_id,
        frames=np.arange(frames),
        observed=present,
        keypoints=keypoints.astype(float),
        world_landmarks=points - points[:, hips].mean(axis=1, keepdims=True),
        crops=np.tile([500.0, 500, 800, 0], (frames, 1)),
        intrinsics=np.tile(INTRINSICS, (frames, 1, 1)),
        masks=np.zeros((frames, 64, 64), np.uint8),
    )


def truth_of(result, body, person, names=NAMES, *, in_image=False):
    """True joints of one person in mm, zero where our body does not know the joint."""
    points = body_points(result.reconstruction, body, names, in_image=in_image)
    blank = np.zeros((len(result.reconstruction.times), 3))
    return 1000 * np.stack([points[n][person] if n in points else blank for n in names], axis=1)


def kit_of_clip(result, body, person, *, flat=False):
    truth, in_image = (truth_of(result, body, person, in_image=p) for p in (False, True))
    truth[:, -1] = in_image[:, -1] = [0, 0, 1]
    return make_kit(None if flat else truth, projected(in_image), clip="c.mp4", names=NAMES)


def means(kit, estimates, joints):
    return {key: figure.mean for key, figure in score(kit, estimates, joints).items()}


@pytest.mark.parametrize("person", [0, 1])
@pytest.mark.parametrize("flat", [False, True])
def test_the_annotated_person_is_chosen_and_scores_perfectly(body, person, flat):
    result = perfect_result(body)
    kit = kit_of_clip(result, body, person, flat=flat)
    estimates = estimate(kit, lambda request: result, body)
    assert estimates.num_people == (2, 2, 2)
    assert [track.person for track in estimates.tracks] == [person]
    for figures, tolerance_mm in (
        (means(kit, estimates.reconstruction, body_joints(NAMES)), 0.01),
        # The detector's points on the limbs are not their joints' centres.
        (means(kit, estimates.detector, LIMBS), 30),
    ):
        for key, mean in figures.items():
            assert mean < tolerance_mm if key.endswith("mm") else mean == pytest.approx(100)
        assert len(figures) == (3 if flat else 5)


def test_the_file_alone_gives_the_joints_that_were_posed(body):
    result = perfect_result(body)
    points = body_points(result.reconstruction, body, ("head_joint", "pelvis"))
    joints = result.reconstruction.joints
    for name, joint in (("head_joint", "Head01"), ("pelvis", "Pelvis")):
        expected = joints[:, :, JOINT_NAMES.index(joint)]
        np.testing.assert_allclose(points[name], expected, atol=1e-5)


def test_joints_that_the_body_does_not_define_are_left_out():
    assert body_joints(NAMES) == NAMES[:-1]
    assert body_joints(("left_small_toe", "left_heel", "left_ear")) == ("left_heel", "left_ear")


def test_an_interpolated_person_is_not_found(body):
    present = np.array([[True, False, True]])
    result = perfect_result(body, people=1, present=present)
    kit = kit_of_clip(result, body, 0)
    estimates = estimate(kit, lambda request: result, body)
    assert estimates.reconstruction.found.tolist() == [True, False, True]
    assert np.isnan(estimates.reconstruction.joints_mm[1]).all()
    assert np.isnan(estimates.detector.joints_px[1]).all()


def test_nobody_found_scores_zero_in_2d(body):
    kit = kit_of_clip(perfect_result(body), body, 0)
    estimates = estimate(kit, lambda request: None, body)
    assert estimates.num_people == (0, 0, 0) and not estimates.tracks
    assert means(kit, estimates.detector, LIMBS)["pck_torso_50"] == 0


def test_a_clip_is_processed_once_and_pictures_one_by_one(body):
    result, requests = perfect_result(body, frames=40), []

    def predict(request):
        requests.append(request)
        return result

    clip = kit_of_clip(result, body, 0)
    estimate(replace(clip, frames=clip.frames[35:38]), predict, body)
    assert [(r.path, r.start, r.end) for r in requests] == [(Path("c.mp4"), 5, 67)]
    requests.clear()
    estimate(make_kit(truth_of(result, body, 0)[:3], names=NAMES), predict, body)
    assert [(str(r.path), r.start) for r in requests] == [(f"{n}.png", None) for n in range(3)]
    assert all(np.array_equal(r.intrinsics, INTRINSICS) for r in requests)


def test_a_frame_of_another_size_is_an_error(body):
    result = perfect_result(body)
    kit = kit_of_clip(result, body, 0)
    wrong = replace(kit, frames=tuple(replace(frame, width=999) for frame in kit.frames))
    with pytest.raises(BadInputError, match="1000 x 1000 pixels where the kit says 999"):
        estimate(wrong, lambda request: result, body)


def test_temporal_metrics_are_zero_for_a_still_person_and_not_for_a_shaking_one(body):
    result = perfect_result(body, people=1, frames=20)
    still = result.reconstruction
    still = replace(
        still,
        rotations=np.repeat(still.rotations[:, :1], 20, axis=1),
        root_translation=np.repeat(still.root_translation[:, :1], 20, axis=1),
    )
    still_estimates, shaking_estimates = (
        estimate(
            kit_of_clip(result, body, 0),
            lambda request, chosen=chosen: ClipResult(
                reconstruction=chosen, evidence=result.evidence
            ),
            body,
        )
        for chosen in (still, result.reconstruction)
    )
    still_metrics = score_track(still_estimates.tracks[0], body)["reconstruction"]
    assert all(value == pytest.approx(0, abs=1e-2) for value in still_metrics.values())
    shaking = score_track(shaking_estimates.tracks[0], body)
    own, detector = shaking["reconstruction"], shaking["detector"]
    assert own["jitter"] == pytest.approx(detector["jitter"], rel=0.02)
    assert own["foot_sliding_mm"] > 10
    assert own["bone_length_std_mm"] == pytest.approx(detector["bone_length_std_mm"], abs=10)


def test_longest_run_without_a_gap():
    present = np.array([1, 1, 0, 1, 1, 1, 0, 1], dtype=bool)
    assert longest_run(present) == slice(3, 6)
    assert longest_run(np.ones(4, dtype=bool)) == slice(0, 4)


def test_the_report_holds_every_row_and_no_nan(body, tmp_path):
    result = perfect_result(body, present=np.array([[True, True, False], [True, True, False]]))
    kit = kit_of_clip(result, body, 0)
    report = evaluate([kit], lambda request: result, body)
    write(report, tmp_path)
    (scored,) = report["kits"]
    assert [(r["method"], r["joints"], r["num_joints"]) for r in scored["rows"]] == [
        ("reconstruction", "all", 17),
        ("reconstruction", "shared", 12),
        ("detector", "shared", 12),
    ]
    assert scored["joints"]["not_scored"] == ["right_small_toe"]
    assert [row["found"] for row in scored["rows"]] == [2, 2, 2]
    assert "NaN" not in (tmp_path / "evaluation.json").read_text()
    table = (tmp_path / "evaluation.md").read_text()
    assert "| reconstruction | shared (12) | 2 / 3 | 0.0" in table and table == markdown(report)
