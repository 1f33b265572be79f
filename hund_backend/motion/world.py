"""World frame: z up, ground at z = 0, and the camera's transform to it."""

import numpy as np
from jaxtyping import Float

from .ground import Ground


def world_from_camera(ground: Ground, origin: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Return the world transform of a static camera.

    The world's y axis points away from the camera along the ground, x to the camera's right.

    Args:
        ground: up direction and height of the ground, camera frame.
        origin: point whose projection to the ground becomes the world's origin, camera frame.
    """
    up = ground.up
    ahead = np.array([0.0, 0, 1]) - up[2] * up
    if np.linalg.norm(ahead) < 1e-3:  # the camera looks straight down or up
        ahead = np.array([0.0, -1, 0]) - -up[1] * up
    ahead = ahead / np.linalg.norm(ahead)
    rotation = np.stack([np.cross(ahead, up), ahead, up])
    transform = np.eye(4)
    transform[:3, :3] = rotation
    rotated_origin = rotation @ origin
    transform[:3, 3] = [-rotated_origin[0], -rotated_origin[1], -ground.level]
    return transform
