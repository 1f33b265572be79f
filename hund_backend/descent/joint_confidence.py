"""Confidence of joints, and how much of each joint's rotation is observed, from keypoints."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX, JOINT_NAMES, PARENTS
from .reduced_body import REDUCED_JOINTS

_RESIDUAL_SCALE = 0.03  # of the crop's side: a keypoint with that residual counts 60 %

# Keypoints that locate a joint; joints that are not named take those of their parents.
_KEYPOINTS = {
    "Pelvis": ("left_hip", "right_hip"),
    "Spine03": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
    "Neck01": ("left_shoulder", "right_shoulder", "left_ear", "right_ear"),
    "Head01": ("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
}
_KEYPOINTS_OF_SIDE = {
    "Clavicle": ("shoulder",),
    "Upperarm": ("shoulder",),
    "Lowerarm": ("elbow",),
    "Hand": ("wrist",),
    "Index01": ("wrist", "index", "pinky"),
    "Middle01": ("wrist", "index", "pinky"),
    "Ring01": ("wrist", "index", "pinky"),
    "Pinky01": ("wrist", "index", "pinky"),
    "Thumb01": ("wrist", "thumb"),
    "Thigh": ("hip",),
    "Calf": ("knee",),
    "Ankle": ("ankle",),
    "Ball": ("heel", "foot_index"),
}


def joint_confidence(
    residual_norms: Float[Tensor, "frames keypoints"],
    confidence: Float[Tensor, "frames keypoints"],
) -> Float[Tensor, "frames joints"]:
    """Mean of c exp(−½ (r / τ)²) over each joint's keypoints: detected, and matched by the body.

    Args:
        residual_norms: r, reprojection residuals as fractions of the crop's side.
        confidence: c, of the detected keypoints, 0…1.
    """
    matched = confidence * torch.exp(-0.5 * (residual_norms / _RESIDUAL_SCALE).square())
    return matched @ joint_keypoint_weights().to(matched).T


def unobserved_fraction(confidence: Float[Tensor, "frames 33"]) -> Float[Tensor, "frames reduced"]:
    """Fraction of each reduced joint's rotation that no keypoint observes, 0…1.

    Keypoints observe a rotation through the joints that it moves: the children, or the joint itself
    at the end of a chain.

    Args:
        confidence: of BlazePose's keypoints, 0…1.
    """
    weights, reduced = joint_keypoint_weights(), [JOINT_INDEX[name] for name in REDUCED_JOINTS]
    moved_by = [[j for j in reduced if PARENTS[j] == joint] or [joint] for joint in reduced]
    table = torch.stack([weights[joints].mean(0) for joints in moved_by])
    return 1 - confidence @ table.to(confidence).T


def joint_keypoint_weights() -> Float[Tensor, "63 33"]:
    """Weights of the keypoints in the confidence of each joint; rows sum to one."""
    named = dict(_KEYPOINTS)
    for letter, side in (("L", "left"), ("R", "right")):
        for joint, points in _KEYPOINTS_OF_SIDE.items():
            named[joint + letter] = tuple(f"{side}_{point}" for point in points)
    table = torch.zeros(len(JOINT_NAMES), len(BLAZEPOSE_NAMES), dtype=torch.float64)
    for joint, name in enumerate(JOINT_NAMES):
        if name in named:
            columns = [BLAZEPOSE_NAMES.index(point) for point in named[name]]
            table[joint, columns] = 1 / len(columns)
        else:
            table[joint] = table[PARENTS[joint]]
    return table
