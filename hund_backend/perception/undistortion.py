"""Undistortion: evidence as a lens without distortion would give it."""

import dataclasses

import numpy as np
from jaxtyping import Float

from ..body import camera
from .evidence import Evidence


def undistort_evidence(
    evidence: Evidence, intrinsics: Float[np.ndarray, "3 3"], distortion: tuple[float, ...]
) -> Evidence:
    """Remove the lens distortion from keypoints and crops of bodies, hands and faces.

    Args:
        evidence: of a person.
        intrinsics: of the full frame, px.
        distortion: OpenCV's coefficients; empty: none.
    """
    if not distortion:
        return evidence

    def undistorted(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Move x and y, the first two of the last axis."""
        moved = values.copy()
        pixels = values[..., :2].astype(np.float64)
        moved[..., :2] = camera.undistort(pixels, intrinsics, np.array(distortion))
        return moved

    # A crop is moved as a whole; distortion within it is neglected.
    points = {name: undistorted(getattr(evidence, name)) for name in ("keypoints", "crops")}
    hands, face = evidence.hands, evidence.face
    if hands is not None:
        moved = {name: undistorted(getattr(hands, name)) for name in ("keypoints", "crops")}
        hands = dataclasses.replace(hands, **moved)
    if face is not None:
        face = dataclasses.replace(face, landmarks=undistorted(face.landmarks))
    return dataclasses.replace(evidence, **points, hands=hands, face=face)
