"""One running job: the backend as a child process that speaks JSON lines over its pipes."""

import atexit
import contextlib
import functools
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .forecast import Forecast

if TYPE_CHECKING:
    from ..hund_backend.reconstruction import Reconstruction

ROOT = Path(__file__).parents[1]  # the extension; the backend and its own packages lie in it
BAD_INPUT, CANCELLED = 2, 130  # exit codes of the command line
GRACE = 0.5  # seconds between asking the backend to stop and killing it
FIRST_WORD = 180.0  # seconds within which a started backend must say something
_NOISE = "stdout: "  # begins a line of the log that the backend did not mean for it
PACKAGES = "packages"  # packages of the zip that Blender's own process must not see


class FailedError(Exception):
    """A clip could not be done: one sentence for the user, and the exit code it means."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the backend is started on this machine."""

    log: Path  # what the backend writes beside its answers; begun anew by each job
    interpreter: Path | None = None  # None: Blender's own Python
    threads: int = 0  # 0: the backend chooses
    root: Path = ROOT  # folder that holds the package hund_backend
    first_word: float = FIRST_WORD  # seconds


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
    stage: str  # "start", or what the backend calls it
    person: str  # "1/2" while the first of two people is worked on
    done: int
    total: int | None
    share: float  # of the clip's work, 0…1
    seconds_left: float | None  # of the clip
    stopping: bool
    finishing: bool  # it looks no further and makes do with what was seen


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
        self._child: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._heard = False  # the backend has said something
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
        with contextlib.suppress(queue.Empty):
            while self._task:
                self._hear(self._lines.get_nowait())
        now = time.monotonic()
        if self._task and self._deadline is not None and now >= self._deadline:
            self._stopped()
        elif self._task and not self._heard and now - self._since > self.settings.first_word:
            self._end(error=FailedError("The backend did not start in time: see its log."))
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def cancel(self) -> None:
        """Ask the backend to stop; `poll` kills it where it does not obey."""
        if self._task and self._deadline is None:
            self._waiting.clear()
            self._deadline = time.monotonic() + GRACE
            self._say({"command": "cancel"})

    def finish(self) -> None:
        """Ask the backend to make do with the frames that it has seen; later tasks are dropped."""
        if self._task and self._deadline is None:
            self._waiting.clear()
            self._finishing = True
            self._say({"command": "finish"})

    def close(self) -> None:
        """End the backend at once, whatever it does."""
        atexit.unregister(self.close)
        self._waiting.clear()
        self._task = None
        self._kill()

    def _next(self) -> None:
        """Give the backend its next task; start one where none is alive."""
        self._task = self._waiting.pop(0) if self._waiting else None
        self._position += 1
        self._deadline, self._finishing = None, False
        self._forecast, self._since = Forecast(), time.monotonic()
        if self._task is None:
            return self.close()
        try:
            if self._child is None or self._child.poll() is not None:
                self._start()
        except FailedError as error:
            return self._end(error=error)
        request = {"id": self._position, "command": "reconstruct"}
        # Absolute, as the backend works in another folder than we do.
        places = {"clip": self._task.clip, "output": self._task.output}
        request |= {name: str(place.absolute()) for name, place in places.items()}
        self._say(request | dict(self._task.options))

    def _start(self) -> None:
        if sentence := obstacle(self.settings):
            raise FailedError(sentence)
        self._kill()
        self._heard, self._lines = False, queue.SimpleQueue()
        interpreter = (self.settings.interpreter or Path(sys.executable)).absolute()
        command = [str(interpreter), "-s", "-u", "-X", "utf8", "-m", "hund_backend", "serve"]
        try:
            with self.settings.log.open("a", encoding="utf-8") as log:
                log.write(" ".join(command) + "\n")
                log.flush()
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment(self.settings),
                    cwd=self.settings.log.parent,  # a folder of ours: nothing to import in it
                    encoding="utf-8",
                    errors="replace",
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            raise FailedError(
                f"{interpreter} cannot be started ({error.strerror or error}): "
                "name another interpreter in the preferences of HUND."
            ) from error
        arguments = (self._child.stdout, self._lines)
        threading.Thread(target=_listen, args=arguments, daemon=True).start()

    def _say(self, message: Mapping[str, Any]) -> None:
        if self._child and self._child.stdin:
            with contextlib.suppress(OSError, ValueError):  # a dead one is noticed by its silence
                self._child.stdin.write(json.dumps(message) + "\n")
                self._child.stdin.flush()

    def _hear(self, line: str | None) -> None:
        if line is None:
            return self._died()
        reply = _reply(line)
        if reply is None:  # not ours: something that a library printed
            with (
                contextlib.suppress(OSError),
                self.settings.log.open("a", encoding="utf-8") as log,
            ):
                log.write(_NOISE + line)
            return None
        self._heard = True
        match reply:
            case {"event": "progress", "stage": str(stage), "done": int(done)}:
                self._forecast.hear(stage, done, reply.get("total"))
            case {"event": "done", "output": str(path)}:
                self._end(path=Path(path), skipped=bool(reply.get("skipped")))
            case {"event": "error", "message": str(sentence)}:
                code = reply.get("exit_code")
                self._end(error=FailedError(sentence, code if isinstance(code, int) else 1))
        return None

    def _end(self, **outcome: Any) -> None:  # noqa: ANN401 - fields of an Outcome
        assert self._task
        self._outcomes.append(Outcome(task=self._task, **outcome))
        self._next()

    def _died(self) -> None:
        assert self._child
        if self._deadline is not None:
            return self._stopped()
        try:
            code = self._child.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:  # it has only closed its pipe
            self._child.kill()
            code = self._child.wait()
        if code < 0:
            why = f"was ended from outside (signal {-code}), perhaps for want of memory"
        else:
            why = f"stopped unexpectedly ({_last_line(self.settings.log) or f'exit code {code}'})"
        return self._end(error=FailedError(f"The backend {why}: see its log."))

    def _stopped(self) -> None:
        self._kill()
        self._end(error=FailedError("The reconstruction was cancelled.", CANCELLED))

    def _kill(self) -> None:
        if self._child:
            self._child.kill()
            self._child.wait()
            with contextlib.suppress(OSError):  # what it was not told any more
                self._child.stdin.close()
            self._child = None


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


