"""Dynamics of poses: likelihood, prediction, filling of gaps, and smoothing beside simple filters.

Run as `python -m benchmarks.dynamics MOCAP_FOLDER`. Subjects are held out; filters and smoother are
tuned on the validation split under the same noise.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from scipy.signal import savgol_filter
from torch import Tensor

from benchmarks import measuring
from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import (
    matrix_to_rotvec,
    matrix_to_sixd,
    rotvec_to_matrix,
    sixd_to_matrix,
)
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from hund_backend.prior.dynamics import WEIGHTS_FILE, Dynamics, DynamicsConfig
from hund_backend.prior.pose_prior import PosePrior
from hund_backend.prior.smoothing import fill_gaps, smooth_poses
from hund_backend.training.motion.motion_set import MotionSet, Split, motion_set
from hund_backend.training.priors.train_dynamics import (
    PRIORS,
    DynamicsRecipe,
    LatentMotions,
    add_latent_noise,
    encode_motions,
    set_scales,
)

PACKAGES = ("torch", "numpy", "scipy")
AHEAD = (1, 5, 15)  # frames
GAPS = (10, 30)  # frames
NOISES = (10, 5)  # degrees on every axis
CLIP = 60  # frames smoothed together
LATENT_NOISE = DynamicsRecipe().latent_noise

Pose = Float[Tensor, "*batch joints 3 3"]
Rows = dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class SplitData:
    """Motion of one split: poses, their latents, and roots."""

    prior: PosePrior
    motions: LatentMotions
    poses: Pose
    rest: Float[Tensor, "63 3"]

    @classmethod
    def of(cls, poses: MotionSet, prior: PosePrior, split: Split) -> "SplitData":
        """Encode all frames of a split."""
        inside = torch.tensor([name == split for name in poses.splits])[poses.clips]
        return cls(
            prior=prior,
            motions=encode_motions(poses, prior, split, mirrored=False),
            poses=poses.rotations[inside, 1:],
            rest=BodyModel.load("keypoints").rest_template,
        )

    def starts(self, frames: int, count: int) -> Int[Tensor, " starts"]:
        """Return starts of at most `count` disjoint segments, evenly over the split."""
        starts, free = [], 0
        for start in self.motions.starts(frames).tolist():
            if start >= free:
                starts.append(start)
                free = start + frames
        places = torch.linspace(0, len(starts) - 1, min(count, len(starts))).long()
        return torch.tensor(starts)[places]

    def segments(self, starts: Int[Tensor, " starts"], frames: int) -> Pose:
        """Return the poses of segments."""
        return self.poses[starts[:, None] + torch.arange(frames)]

    def joints(self, pose: Pose) -> Float[Tensor, "*batch moved 3"]:
        """Return positions of the prior's joints and of the knuckles, pelvis at rest, mm."""
        moved = torch.eye(3).repeat(*pose.shape[:-3], len(JOINT_NAMES), 1, 1)
        joints = [joint + 1 for joint in self.prior.joints]
        moved[..., joints, :, :] = pose[..., self.prior.joints, :, :].float()
        rest = self.rest.expand(*pose.shape[:-3], -1, -1)
        _, places = forward_kinematics(moved, rest, PARENTS)
        ends = [JOINT_INDEX[f"Middle01{side}"] for side in "LR"]
        return 1000 * places[..., joints + ends, :]

    def mpjpe_mm(self, found: Pose, true: Pose) -> Float[Tensor, "*batch"]:
        """Return the mean distance of the joints."""
        return (self.joints(found) - self.joints(true)).norm(dim=-1).mean(-1)

    def jerk(self, pose: Pose) -> float:
        """Return the mean jerk of the joints relative to the pelvis, m/s³."""
        third = self.joints(pose).diff(n=3, dim=1) * self.motions.fps**3 / 1000
        return float(third.norm(dim=-1).mean())


