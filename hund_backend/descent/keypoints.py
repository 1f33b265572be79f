"""BlazePose's keypoints in the descent: their weights, bones and residuals."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..body.camera import project
from ..body.skeleton import BLAZEPOSE_NAMES

NUM_KEYPOINTS = len(BLAZEPOSE_NAMES)
HIPS = (BLAZEPOSE_NAMES.index("left_hip"), BLAZEPOSE_NAMES.index("right_hip"))

# Keypoints of the face, and of a hand, move together and carry the same information: they share
# the weight of one or a few.
_FACE = ("nose", "eye", "ear", "mouth")
_HAND = ("pinky", "index", "thumb")
_FACE_WEIGHT, _HAND_WEIGHT = 0.3, 0.5

_BONES_OF_SIDE = (
    ("shoulder", "elbow"),
    ("elbow", "wrist"),
    ("hip", "knee"),
    ("knee", "ankle"),
    ("shoulder", "hip"),
)
BONES = tuple(
    (BLAZEPOSE_NAMES.index(f"{side}_{start}"), BLAZEPOSE_NAMES.index(f"{side}_{end}"))
    for side in ("left", "right")
    for start, end in _BONES_OF_SIDE
)
_LANDMARK_SCALE_RANGE = (0.7, 1.5)  # metres of our body per metre of the landmarks


def keypoint_weights() -> Float[Tensor, " keypoints"]:
    """Weight of each keypoint in sums over all keypoints, 0…1."""
    weights = torch.ones(NUM_KEYPOINTS)
    for index, name in enumerate(BLAZEPOSE_NAMES):
        if any(part in name.split("_") for part in _FACE):
            weights[index] = _FACE_WEIGHT
        if any(part in name.split("_") for part in _HAND) and "foot" not in name:
            weights[index] = _HAND_WEIGHT
    return weights


def bone_length(points: Float[Tensor, "*batch keypoints 3"]) -> Float[Tensor, "*batch"]:
    """Sum of the lengths of the limbs' bones and of both sides of the trunk, metres."""
    return sum((points[..., a, :] - points[..., b, :]).norm(dim=-1) for a, b in BONES)


def landmark_scale(
    landmarks: Float[Tensor, "frames keypoints 3"], reference: float | Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Metres of our body per metre of the landmarks.

    Args:
        landmarks: 3D landmarks of the observed frames; frames of zeros are ignored.
        reference: bone length of the mean body, metres.

    Returns:
        Ratio of the reference to the landmarks' median bone length, clamped; 1 without landmarks.
    """
    lengths = bone_length(landmarks)
    lengths = lengths[lengths > 0]
    if len(lengths) == 0:
        return landmarks.new_ones(())
    return (reference / lengths.median()).clamp(*_LANDMARK_SCALE_RANGE)


def hip_centered(
    points: Float[Tensor, "*batch keypoints 3"],
) -> Float[Tensor, "*batch keypoints 3"]:
    """Points relative to the middle of the hips."""
    return points - points[..., HIPS, :].mean(-2, keepdim=True)


def keypoint_residuals(
    points: Float[Tensor, "*batch keypoints 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    pixels: Float[Tensor, "*batch keypoints 2"],
    crop_side: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch keypoints 2"]:
    """(Π(p) − u) / side: reprojection residuals as fractions of the crop's side.

    Args:
        points: p, camera frame, metres.
        intrinsics: of the full frame, px.
        pixels: u, detected keypoints, px.
        crop_side: side of the person's crop, px.
    """
    return (project(points, intrinsics) - pixels) / crop_side[..., None, None]


def landmark_residuals(
    points: Float[Tensor, "*batch keypoints 3"],
    landmarks: Float[Tensor, "*batch keypoints 3"],
    scale: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch keypoints 3"]:
    """(p − p_hips) − s (w − w_hips): hip-centered points minus scaled landmarks, metres."""
    return hip_centered(points) - scale[..., None, None] * hip_centered(landmarks)
