"""Tiny training: `python -m hund_backend.training.tiny [MOCAP_FOLDER]`, a few minutes on two cores.

Pose flow, dynamics and HUND are trained one after the other by the recipes of the real training at
small sizes, each after a check that it can overfit one batch. Without a folder of packs the motion
is sampled from the shipped flow and dynamics. Detector errors are random noise, since no pictures
are rendered. The point is to see that everything trains; the weights are no good for use.
"""

import argparse
import logging
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..atomic_write import atomic_write
from ..body.model import BodyModel
from ..body.procrustes import similarity_aligned
from ..body.rotations import rotvec_to_matrix
from ..body.skeleton import JOINT_NAMES
from ..descent.learned.hund import Hund, HundConfig
from ..prior.dynamics import Dynamics, DynamicsConfig
from ..prior.pose_flow import PoseFlow
from ..prior.prior_hash import prior_hash
from .hund import train_hund
from .hund.detector_errors import DetectorErrors, DetectorOutput
from .hund.samples import MotionDataset, Sample
from .hund.train_hund import HundRecipe, condense, evaluate_stages
from .motion.contacts import Soles, floor_height, sole_contacts
from .motion.motion_set import FPS, MotionSet, Split, build_motion_set
from .optimization import Curve
from .priors import train_dynamics as dynamics_training
from .priors.augmentation import AugmentationConfig
from .priors.density import Pose, train_flow
from .priors.train_dynamics import (
    DynamicsRecipe,
    LatentMotions,
    encode_motions,
    mean_log_prob,
    train_dynamics,
)
from .priors.train_pose_flow import (
    MotionPoseSampler,
    PoseRecipe,
    train_pose_flow,
    validation_poses,
)
from .weights import write_weights

logger = logging.getLogger(__name__)
FLOW_NLL = "pose flow: −log p of poses, nats per dimension"
DYNAMICS_NLL = "dynamics: −log p of steps, nats per dimension"
HUND_LOSS = "HUND: loss L of the last stage"


@dataclass(frozen=True, kw_only=True)
class TinyRecipe:
    """Sizes of the tiny training."""

    num_clips: int = 20  # of synthetic motion, the last ones for validation
    num_validation_clips: int = 4
    num_frames: int = 90  # of a synthetic clip
    clips_per_pack: int = 2  # of captured motion
    flow: PoseRecipe = field(
        default_factory=lambda: PoseRecipe(
            layers=4, steps=600, batch=128, every=40, rate=5e-3, whitening_poses=4000
        )
    )
    dynamics: DynamicsRecipe = field(
        default_factory=lambda: DynamicsRecipe(
            hidden=64, posture_copies=1, steps=600, batch=128, every=40, horizon=8, num_rollouts=16
        )
    )
    hund: HundRecipe = field(
        default_factory=lambda: HundRecipe(
            network=HundConfig(
                stages=3, hidden=192, context=96, memory=128, part_code=8, feature_code=8
            ),
            stages=(2, 4),
            steps=1000,
            batch=64,
            every=100,
            rate=3e-3,
        )
    )
    num_validation: int = 200  # samples of HUND's validation
    num_donors: int = 256  # samples with simulated detector errors
    keypoint_noise: float = 0.01  # crop widths
    landmark_noise: float = 0.03  # metres
    overfit_batch: int = 16
    overfit_steps: int = 120
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Change:
    """A metric before and after a training; lower is better."""

    metric: str
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class TinyResult:
    """Outcome of the tiny training."""

    data: str  # origin of the motion
    overfit: list[Change]  # on one batch
    validation: list[Change]
    stages_before: list[dict[str, float]]  # validation metrics of s_0 … s_M
    stages_after: list[dict[str, float]]
    mean_pose: dict[str, float]  # validation metrics of the training samples' mean pose
    curves: dict[str, Curve]
    seconds: dict[str, float]


