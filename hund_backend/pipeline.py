"""Pipeline: clip → tracked people → states → motion and ground → Reconstruction."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from .body import camera
from .body.model import BodyModel
from .body.skeleton import BLAZEPOSE_NAMES, JOINT_NAMES, PARENTS
from .descent.body_contacts import BodyContacts
from .descent.face.head_turn import with_head_turn
from .descent.face.hund import FaceHund
from .descent.face.model import FaceModel
from .descent.face.solve import FaceMotion, solve_face
from .descent.fit.energy import EnergyConfig
from .descent.fit.fit import FitConfig, fit
from .descent.hands.fusion import add_hands
from .descent.hands.hund import HandHund
from .descent.learned.adaptation import (
    NOT_ADAPTED,
    AdaptationReport,
    AdaptConfig,
    adapt,
)
from .descent.learned.hund import Hund
from .descent.learned.inputs import NetworkInputs
from .descent.learned.track import descend
from .descent.over_shots import descend_by_shot
from .descent.refocus import refocused_evidence, refocused_intrinsics, refocused_result
from .descent.resize import resized
from .descent.result import DescentResult
from .device import choose_device
from .errors import NobodyFoundError
from .lens_metadata import focal_length_px
from .motion.contact_network import ContactNetwork
from .motion.contacts import body_contacts, heel_and_toe
from .motion.focal_length import FocalLength, estimate_focal_length
from .motion.posed_track import PosedTrack, pose_track
from .motion.shared_floor import sizes_on_shared_floor
from .motion.support import NUM_SOLES, Support, estimate_support
from .motion.world import world_from_camera
from .options import DEFAULT_DEVICE, Options, ProgressStage
from .people_list import PeopleList
from .perception.choice import choices
from .perception.evidence import Evidence
from .perception.face.follow import FacePerception
from .perception.run import Perception
from .prior.dynamics import Dynamics
from .prior.pose_flow import PoseFlow
from .progress import Progress, Report, silent
from .provenance import provenance_of, source_of
from .reconstruction import NUM_ARKIT, NUM_EXPRESSION, Reconstruction
from .sources import source_files
from .stopwatch import Stopwatch
from .video import ClipInfo, Frame, open_clip
from .weights_file import record_loaded

# The silhouette fits the body shape and leaves poses alone: the parts themselves err too often to
# pull limbs.
SILHOUETTE_ENERGY = EnergyConfig(
    silhouette=dataclasses.replace(EnergyConfig().silhouette, weight=2.0)
)
LEAST_RESIZING = 0.01  # share of a person's size from which flights or the floor correct it


FocalSource = Literal["option", "metadata", "guess"]


@dataclass(frozen=True, kw_only=True)
class Models:
    """Networks, body, prior and dynamics, loaded once and used for many clips."""

    device: torch.device
    perception: Perception
    body: BodyModel  # with the vertices that keypoints need
    prior: PoseFlow
    hund: Hund  # made for this body and this prior
    contacts: ContactNetwork
    dynamics: Dynamics | None = None  # in the prior's latents; None: smoothing alone
    hand_hund: HandHund | None = None  # None: fingers stay at rest
    weights: dict[str, str] = field(default_factory=dict)  # SHA-256 of their files, by name
    faces: FacePerception | None = None  # None: faces are not read
    face_model: FaceModel | None = None  # None: faces are not solved
    face_hund: FaceHund | None = None  # None: faces are fitted alone
    face_weights: dict[str, str] = field(default_factory=dict)  # as `weights`, of faces alone

    @classmethod
    def load(cls, device: str = DEFAULT_DEVICE) -> "Models":
        """Load all models to a device: "auto", "cpu" or "cuda".

        Raises:
            BadInputError: weights are missing or damaged, or there is no such device.
        """
        chosen = choose_device(device)
        with record_loaded() as face_weights:
            faces, face_model = FacePerception.open(chosen.type), FaceModel.load()
            face_hund = FaceHund.load(face_model)
        with record_loaded() as weights:
            body, prior = BodyModel.load("keypoints").to(chosen), PoseFlow.load().to(chosen)
            return cls(
                device=chosen,
                perception=Perception.open(chosen.type),
                body=body,
                prior=prior,
                hund=Hund.load(body, prior).to(chosen),
                contacts=ContactNetwork.load(),
                dynamics=Dynamics.load(prior).to(chosen),
                hand_hund=HandHund.load(),
                weights=weights,
                faces=faces,
                face_model=face_model,
                face_hund=face_hund,
                face_weights=face_weights,
            )

    def used_weights(self, options: Options) -> dict[str, str]:
        """Return the SHA-256 of the weights behind a reconstruction, by file name."""
        used = self.weights | (self.perception.part_weights if options.parts else {})
        return used | (self.face_weights if options.face else {})


@dataclass(frozen=True, kw_only=True)
class TrackedClip:
    """Result of perception: a clip and the evidence of the people in it."""

    path: Path
    info: ClipInfo
    truncated: str | None  # one sentence if the clip, or reading it, was cut off
    frame_numbers: tuple[int, ...]  # in the source
    times: tuple[float, ...]  # seconds
    intrinsics: Float[np.ndarray, "3 3"]  # of the full frame, px
    people: tuple[Evidence, ...]  # the most prominent first
    shots: tuple[int, ...] = (0,)  # positions in the frames at which shots begin
    left_out: int = 0  # people who were followed and are less prominent
    focal_source: FocalSource = "option"  # where the focal length of the intrinsics is from
    source: dict[str, str] | None = None  # provenance of the clip; None: not known yet
    notes: tuple[str, ...] = ()  # sentences on how the frames differ from what the file stores

    @property
    def fps(self) -> float:
        """Frames per second by the frames' time stamps."""
        steps = np.diff(self.times)
        return float(1 / np.median(steps)) if len(steps) else self.info.fps

    def identity(self, options: Options) -> str:
        """Return what identifies the evidence and the way to solve it but for the smoothing."""
        settings = dataclasses.asdict(options) | {"smoothing": None, "only": None}
        del settings["hands"]  # the evidence has them or not
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(np.array(self.times).tobytes())
        for evidence in self.people:
            arrays = [evidence.frames, evidence.keypoints, evidence.world_landmarks]
            if evidence.hands is not None:
                arrays += [evidence.hands.keypoints, evidence.hands.world_landmarks]
            for array in arrays:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


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
            report=_step_report(report, ProgressStage.DETECT, total),
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
    wanted = set(frame_numbers)
    with open_clip(path, start=options.start, end=frame_numbers[-1]) as clip:
        faces = perception.run(
            (frame for frame in clip if frame.number in wanted),
            people,
            _step_report(report, ProgressStage.FACE, len(frame_numbers)),
        )
    return [dataclasses.replace(each, face=f) for each, f in zip(people, faces, strict=True)]


