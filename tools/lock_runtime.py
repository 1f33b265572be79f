"""Cuts requirements/runtime.lock out of dev.lock: what the backend needs to run, with its hashes."""

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hund_backend.atomic_write import write_file

FOLDER = Path(__file__).parents[1] / "requirements"
# torch asks for it to compile C++, which we never do; Blender's Python should keep its own.
LEFT_OUT = {"setuptools"}
HEADER = "# Cut out of dev.lock by tools/lock_runtime.py: do not edit.\n"


def closure(names: list[str]) -> set[str]:
    """Packages that these need, themselves included, as installed here."""
    found: set[str] = set()
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name in found | LEFT_OUT or (wanted.marker and not wanted.marker.evaluate()):
            continue
        found.add(name)
        waiting += map(Requirement, importlib.metadata.requires(name) or ())
    return found


def cut(lock: str, names: set[str]) -> str:
    """The entries of these packages, without the comments.

    Raises:
        KeyError: one of them is not in the lock.
    """
    entries = {}
    for entry in re.findall(r"^[\w.-]+==.*(?:\n    .*)*", lock, re.MULTILINE):
        lines = [line for line in entry.splitlines() if not line.lstrip().startswith("#")]
        name = canonicalize_name(entry.split("==")[0])
        entries[name] = "\n".join(lines).rstrip(" \\")
    return HEADER + "".join(entries[name] + "\n" for name in sorted(names))


def main() -> None:
    """Write runtime.lock."""
    names = (FOLDER / "runtime.in").read_text().split()
    lock = cut((FOLDER / "dev.lock").read_text(), closure(names))
    write_file(FOLDER / "runtime.lock", lock.encode())
    print(f"runtime.lock: {lock.count('==')} packages")


if __name__ == "__main__":
    main()
