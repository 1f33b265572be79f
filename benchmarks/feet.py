"""Contacts and snap: sliding, penetration, flights, and fast motion, on clips with known truth.

Run as `python -m benchmarks.feet MOCAP_FOLDER`. Held-out motion whose contacts hold, played by
random bodies before random cameras and seen by a simulated detector (benchmarks/motion_clips.py),
goes through the job's own pipeline from the evidence on.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from benchmarks import measuring
from benchmarks.captured_motion import CUTOFF
from benchmarks.hand_clips import clap_clip
from benchmarks.motion_clips import SEGMENTS, MotionClip, motion_clip
from hund_backend.body.center_of_mass import GRAVITY, mass_weights
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import quaternion_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES
from hund_backend.descent.learned.hund import Hund
from hund_backend.descent.reduced_body import REDUCED_JOINTS
from hund_backend.descent.state import State
from hund_backend.estimation import estimate
from hund_backend.evaluation.metrics import acceleration, jitter, mpjpe_mm, pa_mpjpe_mm
from hund_backend.models import Models
from hund_backend.motion.contact_network import ContactNetwork
from hund_backend.motion.contacts import body_contacts
from hund_backend.motion.levels import SAME_LEVEL
from hund_backend.options import Options
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.progress import silent
from hund_backend.reconstruction import Reconstruction
from hund_backend.stopwatch import Stopwatch
from hund_backend.tracked_clip import TrackedClip
from hund_backend.training.motion.filmed_motion import SIZE
from hund_backend.training.motion.motion_set import motion_set
from hund_backend.video import ClipInfo

PACKAGES = ("torch", "numpy")
JOINTS = [JOINT_INDEX[name] for name in REDUCED_JOINTS]
ENDS = [JOINT_INDEX[f"{name}{side}"] for name in ("Hand", "Ankle") for side in "LR"]
HANDS = [JOINT_INDEX[f"Hand{side}"] for side in "LR"]
TIMING_REACH = 5  # frames: a contact that begins or ends further off is missed, not late
PEAK_SHARE = 0.5  # of the clip's highest speed from which a maximum counts as a peak
METRICS = {
    "sliding": "mm a frame of soles in true contact (WHAM)",
    "contact F1": "of heel and toe of each foot",
    "timing": "frames by which begins and ends of contacts are off",
    "up": "degrees between the estimated and the true up direction",
    "level": "mm, error of the heights of steps, chairs and the like over the lowest support",
    "penetration": "mm of the lowest point below the floor of the file",
    "float": "mm between soles in true contact with the floor and the floor",
    "body sliding": "mm a frame of hands, knees and seats in true contact",
    "body F1": "of contacts of hands, knees and seat",
    "body timing": "frames by which begins and ends of these are off",
    "flight": "m/s², error of the center of mass's acceleration in true flight",
    "size": "% by which the distance of the pelvis is wrong, absolute",
    "wander": "mm by which a sole moves in a clip of standing",
    "MPJPE": "mm",
    "PA-MPJPE": "mm",
    "position": "mm, of the pelvis in the camera frame",
    "acceleration": "error, m/s²",
    "jerk": "ratio to the truth's",
    "root jerk": "ratio to the truth's, pelvis in the camera frame",
    "peaks": "ratio of the peak speeds of wrists and ankles to the truth's",
    "clap gap": "mm by which hands that meet are further apart than in truth",
    "clap timing": "frames by which they meet early or late",
}
HEAD = """# Feet and snap on held-out motion

{environment}
* `python -m benchmarks.feet MOCAP_FOLDER --repeats {args.repeats} --smoothing {args.smoothing}`
* {metrics}

