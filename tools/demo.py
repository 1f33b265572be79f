"""Runs the main job on a real clip: `python -m tools.demo --output out` (what `make demo` calls)."""

import argparse
import subprocess
import sys
from pathlib import Path

from tools.get_demo_clip import FetchError, get_demo_clip


def run_demo(output: Path) -> int:
    """Reconstruct the demo clip, draw the result over it and say where everything is.

    Returns:
        The exit code: of the first command that failed, else 0.
    """
    try:
        clip = get_demo_clip()
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    backend = [sys.executable, "-m", "hund_backend"]
    reconstruct = [*backend, "reconstruct", str(clip), "--output", str(output), "--overwrite"]
    preview = [*backend, "preview", str(output / "demo.npz"), str(clip), "--output", str(output)]
    for command in (reconstruct, preview):
        exit_code = subprocess.run(command, check=False).returncode
        if exit_code:
            return exit_code
    for name, meaning in (
        ("demo.npz", "the Reconstruction"),
        ("demo_overlay.mp4", "the bodies over the footage"),
        ("demo_sheet.png", "a contact sheet of it"),
    ):
        print(f"{output / name}: {meaning}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out"))
    sys.exit(run_demo(parser.parse_args().output))
