"""Tracked clip: what perception has found in a clip, from which people are estimated."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from .options import Options
from .perception.evidence import Evidence
from .video import ClipInfo

FocalSource = Literal["option", "metadata", "guess"]


@dataclass(frozen=True, kw_only=True)
class TrackedClip:
    """Result of perception: a clip and the evidence of the people in it."""

    path: Path
    info: ClipInfo
    truncated: str | None  # one sentence if the clip, or reading it, was cut off
    frame_numbers: tuple[int, ...]  # in the source
    times: tuple[float, ...]  # seconds
    intrinsics: Float[np.ndarray, "3 3"]  # of the full frame, px
    people: tuple[Evidence, ...]  # the most prominent first
    shots: tuple[int, ...] = (0,)  # positions in the frames at which shots begin
    left_out: int = 0  # people who were followed and are less prominent
    focal_source: FocalSource = "option"  # where the focal length of the intrinsics is from
    source: dict[str, str] | None = None  # provenance of the clip; None: not known yet
    notes: tuple[str, ...] = ()  # sentences on how the frames differ from what the file stores

    @property
    def fps(self) -> float:
        """Frames per second by the frames' time stamps."""
        steps = np.diff(self.times)
        return float(1 / np.median(steps)) if len(steps) else self.info.fps

    def identity(self, options: Options) -> str:
        """Return what identifies the evidence and the way to solve it but for the smoothing."""
        settings = dataclasses.asdict(options) | {"smoothing": None, "only": None}
        del settings["hands"]  # the evidence has them or not
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(np.array(self.times).tobytes())
        for evidence in self.people:
            arrays = [evidence.frames, evidence.keypoints, evidence.world_landmarks]
            if evidence.hands is not None:
                arrays += [evidence.hands.keypoints, evidence.hands.world_landmarks]
            for array in arrays:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
