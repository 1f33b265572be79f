"""Estimation: everybody's states, motion, contacts and the ground, from the evidence of a clip."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float

from .assembly import assemble, provenance_of_job
from .body.model import BodyModel
from .descent.body_contacts import BodyContacts
from .descent.expected_betas import ExpectedBetas
from .descent.face.head_turn import with_head_turn
from .descent.face.joint_confidence import with_face_confidence
from .descent.face.solve import FaceMotion, solve_face
from .descent.fit.energy import EnergyConfig
from .descent.fit.fit import FitConfig, fit
from .descent.hands.fusion import add_hands
from .descent.learned.adaptation import NOT_ADAPTED, AdaptationReport, AdaptConfig, adapt
from .descent.learned.hund import Hund
from .descent.learned.inputs import NetworkInputs
from .descent.learned.track import descend
from .descent.over_shots import descend_by_shot
from .descent.refocus import refocused_evidence, refocused_intrinsics, refocused_result
from .descent.resize import resized
from .descent.result import DescentResult
from .models import Models
from .motion.focal_length import FocalLength, estimate_focal_length
from .motion.posed_track import PosedTrack, pose_track
from .motion.shared_floor import sizes_on_shared_floor
from .motion.support import NUM_SOLES, Support, estimate_support
from .options import Options, ProgressStage
from .perception.evidence import Evidence
from .perception.undistortion import undistort_evidence
from .progress import Report, step_report
from .reconstruction import Reconstruction
from .stopwatch import Stopwatch
from .tracked_clip import TrackedClip

# The silhouette fits the body shape and leaves poses alone: the parts themselves err too often to
# pull limbs.
SILHOUETTE_ENERGY = EnergyConfig(
    silhouette=dataclasses.replace(EnergyConfig().silhouette, weight=2.0)
)
LEAST_RESIZING = 0.01  # share of a person's size from which flights or the floor correct it
UNKNOWN_FOCAL_LENGTH = FocalLength(ratio=1.0, confidence=0.0)


def estimate(
    clip: TrackedClip, options: Options, models: Models, report: Report, stopwatch: Stopwatch
) -> Reconstruction:
    """Estimate everybody's states, motion and contacts, and the ground.

    Everybody is posed alone; together they tell floor, focal length and sizes. Then all are polished
    once more with what bears them held in place, and hands and faces are added.
    """
    people = People(clip, models, options)
    adaptations = people.pose(report, stopwatch)
    with stopwatch.measure(ProgressStage.GROUND):
        support = people.support()
        focal = people.focal_length(support)
        if focal.is_sure:
            people.refocus(focal.ratio)
            support = people.support()
        sizes = people.sizes(support)
        if options.polish and np.abs(sizes - 1).max() > LEAST_RESIZING:
            people.resize(sizes)
            support = people.support()
    with stopwatch.measure(ProgressStage.POSE):
        if options.polish:
            people.settle(support)
        people.add_hands()
    with stopwatch.measure(ProgressStage.FACE):
        faces = people.add_faces()
    with stopwatch.measure(ProgressStage.GROUND):
        tracks = people.tracks
    provenance = provenance_of_job(clip, options, models, people.results, adaptations, stopwatch)
    provenance["focal_length"] = {
        "px": float(people.intrinsics[0, 0]),
        "source": "steps" if focal.is_sure else clip.focal_source,
        "confidence": focal.confidence if clip.focal_source == "guess" else None,
    }
    provenance["face"] = [face and face.as_json() for face in faces]
    return assemble(clip, people.intrinsics, tracks, faces, support, provenance)


class People:
    """Everybody in a clip while they are estimated: their evidence and their latest states."""

    def __init__(self, clip: TrackedClip, models: Models, options: Options) -> None:
        self.clip, self.models, self.options = clip, models, options
        self.intrinsics = clip.intrinsics
        self.evidence = [
            undistort_evidence(evidence, clip.intrinsics, options.distortion)
            for evidence in clip.people
        ]
        self._results: list[DescentResult] = []
        self._tracks: list[PosedTrack] | None = None

    @property
    def results(self) -> list[DescentResult]:
        """Everybody's states in the frames of their evidence."""
        return self._results

    @results.setter
    def results(self, results: list[DescentResult]) -> None:
        self._results, self._tracks = results, None

    @property
    def tracks(self) -> list[PosedTrack]:
        """Everybody posed in every frame of the clip, computed when first asked for."""
        if self._tracks is None:
            frames = len(self.clip.frame_numbers)
            self._tracks = [
                pose_track(evidence, result, self.models.body, frames)
                for evidence, result in zip(self.clip.people, self.results, strict=True)
            ]
        return self._tracks

    def pose(self, report: Report, stopwatch: Stopwatch) -> list[AdaptationReport]:
        """Pose everybody alone, by networks that are adapted where the options say so."""
        with stopwatch.measure(ProgressStage.ADAPT):
            adapted = _adapt(self.evidence, self.options, self.models, report)
        count = len(self.evidence)
        with stopwatch.measure(ProgressStage.POSE):
            self.results = [
                pose_person(
                    evidence,
                    self.clip.fps,
                    self.options,
                    self.models,
                    hund,
                    step_report(report, f"{ProgressStage.POSE} {number}/{count}", None),
                )
                for number, (evidence, (hund, _)) in enumerate(
                    zip(self.evidence, adapted, strict=True), start=1
                )
            ]
        return [adaptation for _, adaptation in adapted]

    def support(self) -> Support:
        """Contacts of everybody's latest states, and the floor."""
        return estimate_support(self.tracks, np.array(self.clip.times), self.models.contacts)

    def focal_length(self, support: Support) -> FocalLength:
        """Focal length by steps in depth, where the clip's was a guess."""
        if self.clip.focal_source != "guess" or self.options.distortion:
            return UNKNOWN_FOCAL_LENGTH
        soles = tuple(bearing[:, :NUM_SOLES] for bearing in support.bearing)
        return estimate_focal_length(self.tracks, soles, self.clip.shots)

    def refocus(self, ratio: float) -> None:
        """Go on with another focal length, as a ratio to the one before."""
        self.intrinsics = refocused_intrinsics(self.intrinsics, ratio)
        self.evidence = [refocused_evidence(evidence, ratio) for evidence in self.evidence]
        self.results = [refocused_result(result, ratio) for result in self.results]

    def sizes(self, support: Support) -> Float[np.ndarray, " people"]:
        """Ratios by which flights, and the floor that people share, correct their sizes."""
        sizes = np.array([flights.size for flights in support.flights])
        if len(self.clip.shots) == 1:  # other shots have other cameras, at other heights
            sizes *= sizes_on_shared_floor(tuple(support.floors * sizes), support.main)
        return sizes

    def resize(self, sizes: Float[np.ndarray, " people"]) -> None:
        """Scale everybody and their distance."""
        self.results = [
            resized(result, self.models.body, float(size))
            for result, size in zip(self.results, sizes, strict=True)
        ]

    def settle(self, support: Support) -> None:
        """Polish everybody once more, with the points that bear held in place."""
        self.results = [
            _settle(
                evidence,
                self.clip.fps,
                self.options,
                self.models,
                result,
                support.contacts_of(person, evidence.frames),
            )
            for person, (evidence, result) in enumerate(
                zip(self.evidence, self.results, strict=True)
            )
        ]

    def add_hands(self) -> None:
        """Add the hands that were looked for."""
        hund = self.models.hand_hund
        if hund is None or all(evidence.hands is None for evidence in self.evidence):
            return
        self.results = [
            result
            if evidence.hands is None
            else add_hands(evidence, result, self.clip.fps, self.models.body, hund)
            for evidence, result in zip(self.evidence, self.results, strict=True)
        ]

    def add_faces(self) -> list[FaceMotion | None]:
        """Solve the faces that were looked for and turn the heads with them; return their motion."""
        faces = [_solved_face(evidence, self.clip.fps, self.models) for evidence in self.evidence]
        if any(face is not None for face in faces):
            self.results = [
                result
                if face is None
                else with_face_confidence(with_head_turn(result, self.models.body, face), face)
                for result, face in zip(self.results, faces, strict=True)
            ]
        return faces


