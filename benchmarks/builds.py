"""Body shapes of people in rendered clips, with and without their outlines.

Run as `python -m benchmarks.builds FOLDER`, with the clips of `benchmarks.rendered_clips`: errors
of stature, girths and volume. Girths and volume are scaled to the true stature, which a clip does
not show.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from benchmarks import measuring
from benchmarks.alignment import measures
from benchmarks.rendered_clips import read_scene
from hund_backend.body.model import BodyModel
from hund_backend.descent.build.estimator import BuildEstimator
from hund_backend.descent.fit.fit import fit
from hund_backend.descent.learned.hund import Hund
from hund_backend.descent.learned.track import descend
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow


def main() -> None:
    """Print a row for each way to the body shape."""
    args = measuring.parse(
        __doc__, lambda parser: parser.add_argument("folder", type=Path, help="of the clips")
    )
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    body, full, prior = BodyModel.load("keypoints"), BodyModel.load("full"), PoseFlow.load()
    hund, dynamics = Hund.load(body, prior), Dynamics.load(prior)
    estimator = BuildEstimator.load(body)
    errors: dict[str, list[np.ndarray]] = {}
    for path in sorted(args.folder.glob("clip-*.safetensors")):
        scene = read_scene(path, body)
        evidence, fps = scene.evidence, scene.fps
        stages = descend(evidence, fps, hund, body, prior, dynamics=dynamics).state
        build = estimator.estimate(evidence, stages)
        polished, outlined = (
            fit(
                evidence, fps, body, prior, dynamics=dynamics, initial=stages, expected_betas=each
            ).state.betas[0]
            for each in (None, build)
        )
        shapes = {
            "mean body": torch.zeros_like(polished),
            "learned descent": stages.betas[0],
            "polished": polished,
            "outlines alone": torch.zeros_like(polished) if build is None else build.mean,
            "polished with outlines": outlined,
        }
        for name, betas in shapes.items():
            errors.setdefault(name, []).append(build_errors(betas, scene.state.betas[0], full))
    print("| | stature, mm | chest | waist | hip | volume, % |")
    for name, rows in errors.items():
        print(f"| {name} | " + " | ".join(f"{mean:.1f}" for mean in np.mean(rows, axis=0)) + " |")


def build_errors(
    found: Float[torch.Tensor, "16"], true: Float[torch.Tensor, "16"], full: BodyModel
) -> Float[np.ndarray, "5"]:
    """Return errors of stature and of girths (mm) and of the volume (%)."""
    stature, *girths = measures(full, found)
    true_stature, *true_girths = measures(full, true)
    scale = true_stature / stature
    volume = scale**3 * volume_of(full, found) / volume_of(full, true)
    gaps = [stature - true_stature, *(scale * np.array(girths) - true_girths)]
    return np.array([*(1000 * np.abs(gaps)), 100 * abs(volume - 1)])


def volume_of(full: BodyModel, betas: Float[torch.Tensor, "16"]) -> float:
    """Return the volume of a body at rest, cubic metres."""
    vertices = full.rest(betas.float())[0].double().numpy()
    first, second, third = vertices[full.faces.numpy()].swapaxes(0, 1)
    return float((first * np.cross(second, third)).sum() / 6)


if __name__ == "__main__":
    main()