def estimate(
    clip: TrackedClip, options: Options, models: Models, report: Report, stopwatch: Stopwatch
) -> Reconstruction:
    """Estimate everybody's states, motion and contacts, and the ground."""
    undistorted = [
        _undistort(evidence, clip.intrinsics, options.distortion) for evidence in clip.people
    ]
    with stopwatch.measure(ProgressStage.ADAPT):
        adaptations = _adapt(undistorted, options, models, report)
    reports_of_people = [
        _step_report(report, f"{ProgressStage.POSE} {person}/{len(clip.people)}", None)
        for person in range(1, len(clip.people) + 1)
    ]
    frames, times = len(clip.frame_numbers), np.array(clip.times)
    with stopwatch.measure(ProgressStage.POSE):
        results = [
            _pose(evidence, clip.fps, options, models, hund, step_report)
            for evidence, (hund, _), step_report in zip(
                undistorted, adaptations, reports_of_people, strict=True
            )
        ]
    with stopwatch.measure(ProgressStage.GROUND):
        posed_tracks = _posed(clip.people, results, models, frames)
        support = estimate_support(posed_tracks, times, models.contacts)
        focal = FocalLength(ratio=1.0, confidence=0.0)
        if clip.focal_source == "guess" and not options.distortion:
            soles = tuple(bearing[:, :NUM_SOLES] for bearing in support.bearing)
            focal = estimate_focal_length(posed_tracks, soles, clip.shots)
        intrinsics = clip.intrinsics
        if focal.is_sure:
            intrinsics = refocused_intrinsics(intrinsics, focal.ratio)
            undistorted = [refocused_evidence(evidence, focal.ratio) for evidence in undistorted]
            results = [refocused_result(result, focal.ratio) for result in results]
            posed_tracks = _posed(clip.people, results, models, frames)
            support = estimate_support(posed_tracks, times, models.contacts)
        sizes = np.array([flights.size for flights in support.flights])
        if len(clip.shots) == 1:  # other shots have other cameras, at other heights
            sizes *= sizes_on_shared_floor(tuple(support.floors * sizes), support.main)
        if options.polish and np.abs(sizes - 1).max() > LEAST_RESIZING:
            results = [
                resized(result, models.body, float(size))
                for result, size in zip(results, sizes, strict=True)
            ]
            posed_tracks = _posed(clip.people, results, models, frames)
            support = estimate_support(posed_tracks, times, models.contacts)
    if options.polish:
        with stopwatch.measure(ProgressStage.POSE):
            results = [
                _settle(
                    evidence,
                    clip.fps,
                    options,
                    models,
                    result,
                    support.contacts_of(person, evidence.frames),
                )
                for person, (evidence, result) in enumerate(zip(undistorted, results, strict=True))
            ]
        with stopwatch.measure(ProgressStage.GROUND):
            posed_tracks = _posed(clip.people, results, models, frames)
    if models.hand_hund is not None and any(each.hands is not None for each in undistorted):
        with stopwatch.measure(ProgressStage.POSE):
            results = [
                _with_hands(evidence, clip.fps, models, result)
                for evidence, result in zip(undistorted, results, strict=True)
            ]
            posed_tracks = _posed(clip.people, results, models, frames)
    with stopwatch.measure(ProgressStage.FACE):
        faces = [_solved_face(evidence, clip.fps, models) for evidence in undistorted]
        results = [
            result if face is None else with_head_turn(result, models.body, face)
            for result, face in zip(results, faces, strict=True)
        ]
        if any(face is not None for face in faces):
            posed_tracks = _posed(clip.people, results, models, frames)
    world = _world(posed_tracks, support)
    reports = [adaptation for _, adaptation in adaptations]
    provenance = _provenance(clip, options, models, results, reports, stopwatch)
    provenance["focal_length"] = {
        "px": float(intrinsics[0, 0]),
        "source": "steps" if focal.is_sure else clip.focal_source,
        "confidence": focal.confidence if clip.focal_source == "guess" else None,
    }
    provenance["face"] = [face and face.as_json() for face in faces]
    return _assemble(clip, intrinsics, posed_tracks, faces, support, world, provenance)


