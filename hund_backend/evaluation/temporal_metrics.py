"""Temporal metrics of a person in a clip: jitter, bone lengths, foot sliding."""

import numpy as np
from jaxtyping import Bool, Float

from ..body.model import BodyModel
from ..body.skeleton import BLAZEPOSE_NAMES
from .body_points import body_points
from .estimates import DETECTOR, RECONSTRUCTION, ClipTrack, detector_points
from .metrics import (
    acceleration,
    bone_length_std_mm,
    foot_sliding_mm,
    jitter,
    root_aligned,
)
from .scoring import HIPS

LIMBS = tuple(
    f"{side}_{joint}"
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)
SEGMENTS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
BONES = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *((f"{side}_{a}", f"{side}_{b}") for a, b in SEGMENTS for side in ("left", "right")),
)
FEET = (
    "left_heel",
    "left_foot_index",
    "right_heel",
    "right_foot_index",
)  # in the order of contacts
TEMPORAL_METRICS = {  # key → unit, description
    "jitter": ("m/s³", "mean third time derivative of the limbs' joints, hips aligned"),
    "acceleration": ("m/s²", "mean second time derivative of the same"),
    "bone_length_std_mm": ("mm", "standard deviation of bone lengths over time, mean of bones"),
    "camera_jitter": ("m/s³", "jitter in the camera frame, hips not aligned"),
    "foot_sliding_mm": ("mm/frame", "displacement along the ground of feet in contact with it"),
}


def score_track(track: ClipTrack, body: BodyModel) -> dict[str, dict[str, float]]:
    """Return `TEMPORAL_METRICS` by method, over the longest run of frames with the person."""
    reconstruction = track.result.reconstruction
    run = longest_run(reconstruction.present[track.person])
    points = body_points(reconstruction, body, (*LIMBS, *FEET))
    limbs = np.stack([points[name][track.person, run] for name in LIMBS], axis=1)
    landmarks = detector_points(track.result, track.person)[1][run] / 1000
    detected = landmarks[:, [BLAZEPOSE_NAMES.index(name) for name in LIMBS]]
    feet = np.stack([points[name][track.person, run] for name in FEET], axis=1)
    world = reconstruction.world_from_camera[run]
    feet_in_world = np.einsum("fab,fnb->fna", world[:, :3, :3], feet) + world[:, None, :3, 3]
    up = np.array([0.0, 0.0, 1.0])
    contacts = reconstruction.contacts[track.person, run].astype(np.float64)
    additional = {
        "camera_jitter": jitter(limbs, reconstruction.fps),
        "foot_sliding_mm": foot_sliding_mm(1000 * feet_in_world, contacts, up),
    }
    return {
        RECONSTRUCTION: _limb_metrics(limbs, reconstruction.fps) | additional,
        DETECTOR: _limb_metrics(detected, reconstruction.fps),
    }


def longest_run(present: Bool[np.ndarray, " frames"]) -> slice:
    """Return the longest run of frames without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], present, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return slice(int(starts[longest]), int(ends[longest]))


def _limb_metrics(joints: Float[np.ndarray, "frames joints 3"], fps: float) -> dict[str, float]:
    """Return the metrics that need the limbs' joints alone, in metres."""
    hips = tuple(LIMBS.index(hip) for hip in HIPS)
    aligned = root_aligned(joints, hips)
    bones = tuple((LIMBS.index(start), LIMBS.index(end)) for start, end in BONES)
    return {
        "jitter": jitter(aligned, fps),
        "acceleration": acceleration(aligned, fps),
        "bone_length_std_mm": bone_length_std_mm(1000 * joints, bones),
    }
