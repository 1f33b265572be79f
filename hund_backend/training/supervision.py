"""Supervision: what a state of the descent costs in training, given what was seen and what is true."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hund_backend.descent.hund import Step
from hund_backend.descent.marionette import Numbers

from .hund_samples import NEAREST, Sample


@dataclass(frozen=True, kw_only=True)
class SupervisionConfig:
    """Weights of the terms."""

    evidence: float = 0.1  # L(s), the loss that the stages are told
    joints: float = 4.0  # metres from the pelvis
    points: float = 4.0  # metres, keypoints from the pelvis
    picture: float = 8.0  # spans between projected keypoints and the true ones
    turns: float = 1.5  # mean difference of the rotation matrices' entries
    orient: float = 1.0  # the same, of the pelvis alone
    depth: float = 1.0  # of the depth's logarithm
    betas: float = 0.05
    latent: float = 0.05
    farthest: float = 0.5  # spans: what is farther in the picture counts as that


def evidence_cost(step: Step) -> Float[Tensor, " batch"]:
    """L(s), in the units of the supervised cost: all there is without truth."""
    return 0.1 * step.feedback.loss


def supervised_cost(
    step: Step, sample: Sample, wanted: Numbers, config: SupervisionConfig
) -> Float[Tensor, " batch"]:
    """What a state costs where the truth is known.

    Args:
        step: the state.
        sample: what was seen and what is true.
        wanted: the true state's numbers.
        config: weights.
    """
    posed, true, span = step.posed, sample.truth.posed, sample.seen.span[:, None, None]

    def apart(found: Tensor, right: Tensor) -> Float[Tensor, " batch"]:
        difference = (found - posed.joints[:, :1]) - (right - true.joints[:, :1])
        return (difference.square().sum(-1) + 1e-6).sqrt().mean(-1)

    def pictured(points: Tensor) -> Tensor:
        return points[..., :2] / points[..., 2:].clamp(min=NEAREST) / span

    missed = pictured(posed.points) - pictured(true.points)
    missed = (missed.square().sum(-1) + 1e-6).sqrt().clamp(max=config.farthest)
    turns = (posed.rotations - true.rotations).abs()
    depths = (posed.translation[:, 2].log() - true.translation[:, 2].log()).abs()
    numbers = step.numbers
    return (
        config.evidence * step.feedback.loss
        + config.joints * apart(posed.joints, true.joints)
        + config.points * apart(posed.points, true.points)
        + config.picture * missed.mean(-1)
        + config.turns * turns.mean((1, 2, 3))
        + config.orient * turns[:, 0].mean((1, 2))
        + config.depth * depths
        + config.betas * (numbers.betas - wanted.betas).square().mean(-1)
        + config.latent * (numbers.latent - wanted.latent).square().mean(-1)
    )