def _adapt(
    people: list[Evidence], options: Options, models: Models, report: Report
) -> list[tuple[Hund, AdaptationReport]]:
    """Adapt the network to each person where the options say so, else take it as it is.

    The time is divided by the number of frames, among the people who have enough of them.
    """
    if not options.adapt or options.method != "hund":
        return [(models.hund, NOT_ADAPTED)] * len(people)
    frames = np.array([evidence.observed.sum() for evidence in people])
    usable = frames * (frames >= AdaptConfig.min_frames)
    shares = usable / max(usable.sum(), 1)
    adaptations = []
    for person, evidence in enumerate(people):
        config = AdaptConfig(seconds=options.adapt * float(shares[person]))
        inputs = NetworkInputs.from_evidence(evidence, models.hund.decoder.bones)
        inputs = inputs.select(torch.from_numpy(evidence.observed).nonzero()[:, 0])
        inputs = inputs.to(str(models.device))
        stage = f"{ProgressStage.ADAPT} {person + 1}/{len(people)}"
        step_report = _step_report(report, stage, config.max_steps)
        adaptations.append(adapt(models.hund, models.prior, inputs, config, step_report))
    return adaptations


def _pose(
    evidence: Evidence,
    fps: float,
    options: Options,
    models: Models,
    hund: Hund,
    report: Callable[[int], None],
) -> DescentResult:
    """Estimate a person's states by the learned descent, by the fit, or by one after the other."""

    def pose_shot(shot: Evidence, _: torch.Tensor) -> DescentResult:
        if options.method != "hund":
            return _fit(shot, fps, options, models, report)
        descended = descend(shot, fps, hund, models.body, models.prior, dynamics=models.dynamics)
        if not options.polish:
            return descended
        return _fit(shot, fps, options, models, report, descended)

    return descend_by_shot(evidence, pose_shot)


