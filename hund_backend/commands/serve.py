"""Answer requests on standard input, JSON lines both ways, with the networks loaded once.

Requests: {"id", "command": "reconstruct", "clip", "output", "device", "quality", "overwrite", and
the options people, start, end, focal, fov, distortion} · {"command": "doctor"} · {"command":
"finish"}: what was asked so far shall look no further and make do with the frames it has seen ·
{"command": "cancel"}: all that was asked so far shall end · {"command": "quit"}: the same, then
end. The end of the input quits, too.
Answers carry the request's id: {"event": "ready"} ·
{"event": "progress", "stage", "done", "total"} · {"event": "done", "output", "skipped"} ·
{"event": "error", "message", "exit_code"} · {"event": "doctor", "findings"}.
"""

import argparse
import json
import logging
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInputError, CancelledError, ExitCode, HundError
from ..progress import Progress
from .choices import output_path, pipeline_options, refuse_in_time
from .telling import Lines, failure, say

if TYPE_CHECKING:
    from ..pipeline import Models

LOGGER = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def run(options: argparse.Namespace) -> int:
    """Serve until told to quit."""
    server = _Server()
    say(event="ready")
    threading.Thread(target=server.listen, daemon=True).start()
    while (asked := server.requests.get()) is not None:
        server.answer(*asked)
    return ExitCode.DONE


class _Server:
    """Requests are numbered and wait in a queue; a cancel overtakes them."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[tuple[int, dict[str, Any]] | None] = queue.SimpleQueue()
        self._asked = 0  # number of the last request
        self._cancelled = 0  # requests up to this number shall not go on
        self._finishing = 0  # requests up to this number shall look no further
        self._models: dict[str, Models] = {}

    def listen(self) -> None:
        """Body of the thread that reads standard input."""
        for line in sys.stdin:
            try:
                request = json.loads(line)
                command = request["command"]
            except (ValueError, TypeError, KeyError):
                say(event="error", id=None, message="A request is a JSON object with a command.")
                continue
            if command == "cancel":
                self._cancelled = self._asked
            elif command == "finish":
                self._finishing = self._asked
            elif command == "quit":
                break
            else:
                self._asked += 1
                self.requests.put((self._asked, request))
        self._cancelled = self._asked  # nobody is left to hear the answers
        self.requests.put(None)

    def answer(self, number: int, request: dict[str, Any]) -> None:
        """Do one request; whatever goes wrong is an answer, too."""
        name = request.get("id")
        try:
            if request["command"] == "doctor":
                from ..doctor import examine

                say(event="doctor", id=name, findings=[vars(finding) for finding in examine()])
            elif request["command"] == "reconstruct":
                say(event="done", id=name, **self._reconstruct(number, request))
            else:
                raise BadInputError(f"'{request['command']}' is no command of this server.")
        except HundError as error:
            if isinstance(error, CancelledError) and number > self._cancelled:
                raise  # a signal, not a request: the server itself shall end
            say(event="error", id=name, message=str(error), exit_code=int(error.exit_code))
        except Exception as error:  # the next request shall not suffer for it
            LOGGER.exception("Request %s", name)
            message = failure(error)
            say(event="error", id=name, message=message, exit_code=int(ExitCode.FAILED))

    def _reconstruct(self, number: int, request: dict[str, Any]) -> dict[str, Any]:
        for key in ("clip", "output"):
            if not isinstance(request.get(key), str):
                raise BadInputError(f"The request names no {key}.")
        clip = Path(request["clip"])
        chosen = pipeline_options(request)
        path = output_path(clip, Path(request["output"]))
        if path.exists() and not request.get("overwrite"):
            return {"output": str(path), "skipped": True}
        tell = Lines(id=request.get("id"))

        def report(progress: Progress) -> None:
            if number <= self._cancelled:
                raise CancelledError("The reconstruction was cancelled.")
            tell(progress)

        report(Progress(stage="load", done=0, total=None))
        refuse_in_time(clip, path, chosen)
        from .. import pipeline

        device = request.get("device") or "auto"
        if device not in self._models:
            self._models[device] = pipeline.Models.load(device)
        result = pipeline.reconstruct(
            clip, chosen, self._models[device], report, lambda: number <= self._finishing
        )
        result.save(path)
        people = int(result.present.shape[0])
        return {"output": str(path), "skipped": False, "people": people}
