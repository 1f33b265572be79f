"""Choice: a person of a quick look is found again by place and time in the whole clip."""

import numpy as np
import pytest
from synthetic_scene import INTRINSICS, SecondNetwork, SyntheticScene
from test_perception_run import COLORLESS, walker

from hund_backend.people_list import ListedPerson
from hund_backend.perception.choice import choices
from hund_backend.perception.run import Perception
from hund_backend.perception.tracker import TrackerConfig

FPS, FRAMES, STRIDE = 30.0, 60, 5
TIMES = np.arange(FRAMES) / FPS
PEOPLE = (walker(y=70, height=80), walker(y=190, start=220, speed=-2, height=60))


def listed(number, pose, *, chosen):
    boxes = [
        (float(TIMES[frame]), *found.box.tolist())
        for frame in range(0, FRAMES, STRIDE)
        if (found := pose(frame)) is not None
    ]
    return ListedPerson(
        id=number,
        picture="",
        presence=1.0,
        size=0.3,
        first=boxes[0][0],
        last=boxes[-1][0],
        static=False,
        confidence=1.0,
        chosen=chosen,
        boxes=tuple(boxes),
    )


def run(people, list_of, max_people=None):
    scene = SyntheticScene(list(people), num_frames=FRAMES)
    return Perception(scene, scene, SecondNetwork(scene), TrackerConfig(link=COLORLESS)).run(
        scene.frames(),
        INTRINSICS,
        fps=FPS,
        max_people=max_people,
        choose=lambda found: choices(list_of, found, TIMES),
    )


def is_pose(evidence, pose):
    expected = pose(int(evidence.frames[0])).points[:33]
    return np.abs(evidence.keypoints[0, :, :2] - expected).max() < 2


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("max_people", [None, 1])
def test_only_the_chosen_person_is_kept(kept, max_people):
    list_of = [listed(i, pose, chosen=i == kept) for i, pose in enumerate(PEOPLE)]
    (evidence,) = run(PEOPLE, list_of, max_people)
    assert is_pose(evidence, PEOPLE[kept])


def test_a_list_in_which_all_are_chosen_changes_nothing():
    list_of = [listed(i, pose, chosen=True) for i, pose in enumerate(PEOPLE)]
    chosen, plain = run(PEOPLE, list_of), run(PEOPLE, [])
    assert len(chosen) == len(plain) == 2
    for one, other in zip(chosen, plain, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)


def test_who_is_not_listed_is_kept_after_the_chosen():
    list_of = [listed(1, PEOPLE[1], chosen=True)]
    found = run(PEOPLE, list_of)
    assert [is_pose(found[0], PEOPLE[1]), is_pose(found[1], PEOPLE[0])] == [True, True]
    (only,) = run(PEOPLE, list_of, max_people=1)
    assert is_pose(only, PEOPLE[1])


def test_boxes_of_another_time_or_place_say_nothing():
    late = listed(0, PEOPLE[0], chosen=False)
    late = ListedPerson(**vars(late) | {"boxes": tuple((t + 60, *b) for t, *b in late.boxes)})
    apart = listed(1, walker(y=128, start=10, speed=0, height=20), chosen=False)
    assert len(run(PEOPLE, [late, apart])) == 2
