"""Recipe of the dynamics: `python -m hund_backend.training.priors.train_dynamics MOCAP`."""

import argparse
import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import JOINT_NAMES
from ...prior import dynamics as model
from ...prior import gaussian, pose_flow
from ...prior.dynamics import Dynamics, DynamicsConfig
from ...prior.pose_prior import PosePrior
from ...prior.prior_hash import prior_hash
from ...prior.root_motion import ROOT_GROUPS, mask_groups, root_motion
from ..motion.motion_set import MotionSet, Split, motion_set
from ..optimization import Curve, optimize
from ..weights import write_weights

logger = logging.getLogger(__name__)
POSTURE_STD = 0.35  # radians of the constant rotations that change a clip's posture

PRIORS = {
    "gaussian": (gaussian.GaussianPrior.load, gaussian.WEIGHTS_FILE),
    "flow": (pose_flow.PoseFlow.load, pose_flow.WEIGHTS_FILE),
}


@dataclass(frozen=True, kw_only=True)
class DynamicsRecipe:
    """Training of the dynamics."""

    hidden: int = 128
    posture_copies: int = 6  # copies of the clips in other postures
    steps: int = 3000
    batch: int = 512
    rate: float = 1e-3
    decay: float = 1e-3
    clip: float = 5.0  # largest norm of the gradient
    every: int = 200  # steps between evaluations
    patience: int = 6  # evaluations without a better one after which the training ends
    offset_noise: float = 0.1  # of latents of half the motions, constant over a step
    offset_decay: float = 0.1  # share of that offset by which the target moves back
    group_dropout: float = 0.3  # probability of each group of the root's features to be masked
    root_dropout: float = 0.3  # share of motions with all of the root's features masked
    horizon: int = 15  # frames of a roll-out
    num_rollouts: int = 64  # of each step
    rollout_weight: float = 0.1  # of the roll-outs' error in the loss
    latent_noise: float = 0.05  # of the predicted latents, about 0.2° of a joint
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class LatentMotions:
    """Latents and root features of clips, concatenated, with the runs of usable frames."""

    latents: Float[Tensor, "frames latent"]
    roots: Float[Tensor, "frames 14"]
    run_length: Int[Tensor, " frames"]  # usable frames of the same clip from this one on
    weights: Float[Tensor, " frames"]
    fps: float

    def starts(self, length: int) -> Int[Tensor, " starts"]:
        """First frames of all segments of `length` usable frames."""
        return (self.run_length >= length).nonzero()[:, 0]

    def segments(
        self, starts: Int[Tensor, " batch"], length: int
    ) -> tuple[Float[Tensor, "batch length latent"], Float[Tensor, "batch length 14"]]:
        """Latents and root features of segments."""
        index = starts[:, None] + torch.arange(length)
        return self.latents[index], self.roots[index]


def encode_motions(
    poses: MotionSet, prior: PosePrior, split: Split, *, mirrored: bool, posture_copies: int = 0
) -> LatentMotions:
    """Encode the clips of a split in a prior's latents.

    Args:
        poses: all clips.
        prior: of the latents.
        split: of the clips.
        mirrored: add the clips' mirror images.
        posture_copies: copies of all these to add, each clip with the same motion in another
            posture.
    """
    inside = torch.tensor([name == split for name in poses.splits])[poses.clips]
    usable = poses.usable & inside
    run_length = torch.zeros(len(usable), dtype=torch.long)
    last_frames = set((poses.starts[1:] - 1).tolist())
    for frame in reversed(range(len(usable))):
        if usable[frame]:
            continues = frame + 1 < len(usable) and frame not in last_frames
            run_length[frame] = 1 + (run_length[frame + 1] if continues else 0)
    variants = [poses, poses.mirrored()] if mirrored else [poses]
    generator = torch.Generator().manual_seed(0)
    variants += [
        _change_postures(variant, generator)
        for _ in range(posture_copies)
        for variant in variants[:2]
    ]
    latents, roots = [], []
    for variant in variants:
        with torch.no_grad():
            latents.append(prior.latent(variant.rotations[inside, 1:]))
        clips = [slice(*ends) for ends in zip(poses.starts[:-1], poses.starts[1:], strict=True)]
        root = [
            root_motion(
                variant.rotations[c, 0], variant.translation[c], variant.contacts[c], variant.fps
            )
            for c in clips
        ]
        roots.append(torch.cat(root)[inside])
    return LatentMotions(
        latents=torch.cat(latents),
        roots=torch.cat(roots),
        run_length=run_length[inside].repeat(len(variants)),
        weights=poses.weights()[inside].repeat(len(variants)),
        fps=poses.fps,
    )


