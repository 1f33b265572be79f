"""Skeleton tables."""

import pytest

from hund_backend.body import skeleton

MIRRORS = {
    "joints": (skeleton.JOINT_NAMES, skeleton.MIRROR),
    "parts": (skeleton.PART_NAMES, skeleton.PART_MIRROR),
    "fine parts": (skeleton.FINE_PART_NAMES, skeleton.FINE_PART_MIRROR),
    **{n: (skeleton.KEYPOINT_NAMES[n], m) for n, m in skeleton.KEYPOINT_MIRROR.items()},
}


def test_tables_have_their_lengths():
    assert len(skeleton.JOINT_NAMES) == len(set(skeleton.JOINT_NAMES)) == 63
    assert len(skeleton.PART_NAMES) == 15
    assert [len(names) for names in skeleton.KEYPOINT_NAMES.values()] == [33, 17, 17]


def test_parents_come_first():
    assert skeleton.PARENTS[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(skeleton.PARENTS) if joint)


@pytest.mark.parametrize("table", MIRRORS)
def test_mirroring_twice_is_the_identity(table):
    names, mirror = MIRRORS[table]
    assert [mirror[mirror[index]] for index in range(len(names))] == list(range(len(names)))
    assert any(mirror[index] != index for index in range(len(names)))


def test_mirroring_commutes_with_parents():
    for joint, parent in enumerate(skeleton.PARENTS[1:], start=1):
        assert skeleton.PARENTS[skeleton.MIRROR[joint]] == skeleton.MIRROR[parent]


def test_joint_groups_partition_the_joints():
    groups = (
        skeleton.BODY_JOINTS,
        skeleton.FACE_JOINTS,
        skeleton.LEFT_HAND_JOINTS,
        skeleton.RIGHT_HAND_JOINTS,
    )
    assert sorted(sum(groups, ())) == list(range(63))
    assert [len(group) for group in groups] == [26, 7, 15, 15]


def test_fine_parts_lie_on_the_side_of_their_parts():
    for fine, part in enumerate(skeleton.PART_OF_FINE_PART):
        mirrored = skeleton.PART_OF_FINE_PART[skeleton.FINE_PART_MIRROR[fine]]
        assert mirrored == skeleton.PART_MIRROR[part]
