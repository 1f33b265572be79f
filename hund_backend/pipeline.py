"""The whole route: video → evidence → states → motion → Reconstruction."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from .body import camera
from .body.model import BodyModel
from .body.skeleton import BLAZEPOSE_NAMES, JOINT_NAMES, PARENTS
from .descent.adaptation import NO_LESSON, AdaptConfig, Lesson, adapted
from .descent.crop_evidence import CropEvidence
from .descent.fitting import FitConfig, FitResult, fit
from .descent.hund import Hund
from .descent.neural_descent import descend
from .descent.objective import EnergyConfig
from .device import choose_device
from .errors import NobodyFoundError
from .motion.contacts import foot_contacts, resting
from .motion.ground import estimate_ground
from .motion.performance import Performance, perform
from .motion.world import world_from_camera
from .options import Options
from .perception.evidence import Evidence
from .perception.eyes import Eyes
from .prior.dynamics import Dynamics
from .prior.pose_flow import WEIGHTS_FILE, PoseFlow
from .progress import Progress, Report, silent
from .provenance import provenance_of
from .reconstruction import NUM_ARKIT, NUM_EXPRESSION, Reconstruction
from .stopwatch import Stopwatch
from .video import ClipInfo, Frame, open_clip

# The outline tells the build and leaves poses alone; the parts themselves err too often to pull limbs.
OUTLINED = EnergyConfig(silhouette=2.0)
Enough = Callable[[], bool]  # whether the user wants no more frames looked at


def never() -> bool:
    """Look at the whole clip."""
    return False


@dataclass(frozen=True, kw_only=True)
class Models:
    """Everything that is loaded once and used for many clips."""

    device: torch.device
    eyes: Eyes
    body: BodyModel  # with the vertices that keypoints need
    prior: PoseFlow
    hund: Hund  # made for this body and this prior
    dynamics: Dynamics | None = None  # in the prior's latents; without them motion is only smooth

    @classmethod
    def load(cls, device: str = "auto") -> "Models":
        """Load networks, body and prior to a device: "auto", "cpu" or "cuda".

        Raises:
            BadInputError: weights are missing or damaged, or there is no such device.
        """
        chosen = choose_device(device)
        body, prior = BodyModel.load("keypoints").to(chosen), PoseFlow.load().to(chosen)
        return cls(
            device=chosen,
            eyes=Eyes.open(chosen.type),
            body=body,
            prior=prior,
            hund=Hund.load(body, prior).to(chosen),
            dynamics=Dynamics.load(WEIGHTS_FILE).to(chosen),
        )


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A clip as the eyes leave it."""

    path: Path
    info: ClipInfo
    truncated: str | None  # a sentence if the clip, or looking at it, was cut off
    numbers: tuple[int, ...]  # of the frames, in the source
    times: tuple[float, ...]  # seconds
    intrinsics: Float[np.ndarray, "3 3"]  # of the full frame, px
    people: tuple[Evidence, ...]  # in order of appearance

    @property
    def rate(self) -> float:
        """Frames per second as they were stamped."""
        steps = np.diff(self.times)
        return float(1 / np.median(steps)) if len(steps) else self.info.fps


def reconstruct(
    path: Path,
    options: Options,
    models: Models,
    report: Report = silent,
    enough: Enough = never,
) -> Reconstruction:
    """People in a clip, posed.

    Args:
        path: a video, a picture, a folder of pictures or a pattern.
        options: what the user chose.
        models: loaded once.
        report: told of every frame and step; what it raises ends the work.
        enough: asked before every frame; from True on, the frames seen so far are the clip.

    Raises:
        BadInputError: the clip or an option cannot be used.
        NobodyFoundError: nobody is in view.
    """
    watch = Stopwatch()
    sight = perceive(path, options, models, report, watch, enough)
    return estimate(sight, options, models, report, watch)


