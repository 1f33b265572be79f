"""The evidence as the descent wants it: tensors, checked, with the landmarks' scale."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hund_backend.body.skeleton import BLAZEPOSE_NAMES
from hund_backend.descent.fit.parts.observed_parts import ObservedParts
from hund_backend.descent.reduced_body import FitVariables, ReducedBody
from hund_backend.perception.evidence import Evidence

NUM_KEYPOINTS = len(BLAZEPOSE_NAMES)

# Points of the face and the hand move together and say one thing: they share its weight.
FACE = ("nose", "eye", "ear", "mouth")
HAND = ("pinky", "index", "thumb")
FACE_WEIGHT, HAND_WEIGHT = 0.3, 0.5

_BONES = (
    ("shoulder", "elbow"),
    ("elbow", "wrist"),
    ("hip", "knee"),
    ("knee", "ankle"),
    ("shoulder", "hip"),
)
BONES = tuple(
    (BLAZEPOSE_NAMES.index(f"{side}_{start}"), BLAZEPOSE_NAMES.index(f"{side}_{end}"))
    for side in ("left", "right")
    for start, end in _BONES
)
LANDMARK_SCALE_RANGE = (0.7, 1.5)  # what the landmarks' metres may be of ours


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The evidence of each frame."""

    pixels: Float[Tensor, "frames keypoints 2"]
    confidence: Float[Tensor, "frames keypoints"]  # times the weight of the point among its like
    crop_side: Float[Tensor, " frames"]  # px
    intrinsics: Float[Tensor, "frames 3 3"]
    landmarks: Float[Tensor, "frames keypoints 3"]  # metres, camera axes
    landmark_scale: Float[Tensor, " frames"]  # metres of our body per metre of the landmarks
    observed: Bool[Tensor, " frames"]
    parts: ObservedParts | None = None

    @classmethod
    def of(
        cls, evidence: Evidence, intrinsics: Float[np.ndarray, "frames 3 3"], reduced_body: ReducedBody
    ) -> "Targets":
        """The evidence as tensors in double precision.

        Args:
            evidence: what was seen.
            intrinsics: of the full frame, px.
            puppet: the body that will be brought to it.
        """
        observed = torch.from_numpy(evidence.observed.copy())
        keypoints = torch.from_numpy(evidence.keypoints.astype(np.float64))
        landmarks = torch.from_numpy(evidence.world_landmarks.astype(np.float64))
        confidence = keypoints[..., 2] * observed[:, None] * keypoint_weights().to(keypoints)
        return cls(
            pixels=keypoints[..., :2],
            confidence=confidence,
            crop_side=torch.from_numpy(evidence.crops[:, 2].astype(np.float64)).clamp(min=1.0),
            intrinsics=torch.from_numpy(np.asarray(intrinsics, dtype=np.float64)),
            landmarks=landmarks,
            landmark_scale=_landmark_scale(landmarks[observed], reduced_body).expand(len(keypoints)),
            observed=observed,
        )

    def at(self, frames: Int[Tensor, " chosen"]) -> "Targets":
        """The targets of some of the frames, in their order."""
        parts = None if self.parts is None else self.parts.at(frames)
        chosen = {name: values[frames] for name, values in vars(self).items() if name != "parts"}
        return Targets(**chosen, parts=parts)


def keypoint_weights() -> Float[Tensor, " keypoints"]:
    """Weight of each keypoint among its like."""
    shares = torch.ones(NUM_KEYPOINTS)
    for place, name in enumerate(BLAZEPOSE_NAMES):
        if any(part in name.split("_") for part in FACE):
            shares[place] = FACE_WEIGHT
        if any(part in name.split("_") for part in HAND) and "foot" not in name:
            shares[place] = HAND_WEIGHT
    return shares


def _landmark_scale(
    landmarks: Float[Tensor, "frames keypoints 3"], reduced_body: ReducedBody
) -> Float[Tensor, ""]:
    """Length of our average bones over those of the landmarks, the median of the frames."""
    rest = torch.eye(3).to(reduced_body.offsets).repeat(1, len(reduced_body.moved), 1, 1)
    betas = reduced_body.offsets.new_zeros(len(reduced_body.offset_basis))
    points = reduced_body.posed(
        FitVariables(rest, reduced_body.offsets.new_tensor([[0.0, 0, 1]]), betas)
    ).points

    def length(places: Tensor) -> Tensor:
        return sum((places[:, start] - places[:, end]).norm(dim=-1) for start, end in BONES)

    measured = length(landmarks)
    if not (measured > 0).any():
        return points.new_ones(())
    return (length(points) / measured[measured > 0].median()).clamp(*LANDMARK_SCALE_RANGE)[0]
