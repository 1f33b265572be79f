"""Recipe of the dynamics: `python -m hund_backend.training.priors.train_dynamics MOCAP_FOLDER`."""

import argparse
import hashlib
import json
import logging
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save
from torch import Tensor, nn

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_NAMES
from hund_backend.prior import dynamics as model
from hund_backend.prior import gaussian, pose_flow
from hund_backend.prior.dynamics import Dynamics, DynamicsConfig
from hund_backend.prior.pose_prior import PosePrior
from hund_backend.prior.root_motion import ROOT_GROUPS, mask_groups, root_motion

from ...atomic_write import write_file
from ..checkpoint import load_checkpoint, save_checkpoint
from ..motion.motion_set import MotionSet, Split, motion_set
from ..schedule import rate_factor
from ..weights import write_weights

logger = logging.getLogger(__name__)
STYLE = 0.35  # radians by which joints of a restyled clip are turned
Curve = list[dict[str, int | float]]

PRIORS = {
    "gaussian": (gaussian.GaussianPrior.load, gaussian.WEIGHTS_FILE),
    "flow": (pose_flow.PoseFlow.load, pose_flow.WEIGHTS_FILE),
}


@dataclass(frozen=True, kw_only=True)
class DynamicsRecipe:
    """How dynamics are trained."""

    hidden: int = 128
    restyled: int = 6  # copies of the clips in other postures
    steps: int = 3000
    batch: int = 512
    rate: float = 1e-3
    decay: float = 1e-3
    clip: float = 5.0  # of the gradient's norm
    every: int = 200  # steps from one look at the validation split to the next
    patience: int = 6  # looks without a better value after which the training ends
    noise: float = 0.1  # of latents of half the motions, constant over a step
    recall: float = 0.1  # share of that noise that a step takes back
    hidden_root: float = 0.3  # chance of each group of the root's numbers to be unknown
    rootless: float = 0.3  # share of motions of whose root nothing is known
    ahead: int = 15  # frames that a part of the batch is rolled out
    rolled: int = 64  # motions rolled out at each step
    rolling: float = 0.1  # weight of the error of the roll-outs
    grain: float = 0.05  # noise of the latents that are predicted, about 0.2° of a joint
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Motions:
    """Latents and roots of clips in a row, and where stretches of usable frames start."""

    latents: Float[Tensor, "frames latent"]
    roots: Float[Tensor, "frames 14"]
    run: Int[Tensor, " frames"]  # usable frames from here on in the same clip, this one included
    weights: Float[Tensor, " frames"]
    fps: float

    def starts(self, frames: int) -> Int[Tensor, " starts"]:
        """First frames of all stretches of so many usable frames."""
        return (self.run >= frames).nonzero()[:, 0]

    def stretch(
        self, starts: Int[Tensor, " batch"], frames: int
    ) -> tuple[Float[Tensor, "batch frames latent"], Float[Tensor, "batch frames 14"]]:
        """Latents and roots of stretches."""
        index = starts[:, None] + torch.arange(frames)
        return self.latents[index], self.roots[index]


def motions_of(
    poses: MotionSet, prior: PosePrior, split: Split, *, mirrored: bool, restyled: int = 0
) -> Motions:
    """The clips of a split in a prior's latents.

    Args:
        poses: all clips.
        prior: whose latents.
        split: which clips.
        mirrored: add their mirror images.
        restyled: add so many copies of all that, each clip moving in the same way in another posture.
    """
    inside = torch.tensor([name == split for name in poses.splits])[poses.clips]
    used = poses.usable & inside
    run = torch.zeros(len(used), dtype=torch.long)
    ends = set((poses.starts[1:] - 1).tolist())
    for frame in reversed(range(len(used))):
        if used[frame]:
            goes_on = frame + 1 < len(used) and frame not in ends
            run[frame] = 1 + (run[frame + 1] if goes_on else 0)
    sides = [poses, poses.mirrored()] if mirrored else [poses]
    generator = torch.Generator().manual_seed(0)
    sides += [_restyled(side, generator) for _ in range(restyled) for side in sides[:2]]
    latents, roots = [], []
    for side in sides:
        with torch.no_grad():
            latents.append(prior.latent(side.rotations[inside, 1:]))
        clips = [slice(*ends) for ends in zip(poses.starts[:-1], poses.starts[1:], strict=True)]
        root = [
            root_motion(side.rotations[c, 0], side.translation[c], side.contacts[c], side.fps)
            for c in clips
        ]
        roots.append(torch.cat(root)[inside])
    return Motions(
        latents=torch.cat(latents),
        roots=torch.cat(roots),
        run=run[inside].repeat(len(sides)),
        weights=poses.weights()[inside].repeat(len(sides)),
        fps=poses.fps,
    )


