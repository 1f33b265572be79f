"""Hand evidence from the hands detected in some of a person's frames."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from ..interpolation import interpolate, interpolate_crops
from .detector import HandDetection, HandPair
from .evidence import NUM_HAND_POINTS, SIDES, HandEvidence
from .network import NUM_HAND_FEATURES


def build_hand_evidence(
    hands: Sequence[HandPair | None],
    positions: Int[np.ndarray, " detections"],
    frames: Int[np.ndarray, " frames"],
) -> HandEvidence:
    """Return evidence of both hands for all frames, gaps interpolated.

    Args:
        hands: of each detection of the person; None: they were not looked for in that frame.
        positions: of the detections in the clip, ascending.
        frames: positions that the evidence is for.
    """
    sides = []
    for side in range(len(SIDES)):
        found = [
            (position, pair[side])
            for position, pair in zip(positions.tolist(), hands, strict=True)
            if pair is not None and pair[side] is not None
        ]
        sides.append(_build_side(found, frames))
    return HandEvidence(
        **{name: np.stack([side[name] for side in sides], axis=1) for name in sides[0]}
    )


def _build_side(
    found: list[tuple[int, HandDetection]], frames: Int[np.ndarray, " frames"]
) -> dict[str, Bool[np.ndarray, "frames ..."] | Float[np.ndarray, "frames ..."]]:
    """Return the arrays of one hand."""
    count = len(frames)
    keypoints = np.zeros((count, NUM_HAND_POINTS, 3))
    if not found:
        return {
            "observed": np.zeros(count, bool),
            "keypoints": keypoints,
            "world_landmarks": np.zeros((count, NUM_HAND_POINTS, 3)),
            "crops": np.tile([0.0, 0.0, 1.0, 0.0], (count, 1)),
            "features": np.zeros((count, NUM_HAND_FEATURES), np.float32),
        }
    positions = np.array([position for position, _ in found])
    detections = [detection for _, detection in found]
    observed = np.isin(frames, positions)
    keypoints[..., :2] = interpolate(np.stack([d.points for d in detections]), positions, frames)
    keypoints[observed, :, 2] = np.stack([d.point_confidence for d in detections])
    features = interpolate(np.stack([d.features for d in detections]), positions, frames)
    return {
        "observed": observed,
        "keypoints": keypoints,
        "world_landmarks": interpolate(
            np.stack([d.world_landmarks for d in detections]), positions, frames
        ),
        "crops": interpolate_crops(np.stack([d.crop for d in detections]), positions, frames),
        "features": features.astype(np.float32),
    }
