"""Options that several commands share, and their way into the pipeline."""

import argparse
import math
from pathlib import Path
from typing import Any

from ..errors import BadInputError
from ..options import Options
from ..sources import clip_name

FIELDS = ("people", "start", "end", "adapt", "focal", "fov", "distortion")
ADAPT_SECONDS = 60.0

QUALITIES: dict[str, dict[str, Any]] = {
    "draft": {"stride": 2, "polish": False},
    "standard": {},
    "high": {"parts": True},
}
METHODS = ("hund", "fit")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where to compute."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto"
    )


def add_quality(parser: argparse.ArgumentParser) -> None:
    """How carefully to look."""
    parser.add_argument(
        "--quality",
        choices=QUALITIES,
        default="standard",
        help="draft looks at every second frame and leaves out the polish; high also looks at body "
        "parts, for a truer build, and takes twice as long; default: standard",
    )


def add_method(parser: argparse.ArgumentParser) -> None:
    """How to get from what was seen to bodies."""
    parser.add_argument(
        "--method",
        choices=METHODS,
        default=METHODS[0],
        help="hund: learned descent, polished; fit: gradients alone, slower; default: hund",
    )


def add_adapt(parser: argparse.ArgumentParser) -> None:
    """Whether to learn from the clip."""
    parser.add_argument(
        "--adapt",
        type=float,
        nargs="?",
        const=ADAPT_SECONDS,
        metavar="SECONDS",
        help="learn from the clip itself before posing, for at most so long; kept if it helps; "
        f"default when given alone: {ADAPT_SECONDS:.0f}",
    )


def add_clip_options(parser: argparse.ArgumentParser) -> None:
    """Which frames and people, through which lens."""
    parser.add_argument(
        "--people",
        type=int,
        metavar="N",
        help="follow N people at a time, the largest; default: all",
    )
    parser.add_argument("--start", type=int, metavar="F", help="first frame, counted from 0")
    parser.add_argument("--end", type=int, metavar="F", help="last frame")
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--focal", type=float, metavar="PX", help="focal length in pixels")
    lens.add_argument("--fov", type=float, metavar="DEG", help="horizontal field of view")
    parser.add_argument(
        "--distortion",
        type=float,
        nargs="+",
        default=(),
        metavar="K",
        help="k1 k2 p1 p2 [k3] as in OpenCV",
    )


def pipeline_options(chosen: dict[str, Any]) -> Options:
    """The pipeline's options.

    Raises:
        BadInputError: a value makes no sense.
    """
    values = {name: chosen[name] for name in FIELDS if chosen.get(name) is not None}
    for name in ("people", "start", "end"):
        if name in values and not isinstance(values[name], int):
            raise BadInputError(f"--{name} is {values[name]!r}: give a whole number.")
    for name in ("adapt", "focal", "fov"):
        if name in values and not isinstance(values[name], int | float):
            raise BadInputError(f"--{name} is {values[name]!r}: give a number.")
    if values.get("people", 1) < 1:
        raise BadInputError(f"--people is {values['people']}: keep at least one person.")
    if min(values.get("start", 0), values.get("end", 0)) < 0:
        raise BadInputError("--start and --end count from 0: give numbers that are not negative.")
    if values.get("end", values.get("start", 0)) < values.get("start", 0):
        raise BadInputError(
            f"--end {values['end']} lies before --start {values['start']}: exchange them."
        )
    quality = chosen.get("quality") or "standard"
    if quality not in QUALITIES:
        raise BadInputError(f"--quality is {quality!r}: choose {', '.join(QUALITIES)}.")
    method = chosen.get("method") or METHODS[0]
    if method not in METHODS:
        raise BadInputError(f"--method is {method!r}: choose {' or '.join(METHODS)}.")
    if not 0 <= values.get("adapt", 0) < math.inf:
        raise BadInputError(f"--adapt is {values['adapt']}: give a number of seconds.")
    if values.get("adapt") and method != "hund":
        raise BadInputError(f"--adapt teaches HUND, not --method {method}: leave one of them out.")
    values["method"] = method
    values["distortion"] = _lens(values.get("distortion", ()))
    return Options(**values, **QUALITIES[quality])


def _lens(distortion: Any) -> tuple[float, ...]:  # noqa: ANN401 - a request may hold anything
    """Coefficients of a lens."""
    asked = "give k1 k2 p1 p2 and maybe k3 as OpenCV has them."
    try:
        values = tuple(float(value) for value in distortion)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"--distortion is {distortion!r}: {asked}") from error
    if len(values) not in (0, 4, 5) or not all(map(math.isfinite, values)):
        raise BadInputError(f"--distortion is {' '.join(map(str, values))}: {asked}")
    return values


def output_path(clip: Path, folder: Path) -> Path:
    """Where the Reconstruction of a clip is written."""
    return folder / f"{clip_name(clip)}.npz"


def refuse_in_time(clip: Path, path: Path, options: Options) -> None:
    """Look at a clip and at the place of its result before anything heavy is loaded.

    The folder is made when the clip has turned out to be readable, not before.

    Raises:
        BadInputError: the clip cannot be read, or nothing can be written there.
    """
    from ..video import open_clip

    open_clip(clip, start=options.start, end=options.end).close()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_suffix(".probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadInputError(
            f"{path.parent} cannot be written to ({error.strerror or error}): "
            "choose another --output folder."
        ) from error