def train_tiny(folder: Path, recipe: TinyRecipe, mocap: Path | None = None) -> TinyResult:
    """Train pose flow, dynamics and HUND.

    Args:
        folder: of the weights (`pose_flow`, `dynamics`, `hund`), `curve.png` and `summary.md`.
        recipe: sizes.
        mocap: folder of motion packs; without it motion is synthesized.

    Raises:
        BadInputError: there are no packs, or the folder cannot be written to.
    """
    torch.manual_seed(recipe.seed)
    times = [time.perf_counter()]
    if mocap is None:
        data = "synthetic motion, sampled from the shipped pose flow and dynamics"
        poses = synthetic_motion(recipe)
    else:
        data = f"{recipe.clips_per_pack} clips of each motion capture pack in {mocap}"
        poses = build_motion_set(mocap, recipe.clips_per_pack)
    times.append(time.perf_counter())
    flow, flow_changes, flow_curve = _train_flow(folder, poses, recipe)
    times.append(time.perf_counter())
    dynamics_changes, dynamics_curve = _train_dynamics(folder, poses, flow, recipe)
    times.append(time.perf_counter())
    hund = _train_hund(folder, poses, flow, recipe)
    times.append(time.perf_counter())
    parts = ("data", "pose flow", "dynamics", "HUND")
    result = TinyResult(
        data=data,
        overfit=[flow_changes[0], dynamics_changes[0], hund.overfit],
        validation=[
            flow_changes[1],
            dynamics_changes[1],
            _loss_change(hund.before, hund.after),
        ],
        stages_before=hund.before,
        stages_after=hund.after,
        mean_pose=hund.mean_pose,
        curves={"pose flow": flow_curve, "dynamics": dynamics_curve, "HUND": hund.curve},
        seconds={part: times[k + 1] - times[k] for k, part in enumerate(parts)},
    )
    with atomic_write(folder / "curve.png", folder / "summary.md") as [curve, text]:
        plot(result).savefig(curve, dpi=100)
        text.write_text(summary(result))
    return result


def synthetic_motion(recipe: TinyRecipe) -> MotionSet:
    """Motion sampled from the shipped flow and dynamics: people who turn slowly on the spot."""
    flow = PoseFlow.load()
    dynamics = Dynamics.load(flow)
    generator = torch.Generator().manual_seed(recipe.seed)
    clips, frames = recipe.num_clips, recipe.num_frames
    start = 0.7 * torch.randn(clips, 1, flow.config.features, generator=generator)
    latents = dynamics.sample(start.repeat(1, 2, 1), None, frames, generator)
    rotations = torch.eye(3).repeat(clips, frames, len(JOINT_NAMES), 1, 1)
    rotations[:, :, 1:] = flow.pose(latents)
    angles = torch.randn(clips, 1, generator=generator) + torch.linspace(-1, 1, frames)
    rotations[:, :, 0] = rotvec_to_matrix(angles[..., None] * torch.tensor([0.0, 1.0, 0.0]))
    soles, translations, contacts = Soles(), [], []
    for clip in rotations:
        translation = torch.zeros(frames, 3)
        translation[:, 1] = -floor_height(soles.positions(clip, translation))
        translations.append(translation)
        contacts.append(sole_contacts(soles.positions(clip, translation), FPS))
    num_training = clips - recipe.num_validation_clips
    splits: list[Split] = ["train"] * num_training + ["validation"] * (clips - num_training)
    return MotionSet(
        rotations=rotations.flatten(0, 1),
        translation=torch.cat(translations),
        contacts=torch.cat(contacts),
        starts=frames * torch.arange(clips + 1),
        names=tuple(f"synthetic/{clip}" for clip in range(clips)),
        splits=tuple(splits),
        usable=torch.ones(clips * frames, dtype=torch.bool),
        fps=FPS,
    )


# --- Pose flow -----------------------------------------------------------------------------------


class _OneBatch:
    """Sampler of one batch of poses; only the first draw, for the whitening, has others."""

    def __init__(self, sampler: MotionPoseSampler, batch: Pose) -> None:
        self.sampler, self.batch, self.is_first = sampler, batch, True

    def draw(self, count: int, generator: torch.Generator) -> Pose:
        """Return the batch."""
        if self.is_first:
            self.is_first = False
            return self.sampler.draw(count, generator)
        return self.batch


def _train_flow(
    folder: Path, poses: MotionSet, recipe: TinyRecipe
) -> tuple[PoseFlow, list[Change], Curve]:
    """Train and write the flow; changes on one batch, and on the validation split."""
    sampler = MotionPoseSampler(poses, recipe.flow)
    batch = sampler.draw(recipe.overfit_batch, torch.Generator().manual_seed(recipe.seed))
    untrained, _ = train_pose_flow(poses, replace(recipe.flow, steps=0))
    short = replace(recipe.flow, steps=recipe.overfit_steps, every=recipe.overfit_steps)
    overfit, _ = train_flow(untrained.config.joints, _OneBatch(sampler, batch), batch, short)
    flow, curve = train_pose_flow(poses, recipe.flow)
    description = {
        "kind": "pose flow",
        "config": asdict(flow.config),
        "recipe": asdict(recipe.flow),
        "curve": curve,
    }
    write_weights(folder / "pose_flow.safetensors", flow.state_dict(), description)

    def nll(model: PoseFlow, pose: Pose) -> float:
        return -float(model.log_prob(pose).mean()) / (3 * len(model.joints))

    others = validation_poses(poses, recipe.flow)
    changes = [
        Change(metric=FLOW_NLL, before=nll(untrained, batch), after=nll(overfit, batch)),
        Change(metric=FLOW_NLL, before=nll(untrained, others), after=nll(flow, others)),
    ]
    return flow, changes, curve


