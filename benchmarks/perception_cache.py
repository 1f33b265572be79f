"""Perception of pictures and clips, run once and kept on disk.

What it finds does not depend on the networks that pose people, so one cache serves all of them.
"""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from hund_backend import evidence_file, pipeline
from hund_backend.atomic_write import write_file
from hund_backend.errors import NobodyFoundError
from hund_backend.estimation import estimate
from hund_backend.evaluation.estimates import ClipResult, Request
from hund_backend.models import Models
from hund_backend.options import Options
from hund_backend.progress import silent
from hund_backend.stopwatch import Stopwatch
from hund_backend.tracked_clip import TrackedClip
from hund_backend.weights_file import WEIGHTS


class PerceptionCache:
    """Evidence of pictures and clips in a folder, which can be deleted at any time.

    A file's name depends on the source, the options and the weights of perception. After a change
    of perception's code the folder has to be deleted.
    """

    def __init__(self, models: Models, folder: Path) -> None:
        self.models, self.folder = models, folder
        self.weights = {
            name: digest
            for name, digest in models.weights.items()
            if (WEIGHTS / "perception" / name).exists()
        }

    def perceive(self, request: Request, options: Options) -> TrackedClip | None:
        """Return the people found in a picture or clip; None where nobody is found.

        Args:
            request: the source, its frames and intrinsics.
            options: of perception.
        """
        options = options_for(request, options)
        path = self.folder / f"{request.path.stem}-{self._key(request, options)}.evidence"
        nobody = path.with_suffix(".nobody")
        if nobody.exists():
            return None
        if path.exists():
            return evidence_file.load(path)[0]
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            clip = pipeline.perceive(request.path, options, self.models, silent, Stopwatch())
        except NobodyFoundError:
            write_file(nobody, b"")
            return None
        evidence_file.save(clip, options, path)
        return clip

    def predict(
        self,
        request: Request,
        options: Options,
        *,
        perception: Options,
        models: Models | None = None,
    ) -> ClipResult | None:
        """Reconstruct the people in a picture or clip; None where nobody is found.

        Args:
            request: the source, its frames and intrinsics.
            options: of the estimation.
            perception: options of perception.
            models: that pose people; by default those of perception.
        """
        clip = self.perceive(request, perception)
        if clip is None:
            return None
        options, models = options_for(request, options), models or self.models
        reconstruction = estimate(clip, options, models, silent, Stopwatch())
        return ClipResult(reconstruction=reconstruction, evidence=clip.people)

    def _key(self, request: Request, options: Options) -> str:
        named = [str(request.path.resolve()), asdict(options), self.weights]
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]


def options_for(request: Request, options: Options) -> Options:
    """Return options with the frames and intrinsics of a request."""
    camera = request.intrinsics
    return replace(
        options,
        start=request.start,
        end=request.end,
        intrinsics=None if camera is None else tuple(map(tuple, camera.tolist())),
    )
