"""Feet: kept on the floor and in place while they touch it, on legs of another length.

Where the source's feet are below the floor, or above it in contact, the whole body is moved up or
down, smoothly; else the legs alone would make up for it. A foot's rotation is the source's. Its
height is such that the lowest point of its sole is as high above the floor as the source's, in
proportion, and on the floor in contact. In a run of contact
the ball stays in one place; the correction is eased in and out. Where a leg cannot reach its foot,
the hips go down, smoothly; then the legs are solved by two-bone inverse kinematics.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from . import contacts as foot_contacts
from . import limbs, roles, transfer
from .contacts import Contacts
from .easing import eased
from .rest_alignment import RoleRest
from .rotations import across, rotated
from .transfer import FloorMap, RoleMotion

_HEEL = 0.3  # from the ankle back to the heel, as a share of the distance from ankle to ball
_TOES = 0.35  # from the ball to the tip of the toes, where no bone tells
_EASE = 0.2  # seconds in which a correction comes and goes
_LOWERING = 0.1  # seconds, standard deviation with which hips go up and down
_REACH = 0.998  # of a leg's length that is used
_STILL = 1e-5  # of a leg's length: what moves less does not move
_FLOOR = 0.15  # of a leg's length: a contact that is lower is one with the floor


class Steps(NamedTuple):
    """How a foot of the source touches the floor."""

    clearance: np.ndarray  # (frames,): of the lowest point of its sole, the source's units
    confidence: np.ndarray  # (frames, 2): of the contacts of heel and toe
    runs: list[tuple[int, int]]  # first and last frame of each contact


class Sole(NamedTuple):
    """Points of a foot's sole at rest, from the ankle."""

    heel: np.ndarray  # (3,)
    ball_joint: np.ndarray  # (3,): above the sole
    ball: np.ndarray  # (3,)
    tip: np.ndarray  # (3,): moves with the toes


def keep_contacts(
    source: RoleMotion,
    target: RoleMotion,
    floor_map: FloorMap,
    fps: float,
    contacts: Contacts | None,
) -> tuple[RoleMotion, float]:
    """Return the target's motion with its feet in place, and how far its hips were lowered.

    Feet whose legs are not mapped on both rigs stay as they are.

    Args:
        source: motion with the feet to follow.
        target: motion of the target after FK.
        floor_map: map from the source's floor to the target's.
        fps: frames per second.
        contacts: of the source; None: found from its motion.
    """
    sides = legs_of(target)
    steps = {side: _steps(source, side, fps, contacts and contacts.get(side)) for side in sides}
    raised = floor_map.scale * _raising(steps, len(target.positions["hips"]), fps)
    up = np.array([0.0, 0, 1])
    target = dataclasses.replace(
        target,
        positions={role: at + raised[:, None] * up for role, at in target.positions.items()},
    )
    ankles = {
        side: _ankle(source, target, floor_map, fps, side, steps[side], raised) for side in sides
    }
    reaches = {side: _REACH * sum(limbs.lengths(target.rest, limbs.LEG, side)) for side in ankles}
    lowered = _lowering(target, ankles, reaches, fps)
    hips = target.positions["hips"] - lowered[:, None] * up
    return placed(target, hips, ankles), float(lowered.max(initial=0))


class Locked(NamedTuple):
    """Motion whose feet stay in place."""

    motion: RoleMotion
    lowered: np.ndarray  # (frames,): how far hips went down
    changed: np.ndarray  # (frames,): where hips or feet are elsewhere


