"""Many clips without a window: reconstruct each, write its scenes, report, go on past a bad one."""

import argparse
import dataclasses
import json
import logging
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import bpy

from ..hund_backend import options
from ..hund_backend.atomic_write import write_file
from ..hund_backend.errors import HundError
from ..hund_backend.sources import clip_name
from . import exports, job, scene

log = logging.getLogger(__name__)

REPORT = "hund_report.json"


def main(arguments: list[str], settings: job.Settings, *, device: str | None = None) -> int:
    """Do what `blender --background --command hund …` asks for.

    Args:
        arguments: of the command line, without the name of the program.
        settings: how the backend is started where the arguments say nothing else.
        device: likewise.

    Returns:
        The exit code of the worst clip: 0 done, 2 bad input, 3 nobody found, 130 cancelled.
    """
    try:
        wanted = _parser(device or options.DEFAULT_DEVICE).parse_args(arguments)
    except SystemExit as leaving:  # Blender would take it for an error of its own
        return int(leaving.code or 0)
    wanted.output = wanted.output.absolute()  # Blender's own idea of "here" may be another
    if wanted.interpreter:
        settings = dataclasses.replace(settings, interpreter=wanted.interpreter)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Blender's own ignores Ctrl-C
    batch = Batch(wanted)
    try:
        wanted.output.mkdir(parents=True, exist_ok=True)
        batch.run(settings)
    except KeyboardInterrupt:
        batch.cancelled()
    except (job.FailedError, HundError, OSError) as error:
        log.error("%s", error)
        return job.BAD_INPUT
    return batch.exit_code


class Batch:
    """The clips of one command, and what became of each."""

    def __init__(self, wanted: argparse.Namespace) -> None:
        self.wanted = wanted
        self.entries: dict[Path, dict[str, Any]] = {
            clip: {"clip": str(clip), "status": "waiting"} for clip in wanted.clips
        }
        self._since = time.monotonic()

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return max(entry.get("exit_code", 0) for entry in self.entries.values())

    def run(self, settings: job.Settings) -> None:
        """Reconstruct every clip and write its scenes."""
        self.report()
        names = Counter(clip_name(clip) for clip in self.entries)
        chosen = {
            name: value
            for name, value in vars(self.wanted).items()
            if name in options.REQUEST_OPTIONS and value is not None
        }
        tasks = []
        for clip in self.entries:
            if names[clip_name(clip)] > 1:
                sentence = "Another clip has the same name: rename one, or use another --output."
                self._note(clip, "failed", message=sentence, exit_code=job.BAD_INPUT)
            else:
                tasks.append(job.Task(clip=clip, output=self.wanted.output, options=chosen))
        job.run(tasks, settings, self.finished, self.watch)

    def finished(self, outcome: job.Outcome) -> None:
        """Write the scenes of a clip whose reconstruction is there."""
        clip = outcome.task.clip
        if outcome.error:
            code = outcome.error.exit_code
            self._note(clip, "failed", message=str(outcome.error), exit_code=code)
            return
        try:
            files, people, skipped = self._write(clip, outcome)
        except (job.FailedError, HundError) as error:
            self._note(clip, "failed", message=str(error), exit_code=int(error.exit_code))
        else:
            status = "skipped" if skipped else "done"
            self._note(clip, status, files=[str(file) for file in files], people=people)

    def watch(self, status: job.Status) -> None:
        """Show how far it is, where a terminal is looked at."""
        if sys.stderr.isatty():
            total = f"/{status.total}" if status.total else ""
            line = f"{status.clip}: {status.stage} {status.done}{total}"
            print(f"\r{line:<70}", end="\r", file=sys.stderr, flush=True)

    def cancelled(self) -> None:
        """The user pressed Ctrl-C: what is not done stays undone."""
        for clip, entry in self.entries.items():
            if entry["status"] == "waiting":
                self._note(clip, "cancelled", exit_code=job.CANCELLED)

    def report(self) -> None:
        """Write down what became of the clips so far."""
        content = {"exit_code": self.exit_code, "clips": list(self.entries.values())}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        write_file(self.wanted.output / REPORT, text.encode())

    def _write(self, clip: Path, outcome: job.Outcome) -> tuple[list[Path], int, bool]:
        """Files of a clip, its number of people, and whether all of it was there already."""
        reconstruction = job.load(outcome.path)
        people, name, folder = len(reconstruction.track_ids), outcome.path.stem, self.wanted.output
        found = [outcome.path]
        missing = []
        for file_format in dict.fromkeys(self.wanted.format):
            targets = exports.files(folder, name, file_format, people)
            if outcome.skipped and all(target.is_file() for target in targets):
                found += targets
            else:
                missing.append(file_format)
        if not missing:
            return found, people, outcome.skipped
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        written = scene.write(bpy.context, reconstruction, clip=clip, match_scene=True)
        for file_format in missing:
            found += exports.export(written.people, folder, name, file_format)
        return found, people, False

    def _note(self, clip: Path, status: str, **facts: Any) -> None:  # noqa: ANN401 - JSON
        seconds = round(time.monotonic() - self._since, 2)
        self._since = time.monotonic()
        self.entries[clip] = {"clip": str(clip), "status": status, "seconds": seconds, **facts}
        print(
            f"{clip.name}: {status}{': ' * bool(facts.get('message'))}{facts.get('message', '')}"
        )
        self.report()


def _parser(device: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blender --background --command hund",
        description="Turn the people in clips into animated characters.",
    )
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video or pictures")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=options.EXPORT_FORMATS,
        default=["blend"],
        help="of the scenes",
    )
    options.add_device(parser, device)
    options.add_quality(parser)
    options.add_method(parser)
    options.add_adapt(parser)
    options.add_frames(parser)
    options.add_overwrite(parser)
    parser.add_argument(
        "--interpreter", type=Path, metavar="PYTHON", help="Python that runs the backend"
    )
    return parser
