"""Sights on disk, so that a stage can be measured without the stages before it."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from hund_backend.atomic_write import atomic_write
from hund_backend.perception.evidence import Evidence
from hund_backend.pipeline import Sight
from hund_backend.video import open_clip


def save_sight(sight: Sight, path: Path) -> None:
    """Write what the eyes saw of a clip."""
    arrays = {
        f"{person}/{field.name}": getattr(evidence, field.name)
        for person, evidence in enumerate(sight.people)
        for field in fields(Evidence)
        if getattr(evidence, field.name) is not None
    }
    frames = {"numbers": sight.numbers, "times": sight.times, "intrinsics": sight.intrinsics}
    with atomic_write(path) as [part]:
        np.savez(part, **frames, **arrays)


def load_sight(path: Path, clip: Path) -> Sight:
    """What `save_sight` wrote of a clip."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    with open_clip(clip) as opened:
        info = opened.info
    people = [
        Evidence(
            **{
                field.name: int(value) if field.name == "track_id" else value
                for field in fields(Evidence)
                if (value := arrays.get(f"{person}/{field.name}")) is not None
            }
        )
        for person in range(sum(name.endswith("/track_id") for name in arrays))
    ]
    return Sight(
        path=clip,
        info=info,
        truncated=None,
        numbers=tuple(arrays["numbers"].tolist()),
        times=tuple(arrays["times"].tolist()),
        intrinsics=arrays["intrinsics"],
        people=tuple(people),
    )
