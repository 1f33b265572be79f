"""Answer requests on standard input, JSON lines both ways, with the networks loaded once.

Requests:
    {"command": "reconstruct", "id", "clip", "output", and any of `options.REQUEST_OPTIONS`}
    {"command": "pins", "id", "output", and the keys of a request of `commands/pins.py`}; without
        pins the body is loaded, so that the next request is answered sooner
    {"command": "people", "id", "clip", "output", "device", "start", "end", "speed"}: list the
        people of a clip (see people.py)
    {"command": "solve", "id", "evidence", "output", "smoothing", "device"}: solve kept evidence
        again (see solve.py)
    {"command": "doctor", "id"}
    {"command": "finish"}: of all requests so far, stop reading frames and finish with those
        processed.
    {"command": "cancel"}: cancel all requests so far.
    {"command": "quit"}: cancel, then end; the end of the input does the same.

Answers carry the request's id:
    {"event": "ready"}, once, without an id
    {"event": "progress", "stage", "done", "total"}; the stages are `options.ProgressStage`
    {"event": "done", "output", "skipped"}; of pins: {"event": "done", "output", "misses"}
    {"event": "error", "message", "exit_code"}, and "missing": true if a package cannot be imported
    {"event": "doctor", "findings"}
"""

import argparse
import json
import logging
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInputError, CancelledError, ExitCode, HundError, OptionError
from ..evidence_identity import path_beside
from ..options import DEFAULT_DEVICE, DEFAULT_SMOOTHING, LABELS, ProgressStage
from ..progress import Progress, Report
from .arguments import check_files, output_path, pipeline_options
from .output import JsonLines, unexpected_error, write_event
from .people import list_people
from .solve import solve_again

if TYPE_CHECKING:
    from ..models import Models
    from ..pins import Bodies

