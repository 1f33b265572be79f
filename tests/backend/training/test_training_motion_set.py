"""The motion set: artifact rules, takes, splits and contacts."""

import numpy as np
import pytest
import torch
from stick_figures import figure_motion, pack, smooth, write

from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, PARENTS
from hund_backend.errors import BadInputError
from hund_backend.training.motion.artifacts import ArtifactRules
from hund_backend.training.motion.capsules import PAIRS, CapsuleBody, segment_distance
from hund_backend.training.motion.contacts import Soles, sole_contacts
from hund_backend.training.motion.depenetration import Depenetration
from hund_backend.training.motion.duplicates import best_correlation, take_of_clips
from hund_backend.training.motion.foot_repair import FootRepair
from hund_backend.training.motion.motion_set import motion_set


def at_rest(frames):
    return torch.eye(3, dtype=torch.float64).repeat(frames, 63, 1, 1)


def turn(rotations, joint, degrees, axis):
    vector = torch.tensor(axis, dtype=torch.float64).deg2rad() * degrees
    rotations[..., JOINT_INDEX[joint], :, :] = rotvec_to_matrix(vector)
    return rotations


def joints_of(rotations):
    rest = BodyModel.load("keypoints").rest_template.double()
    return forward_kinematics(rotations, rest.expand(len(rotations), -1, -1), PARENTS)[1]


@pytest.fixture(scope="module")
def capsules():
    return CapsuleBody()


def hand_in_the_belly():
    rotations = turn(at_rest(1), "UpperarmL", -40, (0.0, 0.0, 1.0))
    return turn(rotations, "LowerarmL", 75, (0.0, 0.0, -1.0))


def test_segment_distance_equals_a_naive_search():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 50, 2, 3, generator=generator).double()
    shares = torch.linspace(0, 1, 201).double()[:, None]
    points = [s[:, None, 0] + shares * (s[:, None, 1] - s[:, None, 0]) for s in (first, second)]
    naive = torch.cdist(*points).flatten(1).amin(-1)
    torch.testing.assert_close(segment_distance(first, second), naive, atol=0.02, rtol=0)
    assert (segment_distance(first, second) <= naive + 1e-9).all()


def test_rest_pose_has_no_penetration(capsules):
    assert capsules.penetration(joints_of(at_rest(1))).max() < 0


def test_depenetration_moves_a_hand_out_of_the_belly(capsules):
    inside = hand_in_the_belly()
    depth = capsules.penetration(joints_of(inside))[0]
    assert depth.max() > 0.03
    assert {part for part in PAIRS[int(depth.argmax())]} & {"handL", "forearmL"}
    freed = Depenetration().resolve(inside)
    assert capsules.penetration(joints_of(freed)).max() < depth.max() / 2
    others = [j for name, j in JOINT_INDEX.items() if name not in ("UpperarmL", "LowerarmL")]
    torch.testing.assert_close(freed[:, others], inside[:, others], atol=1e-6, rtol=0)


def test_depenetration_keeps_free_poses():
    rotations = turn(at_rest(3), "UpperarmL", 30, (0.0, 0.0, 1.0))
    torch.testing.assert_close(Depenetration().resolve(rotations), rotations)


def test_each_rule_finds_its_artifact_only():
    rules = ArtifactRules()
    assert not torch.stack(list(rules.violations(at_rest(9), 30.0).values())).any()
    bent = turn(at_rest(9), "CalfL", -60, (1.0, 0.0, 0.0))
    assert rules.violations(bent, 30.0)["limits"].all()
    assert not rules.violations(bent, 30.0)["jump"].any()
    flicker = at_rest(9)
    turn(flicker[4:5], "UpperarmL", 60, (0.0, 0.0, 1.0))
    assert rules.violations(flicker, 30.0)["jump"].tolist() == [k in (3, 4, 5) for k in range(9)]
    assert rules.violations(hand_in_the_belly(), 30.0)["penetration"].all()


def features(frames, seed):
    return smooth(frames, 27, np.random.default_rng(seed)) * 0.1


def test_duplicates_are_found_in_other_skeletons_and_cuts():
    take, unrelated = features(120, seed=0), features(120, seed=1)
    noise = 0.005 * np.random.default_rng(2).standard_normal((120, 27))
    bones = np.random.default_rng(3).uniform(0.85, 1.15, 27)
    copy = take * bones + 0.1 + noise
    found = take_of_clips([take, unrelated, copy, copy[40:100]], ["a", "a", "b", "c"])
    assert found.tolist() == [0, 1, 0, 0]


