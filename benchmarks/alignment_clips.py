"""The fit of clips with and without body parts, on synthetic evidence of held-out motion.

Run as `python -m benchmarks.alignment_clips MOCAP_FOLDER`. The scenes are those of
`benchmarks.fit`; parts are the exact labels of the naked body, or those with simulated errors of a
network, new in every frame. In turn the keypoints of both legs are swapped in the middle third of
each clip.
"""

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks import measuring
from benchmarks.alignment import LIMBS, Tools, corrupted, fit_config, shape_errors
from benchmarks.fit import JOINTS, Scene, scene, segments
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import BLAZEPOSE_NAMES
from hund_backend.descent.fit.fit import fit
from hund_backend.descent.state import State
from hund_backend.evaluation.metrics import jitter, mpjpe_mm, pa_mpjpe_mm
from hund_backend.perception.crops import crop_from_image
from hund_backend.perception.packed_part_maps import pack_part_maps
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.rendering.exact_parts import part_labels
from hund_backend.training.motion.motion_set import motion_set
from hund_backend.training.parts.features import coverage

PACKAGES = ("torch", "numpy")
KEYPOINTS = ("noisy", "swapped")
PARTS = ("none", "mask", "exact", "corrupted")
LABELS_PX = 256
HEAD = """# The fit of clips with and without body parts, on synthetic held-out motion

{environment}
* `python -m benchmarks.alignment_clips MOCAP_FOLDER --clips {args.clips} \
--frames {args.frames} {changes}`
* errors of {joints} joints and of the low mesh's vertices, mm: root-aligned (MPJPE, PVE), after
  Procrustes (PA-); body shape: mean of the absolute errors, mm, girths scaled to the true stature;
  jerk m/s³ (that of the truth in brackets)

| keypoints | parts | MPJPE | PA-MPJPE | PVE | stature | chest | waist | hip | jerk | ms / frame |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Fit every clip with all kinds of keypoints and parts, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    tools = Tools(
        body=BodyModel.load("keypoints"),
        low=BodyModel.load("low"),
        full=BodyModel.load("full"),
        prior=PoseFlow.load(),
    )
    dynamics, poses = Dynamics.load(tools.prior), motion_set(args.mocap)
    slices = segments(poses, args.clips, args.frames)
    rows = []
    for keypoints, parts in itertools.product(args.keypoints, args.parts):
        config, scores, watch = fit_config(parts, args.set), [], measuring.Stopwatch()
        for seed, frames in enumerate(slices):
            plain = scene(tools.body, poses, frames, "plain", seed)
            changed = observed(plain, tools, keypoints, parts, np.random.default_rng(seed))
            track = changed.evidence, changed.fps
            with watch:
                state = fit(
                    *track, tools.body, tools.prior, config, dynamics=dynamics, skin=tools.low
                ).state
            scores.append(errors(plain, state, tools))
        *mean, jerk, true_jerk = np.mean(scores, axis=0)
        text = " | ".join(f"{value:.1f}" for value in mean)
        cost = 1000 * watch.cpu_seconds / (args.clips * args.frames)
        rows.append(
            f"| {keypoints} | {parts} | {text} | {jerk:.0f} ({true_jerk:.0f}) | {cost:.0f} |"
        )
        print(rows[-1], flush=True)
    environment = measuring.environment(PACKAGES, args.cores)
    changes = " ".join(("--set", *args.set)) if args.set else ""
    text = HEAD.format(environment=environment, args=args, changes=changes, joints=len(JOINTS))
    if args.save:
        print(measuring.save("alignment-clips", text + "\n".join(rows) + "\n"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--keypoints", nargs="+", choices=KEYPOINTS, default=KEYPOINTS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--set", nargs="*", default=[], help="NAME=NUMBER of the fit, as energy.parts.noise=0.01"
    )
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def observed(
    scene: Scene, tools: Tools, keypoints: str, parts: str, generator: np.random.Generator
) -> Scene:
    """Return the scene with a kind of keypoints and of parts."""
    evidence = scene.evidence
    if keypoints == "swapped":
        frames = len(evidence.frames)
        middle, order = slice(frames // 3, 2 * frames // 3), np.arange(len(BLAZEPOSE_NAMES))
        for name in LIMBS["leg"]:
            sides = [BLAZEPOSE_NAMES.index(f"{side}_{name}") for side in ("left", "right")]
            order[sides] = sides[::-1]
        points, landmarks = evidence.keypoints.copy(), evidence.world_landmarks.copy()
        points[middle], landmarks[middle] = points[middle][:, order], landmarks[middle][:, order]
        evidence = replace(evidence, keypoints=points, world_landmarks=landmarks)
    if parts == "none":
        return replace(scene, evidence=evidence)
    camera = torch.from_numpy(crop_from_image(evidence.crops, LABELS_PX) @ evidence.intrinsics)
    vertices = scene.state.posed(tools.low).vertices
    labels = part_labels(tools.low, vertices, camera.float(), (LABELS_PX, LABELS_PX))
    labels = labels.numpy().astype(np.uint8)
    maps = [
        corrupted(each, generator) if parts == "corrupted" else coverage(each) for each in labels
    ]
    maps = np.stack(maps).astype(np.float32)
    if parts == "mask":
        masks = (255 * (1 - maps[:, 0])).round().astype(np.uint8)
        return replace(scene, evidence=replace(evidence, masks=masks))
    return replace(scene, evidence=replace(evidence, parts=pack_part_maps(maps)))


def errors(scene: Scene, state: State, tools: Tools) -> tuple[float, ...]:
    """Return MPJPE, PA-MPJPE, PVE, body shape errors, jerk and the truth's jerk."""
    found, truth = state.posed(tools.low), scene.state.posed(tools.low)
    joints = [each.joints[:, JOINTS].numpy().astype(float) for each in (found, truth)]
    valid = np.ones(joints[0].shape[:2], bool)
    pve = (found.vertices - found.joints[:, :1]) - (truth.vertices - truth.joints[:, :1])
    return (
        float(mpjpe_mm(1000 * joints[0], 1000 * joints[1], valid, (0,)).mean()),
        float(pa_mpjpe_mm(1000 * joints[0], 1000 * joints[1], valid).mean()),
        1000 * float(pve.norm(dim=-1).mean()),
        *shape_errors(state.betas[0], scene.state.betas[0], tools.full),
        *(jitter(each - each[:, :1], scene.fps) for each in joints),
    )


if __name__ == "__main__":
    main()