def _adapt(
    people: Sequence[Evidence], options: Options, models: Models, report: Report
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
        steps = step_report(report, stage, config.max_steps)
        adaptations.append(adapt(models.hund, models.prior, inputs, config, steps))
    return adaptations


def pose_person(
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
        expected = models.build and models.build.estimate(shot, descended.state)
        return _fit(shot, fps, options, models, report, descended, expected_betas=expected)

    return descend_by_shot(evidence, pose_shot)


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


def _fit(
    evidence: Evidence,
    fps: float,
    options: Options,
    models: Models,
    report: Callable[[int], None],
    initial: DescentResult | None = None,
    contacts: BodyContacts | None = None,
    expected_betas: ExpectedBetas | None = None,
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
        expected_betas=expected_betas,
    )
    if initial is None:
        return fitted
    # The stages that Blender shows are those that led to the result; a polish adds none.
    return dataclasses.replace(
        fitted, stages=initial.stages, stage_losses=initial.stage_losses, terms=initial.terms
    )


def _solved_face(evidence: Evidence, fps: float, models: Models) -> FaceMotion | None:
    """Return the motion of a face; None if it was not looked for."""
    if evidence.face is None or models.face_model is None:
        return None
    return solve_face(evidence, fps, models.face_model, models.face_hund)
