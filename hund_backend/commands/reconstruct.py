"""Reconstruct the people in clips: DIR/<clip>.npz for each."""

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import options
from ..errors import BadInputError, CancelledError, ExitCode, HundError
from ..evidence_identity import path_beside
from .arguments import check_files, output_path, pipeline_options
from .output import progress_output, unexpected_error, write_event

if TYPE_CHECKING:
    from ..models import Models

LOGGER = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "clips",
        nargs="+",
        type=Path,
        metavar="CLIP",
        help="video, picture, folder of pictures or pattern",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    options.add_device(parser)
    options.add_quality(parser)
    options.add_method(parser)
    options.add_hands(parser)
    options.add_adapt(parser)
    options.add_smoothing(parser)
    options.add_face(parser)
    options.add_frames(parser)
    options.add_lens(parser)
    options.add_keep_evidence(parser)
    options.add_overwrite(parser)
    parser.add_argument("--preview", action="store_true", help="also draw the result")
    parser.add_argument("--json", action="store_true", help="write progress and results as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Reconstruct a batch; return the worst exit code of its clips."""
    batch = _Batch(arguments)
    codes = [batch.reconstruct(clip) for clip in arguments.clips]
    failed = [clip for clip, code in zip(arguments.clips, codes, strict=True) if code]
    if failed and len(codes) > 1 and not arguments.json:
        names = ", ".join(clip.name for clip in failed)
        print(f"{len(failed)} of {len(codes)} clips failed: {names}", file=sys.stderr)
    return max(codes)


class _Batch:
    """Clips reconstructed one after the other with the same models."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._options = pipeline_options(vars(arguments))
        self._models: Models | None = None
        self._clips: dict[Path, Path] = {}  # output file → clip

    def reconstruct(self, clip: Path) -> int:
        """Reconstruct one clip and write what became of it; return its exit code."""
        try:
            path = output_path(clip, self._arguments.output)
            self._check_collision(clip, path)
            if path.exists() and not self._arguments.overwrite:
                self._write_done(clip, path, "exists already; --overwrite redoes it", skipped=True)
                return ExitCode.DONE
            self._reconstruct(clip, path)
        except CancelledError:
            raise
        except HundError as error:
            return self._write_error(clip, str(error), error.exit_code)
        except Exception as error:  # the other clips can still be done
            LOGGER.exception("%s", clip)
            return self._write_error(clip, unexpected_error(error), ExitCode.FAILED)
        return ExitCode.DONE

    def _check_collision(self, clip: Path, path: Path) -> None:
        """Refuse the second of two clips that have the same output file.

        Raises:
            BadInputError: another clip was written to this file.
        """
        other = self._clips.get(path, clip)
        if other.resolve() != clip.resolve():
            raise BadInputError(
                f"{clip} has the same output file, {path}, as {other}: rename one of them, or "
                "choose another --output folder for it."
            )

    def _reconstruct(self, clip: Path, path: Path) -> None:
        check_files(clip, path, self._options)
        from .. import evidence_file, pipeline
        from ..models import Models
        from ..tracked_clip import TrackedClip

        self._models = self._models or Models.load(self._arguments.device)
        progress = progress_output(clip.name, as_json=self._arguments.json)
        kept: list[TrackedClip] = []
        keep = {"keep": kept.append} if self._arguments.keep_evidence else {}
        try:
            result = pipeline.reconstruct(clip, self._options, self._models, progress, **keep)
        finally:
            progress.close()
        for tracked in kept:
            evidence_file.save(tracked, self._options, path_beside(path))
        result.save(path)
        people, frames = result.present.shape
        summary = f"{people} {'person' if people == 1 else 'people'} in {frames} frames"
        if result.provenance["truncated"]:
            summary += f"; {result.provenance['truncated']}"
        self._write_done(clip, path, summary, skipped=False)
        if self._arguments.preview:
            from ..preview import write_preview

            write_preview(result, clip, path.parent, path.stem)

    def _write_error(self, clip: Path, message: str, code: ExitCode) -> ExitCode:
        if self._arguments.json:
            write_event(event="error", clip=str(clip), message=message, exit_code=int(code))
        else:
            print(message, file=sys.stderr)
        return code

    def _write_done(self, clip: Path, path: Path, message: str, *, skipped: bool) -> None:
        self._clips[path] = clip
        if self._arguments.json:
            write_event(
                event="done", clip=str(clip), output=str(path), skipped=skipped, message=message
            )
        else:
            print(f"{path}: {message}")
