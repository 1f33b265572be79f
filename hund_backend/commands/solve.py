"""Solve kept evidence again, with another amount of smoothing and without its clip."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..atomic_write import check_writable
from ..errors import BadInputError, ExitCode
from ..evidence_identity import SUFFIX
from ..progress import Report
from .arguments import pipeline_options
from .output import progress_output, write_event

if TYPE_CHECKING:
    from ..models import Models
    from ..reconstruction import Reconstruction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "evidence",
        type=Path,
        metavar="EVIDENCE",
        help=f"<clip>{SUFFIX}, which reconstruct --keep-evidence writes",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    options.add_device(parser)
    options.add_smoothing(parser)
    parser.add_argument("--json", action="store_true", help="write progress and result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Write DIR/<clip>.npz."""
    from ..models import Models

    name = arguments.evidence.stem
    progress = progress_output(name, as_json=arguments.json)
    try:
        path, _ = solve_again(
            arguments.evidence,
            arguments.output,
            arguments.smoothing,
            lambda: Models.load(arguments.device),
            progress,
        )
    finally:
        progress.close()
    if arguments.json:
        write_event(event="done", clip=name, output=str(path), skipped=False)
    else:
        print(path)
    return ExitCode.DONE


def solve_again(
    evidence: Path,
    folder: Path,
    smoothing: float,
    load_models: Callable[[], "Models"],
    report: Report,
) -> tuple[Path, "Reconstruction"]:
    """Solve kept evidence and write the Reconstruction.

    Args:
        evidence: the file.
        folder: for the Reconstruction.
        smoothing: of the motion in time; all other options are those of the first solve.
        load_models: called once the input was checked.
        report: called for every step; an exception from it ends the work.

    Raises:
        BadInputError: the file, the smoothing or the folder cannot be used.
    """
    from .. import estimation, evidence_file
    from ..stopwatch import Stopwatch

    smoothing = pipeline_options({"smoothing": smoothing}).smoothing
    clip, chosen = evidence_file.load(evidence)
    if not chosen.polish:
        raise BadInputError(
            "Draft quality is not smoothed: reconstruct the clip with another quality."
        )
    check_writable(folder)
    chosen = replace(chosen, smoothing=smoothing)
    result = estimation.estimate(clip, chosen, load_models(), report, Stopwatch())
    path = folder / f"{evidence.stem}.npz"
    result.save(path)
    return path, result