def _restyled(poses: MotionSet, generator: torch.Generator) -> MotionSet:
    """Every joint of a clip turned by a constant amount, so that its motion is kept."""
    turns = STYLE * torch.randn(len(poses.splits), len(JOINT_NAMES) - 1, 3, generator=generator)
    rotations = poses.rotations.clone()
    rotations[:, 1:] = rotvec_to_matrix(turns)[poses.clips] @ rotations[:, 1:]
    return replace(poses, rotations=rotations)


def train(
    dynamics: Dynamics,
    training: Motions,
    validation: Motions,
    recipe: DynamicsRecipe,
    checkpoint: Path | None = None,
) -> Curve:
    """Train dynamics; leaves the weights of the best validation.

    Args:
        dynamics: untrained; its scales are set here.
        training: what it learns from.
        validation: what decides when to stop.
        recipe: how.
        checkpoint: file to go on from, if it is there, and to write at every look.

    Returns:
        the curve: step, and nats per dimension in training and validation, and with the root
        unknown.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    set_scales(dynamics, training, recipe.grain)
    optimizer = torch.optim.AdamW(dynamics.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    progress: dict = {"step": 0, "curve": [], "best": -math.inf, "waited": 0, "total": 0.0}
    best = {name: values.clone() for name, values in dynamics.state_dict().items()}
    if checkpoint is not None and checkpoint.exists():
        progress = load_checkpoint(checkpoint, dynamics, optimizer, generator)
        best = load_file(checkpoint.with_suffix(".best"))
    while progress["step"] < recipe.steps and progress["waited"] < recipe.patience:
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * rate_factor(progress["step"] / recipe.steps)
        likelihood, error = losses(dynamics, training, recipe, generator)
        loss = -likelihood + recipe.rolling * error
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(dynamics.parameters(), recipe.clip)
        optimizer.step()
        progress["total"] += likelihood.item()
        progress["step"] += 1
        if progress["step"] % recipe.every:
            continue
        point = {"step": progress["step"], "train": progress["total"] / recipe.every}
        point |= {"validation": nats(dynamics, validation, recipe.grain)}
        point |= {"rootless": nats(dynamics, validation, recipe.grain, with_root=False)}
        point |= {"roll-out": rolled_error(dynamics, validation, recipe.ahead)}
        progress["curve"].append(point)
        logger.info(" ".join(f"{name} {value:.4g}" for name, value in point.items()))
        value = point["validation"] + point["rootless"] - recipe.rolling * point["roll-out"]
        progress |= {"total": 0.0, "waited": progress["waited"] + 1}
        if value > progress["best"]:
            progress |= {"best": value, "waited": 0}
            best = {name: values.clone() for name, values in dynamics.state_dict().items()}
        if checkpoint is not None:
            write_file(checkpoint.with_suffix(".best"), save(best))
            save_checkpoint(checkpoint, dynamics, optimizer, generator, progress)
    dynamics.load_state_dict(best)
    dynamics.time_step_exponent.fill_(time_step_exponent(dynamics, validation, recipe.grain))
    return progress["curve"]


def losses(
    dynamics: Dynamics, training: Motions, recipe: DynamicsRecipe, generator: torch.Generator
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Nats per dimension of random steps, and the error of random roll-outs."""
    latents, roots = drawn(training, recipe.batch, 3, generator)
    hidden = torch.rand(len(roots), 1, len(ROOT_GROUPS), generator=generator) < recipe.hidden_root
    hidden |= torch.rand(len(roots), 1, 1, generator=generator) < recipe.rootless
    roots = mask_groups(roots, hidden.expand(-1, 3, -1))
    # Off the poses of people a motion should find back, but not at once.
    noisy = (torch.rand(len(latents), 1, 1, generator=generator) < 0.5) * recipe.noise
    away = noisy * torch.randn(len(latents), 1, latents.shape[-1], generator=generator)
    remaining = torch.tensor([1.0, 1.0, 1.0 - recipe.recall])[:, None]
    latents = grainy(latents + remaining * away, recipe.grain, generator)
    likelihood = dynamics.log_prob(latents, roots, training.fps).mean()
    latents, roots = drawn(training, recipe.rolled, 2 + recipe.ahead, generator)
    unknown = torch.rand(len(roots), 1, len(ROOT_GROUPS), generator=generator) < recipe.hidden_root
    roots = mask_groups(roots, unknown.expand(-1, roots.shape[1], -1))
    error = roll_errors(dynamics, latents, roots, training.fps).mean()
    return likelihood / latents.shape[-1], error


