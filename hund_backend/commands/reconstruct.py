"""Reconstruct the people in clips: DIR/<clip>.npz for each."""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInputError, CancelledError, ExitCode, HundError
from ..options import Options
from .choices import (
    add_adapt,
    add_clip_options,
    add_device,
    add_method,
    add_quality,
    output_path,
    pipeline_options,
    refuse_in_time,
)
from .telling import failure, say, teller

if TYPE_CHECKING:
    from ..pipeline import Models

LOGGER = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "clips",
        nargs="+",
        type=Path,
        metavar="CLIP",
        help="video, picture, folder of pictures or pattern",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    add_device(parser)
    add_quality(parser)
    add_method(parser)
    add_adapt(parser)
    add_clip_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="redo what is already there")
    parser.add_argument("--preview", action="store_true", help="also draw the result")
    parser.add_argument("--json", action="store_true", help="tell everything as JSON lines")


def run(options: argparse.Namespace) -> int:
    """Do a batch: go on past a bad clip, skip what is done; the exit code of the worst."""
    chosen = pipeline_options(vars(options))
    batch = _Batch(options, chosen)
    codes = [batch.do(clip) for clip in options.clips]
    failed = [(clip, code) for clip, code in zip(options.clips, codes, strict=True) if code]
    if failed and len(codes) > 1 and not options.json:
        names = ", ".join(clip.name for clip, _ in failed)
        print(f"{len(failed)} of {len(codes)} clips failed: {names}", file=sys.stderr)
    return max(codes)


class _Batch:
    """Clips done one after the other with the same models."""

    def __init__(self, options: argparse.Namespace, chosen: Options) -> None:
        self._options = options
        self._chosen = chosen
        self._models: Models | None = None
        self._sources: dict[Path, Path] = {}  # result → clip

    def do(self, clip: Path) -> int:
        """Reconstruct one clip and tell about it; answers its exit code."""
        try:
            path = output_path(clip, self._options.output)
            self._refuse_shared(clip, path)
            if path.exists() and not self._options.overwrite:
                self._tell_done(clip, path, "is there already; --overwrite redoes it", True)
                return ExitCode.DONE
            self._write(clip, path)
        except CancelledError:
            raise
        except HundError as error:
            return self._tell_error(clip, str(error), error.exit_code)
        except Exception as error:  # the other clips shall not suffer for it
            LOGGER.exception("%s", clip)
            return self._tell_error(clip, failure(error), ExitCode.FAILED)
        return ExitCode.DONE

    def _refuse_shared(self, clip: Path, path: Path) -> None:
        """Two clips of one name would have one result: the second is not done."""
        other = self._sources.get(path, clip)
        if other.resolve() != clip.resolve():
            raise BadInputError(
                f"{clip} would be written to {path} as {other} is: rename one of them, or choose "
                "another --output folder for it."
            )

    def _write(self, clip: Path, path: Path) -> None:
        refuse_in_time(clip, path, self._chosen)
        from .. import pipeline

        self._models = self._models or pipeline.Models.load(self._options.device)
        progress = teller(clip.name, as_json=self._options.json)
        try:
            result = pipeline.reconstruct(clip, self._chosen, self._models, progress)
        finally:
            progress.close()
        result.save(path)
        people, frames = result.present.shape
        found = f"{people} {'person' if people == 1 else 'people'} in {frames} frames"
        if result.provenance["truncated"]:
            found += f"; {result.provenance['truncated']}"
        self._tell_done(clip, path, found, False)
        if self._options.preview:
            from ..preview import write_preview

            write_preview(result, clip, path.parent, path.stem)

    def _tell_error(self, clip: Path, message: str, code: ExitCode) -> ExitCode:
        if self._options.json:
            say(event="error", clip=str(clip), message=message, exit_code=int(code))
        else:
            print(message, file=sys.stderr)
        return code

    def _tell_done(self, clip: Path, path: Path, how: str, skipped: bool) -> None:
        self._sources[path] = clip
        if self._options.json:
            say(event="done", clip=str(clip), output=str(path), skipped=skipped, message=how)
        else:
            print(f"{path}: {how}")
