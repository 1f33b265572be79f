"""The backend: a child process that answers requests with JSON lines over its pipes."""

import contextlib
import functools
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]  # the extension; the backend and its own packages lie in it
PACKAGES = "packages"  # packages of the zip that Blender's own process must not see
GRACE = 0.5  # seconds between asking the backend to stop and killing it
FIRST_WORD = 180.0  # seconds within which a started backend must say something
_NOISE = "stdout: "  # begins a line of the log that the backend did not mean for it


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


class Backend:
    """A running backend."""

    def __init__(self, settings: Settings) -> None:
        """Start it.

        Raises:
            FailedError: it cannot be started.
        """
        if sentence := obstacle(settings):
            raise FailedError(sentence)
        self.has_spoken = self.is_over = False
        self._log = settings.log
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        interpreter = (settings.interpreter or Path(sys.executable)).absolute()
        command = [str(interpreter), "-s", "-u", "-X", "utf8", "-m", "hund_backend", "serve"]
        try:
            with settings.log.open("a", encoding="utf-8") as log:
                log.write(" ".join(command) + "\n")
                log.flush()
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=environment(settings),
                    cwd=settings.log.parent,  # a folder of ours: nothing to import in it
                    encoding="utf-8",
                    errors="replace",
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            raise FailedError(
                f"{interpreter} cannot be started ({error.strerror or error}): "
                "name another interpreter in the preferences of HUND."
            ) from error
        arguments = (self.process.stdout, self._lines)
        threading.Thread(target=_listen, args=arguments, daemon=True).start()

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a request."""
        with contextlib.suppress(OSError, ValueError):  # a dead one is noticed by its silence
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def replies(self) -> Iterator[dict[str, Any]]:
        """What it has said and nobody has heard yet; what is no reply goes to the log."""
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                reply = _reply(line)
                if reply is None:
                    self._note(line)
                else:
                    self.has_spoken = True
                    yield reply
            self.is_over = True

    def obituary(self) -> str:
        """Why it is over, one sentence."""
        try:
            code = self.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:  # it has only closed its pipe
            self.process.kill()
            code = self.process.wait()
        if code < 0:
            why = f"was ended from outside (signal {-code}), perhaps for want of memory"
        else:
            why = f"stopped unexpectedly ({_last_line(self._log) or f'exit code {code}'})"
        return f"The backend {why}: see its log."

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # what it was not told any more
            self.process.stdin.close()

    def _note(self, line: str) -> None:
        """Keep what a library printed."""
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as log:
            log.write(_NOISE + line)


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


def _listen(stdout: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
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