def locked(motion: RoleMotion, contacts: Contacts, fps: float, inside: np.ndarray) -> Locked:
    """Keep the feet of a motion in place in each run of contact.

    The hips stay where they are unless a leg cannot reach its foot.

    Args:
        motion: with both legs.
        contacts: of its feet.
        fps: frames per second.
        inside: how much of the change is taken at each frame, (frames,), 0…1.
    """
    same = FloorMap(1.0, 1.0, np.zeros(2))
    still = np.zeros(len(inside))
    changed = np.zeros(len(inside), bool)
    least = _STILL * motion.rest.leg_length()
    ankles, reaches = {}, {}
    for side in legs_of(motion):
        steps = _steps(motion, side, fps, contacts[side])
        wanted = _ankle(motion, motion, same, fps, side, steps, still)
        before = motion.positions[f"foot.{side}"]
        ankles[side] = before + inside[:, None] * (wanted - before)
        changed |= np.linalg.norm(ankles[side] - before, axis=-1) > least
        own = np.linalg.norm(before - motion.positions[f"thigh.{side}"], axis=-1)
        usual = _REACH * sum(limbs.lengths(motion.rest, limbs.LEG, side))
        reaches[side] = np.maximum(own, usual)  # a leg may stay as straight as it was
    lowered = inside * _lowering(motion, ankles, reaches, fps)
    changed |= lowered > least
    hips = motion.positions["hips"] - lowered[:, None] * np.array([0.0, 0, 1])
    return Locked(placed(motion, hips, ankles, keeps_pose=True), lowered, changed)


def legs_of(motion: RoleMotion) -> list[str]:
    """Return the sides whose legs are mapped as a whole."""
    return [
        side
        for side in roles.SIDES
        if all(f"{name}.{side}" in motion.rotations for name in limbs.LEG)
    ]


def placed(
    motion: RoleMotion,
    hips: np.ndarray,
    ankles: dict[str, np.ndarray],
    *,
    keeps_pose: bool = False,
) -> RoleMotion:
    """Return a motion with hips and ankles elsewhere; the feet keep their rotations.

    Args:
        motion: to change.
        hips: (frames, 3).
        ankles: (frames, 3) by side.
        keeps_pose: legs whose ends stay keep their poses, however straight they are.
    """
    moved = transfer.forward(motion.rest, motion.rotations, hips)
    rotations = dict(motion.rotations)
    for side, ankle in ankles.items():
        rotations |= limbs.reach(
            motion.rest, rotations, moved, limbs.LEG, side, ankle, keeps_pose=keeps_pose
        )
    positions = transfer.forward(motion.rest, rotations, hips)
    return dataclasses.replace(motion, rotations=rotations, positions=positions)


def sole(rest: RoleRest, ground: float, side: str) -> Sole:
    """Return the points of a sole at rest, from the bones and the height of the ground."""
    up = rest.up
    ankle = rest.heads[f"foot.{side}"]
    ball_joint = rest.heads.get(f"toe.{side}", rest.tails[f"foot.{side}"])
    along = across(ball_joint - ankle, up)
    tip = next(
        (
            rest.tails[f"{name}.{side}"]
            for name in ("toe_end", "toe")
            if f"{name}.{side}" in rest.heads
        ),
        ball_joint + _TOES * along,
    )

    def on_ground(point: np.ndarray) -> np.ndarray:
        return point - up * (point @ up - ground) - ankle

    return Sole(
        heel=on_ground(ankle - _HEEL * along),
        ball_joint=ball_joint - ankle,
        ball=on_ground(ball_joint),
        tip=on_ground(tip),
    )


def sole_points(motion: RoleMotion, side: str, *, ankle: np.ndarray | None = None) -> np.ndarray:
    """Return heel, ball and tip of a posed sole, (frames, 3 points, 3).

    Args:
        motion: of the rig.
        side: of the foot.
        ankle: positions to use instead of the motion's, (frames, 3).
    """
    points = sole(motion.rest, motion.ground, side)
    foot = motion.rotations[f"foot.{side}"]
    toe = motion.rotations.get(f"toe.{side}", foot)
    start = motion.positions[f"foot.{side}"] if ankle is None else ankle
    joint = start + rotated(foot, points.ball_joint)
    if ankle is None:
        joint = motion.positions.get(f"toe.{side}", joint)
    return np.stack(
        (
            start + rotated(foot, points.heel),
            joint + rotated(foot, points.ball - points.ball_joint),
            joint + rotated(toe, points.tip - points.ball_joint),
        ),
        axis=1,
    )


def _steps(source: RoleMotion, side: str, fps: float, confidence: np.ndarray | None) -> Steps:
    """Return the contacts of a foot of the source."""
    points = sole_points(source, side)
    if confidence is None:
        leg = source.rest.leg_length()
        confidence = foot_contacts.from_motion(points[:, [0, 2]], source.floor, leg, fps)
    clearance = points[..., 2].min(1) - source.floor
    return Steps(clearance, confidence, foot_contacts.runs(confidence.max(-1), fps))


