"""Pin solver: a backend process that stays, so that a solve does not wait for its start."""

import atexit
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..hund_backend.errors import ExitCode
from .backend import Backend, JobError, Settings
from .pins import Request

_POLL_SECONDS = 0.01


class PinSolver:
    """Backend that solves frames around pins, one request at a time.

    It ends with `close`, and with Blender.
    """

    def __init__(self, settings: Settings) -> None:
        """Start the process and let it load what a solve needs.

        Raises:
            JobError: it cannot be started.
        """
        # Small matrices: with more threads, they wait for each other most of the time.
        settings = dataclasses.replace(settings, threads=1)
        self._settings = settings
        settings.log.parent.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="hund-pins-")
        self._number = 0  # of the last request; 0 loads the body
        self._since = 0.0
        self._backend = Backend(settings)
        self._backend.send({"command": "pins", "id": 0, "pins": []})
        atexit.register(self.close)

    @property
    def is_alive(self) -> bool:
        """Whether the process can take a request."""
        return self._backend.process.poll() is None

    def send(self, request: Request) -> None:
        """Send a request; `poll` returns its answer."""
        self._number += 1
        self._since = time.monotonic()
        folder = Path(self._folder.name)
        np.savez(folder / "motion.npz", **request.base)
        paths = {"motion": str(folder / "motion.npz"), "output": str(folder / "answer.npz")}
        self._backend.send({**request.message, **paths, "id": self._number})

    def poll(self) -> dict[str, np.ndarray] | None:
        """Return the answer to the last request, or None while there is none.

        Raises:
            JobError: the request has failed.
        """
        for reply in self._backend.replies():
            if answer := self._handle(reply):
                return answer
        if self._backend.has_ended:
            raise JobError(self._backend.exit_reason())
        if time.monotonic() - self._since > self._settings.start_timeout:
            self.close()
            raise JobError("Solving the span took too long: Open Log tells more.")
        return None

    def wait(self) -> dict[str, np.ndarray]:
        """Wait for the answer to the last request.

        Raises:
            JobError: the request has failed.
        """
        while (answer := self.poll()) is None:
            time.sleep(_POLL_SECONDS)
        return answer

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        self._backend.kill()
        self._folder.cleanup()

    def _handle(self, reply: dict[str, Any]) -> dict[str, np.ndarray] | None:
        if reply["event"] == "error":
            code = reply.get("exit_code")
            text = str(reply.get("message"))
            if reply.get("missing"):
                text += " Open HUND's preferences and press Check."
            raise JobError(text, code if isinstance(code, int) else ExitCode.FAILED)
        if reply["event"] != "done" or reply.get("id") != self._number or self._number == 0:
            return None
        with np.load(Path(self._folder.name) / "answer.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