def obstacle(settings: Settings) -> str | None:
    """Why the backend cannot be started, one sentence; None where nothing is known to hinder."""
    if settings.interpreter is None:
        if not _blender_has_torch():
            return (
                "This package of HUND comes without PyTorch for Blender's Python: "
                "name a backend interpreter in the preferences."
            )
    elif not settings.interpreter.is_file():
        return (
            f"The backend interpreter {settings.interpreter} does not exist: "
            "name another one in the preferences of HUND."
        )
    return None


def environment(settings: Settings) -> dict[str, str]:
    """The child's environment: ours, but with its own places to import from.

    Blender's Python gets the zip's packages first, then everything that Blender itself sees; a
    named interpreter brings its own packages and only needs to find the backend.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    places = [str(settings.root)]
    if settings.interpreter is None:
        shared = (
            place for place in sys.path if place.endswith(("site-packages", "dist-packages"))
        )
        places += [str(settings.root / PACKAGES), *shared]
    if settings.threads:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        kept |= dict.fromkeys(names, str(settings.threads))
    return kept | {"PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1"}


@functools.cache
def _blender_has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _listen(stdout: Any, lines: "queue.SimpleQueue[str | None]") -> None:  # noqa: ANN401
    """Body of the reader thread: lines as they come, then None."""
    with contextlib.suppress(OSError, ValueError), stdout:
        for line in stdout:
            lines.put(line)
    lines.put(None)


def _reply(line: str) -> dict[str, Any] | None:
    try:
        reply = json.loads(line)
    except ValueError:
        return None
    return reply if isinstance(reply, dict) and "event" in reply else None


def _last_line(log: Path) -> str:
    """What a backend said last on its standard error: of a traceback, the error."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[1:]
    said = [line.strip().rstrip(".") for line in lines if not line.startswith(_NOISE)]
    return said[-1] if said else ""