def perceive(
    path: Path,
    options: Options,
    models: Models,
    report: Report,
    watch: Stopwatch,
    enough: Enough = never,
) -> Sight:
    """Read a clip and follow the people in it; frames are let go as soon as they were seen."""
    numbers: list[int] = []
    times: list[float] = []
    stopped: str | None = None

    def noted(frames: Iterable[Frame]) -> Iterator[Frame]:
        nonlocal stopped
        for frame in frames:
            if (frame.number - (options.start or 0)) % options.stride:
                continue
            if enough():
                stopped = f"{path.name} was looked at up to frame {frame.number - 1}, as asked."
                return
            numbers.append(frame.number)
            times.append(frame.time)
            yield frame

    with watch.measure("look"), open_clip(path, start=options.start, end=options.end) as clip:
        intrinsics, total = _intrinsics(options, clip.info), clip.info.num_frames
        people = models.eyes.watch(
            noted(clip),
            intrinsics,
            fps=clip.info.fps / options.stride,
            max_people=options.people,
            parts=options.parts,
            report=_telling(report, "look", total and math.ceil(total / options.stride)),
        )
    if not people:
        raise NobodyFoundError(
            f"Nobody was found in {path.name}: choose frames in which a person is well in view."
        )
    return Sight(
        path=path,
        info=clip.info,
        truncated=stopped or clip.truncated,
        numbers=tuple(numbers),
        times=tuple(times),
        intrinsics=intrinsics,
        people=tuple(people),
    )


def estimate(
    sight: Sight, options: Options, models: Models, report: Report, watch: Stopwatch
) -> Reconstruction:
    """Descend to everybody's states, find the ground, gather the answer."""
    straight = [_undistorted(e, sight.intrinsics, options.distortion) for e in sight.people]
    with watch.measure("adapt"):
        lessons = _learned(straight, sight, options, models, report)
    with watch.measure("descend"):
        fits = [
            _descended(
                evidence,
                sight,
                options,
                models,
                hund,
                _telling(report, f"descend {person}/{len(sight.people)}", None),
            )
            for person, (evidence, (hund, _)) in enumerate(
                zip(straight, lessons, strict=True), start=1
            )
        ]
    with watch.measure("ground"):
        performances = [
            perform(evidence, result, models.body, len(sight.numbers))
            for evidence, result in zip(sight.people, fits, strict=True)
        ]
        contacts, world = _grounded(performances, np.array(sight.times))
    story = _story(sight, options, models, fits, watch)
    story["adapted"] = [lesson.told() for _, lesson in lessons] if options.adapt else None
    return _gathered(sight, performances, contacts, world, story)


def _learned(
    people: list[Evidence], sight: Sight, options: Options, models: Models, report: Report
) -> list[tuple[Hund, Lesson]]:
    """For each person the network that poses them: a copy that learned from the clip, if asked for.

    The time is shared out by the number of frames, among those of whom there are enough.
    """
    if not options.adapt or options.method != "hund":
        return [(models.hund, NO_LESSON)] * len(people)
    frames = np.array([evidence.observed.sum() for evidence in people])
    teaching = frames * (frames >= AdaptConfig.fewest)
    shares = teaching / max(teaching.sum(), 1)
    lessons = []
    for person, evidence in enumerate(people):
        config = AdaptConfig(seconds=options.adapt * float(shares[person]))
        intrinsics = np.repeat(sight.intrinsics[None], len(evidence.frames), axis=0)
        seen = CropEvidence.of(evidence, intrinsics, models.hund.marionette.bones)
        seen = seen.at(torch.from_numpy(evidence.observed).nonzero()[:, 0])
        telling = _telling(report, f"adapt {person + 1}/{len(people)}", config.steps)
        seen = seen.to(str(models.device))
        lessons.append(adapted(models.hund, models.prior, seen, config, telling))
    return lessons


def _descended(
    evidence: Evidence,
    sight: Sight,
    options: Options,
    models: Models,
    hund: Hund,
    report: Callable[[int], None],
) -> FitResult:
    """A person's states by the way that the user chose."""
    intrinsics = np.repeat(sight.intrinsics[None], len(evidence.frames), axis=0)
    seen = evidence, intrinsics, sight.rate
    found = None
    if options.method == "hund":
        told = hund, models.body, models.prior
        found = descend(*seen, *told, dynamics=models.dynamics)
        if not options.polish:
            return found
    fitted = fit(
        *seen,
        models.body,
        models.prior,
        FitConfig(energy=OUTLINED) if options.parts else None,
        report,
        dynamics=models.dynamics,
        skin=BodyModel.load("low") if options.parts else None,
        start=found and found.state,
    )
    if found is None:
        return fitted
    # What the descent believed on its way is what people want to see; the polish is its last word.
    return dataclasses.replace(
        fitted, stages=found.stages, stage_losses=found.stage_losses, terms=found.terms
    )


