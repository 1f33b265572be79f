"""Kept evidence: it is solved again as the clip was, with other smoothing and without the clip."""

import dataclasses

import cli_fakes
import numpy as np
import pytest

from hund_backend import estimation, evidence_file, evidence_identity
from hund_backend.commands.solve import solve_again
from hund_backend.errors import BadInputError
from hund_backend.options import Options
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.hands.evidence import HandEvidence
from hund_backend.progress import silent
from hund_backend.tracked_clip import TrackedClip
from hund_backend.video import ClipInfo


def random_hands(rng, frames):
    return HandEvidence(
        observed=rng.uniform(size=(frames, 2)) < 0.8,
        keypoints=rng.uniform(size=(frames, 2, 21, 3)),
        world_landmarks=rng.normal(size=(frames, 2, 21, 3)),
        crops=rng.uniform(size=(frames, 2, 4)),
    )


def tracked_clip(tmp_path, frames=6, people=2, **changes):
    """Random evidence of people, who differ in what is known of them."""
    rng = np.random.default_rng(0)
    evidence = [
        Evidence(
            track_id=3 + person,
            frames=np.arange(frames),
            observed=rng.uniform(size=frames) < 0.8,
            keypoints=rng.uniform(size=(frames, 33, 3)),
            world_landmarks=rng.normal(size=(frames, 33, 3)).astype(np.float32),
            crops=rng.uniform(size=(frames, 4)),
            intrinsics=np.tile(np.eye(3), (frames, 1, 1)),
            masks=rng.integers(0, 255, (frames, 64, 64), dtype=np.uint8),
            features=rng.normal(size=(frames, 560)).astype(np.float32) if person else None,
            shots=np.arange(frames) // 3,
            static=0.25 * person,
            hands=random_hands(rng, frames) if person else None,
        )
        for person in range(people)
    ]
    path = tmp_path / "wälk 歩.mp4"
    fields = {
        "path": path,
        "info": ClipInfo(path=path, width=64, height=48, fps=29.97, num_frames=None),
        "truncated": "It ends early.",
        "frame_numbers": tuple(range(2, 2 + frames)),
        "times": tuple(np.arange(frames) / 29.97),
        "intrinsics": np.eye(3),
        "people": tuple(evidence),
        "shots": (0, 3),
        "left_out": 4,
        "source": {"name": path.name, "sha256": "0"},
    }
    return TrackedClip(**fields | changes)


def plain(value):
    """A dataclass as nested tuples and lists that can be compared."""
    if dataclasses.is_dataclass(value):
        names = (field.name for field in dataclasses.fields(value))
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return (value.dtype.str, value.tolist()) if isinstance(value, np.ndarray) else value


OPTIONS = Options(start=2, parts=True, smoothing=0.5, intrinsics=((1.0, 0.0), (2.0, 3.0)))


def test_evidence_is_read_as_it_was_written(tmp_path):
    clip, path = tracked_clip(tmp_path), tmp_path / "walk.evidence"
    evidence_file.save(clip, OPTIONS, path)
    read, options = evidence_file.load(path)
    assert plain(read) == plain(clip) and options == OPTIONS
    assert evidence_identity.identity_of(path) == clip.identity(OPTIONS)


def test_identity_depends_on_all_but_the_smoothing(tmp_path):
    clip = tracked_clip(tmp_path)
    same = dataclasses.replace(OPTIONS, smoothing=2.0)
    assert clip.identity(OPTIONS) == clip.identity(same)
    others = [
        clip.identity(dataclasses.replace(OPTIONS, method="fit")),
        dataclasses.replace(clip, people=clip.people[:1]).identity(OPTIONS),
        tracked_clip(tmp_path, frames=5).identity(OPTIONS),
        without_hands(clip).identity(OPTIONS),
    ]
    assert clip.identity(OPTIONS) not in others and len(set(others)) == 4


def without_hands(clip):
    people = tuple(dataclasses.replace(person, hands=None) for person in clip.people)
    return dataclasses.replace(clip, people=people)


def test_evidence_without_hands_is_the_same_whether_they_were_looked_for(tmp_path):
    clip = without_hands(tracked_clip(tmp_path))
    other = dataclasses.replace(OPTIONS, hands=False)
    assert clip.identity(OPTIONS) == clip.identity(other)


@pytest.mark.parametrize("content", [None, b"", b"no zip", "reconstruction"])
def test_what_is_no_evidence_is_refused_in_a_sentence(tmp_path, content):
    path = tmp_path / "walk.evidence"
    if content == "reconstruction":
        saved = cli_fakes.build_reconstruction()
        saved.save(tmp_path / "walk.npz")
        (tmp_path / "walk.npz").rename(path)
    elif content is not None:
        path.write_bytes(content)
    for read in (evidence_file.load, evidence_identity.identity_of):
        with pytest.raises(BadInputError, match=r"walk\.evidence.*reconstruct the clip again"):
            read(path)


def test_solving_again_changes_the_smoothing_alone(tmp_path, monkeypatch):
    clip, path = tracked_clip(tmp_path), tmp_path / "walk.evidence"
    evidence_file.save(clip, OPTIONS, path)
    calls = []

    def estimate(*arguments):
        calls.append(arguments[:2])
        return cli_fakes.build_reconstruction()

    monkeypatch.setattr(estimation, "estimate", estimate)
    output, _ = solve_again(path, tmp_path / "out", 3.0, object, silent)
    assert output == tmp_path / "out" / "walk.npz" and output.is_file()
    ((solved, options),) = calls
    assert plain(solved) == plain(clip)  # the clip itself does not exist
    assert options == dataclasses.replace(OPTIONS, smoothing=3.0)


@pytest.mark.parametrize("smoothing", [-1.0, 11.0])
def test_wrong_smoothing_is_refused_before_the_work(tmp_path, smoothing):
    with pytest.raises(BadInputError, match="smoothing"):
        solve_again(tmp_path / "walk.evidence", tmp_path, smoothing, object, silent)


def test_a_draft_is_not_solved_again(tmp_path):
    path = tmp_path / "walk.evidence"
    evidence_file.save(tracked_clip(tmp_path), Options(polish=False), path)
    with pytest.raises(BadInputError, match="Draft quality is not smoothed"):
        solve_again(path, tmp_path, 1.0, object, silent)
