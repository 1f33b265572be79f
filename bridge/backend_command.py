"""Command of the backend that ends by itself, run beside Blender with a time limit."""

import contextlib
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from .backend import GRACE_SECONDS, Settings, environment, interpreter_of


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a command has printed."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    error: str = ""  # why it could not be started
    timed_out: bool = False


class BackendCommand:
    """Running command; `poll` never waits."""

    def __init__(self, settings: Settings, arguments: Sequence[str], limit: float) -> None:
        """Start the command.

        Args:
            settings: name the interpreter.
            arguments: of the interpreter.
            limit: seconds after which it is killed.
        """
        self._output: Output | None = None
        self._process: subprocess.Popen[str] | None = None
        command = [str(interpreter_of(settings)), "-s", "-X", "utf8", *arguments]
        try:
            settings.log.parent.mkdir(parents=True, exist_ok=True)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(settings),
                cwd=settings.log.parent,  # so that nothing is imported from it
                encoding="utf-8",
                errors="replace",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            self._output = Output(error=error.strerror or str(error))
        else:
            threading.Thread(target=self._wait, args=(limit,), daemon=True).start()

    def poll(self) -> Output | None:
        """Return the output once the command has ended."""
        return self._output

    def close(self) -> None:
        """Kill the command."""
        if self._process:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._process.kill()
                self._process.wait(GRACE_SECONDS)

    def _wait(self, limit: float) -> None:
        """Collect the output: the body of the thread."""
        assert self._process
        try:
            stdout, stderr = self._process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            self._output = Output(timed_out=True)
        except (OSError, ValueError) as error:
            self._output = Output(error=str(error))
        else:
            code = self._process.returncode
            self._output = Output(stdout=stdout, stderr=stderr, exit_code=code)
