"""Laws of estimates: the file alone gives the body's points, the right person is picked."""

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
from hund_backend.evaluation import steadiness
from hund_backend.evaluation.body_points import body_joints, body_points
from hund_backend.evaluation.estimates import Seen, estimate
from hund_backend.evaluation.report import evaluate, markdown, write
from hund_backend.evaluation.scoring import score
from hund_backend.perception.evidence import Evidence
from hund_backend.reconstruction import Reconstruction

NAMES = (*steadiness.LIMBS, "neck", "spine", "head_top", "head_joint", "pelvis", "right_small_toe")
SIZE = (1000, 1000)


@pytest.fixture(scope="module")
def body():
    return BodyModel.load("keypoints")


def see(body, people=2, frames=3, seed=0, present=None):
    """A clip seen perfectly: evidence and reconstruction of the same random poses."""
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
    for limb in steadiness.LIMBS:  # this detector sees what kits label, not what BlazePose does
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
    return Seen(
        reconstruction=reconstruction,
        evidence=tuple(
            see_person(7 + p, points[p], keypoints[p], present[p]) for p in range(people)
        ),
    )


def see_person(track_id, points, keypoints, present):
    frames = len(points)
    hips = [BLAZEPOSE_NAMES.index(hip) for hip in ("left_hip", "right_hip")]
    return Evidence(
        track_id=track_id,
        frames=np.arange(frames),
        observed=present,
        keypoints=keypoints.astype(float),
        world_landmarks=points - points[:, hips].mean(axis=1, keepdims=True),
        crops=np.tile([500.0, 500, 800, 0], (frames, 1)),
        crop_intrinsics=np.tile(INTRINSICS, (frames, 1, 1)),
        masks=np.zeros((frames, 64, 64), np.uint8),
    )


def truth_of(seen, body, person, names=NAMES, *, pictured=False):
    """True joints of one person in mm, zero where our body does not know the joint."""
    points = body_points(seen.reconstruction, body, names, pictured=pictured)
    blank = np.zeros((len(seen.reconstruction.times), 3))
    return 1000 * np.stack([points[n][person] if n in points else blank for n in names], axis=1)


def kit_of_clip(seen, body, person, *, flat=False):
    truth, pictured = (truth_of(seen, body, person, pictured=p) for p in (False, True))
    truth[:, -1] = pictured[:, -1] = [0, 0, 1]
    return make_kit(None if flat else truth, projected(pictured), clip="c.mp4", names=NAMES)


def means(kit, estimates, joints):
    return {key: figure.mean for key, figure in score(kit, estimates, joints).items()}


@pytest.mark.parametrize("person", [0, 1])
@pytest.mark.parametrize("flat", [False, True])
def test_the_person_that_is_meant_is_picked_and_scores_perfectly(body, person, flat):
    seen = see(body)
    kit = kit_of_clip(seen, body, person, flat=flat)
    outcome = estimate(kit, lambda request: seen, body)
    assert outcome.num_people == (2, 2, 2)
    assert [track.person for track in outcome.tracks] == [person]
    for figures, apart_mm in (
        (means(kit, outcome.reconstruction, body_joints(NAMES)), 0.01),
        # The detector's points on the limbs are not their joints' centres.
        (means(kit, outcome.detector, steadiness.LIMBS), 30),
    ):
        for key, mean in figures.items():
            assert mean < apart_mm if key.endswith("mm") else mean == pytest.approx(100)
        assert len(figures) == (3 if flat else 5)


def test_the_file_alone_gives_the_joints_that_were_posed(body):
    seen = see(body)
    points = body_points(seen.reconstruction, body, ("head_joint", "pelvis"))
    joints = seen.reconstruction.joints
    for name, joint in (("head_joint", "Head01"), ("pelvis", "Pelvis")):
        expected = joints[:, :, JOINT_NAMES.index(joint)]
        np.testing.assert_allclose(points[name], expected, atol=1e-5)


def test_joints_that_we_do_not_define_are_left_out():
    assert body_joints(NAMES) == NAMES[:-1]
    assert body_joints(("left_small_toe", "left_heel", "left_ear")) == ("left_heel", "left_ear")


