"""Laws of perception on a synthetic scene: tracks, their frames, and frames kept in memory."""

import gc
import weakref
from dataclasses import fields, replace

import numpy as np
import pytest
from synthetic_scene import INTRINSICS, PersonPose, SecondNetwork, SyntheticScene

from hund_backend.perception.crop_detector import CropDetector
from hund_backend.perception.crops import image_from_crop, transform_points
from hund_backend.perception.doubt import DoubtConfig
from hund_backend.perception.identity import IdentityConfig
from hund_backend.perception.linking import LinkConfig
from hund_backend.perception.run import Perception
from hund_backend.perception.tracker import Tracker, TrackerConfig

# Frames encode places, so that colors tell nothing here; test_perception_linking.py is about them.
COLORLESS = LinkConfig(
    identity=IdentityConfig(color_noise=20.0, color_noise_near=20.0, color_spread=20.0),
    doubt=DoubtConfig(color_noise=20.0),
)


def run(scene, max_people=None, frames=None, link=COLORLESS, **changes):
    perception = Perception(
        scene, scene, SecondNetwork(scene), TrackerConfig(link=link, **changes)
    )
    frames = scene.frames() if frames is None else frames
    return perception.run(
        frames, INTRINSICS, fps=30.0, max_people=max_people, report=lambda done: None
    )


def walker(y=128, start=30.0, speed=3.0, height=60, first=0, last=10**6):
    def pose(frame):
        x = start + speed * frame
        if not first <= frame <= last or not 0 < x < 256:
            return None
        return PersonPose((x, y), height + 2 * np.sin(frame), 0.05 * np.cos(frame))

    return pose


def test_a_walker_is_one_track_with_the_right_keypoints_in_every_frame():
    scene = SyntheticScene([walker()], num_frames=60)
    (evidence,) = run(scene)
    np.testing.assert_array_equal(evidence.frames, np.arange(60))
    assert evidence.observed.all()
    expected = np.stack([scene.people[0](frame).points[:33] for frame in range(60)])
    np.testing.assert_allclose(evidence.keypoints[..., :2], expected, atol=0.5)
    assert ((evidence.keypoints[..., 2] > 0.5) & (evidence.keypoints[..., 2] <= 1)).all()


def test_a_walker_needs_one_crop_a_frame():
    scene = SyntheticScene([walker()], num_frames=60)
    run(scene)
    assert sum(scene.batch_sizes) < 60 + 12


def test_crop_intrinsics_project_into_the_crop():
    (evidence,) = run(SyntheticScene([walker()], num_frames=5))
    points = np.array([[0.1, -0.2, 2.0], [-0.3, 0.2, 3.0]])
    in_frame = points @ INTRINSICS.T
    in_frame = in_frame[:, :2] / in_frame[:, 2:]
    for crop, intrinsics in zip(evidence.crops, evidence.crop_intrinsics, strict=True):
        in_crop = points @ intrinsics.T
        back = transform_points(in_crop[:, :2] / in_crop[:, 2:], image_from_crop(crop))
        np.testing.assert_allclose(back, in_frame, atol=1e-6)


def test_evidence_is_finite_and_complete():
    scene = SyntheticScene([walker(first=0, last=20), walker(y=60, first=5)], num_frames=40)
    for evidence in run(scene):
        count = len(evidence.frames)
        for name in ("keypoints", "world_landmarks", "crops", "crop_intrinsics", "features"):
            values = getattr(evidence, name)
            assert len(values) == count and np.isfinite(values).all(), name
        assert evidence.masks.shape == (count, 64, 64)


def test_people_who_cross_keep_their_tracks():
    front = walker(start=30, speed=3, height=60)
    behind = walker(y=134, start=210, speed=-3, height=60)
    scene = SyntheticScene([front, behind], num_frames=60)
    tracks = run(scene)
    assert len(tracks) == 2
    for evidence in tracks:
        hips = evidence.keypoints[:, 23:25, 0].mean(axis=1)
        speeds = np.diff(hips)
        assert (np.sign(speeds[np.abs(speeds) > 1]) == np.sign(hips[-1] - hips[0])).mean() > 0.9
        assert abs(hips[-1] - hips[0]) == pytest.approx(59 * 3, abs=6)


