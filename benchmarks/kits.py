"""Methods on real pictures: stages, polish, fit, each with and without body parts.

Run as `python -m benchmarks.kits KIT …`. Perception runs once for every picture, so that methods
differ by their descents alone. Kits are for choosing only; nothing is trained on them.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks import measuring
from benchmarks.perception_cache import PerceptionCache
from hund_backend.body.model import BodyModel
from hund_backend.evaluation.estimates import ClipResult, Request
from hund_backend.evaluation.kits import Kit, read_kit
from hund_backend.evaluation.report import TITLES, evaluate
from hund_backend.models import Models
from hund_backend.options import Options
from hund_backend.perception.evidence import Evidence
from hund_backend.preview import posed_vertices
from hund_backend.reconstruction import Reconstruction
from hund_backend.rendering.exact_parts import part_labels

PACKAGES = ("torch", "numpy", "onnxruntime")
METHODS: dict[str, Options] = {
    "stages": Options(polish=False),
    "polished": Options(),
    "polished, parts and silhouette": Options(parts=True),
    "fit": Options(method="fit"),
    "fit, parts and silhouette": Options(method="fit", parts=True),
}
MASK_SIZE = 64  # cells along a side of the detector's mask
HEAD = """# Methods on real pictures

{environment}
* `python -m benchmarks.kits {kits} --most {args.most}`
* joints that the detector's landmarks define as well; MPJPE and PA-MPJPE in mm, PCK in %; IoU of
  the naked body with the detector's mask, which shows clothes, mean over all detected people

"""


class MethodPredictor:
    """Runs methods on pictures, and compares their bodies with the detector's masks."""

    def __init__(self, perception: PerceptionCache) -> None:
        self.perception = perception
        self.low = BodyModel.load("low")
        self.method = Options()
        self.overlaps: list[float] = []

    def use(self, method: Options) -> None:
        """Choose the method of later predictions."""
        self.method, self.overlaps = method, []

    def predict(self, request: Request) -> ClipResult | None:
        """Reconstruct the people in a picture; None where nobody is found."""
        found = self.perception.predict(request, self.method, perception=Options(parts=True))
        if found is not None:
            for person, evidence in enumerate(found.evidence):
                self.overlaps += overlaps(found.reconstruction, person, evidence, self.low)
        return found


def overlaps(
    result: Reconstruction, person: int, evidence: Evidence, low: BodyModel
) -> list[float]:
    """Return the IoU of a person's body with the detector's mask in each observed frame."""
    frames = evidence.frames[evidence.observed]
    ious = []
    for frame, crop_intrinsics, mask in zip(
        frames,
        evidence.crop_intrinsics[evidence.observed],
        evidence.masks[evidence.observed],
        strict=True,
    ):
        intrinsics = np.diag([MASK_SIZE / 256, MASK_SIZE / 256, 1]) @ crop_intrinsics
        vertices = posed_vertices(result, low, slice(frame, frame + 1))[person]
        labels = part_labels(
            low,
            torch.from_numpy(vertices),
            torch.from_numpy(intrinsics).float()[None],
            (MASK_SIZE, MASK_SIZE),
        )
        body, detected = labels[0].numpy() > 0, mask > 127
        ious.append(float((body & detected).sum() / max((body | detected).sum(), 1)))
    return ious


def main() -> None:
    """Run all methods on all kits, and print the tables."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    predictor = MethodPredictor(PerceptionCache(Models.load("cpu"), args.perception))
    body = BodyModel.load("keypoints")
    kits = " ".join(path.name for path in args.kits)
    environment = measuring.environment(PACKAGES, args.cores)
    text = HEAD.format(environment=environment, args=args, kits=kits)
    for path in args.kits:
        kit = read_kit(path)
        kit = replace(kit, frames=kit.frames[: args.most])
        text += table(kit, predictor, body)
        print(text.rpartition("## ")[2], flush=True)
    if args.save:
        print(measuring.save("kits", text))


def table(kit: Kit, predictor: MethodPredictor, body: BodyModel) -> str:
    """Return the table of all methods on one kit."""
    rows: list[str] = []
    for name, method in METHODS.items():
        predictor.use(method)
        with measuring.Stopwatch() as watch:
            (scored,) = evaluate([kit], predictor.predict, body)["kits"]
        shared = [row for row in scored["rows"] if row["joints"] == scored["rows"][-1]["joints"]]
        if not rows:
            titles = [TITLES[figure] for figure in shared[0]["figures"]]
            rows += [
                f"## {kit.name}, {len(kit.frames)} pictures\n",
                f"| | {' | '.join(titles)} | IoU | s a picture |",
                f"|{' --- |' * (len(titles) + 3)}",
                f"| detector | {_scores(shared[-1])} | | |",
            ]
        # The time of the first method includes perception.
        seconds = (
            "" if name == next(iter(METHODS)) else f"{watch.cpu_seconds / len(kit.frames):.2f}"
        )
        rows.append(
            f"| {name} | {_scores(shared[0])} | {np.mean(predictor.overlaps):.3f} | {seconds} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(rows) + "\n\n"


def _scores(row: dict) -> str:
    return " | ".join(f"{score['mean']:.1f}" for score in row["figures"].values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("kits", type=Path, nargs="+", metavar="KIT")
    parser.add_argument(
        "--perception",
        type=Path,
        default=measuring.ROOT / "out" / "perception",
        help="folder that keeps what perception found",
    )
    parser.add_argument("--most", type=int, default=1000, help="most pictures of a kit")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


if __name__ == "__main__":
    main()
