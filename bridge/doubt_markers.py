"""Doubt markers: markers on the timeline where parts of people are doubtful.

The scene stores the names and frames that they were made with: one that was renamed or moved since
is the user's and stays.
"""

import json
from collections.abc import Sequence

import bpy

from . import ownership
from .confidence import Doubt

_MARKERS = "hund_doubt_markers"  # custom property of a scene: names and frames of its markers


def add(scene: bpy.types.Scene, doubts: Sequence[tuple[bpy.types.Object, Doubt]]) -> int:
    """Mark doubtful spans of people on the timeline, and return how many markers there are.

    Earlier ones are removed.

    Args:
        scene: gets the markers.
        doubts: spans with their people.
    """
    remove(scene)
    made = []
    for armature, doubt in doubts:
        marker = scene.timeline_markers.new(_name(armature, doubt), frame=doubt.first)
        marker.select = False
        made.append((marker.name, marker.frame))
    if made:
        scene[_MARKERS] = json.dumps(made)
    return len(made)


def remove(scene: bpy.types.Scene) -> None:
    """Remove the markers of doubtful spans that the user has not changed."""
    for marker in own(scene):
        scene.timeline_markers.remove(marker)
    scene.pop(_MARKERS, None)


def own(scene: bpy.types.Scene) -> list[bpy.types.TimelineMarker]:
    """Return the markers of doubtful spans that are as they were made."""
    recorded = [tuple(entry) for entry in json.loads(scene.get(_MARKERS, "[]"))]
    found = []
    for marker in scene.timeline_markers:
        key = marker.name, marker.frame
        if marker.camera is None and key in recorded:
            recorded.remove(key)
            found.append(marker)
    return found


def _name(armature: bpy.types.Object, doubt: Doubt) -> str:
    person = armature.name
    if ownership.is_owned(armature):
        person = ownership.part_of(armature)
    parts = ", ".join(doubt.parts[:2]) + (" …" if len(doubt.parts) > 2 else "")
    return f"? {person}: {parts}"
