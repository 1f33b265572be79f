"""Flips: frames in which the network takes a person's left for his right are turned back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from hund_backend.perception.crop_detector import Sighting
from hund_backend.perception.packed_part_maps import exchanged

from ..body.skeleton import KEYPOINT_MIRROR, PART_NAMES

MIRROR = np.array(KEYPOINT_MIRROR["blazepose"])
GROUPS = (np.arange(11), np.arange(11, 23), np.arange(23, 33))  # face, arms, legs: each may flip
PARTS = tuple(  # of each group, those that have sides
    tuple(name for name in PART_NAMES if name.endswith(limbs))
    for limbs in ((), ("upper_arm", "forearm", "hand"), ("thigh", "calf", "foot"))
)


@dataclass(frozen=True, kw_only=True)
class FlipConfig:
    """When an exchange of left and right explains a track better."""

    frame_cost: float = 0.02  # of an exchanged frame; a jump costs its length in sides of the crop
    longest_jump: float = 0.3  # sides of the crop; farther is not worse
    doubt: float = 0.5  # factor of the confidence of exchanged keypoints
    least_fps: float = 20.0  # of slower clips a stride may look like a flip


def unflip(sightings: Sequence[Sighting], config: FlipConfig) -> list[Sighting]:
    """Sightings of one person, frame after frame, in which left stays left.

    Face, arms and legs are read in each frame as the network says or with left and right
    exchanged, along the cheapest path through the frames (Viterbi): keypoints that jump cost, and
    so does every exchange, so that legs which merely cross are left alone.
    """
    if len(sightings) < 3:
        return list(sightings)
    points = np.stack([s.points for s in sightings])
    confidence = np.stack([s.confidence for s in sightings])
    sides = np.array([s.crop[2] for s in sightings])
    flipped = np.zeros(confidence.shape, bool)
    for group in GROUPS:
        both = np.stack((group, MIRROR[group]))  # readings keypoints
        jumps = _jumps(points[:, both] / sides[:, None, None, None], confidence[:, both], config)
        flipped[:, group] = _cheapest(jumps, config.frame_cost)[:, None]
    return [
        _exchanged(s, f, config) if f.any() else s for s, f in zip(sightings, flipped, strict=True)
    ]


def _jumps(
    points: Float[np.ndarray, "frames readings keypoints 2"],
    confidence: Float[np.ndarray, "frames readings keypoints"],
    config: FlipConfig,
) -> Float[np.ndarray, "steps readings readings"]:
    """Mean distance that keypoints go from each reading of a frame to each of the next."""
    step = points[1:, None, :] - points[:-1, :, None]
    length = np.linalg.norm(step, axis=-1).clip(max=config.longest_jump)
    weights = np.minimum(confidence[1:, None, :], confidence[:-1, :, None]) + 1e-6
    return (weights * length).sum(axis=-1) / weights.sum(axis=-1)


def _cheapest(
    jumps: Float[np.ndarray, "steps 2 2"], frame_cost: float
) -> Bool[np.ndarray, " frames"]:
    """In which frames the cheapest path takes the exchanged reading."""
    own = np.array([0.0, frame_cost])
    cost, origins = own, []
    for jump in jumps:
        through = cost[:, None] + jump + own
        origins.append(through.argmin(axis=0))
        cost = through.min(axis=0)
    path = [int(cost.argmin())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1], bool)


def _exchanged(
    sighting: Sighting, flipped: Bool[np.ndarray, "33"], config: FlipConfig
) -> Sighting:
    """A sighting with left and right exchanged among some keypoints."""
    order = np.where(flipped, MIRROR, np.arange(len(MIRROR)))
    parts = sighting.parts
    if parts is not None:
        groups = zip(GROUPS, PARTS, strict=True)
        names = [name for group, told in groups if flipped[group].all() for name in told]
        parts = exchanged(parts, tuple(names))
    return replace(
        sighting,
        features=None,
        parts=parts,
        points=np.concatenate((sighting.points[order], sighting.points[len(order) :])),
        confidence=sighting.confidence[order] * np.where(flipped, config.doubt, 1.0),
        world_landmarks=sighting.world_landmarks[order],
    )
