"""Targets: a track's keypoints and landmarks as tensors, with the landmarks' scale."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..perception.evidence import Evidence
from .keypoints import NUM_KEYPOINTS, bone_length, keypoint_weights, landmark_scale
from .reduced_body import FitVariables, ReducedBody


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Keypoint evidence of each frame, in double precision."""

    pixels: Float[Tensor, "frames keypoints 2"]
    confidence: Float[Tensor, "frames keypoints"]  # times the keypoint's weight
    crop_side: Float[Tensor, " frames"]  # px
    intrinsics: Float[Tensor, "frames 3 3"]
    landmarks: Float[Tensor, "frames keypoints 3"]  # metres, camera axes
    landmark_scale: Float[Tensor, " frames"]  # metres of our body per metre of the landmarks
    observed: Bool[Tensor, " frames"]

    @classmethod
    def from_evidence(cls, evidence: Evidence, reduced_body: ReducedBody) -> "Targets":
        """Convert a track's evidence to tensors.

        Args:
            evidence: of one person over a track.
            reduced_body: its mean bone length sets the landmarks' scale.
        """
        observed = torch.from_numpy(evidence.observed.copy())
        keypoints = torch.from_numpy(evidence.keypoints.astype(np.float64))
        landmarks = torch.from_numpy(evidence.world_landmarks.astype(np.float64))
        confidence = keypoints[..., 2] * observed[:, None] * keypoint_weights().to(keypoints)
        scale = landmark_scale(landmarks[observed], _mean_bone_length(reduced_body))
        return cls(
            pixels=keypoints[..., :2],
            confidence=confidence,
            crop_side=torch.from_numpy(evidence.crops[:, 2].astype(np.float64)).clamp(min=1.0),
            intrinsics=torch.from_numpy(np.asarray(evidence.intrinsics, dtype=np.float64)),
            landmarks=landmarks,
            landmark_scale=scale.expand(len(keypoints)),
            observed=observed,
        )

    def select(self, frames: Int[Tensor, " chosen"]) -> "Targets":
        """Targets of some of the frames, in the given order."""
        return Targets(**{name: values[frames] for name, values in vars(self).items()})


def _mean_bone_length(reduced_body: ReducedBody) -> Float[Tensor, ""]:
    """Bone length of the mean body at rest, metres."""
    offsets = reduced_body.offsets
    rest = torch.eye(3).to(offsets).repeat(1, len(reduced_body.joint_indices), 1, 1)
    betas = offsets.new_zeros(len(reduced_body.offset_basis))
    in_front = offsets.new_tensor([[0.0, 0, 1]])
    points = reduced_body.forward(FitVariables(rest, in_front, betas)).points
    return bone_length(points[:, :NUM_KEYPOINTS])[0]
