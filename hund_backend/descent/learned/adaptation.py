"""Learn this performer: a copy of HUND's stages goes on learning from the very clip it is asked about.

Training and use do the same computation, so what is seen of a person teaches without any truth: the
losses of the states are lowered over all frames by one set of weights, which can learn a build, a
way of moving and a camera, but not the jitter of single keypoints. Some keypoints are hidden from
the network while it learns and still count in the loss, so that it learns to complete this person.
Stretches of the clip are held out: the copy is used only if their loss fell, and if poses did not get
less likely than they were and than captured poses usually are. (What the stages say at first is too
near to the mean to be true: it is more likely than what people do.)
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hund_backend.descent.fit.pose_anchor import unobserved_fraction
from hund_backend.descent.learned.hund import BATCH, Hund, Step
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.descent.learned.meta_loss import meta_loss
from hund_backend.prior.pose_flow import PoseFlow


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How a copy learns from a clip."""

    seconds: float = 60.0  # of the clock; what is best by then counts
    steps: int = 300  # at most
    batch: int = 96  # frames
    rate: float = 1e-4
    decay: float = 1e-3
    clip: float = 1.0  # of the gradient's norm
    start: float = 0.2  # weight of L^0
    progress: float = 0.3  # weight of what a stage spoils
    build: float = 0.5  # weight of the frames' disagreement about the build
    anchor: float = 100.0  # weight of what a copy changes about joints that nothing is seen of
    hidden: float = 0.15  # probability that a keypoint is hidden from the network
    block: int = 15  # frames that are learned from, or held out, together
    held_out: int = 4  # every so many-th block is held out
    fewest: int = 60  # frames: from fewer nothing is learned
    likely: float = 52.0  # nats: a quarter of captured poses new to the prior are less likely
    every: int = 15  # steps from one look at the held-out frames to the next
    seed: int = 0


class Look(NamedTuple):
    """What a network makes of the frames that are held out."""

    loss: float  # mean L(s_M)
    log_prob: float  # mean over frames, nats

    def betters(self, other: "Look", likely: float) -> bool:
        """The loss is lower, and poses are no less likely, or likely enough."""
        return self.loss < other.loss and self.log_prob >= min(other.log_prob, likely)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """How learning from a clip went."""

    kept: bool  # the copy is better on frames that it did not learn from
    steps: int  # after which it was best, or all if it never was
    before: Look | None  # nothing where there were too few frames
    after: Look | None

    def told(self) -> dict[str, object]:
        """For the provenance."""
        looks = {"before": self.before, "after": self.after}
        told = {name: None if look is None else look._asdict() for name, look in looks.items()}
        return {"kept": self.kept, "steps": self.steps, **told}


NO_LESSON = Lesson(kept=False, steps=0, before=None, after=None)


def adapted(
    hund: Hund,
    prior: PoseFlow,
    seen: NetworkInputs,
    config: AdaptConfig,
    report: Callable[[int], None] = lambda step: None,
) -> tuple[Hund, Lesson]:
    """The network as this person's frames make it, or as it was where that does not help.

    Args:
        hund: the network; it is not changed.
        prior: that it was made with.
        seen: evidence of the frames in which the person was observed, in order; on the network's
            device.
        config: how.
        report: told the number of steps done; what it raises ends the work.
    """
    if len(seen) < config.fewest:
        return hund, NO_LESSON
    out = held_out(len(seen), config).to(seen.span.device)
    lessons, exam = seen.at((~out).nonzero()[:, 0]), seen.at(out.nonzero()[:, 0])
    before = looked(hund, prior, exam)
    pupil = copy.deepcopy(hund).train().requires_grad_(True)
    known = believed(hund, lessons)
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=config.rate, weight_decay=config.decay)
    generator = torch.Generator().manual_seed(config.seed)
    best, best_look, best_step = None, before, 0
    deadline, step = time.monotonic() + config.seconds, 0
    while step < config.steps and time.monotonic() < deadline:
        chosen = torch.randint(len(lessons), (config.batch,), generator=generator)
        chosen = chosen.to(out.device)
        loss = lesson_loss(pupil, lessons.at(chosen), known[chosen], config, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(pupil.parameters(), config.clip)
        optimizer.step()
        step += 1
        report(step)
        if step % config.every:
            continue
        now = looked(pupil, prior, exam)
        if now.betters(before, config.likely) and now.loss < best_look.loss:
            best = {name: values.clone() for name, values in pupil.state_dict().items()}
            best_look, best_step = now, step
    if best is None:
        return hund, Lesson(kept=False, steps=step, before=before, after=before)
    pupil.load_state_dict(best)
    lesson = Lesson(kept=True, steps=best_step, before=before, after=best_look)
    return pupil.eval().requires_grad_(False), lesson


def held_out(frames: int, config: AdaptConfig) -> Bool[Tensor, " frames"]:
    """Which frames are held out: whole blocks, as neighbours are much alike."""
    return torch.arange(frames) // config.block % config.held_out == config.held_out - 1


@torch.no_grad()
def looked(hund: Hund, prior: PoseFlow, seen: NetworkInputs) -> Look:
    """How low the loss ends in some frames, and how likely the poses are there."""
    told = hund.descend(seen)
    loss, poses = told.terms[:, -1].sum(-1), told.states.pose[:, -1]
    return Look(float(loss.mean()), float(prior.log_prob(poses).mean()))


@torch.no_grad()
def believed(hund: Hund, seen: NetworkInputs) -> Float[Tensor, "frames joints 3 3"]:
    """Rotations of the moved joints at s_M, the pelvis left out."""
    starts = range(0, len(seen), BATCH)
    steps = [hund(seen.at(slice(start, start + BATCH)))[-1] for start in starts]
    return torch.cat([step.posed.rotations[:, 1:] for step in steps])


def lesson_loss(
    hund: Hund,
    seen: NetworkInputs,
    known: Float[Tensor, "batch joints 3 3"],
    config: AdaptConfig,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """What some frames teach: losses of all stages, one build, and nothing about what is not seen.

    Args:
        hund: the copy.
        seen: evidence of the frames.
        known: rotations of the moved joints that the network believed before.
        config: weights.
        generator: of chance.
    """
    steps = hund(_with_hidden_keypoints(seen, config.hidden, generator))
    losses = torch.stack([_full_loss(hund, step, seen) for step in steps])
    last = steps[-1]
    apart = (last.numbers.betas - last.numbers.betas.mean(0)).square().mean()
    moved = (last.posed.rotations[:, 1:] - known).square().mean((-1, -2))
    strayed = (unobserved_fraction(seen.confidence)[:, 1:] * moved).mean()
    learned = meta_loss(losses, "sum", start=config.start, progress=config.progress)
    return learned + config.build * apart + config.anchor * strayed


def _full_loss(hund: Hund, step: Step, seen: NetworkInputs) -> Float[Tensor, " batch"]:
    """L(s) of all that was seen, that which the network was not shown, too."""
    return hund.evidence_loss(step.numbers, step.posed, seen).loss


def _with_hidden_keypoints(
    seen: NetworkInputs, probability: float, generator: torch.Generator
) -> NetworkInputs:
    """The evidence as if some keypoints had not been found."""
    shown = torch.rand(seen.confidence.shape, generator=generator) >= probability
    return replace(seen, confidence=seen.confidence * shown.to(seen.confidence))
