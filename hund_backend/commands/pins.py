"""Solve the frames around pins of a reconstruction again.

The request is a JSON object:
    "reconstruction": the .npz file, which is only read
    "person": index of the person in it
    "pins": a list of {"frame": position in the file's frames, "joint": "HandL", …, "place": x, y, z
        in the camera frame, metres}
    "motion": optional, an .npz file with "rotations" (frames, joints, 4) and "root_translation"
        (frames, 3), to be changed instead of the reconstruction's
    "reach": optional, seconds before and after a pin that may change

The answer is an .npz file: "frames" that were solved again, their "rotations" and
"root_translation", and "misses", the distances that remain to the pins, metres.
"""

import argparse
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic_write import atomic_write
from ..errors import BadInputError, ExitCode

if TYPE_CHECKING:
    from ..pins import Bodies, Motion, Pin, SolvedPins
    from ..reconstruction import Reconstruction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("request", type=Path, metavar="REQUEST.json")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.npz")


def run(arguments: argparse.Namespace) -> int:
    """Answer the request in a file, and print how near the joints are to their pins."""
    try:
        request = json.loads(arguments.request.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(
            f"{arguments.request} cannot be read ({error.strerror or error})."
        ) from error
    except ValueError as error:
        raise BadInputError(f"{arguments.request.name} is no JSON.") from error
    # Small matrices: more threads only wait for each other. Read when the libraries are imported.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from ..pins import Bodies

    solved = answer(request, arguments.output, Bodies.load())
    for miss in solved.misses:
        print(f"{1000 * miss:.1f} mm")
    return ExitCode.DONE


def answer(request: Mapping[str, Any], output: Path, bodies: "Bodies") -> "SolvedPins":
    """Solve what a request says, and write the answer.

    Raises:
        BadInputError: the request or one of its files cannot be used.
    """
    import numpy as np

    from ..pins import REACH, solve_pins
    from ..reconstruction import Reconstruction

    reconstruction = Reconstruction.load(Path(_text(request, "reconstruction")))
    reach, person = request.get("reach", REACH), request.get("person")
    if not isinstance(person, int) or isinstance(person, bool):
        raise BadInputError("The request names no person.")
    if not isinstance(reach, int | float) or not 0 <= reach < 60:
        raise BadInputError(f"The reach is {reach!r}: give a number of seconds.")
    motion = None
    if request.get("motion") is not None:
        motion = _motion(Path(_text(request, "motion")), reconstruction)
    solved = solve_pins(
        reconstruction, person, _pins(request), bodies, motion=motion, reach=float(reach)
    )
    with atomic_write(output) as [part], part.open("wb") as opened:
        np.savez(
            opened,
            frames=solved.frames,
            rotations=solved.motion.rotations[solved.frames],
            root_translation=solved.motion.root_translation[solved.frames],
            misses=solved.misses,
        )
    return solved


def _text(request: Mapping[str, Any], key: str) -> str:
    if not isinstance(request, Mapping) or not isinstance(request.get(key), str):
        raise BadInputError(f"The request names no {key}.")
    return request[key]


def _pins(request: Mapping[str, Any]) -> "list[Pin]":
    from ..pins import Pin

    try:
        return [
            Pin(
                frame=int(pin["frame"]),
                joint=str(pin["joint"]),
                place=(float(pin["place"][0]), float(pin["place"][1]), float(pin["place"][2])),
            )
            for pin in request["pins"]
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInputError(
            "The request's pins are wrong: each has a frame, a joint and a place."
        ) from error


def _motion(path: Path, reconstruction: "Reconstruction") -> "Motion":
    import numpy as np

    from ..pins import Motion

    shape = reconstruction.rotations.shape[1:]
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            rotations = file["rotations"].astype(np.float32)
            translation = file["root_translation"].astype(np.float32)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path.name} is damaged or no motion.") from error
    is_finite = np.isfinite(rotations).all() and np.isfinite(translation).all()
    if rotations.shape != shape or translation.shape != (shape[0], 3) or not is_finite:
        raise BadInputError(f"{path.name} is the motion of another reconstruction.")
    return Motion(rotations=rotations, root_translation=translation)
