"""Contact features: the motion of feet and pelvis in a gravity frame, for the contact network."""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import minimum_filter1d

from ..body.soles import SOLE_NAMES
from .posed_track import PosedTrack

FEATURE_FPS = 30.0  # rate of the frames for which the network was trained
WINDOW = 15  # frames before and after in which the lowest sole is looked for
SPEED_UNIT, HEIGHT_UNIT = 1.0, 0.2  # m/s, metres: of features of about one
FASTEST = 4.0  # m/s: faster soles look alike
NUM_FEATURES = 18 + 18 + 6 + 6 + 3 + 3 + 6


@dataclass(frozen=True, kw_only=True)
class FootMotion:
    """Motion of feet and pelvis in the frame of a static camera, metres."""

    soles: Float[np.ndarray, "frames 6 3"]
    confidence: Float[np.ndarray, "frames 6"]  # of the keypoints next to them
    pelvis: Float[np.ndarray, "frames 3"]
    pelvis_axes: Float[np.ndarray, "frames 3 3"]  # rotation from the body to the camera frame

    @classmethod
    def of_track(cls, track: PosedTrack) -> "FootMotion":
        """Motion of a posed track."""
        return cls(
            soles=track.feet,
            confidence=track.point_confidence[:, : len(SOLE_NAMES)],
            pelvis=track.joints[:, 0].astype(np.float64),
            pelvis_axes=track.pelvis_axes,
        )

    def resampled(
        self, times: Float[np.ndarray, " frames"], at: Float[np.ndarray, " samples"]
    ) -> "FootMotion":
        """The same motion at other times, by linear interpolation."""
        return FootMotion(
            **{
                field.name: resample(getattr(self, field.name), times, at)
                for field in fields(self)
            }
        )


def resample(
    values: Float[np.ndarray, " frames *rest"],
    times: Float[np.ndarray, " frames"],
    at: Float[np.ndarray, " samples"],
) -> Float[np.ndarray, " samples *rest"]:
    """Values at other times, by linear interpolation."""
    columns = values.reshape(len(values), -1).T
    rows = np.stack([np.interp(at, times, column) for column in columns], axis=1)
    return rows.reshape(len(at), *values.shape[1:])


def contact_features(
    motion: FootMotion, up: Float[np.ndarray, "3"]
) -> Float32[np.ndarray, "frames features"]:
    """Return features of each frame of a motion at FEATURE_FPS.

    Soles from the pelvis, their velocities, their speeds across the line of sight, their heights
    over the lowest sole within half a second, the pelvis's velocity and up direction, and the
    confidence of the feet's keypoints. Vectors are turned into the person's heading: x to the left,
    y up, z ahead.

    Args:
        motion: of feet and pelvis.
        up: unit vector away from the ground.
    """
    soles, pelvis, axes = motion.soles, motion.pelvis, motion.pelvis_axes
    into_heading = _headings(axes, up)

    def turned(vectors: Float[np.ndarray, "frames points 3"]) -> np.ndarray:
        return np.einsum("fab,fnb->fna", into_heading, vectors).reshape(len(vectors), -1)

    velocity = np.clip(_velocity(soles), -FASTEST, FASTEST)
    ray = soles / np.linalg.norm(soles, axis=-1, keepdims=True)
    across = np.linalg.norm(velocity - (velocity * ray).sum(-1, keepdims=True) * ray, axis=-1)
    heights = soles @ up
    lowest = minimum_filter1d(heights.min(axis=1), 2 * WINDOW + 1, mode="nearest")
    values = (
        turned(soles - pelvis[:, None]),
        turned(velocity) / SPEED_UNIT,
        across / SPEED_UNIT,
        (heights - lowest[:, None]) / HEIGHT_UNIT,
        turned(_velocity(pelvis[:, None])) / SPEED_UNIT,
        turned(axes[:, None, :, 1]),
        motion.confidence,
    )
    return np.concatenate(values, axis=1).astype(np.float32)


def _velocity(points: Float[np.ndarray, "frames points 3"]) -> np.ndarray:
    """Central differences, m/s; zero where there is a single frame."""
    if len(points) < 2:
        return np.zeros_like(points)
    return np.gradient(points, 1 / FEATURE_FPS, axis=0)


def _headings(
    axes: Float[np.ndarray, "frames 3 3"], up: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "frames 3 3"]:
    """Return rotations from the camera frame into each frame's heading.

    Ahead is where the pelvis's left axis, which lying and bending people keep level, says.
    """
    left = axes[:, :, 0] - (axes[:, :, 0] @ up)[:, None] * up
    ahead = axes[:, :, 2] - (axes[:, :, 2] @ up)[:, None] * up
    ahead_of_left = np.cross(left, up)
    ahead = np.where(np.linalg.norm(left, axis=-1, keepdims=True) > 0.3, ahead_of_left, ahead)
    length = np.linalg.norm(ahead, axis=-1, keepdims=True)
    ahead = ahead / np.maximum(length, 1e-6)
    upward = np.broadcast_to(up, ahead.shape)
    return np.stack((np.cross(upward, ahead), upward, ahead), axis=1)
