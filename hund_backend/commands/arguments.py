"""Checks that commands share: from arguments to the pipeline's options, and of a clip's files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic_write import check_writable
from ..errors import BadInputError
from ..options import DEFAULT_METHOD, DEFAULT_QUALITY, METHODS, QUALITIES, Options
from ..sources import clip_name

_COUNTS = ("people", "start", "end")
_NUMBERS = ("adapt", "focal", "fov")


def pipeline_options(arguments: Mapping[str, Any]) -> Options:
    """Return the pipeline's options of a command line or a request.

    Raises:
        BadInputError: a value is of a wrong type, out of range, or contradicts another.
    """
    names = (*_COUNTS, *_NUMBERS, "distortion")
    values = {name: arguments[name] for name in names if arguments.get(name) is not None}
    for name in _COUNTS:
        if name in values and not isinstance(values[name], int):
            raise BadInputError(f"--{name} is {values[name]!r}: give a whole number.")
    for name in _NUMBERS:
        if name in values and not isinstance(values[name], int | float):
            raise BadInputError(f"--{name} is {values[name]!r}: give a number.")
    if values.get("people", 1) < 1:
        raise BadInputError(f"--people is {values['people']}: give at least one person.")
    if min(values.get("start", 0), values.get("end", 0)) < 0:
        raise BadInputError("--start and --end count from 0: give numbers that are not negative.")
    if values.get("end", values.get("start", 0)) < values.get("start", 0):
        raise BadInputError(
            f"--end {values['end']} lies before --start {values['start']}: exchange them."
        )
    quality = arguments.get("quality") or DEFAULT_QUALITY
    if quality not in QUALITIES:
        raise BadInputError(f"--quality is {quality!r}: choose {', '.join(QUALITIES)}.")
    method = arguments.get("method") or DEFAULT_METHOD
    if method not in METHODS:
        raise BadInputError(f"--method is {method!r}: choose {' or '.join(METHODS)}.")
    if not 0 <= values.get("adapt", 0) < math.inf:
        raise BadInputError(f"--adapt is {values['adapt']}: give a number of seconds.")
    if values.get("adapt") and method != "hund":
        raise BadInputError(
            f"--adapt needs --method hund, not --method {method}: leave one of them out."
        )
    values["distortion"] = _distortion(values.get("distortion", ()))
    chosen = QUALITIES[quality]
    return Options(
        **values, method=method, stride=chosen.stride, polish=chosen.polish, parts=chosen.parts
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
        raise BadInputError(f"--distortion is {values!r}: {advice}") from error
    if len(coefficients) not in (0, 4, 5) or not all(map(math.isfinite, coefficients)):
        raise BadInputError(f"--distortion is {' '.join(map(str, coefficients))}: {advice}")
    return coefficients


def output_path(clip: Path, folder: Path) -> Path:
    """Return the file that a clip's Reconstruction is written to."""
    return folder / f"{clip_name(clip)}.npz"


def check_files(clip: Path, path: Path, options: Options) -> None:
    """Check a clip and its output file before anything heavy is loaded.

    The output folder is made, but only after the clip has turned out to be readable.

    Raises:
        BadInputError: the clip cannot be read, or the output folder cannot be written to.
    """
    from ..video import open_clip

    open_clip(clip, start=options.start, end=options.end).close()
    check_writable(path.parent)
