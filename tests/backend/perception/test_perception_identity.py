"""Laws of identity: who is who after overlaps, absences and cuts, and who matters."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_scene import INTRINSICS, PersonPose, SyntheticScene, frame_image

from hund_backend.perception.bridging import shown_frames
from hund_backend.perception.crop_detector import CropDetector
from hund_backend.perception.identity import IdentityConfig, color_cost
from hund_backend.perception.importance import Importance
from hund_backend.perception.linking import LinkConfig, link_people
from hund_backend.perception.person_detector import PersonBoxes
from hund_backend.perception.prominence import prominence, static_confidence

RED, BLUE = np.tile((120.0, 180, 160), (8, 1)), np.tile((90.0, 130, 90), (8, 1))
CENTER = 23  # a hip


def detection_of(hip, colors, frame, seed, noise=0.4, swing=4.0, pose=None):
    """A detection of somebody whose wrists and ankles swing."""
    rng = np.random.default_rng((seed, frame))
    pose = pose or PersonPose(hip, 60)
    scene = SyntheticScene([lambda _: pose])
    crop = np.array([[*pose.hip, pose.height * 1.25, pose.angle]])
    (detection,) = CropDetector(frame_image(0), scene, INTRINSICS)(crop)
    points = detection.points + rng.normal(0, noise, (35, 2))
    points[[15, 16, 27, 28], 0] += swing * np.sin(frame / 6 + np.arange(4))
    return replace(
        detection,
        points=points,
        colors=colors + rng.normal(0, 3, (8, 3)),
        quality=0.9,
    )


def track(frames, place, colors, seed=0, **options):
    return {f: detection_of(place(f), colors, f, seed, **options) for f in frames}


def link(tracklets, num_frames, shots=(0,), max_people=None):
    return link_people(
        tracklets,
        INTRINSICS,
        fps=30.0,
        num_frames=num_frames,
        max_people=max_people,
        config=LinkConfig(),
        shots=shots,
    )


def right(frame):
    return (40 + 3.0 * frame, 128)


def left(frame):
    return (220 - 3.0 * frame, 130)


def hips(evidence):
    return evidence.keypoints[:, CENTER, 0]


@pytest.mark.parametrize("colors", [(RED, BLUE), (RED, RED)])
def test_a_tracker_that_exchanges_two_who_cross_is_put_right(colors):
    first, second = (
        track(range(60), place, color, seed)
        for seed, (place, color) in enumerate(zip((right, left), colors, strict=True))
    )
    swapped = [
        {f: (first if (f < 30) == (one == 0) else second)[f] for f in range(60)} for one in (0, 1)
    ]
    for people in (link([first, second], 60), link(swapped, 60)):
        assert len(people) == 2
        for person in people:
            steps = np.diff(hips(person))
            assert (np.sign(steps) == np.sign(np.median(steps))).mean() > 0.9
            assert abs(hips(person)[-1] - hips(person)[0]) > 150


def test_two_who_meet_and_turn_back_are_told_apart_by_their_clothes():
    def bounce(sign):
        return lambda f: (128 + sign * max(abs(f - 30) * 3.0 - 2, 0.5), 128)

    red, blue = track(range(60), bounce(-1), RED, 0), track(range(60), bounce(1), BLUE, 1)
    crossed = [
        {f: (red if (f < 30) == (one == 0) else blue)[f] for f in range(60)} for one in (0, 1)
    ]
    for person in link(crossed, 60):
        assert abs(hips(person)[0] - hips(person)[-1]) < 10


@pytest.mark.parametrize(("colors", "count"), [(RED, 1), (BLUE, 2)])
def test_who_returns_after_seconds_is_known_by_the_clothes(colors, count):
    before = track(range(30), lambda f: (128 - 3 * f, 128), RED)
    after = track(range(150, 190), lambda f: (20 + 2 * (f - 150), 128), colors, 1)
    people = link([before, after], 190)
    assert len(people) == count
    assert sum(person.observed.sum() for person in people) == 70


def test_people_are_joined_across_a_cut_by_clothes_and_never_by_place():
    def still(x):
        return lambda f: (x + 0.3 * f, 128)

    tracklets = [
        track(range(40), still(60), RED, 0),
        track(range(40), still(160), BLUE, 1),
        track(range(40, 80), still(160), RED, 2),  # where the other one stood
    ]
    people = link(tracklets, 80, shots=(0, 40))
    assert sorted(len(person.frames) for person in people) == [40, 80]
    whole = max(people, key=lambda person: len(person.frames))
    np.testing.assert_array_equal(whole.shots, np.arange(80) // 40)
    assert hips(whole)[39] < 100 < hips(whole)[40]


def test_the_same_limbs_explained_twice_are_one_person():
    person = track(range(60), right, RED)
    twice = {f: replace(d, quality=0.6) for f, d in person.items() if 20 <= f < 50}
    assert len(link([person, twice], 60)) == 1


def test_a_short_but_good_look_is_a_person_and_a_poor_one_is_nobody():
    good = track(range(10, 15), right, RED)
    poor = {f: replace(d, quality=0.55) for f, d in good.items()}
    assert len(link([good], 60)) == 1
    assert link([poor], 60) == []


def test_a_long_but_poor_look_is_nobody_and_poor_moments_of_a_person_are_kept():
    def seen(quality, frame):
        return replace(good[frame], quality=quality, quality_inside=quality)

    good = track(range(60), right, RED)
    assert link([{frame: seen(0.48, frame) for frame in good}], 60) == []
    assert link([{frame: seen(0.57, frame) for frame in range(20)}], 60) == []
    assert link([{frame: seen(0.57, frame) for frame in good}], 60) == []
    blurred = {frame: seen(0.57 if frame > 9 else 0.85, frame) for frame in good}
    assert len(link([blurred], 60)) == 1
    mixed = {frame: seen(0.45 if frame % 3 else 0.8, frame) for frame in good}
    (person,) = link([mixed], 60)
    assert person.observed.all() and len(person.frames) == 60
    assert person.confidence >= 0.6


def test_a_picture_needs_less_than_a_clip():
    good = track(range(60), right, RED)
    poor = {f: replace(d, quality=0.55, quality_inside=0.55) for f, d in good.items()}
    assert len(link([{0: poor[0]}], 1)) == 1
    assert link([poor], 60) == []


def moving(frame):
    return PersonPose((60 + 10 * np.sin(frame / 5), 128), 60, 0.3 * np.sin(frame / 4))


def test_a_still_figure_is_known_and_left_out_beside_who_moves():
    poster = track(range(120), lambda _: (180, 100), BLUE, noise=0.05, swing=0.0)
    dancer = {f: detection_of(None, RED, f, 1, swing=8.0, pose=moving(f)) for f in range(120)}
    assert static_confidence(poster, 30.0) > 0.9
    assert static_confidence(dancer, 30.0) < 0.2
    (person,) = link([poster, dancer], 120)
    assert person.static < 0.2
    (alone,) = link([poster], 120)  # nobody else: it is kept and flagged
    assert alone.static > 0.9


def test_who_moves_matters_more_than_who_stands():
    stands = track(range(60), lambda _: (180, 100), BLUE)
    dances = {f: detection_of(None, RED, f, 1, pose=moving(f)) for f in range(60)}
    assert prominence(dances, 30.0) > 1.3 * prominence(stands, 30.0)
    people = link([stands, dances], 60, max_people=1)
    assert len(people) == 1 and people.left_out == 1
    assert hips(people[0]).mean() < 100


def test_the_lively_are_followed_first():
    def boxes(frame):
        keypoints = np.random.default_rng(0).uniform(0, 50, (2, 17, 2))
        keypoints[1] += 100
        keypoints[0] += 8 * np.sin(frame)
        low = np.array([(0, 0), (100, 100)])
        return PersonBoxes(
            boxes=np.column_stack((low, low + np.array((50, 60)))).astype(np.float32),
            confidence=np.full(2, 0.9, np.float32),
            keypoints=keypoints.astype(np.float32),
        )

    importance = Importance()
    for frame in range(6):
        importance.look(boxes(frame))
    lively, calm = (importance.of(box.astype(float)) for box in boxes(0).boxes)
    assert lively > 1.6 * calm


@pytest.mark.parametrize("shared", [0, 1, 2])
@pytest.mark.parametrize("offset", [6.0, 9.0, 12.0])
def test_who_goes_on_does_not_hang_on_a_shared_frame(shared, offset):
    def place(frame):
        return (right(frame)[0] + offset * (31 - shared <= frame < 31), 128)

    earlier = track(range(31), right, RED)
    later = track(range(31 - shared, 60), place, RED, seed=1)
    assert len(link([earlier, later], 60)) == 1


@pytest.mark.parametrize("shared", [4, 8])
def test_two_who_are_in_view_at_once_are_two(shared):
    earlier = track(range(31), right, RED)
    later = track(range(31 - shared, 60), lambda f: (right(f)[0] + 40, 128), RED, seed=1)
    assert len(link([earlier, later], 60)) == 2


def test_the_color_of_a_hidden_limb_says_nothing():
    config = IdentityConfig()
    seen = np.column_stack((RED, np.ones(8)))
    other = np.column_stack((BLUE, np.ones(8)))
    hidden = other.copy()
    hidden[:4, :3], hidden[4:, 3] = RED[:4], 0  # half of the limbs show who stands in front
    assert color_cost(seen, seen, 8.0, config) < 0 < color_cost(seen, other, 8.0, config)
    assert color_cost(seen, hidden, 8.0, config) < 0
    hidden[:, 3] = 0
    assert color_cost(seen, hidden, 8.0, config) == 0


def test_who_stands_in_front_goes_on_though_the_moment_is_long():
    """She is seen all the time, so that no gap of the assignment's can end her track."""
    front = track(range(100), lambda f: (60 + 1.3 * f, 128), RED)
    behind = track([*range(20), *range(80, 100)], lambda f: (70 + 1.2 * f, 126), BLUE, 1)
    halves = [{f: d for f, d in behind.items() if (f < 50) == early} for early in (True, False)]
    people = link([front, *halves], 100)
    assert max(person.observed.sum() for person in people) == 100


@pytest.mark.parametrize(
    ("gap", "at_the_edge", "shown"), [(20, False, True), (70, False, False), (20, True, False)]
)
def test_who_is_hidden_for_a_moment_is_in_the_picture(gap, at_the_edge, shown):
    frames = [*range(30), *range(30 + gap, 60 + gap)]
    (person,) = link([track(frames, lambda f: right(0.4 * f), RED)], 60 + gap)
    keypoints = person.keypoints.copy()
    keypoints[..., 0] -= at_the_edge * hips(person)[29]  # half of the body is beyond the edge
    found = shown_frames(replace(person, keypoints=keypoints), 30.0, (256, 256))
    assert found[30 : 30 + gap].all() if shown else not found[30 : 30 + gap].any()
    assert found[:30].all() and found[30 + gap :].all()
