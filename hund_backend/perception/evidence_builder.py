"""Evidence builder: a person's detections as evidence for all frames in between."""

import numpy as np
from jaxtyping import Float

from .crop_detector import NUM_KEYPOINTS
from .evidence import Evidence
from .hands.evidence_builder import build_hand_evidence
from .interpolation import interpolate, interpolate_crops
from .tracklets import Tracklet


def build_evidence(
    person: Tracklet,
    intrinsics: Float[np.ndarray, "3 3"],
    track_id: int,
    *,
    shots: tuple[int, ...] = (0,),
    static: float = 0.0,
    confidence: float = 1.0,
) -> Evidence:
    """Return evidence for all frames from the first detection to the last, gaps interpolated.

    Args:
        person: detections by position in the clip.
        intrinsics: of the full frame.
        track_id: number of the person.
        shots: positions at which shots begin.
        static: confidence that this is a still figure, as on a poster.
        confidence: that this is a person.
    """
    positions = np.array(sorted(person))
    detections = [person[position] for position in positions]
    frames = np.arange(positions[0], positions[-1] + 1)
    observed = np.isin(frames, positions)
    nearest = np.rint(np.interp(frames, positions, np.arange(len(positions)))).astype(int)
    keypoints = np.stack([d.points[:NUM_KEYPOINTS] for d in detections])
    keypoints = interpolate(keypoints, positions, frames)
    seen = np.zeros((len(frames), NUM_KEYPOINTS))
    seen[observed] = np.stack([d.confidence for d in detections])
    features = parts = hands = None
    with_features = [i for i, detection in enumerate(detections) if detection.features is not None]
    if with_features:
        known = np.stack([detections[i].features for i in with_features])
        features = interpolate(known, positions[with_features], frames)
    if detections[0].parts is not None:
        parts = np.stack([d.parts for d in detections])[nearest]
    if any(d.hands is not None for d in detections):
        hands = build_hand_evidence([d.hands for d in detections], positions, frames)
    return Evidence(
        track_id=track_id,
        frames=frames,
        observed=observed,
        keypoints=np.concatenate((keypoints, seen[..., None]), axis=-1),
        world_landmarks=interpolate(
            np.stack([d.world_landmarks for d in detections]), positions, frames
        ),
        crops=interpolate_crops(np.stack([d.crop for d in detections]), positions, frames),
        intrinsics=np.repeat(intrinsics[None], len(frames), axis=0),
        masks=np.stack([d.mask for d in detections])[nearest],
        features=features,
        parts=parts,
        hands=hands,
        shots=np.searchsorted(shots, frames, side="right") - 1,
        static=static,
        confidence=confidence,
    )
