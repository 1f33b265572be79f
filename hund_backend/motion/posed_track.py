"""A performance: one person over all frames of a clip, as NumPy arrays."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32

from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_quaternion
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX
from hund_backend.descent.result import DescentResult
from hund_backend.descent.state import State
from hund_backend.motion.contacts import CONTACT_KEYPOINTS
from hund_backend.perception.evidence import Evidence

FEET = [BLAZEPOSE_NAMES.index(name) for name in CONTACT_KEYPOINTS]
STANDING_LEGS = 0.6  # share of the legs' length by which hips stand over ankles when standing
HIPS, NECK = JOINT_INDEX["Pelvis"], JOINT_INDEX["Neck01"]
LEGS = ("ThighL", "AnkleL"), ("ThighR", "AnkleR")


@dataclass(frozen=True, kw_only=True)
class PosedTrack:
    """Camera frame, metres. Outside the person's track the nearest frame is held."""

    track_id: int
    present: Bool[np.ndarray, " frames"]
    rotations: Float32[np.ndarray, "frames joints 4"]  # quaternions, w first
    joints: Float32[np.ndarray, "frames joints 3"]
    feet: Float[np.ndarray, "frames 4 3"]  # left heel, left toe, right heel, right toe
    betas: Float32[np.ndarray, " betas"]
    keypoints: Float32[np.ndarray, "frames 33 3"]
    joint_confidence: Float32[np.ndarray, "frames joints"]
    stage_losses: Float32[np.ndarray, "frames stages terms"]
    stage_rotations: Float32[np.ndarray, "frames stages joints 4"]
    stage_root_translation: Float32[np.ndarray, "frames stages 3"]

    @property
    def standing_directions(self) -> Float[np.ndarray, "frames 3"]:
        """Direction from hips to neck in frames where the person stands, zero elsewhere."""
        spine = self.joints[:, NECK] - self.joints[:, HIPS]
        spine = spine / np.linalg.norm(spine, axis=-1, keepdims=True)
        stands = self.present.copy()
        for hip, ankle in LEGS:
            leg = self.joints[:, JOINT_INDEX[hip]] - self.joints[:, JOINT_INDEX[ankle]]
            length = np.linalg.norm(leg, axis=-1)
            stands &= (leg * spine).sum(-1) > STANDING_LEGS * length.max()
        return spine.astype(np.float64) * stands[:, None]


def pose_track(
    evidence: Evidence, result: DescentResult, body: BodyModel, num_frames: int
) -> PosedTrack:
    """The person of a track over the whole clip.

    Args:
        evidence: what was seen, in some of the clip's frames.
        result: the fit to it.
        body: a body that has BlazePose's keypoints.
        num_frames: of the clip.
    """
    state = result.state
    with torch.no_grad():
        posed = state.posed(body)
        feet = body.keypoints(posed, "blazepose")[:, FEET]
        quaternions, stages = (_quaternions(told) for told in (state, result.stages))
    frames = np.arange(num_frames)
    held = np.clip(np.searchsorted(evidence.frames, frames), 0, len(evidence.frames) - 1)
    inside = np.isin(frames, evidence.frames)

    def over_the_clip(values: torch.Tensor | np.ndarray) -> np.ndarray:
        array = values.numpy(force=True) if isinstance(values, torch.Tensor) else values
        return array[held].astype(np.float32)

    def only_inside(values: torch.Tensor | np.ndarray) -> np.ndarray:
        spread = over_the_clip(values)
        return spread * inside.reshape(-1, *[1] * (spread.ndim - 1))

    keypoints = over_the_clip(evidence.keypoints)
    keypoints[~inside, :, 2] = 0
    return PosedTrack(
        track_id=evidence.track_id,
        present=inside & evidence.observed[held],
        rotations=over_the_clip(quaternions),
        joints=over_the_clip(posed.joints),
        feet=over_the_clip(feet).astype(np.float64),
        betas=state.betas.reshape(-1, state.betas.shape[-1])[0].numpy(force=True),
        keypoints=keypoints,
        joint_confidence=only_inside(result.joint_confidence),
        stage_losses=only_inside(result.stage_losses),
        stage_rotations=over_the_clip(stages),
        stage_root_translation=over_the_clip(result.stages.root_translation),
    )


def _quaternions(state: State) -> Float[torch.Tensor, "*batch joints 4"]:
    """Rotations of all joints, the body's own first."""
    rotations = torch.cat((state.global_orient[..., None, :, :], state.pose), dim=-3)
    return matrix_to_quaternion(rotations)
