"""Draw a Reconstruction over its footage: an overlay video and a contact sheet."""

import argparse
from pathlib import Path

from ..errors import ExitCode


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("reconstruction", type=Path, metavar="FILE.npz")
    parser.add_argument("clip", type=Path, metavar="CLIP")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--parts", action="store_true", help="also a sheet of body parts, as seen and as found"
    )


def run(options: argparse.Namespace) -> int:
    """Draw."""
    from ..preview import write_preview
    from ..reconstruction import Reconstruction

    result = Reconstruction.load(options.reconstruction)
    told = result, options.clip, options.output
    for path in write_preview(*told, options.reconstruction.stem):
        print(path)
    if options.parts:
        from ..part_preview import write_part_sheet
        from ..perception.eyes import WEIGHTS
        from ..perception.parts import PartSight

        sight = PartSight.open(WEIGHTS / "perception")
        print(write_part_sheet(*told, sight, options.reconstruction.stem))
    return ExitCode.DONE