def _intrinsics(options: Options, info: ClipInfo) -> Float[np.ndarray, "3 3"]:
    if options.intrinsics is not None:
        return np.array(options.intrinsics, dtype=np.float64)
    if options.focal is not None:
        return camera.intrinsics_from_focal(options.focal, info.width, info.height)
    if options.fov is not None:
        return camera.intrinsics_from_fov(options.fov, info.width, info.height)
    return camera.default_intrinsics(info.width, info.height)


def _undistorted(
    evidence: Evidence, intrinsics: Float[np.ndarray, "3 3"], distortion: tuple[float, ...]
) -> Evidence:
    """The evidence as a camera without distortion would have seen it."""
    if not distortion:
        return evidence
    keypoints = evidence.keypoints.copy()
    coefficients = np.array(distortion)
    pixels = camera.undistort(keypoints[..., :2].astype(np.float64), intrinsics, coefficients)
    keypoints[..., :2] = pixels
    # What stands in a crop moves with it; that the lens bends it within the crop is left out.
    crops = evidence.crops.copy()
    crops[:, :2] = camera.undistort(crops[:, :2].astype(np.float64), intrinsics, coefficients)
    return dataclasses.replace(evidence, keypoints=keypoints, crops=crops)


def _grounded(
    performances: list[Performance], times: Float[np.ndarray, " frames"]
) -> tuple[Float[np.ndarray, "people frames 4"], Float[np.ndarray, "4 4"]]:
    """Contacts of everybody's feet, and the world."""
    rest = [resting(person.feet, times) * person.present[:, None] for person in performances]
    ground = estimate_ground(
        [person.feet for person in performances],
        rest,
        [person.upright for person in performances],
    )
    contacts = [
        foot_contacts(person.feet, times, ground.up, height) * person.present[:, None]
        for person, height in zip(performances, ground.heights, strict=True)
    ]
    first = performances[0]
    origin = first.joints[first.present.argmax(), 0].astype(np.float64)
    return np.stack(contacts), world_from_camera(ground, origin)


def _story(
    sight: Sight, options: Options, models: Models, fits: list[FitResult], watch: Stopwatch
) -> dict[str, Any]:
    """The provenance: made from what, with what, how long it took, how well it went."""
    chosen = dataclasses.asdict(options)
    return provenance_of(sight.path, str(models.device), chosen) | {
        "truncated": sight.truncated,
        "method": options.method,
        "converged": [result.converged for result in fits],
        "keypoint_names": list(BLAZEPOSE_NAMES),
        "terms": list(fits[0].terms),
        "seconds": watch.seconds,
    }


def _gathered(
    sight: Sight,
    performances: list[Performance],
    contacts: Float[np.ndarray, "people frames 4"],
    world: Float[np.ndarray, "4 4"],
    story: dict[str, Any],
) -> Reconstruction:
    people, frames = len(performances), len(sight.numbers)

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(person, name) for person in performances])

    return Reconstruction(
        provenance=story,
        fps=sight.info.fps,
        frame_numbers=np.array(sight.numbers, np.int64),
        times=np.array(sight.times, np.float64),
        image_size=(sight.info.width, sight.info.height),
        intrinsics=np.repeat(sight.intrinsics[None], frames, axis=0),
        world_from_camera=np.repeat(world[None], frames, axis=0),
        joint_names=JOINT_NAMES,
        parents=np.array(PARENTS, np.int64),
        track_ids=np.array([person.track_id for person in performances], np.int64),
        present=stacked("present"),
        rotations=stacked("rotations"),
        root_translation=stacked("joints")[:, :, 0],
        betas=stacked("betas"),
        expression=np.zeros((people, frames, NUM_EXPRESSION), np.float32),
        arkit=np.zeros((people, frames, NUM_ARKIT), np.float32),
        joints=stacked("joints"),
        keypoints=stacked("keypoints"),
        joint_confidence=stacked("joint_confidence"),
        contacts=contacts.astype(np.float32),
        stage_losses=stacked("stage_losses"),
        stage_rotations=stacked("stage_rotations"),
        stage_root_translation=stacked("stage_root_translation"),
    )


def _telling(report: Report, stage: str, total: int | None) -> Callable[[int], None]:
    return lambda done: report(Progress(stage=stage, done=done, total=total))