def _change_postures(poses: MotionSet, generator: torch.Generator) -> MotionSet:
    """Rotate every joint of a clip by a constant amount, which preserves its motion."""
    rotvecs = POSTURE_STD * torch.randn(
        len(poses.splits), len(JOINT_NAMES) - 1, 3, generator=generator
    )
    rotations = poses.rotations.clone()
    rotations[:, 1:] = rotvec_to_matrix(rotvecs)[poses.clips] @ rotations[:, 1:]
    return replace(poses, rotations=rotations)


def train(
    dynamics: Dynamics,
    training: LatentMotions,
    validation: LatentMotions,
    recipe: DynamicsRecipe,
    checkpoint: Path | None = None,
) -> Curve:
    """Train dynamics, which end with the weights of the best validation.

    Args:
        dynamics: untrained; its scales are set here.
        training: motions of the training.
        validation: motions that decide when to stop.
        recipe: settings.
        checkpoint: file to resume from if it exists, written at every evaluation.

    Returns:
        The curve: step, and nats per dimension in training and validation, with the root masked,
        and the roll-outs' error.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    set_scales(dynamics, training, recipe.latent_noise)

    def step_loss() -> tuple[Float[Tensor, ""], float]:
        likelihood, error = sample_losses(dynamics, training, recipe, generator)
        return -likelihood + recipe.rollout_weight * error, likelihood.item()

    def evaluate(step: int, train: float) -> tuple[dict[str, Any], float]:
        noise = recipe.latent_noise
        point = {"step": step, "train": train}
        point |= {"validation": mean_log_prob(dynamics, validation, noise)}
        point |= {"rootless": mean_log_prob(dynamics, validation, noise, with_root=False)}
        point |= {"roll-out": mean_rollout_error(dynamics, validation, recipe.horizon)}
        logger.info(" ".join(f"{name} {value:.4g}" for name, value in point.items()))
        rollout = recipe.rollout_weight * point["roll-out"]
        return point, point["validation"] + point["rootless"] - rollout

    curve = optimize(
        dynamics, step_loss, evaluate, recipe, generator, checkpoint, patience=recipe.patience
    )
    exponent = fit_time_step_exponent(dynamics, validation, recipe.latent_noise)
    dynamics.time_step_exponent.fill_(exponent)
    return curve


def sample_losses(
    dynamics: Dynamics, training: LatentMotions, recipe: DynamicsRecipe, generator: torch.Generator
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Log-likelihood of random steps (nats per dimension), and the error of random roll-outs."""
    latents, roots = sample_segments(training, recipe.batch, 3, generator)
    groups = len(ROOT_GROUPS)
    masked = torch.rand(len(roots), 1, groups, generator=generator) < recipe.group_dropout
    masked |= torch.rand(len(roots), 1, 1, generator=generator) < recipe.root_dropout
    roots = mask_groups(roots, masked.expand(-1, 3, -1))
    # From poses off the data a motion should return to the data, but not at once.
    has_offset = torch.rand(len(latents), 1, 1, generator=generator) < 0.5
    offset_std = has_offset * recipe.offset_noise
    offset = offset_std * torch.randn(len(latents), 1, latents.shape[-1], generator=generator)
    remaining = torch.tensor([1.0, 1.0, 1.0 - recipe.offset_decay])[:, None]
    latents = add_latent_noise(latents + remaining * offset, recipe.latent_noise, generator)
    likelihood = dynamics.log_prob(latents, roots, training.fps).mean()
    latents, roots = sample_segments(training, recipe.num_rollouts, 2 + recipe.horizon, generator)
    masked = torch.rand(len(roots), 1, groups, generator=generator) < recipe.group_dropout
    roots = mask_groups(roots, masked.expand(-1, roots.shape[1], -1))
    error = rollout_errors(dynamics, latents, roots, training.fps).mean()
    return likelihood / latents.shape[-1], error