def _raising(steps: dict[str, Steps], frames: int, fps: float) -> np.ndarray:
    """Return how far the body is moved up for its feet to be on the floor, (frames,).

    Without contact it is interpolated, but never less than what lifts a foot to the floor.
    """
    lowest = np.full(frames, np.inf)
    for each in steps.values():
        for first, last in each.runs:
            span = slice(first, last + 1)
            lowest[span] = np.minimum(lowest[span], each.clearance[span])
        lowest = np.where(each.clearance < 0, np.minimum(lowest, each.clearance), lowest)
    known = np.flatnonzero(np.isfinite(lowest))
    if not len(known):
        return np.zeros(frames)
    raised = np.interp(np.arange(frames), known, -lowest[known])
    deviation = max(_LOWERING * fps, 0.5)
    radius = int(np.ceil(2.5 * deviation))
    return np.convolve(np.pad(raised, radius, mode="edge"), _gaussian(deviation, radius), "valid")


def _gaussian(deviation: float, radius: int) -> np.ndarray:
    """Return weights that sum to one, (2 radius + 1,)."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    return weights / weights.sum()


def _ankle(
    source: RoleMotion,
    target: RoleMotion,
    floor_map: FloorMap,
    fps: float,
    side: str,
    steps: Steps,
    raised: np.ndarray,
) -> np.ndarray:
    """Return where the target's ankle shall be, (frames, 3)."""
    runs = steps.runs
    ankle = source.positions[f"foot.{side}"]
    wanted = np.zeros_like(ankle)
    wanted[:, :2] = floor_map.places(ankle[:, :2])
    own = sole_points(target, side, ankle=wanted)
    height = np.maximum(floor_map.scale * steps.clearance + raised, 0)
    wanted[:, 2] = target.floor + height - own[..., 2].min(1)
    # The joint, not the sole below it: the toes lie on the floor and carry it while the heel rises.
    ball_joint = sole(target.rest, target.ground, side).ball_joint
    joint = wanted + rotated(target.rotations[f"foot.{side}"], ball_joint)
    corrections = np.zeros((len(runs), len(ankle), 3))
    for correction, (first, last) in zip(corrections, runs, strict=True):
        span = slice(first, last + 1)
        weights = np.maximum(steps.confidence[span, 1], 0.05)
        balls = joint[span, :2]
        correction[span, :2] = np.average(balls, axis=0, weights=weights) - balls
        # What is held well above the floor stands on something else: a step, a box.
        support = float(np.median(height[span]))
        is_floor = support < _FLOOR * target.rest.leg_length()
        correction[span, 2] = (0.0 if is_floor else support) - height[span]
    moved = eased(corrections, runs, round(_EASE * fps))
    moved[:, 2] = np.maximum(moved[:, 2], -height)  # no transition leads through the floor
    wanted += moved
    return wanted


def _lowering(
    target: RoleMotion,
    ankles: dict[str, np.ndarray],
    reaches: Mapping[str, float | np.ndarray],
    fps: float,
) -> np.ndarray:
    """Return how far the hips go down so that the legs reach, (frames,).

    Args:
        target: motion.
        ankles: where they shall be, (frames, 3), by side.
        reaches: of the legs, world units, by side.
        fps: frames per second.
    """
    frames = len(target.positions["hips"])
    need = np.zeros(frames)
    for side, ankle in ankles.items():
        toward = ankle - target.positions[f"thigh.{side}"]
        across_floor = np.linalg.norm(toward[:, :2], axis=-1)
        deepest = np.sqrt(np.maximum(reaches[side] ** 2 - across_floor**2, 0))
        need = np.maximum(need, -toward[:, 2] - deepest)
    deviation = max(_LOWERING * fps, 0.5)
    radius = int(np.ceil(2.5 * deviation))
    padded = np.pad(need, 2 * radius, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1)
    return np.convolve(windows.max(-1), _gaussian(deviation, radius), "valid")
