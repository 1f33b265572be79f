"""Posed track: one person over all frames of a clip, as NumPy arrays."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32

from ..body.contact_points import CONTACT_NAMES
from ..body.model import BodyModel
from ..body.rotations import matrix_to_quaternion
from ..body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX
from ..body.soles import SOLE_NAMES
from ..descent.result import DescentResult
from ..descent.state import State
from ..perception.evidence import Evidence

_KEYPOINT_OF = {"ball": "foot_index", "toe": "foot_index", "hand": "wrist", "seat": "hip"}
# Keypoints whose confidence is that of each point of CONTACT_NAMES.
NEAREST_KEYPOINTS = [
    BLAZEPOSE_NAMES.index(f"{side}_{_KEYPOINT_OF.get(point, point)}")
    for side, point in (name.split("_") for name in CONTACT_NAMES)
]
MIN_LEG_EXTENT = 0.6  # of a standing person: height of hips over ankles, in leg lengths
HIPS, NECK = JOINT_INDEX["Pelvis"], JOINT_INDEX["Neck01"]


@dataclass(frozen=True, kw_only=True)
class PosedTrack:
    """Motion of a person in the camera frame, metres.

    Frames outside the track repeat its nearest frame.
    """

    track_id: int
    present: Bool[np.ndarray, " frames"]
    rotations: Float32[np.ndarray, "frames joints 4"]  # quaternions, w first
    joints: Float32[np.ndarray, "frames joints 3"]
    pelvis_axes: Float[np.ndarray, "frames 3 3"]  # rotation from the body to the camera frame
    contact_points: Float[np.ndarray, "frames 12 3"]  # of CONTACT_NAMES
    betas: Float32[np.ndarray, " betas"]
    keypoints: Float32[np.ndarray, "frames 33 3"]
    joint_confidence: Float32[np.ndarray, "frames joints"]
    stage_losses: Float32[np.ndarray, "frames stages terms"]
    stage_rotations: Float32[np.ndarray, "frames stages joints 4"]
    stage_root_translation: Float32[np.ndarray, "frames stages 3"]

    @property
    def feet(self) -> Float[np.ndarray, "frames 6 3"]:
        """Points of SOLE_NAMES."""
        return self.contact_points[:, : len(SOLE_NAMES)]

    @property
    def point_confidence(self) -> Float[np.ndarray, "frames 12"]:
        """Confidence of the keypoints next to the points of CONTACT_NAMES."""
        return self.keypoints[:, NEAREST_KEYPOINTS, 2].astype(np.float64)

    @property
    def leg_extents(self) -> Float[np.ndarray, "frames 2"]:
        """Distances from hips to ankles as shares of the legs' lengths: 1 is straight."""
        hip, knee, ankle = (
            self.joints[:, [JOINT_INDEX[f"{name}{side}"] for side in "LR"]].astype(np.float64)
            for name in ("Thigh", "Calf", "Ankle")
        )
        lengths = np.linalg.norm(hip - knee, axis=-1) + np.linalg.norm(knee - ankle, axis=-1)
        return np.linalg.norm(hip - ankle, axis=-1) / np.maximum(lengths, 1e-9)

    @property
    def standing_directions(self) -> Float[np.ndarray, "frames 3"]:
        """Unit vectors from hips to neck in frames where the person stands, zero elsewhere."""
        spine = self.joints[:, NECK] - self.joints[:, HIPS]
        spine = spine / np.linalg.norm(spine, axis=-1, keepdims=True)
        hip, ankle = (
            self.joints[:, [JOINT_INDEX[f"{name}{side}"] for side in "LR"]]
            for name in ("Thigh", "Ankle")
        )
        cosine = ((hip - ankle) * spine[:, None]).sum(-1) / np.maximum(
            np.linalg.norm(hip - ankle, axis=-1), 1e-9
        )
        stands = self.present & (cosine * self.leg_extents > MIN_LEG_EXTENT).all(axis=1)
        return spine.astype(np.float64) * stands[:, None]


def pose_track(
    evidence: Evidence, result: DescentResult, body: BodyModel, num_frames: int
) -> PosedTrack:
    """Pose the body in every frame of the clip.

    Args:
        evidence: detections of the track, in some of the clip's frames.
        result: descent on this evidence.
        body: a body that has BlazePose's keypoints.
        num_frames: of the clip.
    """
    state = result.state
    with torch.no_grad():
        posed = state.posed(body)
        points = body.contact_points(posed)
        quaternions, stages = map(_quaternions, (state, result.stages))
    frames = np.arange(num_frames)
    held = np.clip(np.searchsorted(evidence.frames, frames), 0, len(evidence.frames) - 1)
    inside = np.isin(frames, evidence.frames)

    def over_clip(values: torch.Tensor | np.ndarray) -> np.ndarray:
        array = values.numpy(force=True) if isinstance(values, torch.Tensor) else values
        return array[held].astype(np.float32)

    def within_track(values: torch.Tensor | np.ndarray) -> np.ndarray:
        array = over_clip(values)
        return array * inside.reshape(-1, *[1] * (array.ndim - 1))

    keypoints = over_clip(evidence.keypoints)
    keypoints[~inside, :, 2] = 0
    return PosedTrack(
        track_id=evidence.track_id,
        present=inside & evidence.observed[held],
        rotations=over_clip(quaternions),
        joints=over_clip(posed.joints),
        pelvis_axes=over_clip(state.global_orient).astype(np.float64),
        contact_points=over_clip(points).astype(np.float64),
        betas=state.betas.reshape(-1, state.betas.shape[-1])[0].numpy(force=True),
        keypoints=keypoints,
        joint_confidence=within_track(result.joint_confidence),
        stage_losses=within_track(result.stage_losses),
        stage_rotations=over_clip(stages),
        stage_root_translation=over_clip(result.stages.root_translation),
    )


def _quaternions(state: State) -> Float[torch.Tensor, "*batch joints 4"]:
    """Return the rotations of all joints, the global orientation first."""
    rotations = torch.cat((state.global_orient[..., None, :, :], state.pose), dim=-3)
    return matrix_to_quaternion(rotations)