# --- Dynamics ------------------------------------------------------------------------------------


def _train_dynamics(
    folder: Path, poses: MotionSet, flow: PoseFlow, recipe: TinyRecipe
) -> tuple[list[Change], Curve]:
    """Train and write the dynamics; changes on some frames, and on the validation split."""
    frames = _first_frames(encode_motions(poses, flow, "train", mirrored=False), recipe)
    config = DynamicsConfig(latent=flow.config.features, hidden=recipe.dynamics.hidden)
    overfit = Dynamics(config)
    short = replace(recipe.dynamics, steps=recipe.overfit_steps, every=recipe.overfit_steps)
    constant_velocity = Dynamics(config)
    dynamics_training.train(constant_velocity, frames, frames, replace(short, steps=0))
    dynamics_training.train(overfit, frames, frames, short)
    untrained, _ = train_dynamics(poses, flow, replace(recipe.dynamics, steps=0))
    dynamics, curve = train_dynamics(poses, flow, recipe.dynamics)
    description = {
        "kind": "dynamics of poses",
        "prior": prior_hash(flow),
        "config": asdict(dynamics.config),
        "recipe": asdict(recipe.dynamics),
        "curve": curve,
    }
    write_weights(folder / "dynamics.safetensors", dynamics.state_dict(), description)

    def nll(model: Dynamics, motions: LatentMotions) -> float:
        return -mean_log_prob(model, motions, recipe.dynamics.latent_noise)

    others = encode_motions(poses, flow, "validation", mirrored=False)
    changes = [
        Change(
            metric=DYNAMICS_NLL, before=nll(constant_velocity, frames), after=nll(overfit, frames)
        ),
        Change(metric=DYNAMICS_NLL, before=nll(untrained, others), after=nll(dynamics, others)),
    ]
    return changes, curve


def _first_frames(motions: LatentMotions, recipe: TinyRecipe) -> LatentMotions:
    """A short segment of usable frames."""
    length = max(recipe.overfit_batch, 2 + recipe.dynamics.horizon)
    start = motions.starts(length)[:1]
    latents, roots = motions.segments(start, length)
    return LatentMotions(
        latents=latents[0],
        roots=roots[0],
        run_length=torch.arange(length, 0, -1),
        weights=torch.ones(length),
        fps=motions.fps,
    )


# --- HUND ----------------------------------------------------------------------------------------


class _OneSample:
    """Dataset of one batch of samples."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """Return the batch."""
        return self.sample


@dataclass(frozen=True, kw_only=True)
class _HundResult:
    overfit: Change
    before: list[dict[str, float]]
    after: list[dict[str, float]]
    mean_pose: dict[str, float]
    curve: Curve


def _train_hund(folder: Path, poses: MotionSet, flow: PoseFlow, recipe: TinyRecipe) -> _HundResult:
    """Train and write HUND."""
    generator = torch.Generator().manual_seed(recipe.seed)
    body = BodyModel.load("keypoints")
    hund, overfit = (Hund(recipe.hund.network, body, flow) for _ in range(2))
    exact = MotionDataset(poses, "train", hund.decoder, None).draw(recipe.num_donors, generator)
    errors = simulated_errors(exact, recipe, generator)
    training = MotionDataset(
        poses, "train", hund.decoder, errors, augmentation=AugmentationConfig()
    )
    validation = MotionDataset(poses, "validation", hund.decoder, errors).draw(
        recipe.num_validation, generator
    )
    sample = training.draw(recipe.overfit_batch, generator)
    start = evaluate_stages(overfit, sample)
    short = replace(recipe.hund, steps=recipe.overfit_steps, every=recipe.overfit_steps)
    train_hund.train(overfit, flow, _OneSample(sample), None, {}, short)
    before = evaluate_stages(hund, validation)
    curve = train_hund.train(hund, flow, training, None, {"validation": validation}, recipe.hund)
    description = hund.description(flow)
    description |= {"recipe": asdict(recipe.hund), "curve": [condense(p) for p in curve]}
    write_weights(folder / "hund.safetensors", hund.state_dict(), description, torch.float16)
    return _HundResult(
        overfit=_loss_change(start, evaluate_stages(overfit, sample)),
        before=before,
        after=evaluate_stages(hund, validation),
        mean_pose=mean_pose_metrics(exact, validation),
        curve=curve,
    )


def simulated_errors(
    exact: Sample, recipe: TinyRecipe, generator: torch.Generator
) -> DetectorErrors:
    """Gaussian detector errors of samples without errors, with random confidences."""
    inputs = exact.inputs
    true = DetectorOutput(inputs.keypoints, inputs.landmarks, inputs.confidence)
    keypoint_noise = torch.randn(true.keypoints.shape, generator=generator)
    landmark_noise = torch.randn(true.landmarks.shape, generator=generator)
    confidence = 1 - 0.5 * torch.rand(true.confidence.shape, generator=generator)
    output = DetectorOutput(
        true.keypoints + recipe.keypoint_noise * keypoint_noise,
        true.landmarks + recipe.landmark_noise * landmark_noise,
        confidence,
    )
    return DetectorErrors(true, output)


def mean_pose_metrics(training: Sample, validation: Sample) -> dict[str, float]:
    """Metrics of the training samples' mean joint positions, the best guess without inputs."""
    known, true = (
        sample.truth.posed.joints - sample.truth.posed.joints[:, :1]
        for sample in (training, validation)
    )
    mean = known.mean(0).expand_as(true)

    def mean_distance_mm(joints: torch.Tensor) -> float:
        return 1000 * float((joints - true).norm(dim=-1).mean())

    return {
        "mpjpe_mm": mean_distance_mm(mean),
        "pa_mpjpe_mm": mean_distance_mm(similarity_aligned(mean, true)),
    }