def main() -> None:
    """Measure and print the tables."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    load, prior_file = PRIORS[args.prior]
    prior, poses = load(), motion_set(args.mocap)
    learned = Dynamics.load(prior, args.weights)
    text = ""
    for section in sections(learned, prior, poses, args.clips, args.plot):
        print(section, flush=True)
        text += section
    head = f"# Dynamics over the latents of {prior_file.name}\n\n"
    head += measuring.environment(PACKAGES, args.cores)
    head += f"\n* `python -m benchmarks.dynamics MOCAP_FOLDER --prior {args.prior}`\n\n"
    if args.save:
        print(measuring.save("dynamics", head + text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--prior", choices=tuple(PRIORS), default="flow")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--clips", type=int, default=16, help="clips to fill and to smooth")
    parser.add_argument("--plot", type=Path, help="file for a plot of a smoothed trajectory")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def sections(
    learned: Dynamics, prior: PosePrior, poses: MotionSet, clips: int, plot: Path | None
) -> Iterator[str]:
    """Yield the tables."""
    parts = {
        split: SplitData.of(poses, prior, split) for split in ("train", "validation", "held_out")
    }
    baseline = constant_velocity(learned, parts["train"])
    yield table("Nats per dimension", likelihoods(learned, parts))
    yield table("MPJPE mm of predictions", predictions(learned, parts["held_out"]))
    models = {"constant velocity": baseline, "learned": learned}
    yield table("MPJPE mm in gaps", gaps(models, parts["held_out"], clips))
    for degrees in NOISES:
        rows = smoothing(models, parts, clips, degrees, plot)
        yield table(f"Smoothing of {degrees}° of noise", rows)


def constant_velocity(learned: Dynamics, training: SplitData) -> Dynamics:
    """Return constant-velocity dynamics with the scales of their residuals."""
    model = Dynamics(DynamicsConfig(**vars(learned.config)))
    set_scales(model, training.motions, LATENT_NOISE)
    return model.eval().requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class StudentT:
    """Multivariate Student t distribution of residuals."""

    whitening: Float[Tensor, "latent latent"]
    degrees_of_freedom: float

    @classmethod
    def fitted(cls, residuals: Float[Tensor, "steps latent"], *, full: bool) -> "StudentT":
        """Fit by expectation maximization, degrees of freedom over a grid."""
        best, value = None, -math.inf
        size = residuals.shape[-1]
        covariance = torch.cov(residuals.T)
        for degrees_of_freedom in (1.5, 2.0, 3.0, 5.0, 10.0):
            for _ in range(6):
                covariance = covariance if full else torch.diag(covariance.diagonal())
                covariance = covariance + 1e-10 * torch.eye(size)
                inverse = torch.linalg.inv(torch.linalg.cholesky(covariance))
                square = (residuals @ inverse.T).square().sum(-1)
                weights = (degrees_of_freedom + size) / (degrees_of_freedom + square)
                covariance = (residuals * weights[:, None]).T @ residuals / len(residuals)
            model = cls(whitening=inverse, degrees_of_freedom=degrees_of_freedom)
            nats = float(model.log_prob(residuals).mean())
            if nats > value:
                best, value = model, nats
        return best

    def log_prob(self, residuals: Float[Tensor, "steps latent"]) -> Float[Tensor, " steps"]:
        """Return the logarithm of the density."""
        size, n = residuals.shape[-1], self.degrees_of_freedom
        square = (residuals @ self.whitening.T).square().sum(-1)
        shape = math.lgamma((n + size) / 2) - math.lgamma(n / 2) - size / 2 * math.log(math.pi * n)
        volume = self.whitening.diagonal().log().sum()
        return shape + volume - (n + size) / 2 * torch.log1p(square / n)


def likelihoods(learned: Dynamics, parts: dict[str, SplitData]) -> Rows:
    """Return likelihoods of steps after three usable frames, which every model needs."""

    def triples(part: SplitData) -> tuple[Tensor, Tensor]:
        z, roots = part.motions.segments(part.motions.starts(4), 4)
        last = add_latent_noise(z[:, 1:], LATENT_NOISE, torch.Generator().manual_seed(0))
        return torch.cat((z[:, :1], last), dim=1), roots

    def learned_mean(z: Tensor, roots: Tensor) -> Tensor:
        return learned.transition(z[:, 2], z[:, 1], roots[:, 2]).mean

    means: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "constant pose": lambda z, _: z[:, 2],
        "constant velocity": lambda z, _: 2 * z[:, 2] - z[:, 1],
        "constant acceleration": lambda z, _: 3 * z[:, 2] - 3 * z[:, 1] + z[:, 0],
        "learned mean": learned_mean,
    }
    rows: Rows = {}
    for name, mean in means.items():
        residuals = {
            split: (z[:, 3] - mean(z, roots)).double()
            for split, part in parts.items()
            for z, roots in (triples(part),)
        }
        for kind, full in (("diagonal covariance", False), ("full covariance", True)):
            fitted = StudentT.fitted(residuals["train"], full=full)
            row = {
                split: float(fitted.log_prob(left).mean()) / left.shape[-1]
                for split, left in residuals.items()
            }
            rows[f"{name}, {kind}"] = row | {"degrees of freedom": fitted.degrees_of_freedom}
    for name, known in (("learned", True), ("learned, root unknown", False)):
        rows[name] = {"degrees of freedom": float(learned.degrees_of_freedom)}
        for split, part in parts.items():
            z, roots = triples(part)
            values = learned.log_prob(z[:, 1:], roots[:, 1:] if known else None)
            rows[name][split] = float(values.mean()) / z.shape[-1]
    return rows


def predictions(learned: Dynamics, part: SplitData) -> Rows:
    """Return mean errors of predictions from two (constant acceleration: three) frames."""
    most = max(AHEAD)
    starts = part.motions.starts(3 + most)[::4]
    z, roots = part.motions.segments(starts, 3 + most)
    true = part.segments(starts, 3 + most)
    count = torch.arange(1, most + 1)[:, None]
    velocity = z[:, 2:3] - z[:, 1:2]
    acceleration = velocity - (z[:, 1:2] - z[:, :1])
    found = {
        "constant pose": z[:, 2:3].expand(-1, most, -1),
        "constant velocity": z[:, 2:3] + count * velocity,
        "constant acceleration": z[:, 2:3]
        + count * velocity
        + count * (count + 1) / 2 * acceleration,
        "learned": learned.predict(z[:, :3], roots[:, :3], most),
        "learned, root unknown": learned.predict(z[:, :3], None, most),
    }
    return {
        name: {
            f"{ahead} frames": float(
                part.mpjpe_mm(part.prior.pose(z[:, ahead - 1]), true[:, 2 + ahead]).mean()
            )
            for ahead in AHEAD
        }
        for name, z in found.items()
    }


def gaps(models: dict[str, Dynamics], part: SplitData, clips: int) -> Rows:
    """Return errors in the hidden middles of clips."""
    rows: Rows = {}
    for gap in GAPS:
        frames = gap + 30
        starts = part.starts(frames, 4 * clips)
        z, roots = part.motions.segments(starts, frames)
        true = part.segments(starts, frames)
        hidden = torch.zeros(frames, dtype=torch.bool)
        hidden[15 : 15 + gap] = True
        found = {"slerp": slerp_gap(true, hidden)}
        for name, model in models.items():
            found[name] = part.prior.pose(fill_gaps(model, z, hidden.expand(len(z), -1), roots))
        found["learned, root unknown"] = part.prior.pose(
            fill_gaps(models["learned"], z, hidden.expand(len(z), -1))
        )
        for name, pose in found.items():
            errors = part.mpjpe_mm(pose[:, hidden], true[:, hidden])
            rows.setdefault(name, {})[f"{gap} frames"] = float(errors.mean())
            rows[name][f"{gap} frames, jerk"] = part.jerk(pose)
        rows.setdefault("truth", {})[f"{gap} frames, jerk"] = part.jerk(true)
    return rows


def slerp_gap(pose: Pose, hidden: Bool[Tensor, " frames"]) -> Pose:
    """Interpolate every joint spherically between the frames around the gap."""
    before, after = hidden.nonzero()[0] - 1, hidden.nonzero()[-1] + 1
    share = (torch.arange(int(before) + 1, int(after)) - before) / (after - before)
    start, end = pose[:, before], pose[:, after]
    turn = matrix_to_rotvec(start.mT @ end)
    found = pose.clone()
    found[:, hidden] = start @ rotvec_to_matrix(share[:, None, None] * turn)
    return found


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A smoothing method with one setting, on one split."""

    method: str
    setting: str
    error: float  # mm
    jerk: float  # m/s³


