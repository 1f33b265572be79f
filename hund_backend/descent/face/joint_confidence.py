"""Joint confidence of a face: jaw, eyes and lids are as sure as what is seen of them."""

from dataclasses import replace

import torch

from ...body.skeleton import JOINT_INDEX
from ..result import DescentResult
from .solve import FaceMotion

EYE_JOINTS = tuple(
    JOINT_INDEX[f"{part}{side}"]
    for part in ("Eye01", "Eyelidup01", "Eyeliddown01")
    for side in "LR"
)
MOUTH_JOINTS = (JOINT_INDEX["Jaw01"],)


def with_face_confidence(result: DescentResult, face: FaceMotion) -> DescentResult:
    """Return a result whose face joints have the confidence of the face.

    Args:
        result: of a person.
        face: of the same frames.
    """
    confidence = result.joint_confidence.clone()
    for joints, column in zip((EYE_JOINTS, MOUTH_JOINTS), face.confidence.T, strict=True):
        confidence[:, list(joints)] = torch.from_numpy(column.copy()).to(confidence)[:, None]
    return replace(result, joint_confidence=confidence)
