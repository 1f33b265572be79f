"""Hands: where they touch each other or the body, they do on bodies of other proportions, too.

A point of a hand that is near a part of the body is described by the part's segment, by the
direction from it and by the distance from the surface, all in the part's own rest pose; on the
target that place is found again. Of two hands that touch, the points have the same distance from
each other, by the size of the hands, and both hands come half of the way. The rotations of hands
are kept; arms are solved by two-bone inverse kinematics.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from . import contacts, limbs, rest_alignment, roles, transfer
from .body_surface import Surface
from .easing import eased
from .rest_alignment import RoleRest
from .rotations import rotated
from .transfer import RoleMotion

_PERSON_LEG = 0.85  # metres, to which the constants below belong
_NEAR, _SOFTNESS = 0.05, 0.008  # metres from a point of the hand to a surface: contact
_THICKNESS = 0.025  # metres from the middle of a palm to that of the other when they touch
_FAR = 0.1  # metres from the surface, beyond which it is not looked for
_SHORTEST = 0.06  # seconds of a contact: claps are short
_EASE = 0.2  # seconds in which a correction comes and goes
_ROUNDS = 3  # of two hands that approach each other


class Contact(NamedTuple):
    """Run of frames in which a hand touches something."""

    point: str  # of the hand
    part: str  # segment of the body, or `hand`
    other: str  # point of the other hand; empty for the body
    first: int
    last: int


def keep_contacts(
    source: RoleMotion,
    target: RoleMotion,
    surfaces: tuple[Surface, Surface],
    fps: float,
) -> RoleMotion:
    """Return the target's motion with its hands where the source's touch something.

    Args:
        source: motion with the hands to follow.
        target: motion of the target.
        surfaces: of the source and of the target.
        fps: frames per second.
    """
    sides = [
        side
        for side in roles.SIDES
        if all(f"{name}.{side}" in target.rotations for name in limbs.ARM)
        and f"hand.{side}" in source.rotations
    ]
    corrections = rest_alignment.corrections(source.rest, target.rest)
    points = {
        side: (_points(source, target.rest, side), _points(target, source.rest, side))
        for side in sides
    }
    moves = {side: _Moves(len(target.positions["hips"]), fps) for side in sides}
    for side in sides:
        gaps = dict(_gaps(source, surfaces[0], side, points[side][0]))
        for contact in _contacts(gaps, source, fps):
            span = slice(contact.first, contact.last + 1)
            there = _place(
                source, target, surfaces, corrections, contact, points[side][0][contact.point]
            )
            moves[side].add(contact, there - points[side][1][contact.point][span])
    if len(sides) == 2:
        _join(source, target, points, moves, fps)
    wrists = {
        side: target.positions[f"hand.{side}"] + moves[side].eased()
        for side in sides
        if moves[side].runs
    }
    return _reaching(target, wrists)


class _Moves:
    """Corrections of a hand, run by run."""

    def __init__(self, frames: int, fps: float) -> None:
        self._frames, self._ease = frames, round(_EASE * fps)
        self.runs: list[tuple[int, int]] = []
        self._moves: list[np.ndarray] = []

    def add(self, contact: Contact, move: np.ndarray) -> None:
        """Add the corrections of a run, (run, 3); frames that have one keep it."""
        first, last = contact.first, contact.last
        taken = np.zeros(self._frames, bool)
        for start, stop in self.runs:
            taken[start : stop + 1] = True
        for start, stop in _spans(~taken[first : last + 1]):
            full = np.zeros((self._frames, 3))
            full[first + start : first + stop] = move[start:stop]
            self.runs.append((first + start, first + stop - 1))
            self._moves.append(full)

    def eased(self) -> np.ndarray:
        """Return the corrections of all frames, (frames, 3)."""
        order = sorted(range(len(self.runs)), key=self.runs.__getitem__)
        runs = [self.runs[index] for index in order]
        return eased(np.stack([self._moves[index] for index in order]), runs, self._ease)


def _points(motion: RoleMotion, other: RoleRest, side: str) -> dict[str, np.ndarray]:
    """Return points of a hand that both rigs have, (frames, 3), by name."""
    hand, rest = f"hand.{side}", motion.rest
    at, rotation = motion.positions[hand], motion.rotations[hand]
    knuckles = [
        role
        for name in roles.FINGERS_BEHIND_THUMB
        if (role := f"{name}.1.{side}") in rest.heads and role in other.heads
    ]
    end = (
        np.mean([rest.heads[role] for role in knuckles], axis=0) if knuckles else rest.tails[hand]
    )
    found = {"palm": at + rotated(rotation, 0.7 * (end - rest.heads[hand]))}
    for name in ("index", "middle"):
        tip = f"{name}.3.{side}"
        if tip in motion.rotations and tip in other.heads and tip in motion.positions:
            reach = rest.tails[tip] - rest.heads[tip]
            found[name] = motion.positions[tip] + rotated(motion.rotations[tip], reach)
    return found


def _hand_length(rest: RoleRest, side: str) -> float:
    hand = f"hand.{side}"
    end = rest.heads.get(f"middle.1.{side}", rest.tails[hand])
    return float(np.linalg.norm(end - rest.heads[hand]))


def _at_rest(motion: RoleMotion, role: str, points: np.ndarray) -> np.ndarray:
    """Return posed points (frames, 3) where they are if a role and all that it carries rest."""
    back = motion.rotations[role].swapaxes(1, 2)
    return motion.rest.heads[role] + rotated(back, points - motion.positions[role])


def _gaps(
    source: RoleMotion, surface: Surface, side: str, points: Mapping[str, np.ndarray]
) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Yield the gaps (frames,) between points of a hand and parts of the body, by both names."""
    size = source.rest.leg_length() / _PERSON_LEG
    own = {f"{name}.{side}" for name in ("upper_arm", "forearm")}
    for part, segment in surface.segments.items():
        if part in own or segment.role not in source.positions:
            continue
        for name, positions in points.items():
            shares, directions, distances = _from_segment(
                segment.start, segment.end, _at_rest(source, segment.role, positions)
            )
            gap = distances - segment.radius
            for frame in np.flatnonzero(distances < segment.radius + _FAR * size):
                radius = surface.radius(part, float(shares[frame]), directions[frame])
                gap[frame] = distances[frame] - radius
            yield (name, part), gap


