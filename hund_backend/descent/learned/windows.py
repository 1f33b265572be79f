"""Windows of time: evidence of half a second before and after each frame of a track.

A window has the detections at fixed offsets in time, whatever the clip's rate, all in the camera of
its middle frame's crop. Detections between two frames are interpolated; offsets beyond the track,
beside frames without a detection, or between frames that lie too far apart are marked as unknown.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...perception.evidence import Evidence
from .inputs import NetworkInputs, rays_of_pixels

OFFSETS = tuple(number / 10 for number in range(-5, 6))  # seconds from the middle frame
MIDDLE = len(OFFSETS) // 2
_FARTHEST = 0.105  # seconds: greatest distance of two frames between which is interpolated
_SAME = 0.01  # seconds: an offset this near to a frame takes its detection


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Evidence around a batch of frames, in the camera of each middle frame's crop."""

    keypoints: Float[Tensor, "batch offsets keypoints 2"]  # x / z and y / z in crop widths
    confidence: Float[Tensor, "batch offsets keypoints"]
    landmarks: Float[Tensor, "batch offsets keypoints 3"]  # metres, from the middle of the hips
    known: Bool[Tensor, "batch offsets"]  # where it is False, the others are zeros

    @classmethod
    def of_track(cls, evidence: Evidence, inputs: NetworkInputs, fps: float) -> "Windows":
        """Windows around all frames of a track.

        Args:
            evidence: of one person over a track.
            inputs: the network's, of the same track.
            fps: frames per second.
        """
        before, after, share, known = _neighbors(evidence.observed, fps)
        device, dtype = inputs.crop_width.device, inputs.crop_width.dtype

        def at_offsets(values: np.ndarray) -> np.ndarray:
            weight = share.reshape(*share.shape, *(1,) * (values.ndim - 1))
            return (1 - weight) * values[before] + weight * values[after]

        pixels = at_offsets(evidence.keypoints[..., :2].astype(np.float64))
        confidence = at_offsets(evidence.keypoints[..., 2].astype(np.float64))
        camera_from_crop = inputs.camera_from_crop.double().cpu().numpy()
        rays_from_image = np.linalg.inv(evidence.intrinsics.astype(np.float64) @ camera_from_crop)
        rays = rays_of_pixels(pixels.reshape(len(pixels), -1, 2), rays_from_image).reshape(
            pixels.shape
        )
        width = inputs.crop_width.double().cpu().numpy()[:, None, None, None]
        crop_landmarks = inputs.landmarks.double().cpu().numpy()
        in_camera = crop_landmarks @ camera_from_crop.swapaxes(-1, -2)
        landmarks = at_offsets(in_camera) @ camera_from_crop[:, None]
        mask = known[..., None, None]

        def tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(device, dtype)

        return cls(
            keypoints=tensor(np.where(mask, rays / width, 0.0)),
            confidence=tensor(np.where(known[..., None], confidence, 0.0)),
            landmarks=tensor(np.where(mask, landmarks, 0.0)),
            known=torch.from_numpy(known).to(device),
        )

    def __len__(self) -> int:
        return len(self.known)

    def select(self, indices: Int[Tensor, " chosen"] | slice) -> "Windows":
        """Some of the batch."""
        return replace(self, **{f.name: getattr(self, f.name)[indices] for f in fields(self)})


def _neighbors(
    observed: Bool[np.ndarray, " frames"], fps: float
) -> tuple[
    Int[np.ndarray, "frames offsets"],
    Int[np.ndarray, "frames offsets"],
    Float[np.ndarray, "frames offsets"],
    Bool[np.ndarray, "frames offsets"],
]:
    """Frames before and after each offset, the share of the second, and where both are known."""
    count = len(observed)
    place = np.arange(count)[:, None] + fps * np.array(OFFSETS)
    nearest = np.round(place)
    place = np.where(np.abs(place - nearest) <= _SAME * fps, nearest, place)
    inside = (place >= 0) & (place <= count - 1)
    place = place.clip(0, count - 1)
    seen = np.flatnonzero(observed)
    if len(seen) == 0:
        nobody = np.zeros(place.shape, dtype=int)
        return nobody, nobody, np.zeros(place.shape), np.zeros(place.shape, dtype=bool)
    after = seen[np.searchsorted(seen, np.ceil(place)).clip(max=len(seen) - 1)]
    before = seen[(np.searchsorted(seen, np.floor(place), side="right") - 1).clip(min=0)]
    distance = after - before
    share = np.where(distance > 0, (place - before) / np.maximum(distance, 1), 0.0)
    between = (before <= place) & (place <= after) & (distance <= _FARTHEST * fps + 1e-6)
    return before, after, share.clip(0, 1), inside & between & observed[:, None]
