"""The command `evaluate`: the pipeline of `reconstruct`, run on data kits and scored."""

import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..atomic_write import check_writable
from ..body.model import BodyModel
from ..errors import NobodyFoundError
from ..options import Options
from ..pipeline import Models, perceive
from ..pipeline import estimate as descend
from ..progress import Progress, Report, silent
from ..provenance import weights_hashes
from ..stopwatch import Stopwatch
from .estimates import Request, Seen
from .kits import Kit, read_kit
from .report import evaluate, markdown, write


def evaluate_kits(
    folders: list[Path],
    output: Path | None = None,
    *,
    device: str = "auto",
    options: Options | None = None,
    report: Report = silent,
) -> str:
    """Score kits with the pipeline as `reconstruct` runs it, and with the detector alone.

    Args:
        folders: of the kits; all are read before the first is scored.
        output: where `evaluation.json` and `evaluation.md` go; nowhere by default.
        device: "auto", "cpu" or "cuda".
        options: of the pipeline; frames and lens are the kits'.
        report: told of every picture and clip.

    Returns:
        The tables as Markdown.

    Raises:
        BadInputError: a kit, the device or the output folder cannot be used.
    """
    kits = [read_kit(folder) for folder in folders]
    if output is not None:
        check_writable(output)
    models = Models.load(device)
    started = time.monotonic()
    options = options or Options()
    look = _telling(report, look_with(models, options), kits)
    result = evaluate(kits, look, BodyModel.load("keypoints"))
    seconds = round(time.monotonic() - started, 1)
    result["provenance"] = _provenance(kits, str(models.device), options) | {"seconds": seconds}
    if output is not None:
        write(result, output)
    return markdown(result)


def look_with(models: Models, chosen: Options) -> Callable[[Request], Seen | None]:
    """The pipeline, answering a kit's requests; all people in view are reconstructed."""

    def look(request: Request) -> Seen | None:
        camera = request.intrinsics
        options = replace(
            chosen,
            start=request.start,
            end=request.end,
            intrinsics=None if camera is None else tuple(map(tuple, camera.tolist())),
        )
        try:
            sight = perceive(request.path, options, models, silent, Stopwatch())
        except NobodyFoundError:
            return None
        reconstruction = descend(sight, options, models, silent, Stopwatch())
        return Seen(reconstruction=reconstruction, evidence=sight.people)

    return look


def _telling(
    report: Report, look: Callable[[Request], Seen | None], kits: list[Kit]
) -> Callable[[Request], Seen | None]:
    """A look that reports how many pictures and clips were seen."""
    pictures = sum(frame.number is None for kit in kits for frame in kit.frames)
    clips = len({(kit.folder, f.path) for kit in kits for f in kit.frames if f.number is not None})
    done = 0

    def told(request: Request) -> Seen | None:
        nonlocal done
        seen = look(request)
        done += 1
        report(Progress(stage="evaluate", done=done, total=pictures + clips))
        return seen

    return told


def _provenance(kits: list[Kit], device: str, options: Options) -> dict[str, Any]:
    """What was run with what."""
    return {
        "command": f"python -m hund_backend evaluate {' '.join(kit.folder.name for kit in kits)}",
        "hund": __version__,
        "commit": _commit(),
        "weights": weights_hashes(),
        "method": options.method,
        "polish": options.polish,
        "device": device,
        "python": platform.python_version(),
        "platform": sys.platform,
    }


def _commit() -> str | None:
    """The checkout's commit, marked where files differ from it; None outside a checkout."""
    git = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=10",
    ]
    try:
        answer = subprocess.run(git, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
