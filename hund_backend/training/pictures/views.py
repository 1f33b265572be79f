"""Views: cameras, and the crops that a tracker would cut from their frames."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...body.skeleton import BLAZEPOSE_NAMES
from ...perception.crops import (
    BODY_RADIUS_RATIO,
    CROP_MARGIN,
    crop_around_axis,
    crop_around_points,
    crop_from_image,
)

FRAMES = ((1920, 1080), (1280, 720), (1080, 1920), (1440, 1080), (720, 1280), (1024, 1024))
_HIPS, _SHOULDERS = (
    [BLAZEPOSE_NAMES.index(f"{side}_{name}") for side in ("left", "right")]
    for name in ("hip", "shoulder")
)


@dataclass(frozen=True, kw_only=True)
class View:
    """Camera in the world, and a crop of its frame."""

    camera_from_world: Float[np.ndarray, "4 4"]
    intrinsics: Float[np.ndarray, "3 3"]  # of the frame, pixels
    frame_size: tuple[int, int]  # width, height
    crop: Float[np.ndarray, "4"]  # as in hund_backend/perception/crops.py

    def crop_intrinsics(self, size: int) -> Float[np.ndarray, "3 3"]:
        """Intrinsics of the crop, `size` pixels wide."""
        return crop_from_image(self.crop, size) @ self.intrinsics

    def to_camera(self, points: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 3"]:
        """Points of the world in the camera frame."""
        return points @ self.camera_from_world[:3, :3].T + self.camera_from_world[:3, 3]

    def rays(self, size: int) -> Float[np.ndarray, "size size 3"]:
        """Directions of the crop's pixels in the world."""
        middle = np.arange(size) + 0.5
        x, y = np.meshgrid(middle, middle)
        pixels = np.stack((x, y, np.ones_like(x)), axis=-1)
        rays = pixels @ np.linalg.inv(self.crop_intrinsics(size)).T
        return rays @ self.camera_from_world[:3, :3]

    @property
    def position(self) -> Float[np.ndarray, "3"]:
        """Position of the camera in the world, metres."""
        return -self.camera_from_world[:3, :3].T @ self.camera_from_world[:3, 3]


def sample_view(keypoints: Float[np.ndarray, "33 3"], rng: np.random.Generator) -> View:
    """Random view of a person, given the BlazePose keypoints in the world."""
    width, height = FRAMES[rng.integers(len(FRAMES))]
    focal = max(width, height) / 2 / np.tan(np.deg2rad(rng.uniform(28, 90)) / 2)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    rotation = _camera_rotation(rng)
    center = (keypoints.min(0) + keypoints.max(0)) / 2
    extent = 2.15 * np.linalg.norm(keypoints - center, axis=-1).max()
    share = np.exp(rng.uniform(np.log(0.15), np.log(1.05)))  # of the frame that the person fills
    depth = max(focal * extent / (share * min(width, height)), 0.62 * extent + 0.35)
    room = 0.5 - 0.42 * min(share, 0.9)
    target = np.array([width, height]) * rng.uniform(0.5 - room, 0.5 + room, 2)
    if rng.random() < 0.12:  # partly beyond the frame's edge
        target = np.array([width, height]) * rng.uniform(0.05, 0.95, 2)
    toward = np.linalg.inv(intrinsics) @ (*target, 1)
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = toward * depth - rotation @ center
    view = View(
        camera_from_world=transform,
        intrinsics=intrinsics,
        frame_size=(width, height),
        crop=np.zeros(4),
    )
    rays = view.to_camera(keypoints) @ intrinsics.T
    crop = sample_crop(rays[:, :2] / rays[:, 2:].clip(0.1), rng)
    return View(
        camera_from_world=transform,
        intrinsics=intrinsics,
        frame_size=(width, height),
        crop=crop,
    )


def sample_crop(
    points: Float[np.ndarray, "33 2"], rng: np.random.Generator
) -> Float[np.ndarray, "4"]:
    """Random crop around BlazePose's keypoints in the frame, as the tracker would cut it.

    Most are as the network expects (around the hips, rotated with the trunk), some around a
    detected box, rotated with the trunk or by eighths; all of them are slightly off.
    """
    hip, chest = points[_HIPS].mean(0), points[_SHOULDERS].mean(0)
    trunk = chest - hip if np.linalg.norm(chest - hip) > 1 else np.array([0, -1.0])
    radius = BODY_RADIUS_RATIO * np.linalg.norm(points - hip, axis=-1).max()
    axis = crop_around_axis(hip, hip + trunk / np.linalg.norm(trunk) * radius)
    kind = rng.random()
    if kind < 0.7:
        crop, turn, growth = axis, rng.normal(0, 0.1), rng.normal(0, 0.08)
    else:
        away = rng.choice((0, np.pi / 4, -np.pi / 4)) if kind > 0.92 else 0
        crop = crop_around_points(
            points, axis[3] if kind > 0.8 else 0.0, CROP_MARGIN * BODY_RADIUS_RATIO
        )
        turn, growth = away + rng.normal(0, 0.15), rng.normal(0.1, 0.14)
    shift = rng.normal(0, 0.025, 2) * crop[2]
    return crop * (1, 1, np.exp(growth), 1) + np.array([*shift, 0, turn])


def _camera_rotation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Rotation from the world (y up) to a camera that is mostly level and upright."""
    pitch = rng.normal(-6, 10) if rng.random() < 0.8 else rng.uniform(-70, 25)
    roll = rng.normal(0, 3) if rng.random() < 0.9 else rng.uniform(-30, 30)
    pitch, roll = np.deg2rad((pitch, roll))
    cosine, sine = np.cos(pitch), np.sin(pitch)
    upright = np.diag([1.0, -1, -1])
    tilt = np.array([[1, 0, 0], [0, cosine, sine], [0, -sine, cosine]])
    cosine, sine = np.cos(roll), np.sin(roll)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ upright @ tilt
