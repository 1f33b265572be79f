"""Identities over time: who is who in scenes of several people whose identities are known.

Run as `python -m benchmarks.identities MOCAP_FOLDER`. The scenes are those of
`benchmarks.identity_scenes`; tracker and assignment are the real ones. Measured by motmetrics on
the distance of the keypoints in frames where a person is shown (detected, or hidden for a moment
and interpolated; `--observed`: only where detected): IDF1, identity switches,
fragmentations, MOTA; beside them the tracks found and the frames in which somebody is followed
twice. Posters that are flagged as static count as nobody.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import motmetrics
import numpy as np
import torch
from jaxtyping import Float

from benchmarks import measuring
from benchmarks.identity_scenes import (
    COUNTED,
    FPS,
    HEIGHT,
    INTRINSICS,
    SCENES,
    WIDTH,
    Scene,
    build,
)
from hund_backend.body.model import BodyModel
from hund_backend.perception.bridging import shown_frames
from hund_backend.perception.coco_detector import CocoDetector, CocoPoses
from hund_backend.perception.crop_detector import LIMB_JOINTS, CropDetector, Detection
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.run import Perception
from hund_backend.perception.second_opinion import COCO_POINTS
from hund_backend.perception.tracker import Tracker
from hund_backend.training.motion.motion_set import motion_set

PACKAGES = ("torch", "numpy", "scipy", "motmetrics")
METRICS = ["idf1", "num_switches", "num_fragmentations", "mota"]
MAX_DISTANCE = 0.12  # of the keypoints of one person, sides of the box; mean, hands left out
STATIC = 0.5  # confidence from which a person counts as a picture
HEAD = """# Identities over time, on synthetic scenes

{environment}
* `python -m benchmarks.identities MOCAP_FOLDER --seeds {args.seeds} --first-seed
  {args.first_seed}`; frames in which a person is {shown}
* sums over the seeds; IDF1 and MOTA: means; people: true and found; twice: frames in which two
  tracks show one person

| scene | IDF1 | switches | fragments | MOTA | people | found | twice | CPU ms / frame |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


class SceneDetector(CropDetector):
    """Crop detector that asks the scene what a crop shows."""

    def __call__(
        self, crops: Float[np.ndarray, "crops 4"], *, mirrored: bool = False
    ) -> list[Detection]:
        """Detect the person in each crop."""
        return self.network.detections(self.image.number, crops, self.painted)


class SceneSecondDetector(CocoDetector):
    """The same for COCO's keypoints: another network that errs alike."""

    def __call__(self, crops: Float[np.ndarray, "crops 4"]) -> CocoPoses:
        """Detect the person in the middle of each crop."""
        found = self.network.detections(self.image.number, crops)
        return CocoPoses(
            keypoints=np.stack([detection.points[COCO_POINTS] for detection in found]),
            scores=np.stack([detection.confidence[COCO_POINTS] for detection in found]),
        )


class SceneTracker(Tracker):
    """Tracker of a scene."""

    def _crop_detector(self, image: np.ndarray) -> CropDetector:
        return SceneDetector(image, self.network, self.intrinsics)

    def _second_detector(self, image: np.ndarray) -> CocoDetector:
        return SceneSecondDetector(image, self.network)

    def _detect_tracked(self, detector: CropDetector, _: np.ndarray | None) -> list[Detection]:
        return detector(np.array([track.filter.crop for track in self.live]).reshape(-1, 4))


class ScenePerception(Perception):
    """Perception of a scene instead of a clip."""

    tracker_class = SceneTracker


@dataclass(frozen=True, kw_only=True)
class Score:
    """Identities found in one scene."""

    idf1: float
    switches: int
    fragments: int
    mota: float
    people: int
    found: int
    twice: int


