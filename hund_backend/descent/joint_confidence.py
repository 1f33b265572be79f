"""How sure the fit is of each joint, from the keypoints round it."""

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_NAMES, PARENTS

RESIDUAL_SCALE = 0.03  # of the crop's side: a keypoint missed by that much counts 60 %

# The keypoints that say where a joint is; joints that are not named know what their parents know.
_WITNESSES = {
    "Pelvis": ("left_hip", "right_hip"),
    "Spine03": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
    "Neck01": ("left_shoulder", "right_shoulder", "left_ear", "right_ear"),
    "Head01": ("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
}
_WITNESSES_OF_SIDE = {
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


def joint_keypoint_weights() -> Float[Tensor, "63 33"]:
    """Weights of the keypoints in the confidence of each joint; rows sum to one."""
    named = dict(_WITNESSES)
    for letter, side in (("L", "left"), ("R", "right")):
        for joint, points in _WITNESSES_OF_SIDE.items():
            named[joint + letter] = tuple(f"{side}_{point}" for point in points)
    table = torch.zeros(len(JOINT_NAMES), len(BLAZEPOSE_NAMES), dtype=torch.float64)
    for joint, name in enumerate(JOINT_NAMES):
        if name in named:
            columns = [BLAZEPOSE_NAMES.index(point) for point in named[name]]
            table[joint, columns] = 1 / len(columns)
        else:
            table[joint] = table[PARENTS[joint]]
    return table


def joint_confidence(
    residual_norms: Float[Tensor, "frames keypoints"], confidence: Float[Tensor, "frames keypoints"]
) -> Float[Tensor, "frames joints"]:
    """Mean of c exp(−½ (miss / τ)²) over a joint's keypoints: seen, and explained by the body.

    Args:
        misses: distance between the body's and the seen keypoint, as a fraction of the crop's side.
        confidence: of the seen keypoints, 0…1.
    """
    trust = confidence * torch.exp(-0.5 * (residual_norms / RESIDUAL_SCALE).square())
    return trust @ joint_keypoint_weights().to(trust).T
