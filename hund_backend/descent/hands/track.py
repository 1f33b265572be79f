"""Hands of a person over a track: the learned descent, polished over time."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.hand import HandModel, mirrored_rotations
from ...perception.evidence import Evidence
from .hund import HandHund
from .inputs import HandInputs, hand_inputs
from .polish import HandPolishConfig, polished
from .state_decoder import PosedHand


@dataclass(frozen=True, kw_only=True)
class HandConfig:
    """When a hand counts as seen."""

    least_confidence: float = 0.4  # mean of the points', below which a detection is not used
    shortest_seconds: float = 0.1  # shorter sights of a hand are not used
    polish: HandPolishConfig = HandPolishConfig()


@dataclass(frozen=True, kw_only=True)
class HandTrack:
    """Both hands of a person over the frames of a track, left and right."""

    seen: Bool[Tensor, "frames 2"]
    confidence: Float[Tensor, "frames 2"]  # 0…1; zero where a hand is not seen
    wrists: Float[Tensor, "frames 2 3 3"]
    """Orientation of the hand joint: body frame → camera; the identity where it is not seen."""
    places: Float[Tensor, "frames 2 3"]
    """Wrist joint in the camera, its distance by the size that the hand is seen in; zero where it
    is not seen."""
    middles: Float[Tensor, "frames 2 3"]  # from the wrist joint to the mean point, camera's axes
    fingers: Float[Tensor, "frames 2 15 3 3"]  # rotations in the parents' frames
    stage_fingers: Float[Tensor, "frames 2 stages 15 3 3"]  # of s_0 … s_M
    rest_points: Float[Tensor, "21 3"]  # the person's landmarks at rest, of a left hand


def track_hands(
    evidence: Evidence,
    betas: Float[Tensor, " betas"],
    fps: float,
    hund: HandHund,
    config: HandConfig | None = None,
) -> HandTrack:
    """Estimate both hands of a person in all frames.

    Args:
        evidence: of the person; `hands` may be None.
        betas: of the person's body.
        fps: frames per second.
        hund: network for hands.
        config: thresholds.
    """
    config = config or HandConfig()
    seen = seen_hands(evidence, fps, config)
    frames = len(evidence.frames)
    stages = hund.config.stages + 1
    relaxed = relaxed_fingers(hund)
    fingers = relaxed.expand(frames, 2, 15, 3, 3).clone()
    stage_fingers = relaxed[:, None].expand(frames, 2, stages, 15, 3, 3).clone()
    wrists = torch.eye(3).expand(frames, 2, 3, 3).clone()
    places, middles = torch.zeros(2, frames, 2, 3)
    confidence = torch.zeros(frames, 2)
    side, rows = (torch.from_numpy(index) for index in seen.T.nonzero())
    if len(rows):
        inputs = _inputs(evidence, betas, hund.decoder.model, rows, side)
        with torch.no_grad():
            steps = hund(inputs)
        shots = _shot_numbers(evidence)[rows]
        numbers = torch.from_numpy(evidence.frames.astype(np.int64))[rows]
        tracks = 2 * shots + side
        flat = polished(hund, steps[-1].vector.flat(), inputs, numbers, tracks, fps, config.polish)
        with torch.no_grad():
            posed = hund.evaluate(flat, inputs).posed
        wrists[rows, side] = inputs.to_camera(posed.rotations[:, 0])
        places[rows, side], middles[rows, side] = _places(posed, inputs)
        fingers[rows, side] = _unmirrored(posed.rotations[:, 1:], inputs)
        for stage, step in enumerate(steps):
            stage_fingers[rows, side, stage] = _unmirrored(step.posed.rotations[:, 1:], inputs)
        confidence[rows, side] = inputs.confidence.mean(-1)
    return HandTrack(
        seen=torch.from_numpy(seen),
        confidence=confidence.clamp(0, 1),
        wrists=wrists,
        places=places,
        middles=middles,
        fingers=fingers,
        stage_fingers=stage_fingers,
        rest_points=hund.decoder.model.rest_points(betas.float()),
    )


def relaxed_fingers(hund: HandHund) -> Float[Tensor, "2 15 3 3"]:
    """Return the rotations of both hands at rest, left and right."""
    left = hund.evidence_loss.anatomy.relaxed()
    return torch.stack((left, mirrored_rotations(left)))


def seen_hands(evidence: Evidence, fps: float, config: HandConfig) -> Bool[np.ndarray, "frames 2"]:
    """Return the frames in which each hand is seen well and long enough."""
    seen = np.zeros((len(evidence.frames), 2), bool)
    hands = evidence.hands
    if hands is None:
        return seen
    certain = hands.keypoints[..., 2].mean(axis=-1) >= config.least_confidence
    certain &= hands.observed & evidence.observed[:, None]
    shortest = max(1, round(config.shortest_seconds * fps))
    for shot in evidence.shot_rows():
        for side in range(2):
            runs = certain[shot, side]
            edges = np.flatnonzero(np.diff(np.pad(runs.astype(np.int8), 1)))
            for start, stop in edges.reshape(-1, 2):
                # A clip shorter than that is seen as far as it goes.
                if stop - start >= min(shortest, len(shot)):
                    seen[shot[start:stop], side] = True
    return seen


def _inputs(
    evidence: Evidence,
    betas: Float[Tensor, " betas"],
    model: HandModel,
    rows: Tensor,
    side: Tensor,
) -> HandInputs:
    """Inputs of the hands that are seen."""
    at, hand = rows.numpy(), side.numpy()
    return hand_inputs(
        model,
        betas[None].expand(len(rows), -1),
        evidence.hands.keypoints[at, hand],
        evidence.hands.world_landmarks[at, hand],
        evidence.hands.crops[at, hand],
        evidence.intrinsics[at],
        side == 1,
    )


def _places(
    posed: PosedHand, inputs: HandInputs
) -> tuple[Float[Tensor, "hands 3"], Float[Tensor, "hands 3"]]:
    """Places of the wrist joints at which points lie on detected ones on average, and middles."""
    depth = posed.points[..., 2:].clamp(min=0.05)
    wanted = inputs.keypoints * inputs.crop_width[:, None, None]
    weights = inputs.confidence[..., None]
    shift = (weights * (wanted - posed.points[..., :2] / depth)).sum(1)
    shift = shift / weights.sum(1).clamp(min=1e-6) * depth.mean(1)
    place = posed.translation + torch.nn.functional.pad(shift, (0, 1))
    middle = posed.points.mean(1) - posed.translation
    return inputs.to_frame(place), inputs.to_frame(middle)


def _shot_numbers(evidence: Evidence) -> Tensor:
    if evidence.shots is None:
        return torch.zeros(len(evidence.frames), dtype=torch.int64)
    return torch.from_numpy(evidence.shots.astype(np.int64))


def _unmirrored(
    rotations: Float[Tensor, "hands 15 3 3"], inputs: HandInputs
) -> Float[Tensor, "hands 15 3 3"]:
    """Rotations of the true hands."""
    mirrored = inputs.mirrored[:, None, None, None]
    return torch.where(mirrored, mirrored_rotations(rotations), rotations)
