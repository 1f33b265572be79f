"""A forecast: how far a clip is and how long it will still take, from what the backend tells."""

import time

from ..hund_backend.options import ProgressStage

# Where each stage begins and ends on a bar, and how long posing takes beside looking, as measured
# on two processor cores: the backend does not know beforehand how many steps a pose will need.
_SPANS = {
    ProgressStage.START: (0.0, 0.02),
    ProgressStage.LOAD: (0.02, 0.05),
    ProgressStage.DETECT: (0.05, 0.55),
    ProgressStage.POSE: (0.55, 1.0),
}
_LEARNING = {  # where one learns
    ProgressStage.DETECT: (0.05, 0.4),
    ProgressStage.ADAPT: (0.4, 0.7),
    ProgressStage.POSE: (0.7, 1.0),
}
_DESCENT = 0.6  # seconds of posing for a second of looking
_NEARLY = 0.97  # a stage that takes longer than foreseen waits here


class Forecast:
    """How far one clip is."""

    def __init__(self, learning: float = 0.0) -> None:
        """Begin with nothing known but for how many seconds it may learn from the clip."""
        self.stage, self.person = ProgressStage.START, ""  # of two people the first: "1/2"
        self.done, self.total = 0, None
        self._since = time.monotonic()  # when the stage began,
        self._first = 0  # and how far it was when we first heard of it
        self._looking = 0.0  # seconds that looking took
        self._learning = learning
        self._spans = _SPANS | (_LEARNING if learning else {})

    def hear(self, stage: str, done: int, total: int | None) -> None:
        """Note what the backend says; it tells of the second of three people as "pose 2/3"."""
        name, _, self.person = stage.partition(" ")
        if name != self.stage:
            if self.stage == ProgressStage.DETECT:
                self._looking = self._spent
            self.stage, self._first, self._since = name, done, time.monotonic()
        self.done, self.total = done, total

    @property
    def share(self) -> float:
        """Part of the clip's work that is done, 0…1."""
        start, end = self._spans.get(self.stage, (0.0, 1.0))
        part = self.done / self.total if self.total else 0.0
        if self.stage == ProgressStage.POSE and self._looking:
            part = self._spent / (_DESCENT * self._looking)
        if self.stage == ProgressStage.ADAPT and self._learning:
            # The time is divided among the people, the steps are not.
            part = self._spent / self._learning
        return start + (end - start) * min(part, 1.0 if self.total else _NEARLY)

    @property
    def seconds_left(self) -> float | None:
        """Of the clip; None while nobody can know."""
        if self.stage == ProgressStage.DETECT and self.total and self.done > self._first:
            pace = self._spent / (self.done - self._first)
            left = pace * max(self.total - self.done, 0)
            return left + self._learning + _DESCENT * (self._spent + left)
        if self.stage == ProgressStage.ADAPT and self._looking:
            return max(self._learning - self._spent, 0.0) + _DESCENT * self._looking
        if self.stage == ProgressStage.POSE and self._spent < _DESCENT * self._looking:
            return _DESCENT * self._looking - self._spent
        return None

    @property
    def _spent(self) -> float:
        """Seconds on this stage so far."""
        return time.monotonic() - self._since
