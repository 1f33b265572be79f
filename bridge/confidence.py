"""Confidence of the bones: an animated custom property, and the spans in which it is low."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import bpy
import numpy as np

from ..hund_backend.body.skeleton import (
    BODY_JOINTS,
    FACE_JOINTS,
    JOINT_INDEX,
    JOINT_NAMES,
    LEFT_HAND_JOINTS,
    RIGHT_HAND_JOINTS,
)
from . import action, bone_names

PROPERTY = "hund_confidence"  # custom property of a pose bone, 0…1
_TOLERANCE = 0.02  # of the curves: what they show needs no more keys
# Joints whose confidence says whether a part of the body was in view and met.
PARTS: Mapping[str, tuple[str, ...]] = {
    "Head": ("Head01",),
    "Trunk": ("Pelvis", "Spine03"),
    **{f"Arm.{side}": (f"Lowerarm{side}", f"Hand{side}") for side in "LR"},
    **{f"Leg.{side}": (f"Calf{side}", f"Ankle{side}") for side in "LR"},
}
LOW = 0.35  # below which a part is doubtful
_SHORTEST = 0.15  # seconds of a doubtful span
_FLICKER = 0.1  # seconds for which a part may be sure within a span
_GAP = 0.3  # seconds between two spans that are one


class Doubt(NamedTuple):
    """Frames of the scene in which parts of a person are doubtful."""

    first: int
    last: int
    parts: tuple[str, ...]  # of PARTS, the least certain first
    bone: str  # the least certain one


def write(
    channels: action.Channels,
    armature: bpy.types.Object,
    frames: np.ndarray,
    confidence: np.ndarray,
) -> None:
    """Key the confidence of the body's bones, and of fingers and face if they were looked for.

    Args:
        channels: of the armature.
        armature: whose bones get the property.
        frames: of the keys, (keys,).
        confidence: of all joints, (keys, joints), 0…1.
    """
    bones = bone_names.find_bones(armature)
    hands = [
        joint
        for side, fingers in zip("LR", (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS), strict=True)
        # Fingers that nobody has looked for are as sure as their wrist.
        if (confidence[:, fingers[0]] != confidence[:, JOINT_INDEX[f"Hand{side}"]]).any()
        for joint in fingers
    ]
    # A face that nobody has looked for is as sure as the head.
    head = confidence[:, JOINT_INDEX["Head01"]]
    face = [joint for joint in FACE_JOINTS if (confidence[:, joint] != head).any()]
    for joint in (*BODY_JOINTS, *hands, *face):
        name = bones[JOINT_NAMES[joint]].name
        bone, values = armature.pose.bones[name], confidence[:, joint].astype(float)
        bone[PROPERTY] = float(values[0])
        bone.id_properties_ui(PROPERTY).update(
            min=0.0, max=1.0, description="How sure the reconstruction is of this bone, 0 to 1"
        )
        kept = _needed_keys(frames, values, _TOLERANCE)
        path = f'pose.bones["{bpy.utils.escape_identifier(name)}"]["{PROPERTY}"]'
        action.write_channel(channels, path, frames[kept], values[kept, None], group=name)


def of_bones(armature: bpy.types.Object) -> dict[str, float]:
    """Return the confidence of bones in the current frame, by name."""
    return {bone.name: float(bone[PROPERTY]) for bone in armature.pose.bones if PROPERTY in bone}


def has_any(armature: bpy.types.Object | None) -> bool:
    """Return whether bones of an object have a confidence."""
    return bool(armature and armature.type == "ARMATURE") and any(
        PROPERTY in bone for bone in armature.pose.bones
    )


def doubtful_spans(armature: bpy.types.Object, fps: float, low: float = LOW) -> list[Doubt]:
    """Return the spans in which a part of a person is doubtful, in order.

    Args:
        armature: with curves of the confidence.
        fps: of the scene.
        low: confidence below which a part is doubtful.
    """
    by_bone = curves(armature)
    bones = bone_names.find_bones(armature)
    named = {
        part: [bones[joint].name for joint in joints if joint in bones]
        for part, joints in PARTS.items()
    }
    names = [name for members in named.values() for name in members if name in by_bone]
    if not names:
        return []
    limits = [by_bone[name].range() for name in names]
    first, last = min(a for a, _ in limits), max(b for _, b in limits)
    frames = np.arange(np.floor(first), np.ceil(last) + 1)
    values = {name: _samples(by_bone[name], frames) for name in names}
    parts = {
        part: np.mean([values[name] for name in members if name in values], axis=0)
        for part, members in named.items()
        if any(name in values for name in members)
    }
    is_shown = ~_is_hidden(armature, frames)
    is_low = np.zeros(len(frames), bool)
    for values_of_part in parts.values():
        flickers = _runs((values_of_part < low) & is_shown, round(_FLICKER * fps), 1)
        for a, b in flickers:
            is_low[a : b + 1] |= b - a + 1 >= max(2, round(_SHORTEST * fps))
    spans = _runs(is_low, round(_GAP * fps), 1)
    return [_doubt(frames, a, b, parts, named, values, low) for a, b in spans]


def _doubt(
    frames: np.ndarray,
    first: int,
    last: int,
    parts: Mapping[str, np.ndarray],
    named: Mapping[str, list[str]],
    values: Mapping[str, np.ndarray],
    low: float,
) -> Doubt:
    span = slice(first, last + 1)
    least = {part: float(column[span].min()) for part, column in parts.items()}
    doubtful = sorted((p for p, value in least.items() if value < low), key=least.__getitem__)
    members = [name for name in named[doubtful[0]] if name in values]
    bone = min(members, key=lambda name: values[name][span].mean())
    return Doubt(int(frames[first]), int(frames[last]), tuple(doubtful), bone)


def _is_hidden(armature: bpy.types.Object, frames: np.ndarray) -> np.ndarray:
    """Return the frames in which a person is not shown, (frames,)."""
    channels = action.channels_of(armature.animation_data)
    curve = channels.fcurves.find(action.HIDING[0])
    return _samples(curve, frames) > 0.5 if curve else np.zeros(len(frames), bool)


def _samples(curve: bpy.types.FCurve, frames: np.ndarray) -> np.ndarray:
    return np.array([curve.evaluate(frame) for frame in frames.tolist()])


def curves(armature: bpy.types.Object) -> dict[str, bpy.types.FCurve]:
    """Return the curves of the confidence by the names of their bones."""
    animation = armature.animation_data
    channels = action.channels_of(animation) if animation else None
    found = {}
    for curve in channels.fcurves if channels else ():
        if curve.data_path.endswith(f'["{PROPERTY}"]'):
            found[curve.data_path.split('"')[1]] = curve
    return found


def _runs(flags: np.ndarray, gap: int, shortest: int) -> list[tuple[int, int]]:
    """Return first and last index of runs of flags; short gaps are closed, short runs left out."""
    runs: list[tuple[int, int]] = []
    for index in np.flatnonzero(flags).tolist():
        if runs and index - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return [run for run in runs if run[1] - run[0] + 1 >= shortest]


def _needed_keys(frames: np.ndarray, values: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the indices of keys between which lines are never off by more than a tolerance."""
    kept = {0, len(frames) - 1}
    waiting = [(0, len(frames) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        line = np.interp(frames[first : last + 1], frames[[first, last]], values[[first, last]])
        errors = np.abs(values[first : last + 1] - line)
        worst = first + int(errors.argmax())
        if errors.max() > tolerance:
            kept.add(worst)
            waiting += [(first, worst), (worst, last)]
    return np.array(sorted(kept))


def nearest(doubts: Iterable[Doubt], frame: int, *, forward: bool) -> Doubt | None:
    """Return the first span after a frame, or the last one before it; None beyond the ends."""
    ordered = sorted(doubts)
    if forward:
        return next((doubt for doubt in ordered if doubt.first > frame), None)
    return next((doubt for doubt in reversed(ordered) if doubt.first < frame), None)