def grainy(
    latents: Float[Tensor, "batch 3 latent"], grain: float, generator: torch.Generator
) -> Float[Tensor, "batch 3 latent"]:
    """Steps whose last latents have a little noise.

    Retargeted joints follow one another by rules, some are quite still: without noise the density
    would grow without limit in directions in which people cannot be seen to move.
    """
    noise = torch.randn(latents[:, 2:].shape, generator=generator, dtype=latents.dtype)
    return torch.cat((latents[:, :2], latents[:, 2:] + grain * noise), dim=1)


def drawn(
    motions: Motions, count: int, frames: int, generator: torch.Generator
) -> tuple[Float[Tensor, "count frames latent"], Float[Tensor, "count frames 14"]]:
    """Random stretches; a clip weighs as the square root of its length."""
    starts = motions.starts(frames)
    weights = motions.weights[starts]
    picks = torch.multinomial(weights, count, replacement=True, generator=generator)
    return motions.stretch(starts[picks], frames)


def roll_errors(
    dynamics: Dynamics,
    latents: Float[Tensor, "batch frames latent"],
    roots: Float[Tensor, "batch frames 14"],
    fps: float,
) -> Float[Tensor, "batch ahead latent"]:
    """How far roll-outs from the first two frames miss, robust, in typical velocities."""
    ahead = latents.shape[1] - 2
    found = dynamics.predict(latents[:, :2], roots[:, :2], ahead, fps)
    count = torch.arange(1, ahead + 1).to(latents)[:, None]
    missed = (found - latents[:, 2:]) / (dynamics.velocity_scale * count)
    return torch.sqrt(1 + missed.square()) - 1


@torch.no_grad()
def nats(dynamics: Dynamics, motions: Motions, grain: float, *, with_root: bool = True) -> float:
    """Mean log-likelihood of all steps of usable frames, per dimension; the grain always the same."""
    latents, roots = motions.stretch(motions.starts(3), 3)
    latents = grainy(latents, grain, torch.Generator().manual_seed(0))
    values = dynamics.log_prob(latents, roots if with_root else None, motions.fps)
    return float(values.mean()) / latents.shape[-1]


@torch.no_grad()
def rolled_error(dynamics: Dynamics, motions: Motions, ahead: int) -> float:
    """Mean of `roll_errors` over a split."""
    latents, roots = motions.stretch(motions.starts(2 + ahead)[::5], 2 + ahead)
    return float(roll_errors(dynamics, latents, roots, motions.fps).mean())


