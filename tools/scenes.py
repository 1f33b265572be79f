"""Run the batch command in Blender as a module: `python -m tools.scenes CLIP… --output DIR`.

It is the same as `blender --background --command hund CLIP… --output DIR`.
"""

import importlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(arguments: list[str]) -> int:
    """Run the command with this checkout as the extension and return the exit code."""
    spec = importlib.util.spec_from_file_location(
        "hund", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["hund"] = package
    spec.loader.exec_module(package)
    headless = importlib.import_module("hund.bridge.headless")
    job = importlib.import_module("hund.bridge.job")
    with tempfile.TemporaryDirectory(prefix="hund-") as folder:
        return headless.main(arguments, job.Settings(log=Path(folder) / "backend.log"))


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    sys.stdout.flush()
    # Not sys.exit: after its glTF exporter, Blender 4.2 as a module crashes when it exits.
    os._exit(exit_code)