def add_latent_noise(
    latents: Float[Tensor, "batch 3 latent"], std: float, generator: torch.Generator
) -> Float[Tensor, "batch 3 latent"]:
    """Add noise to the last latents of steps.

    Retargeted joints are coupled, some hardly move: without noise the density would grow without
    limit in directions in which the packs show no motion.
    """
    noise = torch.randn(latents[:, 2:].shape, generator=generator, dtype=latents.dtype)
    return torch.cat((latents[:, :2], latents[:, 2:] + std * noise), dim=1)


def sample_segments(
    motions: LatentMotions, count: int, length: int, generator: torch.Generator
) -> tuple[Float[Tensor, "count length latent"], Float[Tensor, "count length 14"]]:
    """Draw random segments; a clip weighs as the square root of its length."""
    starts = motions.starts(length)
    weights = motions.weights[starts]
    picks = torch.multinomial(weights, count, replacement=True, generator=generator)
    return motions.segments(starts[picks], length)


def rollout_errors(
    dynamics: Dynamics,
    latents: Float[Tensor, "batch frames latent"],
    roots: Float[Tensor, "batch frames 14"],
    fps: float,
) -> Float[Tensor, "batch horizon latent"]:
    """Robust errors of roll-outs from the first two frames, in units of typical velocities."""
    horizon = latents.shape[1] - 2
    predicted = dynamics.predict(latents[:, :2], roots[:, :2], horizon, fps)
    count = torch.arange(1, horizon + 1).to(latents)[:, None]
    residual = (predicted - latents[:, 2:]) / (dynamics.velocity_scale * count)
    return torch.sqrt(1 + residual.square()) - 1


@torch.no_grad()
def mean_log_prob(
    dynamics: Dynamics, motions: LatentMotions, latent_noise: float, *, with_root: bool = True
) -> float:
    """Mean log-likelihood of all steps, nats per dimension; the noise is always the same."""
    latents, roots = motions.segments(motions.starts(3), 3)
    latents = add_latent_noise(latents, latent_noise, torch.Generator().manual_seed(0))
    values = dynamics.log_prob(latents, roots if with_root else None, motions.fps)
    return float(values.mean()) / latents.shape[-1]


@torch.no_grad()
def mean_rollout_error(dynamics: Dynamics, motions: LatentMotions, horizon: int) -> float:
    """Mean of `rollout_errors` over every fifth segment."""
    latents, roots = motions.segments(motions.starts(2 + horizon)[::5], 2 + horizon)
    return float(rollout_errors(dynamics, latents, roots, motions.fps).mean())


def set_scales(dynamics: Dynamics, motions: LatentMotions, latent_noise: float) -> None:
    """Set the scales of the inputs, and the initial covariance to that of constant velocity."""
    latents, roots = motions.segments(motions.starts(3), 3)
    velocity = latents[:, 1] - latents[:, 0]
    acceleration = latents[:, 2] - 2 * latents[:, 1] + latents[:, 0]
    dynamics.velocity_scale.copy_(velocity.square().mean(0).sqrt().clamp(min=latent_noise))
    dynamics.acceleration_scale.copy_(acceleration.square().mean(0).sqrt().clamp(min=latent_noise))
    covariance = torch.cov(acceleration.double().T)
    covariance = covariance + latent_noise**2 * torch.eye(len(covariance), dtype=torch.float64)
    inverse = torch.linalg.inv(torch.linalg.cholesky(covariance))
    dynamics.lower_triangle.data.copy_(inverse.tril(-1))
    dynamics.log_diagonal.data.copy_(inverse.diagonal().log())
    dynamics.root_mean.copy_(roots[:, 1].mean(0))
    dynamics.root_scale.copy_(roots[:, 1].std(0).clamp(min=1e-3))