def set_scales(dynamics: Dynamics, motions: Motions, grain: float) -> None:
    """Scales of the inputs, and the spread of constant velocity as that of the untrained model."""
    latents, roots = motions.stretch(motions.starts(3), 3)
    velocity = latents[:, 1] - latents[:, 0]
    acceleration = latents[:, 2] - 2 * latents[:, 1] + latents[:, 0]
    dynamics.velocity_scale.copy_(velocity.square().mean(0).sqrt().clamp(min=grain))
    dynamics.acceleration_scale.copy_(acceleration.square().mean(0).sqrt().clamp(min=grain))
    covariance = torch.cov(acceleration.double().T)
    covariance = covariance + grain**2 * torch.eye(len(covariance), dtype=torch.float64)
    inverse = torch.linalg.inv(torch.linalg.cholesky(covariance))
    dynamics.triangle.data.copy_(inverse.tril(-1))
    dynamics.log_diagonal.data.copy_(inverse.diagonal().log())
    dynamics.root_mean.copy_(roots[:, 1].mean(0))
    dynamics.root_scale.copy_(roots[:, 1].std(0).clamp(min=1e-3))


@torch.no_grad()
def time_step_exponent(dynamics: Dynamics, motions: Motions, grain: float) -> float:
    """Exponent k of variances ∝ (30 / fps)^k under which every second and third frame are likeliest."""
    candidates = torch.linspace(0.0, 5.0, 51)
    values = torch.zeros(len(candidates))
    for stride in (2, 3):
        starts = motions.starts(2 * stride + 1)
        index = starts[:, None] + stride * torch.arange(3)
        generator = torch.Generator().manual_seed(0)
        latents, roots = grainy(motions.latents[index], grain, generator), motions.roots[index]
        for place, candidate in enumerate(candidates):
            dynamics.time_step_exponent.fill_(candidate)
            values[place] += dynamics.log_prob(latents, roots, motions.fps / stride).mean()
    return float(candidates[values.argmax()])


def fit(
    poses: MotionSet, prior: PosePrior, recipe: DynamicsRecipe, checkpoint: Path | None = None
) -> tuple[Dynamics, Curve]:
    """Trained dynamics of a prior's latents, and their curve."""
    torch.manual_seed(recipe.seed)
    training = motions_of(poses, prior, "train", mirrored=True, restyled=recipe.restyled)
    validation = motions_of(poses, prior, "validation", mirrored=False)
    config = DynamicsConfig(latent=training.latents.shape[-1], hidden=recipe.hidden)
    dynamics = Dynamics(config)
    curve = train(dynamics, training, validation, recipe, checkpoint)
    return dynamics.eval().requires_grad_(False), curve


def report(
    dynamics: Dynamics, poses: MotionSet, prior: PosePrior, recipe: DynamicsRecipe
) -> dict[str, int | float]:
    """Figures of the model card."""
    figures: dict[str, int | float] = {}
    for split in ("train", "validation", "held_out"):
        motions = motions_of(poses, prior, split, mirrored=False)
        figures[f"{split}_frames"] = int((motions.run > 0).sum())
        figures[f"{split}_nats_per_dimension"] = nats(dynamics, motions, recipe.grain)
        figures[f"{split}_rootless_nats_per_dimension"] = nats(
            dynamics, motions, recipe.grain, with_root=False
        )
        figures[f"{split}_roll_out_error"] = rolled_error(dynamics, motions, recipe.ahead)
    return figures


def main() -> None:
    """Train dynamics on a folder of packs and write them into the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--prior", choices=tuple(PRIORS), default="flow")
    parser.add_argument("--steps", type=int, default=DynamicsRecipe.steps)
    parser.add_argument("--seed", type=int, default=DynamicsRecipe.seed)
    parser.add_argument("--checkpoint", type=Path, help="goes on from this file if it is there")
    parser.add_argument("--output", type=Path, default=model.WEIGHTS_FILE)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = DynamicsRecipe(steps=chosen.steps, seed=chosen.seed)
    logger.info("%s", recipe)
    load, prior_file = PRIORS[chosen.prior]
    prior, poses = load(), motion_set(chosen.folder)
    dynamics, curve = fit(poses, prior, recipe, chosen.checkpoint)
    figures = report(dynamics, poses, prior, recipe)
    description = {
        "kind": "dynamics of poses",
        "prior": hashlib.sha256(prior_file.read_bytes()).hexdigest(),
        "prior_file": prior_file.name,
        "config": asdict(dynamics.config),
        "recipe": asdict(recipe),
        "figures": figures,
        "curve": curve,
    }
    write_weights(chosen.output, dynamics.state_dict(), description)
    logger.info("%s", json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