def smoothing(
    models: dict[str, Dynamics],
    parts: dict[str, SplitData],
    clips: int,
    degrees: float,
    plot: Path | None,
) -> Rows:
    """Return held-out results of the settings with least error, and with equal error or jerk."""
    trials: dict[str, list[Trial]] = {}
    results: dict[tuple[str, str], Pose] = {}
    for split in ("validation", "held_out"):
        part = parts[split]
        starts = part.starts(CLIP, clips)
        true = part.segments(starts, CLIP)
        given = add_rotation_noise(true, part.prior.joints, degrees)
        trials[split] = [
            trial_of(part, "noisy", "", given, true),
            trial_of(part, "truth", "", true, true),
        ]
        for method, setting, pose in smoothed(models, part, given, degrees):
            trials[split].append(trial_of(part, method, setting, pose, true))
            results[method, setting] = pose
    if plot is not None:
        plot_trajectory(
            plot.with_stem(f"{plot.stem}_{degrees}"),
            parts["held_out"],
            true,
            given,
            results,
            trials["validation"],
        )
    return comparison(trials["validation"], trials["held_out"])


def trial_of(part: SplitData, method: str, setting: str, pose: Pose, true: Pose) -> Trial:
    """Return error and jerk of a result."""
    error = float(part.mpjpe_mm(pose, true).mean())
    return Trial(method=method, setting=setting, error=error, jerk=part.jerk(pose))


