"""List the people of a clip after a quick look: people.json and a picture of each person.

`reconstruct --only people.json` keeps who is chosen in it; see `people_list.py` for its keys.
"""

import argparse
from pathlib import Path

from .. import options
from ..atomic_write import check_writable
from ..errors import ExitCode, HundError, OptionError
from ..people_list import FILE_NAME, PeopleList
from ..progress import Report
from .arguments import check_speed
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
    progress = progress_output(arguments.clip.name, as_json=arguments.json)
    try:
        path, found = list_people(
            arguments.clip,
            arguments.out,
            arguments.device,
            progress,
            start=arguments.start,
            end=arguments.end,
            speed=arguments.speed,
        )
    finally:
        progress.close()
    count = len(found.people)
    if arguments.json:
        write_event(event="done", clip=str(arguments.clip), output=str(path), people=count)
    else:
        print(f"{path}: {count} {'person' if count == 1 else 'people'}")
    return ExitCode.DONE


def list_people(
    clip: Path,
    folder: Path,
    device: str,
    report: Report,
    *,
    start: int | None = None,
    end: int | None = None,
    speed: float | None = None,
) -> tuple[Path, PeopleList]:
    """Look at a clip and write the list of its people.

    Args:
        clip: a video, a picture, a folder of pictures or a pattern.
        folder: for the list and the pictures.
        device: that computes.
        report: called after every frame; an exception from it ends the work.
        start: number of the first frame.
        end: number of the last frame, included.
        speed: how many times slower than life the clip plays; None: as it says.

    Raises:
        BadInputError: the clip or the range cannot be used, or the folder cannot be written to.
    """
    from ..video import open_clip

    if min(start or 0, end or 0) < 0:
        raise OptionError("{start} and {end} count from 0: give numbers that are not negative.")
    check_speed(speed)
    open_clip(clip, start=start, end=end, speed=speed).close()
    check_writable(folder)
    from ..device import choose_device
    from ..perception.run import Perception
    from ..quick_look import quick_look

    perception = Perception.open(choose_device(device).type)
    found = quick_look(clip, folder, perception, report, start=start, end=end, speed=speed)
    return folder / FILE_NAME, found
