"""What tells whether an adaptation to a clip lowers the true error?

Run as `python -m benchmarks.adaptation_criterion MOCAP_FOLDER RENDERED_CLIPS --save FILE`. Clips of
held-out motion with imagined noise of several strengths, and rendered clips with what BlazePose sees
in them (`benchmarks.rendered_clips`): the network learns from each clip, and every few steps the
quantities that a job could compute stand beside the true errors of the held-out frames. The table
has their correlation, over clips, of the falls since before.
"""

import argparse
import copy
import json
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from benchmarks import measuring
from benchmarks.fit import Scene, scene, segments
from benchmarks.rendered_clips import read_scene
from hund_backend.atomic_write import write_file
from hund_backend.body.model import BodyModel
from hund_backend.body.procrustes import similarity_aligned
from hund_backend.descent.learned.adaptation import (
    AdaptConfig,
    adaptation_loss,
    held_out_frames,
    unadapted_rotations,
    validate,
)
from hund_backend.descent.learned.hund import TERMS, Hund
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.motion.motion_set import motion_set
from hund_backend.training.motion.simulated_detector import DetectorNoise, simulated_evidence

CONFIG = AdaptConfig(block=8, held_out_every=3, batch=32)
STRENGTHS = (0.5, 1.0, 2.0)
HIDDEN = 0.25  # share of keypoints that are hidden, whose prediction is a quantity


def main() -> None:
    """Adapt to every clip, and print the correlations."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(1)
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    hund, poses = Hund.load(body, prior), motion_set(args.mocap)
    scenes: list[tuple[str, Scene]] = []
    noisy: list[tuple[str, Scene]] = []
    for number, path in enumerate(sorted(args.rendered.glob("*.safetensors"))):
        scenes.append((f"rendered {number}", read_scene(path, body)))
    for seed, frames in enumerate(segments(poses, args.clips, 60)):
        strength = STRENGTHS[seed % len(STRENGTHS)]
        each = scene(body, poses, frames, "plain", seed)
        noisy.append((f"noise {strength} {seed}", _noisy(each, body, strength, seed)))
    scenes = [each for pair in zip_longest(scenes, noisy) for each in pair if each is not None]
    rows = json.loads(args.save.read_text()) if args.save.exists() else []
    done = {row["clip"] for row in rows}
    for name, each in scenes:
        if name in done:
            continue
        for point in adapted(each, hund, prior, args.steps, args.every):
            rows.append({"clip": name} | point)
            print(rows[-1], flush=True)
        write_file(args.save, json.dumps(rows).encode())
    report(rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("rendered", type=Path, help="folder of rendered clips")
    parser.add_argument("--clips", type=int, default=9, help="with imagined noise")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--save", type=Path, required=True, help="JSON file of all figures")


def _noisy(each: Scene, body: BodyModel, strength: float, seed: int) -> Scene:
    """The scene with the simulated detector's noise instead."""
    points = body.keypoints(each.state.posed(body), "blazepose").double().numpy()
    evidence = simulated_evidence(
        points,
        each.evidence.intrinsics[0],
        each.fps,
        np.random.default_rng(seed),
        DetectorNoise().scaled(strength),
    )
    return replace(each, evidence=evidence)


def adapted(
    each: Scene, hund: Hund, prior: PoseFlow, steps: int, every: int
) -> list[dict[str, float]]:
    """Figures before the adaptation and every few steps of it."""
    inputs = NetworkInputs.from_evidence(each.evidence, hund.decoder.bones)
    held_out = held_out_frames(len(inputs), CONFIG)
    learner = copy.deepcopy(hund).train().requires_grad_(True)
    training = inputs.select((~held_out).nonzero()[:, 0])
    rotations = unadapted_rotations(hund, training)
    optimizer = torch.optim.AdamW(
        learner.parameters(), lr=CONFIG.learning_rate, weight_decay=CONFIG.weight_decay
    )
    generator = torch.Generator().manual_seed(0)
    points = [figures(0, learner, prior, each, inputs, held_out)]
    for step in range(1, steps + 1):
        batch = torch.randint(len(training), (CONFIG.batch,), generator=generator)
        loss = adaptation_loss(
            learner, training.select(batch), rotations[batch], CONFIG, generator
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), CONFIG.max_gradient_norm)
        optimizer.step()
        if step % every == 0:
            points.append(figures(step, learner, prior, each, inputs, held_out))
    return points


