"""Interpreters: Pythons of this machine that may run the backend, each checked in turn."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from . import backend
from .backend import Settings
from .installation import Check, Report

# Names by which a Python is found in a folder of the PATH, the newest first.
_NAMES = ("python3.13", "python3.12", "python3.11", "python3", "python")
_CONDA_FOLDERS = ("miniconda3", "anaconda3", "miniforge3", "mambaforge")
# In an environment, on Linux and macOS, of conda on Windows, and of venv there.
_PLACES = (("bin", "python"), ("bin", "python3"), ("python.exe",), ("Scripts", "python.exe"))
_OWN_FOLDER = "hund"  # in the user's folder, as the manual makes it
# Where installers put Pythons, often without adding them to the PATH: in folders that variables
# name, and in the user's folder.
_INSTALLED = (("LOCALAPPDATA", "Programs/Python/Python3*"), ("PROGRAMFILES", "Python3*"))
_OF_USER = (".pyenv/versions/3*", ".pyenv/pyenv-win/versions/3*", ".local/share/uv/python/*")
# Programs with a window get a short PATH on macOS.
_MACOS_FRAMEWORKS = Path("/Library/Frameworks/Python.framework/Versions")
_MACOS_FOLDERS = ("/opt/homebrew/bin", "/opt/local/bin")


@dataclass(frozen=True, kw_only=True)
class Found:
    """An interpreter and its state."""

    path: Path | None  # None: Blender's own
    report: Report


class Search:
    """Checks of all candidates in the background, one after the other."""

    def __init__(self, settings: Settings, candidates: list[Path | None]) -> None:
        """Start with the first candidate.

        Args:
            settings: for the checks, whatever their interpreter.
            candidates: interpreters to check.
        """
        self.found: list[Found] = []
        self._settings, self._waiting = settings, candidates
        self._check: Check | None = None
        self._path: Path | None = None

    @property
    def is_done(self) -> bool:
        """Whether all candidates are checked."""
        return self._check is None and not self._waiting

    def poll(self) -> bool:
        """Go on without waiting; return whether there is something new."""
        if self._check is None:
            if self._waiting:
                self._path = self._waiting.pop(0)
                self._check = Check(replace(self._settings, interpreter=self._path))
            return False
        report = self._check.poll()
        if report is None:
            return False
        self.found.append(Found(path=self._path, report=report))
        self.found.sort(key=lambda each: not each.report.ready)
        self._check = None
        return True

    def close(self) -> None:
        """Stop."""
        self._waiting = []
        if self._check:
            self._check.close()
            self._check = None


def candidates(environment: Mapping[str, str], home: Path) -> list[Path | None]:
    """Return the interpreters worth a check: Blender's own first, each file once.

    Args:
        environment: variables of the process.
        home: the user's folder.
    """
    own = backend.unavailable_reason(Settings(log=Path()))
    found: dict[Path, Path] = {}
    for path in _pythons(environment, home):
        # The same file under another name; a virtual environment's Python is a link of its own.
        found.setdefault(path.parent.resolve() / path.resolve().name, path)
    return [*([] if own else [None]), *found.values()]


def _pythons(environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Yield Pythons of environments, then those of the PATH."""
    active = (environment.get(name) for name in ("VIRTUAL_ENV", "CONDA_PREFIX"))
    folders = [*map(Path, filter(None, active)), home / _OWN_FOLDER]
    listed = home / ".conda" / "environments.txt"
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        folders += [Path(line.strip()) for line in lines if line.strip()]
    for name in _CONDA_FOLDERS:
        folders += [home / name, *sorted((home / name / "envs").glob("*"))]
    for variable, pattern in _INSTALLED:
        if place := environment.get(variable):
            folders += sorted(Path(place).glob(pattern), reverse=True)
    folders += [path for pattern in _OF_USER for path in sorted(home.glob(pattern), reverse=True)]
    if sys.platform == "darwin":
        folders += sorted(_MACOS_FRAMEWORKS.glob("3*"), reverse=True)
    for folder in folders:
        places = (folder.joinpath(*parts) for parts in _PLACES)
        yield from islice((place for place in places if place.is_file()), 1)
    paths = environment.get("PATH", "").split(os.pathsep)
    paths += _MACOS_FOLDERS if sys.platform == "darwin" else ()
    for folder in map(Path, filter(None, paths)):
        for name in _NAMES:
            python = Path(shutil.which(name, path=str(folder)) or "")
            if python.parent == folder:  # on Windows, the working folder is searched, too
                # Windows' placeholder opens the store instead of a Python.
                if "WindowsApps" not in python.parts:
                    yield python
                break
