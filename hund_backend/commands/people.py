"""List the people of a clip after a quick look: people.json and a picture of each person.

`reconstruct --only people.json` keeps who is chosen in it; see `people_list.py` for its keys.
"""

import argparse
from pathlib import Path

from .. import options
from ..atomic_write import check_writable
from ..errors import ExitCode, HundError, OptionError
from ..people_list import FILE_NAME
from .output import progress_output, write_event


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("clip", type=Path, metavar="CLIP")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    options.add_device(parser)
    options.add_range(parser)
    parser.add_argument("--json", action="store_true", help="write progress and result as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look at the clip, write the list and say how many people are in it."""
    try:
        return _list(arguments)
    except HundError as error:
        if not arguments.json:
            raise
        write_event(event="error", message=str(error), exit_code=int(error.exit_code))
        return error.exit_code


def _list(arguments: argparse.Namespace) -> int:
    from ..video import open_clip

    start, end = arguments.start, arguments.end
    if min(start or 0, end or 0) < 0:
        raise OptionError("{start} and {end} count from 0: give numbers that are not negative.")
    open_clip(arguments.clip, start=start, end=end).close()
    check_writable(arguments.out)
    from ..device import choose_device
    from ..perception.run import Perception
    from ..quick_look import quick_look

    perception = Perception.open(choose_device(arguments.device).type)
    progress = progress_output(arguments.clip.name, as_json=arguments.json)
    try:
        found = quick_look(
            arguments.clip, arguments.out, perception, progress, start=start, end=end
        )
    finally:
        progress.close()
    path, count = arguments.out / FILE_NAME, len(found.people)
    if arguments.json:
        write_event(event="done", clip=str(arguments.clip), output=str(path), people=count)
    else:
        print(f"{path}: {count} {'person' if count == 1 else 'people'}")
    return ExitCode.DONE
