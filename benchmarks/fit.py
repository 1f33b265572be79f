"""The fit with different priors, on synthetic evidence of held-out motion.

Run as `python -m benchmarks.fit MOCAP_FOLDER`. Held-out clips are played by random body shapes
before random cameras. The simulated detections are noisy, and in turn without landmarks (so that
depth is ambiguous), without legs, with an arm and a leg hidden, with a gap.
"""

import argparse
import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from benchmarks import measuring
from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX
from hund_backend.descent.fit.fit import FitConfig, fit
from hund_backend.descent.reduced_body import REDUCED_JOINTS
from hund_backend.descent.state import State
from hund_backend.evaluation.metrics import acceleration, jitter, mpjpe_mm, pa_mpjpe_mm
from hund_backend.perception.evidence import Evidence
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.pose_flow import WEIGHTS_FILE, PoseFlow
from hund_backend.prior.pose_prior import PosePrior
from hund_backend.training.motion.motion_set import MotionSet, motion_set

PACKAGES = ("torch", "numpy")
CONDITIONS = ("plain", "ambiguous", "truncated", "occluded", "gap")
FOCAL_PX, SIZE_PX = 1000.0, 1000
HIPS = tuple(BLAZEPOSE_NAMES.index(f"{side}_hip") for side in ("left", "right"))
LEG = ("knee", "ankle", "heel", "foot")
ARM = ("elbow", "wrist", "pinky", "index", "thumb")
JOINTS = [JOINT_INDEX[name] for name in REDUCED_JOINTS]
HEAD = """# The fit on synthetic held-out motion

{environment}
* `python -m benchmarks.fit MOCAP_FOLDER --clips {args.clips} --frames {args.frames}`
* errors of {joints} joints, mm: root-aligned and after Procrustes; acceleration error m/s²; jerk
  m/s³ (that of the truth in brackets)

| condition | prior | MPJPE | PA-MPJPE | acceleration error | jerk | s / frame |
| --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A person's true motion and simulated detections of it."""

    joints: Float[np.ndarray, "frames joints 3"]  # camera frame, metres
    state: State
    evidence: Evidence
    fps: float


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A prior, with or without dynamics, in the comparison."""

    name: str
    prior: PosePrior
    dynamics: Dynamics | None = None


def main() -> None:
    """Fit every scene in every condition with every prior, and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    body, poses = BodyModel.load("keypoints"), motion_set(args.mocap)
    contenders = [Contender(name="Gaussian", prior=GaussianPrior.load())]
    contenders += [Contender(name=path.stem, prior=PoseFlow.load(path)) for path in args.flows]
    if args.dynamics:
        prior = PoseFlow.load()
        dynamics = Dynamics.load(prior)
        contenders.append(Contender(name="pose_flow and dynamics", prior=prior, dynamics=dynamics))
    slices = segments(poses, args.clips, args.frames)
    rows = []
    for condition, contender in itertools.product(args.conditions, contenders):
        with measuring.Stopwatch() as watch:
            scores = [
                fit_errors(scene(body, poses, frames, condition, seed), body, contender, condition)
                for seed, frames in enumerate(slices)
            ]
        mean = np.mean(scores, axis=0)
        cost = watch.cpu_seconds / (args.clips * args.frames)
        rows.append(
            f"| {condition} | {contender.name} | {mean[0]:.1f} | {mean[1]:.1f} | {mean[2]:.2f} | "
            f"{mean[3]:.0f} ({mean[4]:.0f}) | {cost:.3f} |"
        )
        print(rows[-1], flush=True)
    environment = measuring.environment(PACKAGES, args.cores)
    text = HEAD.format(environment=environment, args=args, joints=len(REDUCED_JOINTS))
    text += "\n".join(rows) + "\n"
    print(text)
    if args.save:
        print(measuring.save("fit", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument(
        "--flows", type=Path, nargs="*", default=[WEIGHTS_FILE], help="instead of the shipped one"
    )
    parser.add_argument(
        "--dynamics", action="store_true", help="also the shipped flow with dynamics"
    )
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument(
        "--conditions", nargs="+", choices=CONDITIONS, default=CONDITIONS, metavar="CONDITION"
    )
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def segments(poses: MotionSet, count: int, frames: int) -> list[slice]:
    """Return segments of held-out clips, evenly over those that are usable throughout."""
    found = []
    for clip, split in enumerate(poses.splits):
        start, stop = int(poses.starts[clip]), int(poses.starts[clip + 1])
        for first in range(start, stop - frames + 1, frames):
            inside = slice(first, first + frames)
            if split == "held_out" and bool(poses.usable[inside].all()):
                found.append(inside)
    return [found[i] for i in np.linspace(0, len(found) - 1, count).astype(int)]


def scene(body: BodyModel, poses: MotionSet, segment: slice, condition: str, seed: int) -> Scene:
    """Return a segment of motion with simulated detections."""
    generator = torch.Generator().manual_seed(seed)
    rotations, path = poses.rotations[segment], poses.translation[segment]
    frames = len(rotations)
    turn = torch.tensor([0.0, 2 * torch.pi, 0]) * torch.rand(1, generator=generator)
    tilt = torch.tensor([0.2, 0.0, 0]) * torch.randn(1, generator=generator)
    upright = torch.diag(torch.tensor([1.0, -1, -1]))  # y up and front → y down and forward
    camera = upright @ rotvec_to_matrix(tilt) @ rotvec_to_matrix(turn)
    distance = 4 + 2 * torch.rand(1, generator=generator)
    middle = torch.tensor([0.0, 0.0, 1.0]) * distance
    translation = (path - path.mean(0)) @ camera.T + middle
    betas = 0.7 * torch.randn(16, generator=generator).expand(frames, 16)
    state = State(
        pose=rotations[:, 1:],
        betas=betas,
        global_orient=camera @ rotations[:, 0],
        root_translation=translation,
    )
    posed = state.posed(body)
    intrinsics = np.array([[FOCAL_PX, 0, SIZE_PX / 2], [0, FOCAL_PX, SIZE_PX / 2], [0, 0, 1]])
    intrinsics = np.repeat(intrinsics[None], frames, axis=0)
    points = body.keypoints(posed, "blazepose")
    pixels = project(points, torch.from_numpy(intrinsics).float()).numpy().astype(float)
    evidence = _detections(pixels, points.numpy().astype(float), intrinsics, condition, seed)
    joints = posed.joints[:, JOINTS].numpy().astype(float)
    return Scene(joints=joints, state=state, evidence=evidence, fps=poses.fps)


def fit_errors(
    scene: Scene, body: BodyModel, contender: Contender, condition: str
) -> tuple[float, float, float, float, float]:
    """Return MPJPE, PA-MPJPE, acceleration error, jerk and the truth's jerk of a fit."""
    config = FitConfig()
    if condition == "ambiguous":
        landmarks = replace(config.energy.landmarks, weight=0.0)
        without_landmarks = replace(config.energy, landmarks=landmarks)
        config = replace(config, energy=without_landmarks)
    state = fit(
        scene.evidence,
        scene.fps,
        body,
        contender.prior,
        config,
        dynamics=contender.dynamics,
    ).state
    return state_errors(scene, state, body)


@torch.no_grad()
def state_errors(
    scene: Scene, state: State, body: BodyModel
) -> tuple[float, float, float, float, float]:
    """Return MPJPE, PA-MPJPE, acceleration error, jerk and the truth's jerk of states."""
    posed = state.posed(body)
    found = posed.joints[:, JOINTS].numpy().astype(float)
    valid = np.ones(found.shape[:2], dtype=bool)
    relative = found - found[:, :1], scene.joints - scene.joints[:, :1]
    return (
        float(mpjpe_mm(1000 * found, 1000 * scene.joints, valid, (0,)).mean()),
        float(pa_mpjpe_mm(1000 * found, 1000 * scene.joints, valid).mean()),
        acceleration(relative[0] - relative[1], scene.fps),
        jitter(relative[0], scene.fps),
        jitter(relative[1], scene.fps),
    )


def _detections(
    pixels: Float[np.ndarray, "frames 33 2"],
    points: Float[np.ndarray, "frames 33 3"],
    intrinsics: Float[np.ndarray, "frames 3 3"],
    condition: str,
    seed: int,
) -> Evidence:
    """Simulate detections: half of the noise is correlated in time, 3 % are outliers."""
    generator = np.random.default_rng(seed)
    frames = len(pixels)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    side = 1.25 * (high - low).max(axis=1)
    noise = 0.005 * generator.normal(size=pixels.shape) + 0.005 * _correlated_noise(
        generator, pixels.shape
    )
    outliers = generator.random((frames, 33, 1)) < 0.03
    noise = np.where(outliers, 0.15 * generator.normal(size=pixels.shape), noise)
    confidence = generator.uniform(0.7, 1.0, (frames, 33))
    hidden = _hidden(condition, frames)
    noise = np.where(hidden[..., None], 0.1 * _correlated_noise(generator, pixels.shape), noise)
    confidence = np.where(hidden, 0.05 * confidence, confidence)
    observed = np.ones(frames, dtype=bool)
    if condition == "gap":
        observed[frames // 2 - 8 : frames // 2 + 8] = False
    confidence = confidence * observed[:, None]
    detected = pixels + noise * side[:, None, None]
    landmarks = points - points[:, HIPS].mean(axis=1, keepdims=True)
    spread = np.array([0.04, 0.04, 0.08])
    landmarks = landmarks + spread * _correlated_noise(generator, points.shape)
    crops = np.column_stack(((low + high) / 2, side, np.zeros(frames)))
    return Evidence(
        track_id=0,
        frames=np.arange(frames),
        observed=observed,
        keypoints=np.concatenate((detected, confidence[..., None]), axis=-1),
        world_landmarks=landmarks,
        crops=crops,
        intrinsics=intrinsics,
        masks=np.zeros((frames, 64, 64), np.uint8),
    )


def _hidden(condition: str, frames: int) -> np.ndarray:
    """Return which keypoints are hidden: frames by 33."""
    hidden = np.zeros((frames, 33), dtype=bool)
    if condition == "truncated":
        hidden[:, [i for i, n in enumerate(BLAZEPOSE_NAMES) if _is_on(n, LEG)]] = True
    if condition == "occluded":
        limbs = [i for i, n in enumerate(BLAZEPOSE_NAMES) if "left" in n and _is_on(n, ARM + LEG)]
        hidden[frames // 3 : 2 * frames // 3, limbs] = True
    return hidden


def _is_on(name: str, parts: tuple[str, ...]) -> bool:
    return any(part in name for part in parts)


def _correlated_noise(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return noise of unit variance, correlated over about ten frames."""
    noise = generator.normal(size=shape)
    for frame in range(1, shape[0]):
        noise[frame] = 0.9 * noise[frame - 1] + np.sqrt(1 - 0.9**2) * noise[frame]
    return noise


if __name__ == "__main__":
    main()
