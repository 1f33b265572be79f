"""Checks that commands share: from arguments to the pipeline's options, and of a clip's files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic_write import check_writable
from ..errors import OptionError
from ..options import (
    DEFAULT_METHOD,
    DEFAULT_QUALITY,
    DEFAULT_SMOOTHING,
    MAX_SMOOTHING,
    MAX_SPEED,
    METHODS,
    MIN_SPEED,
    QUALITIES,
    Options,
)
from ..people_list import PeopleList
from ..sources import clip_name

_COUNTS = ("people", "start", "end")
_BY_QUALITY = ("hands", "face")  # where they are not given
_NUMBERS = ("adapt", "smoothing", "speed", "focal", "fov")


def pipeline_options(arguments: Mapping[str, Any]) -> Options:
    """Return the pipeline's options of a command line or a request.

    Raises:
        BadInputError: a value is of a wrong type, out of range, or contradicts another.
    """
    names = (*_COUNTS, *_NUMBERS, "distortion")
    values = {name: arguments[name] for name in names if arguments.get(name) is not None}
    for name in _COUNTS:
        if name in values and not isinstance(values[name], int):
            raise OptionError(
                f"{{{name}}} is {{value!r}}: give a whole number.", value=values[name]
            )
    for name in _NUMBERS:
        if name in values and not isinstance(values[name], int | float):
            raise OptionError(f"{{{name}}} is {{value!r}}: give a number.", value=values[name])
    only = arguments.get("only")
    if only is not None and not isinstance(only, str):
        raise OptionError("{only} is {value!r}: give the name of a file.", value=only)
    values["only"] = only
    _check_ranges(values)
    quality = arguments.get("quality") or DEFAULT_QUALITY
    if quality not in QUALITIES:
        choices = ", ".join(QUALITIES)
        raise OptionError(
            "{quality} is {value!r}: choose {choices}.", value=quality, choices=choices
        )
    method = arguments.get("method") or DEFAULT_METHOD
    if method not in METHODS:
        choices = " or ".join(METHODS)
        raise OptionError(
            "{method} is {value!r}: choose {choices}.", value=method, choices=choices
        )
    if values.get("adapt") and method != "hund":
        raise OptionError(
            "{adapt} needs {method} hund, not {value}: leave one of them out.", value=method
        )
    values["distortion"] = _distortion(values.get("distortion", ()))
    chosen = QUALITIES[quality]
    switches = {name: getattr(chosen, name) for name in _BY_QUALITY}
    for name in _BY_QUALITY:
        value = arguments.get(name)
        if value is not None and not isinstance(value, bool):
            raise OptionError(f"{{{name}}} is {{value!r}}: give true or false.", value=value)
        if value is not None:
            switches[name] = value
    return Options(
        **values,
        method=method,
        stride=chosen.stride,
        polish=chosen.polish,
        parts=chosen.parts,
        **switches,
    )


def _check_ranges(values: Mapping[str, Any]) -> None:
    """Check that numbers are in their ranges.

    Raises:
        BadInputError: one is not.
    """
    people, start = values.get("people", 1), values.get("start", 0)
    end, adapt = values.get("end", start), values.get("adapt", 0)
    if people < 1:
        raise OptionError("{people} is {value}: give at least one person.", value=people)
    if min(start, end) < 0:
        raise OptionError("{start} and {end} count from 0: give numbers that are not negative.")
    if end < start:
        raise OptionError(
            "{end} {last} lies before {start} {first}: exchange them.", last=end, first=start
        )
    if not 0 <= adapt < math.inf:
        raise OptionError("{adapt} is {value}: give a number of seconds.", value=adapt)
    check_speed(values.get("speed"))
    smoothing = values.get("smoothing", DEFAULT_SMOOTHING)
    if not 0 <= smoothing <= MAX_SMOOTHING:
        raise OptionError(
            "{smoothing} is {value}: give a number from 0 to {most}.",
            value=smoothing,
            most=MAX_SMOOTHING,
        )


def check_speed(speed: float | None) -> None:
    """Check how many times slower than life a clip plays.

    Raises:
        BadInputError: it is out of range.
    """
    if speed is not None and not MIN_SPEED <= speed <= MAX_SPEED:
        raise OptionError(
            "{speed} is {value}: give a number from {least} to {most}.",
            value=speed,
            least=MIN_SPEED,
            most=MAX_SPEED,
        )


def _distortion(values: Any) -> tuple[float, ...]:  # noqa: ANN401 - a request may hold anything
    """Return the coefficients of a lens, none or k1 k2 p1 p2 [k3].

    Raises:
        BadInputError: they are something else.
    """
    advice = "give k1 k2 p1 p2 and optionally k3, as OpenCV has them."
    try:
        coefficients = tuple(float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{{distortion}} is {{value!r}}: {advice}", value=values) from error
    if len(coefficients) not in (0, 4, 5) or not all(map(math.isfinite, coefficients)):
        listed = " ".join(map(str, coefficients))
        raise OptionError(f"{{distortion}} is {{value}}: {advice}", value=listed)
    return coefficients


def output_path(clip: Path, folder: Path) -> Path:
    """Return the file that a clip's Reconstruction is written to."""
    return folder / f"{clip_name(clip)}.npz"


def check_files(clip: Path, path: Path, options: Options) -> None:
    """Check a clip and its output file before anything heavy is loaded.

    The output folder is made, but only after the clip has turned out to be readable.

    Raises:
        BadInputError: the clip or the list of chosen people cannot be read, or the output folder
            cannot be written to.
    """
    from ..video import open_clip

    open_clip(clip, start=options.start, end=options.end, speed=options.speed).close()
    if options.only is not None:
        PeopleList.load_for(Path(options.only), clip)
    check_writable(path.parent)
