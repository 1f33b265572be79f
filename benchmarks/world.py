"""World: errors of the up direction and of the focal length, where nothing is known of the camera.

Run as `python -m benchmarks.world MOCAP_FOLDER`. Held-out motion is played before level, slightly
and steeply tilted cameras of unknown focal length, seen by a simulated detector
(`benchmarks/motion_clips.py`), and posed with the guessed focal length.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from benchmarks import measuring
from benchmarks.feet import load_models
from benchmarks.motion_clips import SEGMENTS, MotionClip, motion_clip
from hund_backend.body.camera import default_intrinsics
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.estimation import pose_person
from hund_backend.models import Models
from hund_backend.motion.focal_length import estimate_focal_length
from hund_backend.motion.posed_track import pose_track
from hund_backend.motion.support import NUM_SOLES, estimate_support
from hund_backend.motion.upright import CAMERA_UP
from hund_backend.options import Options
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.motion.filmed_motion import SIZE, Camera
from hund_backend.training.motion.motion_set import motion_set

TILTS = ("level", "slight", "steep")
FOCALS = (0.6, 1.5)  # in widths of the picture
MAX_FRAMES = 90


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors in one clip."""

    tilt: str
    level: float  # degrees, of the assumption of a level camera
    up: float  # degrees, of the estimate
    guess: float  # logarithm of the guessed focal length over the true one
    focal: float  # the same of the estimate
    sure: bool  # whether the estimate is used


def main() -> None:
    """Estimate every clip's world and print both tables."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    models = load_models()
    found = []
    for tilt, clip in clips(args, models):
        found.append(errors(tilt, clip, models))
        print(found[-1], flush=True)
    print(
        "\n| camera | clips | level, ° | estimate, ° | worst, ° |\n| --- | --- | --- | --- | --- |"
    )
    for tilt in TILTS:
        chosen = [each for each in found if each.tilt == tilt]
        if chosen:
            up = [each.up for each in chosen]
            level = np.mean([each.level for each in chosen])
            print(f"| {tilt} | {len(up)} | {level:.1f} | {np.mean(up):.1f} | {max(up):.1f} |")
    sure = [each for each in found if each.sure]
    if sure:
        guess, focal = (np.abs([getattr(e, n) for e in sure]) for n in ("guess", "focal"))
        print(
            f"\nFocal length estimated in {len(sure)} of {len(found)} clips: error of the logarithm "
            f"{guess.mean():.2f} (guess), {focal.mean():.2f} (estimate), worst {focal.max():.2f}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", help="only these kinds of motion")
    parser.add_argument("--tilts", nargs="*", choices=TILTS, default=list(TILTS))


def clips(args: argparse.Namespace, models: Models) -> Iterator[tuple[str, MotionClip]]:
    """Yield the clips, each made when it is needed."""
    motions, prior = motion_set(args.mocap), PoseFlow.load().double()
    for tilt in args.tilts:
        for number, segment in enumerate(SEGMENTS):
            if args.kinds and segment.kind not in args.kinds:
                continue
            short = replace(segment, frames=min(segment.frames, MAX_FRAMES))
            seed = 1000 * args.seed + number
            camera = partial(random_camera, tilt)
            yield (
                tilt,
                motion_clip(models.body, prior, motions, short, seed, place_camera=camera),
            )


def random_camera(
    tilt: str, path: Float[np.ndarray, "frames 3"], rng: np.random.Generator
) -> Camera:
    """Return a camera with a kind of tilt that has a person in view throughout."""
    yaw = rng.uniform(0, 2 * np.pi)
    if tilt == "level":
        degrees = rng.normal(0, 1.5), rng.normal(0, 1)
    elif tilt == "slight":
        degrees = rng.normal(5.7, 3.4), rng.normal(0, 1.2)
    else:
        degrees = rng.choice([1, 1, 1, -1]) * rng.uniform(8, 28), rng.normal(0, 4)
    pitch, roll = np.radians(degrees)
    focal = SIZE[0] * np.exp(rng.uniform(*np.log(FOCALS)))
    vectors = torch.tensor([[pitch, 0, 0], [0, 0, roll], [0, yaw, 0]], dtype=torch.float64)
    tilting, lean, turn = rotvec_to_matrix(vectors).numpy()
    rotation = lean @ np.diag([1.0, -1, -1]) @ tilting @ turn
    middle = (path.max(axis=0) + path.min(axis=0)) / 2
    middle[1] = 0.9
    extent = np.linalg.norm(np.ptp(path, axis=0)[[0, 2]])
    distance = max(focal * 2.3 / SIZE[1], focal * (extent + 1.5) / SIZE[0]) + extent / 2
    intrinsics = np.array([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1.0]])
    return Camera(
        rotation=rotation, position=middle - distance * rotation[2], intrinsics=intrinsics
    )


def errors(tilt: str, clip: MotionClip, models: Models) -> Errors:
    """Pose a clip with the guessed focal length and estimate its world."""
    guess = default_intrinsics(*SIZE)
    frames = len(clip.joints)
    evidence = replace(clip.evidence, intrinsics=np.repeat(guess[None], frames, axis=0))
    result = pose_person(evidence, clip.fps, Options(), models, models.hund, lambda step: None)
    tracks = [pose_track(evidence, result, models.body, frames)]
    times = np.arange(frames) / clip.fps
    support = estimate_support(tracks, times, models.contacts)
    soles = tuple(bearing[:, :NUM_SOLES] for bearing in support.bearing)
    focal = estimate_focal_length(tracks, soles)
    truth = float(np.log(clip.intrinsics[0, 0] / guess[0, 0]))
    return Errors(
        tilt=tilt,
        level=_angle(CAMERA_UP, clip.up),
        up=_angle(support.ground.up, clip.up),
        guess=-truth,
        focal=float(np.log(focal.ratio)) - truth,
        sure=focal.is_sure,
    )


def _angle(one: Float[np.ndarray, "3"], other: Float[np.ndarray, "3"]) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))


if __name__ == "__main__":
    main()