def test_a_person_who_is_bridged_over_is_not_found(body):
    present = np.array([[True, False, True]])
    seen = see(body, people=1, present=present)
    kit = kit_of_clip(seen, body, 0)
    outcome = estimate(kit, lambda request: seen, body)
    assert outcome.reconstruction.found.tolist() == [True, False, True]
    assert np.isnan(outcome.reconstruction.joints_mm[1]).all()
    assert np.isnan(outcome.detector.joints_px[1]).all()


def test_nobody_found_is_an_answer(body):
    kit = kit_of_clip(see(body), body, 0)
    outcome = estimate(kit, lambda request: None, body)
    assert outcome.num_people == (0, 0, 0) and not outcome.tracks
    assert means(kit, outcome.detector, steadiness.LIMBS)["pck_torso_50"] == 0


def test_a_clip_is_seen_once_and_pictures_one_by_one(body):
    seen, requests = see(body, frames=40), []

    def look(request):
        requests.append(request)
        return seen

    clip = kit_of_clip(seen, body, 0)
    estimate(replace(clip, frames=clip.frames[35:38]), look, body)
    assert [(r.path, r.start, r.end) for r in requests] == [(Path("c.mp4"), 5, 67)]
    requests.clear()
    estimate(make_kit(truth_of(seen, body, 0)[:3], names=NAMES), look, body)
    assert [(str(r.path), r.start) for r in requests] == [(f"{n}.png", None) for n in range(3)]
    assert all(np.array_equal(r.intrinsics, INTRINSICS) for r in requests)


def test_a_frame_of_another_size_is_an_error(body):
    seen = see(body)
    kit = kit_of_clip(seen, body, 0)
    wrong = replace(kit, frames=tuple(replace(frame, width=999) for frame in kit.frames))
    with pytest.raises(BadInputError, match="1000 x 1000 pixels where the kit says 999"):
        estimate(wrong, lambda request: seen, body)


def test_a_stiff_person_at_rest_is_steady_and_a_shaking_one_is_not(body):
    seen = see(body, people=1, frames=20)
    still = seen.reconstruction
    still = replace(
        still,
        rotations=np.repeat(still.rotations[:, :1], 20, axis=1),
        root_translation=np.repeat(still.root_translation[:, :1], 20, axis=1),
    )
    calm, shaking = (
        estimate(
            kit_of_clip(seen, body, 0),
            lambda request, shown=shown: Seen(reconstruction=shown, evidence=seen.evidence),
            body,
        )
        for shown in (still, seen.reconstruction)
    )
    quiet = steadiness.steadiness(calm.tracks[0], body)["reconstruction"]
    assert all(value == pytest.approx(0, abs=1e-2) for value in quiet.values())
    loud = steadiness.steadiness(shaking.tracks[0], body)
    assert loud["reconstruction"]["jitter"] == pytest.approx(loud["detector"]["jitter"], rel=0.02)
    assert loud["reconstruction"]["foot_sliding_mm"] > 10
    assert loud["reconstruction"]["bone_length_std_mm"] == pytest.approx(
        loud["detector"]["bone_length_std_mm"], abs=10
    )


def test_the_longest_stretch_without_a_gap_is_found():
    present = np.array([1, 1, 0, 1, 1, 1, 0, 1], dtype=bool)
    assert steadiness.longest_run(present) == slice(3, 6)
    assert steadiness.longest_run(np.ones(4, dtype=bool)) == slice(0, 4)


def test_the_report_holds_every_row_and_no_nan(body, tmp_path):
    seen = see(body, present=np.array([[True, True, False], [True, True, False]]))
    kit = kit_of_clip(seen, body, 0)
    result = evaluate([kit], lambda request: seen, body)
    write(result, tmp_path)
    (scored,) = result["kits"]
    assert [(r["method"], r["joints"], r["num_joints"]) for r in scored["rows"]] == [
        ("reconstruction", "all", 17),
        ("reconstruction", "shared", 12),
        ("detector", "shared", 12),
    ]
    assert scored["joints"]["not_scored"] == ["right_small_toe"]
    assert [row["found"] for row in scored["rows"]] == [2, 2, 2]
    assert "NaN" not in (tmp_path / "evaluation.json").read_text()
    table = (tmp_path / "evaluation.md").read_text()
    assert "| reconstruction | shared (12) | 2 / 3 | 0.0" in table and table == markdown(result)
