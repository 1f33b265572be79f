"""Score the reconstruction and the detector alone on data kits with known joints."""

import argparse
from pathlib import Path

from ..errors import BadInputError, ExitCode
from .choices import add_device, add_method, add_quality, pipeline_options
from .telling import teller


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("kits", nargs="+", type=Path, metavar="KIT", help="folder with a gt.json")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write JSON and Markdown there")
    add_device(parser)
    add_method(parser)
    add_quality(parser)


def run(options: argparse.Namespace) -> int:
    """Run the pipeline on every frame of the kits and print the tables."""
    try:
        from ..evaluation.command import evaluate_kits
    except ImportError as error:
        raise BadInputError(
            "The extension comes without the evaluation: run this in a checkout of the project."
        ) from error
    progress = teller("kits", as_json=False)
    try:
        tables = evaluate_kits(
            options.kits,
            options.output,
            device=options.device,
            options=pipeline_options(vars(options)),
            report=progress,
        )
    finally:
        progress.close()
    print(tables)
    return ExitCode.DONE