def smoothed(
    models: dict[str, Dynamics],
    part: SplitData,
    given: Pose,
    degrees: float,
) -> Iterator[tuple[str, str, Pose]]:
    """Yield the results of all methods with all settings."""
    for window in (5, 7, 9, 11, 13, 15, 19, 23):
        for order in (1, 2, 3, 4):
            if order < window - 1:
                yield "Savitzky–Golay", f"{window}, {order}", savitzky_golay(given, window, order)
    for cutoff in (0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0):
        for slope in (0.0, 0.1, 0.3, 1.0, 3.0, 10.0):
            yield (
                "One-Euro",
                f"{cutoff} Hz, {slope}",
                one_euro(given, part.motions.fps, cutoff, slope),
            )
    for name, model in models.items():
        for trust in (0.5, 1.0):
            found = smooth_poses(model, part.prior, given, math.radians(trust * degrees), rounds=4)
            yield name, f"{trust}", found


def comparison(validation: list[Trial], held_out: list[Trial]) -> Rows:
    """Return each method at its best, and the learned one at equal error or jerk to the others."""
    outcome = {(trial.method, trial.setting): trial for trial in held_out}
    methods = list(dict.fromkeys(trial.method for trial in validation))
    rows: Rows = {}

    def row(trial: Trial) -> dict[str, float]:
        found = outcome[trial.method, trial.setting]
        return {"MPJPE mm": found.error, "jerk m/s³": found.jerk}

    best = {
        method: min((t for t in validation if t.method == method), key=lambda t: t.error)
        for method in methods
    }
    for method, trial in best.items():
        rows[f"{method} ({trial.setting})" if trial.setting else method] = row(trial)
    for other in ("Savitzky–Golay", "One-Euro"):
        learned = [t for t in validation if t.method == "learned"]
        equal = [t for t in learned if t.error <= best[other].error]
        if equal:
            trial = min(equal, key=lambda t: t.jerk)
            rows[f"learned ({trial.setting}) at the error of {other}"] = row(trial)
        equal = [t for t in learned if t.jerk <= best[other].jerk]
        if equal:
            trial = min(equal, key=lambda t: t.error)
            rows[f"learned ({trial.setting}) at the jerk of {other}"] = row(trial)
        smooth = [t for t in validation if t.method == other and t.jerk <= best["learned"].jerk]
        if smooth:
            trial = min(smooth, key=lambda t: t.error)
            rows[f"{other} ({trial.setting}) at the jerk of learned"] = row(trial)
    return rows


