"""Evaluation of the pipeline on data kits, for the command `evaluate`."""

import platform
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import __version__, pipeline
from ..atomic_write import check_writable
from ..body.model import BodyModel
from ..errors import NobodyFoundError
from ..estimation import estimate
from ..models import Models
from ..options import DEFAULT_DEVICE, Options, ProgressStage
from ..progress import Progress, Report, silent
from ..stopwatch import Stopwatch
from .estimates import ClipResult, Predict, Request
from .kits import Kit, read_kit
from .report import evaluate, markdown, write


def evaluate_kits(
    folders: list[Path],
    output: Path | None = None,
    *,
    device: str = DEFAULT_DEVICE,
    options: Options | None = None,
    report: Report = silent,
) -> str:
    """Score the pipeline, as `reconstruct` runs it, and the detector alone on kits.

    Args:
        folders: of the kits; all are read before the first is scored.
        output: folder for `evaluation.json` and `evaluation.md`; None: nothing is written.
        device: "auto", "cpu" or "cuda".
        options: of the pipeline; frames and intrinsics are the kits'.
        report: called after every picture and clip.

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
    predict = _reporting(pipeline_predictor(models, options), kits, report)
    result = evaluate(kits, predict, BodyModel.load("keypoints"))
    seconds = round(time.monotonic() - started, 1)
    result["provenance"] = _provenance(kits, models, options) | {"seconds": seconds}
    if output is not None:
        write(result, output)
    return markdown(result)


def pipeline_predictor(models: Models, options: Options) -> Predict:
    """Return a function that runs the pipeline on a request, for all people in view."""

    def predict(request: Request) -> ClipResult | None:
        camera = request.intrinsics
        chosen = replace(
            options,
            start=request.start,
            end=request.end,
            intrinsics=None if camera is None else tuple(map(tuple, camera.tolist())),
        )
        try:
            clip = pipeline.perceive(request.path, chosen, models, silent, Stopwatch())
        except NobodyFoundError:
            return None
        reconstruction = estimate(clip, chosen, models, silent, Stopwatch())
        return ClipResult(reconstruction=reconstruction, evidence=clip.people)

    return predict


def _reporting(predict: Predict, kits: list[Kit], report: Report) -> Predict:
    """Return a function that predicts and reports the number of pictures and clips done."""
    pictures = sum(frame.number is None for kit in kits for frame in kit.frames)
    clips = len({(kit.folder, f.path) for kit in kits for f in kit.frames if f.number is not None})
    done = 0

    def predict_and_report(request: Request) -> ClipResult | None:
        nonlocal done
        result = predict(request)
        done += 1
        report(Progress(stage=ProgressStage.EVALUATE, done=done, total=pictures + clips))
        return result

    return predict_and_report


def _provenance(kits: list[Kit], models: Models, options: Options) -> dict[str, Any]:
    """Return versions, weights, options and machine of a run."""
    return {
        "command": f"python -m hund_backend evaluate {' '.join(kit.folder.name for kit in kits)}",
        "hund": __version__,
        "commit": _commit(),
        "weights": models.used_weights(options),
        "method": options.method,
        "polish": options.polish,
        "device": str(models.device),
        "python": platform.python_version(),
        "platform": sys.platform,
    }


def _commit() -> str | None:
    """Return the checkout's commit, marked if files differ from it; None outside a checkout."""
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
