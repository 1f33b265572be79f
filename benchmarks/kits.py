"""Ways to a body on real pictures: stages, polish, fit, each with and without body parts.

Run as `python -m benchmarks.kits KIT …`. Every picture is watched once, so that the ways differ by
their descents alone. Kits are for choosing only; nothing is trained on them.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks import measuring
from hund_backend import pipeline
from hund_backend.body.model import BodyModel
from hund_backend.errors import NobodyFoundError
from hund_backend.evaluation.estimates import ClipResult, Request
from hund_backend.evaluation.kits import Kit, read_kit
from hund_backend.evaluation.report import TITLES, evaluate
from hund_backend.options import Options
from hund_backend.perception.evidence import Evidence
from hund_backend.preview import posed_vertices
from hund_backend.progress import silent
from hund_backend.reconstruction import Reconstruction
from hund_backend.rendering.exact_parts import part_labels
from hund_backend.stopwatch import Stopwatch

PACKAGES = ("torch", "numpy", "onnxruntime")
WAYS: dict[str, Options] = {
    "stages": Options(polish=False),
    "polished": Options(),
    "polished, parts and outline": Options(parts=True),
    "fit": Options(method="fit"),
    "fit, parts and outline": Options(method="fit", parts=True),
}
CELLS = 64  # along a side of the detector's mask
HEAD = """# Ways to a body on real pictures

{environment}
* `python -m benchmarks.kits {kits} --most {args.most}`
* joints that the detector's landmarks define as well; MPJPE and PA-MPJPE in mm, PCK in %; IoU of the
  naked body with the detector's mask, which shows clothes, mean over all people who are seen

"""


class Watched:
    """Pictures that were looked at, and what a way makes of them."""

    def __init__(self, models: pipeline.Models) -> None:
        self.models = models
        self.sights: dict[str, pipeline.TrackedClip | None] = {}
        self.low = BodyModel.load("low")
        self.way = Options()
        self.overlaps: list[float] = []

    def follow(self, way: Options) -> None:
        """Take another way from now on."""
        self.way, self.overlaps = way, []

    def look(self, request: Request) -> ClipResult | None:
        """The body of whoever is in a picture; None where nobody is."""
        camera = request.intrinsics
        place = Options(
            start=request.start,
            end=request.end,
            intrinsics=None if camera is None else tuple(map(tuple, camera.tolist())),
        )
        sight = self._sight(request, replace(place, parts=True))
        if sight is None:
            return None
        way = replace(place, method=self.way.method, polish=self.way.polish, parts=self.way.parts)
        found = pipeline.estimate(sight, way, self.models, silent, Stopwatch())
        for person, evidence in enumerate(sight.people):
            self.overlaps += overlaps(found, person, evidence, self.low)
        return ClipResult(reconstruction=found, evidence=sight.people)

    def _sight(self, request: Request, options: Options) -> pipeline.TrackedClip | None:
        key = f"{request.path} {request.start} {request.end}"
        if key not in self.sights:
            try:
                told = pipeline.perceive(request.path, options, self.models, silent, Stopwatch())
            except NobodyFoundError:
                told = None
            self.sights[key] = told
        return self.sights[key]


def overlaps(
    found: Reconstruction, person: int, evidence: Evidence, low: BodyModel
) -> list[float]:
    """IoU of a person's body with the detector's mask, frame by frame where he was seen."""
    frames = evidence.frames[evidence.observed]
    ious = []
    for frame, crop, mask in zip(
        frames,
        evidence.crop_intrinsics[evidence.observed],
        evidence.masks[evidence.observed],
        strict=True,
    ):
        camera = np.diag([CELLS / 256, CELLS / 256, 1]) @ crop
        vertices = posed_vertices(found, low, slice(frame, frame + 1))[person]
        shown = part_labels(
            low,
            torch.from_numpy(vertices),
            torch.from_numpy(camera).float()[None],
            (CELLS, CELLS),
        )
        body, seen = shown[0].numpy() > 0, mask > 127
        ious.append(float((body & seen).sum() / max((body | seen).sum(), 1)))
    return ious


def main() -> None:
    """Go all ways over all kits, and print the tables."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    watched, body = Watched(pipeline.Models.load("cpu")), BodyModel.load("keypoints")
    kits = " ".join(path.name for path in args.kits)
    environment = measuring.environment(PACKAGES, args.cores)
    text = HEAD.format(environment=environment, args=args, kits=kits)
    for path in args.kits:
        kit = read_kit(path)
        kit = replace(kit, frames=kit.frames[: args.most])
        text += table(kit, watched, body)
        print(text.rpartition("## ")[2], flush=True)
    if args.save:
        print(measuring.save("kits", text))


def table(kit: Kit, watched: Watched, body: BodyModel) -> str:
    """All ways over one kit."""
    rows: list[str] = []
    for name, way in WAYS.items():
        watched.follow(way)
        with measuring.Stopwatch() as watch:
            (scored,) = evaluate([kit], watched.look, body)["kits"]
        shared = [row for row in scored["rows"] if row["joints"] == scored["rows"][-1]["joints"]]
        if not rows:
            names = [TITLES[name] for name in shared[0]["figures"]]
            rows += [
                f"## {kit.name}, {len(kit.frames)} pictures\n",
                f"| | {' | '.join(names)} | IoU | s a picture |",
                f"|{' --- |' * (len(names) + 3)}",
                f"| detector | {_figures(shared[-1])} | | |",
            ]
        # The first way waits for the eyes.
        seconds = "" if name == next(iter(WAYS)) else f"{watch.cpu_seconds / len(kit.frames):.2f}"
        rows.append(
            f"| {name} | {_figures(shared[0])} | {np.mean(watched.overlaps):.3f} | {seconds} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(rows) + "\n\n"


def _figures(row: dict) -> str:
    return " | ".join(f"{figure['mean']:.1f}" for figure in row["figures"].values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("kits", type=Path, nargs="+", metavar="KIT")
    parser.add_argument("--most", type=int, default=1000, help="pictures of a kit")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


if __name__ == "__main__":
    main()