def main() -> None:
    """Track every scene and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    body, motions = BodyModel.load("keypoints"), motion_set(args.mocap)
    rows, scores_of_all = [], []
    for name in args.scenes:
        watch, scores, frames = measuring.Stopwatch(), [], 0
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            scene = build(name, seed, body, motions)
            with watch:
                people = follow(scene)
            scores.append(score(scene, people, bridged=not args.observed))
            frames += scene.num_frames
            if args.verbose:
                print(name, seed, scores[-1], flush=True)
        scores_of_all += scores
        rows.append(row(scene.name, scores, 1000 * watch.cpu_seconds / frames))
        print(rows[-1], flush=True)
    rows.append(row("all", scores_of_all, 0.0))
    print(rows[-1])
    if args.save:
        environment = measuring.environment(PACKAGES, args.cores)
        shown = "detected" if args.observed else "detected or hidden for a moment"
        text = (
            HEAD.format(environment=environment, args=args, shown=shown) + "\n".join(rows) + "\n"
        )
        print(measuring.save("identities", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--observed", action="store_true", help="count only frames with a detection"
    )
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--verbose", action="store_true", help="print every seed")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def follow(scene: Scene) -> list[Evidence]:
    """Follow the people of a scene, as of a clip."""
    perception = ScenePerception(scene, scene, scene)
    return perception.run(
        scene.frames(),
        INTRINSICS,
        fps=FPS,
        max_people=None if scene.protagonists is None else len(scene.protagonists),
        report=lambda done: None,
    )


def score(scene: Scene, people: list[Evidence], *, bridged: bool = True) -> Score:
    """Compare tracks with the truth.

    Args:
        scene: with the truth.
        people: found.
        bridged: whether people who are hidden for a moment count as found there, as in the file.
    """
    people = [person for person in people if getattr(person, "static", 0.0) < STATIC]
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    tracks, twice, seen = _tracks(people, bridged=bridged), 0, set()
    counted = scene.protagonists or range(len(scene.actors))
    for frame in range(scene.num_frames):
        truth, ignored = {}, []  # keypoints
        for index, actor in enumerate(scene.actors):
            points = actor.pixels[frame, :33]
            if index not in counted or scene.share[index, frame] < COUNTED or actor.blind[frame]:
                ignored += [] if actor.is_picture else [points]
            elif not actor.is_picture:
                truth[index] = points
        seen |= truth.keys()
        found = {
            track: points
            for track, at in tracks.items()
            if (points := at.get(frame)) is not None
            and (
                any(distance(points, other) < MAX_DISTANCE for other in truth.values())
                or not any(distance(points, other) < MAX_DISTANCE for other in ignored)
            )
        }
        table = np.array(
            [[distance(other, points) for other in found.values()] for points in truth.values()]
        ).reshape(len(truth), len(found))
        twice += _num_twice(list(found.values()), list(truth.values()), ignored)
        table[table > MAX_DISTANCE] = np.nan
        accumulator.update(list(truth), list(found), table)
    summary = motmetrics.metrics.create().compute(accumulator, metrics=METRICS)
    idf1, switches, fragments, mota = summary.iloc[0]
    return Score(
        idf1=float(idf1),
        switches=int(switches),
        fragments=int(fragments),
        mota=float(mota),
        people=len(seen),
        found=len(people),
        twice=twice,
    )


def _num_twice(found: list[np.ndarray], truth: list[np.ndarray], ignored: list[np.ndarray]) -> int:
    """Return how many people have two tracks: to both of them, nobody else is nearer."""
    everybody = [*truth, *ignored]
    nearest = []
    for points in found:
        distances = [distance(points, other) for other in everybody]
        if distances and min(distances) < MAX_DISTANCE:
            nearest.append(int(np.argmin(distances)))
    return int((np.bincount(nearest, minlength=1)[: len(truth)] > 1).sum())


def distance(points: Float[np.ndarray, "33 2"], other: Float[np.ndarray, "33 2"]) -> float:
    """Return the mean distance of trunk, arms and legs, in sides of the box of the second."""
    side = np.ptp(other, axis=0).max()
    return float(np.linalg.norm(points - other, axis=-1)[LIMB_JOINTS].mean() / side)


def row(name: str, scores: list[Score], cpu_ms: float) -> str:
    """Return a row of the table."""
    mean = {key: np.mean([getattr(s, key) for s in scores]) for key in ("idf1", "mota")}
    names = ("switches", "fragments", "people", "found", "twice")
    total = {key: sum(getattr(s, key) for s in scores) for key in names}
    cells = [f"{mean['idf1']:.3f}", total["switches"], total["fragments"], f"{mean['mota']:.3f}"]
    cells += [total["people"], total["found"], total["twice"], f"{cpu_ms:.0f}"]
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def _tracks(people: list[Evidence], *, bridged: bool) -> dict[int, dict[int, np.ndarray]]:
    """Return each person's keypoints by frame, where observed or also where hidden shortly."""
    tracks = {}
    for person in people:
        shown = person.observed
        if bridged:
            shown = shown_frames(person, FPS, (WIDTH, HEIGHT))
        points = person.keypoints[shown, :, :2]
        tracks[person.track_id] = dict(zip(person.frames[shown].tolist(), points, strict=True))
    return tracks


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