def _solved_face(evidence: Evidence, fps: float, models: Models) -> FaceMotion | None:
    """Return the motion of a face; None if it was not looked for."""
    if evidence.face is None or models.face_model is None:
        return None
    return solve_face(evidence, fps, models.face_model, models.face_hund)


def _settle(
    evidence: Evidence,
    fps: float,
    options: Options,
    models: Models,
    result: DescentResult,
    contacts: BodyContacts,
) -> DescentResult:
    """Polish a person's states once more, with the points that bear held in place."""
    plain = dataclasses.replace(options, parts=False)  # the silhouette has found the body's shape

    def settle_shot(shot: Evidence, rows: torch.Tensor) -> DescentResult:
        initial = result.select(rows)
        if len(rows) <= 2:  # nothing moves
            return initial
        return _fit(shot, fps, plain, models, lambda step: None, initial, contacts.select(rows))

    return descend_by_shot(evidence, settle_shot)


def _with_hands(
    evidence: Evidence, fps: float, models: Models, result: DescentResult
) -> DescentResult:
    """Add a person's hands to the settled body, if they were looked for."""
    if evidence.hands is None:
        return result
    return add_hands(evidence, result, fps, models.body, models.hand_hund)


def _fit(
    evidence: Evidence,
    fps: float,
    options: Options,
    models: Models,
    report: Callable[[int], None],
    initial: DescentResult | None = None,
    contacts: BodyContacts | None = None,
) -> DescentResult:
    """Fit a person, or refine an initial result, whose stages are kept."""
    energy = SILHOUETTE_ENERGY if options.parts else EnergyConfig()
    fitted = fit(
        evidence,
        fps,
        models.body,
        models.prior,
        FitConfig(energy=energy.smoothed(options.smoothing)),
        report,
        dynamics=models.dynamics,
        skin=BodyModel.load("low") if options.parts else None,
        initial=initial and initial.state,
        contacts=contacts,
    )
    if initial is None:
        return fitted
    # The stages that Blender shows are those that led to the result; a polish adds none.
    return dataclasses.replace(
        fitted, stages=initial.stages, stage_losses=initial.stage_losses, terms=initial.terms
    )


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


