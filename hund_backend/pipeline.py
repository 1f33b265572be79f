"""Pipeline: clip → tracked people → states, motion and ground → Reconstruction."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .body import camera
from .errors import NobodyFoundError
from .estimation import estimate
from .lens_metadata import focal_length_px
from .models import Models
from .options import Options, ProgressStage
from .people_list import PeopleList
from .perception.choice import choices
from .perception.evidence import Evidence
from .perception.face.follow import FacePerception
from .progress import Report, silent, step_report
from .provenance import source_of
from .reconstruction import Reconstruction
from .sources import source_files
from .stopwatch import Stopwatch
from .tracked_clip import FocalSource, TrackedClip
from .video import ClipInfo, Frame, open_clip


def reconstruct(
    path: Path,
    options: Options,
    models: Models,
    report: Report = silent,
    stop_early: Callable[[], bool] = lambda: False,
    keep: Callable[[TrackedClip], object] = lambda clip: None,
) -> Reconstruction:
    """Reconstruct the people in a clip.

    Args:
        path: a video, a picture, a folder of pictures or a pattern.
        options: of the pipeline.
        models: loaded once.
        report: called for every frame and step; an exception from it ends the work.
        stop_early: called before every frame; once it returns True, no more frames are read and
            those processed are taken for the clip.
        keep: called with the people found before they are posed.

    Raises:
        BadInputError: the clip or an option cannot be used.
        NobodyFoundError: no person was found.
    """
    stopwatch = Stopwatch()
    clip = perceive(path, options, models, report, stopwatch, stop_early)
    keep(clip)
    return estimate(clip, options, models, report, stopwatch)


def perceive(
    path: Path,
    options: Options,
    models: Models,
    report: Report,
    stopwatch: Stopwatch,
    stop_early: Callable[[], bool] = lambda: False,
) -> TrackedClip:
    """Read a clip, detect and track the people in it; frames are not kept in memory.

    Raises:
        BadInputError: the clip or an option cannot be used.
        NobodyFoundError: no person was found.
    """
    frame_numbers: list[int] = []
    times: list[float] = []
    listed = None if options.only is None else PeopleList.load_for(Path(options.only), path)
    stopped: str | None = None

    def chosen(frames: Iterable[Frame]) -> Iterator[Frame]:
        nonlocal stopped
        for frame in frames:
            if (frame.number - (options.start or 0)) % options.stride:
                continue
            if stop_early():
                stopped = (
                    f"{path.name} was processed up to frame {frame.number - 1}, as requested."
                )
                return
            frame_numbers.append(frame.number)
            times.append(frame.time)
            yield frame

    with (
        stopwatch.measure(ProgressStage.DETECT),
        open_clip(path, start=options.start, end=options.end, speed=options.speed) as clip,
    ):
        intrinsics, focal_source = _intrinsics(options, clip.info)
        total = clip.info.num_frames
        total = total and math.ceil(total / options.stride)
        people = models.perception.run(
            chosen(clip),
            intrinsics,
            fps=clip.info.fps / options.stride,
            max_people=options.people,
            parts=options.parts,
            hands=options.hands,
            report=step_report(report, ProgressStage.DETECT, total),
            choose=listed
            and (lambda found: choices(listed.people, found, np.array(times, np.float64))),
        )
    if not people and listed is not None:
        raise NobodyFoundError(
            f"Nobody who is chosen in {Path(options.only).name} was found in {path.name}: choose "
            "other people or frames."
        )
    if not people:
        raise NobodyFoundError(
            f"Nobody was found in {path.name}: choose frames in which a person is well in view."
        )
    if options.face and models.faces is not None:
        with stopwatch.measure(ProgressStage.FACE):
            people[:] = _with_faces(people, path, options, models.faces, frame_numbers, report)
    return TrackedClip(
        path=path,
        info=clip.info,
        truncated=stopped or clip.truncated,
        frame_numbers=tuple(frame_numbers),
        times=tuple(times),
        intrinsics=intrinsics,
        people=tuple(people),
        shots=people.shots,
        left_out=people.left_out,
        source=source_of(path),
        notes=clip.notes,
        focal_source=focal_source,
    )


def _with_faces(
    people: list[Evidence],
    path: Path,
    options: Options,
    perception: FacePerception,
    frame_numbers: list[int],
    report: Report,
) -> list[Evidence]:
    """Return the evidence with faces, from a second reading of the frames that were processed."""
    span = perception.span(people)
    wanted = set(frame_numbers[span.start : span.stop])
    step = step_report(report, ProgressStage.FACE, len(frame_numbers))
    if wanted:
        with open_clip(path, start=min(wanted), end=max(wanted)) as clip:
            frames = (frame for frame in clip if frame.number in wanted)
            faces = perception.run(frames, people, step, first=span.start)
    else:
        faces = perception.run((), people)
    return [dataclasses.replace(each, face=f) for each, f in zip(people, faces, strict=True)]


def _intrinsics(options: Options, info: ClipInfo) -> tuple[Float[np.ndarray, "3 3"], FocalSource]:
    """Return the full frame's intrinsics in px: by the options, else the file, else by default."""
    if options.intrinsics is not None:
        return np.array(options.intrinsics, dtype=np.float64), "option"
    if options.focal is not None:
        return camera.intrinsics_from_focal(options.focal, info.width, info.height), "option"
    if options.fov is not None:
        return camera.intrinsics_from_fov(options.fov, info.width, info.height), "option"
    stated = focal_length_px(source_files(info.path)[0], info.width, info.height)
    if stated is not None:
        return camera.intrinsics_from_focal(stated, info.width, info.height), "metadata"
    return camera.default_intrinsics(info.width, info.height), "guess"
