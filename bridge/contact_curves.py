"""Contact curves: when heels and toes touch the ground, as custom properties of an armature.

There is one property for each part of the feet, off or on, with constant keys in the armature's
action. They are data for *Lock Feet*; nothing moves by them.
"""

import bpy
import numpy as np

from . import action
from .retarget.contacts import Contacts, runs

GROUP = "Contacts"  # of the F-curves
PARTS = ("heel_L", "toe_L", "heel_R", "toe_R")  # in the order of a reconstruction's contacts
_LABELS = ("Left heel", "Left toes", "Right heel", "Right toes")
_SIDES = {"L": (0, 1), "R": (2, 3)}  # heel and toes of each side among the parts


def property_name(part: str) -> str:
    """Return the name of a part's custom property."""
    return f"hund_contact_{part}"


def data_path(part: str) -> str:
    """Return the path of a part's custom property, from the armature."""
    return f'["{property_name(part)}"]'


def from_confidence(confidence: np.ndarray, fps: float) -> np.ndarray:
    """Return the frames in contact, (frames, parts), from confidences, (frames, parts), 0…1."""
    flags = np.zeros(confidence.shape, bool)
    for part, column in enumerate(confidence.T):
        for first, last in runs(column, fps):
            flags[first : last + 1, part] = True
    return flags


def write(
    channels: action.Channels, armature: bpy.types.Object, frames: np.ndarray, flags: np.ndarray
) -> None:
    """Key the contacts of an armature where they begin and end.

    Args:
        channels: of the armature.
        armature: gets the custom properties that it lacks.
        frames: of the scene, (frames,).
        flags: in contact, (frames, parts).
    """
    for part, label, column in zip(PARTS, _LABELS, flags.T, strict=True):
        name = property_name(part)
        if name not in armature:
            armature[name] = bool(column[0])
            description = f"{label} in contact with the ground; Lock Feet uses it"
            armature.id_properties_ui(name).update(description=description)
        changes = np.flatnonzero(np.diff(column.astype(int), prepend=-1))
        action.write_channel(
            channels,
            data_path(part),
            frames[changes],
            column[changes, None].astype(float),
            group=GROUP,
            interpolation=action.CONSTANT,
        )


def are_on(armature: bpy.types.Object) -> bool:
    """Return whether an armature has contacts."""
    return all(property_name(part) in armature for part in PARTS)


def read(armature: bpy.types.Object, frames: np.ndarray) -> Contacts | None:
    """Return the contacts of an armature, 0 or 1, at frames of the scene; None if it has none.

    Args:
        armature: with an action.
        frames: (frames,).
    """
    if not are_on(armature):
        return None
    animation = armature.animation_data
    channels = action.channels_of(animation) if animation else None
    columns = []
    for part in PARTS:
        curve = channels.fcurves.find(data_path(part)) if channels else None
        if curve and not curve.mute:
            values = [curve.evaluate(frame) for frame in frames.tolist()]
        else:
            values = np.full(len(frames), float(armature[property_name(part)]))
        columns.append(np.array(values) > 0.5)
    table = np.stack(columns, axis=-1).astype(float)
    return {side: table[:, list(parts)] for side, parts in _SIDES.items()}


def as_table(contacts: Contacts) -> np.ndarray:
    """Return contacts by side as one table, (frames, parts)."""
    return np.concatenate([contacts[side] for side in _SIDES], axis=-1)
