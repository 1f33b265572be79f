"""Assembly: everybody's motion, the ground and the provenance as a Reconstruction."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from .body.skeleton import BLAZEPOSE_NAMES, JOINT_NAMES, PARENTS
from .descent.face.solve import FaceMotion
from .descent.learned.adaptation import AdaptationReport
from .descent.result import DescentResult
from .models import Models
from .motion.contacts import body_contacts, heel_and_toe
from .motion.posed_track import PosedTrack
from .motion.support import NUM_SOLES, Support
from .motion.world import world_from_camera
from .options import Options
from .provenance import provenance_of, source_of
from .reconstruction import NUM_ARKIT, NUM_EXPRESSION, Reconstruction
from .stopwatch import Stopwatch
from .tracked_clip import TrackedClip


def assemble(
    clip: TrackedClip,
    intrinsics: Float[np.ndarray, "3 3"],
    posed_tracks: list[PosedTrack],
    faces: list[FaceMotion | None],
    support: Support,
    provenance: dict[str, Any],
) -> Reconstruction:
    """Assemble the Reconstruction.

    Args:
        clip: its frames and evidence.
        intrinsics: of the full frame, px; the clip's own may have been a guess.
        posed_tracks: of everybody, in all frames.
        faces: of everybody; None where a face was not looked for.
        support: contacts and floor.
        provenance: see `provenance_of_job`.
    """
    world = _world(posed_tracks, support)
    people, frames = len(posed_tracks), len(clip.frame_numbers)

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(person, name) for person in posed_tracks])

    arkit = np.zeros((people, frames, NUM_ARKIT), np.float32)
    expression = np.zeros((people, frames, NUM_EXPRESSION), np.float32)
    for person, (evidence, face) in enumerate(zip(clip.people, faces, strict=True)):
        if face is not None:
            arkit[person, evidence.frames] = face.arkit
            expression[person, evidence.frames] = face.expression

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
        expression=expression,
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


def _world(posed_tracks: list[PosedTrack], support: Support) -> Float[np.ndarray, "4 4"]:
    """Return world_from_camera: on the clip's floor, under the main performer's first frame."""
    performer = posed_tracks[support.main]
    origin = performer.joints[performer.present.argmax(), 0].astype(np.float64)
    ground = dataclasses.replace(support.ground, level=support.level)
    return world_from_camera(ground, origin)


def provenance_of_job(
    clip: TrackedClip,
    options: Options,
    models: Models,
    results: list[DescentResult],
    adaptations: list[AdaptationReport],
    stopwatch: Stopwatch,
) -> dict[str, Any]:
    """Return the provenance: source, models, options, time spent, convergence.

    Args:
        clip: that was processed.
        options: of the job.
        models: that were used.
        results: of everybody.
        adaptations: of the network to everybody.
        stopwatch: of the job.
    """
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
