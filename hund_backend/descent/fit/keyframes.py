"""Keyframes: frames that are fitted independently first, and interpolation between them."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...body.rotations import matrix_to_rotvec, rotvec_to_matrix
from ..reduced_body import FitVariables

TYPICAL_SPEED = 2.0  # m/s of a joint between keyframes
FIT_TOLERANCE = 0.1  # metres by which two fits of the same pose differ


def choose_keyframes(
    observed: Bool[Tensor, " frames"], spacing: float, max_keyframes: int
) -> Int[Tensor, " keyframes"]:
    """Evenly spread observed frames, the first and the last among them.

    Args:
        observed: frames with evidence; if there are none, the first frame is chosen.
        spacing: frames between keyframes.
        max_keyframes: upper limit of their number.
    """
    indices = observed.nonzero()[:, 0]
    if len(indices) == 0:
        return torch.zeros(1, dtype=torch.int64)
    count = min(
        max_keyframes,
        len(indices),
        1 + int(torch.ceil((indices[-1] - indices[0]) / max(spacing, 1.0))),
    )
    return indices[torch.linspace(0, len(indices) - 1, count).round().long()]


def best_path(
    energies: Float[Tensor, "poses keyframes"],
    joints: Float[Tensor, "poses keyframes joints 3"],
    seconds: Float[Tensor, " keyframes"],
) -> Int[Tensor, " keyframes"]:
    """Initial pose to keep in each keyframe: low energies and no jumps between them (Viterbi, 1967).

    Args:
        energies: of each initial pose after its own descent.
        joints: relative to the pelvis, camera axes, metres.
        seconds: time of each keyframe.
    """
    cost, predecessors = energies[:, 0], []
    for keyframe in range(1, energies.shape[1]):
        reach = TYPICAL_SPEED * (seconds[keyframe] - seconds[keyframe - 1]) + FIT_TOLERANCE
        jumps = (joints[:, None, keyframe - 1] - joints[None, :, keyframe]).norm(dim=-1) / reach
        # Saturates: a longer jump costs no more, as people do turn over.
        total = cost[:, None] + 0.5 * jumps.square().clamp(max=9.0).sum(-1)
        predecessors.append(total.argmin(0))
        cost = total.amin(0) + energies[:, keyframe]
    path = [cost.argmin()]
    for before in reversed(predecessors):
        path.append(before[path[-1]])
    return torch.stack(path[::-1])


def interpolate(
    variables: FitVariables, keyframes: Int[Tensor, " keyframes"], frames: int
) -> FitVariables:
    """Variables of every frame from those of the keyframes; constant beyond the ends.

    Rotations are interpolated geodesically; the translation linearly in x / z, y / z and log z.
    """
    times = torch.arange(frames)
    after = torch.searchsorted(keyframes, times).clamp(max=len(keyframes) - 1)
    before = (after - 1).clamp(min=0)
    span = (keyframes[after] - keyframes[before]).clamp(min=1)
    fraction = ((times - keyframes[before]) / span).clamp(0, 1).to(variables.translation)
    start = variables.rotations[before]
    turn = matrix_to_rotvec(start.mT @ variables.rotations[after])
    depth = variables.translation[:, 2:].log()
    screen = torch.cat(
        (variables.translation[:, :2] / variables.translation[:, 2:], depth), dim=-1
    )
    position = torch.lerp(screen[before], screen[after], fraction[:, None])
    depth = position[:, 2:].exp()
    return FitVariables(
        start @ rotvec_to_matrix(fraction[:, None, None] * turn),
        torch.cat((position[:, :2] * depth, depth), dim=-1),
        variables.betas,
    )
