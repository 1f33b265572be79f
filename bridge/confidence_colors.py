"""Bone colors by confidence: red where a bone is doubtful, green where it is sure.

It takes over the colors of pose bones: each bone keeps its own in a custom property meanwhile.
"""

import json
from collections.abc import Iterable

import bpy
import numpy as np

from . import confidence

_OWN = "hund_own_color"  # custom property of a pose bone: palette and colors to restore
_AT = (0.0, 0.35, 0.75)  # confidences of the colors
_COLORS = np.array([(0.95, 0.08, 0.05), (1.0, 0.72, 0.05), (0.1, 0.8, 0.4)])
_NAMES = ("normal", "select", "active")
_LIGHTER = {"normal": 0.0, "select": 0.45, "active": 0.75}  # towards white


def show(objects: Iterable[bpy.types.Object]) -> int:
    """Color the bones of all people among objects, and return how many people there are."""
    people = [obj for obj in objects if confidence.has_any(obj)]
    for armature in people:
        for name, value in confidence.of_bones(armature).items():
            bone = armature.pose.bones[name]
            if _OWN not in bone:
                bone[_OWN] = json.dumps(_state(bone))
            _paint(bone, value)
    return len(people)


def update(objects: Iterable[bpy.types.Object], frame: float) -> None:
    """Color bones for a frame that is about to be evaluated, so that they are evaluated once."""
    for armature in objects:
        if armature.type != "ARMATURE":
            continue
        for name, curve in confidence.curves(armature).items():
            bone = armature.pose.bones.get(name)
            if bone is not None and _OWN in bone:
                _paint(bone, curve.evaluate(frame))


def hide(objects: Iterable[bpy.types.Object]) -> None:
    """Give bones their own colors back."""
    for armature in objects:
        for bone in armature.pose.bones if armature.type == "ARMATURE" else ():
            if _OWN in bone:
                palette, *colors = json.loads(bone[_OWN])
                for name, color in zip(_NAMES, colors, strict=True):
                    setattr(bone.color.custom, name, color)
                bone.color.palette = palette
                del bone[_OWN]


def own_color(bone: bpy.types.PoseBone) -> tuple[str, tuple[float, ...]]:
    """Return palette and normal color of a bone as they are without the colors by confidence."""
    palette, normal, *_ = json.loads(bone[_OWN]) if _OWN in bone else _state(bone)
    return palette, tuple(normal)


def _state(bone: bpy.types.PoseBone) -> list:
    custom = bone.color.custom
    return [bone.color.palette, *(list(getattr(custom, name)) for name in _NAMES)]


def _paint(bone: bpy.types.PoseBone, value: float) -> None:
    color = np.array([np.interp(value, _AT, channel) for channel in _COLORS.T])
    bone.color.palette = "CUSTOM"
    for name, share in _LIGHTER.items():
        setattr(bone.color.custom, name, color + share * (1 - color))
