"""One running job: a batch of clips, done by the backend one after the other."""

import atexit
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..hund_backend.options import STAGE_LABELS, ProgressStage
from .backend import GRACE, Backend, FailedError, Settings
from .forecast import Forecast

if TYPE_CHECKING:
    from ..hund_backend.reconstruction import Reconstruction

BAD_INPUT, CANCELLED = 2, 130  # exit codes of the command line


@dataclass(frozen=True, kw_only=True)
class Task:
    """One clip to reconstruct."""

    clip: Path
    output: Path  # folder for the Reconstruction
    options: Mapping[str, Any] = field(default_factory=dict)  # of the backend's request


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a task: the file, or why there is none."""

    task: Task
    path: Path | None = None
    skipped: bool = False  # it was there already
    error: FailedError | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a job is, for somebody who watches."""

    clip: str
    position: int  # of the clip in the batch, from 1
    clips: int
    stage: str  # a `ProgressStage`
    person: str  # "1/2" while the first of two people is worked on
    done: int
    total: int | None
    share: float  # of the clip's work, 0…1
    seconds_left: float | None  # of the clip
    stopping: bool
    finishing: bool  # it looks no further and makes do with what was seen

    @property
    def stage_label(self) -> str:
        """Name of the stage for the user."""
        return STAGE_LABELS.get(self.stage, self.stage.capitalize())

    @property
    def is_detecting(self) -> bool:
        """Whether frames are being read."""
        return self.stage == ProgressStage.DETECT and self.done > 0


class Job:
    """A batch of tasks, done one after the other by one backend.

    Nothing here waits: `poll` is called again and again and hands out what became of the tasks.
    A backend that dies takes only its own task with it; the next one gets a new backend.
    """

    def __init__(self, tasks: Sequence[Task], settings: Settings) -> None:
        """Start on the first task.

        Raises:
            FailedError: the log cannot be written.
        """
        self.settings = settings
        self._waiting = list(tasks)
        self._clips, self._position = len(tasks), 0  # the task's, from 1
        self._task: Task | None = None
        self._backend: Backend | None = None
        self._deadline: float | None = None  # when a backend that was asked to stop is killed
        self._finishing = False
        self._forecast = Forecast()
        self._since = time.monotonic()  # when the task was begun
        self._outcomes: list[Outcome] = []
        try:
            settings.log.parent.mkdir(parents=True, exist_ok=True)
            settings.log.write_text("", encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            raise FailedError(f"{settings.log} cannot be written ({reason}).") from error
        atexit.register(self.close)
        self._next()

    @property
    def running(self) -> bool:
        """Whether there is something left to wait for."""
        return self._task is not None or bool(self._outcomes)

    @property
    def status(self) -> Status:
        """How far it is."""
        forecast = self._forecast
        return Status(
            clip=self._task.clip.name if self._task else "",
            position=self._position,
            clips=self._clips,
            stage=forecast.stage,
            person=forecast.person,
            done=forecast.done,
            total=forecast.total,
            share=forecast.share,
            seconds_left=forecast.seconds_left,
            stopping=self._deadline is not None,
            finishing=self._finishing,
        )

    def poll(self) -> list[Outcome]:
        """What became of tasks since the last call."""
        if backend := self._backend:
            for reply in backend.replies():
                self._hear(reply)
            if backend.is_over and backend is self._backend:
                self._died()
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._stopped()
        elif self._is_silent and now - self._since > self.settings.first_word:
            self._kill()
            self._end(error=FailedError("The backend did not start in time: see its log."))
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def cancel(self) -> None:
        """Ask the backend to stop; `poll` kills it where it does not obey."""
        if self._backend and self._deadline is None:
            self._waiting.clear()
            self._deadline = time.monotonic() + GRACE
            self._backend.say({"command": "cancel"})

    def finish(self) -> None:
        """Ask the backend to make do with the frames that it has seen; later tasks are dropped."""
        if self._backend and self._deadline is None:
            self._waiting.clear()
            self._finishing = True
            self._backend.say({"command": "finish"})

    def close(self) -> None:
        """End the backend at once, whatever it does."""
        atexit.unregister(self.close)
        self._waiting.clear()
        self._task = None
        self._kill()

    @property
    def _is_silent(self) -> bool:
        return self._backend is not None and not self._backend.has_spoken

    def _next(self) -> None:
        """Give the backend its next task; start one where none is alive."""
        self._deadline, self._finishing = None, False
        while self._waiting:
            self._task = self._waiting.pop(0)
            self._position += 1
            learning = float(self._task.options.get("adapt") or 0)
            self._forecast, self._since = Forecast(learning), time.monotonic()
            try:
                self._backend = self._backend or Backend(self.settings)
            except FailedError as error:
                self._outcomes.append(Outcome(task=self._task, error=error))
            else:
                return self._ask(self._task)
        return self.close()

    def _ask(self, task: Task) -> None:
        assert self._backend
        # Absolute, as the backend works in another folder than we do.
        places = {"clip": str(task.clip.absolute()), "output": str(task.output.absolute())}
        request = {"id": self._position, "command": "reconstruct", **places}
        self._backend.say(request | dict(task.options))

    def _hear(self, reply: dict[str, Any]) -> None:
        match reply:
            case {"event": "progress", "stage": str(stage), "done": int(done)}:
                self._forecast.hear(stage, done, reply.get("total"))
            case {"event": "done", "output": str(path)}:
                self._end(path=Path(path), skipped=bool(reply.get("skipped")))
            case {"event": "error", "message": str(sentence)}:
                code = reply.get("exit_code")
                self._end(error=FailedError(sentence, code if isinstance(code, int) else 1))

    def _end(self, **outcome: Any) -> None:  # noqa: ANN401 - fields of an Outcome
        if self._task:
            self._outcomes.append(Outcome(task=self._task, **outcome))
            self._next()

    def _died(self) -> None:
        assert self._backend
        if self._deadline is not None:
            return self._stopped()
        sentence = self._backend.obituary()
        self._kill()
        return self._end(error=FailedError(sentence))

    def _stopped(self) -> None:
        self._kill()
        self._end(error=FailedError("The reconstruction was cancelled.", CANCELLED))

    def _kill(self) -> None:
        if self._backend:
            self._backend.kill()
            self._backend = None


def run(
    tasks: Sequence[Task],
    settings: Settings,
    finished: Callable[[Outcome], None],
    watch: Callable[[Status], None] = lambda status: None,
) -> None:
    """Do tasks and wait for them.

    Raises:
        FailedError: the log cannot be written.
    """
    job = Job(tasks, settings)
    try:
        while job.running:
            for outcome in job.poll():
                finished(outcome)
            watch(job.status)
            time.sleep(0.05)
    finally:
        job.close()


def load(path: Path) -> "Reconstruction":
    """Read a Reconstruction.

    Raises:
        FailedError: it is missing, damaged or something else.
    """
    from ..hund_backend.errors import BadInputError
    from ..hund_backend.reconstruction import Reconstruction

    try:
        return Reconstruction.load(path)
    except BadInputError as error:
        raise FailedError(str(error), BAD_INPUT) from error
