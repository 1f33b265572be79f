"""Adaptation to a clip: a copy of HUND's weights is trained on the clip itself, without labels.

Training and use are the same computation, so a person's evidence alone lowers the losses of the
states over all frames by one set of weights: these can learn a shape, a way of moving and a camera,
but not the jitter of single keypoints. Some keypoints are hidden from the network during training
and still count in the loss, so that it learns to complete this person. Blocks of frames are held
out: the copy is used only if their loss falls, their poses are no less likely than before, and they
move more steadily. A lower loss alone says nothing: where the detector errs by the same amount in
all frames, the copy learns the error (docs/log/clips.md). Errors that change from frame to frame it
can only average out, and then the motion becomes steadier.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...prior.pose_flow import PoseFlow
from ..joint_confidence import unobserved_fraction
from .hund import MAX_BATCH, Hund
from .inputs import NetworkInputs
from .meta_loss import meta_loss
from .network import Step


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """Recipe of the adaptation."""

    seconds: float = 60.0  # wall-clock limit; the best weights by then count
    max_steps: int = 300
    batch: int = 96  # frames
    learning_rate: float = 1e-4
    weight_decay: float = 1e-3
    max_gradient_norm: float = 1.0
    initial_state: float = 0.2  # weight of L^0
    meta_regularization: float = 0.3  # weight of increases of the loss from stage to stage
    shape_variance: float = 0.5  # weight of the variance of the betas over frames
    anchor: float = 100.0  # weight of changes of rotations that no keypoint observes
    hidden_keypoints: float = 0.15  # probability that a keypoint is hidden from the network
    block: int = 15  # frames that are trained on, or held out, together
    held_out_every: int = 4  # each so many-th block is held out
    min_frames: int = 60  # shorter tracks are not adapted to
    steadier: float = 0.15  # share by which accelerations must fall
    less_likely: float = 0.0  # nats by which poses may become less likely
    validate_every: int = 15  # steps
    seed: int = 0


class Validation(NamedTuple):
    """Figures of a network on the held-out frames."""

    loss: float  # mean L(s_M)
    log_prob: float  # mean of the poses, nats
    acceleration: float  # of the joints about the pelvis, metres per frame²

    def improves_on(self, other: "Validation", config: AdaptConfig) -> bool:
        """Whether the loss is lower, the poses are no less likely and the motion is steadier."""
        is_likely = self.log_prob >= other.log_prob - config.less_likely
        is_steadier = self.acceleration <= (1 - config.steadier) * other.acceleration
        return self.loss < other.loss and is_likely and is_steadier


@dataclass(frozen=True, kw_only=True)
class AdaptationReport:
    """Outcome of an adaptation."""

    kept: bool  # whether the copy is used
    steps: int  # of the best weights, or all if none were better
    before: Validation | None  # None where the track was too short
    after: Validation | None

    def as_json(self) -> dict[str, object]:
        """Entry of the provenance."""
        validations = {"before": self.before, "after": self.after}
        figures = {name: each and each._asdict() for name, each in validations.items()}
        return {"kept": self.kept, "steps": self.steps, **figures}


NOT_ADAPTED = AdaptationReport(kept=False, steps=0, before=None, after=None)


def adapt(
    hund: Hund,
    prior: PoseFlow,
    inputs: NetworkInputs,
    config: AdaptConfig,
    report: Callable[[int], None] = lambda step: None,
) -> tuple[Hund, AdaptationReport]:
    """Return the network adapted to a person's frames, or the given one where that does not help.

    Args:
        hund: the network; it is not changed.
        prior: pose prior that it was trained with.
        inputs: of the frames in which the person was observed, in order; on the network's device.
        config: recipe.
        report: called with the number of steps done; may raise to end the work.
    """
    if len(inputs) < config.min_frames:
        return hund, NOT_ADAPTED
    held_out = held_out_frames(len(inputs), config).to(inputs.crop_width.device)
    training = inputs.select((~held_out).nonzero()[:, 0])
    validation = inputs.select(held_out.nonzero()[:, 0])
    before = validate(hund, prior, validation, config.block)
    adapted = copy.deepcopy(hund).train().requires_grad_(True)
    rotations = unadapted_rotations(hund, training)
    optimizer = torch.optim.AdamW(
        adapted.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    generator = torch.Generator().manual_seed(config.seed)
    best_weights, best, best_step = None, before, 0
    deadline, step = time.monotonic() + config.seconds, 0
    while step < config.max_steps and time.monotonic() < deadline:
        batch = torch.randint(len(training), (config.batch,), generator=generator)
        batch = batch.to(held_out.device)
        loss = adaptation_loss(
            adapted, training.select(batch), rotations[batch], config, generator
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(adapted.parameters(), config.max_gradient_norm)
        optimizer.step()
        step += 1
        report(step)
        if step % config.validate_every:
            continue
        current = validate(adapted, prior, validation, config.block)
        if current.improves_on(before, config) and current.loss < best.loss:
            best_weights = {n: values.clone() for n, values in adapted.state_dict().items()}
            best, best_step = current, step
    if best_weights is None:
        return hund, AdaptationReport(kept=False, steps=step, before=before, after=before)
    adapted.load_state_dict(best_weights)
    adapted.eval().requires_grad_(False)
    return adapted, AdaptationReport(kept=True, steps=best_step, before=before, after=best)


def held_out_frames(frames: int, config: AdaptConfig) -> Bool[Tensor, " frames"]:
    """Held-out frames: whole blocks, as neighboring frames are much alike."""
    blocks = torch.arange(frames) // config.block
    return blocks % config.held_out_every == config.held_out_every - 1


@torch.no_grad()
def validate(hund: Hund, prior: PoseFlow, inputs: NetworkInputs, block: int) -> Validation:
    """Loss, log-probability and accelerations of the last stage's states.

    Args:
        hund: the network.
        prior: its pose prior.
        inputs: of held-out frames, block after block.
        block: frames of a block.
    """
    descent = hund.descend(inputs)
    loss, poses = descent.terms[:, -1].sum(-1), descent.states.pose[:, -1]
    joints = torch.cat([step.posed.joints for step in _last_steps(hund, inputs)])
    moved = (joints - joints[:, :1]) @ inputs.camera_from_crop.mT
    acceleration = moved.diff(n=2, dim=0).norm(dim=-1).mean(-1)
    number = torch.arange(len(inputs), device=moved.device) // block
    inside = number[2:] == number[:-2]
    return Validation(
        float(loss.mean()),
        float(prior.log_prob(poses).mean()),
        float(acceleration[inside].mean()),
    )


@torch.no_grad()
def unadapted_rotations(hund: Hund, inputs: NetworkInputs) -> Float[Tensor, "frames joints 3 3"]:
    """Rotations of the reduced joints below the pelvis at s_M."""
    return torch.cat([step.posed.rotations[:, 1:] for step in _last_steps(hund, inputs)])


def _last_steps(hund: Hund, inputs: NetworkInputs) -> list[Step]:
    """s_M of all frames, in batches of MAX_BATCH."""
    starts = range(0, len(inputs), MAX_BATCH)
    return [hund(inputs.select(slice(start, start + MAX_BATCH)))[-1] for start in starts]


def adaptation_loss(
    hund: Hund,
    inputs: NetworkInputs,
    rotations: Float[Tensor, "batch joints 3 3"],
    config: AdaptConfig,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Losses of all stages, variance of the shape, and changes of what is not observed.

    Args:
        hund: the copy.
        inputs: evidence of the frames.
        rotations: of the reduced joints below the pelvis, before the adaptation.
        config: weights.
        generator: of the hidden keypoints.
    """
    steps = hund(_hide_keypoints(inputs, config.hidden_keypoints, generator))
    # The losses are those of all evidence, hidden keypoints included.
    losses = torch.stack([hund.evidence_loss(s.vector, s.posed, inputs).total for s in steps])
    last = steps[-1]
    variance = (last.vector.betas - last.vector.betas.mean(0)).square().mean()
    change = (last.posed.rotations[:, 1:] - rotations).square().mean((-1, -2))
    unobserved = (unobserved_fraction(inputs.confidence)[:, 1:] * change).mean()
    loss = meta_loss(
        losses, "sum", initial=config.initial_state, progress=config.meta_regularization
    )
    return loss + config.shape_variance * variance + config.anchor * unobserved


def _hide_keypoints(
    inputs: NetworkInputs, probability: float, generator: torch.Generator
) -> NetworkInputs:
    """Inputs with random keypoints undetected."""
    kept = torch.rand(inputs.confidence.shape, generator=generator) >= probability
    return replace(inputs, confidence=inputs.confidence * kept.to(inputs.confidence))
