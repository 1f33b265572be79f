"""The command line: `python -m hund_backend COMMAND`. Imports no torch before a command needs it."""

import argparse
import logging
import re
import signal
import sys
from importlib import import_module
from types import FrameType

from . import __version__
from .errors import CancelledError, ExitCode, HundError

COMMANDS = ("reconstruct", "preview", "evaluate", "serve", "doctor")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    main = argparse.ArgumentParser(prog="python -m hund_backend", description=__doc__)
    main.add_argument("--version", action="version", version=__version__)
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = import_module(f".commands.{name}", __package__)
        summary = module.__doc__.splitlines()[0]
        module.arguments(commands.add_parser(name, help=summary, description=summary))
    return main


def _plain(argument: str) -> str:
    """A negative number with an exponent, as OpenCV prints it, without: argparse reads no other."""
    if re.fullmatch(r"-\d*\.?\d+e[-+]?\d+", argument, re.IGNORECASE):
        return f"{float(argument):.20f}"
    return argument


def _cancel(number: int, frame: FrameType | None) -> None:
    raise CancelledError("Cancelled: what was finished is kept.")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; answers its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args([_plain(argument) for argument in given])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    signal.signal(signal.SIGINT, _cancel)
    signal.signal(signal.SIGTERM, _cancel)
    try:
        return import_module(f".commands.{options.command}", __package__).run(options)
    except HundError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read our output has gone
        return ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main())