@torch.no_grad()
def fit_time_step_exponent(
    dynamics: Dynamics, motions: LatentMotions, latent_noise: float
) -> float:
    """Likeliest exponent k of variances ∝ (30 / fps)^k, by every second and third frame."""
    candidates = torch.linspace(0.0, 5.0, 51)
    values = torch.zeros(len(candidates))
    for stride in (2, 3):
        starts = motions.starts(2 * stride + 1)
        index = starts[:, None] + stride * torch.arange(3)
        generator = torch.Generator().manual_seed(0)
        latents = add_latent_noise(motions.latents[index], latent_noise, generator)
        roots = motions.roots[index]
        for number, candidate in enumerate(candidates):
            dynamics.time_step_exponent.fill_(candidate)
            values[number] += dynamics.log_prob(latents, roots, motions.fps / stride).mean()
    return float(candidates[values.argmax()])


def train_dynamics(
    poses: MotionSet, prior: PosePrior, recipe: DynamicsRecipe, checkpoint: Path | None = None
) -> tuple[Dynamics, Curve]:
    """Return trained dynamics of a prior's latents, and their curve."""
    torch.manual_seed(recipe.seed)
    training = encode_motions(
        poses, prior, "train", mirrored=True, posture_copies=recipe.posture_copies
    )
    validation = encode_motions(poses, prior, "validation", mirrored=False)
    config = DynamicsConfig(latent=training.latents.shape[-1], hidden=recipe.hidden)
    dynamics = Dynamics(config)
    curve = train(dynamics, training, validation, recipe, checkpoint)
    return dynamics.eval().requires_grad_(False), curve


def report(
    dynamics: Dynamics, poses: MotionSet, prior: PosePrior, recipe: DynamicsRecipe
) -> dict[str, int | float]:
    """Metrics of the model card."""
    figures: dict[str, int | float] = {}
    noise = recipe.latent_noise
    for split in ("train", "validation", "held_out"):
        motions = encode_motions(poses, prior, split, mirrored=False)
        rootless = mean_log_prob(dynamics, motions, noise, with_root=False)
        figures[f"{split}_frames"] = int((motions.run_length > 0).sum())
        figures[f"{split}_nats_per_dimension"] = mean_log_prob(dynamics, motions, noise)
        figures[f"{split}_rootless_nats_per_dimension"] = rootless
        figures[f"{split}_roll_out_error"] = mean_rollout_error(dynamics, motions, recipe.horizon)
    return figures


def main() -> None:
    """Train dynamics on a folder of packs and write their weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--prior", choices=tuple(PRIORS), default="flow")
    parser.add_argument("--steps", type=int, default=DynamicsRecipe.steps)
    parser.add_argument("--seed", type=int, default=DynamicsRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="resume from this file if it exists")
    parser.add_argument("--output", type=Path, default=model.WEIGHTS_FILE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = DynamicsRecipe(steps=arguments.steps, seed=arguments.seed)
    logger.info("%s", recipe)
    load, prior_file = PRIORS[arguments.prior]
    prior, poses = load(), motion_set(arguments.folder)
    dynamics, curve = train_dynamics(poses, prior, recipe, arguments.checkpoint)
    figures = report(dynamics, poses, prior, recipe)
    description = {
        "kind": "dynamics of poses",
        "prior": prior_hash(prior),
        "prior_file": prior_file.name,
        "config": asdict(dynamics.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(arguments.output, dynamics.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