def test_a_short_absence_is_interpolated_and_marked():
    hidden = range(20, 32)

    def person(frame):
        return None if frame in hidden else walker()(frame)

    (evidence,) = run(SyntheticScene([person], num_frames=60))
    np.testing.assert_array_equal(evidence.frames, np.arange(60))
    np.testing.assert_array_equal(np.flatnonzero(~evidence.observed), hidden)
    assert (evidence.keypoints[~evidence.observed, :, 2] == 0).all()
    straight = np.stack([walker()(frame).points[:33] for frame in hidden])
    np.testing.assert_allclose(evidence.keypoints[hidden, :, :2], straight, atol=8)


def test_who_returns_after_a_long_absence_without_known_clothes_is_a_new_track():
    def person(frame):
        return None if 20 <= frame < 90 else PersonPose((128, 128), 80)

    tracks = run(SyntheticScene([person], num_frames=120))
    assert sorted((e.frames[0], e.frames[-1]) for e in tracks) == [(0, 19), (90, 119)]


def test_tracks_are_numbered_by_prominence():
    scene = SyntheticScene([walker(y=180, last=30), walker(y=60, first=4)], num_frames=60)
    tracks = run(scene)
    assert [evidence.track_id for evidence in tracks] == [0, 1]
    assert [evidence.frames[0] for evidence in tracks] == [4, 0]


def test_newcomers_are_followed_back_to_where_they_came_in():
    for first in (13, 18, 23):
        tracks = run(SyntheticScene([walker(first=first)], num_frames=60))
        assert [evidence.frames[0] for evidence in tracks] == [first]


def test_people_in_view_for_a_few_frames_are_dropped():
    scene = SyntheticScene(
        [walker(y=60), lambda f: PersonPose((200, 190), 70) if 20 <= f < 24 else None], 60
    )
    assert len(run(scene)) == 1


def test_two_boxes_on_one_person_are_one_track():
    class Twice(SyntheticScene):
        def detect(self, images):
            (people,) = super().detect(images)
            return [people[np.array([0, 0])]]

    assert len(run(Twice([walker()], num_frames=30))) == 1


def test_the_order_of_detected_boxes_does_not_matter():
    class Backwards(SyntheticScene):
        def detect(self, images):
            (people,) = super().detect(images)
            return [people[np.arange(len(people.boxes))[::-1]]]

    people = [walker(y=50, height=50), walker(y=130, height=60), walker(y=200, height=55)]
    forwards, backwards = (
        run(kind(people, num_frames=30)) for kind in (SyntheticScene, Backwards)
    )
    assert len(forwards) == len(backwards) == 3
    for one, other in zip(forwards, backwards, strict=True):
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-9)


class Rounded(SyntheticScene):
    """A scene whose networks round differently."""

    def __init__(self, people, num_frames, seed):
        super().__init__(people, num_frames)
        self.rng = np.random.default_rng(seed)

    def predict(self, images):
        output = super().predict(images)
        return replace(output, **{f.name: self._other(output, f.name) for f in fields(output)})

    def detect(self, images):
        return [
            replace(boxes, **{f.name: self._other(boxes, f.name) for f in fields(boxes)})
            for boxes in super().detect(images)
        ]

    def _other(self, holder, name):
        values = getattr(holder, name)
        if values is None:
            return None
        factors = 1 + 1e-6 * self.rng.uniform(-1, 1, values.shape)
        return (values * factors).astype(values.dtype)


def jumper(frame):
    """Somebody who crouches, jumps out of the crop, and is hidden for a moment."""
    if 20 <= frame < 27:
        return None
    height = 45 * max(0.0, np.sin(0.25 * frame))
    return PersonPose(
        (170 + 0.4 * frame, 140 - height), 64 - 0.2 * height, 0.5 * np.sin(frame / 5)
    )


@pytest.mark.parametrize(
    "people",
    [
        [walker(start=30, height=60), walker(y=134, start=210, speed=-3, height=60)],
        [walker(start=20, height=70), jumper],
        [walker(y=50, height=50), walker(y=130, start=60, last=40), walker(y=134, first=20)],
    ],
    ids=["crossing", "jumper", "three"],
)
def test_people_do_not_hang_on_the_rounding_of_the_networks(people):
    exact = run(SyntheticScene(people, num_frames=42))
    rounded = run(Rounded(people, 42, seed=0))
    assert len(rounded) == len(exact)
    for one, other in zip(exact, rounded, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.observed, other.observed)
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=0.1)


def test_the_most_prominent_people_are_kept():
    people = [walker(y=50, height=40), walker(y=140, height=80), walker(y=220, last=20)]
    scene = SyntheticScene(people, num_frames=40)
    (evidence,) = run(scene, max_people=1)
    assert evidence.keypoints[:, 23:25, 1].mean() == pytest.approx(140, abs=3)


