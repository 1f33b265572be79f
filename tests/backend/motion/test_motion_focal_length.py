"""Focal length from steps, and what changes with it."""

import numpy as np
import pytest
import torch
from test_motion_upright import standing, track

from hund_backend.body.camera import default_intrinsics, project
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.descent.refocus import (
    refocused_evidence,
    refocused_intrinsics,
    refocused_result,
)
from hund_backend.descent.result import DescentResult
from hund_backend.descent.state import State
from hund_backend.motion.focal_length import estimate_focal_length
from hund_backend.perception.crops import camera_from_crop
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.hands.evidence import HandEvidence

FRAMES, STEP = 90, 15


def walker(ratio, speed=0.03, seed=0, noise=0.0):
    """Somebody who walks away from the camera, posed with a focal length 1 / ratio too long.

    Feet that bear stay in place; the pelvis passes over them.
    """
    rng = np.random.default_rng(seed)
    joints, feet = standing(frames=FRAMES)
    frames = np.arange(FRAMES)
    way = speed * frames
    bearing = np.zeros((FRAMES, 6))
    for side in (0, 1):
        stance = (frames // STEP) % 2 == side
        bearing[stance, 3 * side : 3 * side + 3] = 0.9
        middle = way[np.clip(frames // STEP * STEP + STEP // 2, 0, FRAMES - 1)]
        feet[:, 3 * side : 3 * side + 3, 2] += np.where(stance, middle - way, 0)[:, None]
    place = np.zeros((FRAMES, 1, 3))
    place[:, 0, 2] = (4 + way) / ratio + noise * rng.normal(size=FRAMES)
    return track(joints + place, feet + place), bearing


@pytest.mark.parametrize("ratio", [0.6, 0.8, 1.0, 1.3, 1.6])
def test_who_walks_in_depth_gives_the_focal_length(ratio):
    person, bearing = walker(ratio, noise=0.005)
    found = estimate_focal_length([person], (bearing,))
    assert found.is_sure
    assert abs(np.log(found.ratio / ratio)) < 0.25 * abs(np.log(ratio)) + 0.02


def test_more_people_make_it_surer_unless_they_contradict():
    one, two, other = walker(0.7), walker(0.7, speed=0.02), walker(1.5)

    def found(*people):
        return estimate_focal_length([p for p, _ in people], tuple(b for _, b in people))

    assert found(one, two).confidence > found(one).confidence
    assert found(one, other).confidence < found(one).confidence


@pytest.mark.parametrize("speed", [0.0, 0.0005])
def test_who_stays_at_one_depth_says_nothing(speed):
    person, bearing = walker(0.7, speed=speed, noise=0.01)
    found = estimate_focal_length([person], (bearing,))
    assert not found.is_sure
    assert found.ratio == pytest.approx(1, abs=0.05)


def test_ways_that_have_nothing_in_common_say_nothing():
    person, bearing = walker(0.05)  # a zoom
    assert estimate_focal_length([person], (bearing,)).ratio == 1
    assert estimate_focal_length([person], (0 * bearing,)).confidence == 0


def test_a_cut_is_no_step():
    person, bearing = walker(0.8)
    joints, feet = person.joints.copy(), person.feet.copy()
    joints[45:, :, 2] += 3
    feet[45:, :, 2] += 3
    cut = track(joints.astype(float), feet)
    plain = estimate_focal_length([person], (bearing,))
    split = estimate_focal_length([cut], (bearing,), (0, 45))
    assert split.ratio == pytest.approx(plain.ratio, rel=0.05)


def random_state(*batch):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*batch, *shape, generator=generator)

    place = normal(3) * torch.tensor([0.8, 0.3, 0.3]) + torch.tensor([0, 0, 5.0])
    return State(
        pose=rotvec_to_matrix(normal(62, 3)),
        betas=normal(16),
        global_orient=rotvec_to_matrix(normal(3)),
        root_translation=place,
    )


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.4])
def test_with_another_focal_length_people_look_the_same(ratio):
    frames, before = 4, default_intrinsics(1280, 720)
    after = refocused_intrinsics(before, ratio)
    state, stages = random_state(frames), random_state(frames, 2)
    result = DescentResult(
        state=state,
        stages=stages,
        stage_losses=torch.zeros(frames, 2, 1),
        terms=("a",),
        joint_confidence=torch.ones(frames, 63),
        converged=True,
    )
    found = refocused_result(result, ratio).state
    # A body of points around the pelvis: the same picture, but for the perspective in it.
    body = torch.randn(frames, 10, 3, generator=torch.Generator().manual_seed(1)) * 0.02
    pixels, scales = [], []
    for each, intrinsics in ((state, before), (found, after)):
        lens = torch.from_numpy(intrinsics).float()
        points = (body @ each.global_orient.mT) + each.root_translation[:, None]
        pixels.append(project(points, lens))
        scales.append(each.root_translation.norm(dim=-1))
    torch.testing.assert_close(pixels[0], pixels[1], atol=1.5, rtol=0)
    torch.testing.assert_close(found.root_translation[:, 2], ratio * state.root_translation[:, 2])
    eye = found.global_orient @ found.global_orient.mT
    torch.testing.assert_close(eye, torch.eye(3).expand_as(eye), atol=1e-5, rtol=0)
    back = refocused_result(refocused_result(result, ratio), 1 / ratio)
    torch.testing.assert_close(back.state.global_orient, state.global_orient, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        back.stages.root_translation, stages.root_translation, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("ratio", [0.7, 1.4])
def test_weak_landmarks_keep_their_look_from_the_camera(ratio):
    rng, frames = np.random.default_rng(0), 3
    intrinsics = np.repeat(default_intrinsics(1280, 720)[None], frames, axis=0)
    hand_crops = np.stack(
        [np.column_stack((rng.uniform(200, 900, (frames, 2)), [80] * 3, rng.normal(size=3)))] * 2,
        axis=1,
    )
    hands = HandEvidence(
        observed=np.ones((frames, 2), bool),
        keypoints=rng.uniform(0, 1, (frames, 2, 21, 3)),
        world_landmarks=rng.normal(size=(frames, 2, 21, 3)),
        crops=hand_crops,
    )
    crops = np.column_stack((rng.uniform(200, 1000, (frames, 2)), [300] * 3, rng.normal(size=3)))
    evidence = Evidence(
        track_id=0,
        frames=np.arange(frames),
        observed=np.ones(frames, bool),
        keypoints=rng.uniform(0, 1, (frames, 33, 3)),
        world_landmarks=rng.normal(size=(frames, 33, 3)),
        crops=crops,
        intrinsics=intrinsics,
        masks=np.zeros((frames, 64, 64), np.uint8),
        hands=hands,
    )
    found = refocused_evidence(evidence, ratio)
    for row in range(frames):
        seen = [
            each.world_landmarks[row] @ camera_from_crop(crops[row], each.intrinsics[row])
            for each in (evidence, found)
        ]
        np.testing.assert_allclose(seen[0], seen[1], atol=1e-9)
        for side in (0, 1):
            crop = hand_crops[row, side]
            seen = [
                each.hands.world_landmarks[row, side]
                @ camera_from_crop(crop, each.intrinsics[row])
                for each in (evidence, found)
            ]
            np.testing.assert_allclose(seen[0], seen[1], atol=1e-9)
    np.testing.assert_array_equal(found.keypoints, evidence.keypoints)