"""


def main() -> None:
    """Reconstruct every clip and print a row for each kind of motion, and for all."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    models = load_models()
    rows: list[tuple[str, dict[str, float]]] = []
    watch = measuring.Stopwatch()
    frames = 0
    for clip in clips(args, models):
        with watch:
            result = reconstruct_clip(clip, models, Options(smoothing=args.smoothing))
        frames += len(clip.joints)
        rows.append((clip.kind, scores(clip, result, models.body)))
        if args.verbose:
            print(clip.kind, {k: round(v, 2) for k, v in rows[-1][1].items()}, flush=True)
    environment = measuring.environment(PACKAGES, args.cores)
    metrics = "; ".join(f"{name}: {text}" for name, text in METRICS.items())
    text = HEAD.format(environment=environment, args=args, metrics=metrics) + as_table(rows)
    text += f"\n{1000 * watch.cpu_seconds / frames:.1f} ms of processor time a frame\n"
    print(text)
    if args.save:
        print(measuring.save("feet", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--kinds", nargs="*", help="only these kinds of motion")
    parser.add_argument("--repeats", type=int, default=1, help="bodies and cameras a segment")
    parser.add_argument("--fps", type=float, default=30.0, help="frames a second")
    parser.add_argument(
        "--cutoff", type=float, default=CUTOFF, help="of the true motion, Hz; 0: as recorded"
    )
    parser.add_argument("--smoothing", type=float, default=1.0)
    parser.add_argument("--verbose", action="store_true", help="a line for each clip")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def load_models() -> Models:
    """Models of the pipeline without perception."""
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    return Models(
        device=torch.device("cpu"),
        perception=None,
        body=body,
        prior=prior,
        hund=Hund.load(body, prior),
        contacts=ContactNetwork.load(),
        dynamics=Dynamics.load(prior),
    )


def clips(args: argparse.Namespace, models: Models) -> Iterable[MotionClip]:
    """Yield the clips, each made when it is needed."""
    motions = motion_set(args.mocap)
    prior = PoseFlow.load().double()
    for repeat in range(args.repeats):
        for number, segment in enumerate(SEGMENTS):
            if not args.kinds or segment.kind in args.kinds:
                seed = 100 * repeat + number
                yield motion_clip(
                    models.body,
                    prior,
                    motions,
                    segment,
                    seed,
                    fps=args.fps,
                    cutoff=args.cutoff or None,
                )
        if not args.kinds or "clap" in args.kinds:
            yield clap_clip(models.body, seed=repeat, fps=args.fps)


def reconstruct_clip(clip: MotionClip, models: Models, options: Options) -> Reconstruction:
    """Reconstruct from a clip's evidence, as the job does."""
    frames = len(clip.joints)
    path = Path(__file__)  # provenance hashes a file
    tracked = TrackedClip(
        path=path,
        info=ClipInfo(path=path, width=SIZE[0], height=SIZE[1], fps=clip.fps, num_frames=frames),
        truncated=None,
        frame_numbers=tuple(range(frames)),
        times=tuple(np.arange(frames) / clip.fps),
        intrinsics=clip.intrinsics,
        people=(clip.evidence,),
    )
    return estimate(tracked, options, models, silent, Stopwatch())


@torch.no_grad()
def scores(clip: MotionClip, result: Reconstruction, body: BodyModel) -> dict[str, float]:
    """Return METRICS of a reconstruction; NaN where one does not apply."""
    found = posed(result)
    posed_body = found.posed(body)
    joints = posed_body.joints.double().numpy()
    points = body.contact_points(posed_body).double().numpy()
    soles = points[:, :6]
    world = result.world_from_camera[0]
    true_heights = clip.points @ clip.up - clip.floor
    heights = points @ world[2, :3] + world[2, 3]
    penetration, level = support_errors(heights, true_heights, clip.contacts)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1) * clip.fps / 30
    both = clip.contacts[1:] & clip.contacts[:-1]
    true_contacts = four_contacts(clip.contacts[:, :6])
    contacts = result.contacts[0] > 0.5
    on_floor = clip.contacts[:, :6] & (np.abs(true_heights[:, :6]) < 0.05)
    true_body = body_contacts(clip.contacts.astype(float)) > 0.5
    found_body = np.zeros_like(true_body)
    if result.body_contacts is not None:
        found_body = result.body_contacts[0] > 0.5
    truth, estimate_ = clip.joints[:, JOINTS], joints[:, JOINTS]
    valid = np.ones(truth.shape[:2], dtype=bool)
    relative = estimate_ - estimate_[:, :1], truth - truth[:, :1]
    gap, timing = clap_errors(clip, joints)
    return {
        "sliding": 1000 * _mean(steps[:, :6][both[:, :6]]),
        "contact F1": f1(contacts, true_contacts),
        "timing": timing_error(contacts, true_contacts) * 30 / clip.fps,
        "up": float(np.degrees(np.arccos(np.clip(world[2, :3] @ clip.up, -1, 1)))),
        "penetration": 1000 * penetration,
        "level": 1000 * level,
        "float": 1000 * _mean(heights[:, :6][on_floor]),
        "body sliding": 1000 * _mean(steps[:, 6:][both[:, 6:]]),
        "body F1": f1(found_body, true_body),
        "body timing": timing_error(found_body, true_body) * 30 / clip.fps,
        "flight": flight_error(clip, joints),
        "size": 100 * _mean(np.abs(joints[:, 0, 2] / clip.joints[:, 0, 2] - 1)),
        "wander": wander_mm(soles) if clip.kind == "stand" else np.nan,
        "MPJPE": float(mpjpe_mm(1000 * estimate_, 1000 * truth, valid, (0,)).mean()),
        "PA-MPJPE": float(pa_mpjpe_mm(1000 * estimate_, 1000 * truth, valid).mean()),
        "position": 1000 * float(np.linalg.norm(joints[:, 0] - clip.joints[:, 0], axis=1).mean()),
        "acceleration": acceleration(relative[0] - relative[1], clip.fps),
        "jerk": _ratio(jitter(relative[0], clip.fps), jitter(relative[1], clip.fps)),
        "root jerk": _ratio(jitter(estimate_[:, :1], clip.fps), jitter(truth[:, :1], clip.fps)),
        "peaks": peak_ratio(joints, clip.joints, clip.fps),
        "clap gap": gap,
        "clap timing": timing,
    }


def support_errors(
    heights: Float[np.ndarray, "frames 12"],
    true_heights: Float[np.ndarray, "frames 12"],
    contacts: Bool[np.ndarray, "frames 12"],
) -> tuple[float, float]:
    """Return how deep points are below the floor, and how wrong the heights of supports are.

    The floor is that of the file, unless that lies on another one of the supports than the lowest.
    A step that is found 3 cm too low is an error of the step's height, which no sole is below, and
    toes that turn up by 5 cm in contact are on the floor all the same.

    Args:
        heights: over the floor of the file, metres.
        true_heights: over the true floor.
        contacts: true ones.

    Returns:
        Mean over the frames of the depth of the lowest point; mean error of the heights of other
        supports over the lowest one, metres, NaN if there are none.
    """
    levels = levels_of(true_heights, contacts)
    known = np.unique(levels[contacts]).tolist()
    found = [float(np.median(heights[contacts & (levels == level)])) for level in known]
    base = found[0] if found else 0.0
    floor = 0.0 if abs(base) < SAME_LEVEL else base
    depth = float((floor - heights.min(axis=1)).clip(0).mean())
    errors = [abs((f - base) - (k - known[0])) for f, k in zip(found[1:], known[1:], strict=True)]
    return depth, _mean(np.array(errors))


def levels_of(
    heights: Float[np.ndarray, "frames 12"], contacts: Bool[np.ndarray, "frames 12"]
) -> Float[np.ndarray, "frames 12"]:
    """Return the height of the support of each point in contact, metres; zero elsewhere."""
    levels = np.zeros(heights.shape)
    values = np.sort(heights[contacts])
    for part in np.split(values, np.flatnonzero(np.diff(values) > SAME_LEVEL) + 1):
        if len(part):
            members = contacts & (heights >= part[0]) & (heights <= part[-1])
            levels[members] = np.median(part)
    return levels


def posed(result: Reconstruction, person: int = 0) -> State:
    """States of a person of a reconstruction, camera frame."""
    rotations = quaternion_to_matrix(torch.from_numpy(result.rotations[person]))
    return State(
        pose=rotations[:, 1:],
        betas=torch.from_numpy(result.betas[person]).expand(len(rotations), -1),
        global_orient=rotations[:, 0],
        root_translation=torch.from_numpy(result.root_translation[person]),
    )


def four_contacts(contacts: Bool[np.ndarray, "frames 6"]) -> Bool[np.ndarray, "frames 4"]:
    """Heel and toe of each foot, as results have them, from heel, ball and toe."""
    feet = contacts.reshape(-1, 2, 3)
    return np.stack((feet[..., 0], feet[..., 1:].any(axis=-1)), axis=-1).reshape(-1, 4)


def f1(
    found: Bool[np.ndarray, "frames points"], truth: Bool[np.ndarray, "frames points"]
) -> float:
    """Harmonic mean of precision and recall; NaN where nothing is in contact."""
    positives = found.sum() + truth.sum()
    return float(2 * (found & truth).sum() / positives) if positives else np.nan


def timing_error(
    found: Bool[np.ndarray, "frames points"], truth: Bool[np.ndarray, "frames points"]
) -> float:
    """Mean distance in frames from each begin and end of a true contact to the nearest one found."""
    errors = []
    for point in range(truth.shape[1]):
        for sign in (1, -1):
            true_events = np.flatnonzero(np.diff(truth[:, point].astype(int)) == sign)
            events = np.flatnonzero(np.diff(found[:, point].astype(int)) == sign)
            for event in true_events:
                distance = np.abs(events - event).min(initial=TIMING_REACH + 1)
                errors += [distance] if distance <= TIMING_REACH else []
    return _mean(np.array(errors, dtype=float))


def flight_error(clip: MotionClip, joints: Float[np.ndarray, "frames 63 3"]) -> float:
    """Mean distance of the acceleration of the center of mass from gravity's in flight, m/s²."""
    if clip.flies is None:
        return np.nan
    center = np.einsum("j,fjx->fx", mass_weights(JOINT_NAMES), joints)
    acceleration = (center[:-2] - 2 * center[1:-1] + center[2:]) * clip.fps**2
    inner = clip.flies[:-2] & clip.flies[1:-1] & clip.flies[2:]
    return _mean(np.linalg.norm(acceleration + GRAVITY * clip.up, axis=-1)[inner])


def wander_mm(soles: Float[np.ndarray, "frames 6 3"]) -> float:
    """Largest distance of a sole's point from its median, mm."""
    return 1000 * float(np.linalg.norm(soles - np.median(soles, axis=0), axis=-1).max())


def peak_ratio(
    found: Float[np.ndarray, "frames joints 3"],
    truth: Float[np.ndarray, "frames joints 3"],
    fps: float,
) -> float:
    """Mean ratio of the speeds of wrists and ankles, from the pelvis, at the truth's peaks."""
    speed, true_speed = (
        np.linalg.norm(np.gradient(each[:, ENDS] - each[:, :1], 1 / fps, axis=0), axis=-1)
        for each in (found, truth)
    )
    ratios = []
    reach = round(fps / 10)
    for end in range(len(ENDS)):
        values = true_speed[:, end]
        for frame in range(reach, len(values) - reach):
            near = slice(frame - reach, frame + reach + 1)
            if values[frame] == values[near].max() and values[frame] > PEAK_SHARE * values.max():
                ratios.append(speed[near, end].max() / values[frame])
    return _mean(np.array(ratios))


def clap_errors(clip: MotionClip, joints: Float[np.ndarray, "frames 63 3"]) -> tuple[float, float]:
    """Return by how much hands that meet stay apart, mm, and how much they meet off in time."""
    if clip.kind != "clap":
        return np.nan, np.nan
    distance, truth = (
        np.linalg.norm(each[:, HANDS[0]] - each[:, HANDS[1]], axis=-1)
        for each in (joints, clip.joints)
    )
    gaps, offsets = [], []
    for frame in range(3, len(truth) - 3):
        near = slice(frame - 3, frame + 4)
        if truth[frame] == truth[near].min():
            gaps.append(distance[near].min() - truth[frame])
            offsets.append(abs(int(distance[near].argmin()) - 3))
    return 1000 * _mean(np.array(gaps)), _mean(np.array(offsets, dtype=float))


def as_table(rows: list[tuple[str, dict[str, float]]]) -> str:
    """Means by kind of motion, and of all, as a table."""
    kinds = [*dict.fromkeys(kind for kind, _ in rows), "all"]
    lines = [
        f"| motion | {' | '.join(METRICS)} |",
        "| --- |" + " --- |" * len(METRICS),
    ]
    for kind in kinds:
        chosen = [values for name, values in rows if kind in (name, "all")]
        means = [_mean(np.array([values[metric] for values in chosen])) for metric in METRICS]
        cells = ["" if np.isnan(mean) else f"{mean:.3g}" for mean in means]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _ratio(value: float, truth: float) -> float:
    return value / truth if truth > 0 else np.nan


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


if __name__ == "__main__":
    main()
