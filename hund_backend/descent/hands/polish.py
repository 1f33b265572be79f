"""Polish of a hand's states over time: the descent's losses, smooth motion and no collisions.

The learned descent sees one frame at a time. The polish starts from its states and descends by
gradients on the same losses L(s), on the accelerations of the points (without lag, and without
smoothing fast motion away, as a large acceleration costs by its length, not by its square) and on
the depths to which fingers go into each other and into the palm.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .hund import HandHund
from .inputs import HandInputs
from .state_decoder import PosedHand

_LOOK_STEPS = 5  # after which hands that go into themselves are looked for again


@dataclass(frozen=True, kw_only=True)
class HandPolishConfig:
    """Steps and smoothness of the polish."""

    steps: int = 40
    rate: float = 0.04
    acceleration: float = (
        8.0  # m/s², of points relative to the wrist, from which the cost is linear
    )
    wrist_acceleration: float = 40.0  # 1/s², of the wrist's turn (entries of its matrix)
    weight: float = 0.6  # of the accelerations beside L(s)
    collisions: float = 50.0  # per metre of depth, summed over pairs of bones
    collision_smoothing: float = 0.001  # metres of depth below which it counts as its square


def polished(
    hund: HandHund,
    flat: Float[Tensor, "hands state"],
    inputs: HandInputs,
    frames: Int[Tensor, " hands"],
    tracks: Int[Tensor, " hands"],
    fps: float,
    config: HandPolishConfig | None = None,
) -> Float[Tensor, "hands state"]:
    """Return the states after the polish.

    Args:
        hund: network, whose decoder and losses are used.
        flat: states to start from; hands of a track stand in the order of time.
        inputs: their evidence.
        frames: number of the frame of each.
        tracks: number of the track of each: a hand of a person in a shot.
        fps: frames a second.
        config: settings.
    """
    config = config or HandPolishConfig()
    if len(flat) == 0 or config.steps == 0:
        return flat
    middle = _followed(frames, tracks)
    flat = flat.detach().clone().requires_grad_(True)
    optimizer = torch.optim.Adam([flat], lr=config.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    with torch.enable_grad():
        for number in range(config.steps):
            step = hund.evaluate(flat, inputs)
            posed, rest = step.posed, inputs.rest_points
            if number % _LOOK_STEPS == 0:
                deep = hund.collisions(posed.rotations.detach(), rest).amax(-1) > 0
                colliding = deep.nonzero()[:, 0]
            cost = step.losses.total.sum()
            of_some = posed.rotations[colliding], rest[colliding]
            cost = cost + collision_cost(hund, *of_some, config).sum()
            rates = torch.full((len(middle),), fps).to(flat)
            cost = cost + acceleration_cost(posed, inputs, middle, rates, config).sum()
            optimizer.zero_grad()
            (gradient,) = torch.autograd.grad(cost, [flat])
            flat.grad = gradient
            optimizer.step()
            schedule.step()
    return flat.detach()


def collision_cost(
    hund: HandHund,
    rotations: Float[Tensor, "hands 16 3 3"],
    rest_points: Float[Tensor, "hands 21 3"],
    config: HandPolishConfig,
) -> Float[Tensor, " hands"]:
    """Cost of fingers that go into each other or into the palm.

    Args:
        hund: network, whose capsules are used.
        rotations: of the wrists and finger joints.
        rest_points: landmarks at rest.
        config: weights.
    """
    depths = hund.collisions(rotations, rest_points)
    smoothing = config.collision_smoothing
    smooth = (depths.square() + smoothing**2).sqrt() - smoothing
    return config.collisions * smooth.sum(-1)


def acceleration_cost(
    posed: PosedHand,
    inputs: HandInputs,
    middle: Int[Tensor, " middle"],
    fps: Float[Tensor, " middle"],
    config: HandPolishConfig,
) -> Float[Tensor, " middle"]:
    """Cost of the accelerations of hands, of fingers to the wrist and of the wrist's turn.

    Args:
        posed: hands.
        inputs: their evidence.
        middle: rows whose neighbors are the same hand in the frames before and after.
        fps: frames a second of each of them.
        config: weights.
    """
    relative = (posed.points - posed.points[:, :1]) @ inputs.camera_from_crop.mT
    wrist = inputs.camera_from_crop @ posed.rotations[:, 0]
    cost = torch.zeros_like(fps)
    for values, scale in (
        (relative, config.acceleration),
        (wrist, config.wrist_acceleration),
    ):
        second = values[middle - 1] - 2 * values[middle] + values[middle + 1]
        squares = second.square().sum(-1).mean(-1) * (fps**2 / scale) ** 2
        cost = cost + config.weight * ((1 + squares).sqrt() - 1)
    return cost


def _followed(
    frames: Int[Tensor, " hands"], tracks: Int[Tensor, " hands"]
) -> Int[Tensor, " middle"]:
    """Rows whose neighbors are the same hand in the frames before and after."""
    after = (frames.diff() == 1) & (tracks.diff() == 0)
    both: Bool[Tensor, " inner"] = after[:-1] & after[1:]
    return both.nonzero()[:, 0] + 1