def _from_segment(
    start: np.ndarray, end: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return shares along a segment, directions and distances of the points (frames, 3)."""
    along = end - start
    shares = np.clip((points - start) @ along / (along @ along), 0, 1)
    away = points - (start + shares[:, None] * along)
    distances = np.linalg.norm(away, axis=-1)
    return shares, away / np.maximum(distances, 1e-9)[:, None], distances


def _contacts(
    gaps: Mapping[tuple[str, str], np.ndarray], source: RoleMotion, fps: float
) -> Iterator[Contact]:
    """Yield the contacts of a hand with the body, each with its nearest point and part."""
    if not gaps:
        return
    size = source.rest.leg_length() / _PERSON_LEG
    least = np.min(list(gaps.values()), axis=0)
    for first, last in _runs(least, size, fps):
        span = slice(first, last + 1)
        point, part = _nearest(gaps, span, size, "palm")
        yield Contact(point, part, "", first, last)


def _nearest(
    gaps: Mapping[tuple[str, str], np.ndarray], span: slice, size: float, *palms: str
) -> tuple[str, str]:
    """Return the pair that touches in a run: of palms if these do, else the nearest one."""
    means = {pair: float(gap[span].mean()) for pair, gap in gaps.items()}
    touching = {
        pair: mean
        for pair, mean in means.items()
        if pair[: len(palms)] == palms and mean < _NEAR * size
    }
    pairs = touching or means
    return min(pairs, key=pairs.__getitem__)


def _runs(gap: np.ndarray, size: float, fps: float) -> list[tuple[int, int]]:
    confidence = 0.5 * (1 + np.tanh(0.5 * (_NEAR * size - gap) / (_SOFTNESS * size)))
    return contacts.runs(confidence, fps, shortest=_SHORTEST)


def _place(
    source: RoleMotion,
    target: RoleMotion,
    surfaces: tuple[Surface, Surface],
    corrections: Mapping[str, np.ndarray],
    contact: Contact,
    points: np.ndarray,
) -> np.ndarray:
    """Return where a point of the target's hand touches the body, (run, 3)."""
    span = slice(contact.first, contact.last + 1)
    theirs, own = (surface.segments[contact.part] for surface in surfaces)
    scale = target.rest.leg_length() / source.rest.leg_length()
    shares, directions, distances = _from_segment(
        theirs.start, theirs.end, _at_rest(source, theirs.role, points)[span]
    )
    directions_own = directions @ corrections[own.role]  # by the inverse of the correction
    radii = np.array(
        [
            [
                surfaces[0].radius(contact.part, share, direction),
                surfaces[1].radius(contact.part, share, direction_own),
            ]
            for share, direction, direction_own in zip(
                shares, directions, directions_own, strict=True
            )
        ]
    )
    distance = radii[:, 1] + scale * (distances - radii[:, 0])
    at_rest = own.start + shares[:, None] * (own.end - own.start)
    at_rest = at_rest + directions_own * distance[:, None]
    turn = target.rotations[own.role][span]
    return target.positions[own.role][span] + rotated(turn, at_rest - target.rest.heads[own.role])


def _join(
    source: RoleMotion,
    target: RoleMotion,
    points: Mapping[str, tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]],
    moves: Mapping[str, _Moves],
    fps: float,
) -> None:
    """Add the corrections of hands that touch each other."""
    size = source.rest.leg_length() / _PERSON_LEG
    left, right = (points[side][0] for side in roles.SIDES)
    gaps = {
        (one, two): np.linalg.norm(left[one] - right[two], axis=-1) - _THICKNESS * size
        for one in left
        for two in right
    }
    lengths = [
        np.mean([_hand_length(rest, side) for side in roles.SIDES])
        for rest in (source.rest, target.rest)
    ]
    scale = lengths[1] / max(lengths[0], 1e-9)
    reach = {
        side: sum(limbs.lengths(target.rest, limbs.ARM, side)) * 0.999 for side in roles.SIDES
    }
    for first, last in _runs(np.min(list(gaps.values()), axis=0), size, fps):
        span = slice(first, last + 1)
        one, two = _nearest(gaps, span, size, "palm", "palm")
        wanted = scale * (left[one] - right[two])[span]
        places = {"L": points["L"][1][one][span], "R": points["R"][1][two][span]}
        wrists = {side: target.positions[f"hand.{side}"][span] for side in roles.SIDES}
        shifts = {side: np.zeros_like(wanted) for side in roles.SIDES}
        for _ in range(_ROUNDS):
            lack = wanted - (places["L"] + shifts["L"] - places["R"] - shifts["R"])
            for side, half in (("L", lack / 2), ("R", -lack / 2)):
                start = target.positions[f"upper_arm.{side}"][span]
                way = wrists[side] + shifts[side] + half - start
                length = np.linalg.norm(way, axis=-1, keepdims=True)
                way = way * np.minimum(1, reach[side] / np.maximum(length, 1e-9))
                shifts[side] = start + way - wrists[side]
        for side, point in (("L", one), ("R", two)):
            contact = Contact(point, "hand", two if side == "L" else one, first, last)
            moves[side].add(contact, shifts[side])


def _spans(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and the one after the last index of each run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _reaching(target: RoleMotion, wrists: Mapping[str, np.ndarray]) -> RoleMotion:
    """Return a motion whose arms reach with their wrists; the hands keep their rotations."""
    rotations = dict(target.rotations)
    for side, wrist in wrists.items():
        rotations |= limbs.reach(target.rest, rotations, target.positions, limbs.ARM, side, wrist)
    positions = transfer.forward(target.rest, rotations, target.positions["hips"])
    return dataclasses.replace(target, rotations=rotations, positions=positions)
