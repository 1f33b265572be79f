"""Upright: which way is up, by how people keep their balance.

Over time, the center of mass of somebody on their feet is above the feet that bear, whatever the
lean of the trunk: otherwise they fall. People on a chair, on their knees or in a push-up bear on
more than their feet. Who lies or is on their hands is as low as the pose allows (`resting.py`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..body.center_of_mass import centers_of_mass
from ..descent.easing import smoothstep
from .posed_track import PosedTrack
from .resting import resting_up

BEARING_SHARES = np.array([1, 0.5, 0.5, 1, 0.5, 0.5])  # heel; ball and toe are one end of a foot
BALANCE_STD = np.radians(3.0)  # of the direction over a long time: the feet's depth, a lean
MOMENT_STD = np.radians(6.0)  # of the direction in one moment: people move
MOMENT_SECONDS = 0.5  # for which a moment's imbalance lasts
STRAIGHT = (0.75, 0.9)  # share of a leg's length from which, and at which, feet bear people
ON_FEET = 0.95  # share of those on straight legs who bear on their feet alone
CAMERA_TILT_STD = np.radians(18.0)  # of cameras against level
RESTING_STD = np.radians(6.0)  # of the direction by people who lie or are on their hands
RESTING_SECONDS = 0.7  # from which it counts, if it is half of the person's time
CAMERA_UP = np.array([0.0, -1.0, 0.0])  # of a level camera
LEAN_STD = np.radians(12.0)  # of the trunk of somebody who stands, if the feet say nothing


@dataclass(frozen=True, kw_only=True)
class UpEvidence:
    """What a person says of the up direction, camera frame."""

    direction: Float[np.ndarray, "3"]  # unit vector
    std: float  # radians; infinite: nothing


NO_EVIDENCE = UpEvidence(direction=CAMERA_UP, std=np.inf)


def up_evidence(
    track: PosedTrack,
    bearing: Float[np.ndarray, "frames 6"],
    resting: Bool[np.ndarray, " frames"],
    fps: float,
) -> UpEvidence:
    """Return the up direction from the feet that bear to the center of mass.

    Where the feet are not seen, the trunk's direction counts, while the person stands. Of somebody
    who lies or is on their hands, the lowest center of mass counts.

    Args:
        track: of the person.
        bearing: confidence that each point of SOLE_NAMES bears weight, 0…1.
        resting: where the person lies or is on their hands (`lies`).
        fps: frames a second.
    """
    if resting.sum() > max(RESTING_SECONDS * fps, 0.5 * track.present.sum()):
        up = resting_up(track, resting, CAMERA_UP)
        return NO_EVIDENCE if up is None else UpEvidence(direction=up, std=RESTING_STD)
    weights = bearing * track.point_confidence[:, : bearing.shape[1]] * BEARING_SHARES
    total = weights.sum(axis=1)
    support = (track.feet * weights[..., None]).sum(axis=1) / np.maximum(total, 1e-9)[:, None]
    rays = centers_of_mass(track.joints.astype(np.float64)) - support
    rays /= np.maximum(np.linalg.norm(rays, axis=-1, keepdims=True), 1e-9)
    bent, straight = STRAIGHT
    extent = track.leg_extents.max(axis=1)
    total = np.minimum(total, 1.0) * smoothstep((extent - bent) / (straight - bent))
    seconds = float(total.sum()) / fps
    balance = (rays * total[:, None]).sum(axis=0)
    moments = seconds / MOMENT_SECONDS
    variances = [(BALANCE_STD**2 + MOMENT_STD**2 / (1 + moments)) / max(1e-9, min(1.0, moments))]
    directions = [balance]
    lean = track.standing_directions.sum(axis=0)
    if np.linalg.norm(lean) > 0:
        directions.append(lean)
        variances.append(LEAN_STD**2 * (1 + moments))
    if max(np.linalg.norm(direction) for direction in directions) < 1e-6:
        return NO_EVIDENCE
    mean = sum(
        direction / max(np.linalg.norm(direction), 1e-9) / variance
        for direction, variance in zip(directions, variances, strict=True)
    )
    std = float(np.sqrt(1 / sum(1 / variance for variance in variances)))
    return UpEvidence(direction=mean / np.linalg.norm(mean), std=std)


def on_feet(evidence: UpEvidence, camera_up: Float[np.ndarray, "3"]) -> float:
    """Return the probability that a person bears on their feet alone, 0…1.

    From feet to head, somebody in a push-up looks like somebody who stands with arms held out.
    Cameras are rarely tilted by as much as that.

    Args:
        evidence: of the up direction, which holds for people on their feet.
        camera_up: up direction of a level camera.
    """
    if not np.isfinite(evidence.std):
        return 0.0
    variance = CAMERA_TILT_STD**2 + evidence.std**2
    tilt = np.arccos(np.clip(evidence.direction @ camera_up, -1, 1))
    standing = ON_FEET * np.exp(-0.5 * tilt**2 / variance) / (2 * np.pi * variance)
    otherwise = (1 - ON_FEET) / (4 * np.pi)  # any direction
    return float(standing / (standing + otherwise))