def test_who_matters_is_decided_over_the_whole_clip():
    """One person is requested; the one who moves is smaller and does not move from the start."""

    def late(number):
        return PersonPose((60 + 4 * max(0, number - 15), 200), 70)

    scene = SyntheticScene([lambda number: PersonPose((190, 70), 80), late], num_frames=45)
    (evidence,) = run(scene, max_people=1)
    assert evidence.keypoints[:, 23:25, 1].mean() == pytest.approx(200, abs=3)
    np.testing.assert_array_equal(evidence.frames, np.arange(45))


def test_a_single_image_is_a_clip_of_one_frame():
    poses = [PersonPose((70, 120), 80, 2.0), PersonPose((180, 120), 100)]
    scene = SyntheticScene([lambda f: poses[0], lambda f: poses[1]], num_frames=1)
    tracks = run(scene)
    assert len(tracks) == 2
    centers = [evidence.keypoints[0, 23:25, :2].mean(axis=0) for evidence in tracks]
    np.testing.assert_allclose(centers, [(180, 120), (70, 120)], atol=0.5)


@pytest.mark.parametrize("num_frames", [0, 1, 2, 30])
def test_nobody_in_view_gives_an_empty_list(num_frames):
    assert run(SyntheticScene([], num_frames=num_frames)) == []


def test_every_frame_is_reported():
    scene, reported = SyntheticScene([walker()], num_frames=7), []
    Perception(scene, scene, SecondNetwork(scene)).run(
        scene.frames(), INTRINSICS, fps=30.0, max_people=None, report=reported.append
    )
    assert reported == [1, 2, 3, 4, 5, 6, 7]


def test_frames_are_released():
    scene = SyntheticScene([walker(speed=1)], num_frames=80)
    alive: list[weakref.ref] = []
    most = 0

    def frames():
        nonlocal most
        for frame in scene.frames():
            alive.append(weakref.ref(frame.image))
            yield frame
            del frame
            gc.collect(0)
            most = max(most, sum(ref() is not None for ref in alive))

    run(scene, frames=frames())
    assert most <= 16


def test_a_rotating_acrobat_is_followed():
    def acrobat(frame):
        return PersonPose((128 + frame, 128), 80, 2 * np.pi * frame / 40)

    scene = SyntheticScene([acrobat], num_frames=60)
    (evidence,) = run(scene)
    assert evidence.observed.mean() > 0.95
    expected = np.stack([acrobat(f).points[:33] for f in evidence.frames])
    assert np.median(np.abs(evidence.keypoints[..., :2] - expected)) < 1


class PaintedDetector(CropDetector):
    """Crop detector whose scene loses who is painted over."""

    def __call__(self, crops, *, mirrored=False):
        hips = [detection.points[33] for detection in self.painted]
        poses = self.network.poses(int(self.image[0, 0, 2]))
        rest = [p for p in poses if all(np.linalg.norm(hip - p.hip) > 3 for hip in hips)]
        scene = SyntheticScene([lambda _, pose=pose: pose for pose in rest])
        return CropDetector(self.image, scene, self.intrinsics)(crops, mirrored=mirrored)


class BlindDetector(CropDetector):
    """Crop detector that cannot paint over anybody."""

    def without(self, people):
        return self


@pytest.mark.parametrize(("detector", "share"), [(PaintedDetector, 1.0), (BlindDetector, 0.85)])
def test_who_is_half_hidden_is_found_with_those_before_them_painted_over(detector, share):
    class SceneTracker(Tracker):
        def _crop_detector(self, image):
            return detector(image, self.network, self.intrinsics)

    class ScenePerception(Perception):
        tracker_class = SceneTracker

    front, behind = walker(y=132, start=128, speed=0), walker(y=128, start=70, speed=2)
    scene = SyntheticScene([front, behind], num_frames=60)
    config = TrackerConfig(link=COLORLESS)
    perception = ScenePerception(scene, scene, SecondNetwork(scene), config)
    people = perception.run(scene.frames(), INTRINSICS, fps=30.0)
    assert len(people) == 2
    (moving,) = (p for p in people if np.ptp(p.keypoints[:, 23, 0]) > 60)
    found = np.isin(np.arange(60), moving.frames[moving.observed]).mean()
    assert found > 0.95 if share == 1 else found < share
