"""Job: a batch of tasks that the backend does one after the other."""

import atexit
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..hund_backend.errors import BadInputError, ExitCode
from ..hund_backend.options import STAGE_LABELS, ProgressStage
from .backend import GRACE_SECONDS, Backend, JobError, Settings
from .eta import Command, ProgressEstimate
from .installation import Check

if TYPE_CHECKING:
    from ..hund_backend.reconstruction import Reconstruction

_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Task:
    """One clip to reconstruct, to solve again, or whose people are listed."""

    clip: Path
    output: Path  # folder for the files
    command: Command = "reconstruct"
    options: Mapping[str, Any] = field(default_factory=dict)  # of the backend's request


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of a task: its file, or an error."""

    task: Task
    path: Path | None = None
    skipped: bool = False  # the file existed already
    error: JobError | None = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """Progress of a job."""

    clip: str
    position: int  # of the clip in the batch, from 1
    clips: int
    stage: str  # a `ProgressStage`
    person: str  # "1/2" while the first of two people is processed
    done: int
    total: int | None
    fraction: float  # of the clip's work, 0…1
    seconds_left: float | None  # of the clip
    stopping: bool
    finishing: bool  # no more frames are read; those processed are finished
    command: Command = "reconstruct"

    @property
    def stage_label(self) -> str:
        """Name of the stage for the user."""
        return STAGE_LABELS.get(self.stage, self.stage.capitalize())

    @property
    def is_detecting(self) -> bool:
        """Whether frames are being read, which may end early."""
        is_reading = self.stage == ProgressStage.DETECT and self.done > 0
        return is_reading and self.command == "reconstruct"


class Job:
    """Batch of tasks, done one after the other by one backend.

    No method waits: call `poll` repeatedly to get the outcomes. If the backend exits unexpectedly,
    only the current task fails; the next one gets a new backend. If it does not even start, a check
    of the installation explains why.
    """

    def __init__(self, tasks: Sequence[Task], settings: Settings) -> None:
        """Start the first task.

        Raises:
            JobError: the log cannot be written.
        """
        self.settings = settings
        self._queue = list(tasks)
        self._clips, self._position = len(tasks), 0  # of the current task, from 1
        self._task: Task | None = None
        self._backend: Backend | None = None
        self._check: Check | None = None  # explains why the backend does not work
        self._deadline: float | None = None  # of a cancelled backend; it is killed then
        self._finishing = False
        self._reason = ""  # why the backend has ended before its first reply
        self._progress = ProgressEstimate()
        self._task_start = time.monotonic()
        self._outcomes: list[Outcome] = []
        try:
            settings.log.parent.mkdir(parents=True, exist_ok=True)
            settings.log.write_text("", encoding="utf-8")
        except OSError as error:
            reason = error.strerror or str(error)
            raise JobError(f"{settings.log} cannot be written ({reason}).") from error
        atexit.register(self.close)
        self._start_next_task()

    @property
    def running(self) -> bool:
        """Whether a task is running or an outcome was not returned yet."""
        return self._task is not None or bool(self._outcomes)

    @property
    def status(self) -> Status:
        """Progress of the current task."""
        progress = self._progress
        return Status(
            command=self._task.command if self._task else "reconstruct",
            clip=self._task.clip.name if self._task else "",
            position=self._position,
            clips=self._clips,
            stage=progress.stage,
            person=progress.person,
            done=progress.done,
            total=progress.total,
            fraction=progress.fraction,
            seconds_left=progress.seconds_left,
            stopping=self._deadline is not None,
            finishing=self._finishing,
        )

    def poll(self) -> list[Outcome]:
        """Return the outcomes since the last call."""
        if self._check:
            self._poll_check()
        elif backend := self._backend:
            for reply in backend.replies():
                self._handle_reply(reply)
            if backend.has_ended and backend is self._backend:
                self._handle_exit()
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._end_cancelled()
        elif self._is_starting and now - self._task_start > self.settings.start_timeout:
            self._kill_backend()
            self._end_task(
                error=JobError("The reconstruction did not start in time: Open Log tells more.")
            )
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def cancel(self) -> None:
        """Request the backend to stop; `poll` kills it if it does not."""
        if self._check:
            self._check.close()
            self._check = None
            self._queue.clear()
            self._end_cancelled()
        elif self._backend and self._deadline is None:
            self._queue.clear()
            self._deadline = time.monotonic() + GRACE_SECONDS
            self._backend.send({"command": "cancel"})

    def finish(self) -> None:
        """Stop reading frames and finish with those processed; later tasks are dropped."""
        if self._backend and self._deadline is None:
            self._queue.clear()
            self._finishing = True
            self._backend.send({"command": "finish"})

    def close(self) -> None:
        """Kill the backend and drop all tasks."""
        atexit.unregister(self.close)
        self._queue.clear()
        self._task = None
        if self._check:
            self._check.close()
        self._kill_backend()

    @property
    def _is_starting(self) -> bool:
        return self._backend is not None and not self._backend.has_replied

    def _start_next_task(self) -> None:
        """Send the next task to the backend; start a new backend if none is running."""
        self._deadline, self._finishing = None, False
        while self._queue:
            self._task = self._queue.pop(0)
            self._position += 1
            adapt_seconds = float(self._task.options.get("adapt") or 0)
            self._progress = ProgressEstimate(adapt_seconds, self._task.command)
            self._task_start = time.monotonic()
            try:
                self._backend = self._backend or Backend(self.settings)
            except JobError as error:
                self._outcomes.append(Outcome(task=self._task, error=error))
            else:
                return self._send_request(self._task)
        return self.close()

    def _send_request(self, task: Task) -> None:
        assert self._backend
        # Absolute, as the backend has another working folder.
        paths = {"clip": str(task.clip.absolute()), "output": str(task.output.absolute())}
        request = {"id": self._position, "command": task.command, **paths}
        self._backend.send(request | dict(task.options))

    def _handle_reply(self, reply: dict[str, Any]) -> None:
        match reply:
            case {"event": "progress", "stage": str(stage), "done": int(done)}:
                self._progress.update(stage, done, reply.get("total"))
            case {"event": "done", "output": str(path)}:
                self._end_task(path=Path(path), skipped=bool(reply.get("skipped")))
            case {"event": "error", "missing": True}:
                self._explain()
            case {"event": "error", "message": str(message)}:
                code = reply.get("exit_code")
                self._end_task(error=JobError(message, code if isinstance(code, int) else 1))

    def _end_task(self, **outcome: Any) -> None:  # noqa: ANN401 - fields of an Outcome
        if self._task:
            self._outcomes.append(Outcome(task=self._task, **outcome))
            self._start_next_task()

    def _handle_exit(self) -> None:
        assert self._backend
        if self._deadline is not None:
            return self._end_cancelled()
        reason = self._backend.exit_reason()
        if not self._backend.has_replied:
            return self._explain(reason)
        self._kill_backend()
        return self._end_task(error=JobError(reason))

    def _explain(self, reason: str = "") -> None:
        """Check the installation before the task ends; without a finding, give the reason."""
        self._kill_backend()
        self._reason = reason or "The reconstruction did not start: Open Log tells more."
        self._check = Check(self.settings)

    def _poll_check(self) -> None:
        assert self._check
        if report := self._check.poll():
            self._check = None
            advice = "Open HUND's preferences and press Check."
            error = JobError(self._reason if report.ready else f"{report.text} {advice}")
            others, self._queue = self._queue, []  # they would fail, too
            self._outcomes += [Outcome(task=task, error=error) for task in [self._task, *others]]
            self.close()

    def _end_cancelled(self) -> None:
        self._kill_backend()
        self._end_task(error=JobError("The reconstruction was cancelled.", ExitCode.CANCELLED))

    def _kill_backend(self) -> None:
        if self._backend:
            self._backend.kill()
            self._backend = None


def run(
    tasks: Sequence[Task],
    settings: Settings,
    on_outcome: Callable[[Outcome], None],
    on_status: Callable[[Status], None] = lambda status: None,
) -> None:
    """Do tasks and wait until they are done.

    Raises:
        JobError: the log cannot be written.
    """
    job = Job(tasks, settings)
    try:
        while job.running:
            for outcome in job.poll():
                on_outcome(outcome)
            on_status(job.status)
            time.sleep(_POLL_SECONDS)
    finally:
        job.close()


def load(path: Path) -> "Reconstruction":
    """Load a Reconstruction.

    Raises:
        JobError: the file is missing, damaged or no Reconstruction.
    """
    from ..hund_backend.reconstruction import Reconstruction  # here: Blender starts faster

    try:
        return Reconstruction.load(path)
    except BadInputError as error:
        raise JobError(str(error), ExitCode.BAD_INPUT) from error
