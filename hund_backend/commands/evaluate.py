"""Score the reconstruction and the detector alone on data kits with known joints."""

import argparse
import subprocess
import sys
from pathlib import Path

from ..errors import BadInputError, ExitCode, NobodyFoundError
from .choices import add_device


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("kits", nargs="+", type=Path, metavar="KIT", help="folder with a gt.json")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write JSON and Markdown there")
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    """Run the pipeline on every frame of the kits and print the tables."""
    try:
        from ..evaluation import report
    except ImportError as error:
        raise BadInputError(
            "The extension comes without the evaluation: run this in a checkout of the project."
        ) from error
    from tqdm import tqdm

    from ..body.model import BodyModel
    from ..evaluation.estimates import Request, Seen
    from ..pipeline import Models, Options, estimate, perceive
    from ..progress import silent
    from ..provenance import weights_hashes
    from ..stopwatch import Stopwatch

    models = Models.load(options.device)
    bar = tqdm(unit="clip", disable=not sys.stderr.isatty())

    def look(request: Request) -> Seen | None:
        bar.update()
        known = request.intrinsics
        chosen = Options(
            start=request.start,
            end=request.end,
            intrinsics=None if known is None else tuple(map(tuple, known.tolist())),
        )
        watch = Stopwatch()
        try:
            sight = perceive(request.path, chosen, models, silent, watch)
        except NobodyFoundError:
            return None
        reconstruction = estimate(sight, chosen, models, silent, watch)
        return Seen(reconstruction=reconstruction, evidence=sight.people)

    provenance = {
        "command": "python -m hund_backend evaluate " + " ".join(kit.name for kit in options.kits),
        "commit": _commit(),
        "device": str(models.device),
        "weights": weights_hashes(),
    }
    result = report.evaluate(options.kits, look, BodyModel.load("full"), provenance)
    bar.close()
    if options.output:
        report.write(result, options.output)
    print(report.markdown(result))
    return ExitCode.DONE


def _commit() -> str | None:
    """The commit of the checkout, if it is one."""
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None
