"""Progress estimate of a running clip: the fraction done and the time left."""

import time
from typing import Literal

from ..hund_backend.options import ProgressStage

Command = Literal["reconstruct", "solve", "people"]  # of the backend

# Start and end of each stage on the progress bar, as measured on two processor cores: the backend
# does not know beforehand how many steps posing takes.
_STAGE_SPANS = {
    ProgressStage.START: (0.0, 0.02),
    ProgressStage.LOAD: (0.02, 0.05),
    ProgressStage.DETECT: (0.05, 0.5),
    ProgressStage.FACE: (0.5, 0.55),
    ProgressStage.POSE: (0.55, 1.0),
}
_STAGE_SPANS_WITH_ADAPTATION = {
    ProgressStage.DETECT: (0.05, 0.36),
    ProgressStage.FACE: (0.36, 0.4),
    ProgressStage.ADAPT: (0.4, 0.7),
    ProgressStage.POSE: (0.7, 1.0),
}
_COMMAND_SPANS: dict[Command, dict[ProgressStage, tuple[float, float]]] = {
    "reconstruct": _STAGE_SPANS,
    "solve": {
        ProgressStage.START: (0.0, 0.05),
        ProgressStage.LOAD: (0.05, 0.2),
        ProgressStage.POSE: (0.2, 1.0),
    },
    "people": _STAGE_SPANS | {ProgressStage.DETECT: (0.05, 1.0)},
}
_POSE_PER_DETECT = 0.6  # seconds of posing per second of detection
_MAX_UNKNOWN = 0.97  # largest fraction of a stage whose number of steps is unknown


class ProgressEstimate:
    """Progress of one clip, estimated from the backend's progress events."""

    def __init__(self, adapt_seconds: float = 0.0, command: Command = "reconstruct") -> None:
        """Begin a clip.

        Args:
            adapt_seconds: limit of the adaptation to it; 0: none.
            command: that is done with it.
        """
        self.stage, self.person = ProgressStage.START, ""  # the first of two people: "1/2"
        self.done, self.total = 0, None
        self._stage_start = time.monotonic()
        self._first_done = 0  # of the stage's first event
        self._detect_seconds = 0.0  # duration of the detection
        self._adapt_seconds = adapt_seconds
        self._spans = _COMMAND_SPANS[command]
        if adapt_seconds:
            self._spans = self._spans | _STAGE_SPANS_WITH_ADAPTATION
        self._pose_per_detect = 0.0 if command == "people" else _POSE_PER_DETECT

    def update(self, stage: str, done: int, total: int | None) -> None:
        """Process a progress event; its stage may name the person, as in "pose 2/3"."""
        name, _, self.person = stage.partition(" ")
        if name != self.stage:
            if self.stage == ProgressStage.DETECT:
                self._detect_seconds = self._elapsed
            self.stage, self._first_done, self._stage_start = name, done, time.monotonic()
        self.done, self.total = done, total

    @property
    def fraction(self) -> float:
        """Fraction of the clip's work that is done, 0…1."""
        start, end = self._spans.get(self.stage, (0.0, 1.0))
        part = self.done / self.total if self.total else 0.0
        if self.stage == ProgressStage.POSE and self._detect_seconds:
            part = self._elapsed / (self._pose_per_detect * self._detect_seconds)
        if self.stage == ProgressStage.ADAPT and self._adapt_seconds:
            # The time is divided among the people, the steps are not.
            part = self._elapsed / self._adapt_seconds
        return start + (end - start) * min(part, 1.0 if self.total else _MAX_UNKNOWN)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the clip is done; None if unknown."""
        if self.stage == ProgressStage.DETECT and self.total and self.done > self._first_done:
            seconds_per_frame = self._elapsed / (self.done - self._first_done)
            left = seconds_per_frame * max(self.total - self.done, 0)
            return left + self._adapt_seconds + self._pose_per_detect * (self._elapsed + left)
        pose_seconds = self._pose_per_detect * self._detect_seconds
        if self.stage == ProgressStage.ADAPT and self._detect_seconds:
            return max(self._adapt_seconds - self._elapsed, 0.0) + pose_seconds
        if self.stage == ProgressStage.POSE and self._elapsed < pose_seconds:
            return pose_seconds - self._elapsed
        return None

    @property
    def _elapsed(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._stage_start
