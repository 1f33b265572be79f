"""Keyframes: the frames of a track that find their way alone, and the frames between them."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.descent.reduced_body import FitVariables

SPEED = 2.0  # m/s at which a joint commonly moves between keyframes
SLACK = 0.1  # metres by which two fits of the same pose differ


def chosen_keyframes(
    observed: Bool[Tensor, " frames"], spacing: float, most: int
) -> Int[Tensor, " keyframes"]:
    """Evenly spread frames in which the person was seen, the first and the last among them.

    Args:
        observed: frames that have evidence; if none has, the first one is chosen.
        spacing: frames between keyframes.
        most: number of keyframes.
    """
    seen = observed.nonzero()[:, 0]
    if len(seen) == 0:
        return torch.zeros(1, dtype=torch.int64)
    count = min(most, len(seen), 1 + int(torch.ceil((seen[-1] - seen[0]) / max(spacing, 1.0))))
    return seen[torch.linspace(0, len(seen) - 1, count).round().long()]


def best_path(
    energies: Float[Tensor, "starts keyframes"],
    joints: Float[Tensor, "starts keyframes joints 3"],
    seconds: Float[Tensor, " keyframes"],
) -> Int[Tensor, " keyframes"]:
    """The start to keep in each keyframe: low energies, and no leaps between them (Viterbi, 1967).

    Args:
        energies: of each start after its own descent.
        joints: relative to the pelvis, camera axes, metres.
        seconds: time of each keyframe.
    """
    cost, came_from = energies[:, 0], []
    for now in range(1, energies.shape[1]):
        reach = SPEED * (seconds[now] - seconds[now - 1]) + SLACK
        leaps = (joints[:, None, now - 1] - joints[None, :, now]).norm(dim=-1) / reach
        # A leap that is clearly one costs no more when it is longer: people do turn over.
        total = cost[:, None] + 0.5 * leaps.square().clamp(max=9.0).sum(-1)
        came_from.append(total.argmin(0))
        cost = total.amin(0) + energies[:, now]
    path = [cost.argmin()]
    for before in reversed(came_from):
        path.append(before[path[-1]])
    return torch.stack(path[::-1])


def interpolated(
    variables: FitVariables, keyframes: Int[Tensor, " keyframes"], frames: int
) -> FitVariables:
    """A posture for every frame from those of the keyframes; the ends are held.

    Rotations turn evenly from one to the next; the place moves evenly in the picture and in the
    logarithm of the depth.
    """
    times = torch.arange(frames)
    after = torch.searchsorted(keyframes, times).clamp(max=len(keyframes) - 1)
    before = (after - 1).clamp(min=0)
    span = (keyframes[after] - keyframes[before]).clamp(min=1)
    share = ((times - keyframes[before]) / span).clamp(0, 1).to(variables.translation)
    start = variables.rotations[before]
    turn = matrix_to_rotvec(start.mT @ variables.rotations[after])
    depth = variables.translation[:, 2:].log()
    screen = torch.cat((variables.translation[:, :2] / variables.translation[:, 2:], depth), dim=-1)
    place = torch.lerp(screen[before], screen[after], share[:, None])
    depth = place[:, 2:].exp()
    return FitVariables(
        start @ rotvec_to_matrix(share[:, None, None] * turn),
        torch.cat((place[:, :2] * depth, depth), dim=-1),
        variables.betas,
    )