def test_similar_takes_of_one_pack_are_different():
    take = features(120, seed=0)
    copy = take + 0.03 * np.random.default_rng(2).standard_normal((120, 27))
    assert take_of_clips([take, copy], ["a", "a"]).tolist() == [0, 1]
    assert take_of_clips([take, take[30:90]], ["a", "a"]).tolist() == [0, 0]


def test_correlation_finds_the_offset():
    take = features(100, seed=4)
    value, offset = best_correlation(take, take[37:80])
    assert value == pytest.approx(1)
    assert offset == 37
    assert best_correlation(take[37:80], take)[1] == -37


def test_contacts_of_standing_walking_and_jumping():
    soles, standing = Soles(), at_rest(10)
    places = torch.zeros(10, 3, dtype=torch.float64)
    assert sole_contacts(soles.positions(standing, places), 30.0).all()
    walking = places + torch.arange(10)[:, None] * torch.tensor([0.0, 0.0, 0.05])
    assert not sole_contacts(soles.positions(standing, walking), 30.0).any()
    jumping = places.clone()
    jumping[5:, 1] = 0.3
    assert not sole_contacts(soles.positions(standing, jumping), 30.0)[6:].any()


def test_short_ankle_gaps_are_interpolated():
    rotations = at_rest(60)
    for part in (slice(5, 10), slice(20, 50)):
        turn(rotations[part], "AnkleL", 150, (0.0, 1.0, 0.0))
    repaired = FootRepair().repair_ankles(rotations, 30.0)[:, JOINT_INDEX["AnkleL"]]
    torch.testing.assert_close(repaired[:20], at_rest(20)[:, 0])
    torch.testing.assert_close(repaired[20:], rotations[20:, JOINT_INDEX["AnkleL"]])


def test_toes_lie_on_the_ground_while_the_heel_is_up():
    rotations = turn(at_rest(20), "AnkleL", 40, (1.0, 0.0, 0.0))
    toes = FootRepair().add_toes(rotations, torch.zeros(20, dtype=torch.float64))
    expected = turn(at_rest(1), "BallL", -40, (1.0, 0.0, 0.0))[0, JOINT_INDEX["BallL"]]
    torch.testing.assert_close(toes[0, JOINT_INDEX["BallL"]], expected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten clips in one pack; the second pack repeats the last and has one of its own."""
    folder = tmp_path_factory.mktemp("packs")
    clips = [figure_motion(100 + 7 * seed, seed) for seed in range(10)]
    built = pack(clips)
    names = ("humanoid3d_cartwheel.txt", *built.clip_names[1:])
    write(folder, type(built)(**{**vars(built), "clip_names": names}))
    turned = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    copy = [clips[0], figure_motion(100, 99)]
    write(folder, pack(copy, name="isaacgym_cmu", turn=turned, scale=1.1))
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def motions(folder, cache):
    return motion_set(folder, cache)


def test_duplicates_are_dropped_and_splits_are_disjoint(motions):
    assert len(motions.names) == len(set(motions.names)) == 11
    assert "isaacgym_cmu/clip0" not in motions.names
    held_out = [
        n for n, split in zip(motions.names, motions.splits, strict=True) if split == "held_out"
    ]
    assert held_out == ["deepmimic/humanoid3d_cartwheel"]
    frames = torch.stack([motions.frames_of(s) for s in ("train", "validation", "held_out")])
    assert torch.equal(frames.sum(0), motions.usable.long())
    assert 0.03 < motions.splits.count("validation") / 11 < 0.3


def test_clip_weight_is_the_root_of_its_usable_length(motions):
    sums = torch.zeros(11).index_add(0, motions.clips, motions.weights())
    counts = torch.zeros(11).index_add(0, motions.clips, motions.usable.float())
    torch.testing.assert_close(sums, counts.sqrt(), rtol=1e-4, atol=0)  # sums of some 100 floats


def test_mirroring_twice_is_the_identity(motions):
    twice = motions.mirrored().mirrored()
    torch.testing.assert_close(twice.rotations, motions.rotations)
    assert torch.equal(twice.translation, motions.translation)
    assert torch.equal(twice.contacts, motions.contacts)


def test_set_is_cached(folder, cache, motions):
    (kept,) = (cache / "motion").iterdir()
    built = kept.stat().st_mtime_ns
    back = motion_set(folder, cache)
    assert kept.stat().st_mtime_ns == built
    assert back.names == motions.names
    assert back.rotations.dtype == torch.float32
    assert torch.equal(back.rotations, motions.rotations)


def test_missing_packs_are_an_error(tmp_path):
    with pytest.raises(BadInputError, match="no pack"):
        motion_set(tmp_path, tmp_path)
