"""Tracked clips on disk: results of perception, to measure later stages without it."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from hund_backend.atomic_write import atomic_write
from hund_backend.perception.evidence import Evidence
from hund_backend.pipeline import TrackedClip
from hund_backend.video import open_clip


def save_tracked_clip(tracked: TrackedClip, path: Path) -> None:
    """Write a tracked clip, without its footage."""
    arrays = {
        f"{person}/{field.name}": getattr(evidence, field.name)
        for person, evidence in enumerate(tracked.people)
        for field in fields(Evidence)
        if getattr(evidence, field.name) is not None
    }
    names = ("frame_numbers", "times", "intrinsics")
    frames = {name: getattr(tracked, name) for name in names}
    with atomic_write(path) as [part]:
        np.savez(part, **frames, **arrays)


def load_tracked_clip(path: Path, clip: Path) -> TrackedClip:
    """Read what `save_tracked_clip` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    with open_clip(clip) as opened:
        info = opened.info
    people = [
        Evidence(
            **{
                field.name: value.item() if field.name in ("track_id", "static", "confidence") else value
                for field in fields(Evidence)
                if (value := arrays.get(f"{person}/{field.name}")) is not None
            }
        )
        for person in range(sum(name.endswith("/track_id") for name in arrays))
    ]
    return TrackedClip(
        path=clip,
        info=info,
        truncated=None,
        frame_numbers=tuple(arrays["frame_numbers"].tolist()),
        times=tuple(arrays["times"].tolist()),
        intrinsics=arrays["intrinsics"],
        people=tuple(people),
    )
