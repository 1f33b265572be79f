"""Resting: which way is up, by people who lie or bear on their hands.

Somebody at rest is as low as the pose allows: turned by any small angle about the ground, the center
of mass would rise. That holds on the back, on the side and in a push-up, whatever bears, and needs no
contacts to be known. It does not hold for who stands, whose balance is an effort.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize

from ..body.center_of_mass import centers_of_mass
from ..body.skeleton import JOINT_INDEX
from .posed_track import PosedTrack

# Metres from a joint to the skin that may touch the ground; points of contact are on the skin.
SKIN = {
    "Head01": 0.10,
    "Neck01": 0.06,
    "Spine03": 0.11,
    "Pelvis": 0.10,
    **{
        f"{name}{side}": radius
        for side in "LR"
        for name, radius in (
            ("Upperarm", 0.07),
            ("Lowerarm", 0.04),
            ("Thigh", 0.10),
            ("Calf", 0.06),
        )
    },
}
LEVEL = np.cos(np.radians(65.0))  # largest cosine of trunk and legs of who lies to a camera's up
BODY_SPEED = 0.6  # m/s of the center of mass, across the line of sight, of somebody at rest
MOST_FRAMES = 40  # that are looked at
FURTHEST = np.cos(np.radians(40.0))  # from a level camera's up direction; beyond, nothing is known


def lies(
    track: PosedTrack, camera_up: Float[np.ndarray, "3"], fps: float
) -> Bool[np.ndarray, " frames"]:
    """Return in which frames trunk and legs are far from upright, and the person moves slowly."""
    joints = track.joints.astype(np.float64)
    hips, ankles = (
        joints[:, [JOINT_INDEX[f"{name}{side}"] for side in "LR"]].mean(axis=1)
        for name in ("Thigh", "Ankle")
    )
    spine = joints[:, JOINT_INDEX["Neck01"]] - joints[:, JOINT_INDEX["Pelvis"]]
    level = [np.abs(_cosines(axis, camera_up)) < LEVEL for axis in (spine, hips - ankles)]
    center = centers_of_mass(joints)
    ray = center / np.maximum(np.linalg.norm(center, axis=-1, keepdims=True), 1e-9)
    if len(center) < 2:
        return np.zeros(len(center), dtype=bool)
    velocity = np.gradient(center, axis=0) * fps
    across = velocity - (velocity * ray).sum(axis=-1, keepdims=True) * ray
    return track.present & level[0] & level[1] & (np.linalg.norm(across, axis=-1) < BODY_SPEED)


def resting_up(
    track: PosedTrack, frames: Bool[np.ndarray, " frames"], camera_up: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "3"] | None:
    """Return the up direction near a level camera's in which the center of mass is lowest.

    Args:
        track: of the person.
        frames: in which the person rests; at least one.
        camera_up: up direction of a level camera.

    Returns:
        A unit vector in the camera frame; None if there is none nearby.
    """
    chosen = np.flatnonzero(frames)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), MOST_FRAMES)).astype(int)]
    joints = track.joints[chosen].astype(np.float64)
    center = centers_of_mass(joints)
    skin = joints[:, [JOINT_INDEX[name] for name in SKIN]]
    points = np.concatenate((skin, track.contact_points[chosen]), axis=1)
    radii = np.array([*SKIN.values(), *np.zeros(track.contact_points.shape[1])])
    side = np.cross(camera_up, [0.0, 0.0, 1.0])
    depth = np.cross(side, camera_up)

    def up_of(tilt: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3"]:
        up = camera_up + tilt[0] * side + tilt[1] * depth
        return up / np.linalg.norm(up)

    def height(tilt: Float[np.ndarray, "2"]) -> float:
        up = up_of(tilt)
        return float((center @ up - (points @ up - radii).min(axis=1)).mean())

    simplex = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]])
    found = minimize(
        height, np.zeros(2), method="Nelder-Mead", options={"initial_simplex": simplex}
    )
    up = up_of(found.x)
    return up if up @ camera_up > FURTHEST else None


def _cosines(
    vectors: Float[np.ndarray, "frames 3"], axis: Float[np.ndarray, "3"]
) -> Float[np.ndarray, " frames"]:
    """Cosines of the angles between vectors and a unit vector."""
    return vectors @ axis / np.maximum(np.linalg.norm(vectors, axis=-1), 1e-9)
