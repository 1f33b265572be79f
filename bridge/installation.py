"""Installation: whether the interpreter can run the backend, and what it lacks."""

import json
from dataclasses import dataclass
from typing import Any

from bpy.app.translations import pgettext_rpt as rpt_

from .backend import REQUIREMENTS, Settings, interpreter_of
from .backend_command import BackendCommand, Output
from .texts import fill

LIMIT_SECONDS = 120.0  # the first import of PyTorch can take a minute
_CUDA = "cuda: "  # beginning of the doctor's description of a graphics card
OLDEST_PYTHON = (3, 11)
# Older Pythons can run these two lines; the backend cannot be imported there.
_PROGRAM = """import sys; print("python", *sys.version_info[:3]); sys.stdout.flush()
sys.version_info < (3, 11) or __import__("runpy").run_module("hund_backend", None, "__main__", True)
"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """State of an installation."""

    ready: bool
    text: str  # a sentence or two for the user, translated
    command: str = ""  # for a terminal: it installs what is missing


class Check:
    """Check of an interpreter in the background."""

    def __init__(self, settings: Settings) -> None:
        """Start the check."""
        self._settings = settings
        arguments = ["-c", _PROGRAM, "doctor", "--json"]
        self._command = BackendCommand(settings, arguments, LIMIT_SECONDS)

    def poll(self) -> Report | None:
        """Return the report once the check is done."""
        output = self._command.poll()
        return output and _report(output, self._settings)

    def close(self) -> None:
        """Stop the check."""
        self._command.close()


def install_command(settings: Settings) -> str:
    """Return the command that installs the backend's packages."""
    return f'"{interpreter_of(settings)}" -m pip install -r "{REQUIREMENTS}"'


def _report(output: Output, settings: Settings) -> Report:
    name = interpreter_of(settings)
    version, findings = _parse(output.stdout)
    if output.error:
        text = rpt_("{name} cannot be started ({reason}). Choose a Python 3.11 or later.")
        return _not_ready(text, name=name, reason=output.error)
    if output.timed_out:
        text = rpt_("{name} did not answer within {seconds} seconds. Choose another Python.")
        return _not_ready(text, name=name, seconds=round(LIMIT_SECONDS))
    if not version:
        return _not_ready(rpt_("{name} is no Python. Choose a Python 3.11 or later."), name=name)
    number = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        text = rpt_("This is Python {version}. Install Python 3.11 or later and choose it.")
        return _not_ready(text, version=number)
    if findings is None:
        reason = (output.stderr.strip().splitlines() or ["?"])[-1]
        text = rpt_("Python {version} cannot run HUND ({reason}). Install the extension again.")
        return _not_ready(text, version=number, reason=reason)
    return _judge(findings, number, settings)


def _judge(findings: dict[str, dict[str, Any]], version: str, settings: Settings) -> Report:
    """Make a report of the doctor's findings."""
    bad = [name for name, finding in findings.items() if not finding["ok"]]
    missing = [name for name in bad if findings[name]["state"] == "not installed"]
    if missing:
        text = rpt_("Python {version} works, but these packages are missing: {packages}.")
        text = fill(text, version=version, packages=", ".join(missing))
        return Report(ready=False, text=text, command=install_command(settings))
    if "device" in bad:
        text = rpt_("Python {version} has PyTorch, but {reason}. Install its packages again.")
        text = fill(text, version=version, reason=findings["device"]["state"])
        return Report(ready=False, text=text, command=install_command(settings))
    if bad:
        text = rpt_("Files of HUND are missing or damaged ({files}). Install the extension again.")
        return _not_ready(text, files=", ".join(bad))
    torch, device = (findings.get(name, {}).get("state", "?") for name in ("torch", "device"))
    text = rpt_("Ready: Python {version}, PyTorch {torch}, on the processor.")
    if device.startswith(_CUDA):
        text = rpt_("Ready: Python {version}, PyTorch {torch}, on the graphics card {card}.")
    card = device.removeprefix(_CUDA)
    return Report(ready=True, text=fill(text, version=version, torch=torch, card=card))


def _not_ready(text: str, **values: Any) -> Report:  # noqa: ANN401 - values of a text
    return Report(ready=False, text=fill(text, **values))


def _parse(stdout: str) -> tuple[tuple[int, ...], dict[str, dict[str, Any]] | None]:
    """Return the version, empty if there is none, and the findings by name."""
    version: tuple[int, ...] = ()
    findings = None
    for line in stdout.splitlines():
        name, *numbers = line.split(" ")
        if name == "python" and numbers and all(number.isdigit() for number in numbers):
            version = tuple(map(int, numbers))
        elif line.startswith("{"):
            findings = _findings(line)
    return version, findings


def _findings(line: str) -> dict[str, dict[str, Any]] | None:
    try:
        return {finding["name"]: finding for finding in json.loads(line)["findings"]}
    except (ValueError, KeyError, TypeError):
        return None