def add_rotation_noise(pose: Pose, joints: tuple[int, ...], degrees: float) -> Pose:
    """Add independent normal noise to every axis of the joints in every frame."""
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(*pose.shape[:-3], len(joints), 3, generator=generator)
    noisy = pose.clone()
    turns = rotvec_to_matrix(math.radians(degrees) * noise)
    noisy[..., joints, :, :] = pose[..., joints, :, :] @ turns
    return noisy


def savitzky_golay(pose: Pose, window: int, order: int) -> Pose:
    """Smooth the 6D form of every rotation by local polynomials."""
    smooth = savgol_filter(matrix_to_sixd(pose).numpy(), window, order, axis=1)
    return sixd_to_matrix(torch.from_numpy(smooth).to(pose))


def one_euro(pose: Pose, fps: float, cutoff: float, slope: float) -> Pose:
    """Filter the 6D form of every rotation (Casiez et al., 2012), with the speed of each joint.

    Args:
        pose: clips.
        fps: frames a second.
        cutoff: at rest, Hz.
        slope: increase of the cutoff with speed, Hz per unit per second.
    """

    def share(hertz: np.ndarray | float) -> np.ndarray:
        return 1 / (1 + fps / (2 * math.pi * np.asarray(hertz)))

    values = matrix_to_sixd(pose).numpy()
    smooth, speed = [values[:, 0]], np.zeros_like(values[:, 0])
    for frame in range(1, values.shape[1]):
        change = (values[:, frame] - values[:, frame - 1]) * fps
        speed = speed + share(1.0) * (change - speed)
        fast = np.linalg.norm(speed, axis=-1, keepdims=True)
        smooth.append(smooth[-1] + share(cutoff + slope * fast) * (values[:, frame] - smooth[-1]))
    return sixd_to_matrix(torch.from_numpy(np.stack(smooth, 1)).to(pose))


def plot_trajectory(
    path: Path,
    part: SplitData,
    true: Pose,
    given: Pose,
    results: dict[tuple[str, str], Pose],
    validation: list[Trial],
) -> None:
    """Plot the heights of an elbow and an ankle in the clip with most motion."""
    clip = int(part.joints(true).diff(dim=1).norm(dim=-1).mean((1, 2)).argmax())
    lines = {"noisy": given, "truth": true}
    for method in dict.fromkeys(method for method, _ in results):
        trial = min((t for t in validation if t.method == method), key=lambda t: t.error)
        lines[method] = results[method, trial.setting]
    figure = Figure(figsize=(14, 10))
    axes = figure.subplots(2, 1)
    for axis, joint in zip(axes, ("LowerarmL", "AnkleR"), strict=True):
        place = part.prior.joints.index(JOINT_INDEX[joint] - 1)
        for name, pose in lines.items():
            style = {"noisy": "0.8", "truth": "k"}.get(name)
            axis.plot(part.joints(pose[clip])[:, place, 1], color=style, label=name)
        axis.set(title=f"{joint}, mm above the pelvis", xlabel="frame")
    axes[0].legend()
    figure.savefig(path, dpi=70)


def table(title: str, rows: Rows) -> str:
    """Return a Markdown table with a row for each method."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [f"## {title}\n", "| | " + " | ".join(columns) + " |"]
    lines.append("| --- " * (len(columns) + 1) + "|")
    for name, row in rows.items():
        cells = [f"{row[column]:.4g}" if column in row else "" for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    main()
