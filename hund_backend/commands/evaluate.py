"""Score the reconstruction and the detector alone on data kits with known joints."""

import argparse
from pathlib import Path

from .. import options
from ..errors import BadInputError, ExitCode
from .arguments import pipeline_options
from .output import progress_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("kits", nargs="+", type=Path, metavar="KIT", help="folder with a gt.json")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write JSON and Markdown there")
    options.add_device(parser)
    options.add_method(parser)
    options.add_quality(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the pipeline on every frame of the kits and print the tables."""
    try:
        from ..evaluation.command import evaluate_kits
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("hund_backend.evaluation"):
            raise
        raise BadInputError(
            "The extension comes without the evaluation: run this in a checkout of the project."
        ) from error
    progress = progress_output("kits", as_json=False)
    try:
        tables = evaluate_kits(
            arguments.kits,
            arguments.output,
            device=arguments.device,
            options=pipeline_options(vars(arguments)),
            report=progress,
        )
    finally:
        progress.close()
    print(tables)
    return ExitCode.DONE
