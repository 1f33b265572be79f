"""Left-right flips: frames in which the network swaps a person's sides are swapped back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from ..body.skeleton import KEYPOINT_MIRROR, PART_NAMES
from .crop_detector import Detection
from .hands.detector import swap_hands
from .packed_part_maps import swap_part_sides

MIRROR = np.array(KEYPOINT_MIRROR["blazepose"])
ARMS = np.arange(11, 23)
GROUPS = (np.arange(11), ARMS, np.arange(23, 33))  # face, arms, legs: each may flip
GROUP_PARTS = tuple(  # parts of each group that have sides
    tuple(name for name in PART_NAMES if name.endswith(limbs))
    for limbs in ((), ("upper_arm", "forearm", "hand"), ("thigh", "calf", "foot"))
)


@dataclass(frozen=True, kw_only=True)
class FlipConfig:
    """Costs of flips and jumps."""

    frame_cost: float = 0.02  # of a flipped frame; a jump costs its length in sides of the crop
    max_jump: float = 0.3  # sides of the crop; longer jumps cost no more
    momentum: float = 0.5  # of a keypoint that is seen for sure: share of its step that goes on
    confidence_factor: float = 0.5  # of flipped keypoints
    min_fps: float = 20.0  # of slower clips a stride may look like a flip


def correct_flips(detections: Sequence[Detection], config: FlipConfig) -> list[Detection]:
    """Swap left and right back in the frames where that makes the keypoints' paths smoother.

    Face, arms and legs of each frame are taken as detected or flipped, along the cheapest path
    through the frames (Viterbi). Jumps of the keypoints off their motion cost, and so does every
    flipped frame, so that legs which merely cross are left alone.

    Args:
        detections: of one person, in the order of the frames.
        config: see FlipConfig.
    """
    if len(detections) < 3:
        return list(detections)
    points = np.stack([d.points for d in detections])
    confidence = np.stack([d.confidence for d in detections])
    sides = np.array([d.crop[2] for d in detections])
    flipped = np.zeros(confidence.shape, bool)
    for group in GROUPS:
        both = np.stack((group, MIRROR[group]))  # states keypoints
        jumps = _jump_costs(
            points[:, both] / sides[:, None, None, None], confidence[:, both], config
        )
        flipped[:, group] = _cheapest_path(jumps, config.frame_cost)[:, None]
    return [
        _flip(d, f, config) if f.any() else d for d, f in zip(detections, flipped, strict=True)
    ]


def _jump_costs(
    points: Float[np.ndarray, "frames states keypoints 2"],
    confidence: Float[np.ndarray, "frames states keypoints"],
    config: FlipConfig,
) -> Float[np.ndarray, "steps 2 2 2"]:
    """Return the mean distance of the keypoints from where their motion would have led them.

    Of each step: by the states of the frame before last, the last one and the next one.
    """
    moved = points[1:, None, :] - points[:-1, :, None]
    sure = np.minimum(confidence[1:, None, :], confidence[:-1, :, None])
    going_on = config.momentum * sure[..., None] * moved
    going_on = np.concatenate((np.zeros_like(going_on[:1]), going_on[:-1]))
    rest = moved[:, None] - going_on[:, :, :, None]
    length = np.linalg.norm(rest, axis=-1).clip(max=config.max_jump)
    weights = sure[:, None] + 1e-6
    return (weights * length).sum(axis=-1) / weights.sum(axis=-1)


def _cheapest_path(
    jumps: Float[np.ndarray, "steps 2 2 2"], frame_cost: float
) -> Bool[np.ndarray, " frames"]:
    """Return the frames that are flipped along the cheapest path (Viterbi over pairs of frames)."""
    state_cost = np.array([0.0, frame_cost])
    cost = np.stack((state_cost, np.full(2, np.inf)))  # before the first frame there is none
    origins = []
    for jump in jumps:
        through = cost[:, :, None] + jump + state_cost
        origins.append(through.argmin(axis=0))
        cost = through.min(axis=0)
    before, state = np.unravel_index(cost.argmin(), cost.shape)
    path = [state]
    for origin in reversed(origins):
        before, state = origin[before, state], before
        path.append(state)
    return np.array(path[::-1], bool)


def _flip(detection: Detection, flipped: Bool[np.ndarray, "33"], config: FlipConfig) -> Detection:
    """Swap left and right of some keypoints, of their parts and hands; drops the features."""
    order = np.where(flipped, MIRROR, np.arange(len(MIRROR)))
    parts = detection.parts
    if parts is not None:
        groups = zip(GROUPS, GROUP_PARTS, strict=True)
        names = [name for group, of_group in groups if flipped[group].all() for name in of_group]
        parts = swap_part_sides(parts, tuple(names))
    hands = detection.hands
    if hands is not None and flipped[ARMS].all():
        hands = swap_hands(hands)
    return replace(
        detection,
        features=None,
        parts=parts,
        hands=hands,
        points=np.concatenate((detection.points[order], detection.points[len(order) :])),
        confidence=detection.confidence[order] * np.where(flipped, config.confidence_factor, 1.0),
        world_landmarks=detection.world_landmarks[order],
    )