@torch.no_grad()
def figures(
    step: int,
    learner: Hund,
    prior: PoseFlow,
    each: Scene,
    inputs: NetworkInputs,
    held_out: torch.Tensor,
) -> dict[str, float]:
    """Quantities that a job could compute, and the true errors, of the held-out frames."""
    descent = learner.descend(inputs)
    last = learner(inputs)[-1]
    terms = descent.terms[held_out, -1].mean(0)
    found = validate(learner, prior, inputs.select(held_out.nonzero()[:, 0]), CONFIG.block)
    values = {"step": step} | found._asdict()
    values |= {f"loss_{name}": float(term) for name, term in zip(TERMS, terms, strict=True)}
    values["train_loss"] = float(descent.terms[~held_out, -1].sum(-1).mean())
    generator = torch.Generator().manual_seed(5)
    hidden = torch.rand(inputs.confidence.shape, generator=generator) < HIDDEN
    blind = replace(inputs, confidence=inputs.confidence * ~hidden)
    blind = replace(blind, keypoints=blind.keypoints * ~hidden[..., None])
    guessed = learner(blind)[-1].posed.points
    projected = (
        guessed[..., :2] / guessed[..., 2:].clamp(min=0.1) / inputs.crop_width[:, None, None]
    )
    weight = (hidden * inputs.confidence)[held_out]
    distance = (projected - inputs.keypoints)[held_out].norm(dim=-1).clamp(max=0.1)
    values["hidden_keypoints"] = float((weight * distance).sum() / weight.sum())
    joints = last.posed.joints
    in_camera = (joints - joints[:, :1]) @ inputs.camera_from_crop.mT
    speed = in_camera.diff(dim=0)
    values["acceleration_of_all"] = float(speed.diff(dim=0).norm(dim=-1).mean() * each.fps**2)
    values["betas_variance"] = float(last.vector.betas.var(0).mean())
    landmarks = last.posed.points - last.posed.points[:, [23, 24]].mean(1, keepdim=True)
    values["landmark_distance"] = float(
        (landmarks - inputs.landmarks)[held_out].norm(dim=-1).mean()
    )
    truth = torch.from_numpy(each.joints).float()
    truth = truth - truth[:, :1]
    error = 1000 * (in_camera - truth).norm(dim=-1).mean(-1)
    aligned = 1000 * (similarity_aligned(in_camera, truth) - truth).norm(dim=-1).mean(-1)
    values["mpjpe"], values["pa_mpjpe"] = (
        float(error[held_out].mean()),
        float(aligned[held_out].mean()),
    )
    return values


def report(rows: list[dict[str, float]]) -> None:
    """Print the correlation of each quantity's change with those of the true errors."""
    names = [name for name in rows[0] if name not in ("clip", "step", "mpjpe", "pa_mpjpe")]
    first = {row["clip"]: row for row in rows if row["step"] == 0}
    later = [row for row in rows if row["step"] > 0]

    def change(name: str) -> np.ndarray:
        """In nats of the log-probability, relative of the others."""
        before = np.array([first[row["clip"]][name] for row in later])
        scale = 1.0 if name == "log_prob" else np.abs(before).clip(1e-9)
        return (np.array([row[name] for row in later]) - before) / scale

    print("| quantity | r with MPJPE | r with PA-MPJPE |")
    for name in names:
        pairs = [np.corrcoef(change(name), change(true))[0, 1] for true in ("mpjpe", "pa_mpjpe")]
        print(f"| {name} | {pairs[0]:.2f} | {pairs[1]:.2f} |")


if __name__ == "__main__":
    main()
