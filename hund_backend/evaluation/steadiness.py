"""Steadiness: how calm a person is through a clip: jitter, bone lengths, sliding feet."""

import numpy as np
from jaxtyping import Bool, Float

from ..body.model import BodyModel
from ..body.skeleton import BLAZEPOSE_NAMES
from .body_points import body_points
from .estimates import DETECTOR, RECONSTRUCTION, Track, detector_points
from .metrics import acceleration, bone_length_std_mm, foot_sliding_mm, jitter, root_aligned
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
FEET = ("left_heel", "left_foot_index", "right_heel", "right_foot_index")  # as contacts stand
STEADINESS = {  # key → unit, what it says
    "jitter": ("m/s³", "mean third difference in time of the limbs' joints, hips at rest"),
    "acceleration": ("m/s²", "mean second difference of the same"),
    "bone_length_std_mm": ("mm", "standard deviation of bone lengths over time, mean of bones"),
    "camera_jitter": ("m/s³", "jitter with the hips moving, in the camera frame"),
    "foot_sliding_mm": ("mm/frame", "way along the ground of feet that are in contact with it"),
}


def steadiness(track: Track, body: BodyModel) -> dict[str, dict[str, float]]:
    """Figures of `STEADINESS` by method, over the longest stretch in which the person is seen."""
    reconstruction = track.seen.reconstruction
    seen = longest_run(reconstruction.present[track.person])
    points = body_points(reconstruction, body, (*LIMBS, *FEET))
    limbs = np.stack([points[name][track.person, seen] for name in LIMBS], axis=1)
    landmarks = detector_points(track.seen, track.person)[1][seen] / 1000
    detected = landmarks[:, [BLAZEPOSE_NAMES.index(name) for name in LIMBS]]
    feet = np.stack([points[name][track.person, seen] for name in FEET], axis=1)
    world = reconstruction.world_from_camera[seen]
    standing = np.einsum("fab,fnb->fna", world[:, :3, :3], feet) + world[:, None, :3, 3]
    up = np.array([0.0, 0.0, 1.0])
    contacts = reconstruction.contacts[track.person, seen].astype(np.float64)
    own = {
        "camera_jitter": jitter(limbs, reconstruction.fps),
        "foot_sliding_mm": foot_sliding_mm(1000 * standing, contacts, up),
    }
    return {
        RECONSTRUCTION: _unrest(limbs, reconstruction.fps) | own,
        DETECTOR: _unrest(detected, reconstruction.fps),
    }


def longest_run(present: Bool[np.ndarray, " frames"]) -> slice:
    """The longest stretch of frames without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], present, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return slice(int(starts[longest]), int(ends[longest]))


def _unrest(joints: Float[np.ndarray, "frames joints 3"], fps: float) -> dict[str, float]:
    """Figures that need the limbs alone (metres)."""
    hips = tuple(LIMBS.index(hip) for hip in HIPS)
    at_rest = root_aligned(joints, hips)
    bones = tuple((LIMBS.index(start), LIMBS.index(end)) for start, end in BONES)
    return {
        "jitter": jitter(at_rest, fps),
        "acceleration": acceleration(at_rest, fps),
        "bone_length_std_mm": bone_length_std_mm(1000 * joints, bones),
    }
