"""Draw a Reconstruction over its footage: an overlay video and a contact sheet."""

import argparse
from pathlib import Path

from ..errors import ExitCode


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("reconstruction", type=Path, metavar="FILE.npz")
    parser.add_argument("clip", type=Path, metavar="CLIP")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")


def run(options: argparse.Namespace) -> int:
    """Draw."""
    from ..preview import write_preview
    from ..reconstruction import Reconstruction

    result = Reconstruction.load(options.reconstruction)
    for path in write_preview(result, options.clip, options.output, options.reconstruction.stem):
        print(path)
    return ExitCode.DONE
