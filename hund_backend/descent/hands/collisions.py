"""Fingers led out of each other and out of the palm, after they were smoothed over time.

Smoothing knows joints, not flesh: it leads fingers that bend one after the other through each other
again. Each frame is changed by itself, by no more than it takes, so that what moves evenly goes on
to do so.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from .hund import HandHund

ITERATIONS = 8
SHARE = 0.7  # of Polyak's step, which would lead out at once if depths were linear
_NEGLIGIBLE = 3e-4  # metres: sum of depths that is left alone
_LEAST_SLOPE = 1e-4  # m²/rad²: below which no turn leads out


def freed_fingers(
    hund: HandHund,
    fingers: Float[Tensor, "frames 15 3 3"],
    rest_points: Float[Tensor, "21 3"],
) -> Float[Tensor, "frames 15 3 3"]:
    """Return fingers that go into nothing, or less deep.

    Args:
        hund: network of hands, whose capsules and axes are used.
        fingers: rotations of the finger joints of a left hand.
        rest_points: its landmarks at rest.
    """
    anatomy = hund.evidence_loss.anatomy
    freed = fingers.detach().clone()
    with torch.enable_grad():
        for _ in range(ITERATIONS):
            rows = _deep_rows(hund, freed, rest_points)
            if not len(rows):
                break
            angles = freed.new_zeros(len(rows), 15, 3, requires_grad=True)
            turned = freed[rows] @ anatomy.rotations(angles * freed.new_tensor([1.0, 1.0, 0.0]))
            depth = _depths(hund, turned, rest_points)
            (slope,) = torch.autograd.grad(depth.sum(), [angles])
            steepness = slope.square().sum((-1, -2)).clamp(min=_LEAST_SLOPE)
            step = -SHARE * (depth / steepness).detach()[:, None, None] * slope
            freed[rows] = freed[rows] @ anatomy.rotations(step)
    return freed


def _deep_rows(
    hund: HandHund, fingers: Float[Tensor, "frames 15 3 3"], rest_points: Float[Tensor, "21 3"]
) -> Tensor:
    """Frames in which fingers go into something."""
    with torch.no_grad():
        return (_depths(hund, fingers, rest_points) > _NEGLIGIBLE).nonzero()[:, 0]


def _depths(
    hund: HandHund, fingers: Float[Tensor, "frames 15 3 3"], rest_points: Float[Tensor, "21 3"]
) -> Float[Tensor, " frames"]:
    """Sums of the depths of all pairs of capsules."""
    wrist = torch.eye(3).to(fingers).expand(len(fingers), 1, 3, 3)
    rest = rest_points.expand(len(fingers), -1, -1)
    return hund.collisions(torch.cat((wrist, fingers), dim=1), rest).sum(-1)
