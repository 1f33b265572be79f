"""Command line: `python -m hund_backend COMMAND`. Commands import torch only when they need it."""

import argparse
import io
import logging
import os
import re
import signal
import sys
from importlib import import_module
from types import FrameType

from . import __version__
from .errors import CancelledError, ExitCode, HundError

# Before numpy is imported. The systems of a track are banded and small: threads wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

COMMANDS = (
    "reconstruct",
    "solve",
    "people",
    "preview",
    "evaluate",
    "serve",
    "inspect",
    "pins",
    "doctor",
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="python -m hund_backend", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f".commands.{name}", __package__)
        summary = module.__doc__.splitlines()[0]
        module.add_arguments(commands.add_parser(name, help=summary, description=summary))
    return parser


def _without_exponent(argument: str) -> str:
    """Rewrite a negative number with an exponent, which argparse takes for an option."""
    if re.fullmatch(r"-\d*\.?\d+e[-+]?\d+", argument, re.IGNORECASE):
        return f"{float(argument):.20f}"
    return argument


def _cancel(number: int, frame: FrameType | None) -> None:
    raise CancelledError("Cancelled: finished clips are kept.")


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: of the command line, without the program's name; None: the process's own.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = build_parser().parse_args([_without_exponent(argument) for argument in argv])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name of a clip may have any characters
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGINT, _cancel)
    signal.signal(signal.SIGTERM, _cancel)
    try:
        return import_module(f".commands.{arguments.command}", __package__).run(arguments)
    except HundError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # nobody reads the output any more
        return ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