LOGGER = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command has no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Serve until a request to quit or the end of the input."""
    server = _Server()
    write_event(event="ready")
    threading.Thread(target=server.listen, daemon=True).start()
    while (numbered := server.requests.get()) is not None:
        server.answer(*numbered)
    return ExitCode.DONE


class _Server:
    """Requests are numbered and wait in a queue; a cancel overtakes them."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[tuple[int, dict[str, Any]] | None] = queue.SimpleQueue()
        self._last = 0  # number of the last request
        self._last_cancelled = 0  # requests up to this number are cancelled
        self._last_finished = 0  # requests up to this number read no more frames
        self._models: dict[str, Models] = {}  # by device
        self._bodies: Bodies | None = None  # of the pins

    def listen(self) -> None:
        """Read standard input: the body of the reader thread."""
        for line in sys.stdin:
            try:
                request = json.loads(line)
                command = request["command"]
            except (ValueError, TypeError, KeyError):
                message = "A request is a JSON object with a command."
                write_event(event="error", id=None, message=message)
                continue
            if command == "cancel":
                self._last_cancelled = self._last
            elif command == "finish":
                self._last_finished = self._last
            elif command == "quit":
                break
            else:
                self._last += 1
                self.requests.put((self._last, request))
        self._last_cancelled = self._last  # nobody reads the answers any more
        self.requests.put(None)

    def answer(self, number: int, request: dict[str, Any]) -> None:
        """Do one request; an error is an answer, too."""
        name = request.get("id")
        try:
            if request["command"] == "doctor":
                from ..doctor import examine

                findings = [vars(finding) for finding in examine()]
                write_event(event="doctor", id=name, findings=findings)
            elif request["command"] == "pins":
                write_event(event="done", id=name, **self._solve_pins(request))
            elif request["command"] == "reconstruct":
                write_event(event="done", id=name, **self._reconstruct(number, request))
            elif request["command"] == "people":
                write_event(event="done", id=name, **self._list_people(number, request))
            elif request["command"] == "solve":
                write_event(event="done", id=name, **self._solve(number, request))
            else:
                raise BadInputError(f"'{request['command']}' is no command of this server.")
        except HundError as error:
            if isinstance(error, CancelledError) and number > self._last_cancelled:
                raise  # from a signal, not from a request: the server itself ends
            code = int(error.exit_code)
            message = error.worded(_label) if isinstance(error, OptionError) else str(error)
            write_event(event="error", id=name, message=message, exit_code=code)
        except ImportError as error:
            LOGGER.exception("Request %s", name)
            message, code = f"A package is missing ({error}).", int(ExitCode.FAILED)
            write_event(event="error", id=name, message=message, exit_code=code, missing=True)
        except Exception as error:  # the next request can still be done
            LOGGER.exception("Request %s", name)
            message, code = unexpected_error(error), int(ExitCode.FAILED)
            write_event(event="error", id=name, message=message, exit_code=code)

    def _reconstruct(self, number: int, request: dict[str, Any]) -> dict[str, Any]:
        clip, folder = _paths(request, "clip", "output")
        options = pipeline_options(request)
        path = output_path(clip, folder)
        if path.exists() and not request.get("overwrite"):
            return {"output": str(path), "skipped": True}
        report = self._report(number, request)
        report(Progress(stage=ProgressStage.LOAD, done=0, total=None))
        check_files(clip, path, options)
        from .. import evidence_file, pipeline
        from ..tracked_clip import TrackedClip

        models, kept = self._load_models(request), list[TrackedClip]()
        keep = {"keep": kept.append} if request.get("keep_evidence") else {}
        result = pipeline.reconstruct(
            clip, options, models, report, lambda: number <= self._last_finished, **keep
        )
        for tracked in kept:
            evidence_file.save(tracked, options, path_beside(path))
        result.save(path)
        people = int(result.present.shape[0])
        return {"output": str(path), "skipped": False, "people": people}

    def _list_people(self, number: int, request: dict[str, Any]) -> dict[str, Any]:
        clip, folder = _paths(request, "clip", "output")
        chosen = pipeline_options(request)
        report = self._report(number, request)
        report(Progress(stage=ProgressStage.LOAD, done=0, total=None))
        device = request.get("device") or DEFAULT_DEVICE
        path, found = list_people(
            clip, folder, device, report, start=chosen.start, end=chosen.end, speed=chosen.speed
        )
        return {"output": str(path), "skipped": False, "people": len(found.people)}

    def _solve(self, number: int, request: dict[str, Any]) -> dict[str, Any]:
        evidence, folder = _paths(request, "evidence", "output")
        report = self._report(number, request)
        report(Progress(stage=ProgressStage.LOAD, done=0, total=None))
        smoothing = request.get("smoothing", DEFAULT_SMOOTHING)
        path, result = solve_again(
            evidence, folder, smoothing, lambda: self._load_models(request), report
        )
        people = int(result.present.shape[0])
        return {"output": str(path), "skipped": False, "people": people}

    def _report(self, number: int, request: dict[str, Any]) -> Report:
        lines = JsonLines(id=request.get("id"))

        def report(progress: Progress) -> None:
            if number <= self._last_cancelled:
                raise CancelledError("The reconstruction was cancelled.")
            lines(progress)

        return report

    def _load_models(self, request: dict[str, Any]) -> "Models":
        from ..models import Models

        device = request.get("device") or DEFAULT_DEVICE
        if device not in self._models:
            self._models[device] = Models.load(device)
        return self._models[device]

    def _solve_pins(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("pins") and not isinstance(request.get("output"), str):
            raise BadInputError("The request names no output.")
        from ..pins import Bodies
        from .pins import answer

        if self._bodies is None:
            self._bodies = Bodies.load()
        if not request.get("pins"):
            return {"output": "", "misses": []}
        solved = answer(request, Path(request["output"]), self._bodies)
        return {"output": request["output"], "misses": solved.misses.tolist()}


def _paths(request: dict[str, Any], *keys: str) -> list[Path]:
    for key in keys:
        if not isinstance(request.get(key), str):
            raise BadInputError(f"The request names no {key}.")
    return [Path(request[key]) for key in keys]


def _label(option: str) -> str:
    return LABELS.get(option, option.capitalize())
