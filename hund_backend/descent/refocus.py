"""Refocus: evidence and results as they are with another focal length.

People keep their size in metres and their place and size in the picture, so that their distance
grows with the focal length; seen along their ray they look as before.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..perception.crops import camera_from_crop
from ..perception.evidence import Evidence
from .result import DescentResult
from .state import State


def refocused_intrinsics(
    intrinsics: Float[np.ndarray, "*frames 3 3"], ratio: float
) -> Float[np.ndarray, "*frames 3 3"]:
    """Return intrinsics with the focal length times a ratio."""
    scaled = intrinsics.copy()
    scaled[..., :2, :2] *= ratio
    return scaled


def refocused_evidence(evidence: Evidence, ratio: float) -> Evidence:
    """Return the evidence for a camera with the focal length times a ratio."""
    intrinsics = refocused_intrinsics(evidence.intrinsics, ratio)

    def turned(
        landmarks: Float[np.ndarray, "frames points 3"], crops: Float[np.ndarray, "frames 4"]
    ) -> Float[np.ndarray, "frames points 3"]:
        rotations = np.stack(
            [
                camera_from_crop(crop, after) @ camera_from_crop(crop, before).T
                for crop, before, after in zip(
                    crops.astype(np.float64), evidence.intrinsics, intrinsics, strict=True
                )
            ]
        )
        return np.einsum("fij,fpj->fpi", rotations, landmarks).astype(landmarks.dtype)

    landmarks, hands = turned(evidence.world_landmarks, evidence.crops), evidence.hands
    if hands is not None:
        sides = [
            turned(hands.world_landmarks[:, side], hands.crops[:, side])
            for side in range(hands.crops.shape[1])
        ]
        hands = replace(hands, world_landmarks=np.stack(sides, axis=1))
    return replace(evidence, intrinsics=intrinsics, world_landmarks=landmarks, hands=hands)


def refocused_result(result: DescentResult, ratio: float) -> DescentResult:
    """Return a result of a descent for a camera with the focal length times a ratio."""
    return replace(
        result,
        state=_refocused_state(result.state, ratio),
        stages=_refocused_state(result.stages, ratio),
    )


def _refocused_state(state: State, ratio: float) -> State:
    before = state.root_translation
    after = before * before.new_tensor([1.0, 1.0, ratio])
    turn = _rotation_between(before, after)
    return replace(state, global_orient=turn @ state.global_orient, root_translation=after)


def _rotation_between(
    before: Float[Tensor, "*batch 3"], after: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """Return the smallest rotations from directions to others less than half a turn away."""
    one, other = (v / v.norm(dim=-1, keepdim=True) for v in (before, after))
    axis = torch.linalg.cross(one, other)
    zero = torch.zeros_like(axis[..., 0])
    x, y, z = axis.unbind(-1)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).unflatten(-1, (3, 3))
    cosine = (one * other).sum(-1)[..., None, None]
    return torch.eye(3).to(cross) + cross + cross @ cross / (1 + cosine)