def _undistort(
    evidence: Evidence, intrinsics: Float[np.ndarray, "3 3"], distortion: tuple[float, ...]
) -> Evidence:
    """Remove the lens distortion from keypoints and crops of bodies, hands and faces."""
    if not distortion:
        return evidence

    def undistorted(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Move x and y, the first two of the last axis."""
        moved = values.copy()
        pixels = values[..., :2].astype(np.float64)
        moved[..., :2] = camera.undistort(pixels, intrinsics, np.array(distortion))
        return moved

    # A crop is moved as a whole; distortion within it is neglected.
    points = {name: undistorted(getattr(evidence, name)) for name in ("keypoints", "crops")}
    hands, face = evidence.hands, evidence.face
    if hands is not None:
        moved = {name: undistorted(getattr(hands, name)) for name in ("keypoints", "crops")}
        hands = dataclasses.replace(hands, **moved)
    if face is not None:
        face = dataclasses.replace(face, landmarks=undistorted(face.landmarks))
    return dataclasses.replace(evidence, **points, hands=hands, face=face)


def _posed(
    people: tuple[Evidence, ...], results: list[DescentResult], models: Models, frames: int
) -> list[PosedTrack]:
    """Pose everybody in every frame of the clip."""
    return [
        pose_track(evidence, result, models.body, frames)
        for evidence, result in zip(people, results, strict=True)
    ]


def _world(posed_tracks: list[PosedTrack], support: Support) -> Float[np.ndarray, "4 4"]:
    """Return world_from_camera: on the clip's floor, under the main performer's first frame."""
    performer = posed_tracks[support.main]
    origin = performer.joints[performer.present.argmax(), 0].astype(np.float64)
    ground = dataclasses.replace(support.ground, level=support.level)
    return world_from_camera(ground, origin)


def _provenance(
    clip: TrackedClip,
    options: Options,
    models: Models,
    results: list[DescentResult],
    adaptations: list[AdaptationReport],
    stopwatch: Stopwatch,
) -> dict[str, Any]:
    """Return the provenance: source, models, options, time spent, convergence."""
    settings = dataclasses.asdict(options)
    weights = models.used_weights(options)
    source = clip.source or source_of(clip.path)
    return provenance_of(source, str(models.device), settings, weights) | {
        "truncated": clip.truncated,
        "footage": clip.info.footage
        and dataclasses.asdict(clip.info.footage) | {"notes": list(clip.notes)},
        "evidence": clip.identity(options),
        "method": options.method,
        "converged": [result.converged for result in results],
        "people_left_out": clip.left_out,
        "keypoint_names": list(BLAZEPOSE_NAMES),
        "terms": list(results[0].terms),
        "seconds": stopwatch.seconds,
        "adapted": [adaptation.as_json() for adaptation in adaptations] if options.adapt else None,
    }


def _assemble(
    clip: TrackedClip,
    intrinsics: Float[np.ndarray, "3 3"],
    posed_tracks: list[PosedTrack],
    faces: list[FaceMotion | None],
    support: Support,
    world: Float[np.ndarray, "4 4"],
    provenance: dict[str, Any],
) -> Reconstruction:
    """Assemble the Reconstruction."""
    people, frames = len(posed_tracks), len(clip.frame_numbers)

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(person, name) for person in posed_tracks])

    arkit = np.zeros((people, frames, NUM_ARKIT), np.float32)
    for values, evidence, face in zip(arkit, clip.people, faces, strict=True):
        if face is not None:
            values[evidence.frames] = face.arkit

    def over_people(columns: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.stack([columns(bearing) for bearing in support.bearing]).astype(np.float32)

    return Reconstruction(
        provenance=provenance,
        fps=clip.info.fps,
        frame_numbers=np.array(clip.frame_numbers, np.int64),
        times=np.array(clip.times, np.float64),
        image_size=(clip.info.width, clip.info.height),
        intrinsics=np.repeat(intrinsics[None], frames, axis=0),
        world_from_camera=np.repeat(world[None], frames, axis=0),
        joint_names=JOINT_NAMES,
        parents=np.array(PARENTS, np.int64),
        track_ids=np.array([person.track_id for person in posed_tracks], np.int64),
        present=stacked("present"),
        rotations=stacked("rotations"),
        root_translation=stacked("joints")[:, :, 0],
        betas=stacked("betas"),
        expression=np.zeros((people, frames, NUM_EXPRESSION), np.float32),
        arkit=arkit,
        joints=stacked("joints"),
        keypoints=stacked("keypoints"),
        joint_confidence=stacked("joint_confidence"),
        contacts=over_people(lambda bearing: heel_and_toe(bearing[:, :NUM_SOLES])),
        body_contacts=over_people(body_contacts),
        stage_losses=stacked("stage_losses"),
        shots=np.array([clip.frame_numbers[shot] for shot in clip.shots], np.int64),
        static=np.array([evidence.static for evidence in clip.people], np.float32),
        stage_rotations=stacked("stage_rotations"),
        stage_root_translation=stacked("stage_root_translation"),
    )


def _step_report(report: Report, stage: str, total: int | None) -> Callable[[int], None]:
    """Return a function that reports the number of steps done in a stage."""
    return lambda done: report(Progress(stage=stage, done=done, total=total))
