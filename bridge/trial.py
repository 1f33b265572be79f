"""Trial: a second of the sample reconstructed by an interpreter, to see that it works."""

import contextlib
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ..hund_backend.errors import BadInputError
from ..hund_backend.options import LABELS
from . import sample
from .backend import Settings, exit_text
from .backend_command import BackendCommand, Output
from .installation import Check, Report
from .texts import fill

LIMIT_SECONDS = 600.0  # for loading the networks and for the second, on a slow, busy machine
_LAST_FRAME = 29  # of the second
_DETAIL_CHARACTERS = 20_000  # of the standard error that are kept in the log


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a trial."""

    seconds: float = 0.0  # that the second of video took, without loading the networks
    error: str = ""  # what went wrong, without a full stop; empty: nothing
    timed_out: bool = False


class Trial:
    """Trial in the background; `poll` never waits."""

    def __init__(self, settings: Settings, device: str) -> None:
        """Start the trial.

        Args:
            settings: name the interpreter.
            device: a key of `options.DEVICES`.
        """
        self._log = settings.log
        # On Windows, a process that was just killed may still hold a file.
        self._folder = tempfile.TemporaryDirectory(
            prefix="trial-", dir=settings.log.parent, ignore_cleanup_errors=True
        )
        arguments = ["reconstruct", str(sample.CLIP), "--end", str(_LAST_FRAME), "--json"]
        arguments += ["--device", device, "--output", self._folder.name]
        command = ["-m", "hund_backend", *arguments]
        self._command = BackendCommand(settings, command, LIMIT_SECONDS)

    def poll(self) -> Outcome | None:
        """Return the outcome once the trial is done."""
        output = self._command.poll()
        if output is None:
            return None
        outcome = _outcome(output)
        if outcome.error or outcome.timed_out:
            _write_log(self._log, output)
        self._folder.cleanup()
        return outcome

    def close(self) -> None:
        """Stop the trial."""
        self._command.close()
        self._folder.cleanup()


def _outcome(output: Output) -> Outcome:
    if output.timed_out:
        return Outcome(timed_out=True)
    if output.error:
        return Outcome(error=output.error)
    for line in reversed(output.stdout.splitlines()):
        try:
            event = json.loads(line)
            if event["event"] == "error":
                return Outcome(error=_in_words(str(event["message"])))
            if event["event"] == "done" and not output.exit_code:
                return _checked(Path(event["output"]))
        except (ValueError, KeyError, TypeError):
            continue
    lines = output.stderr.strip().splitlines()
    return Outcome(error=f"it {exit_text(output.exit_code, lines[-1] if lines else '')}")


def _in_words(message: str) -> str:
    """Return an error without a full stop, with the option named as Blender shows it."""
    return message.rstrip(".").replace("--device", iface_(LABELS["device"]))


def _checked(path: Path) -> Outcome:
    """Return the outcome of a trial whose file was written: it must hold finite numbers."""
    from ..hund_backend.reconstruction import Reconstruction  # here: Blender starts faster

    try:
        provenance = Reconstruction.load(path).provenance
    except BadInputError as error:
        return Outcome(error=_in_words(str(error)))
    return Outcome(seconds=sum(provenance.get("seconds", {}).values()))


def _write_log(log: Path, output: Output) -> None:
    """Append what a trial has written, for *Open Log*."""
    text = output.stderr[-_DETAIL_CHARACTERS:] or output.error
    with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as opened:
        opened.write(f"Trial of a second of the sample:\n{text}\n")


class TriedCheck:
    """Check of an interpreter, followed by a trial if nothing is missing; `poll` never waits."""

    def __init__(self, settings: Settings, device: str) -> None:
        """Start the check.

        Args:
            settings: name the interpreter.
            device: of the trial, a key of `options.DEVICES`.
        """
        self._settings, self._device = settings, device
        self._check = Check(settings)
        self._trial: Trial | None = None
        self._report: Report | None = None

    @property
    def is_trying(self) -> bool:
        """Whether nothing is missing and the trial runs."""
        return self._trial is not None

    def poll(self) -> Report | None:
        """Return the report once check and trial are done."""
        if self._report is None:
            report = self._check.poll()
            if report is None or not report.ready:
                return report
            self._report = report
            try:
                self._trial = Trial(self._settings, self._device)
            except OSError as error:
                return _judge(report, Outcome(error=error.strerror or str(error)))
            return None
        assert self._trial
        outcome = self._trial.poll()
        return outcome and _judge(self._report, outcome)

    def close(self) -> None:
        """Stop."""
        self._check.close()
        if self._trial:
            self._trial.close()


def _judge(report: Report, outcome: Outcome) -> Report:
    """Return the report on an interpreter that lacks nothing, after its trial."""
    if not outcome.error and not outcome.timed_out:
        text = rpt_("A second of the sample took {seconds} s.")
        text = fill(text, seconds=max(1, round(outcome.seconds)))
        return replace(report, text=f"{report.text} {text}")
    text = rpt_(
        "Nothing is missing, but a second of the sample could not be reconstructed ({reason}). "
        "Choose another Python or device."
    )
    if outcome.timed_out:
        text = rpt_(
            "Nothing is missing, but a second of the sample was not reconstructed within "
            "{limit} seconds: the computer may be busy. Check again, or choose another Python or "
            "device."
        )
    return Report(ready=False, text=fill(text, reason=outcome.error, limit=round(LIMIT_SECONDS)))
