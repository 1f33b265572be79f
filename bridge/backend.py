"""Backend: a child process that answers requests with JSON lines over its pipes."""

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

from ..hund_backend.errors import ExitCode, HundError

ROOT = Path(__file__).parents[1]  # the extension, with the backend and its packages
REQUIREMENTS = ROOT / "requirements" / "runtime.in"  # packages that an interpreter needs
PACKAGES = "packages"  # folder of packages in the zip that Blender's own process must not import
GRACE_SECONDS = 0.5  # between the request to stop and the kill
START_TIMEOUT = 180.0  # seconds until a started backend must have replied
_FIRST_NTSTATUS = 0xC0000000  # lowest exit code of a Windows process that crashed
_STDOUT_PREFIX = "stdout: "  # of a line in the log that was printed and is no reply


class JobError(HundError):
    """A clip cannot be reconstructed or used; the text is one sentence for the user."""

    def __init__(self, message: str, exit_code: int = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings for starting the backend."""

    log: Path  # gets the backend's standard error; cleared by each job
    interpreter: Path | None = None  # None: Blender's own Python
    threads: int = 0  # 0: the backend chooses
    root: Path = ROOT  # folder that holds the package hund_backend
    start_timeout: float = START_TIMEOUT  # seconds


class Backend:
    """Running backend process."""

    def __init__(self, settings: Settings) -> None:
        """Start the process.

        Raises:
            JobError: it cannot be started.
        """
        if reason := unavailable_reason(settings):
            raise JobError(reason)
        self.has_replied = self.has_ended = False
        self._log = settings.log
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        interpreter = interpreter_of(settings)
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
                    cwd=settings.log.parent,  # so that nothing is imported from it
                    encoding="utf-8",
                    errors="replace",
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            raise JobError(
                f"{interpreter} cannot be started ({error.strerror or error}): "
                "choose another Python in HUND's preferences."
            ) from error
        arguments = (self.process.stdout, self._lines)
        threading.Thread(target=_read_lines, args=arguments, daemon=True).start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a request."""
        with contextlib.suppress(OSError, ValueError):  # `replies` notices that it has ended
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def replies(self) -> Iterator[dict[str, Any]]:
        """Yield the replies since the last call; other output goes to the log."""
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                reply = _parse_reply(line)
                if reply is None:
                    self._log_output(line)
                else:
                    self.has_replied = True
                    yield reply
            self.has_ended = True

    def exit_reason(self) -> str:
        """Return why the process has ended, one sentence."""
        try:
            code = self.process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:  # it has only closed its pipe
            self.process.kill()
            code = self.process.wait()
        return f"The reconstruction {exit_text(code, _last_line(self._log))}: Open Log tells more."

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):  # unsent requests
            self.process.stdin.close()

    def _log_output(self, line: str) -> None:
        """Append a line that a library printed to the log."""
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as log:
            log.write(_STDOUT_PREFIX + line)


def exit_text(code: int, last_line: str) -> str:
    """Return what has ended a process.

    Args:
        code: its exit code: of a signal negative, and on Windows, of a crash, an NTSTATUS.
        last_line: of its standard error, or empty.
    """
    if code < 0:
        return f"was killed (signal {-code}), possibly because memory ran out"
    if code >= _FIRST_NTSTATUS:
        return f"was killed (Windows error 0x{code:08X}), possibly because memory ran out"
    return f"stopped unexpectedly ({last_line or f'exit code {code}'})"


def interpreter_of(settings: Settings) -> Path:
    """Return the Python that runs the backend, absolute."""
    return (settings.interpreter or Path(sys.executable)).absolute()


def unavailable_reason(settings: Settings) -> str | None:
    """Return why the backend cannot be started, one sentence, or None."""
    if settings.interpreter is None:
        if not _blender_has_torch():
            return (
                "HUND needs a Python with PyTorch, which this package does not contain: "
                "choose one in HUND's preferences."
            )
    elif not settings.interpreter.is_file():
        return (
            f"The Python {settings.interpreter} does not exist: "
            "choose another one in HUND's preferences."
        )
    return None


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables of the process: Blender's, with another `PYTHONPATH`.

    Blender's Python gets the zip's packages first, then everything that Blender itself imports
    from; another interpreter has its own packages and only needs the backend.
    """
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    paths = [str(settings.root)]
    if settings.interpreter is None:
        shared = (path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
        paths += [str(settings.root / PACKAGES), *shared]
    if settings.threads:
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        variables |= dict.fromkeys(names, str(settings.threads))
    return variables | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}


@functools.cache
def _blender_has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _read_lines(stdout: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    """Put lines into the queue as they come, then None: the body of the reader thread."""
    with contextlib.suppress(OSError, ValueError), stdout:
        for line in stdout:
            lines.put(line)
    lines.put(None)


def _parse_reply(line: str) -> dict[str, Any] | None:
    try:
        reply = json.loads(line)
    except ValueError:
        return None
    return reply if isinstance(reply, dict) and "event" in reply else None


def _last_line(log: Path) -> str:
    """Return the last line on the backend's standard error: of a traceback, the error."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[1:]
    errors = [line.strip().rstrip(".") for line in lines if not line.startswith(_STDOUT_PREFIX)]
    return errors[-1] if errors else ""