def _loss_change(before: list[dict[str, float]], after: list[dict[str, float]]) -> Change:
    return Change(metric=HUND_LOSS, before=before[-1]["loss"], after=after[-1]["loss"])


# --- Report --------------------------------------------------------------------------------------


def summary(result: TinyResult) -> str:
    """Tables of a result, in Markdown."""
    seconds = ", ".join(f"{part} {value:.0f} s" for part, value in result.seconds.items())
    lines = ["# Tiny training", ""]
    lines += [f"Data: {result.data}. Detector errors are random noise.", "", f"Time: {seconds}."]
    for title, changes in (
        ("One batch, overfitted", result.overfit),
        ("Validation", result.validation),
    ):
        lines += [
            "",
            f"## {title}",
            "",
            "| lower is better | before | after |",
            "| --- " * 3 + "|",
        ]
        lines += [f"| {c.metric} | {c.before:.3f} | {c.after:.3f} |" for c in changes]
    lines += ["", "## Stages of HUND, validation", ""]
    lines += [
        "| state | L before | L after | MPJPE mm before | after | PA-MPJPE mm before | after |"
    ]
    lines += ["| --- " * 7 + "|"]
    for stage, (old, new) in enumerate(
        zip(result.stages_before, result.stages_after, strict=True)
    ):
        cells = [f"{old['loss']:.2f}", f"{new['loss']:.2f}"]
        for key in ("mpjpe_mm", "pa_mpjpe_mm"):
            cells += [f"{old[key]:.0f}", f"{new[key]:.0f}"]
        lines.append(f"| s_{stage} | " + " | ".join(cells) + " |")
    mean = result.mean_pose
    lines.append(f"| mean pose | | | | {mean['mpjpe_mm']:.0f} | | {mean['pa_mpjpe_mm']:.0f} |")
    return "\n".join(lines) + "\n"


def plot(result: TinyResult) -> Figure:
    """Curves of the three trainings, and the stages of HUND against the mean pose."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    figure.suptitle(f"Tiny training: {result.data}")
    flow, dynamics, loss, error = figure.subplots(2, 2).flat
    _plot_nll(flow, "pose flow, 6D", result.curves["pose flow"])
    _plot_nll(dynamics, "dynamics", result.curves["dynamics"])
    curve = result.curves["HUND"]
    steps = [0, *(point["step"] for point in curve)]
    stages = [result.stages_before, *(point["validation"] for point in curve)]
    for axes, key, label in (
        (loss, "loss", "HUND, validation: loss L"),
        (error, "mpjpe_mm", "HUND, validation: MPJPE, mm"),
    ):
        for stage in range(len(result.stages_after)):
            axes.plot(steps, [point[stage][key] for point in stages], label=f"s_{stage}")
        axes.set(title=label, xlabel="step")
    loss.set_yscale("log")
    error.axhline(result.mean_pose["mpjpe_mm"], color="gray", linestyle="--", label="mean pose")
    for axes in (flow, dynamics, loss, error):
        axes.legend()
    return figure


def _plot_nll(axes: Axes, title: str, curve: Curve) -> None:
    steps = [point["step"] for point in curve]
    for key in ("train", "validation"):
        axes.plot(steps, [-point[key] for point in curve], label=key)
    axes.set(title=f"{title}: −log p, nats per dimension", xlabel="step")


def main() -> None:
    """Run the tiny training and print its summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocap", type=Path, nargs="?", help="folder of <pack>_30fps.npz")
    parser.add_argument("--output", type=Path, default=Path("out/tiny"))
    parser.add_argument("--seed", type=int, default=TinyRecipe.seed)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # at these sizes more threads cost more than they gain
    result = train_tiny(arguments.output, TinyRecipe(seed=arguments.seed), arguments.mocap)
    logger.info("\n%s\n%s", summary(result), arguments.output / "curve.png")


if __name__ == "__main__":
    main()
