"""Draw a Reconstruction over its footage: an overlay video and a contact sheet."""

import argparse
from pathlib import Path

from ..errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("reconstruction", type=Path, metavar="FILE.npz")
    parser.add_argument("clip", type=Path, metavar="CLIP")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--parts",
        action="store_true",
        help="also a sheet of body parts, as detected and as reconstructed",
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw, and print the files written."""
    from ..preview import write_preview
    from ..reconstruction import Reconstruction

    result, stem = Reconstruction.load(arguments.reconstruction), arguments.reconstruction.stem
    for path in write_preview(result, arguments.clip, arguments.output, stem):
        print(path)
    if arguments.parts:
        from ..part_preview import write_part_sheet
        from ..perception.part_head import BlazePoseWithParts
        from ..weights_file import WEIGHTS

        network = BlazePoseWithParts.open(WEIGHTS / "perception")
        print(write_part_sheet(result, arguments.clip, arguments.output, network, stem))
    return ExitCode.DONE
