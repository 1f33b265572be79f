"""Extract requirements/runtime.lock, the backend's dependencies with hashes, from dev.lock.

It holds what any of the systems needs that a zip is built for.
"""

import importlib.metadata
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hund_backend.atomic_write import write_file

from .zip_targets import TARGETS

FOLDER = Path(__file__).parents[1] / "requirements"
# torch requires it to compile C++, which we never do; Blender's Python should keep its own.
EXCLUDED = {"setuptools"}
HEADER = "# Cut out of dev.lock by tools/lock_runtime.py: do not edit.\n"


def closure(names: list[str]) -> set[str]:
    """Return packages and all their dependencies, as installed in this environment."""
    found: set[str] = set()
    pending = [Requirement(name) for name in names]
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name in found | EXCLUDED or not _is_needed(requirement):
            continue
        found.add(name)
        pending += map(Requirement, importlib.metadata.requires(name) or ())
    return found


def _is_needed(requirement: Requirement) -> bool:
    """Return whether a package is needed on any of the targets."""
    marker = requirement.marker
    return not marker or any(marker.evaluate(target.environment) for target in TARGETS)


def extract_entries(lock: str, names: set[str]) -> str:
    """Return the lock entries of packages, without comments.

    Raises:
        KeyError: a package is not in the lock.
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
    lock = extract_entries((FOLDER / "dev.lock").read_text(), closure(names))
    write_file(FOLDER / "runtime.lock", lock.encode())
    print(f"runtime.lock: {lock.count('==')} packages")


if __name__ == "__main__":
    main()
