"""Sightings: what one look says of one person, carried from the crop to the frame and the camera."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hund_backend.body.skeleton import KEYPOINT_MIRROR
from . import packed_part_maps
from hund_backend.perception.blazepose import CROP_SIZE_PX, Look
from hund_backend.perception.confidence import keypoint_confidence
from hund_backend.perception.crops import around_axis, camera_from_crop, cut, image_from_crop, move

NUM_KEYPOINTS = 33
HIP, TIP = 33, 34  # BlazePose's auxiliary points: the axis of the next crop
OTHER_SIDE = [*KEYPOINT_MIRROR["blazepose"], HIP, TIP]
LIMB_JOINTS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]  # shoulders … ankles
MOST_RESIZED = 4.0  # farther than that from the size of its own crop a sighting tells nothing
MASK_SIZE = 64
SEGMENTS = ((11, 23), (12, 24), (23, 25), (24, 26), (25, 27), (26, 28), (11, 13), (12, 14))
SAMPLES = np.linspace(0.2, 0.8, 5)  # where along a segment its color is read


@runtime_checkable
class Pose(Protocol):
    """A landmark network, as BlazePose."""

    def look(self, pictures: UInt8[np.ndarray, "crops 256 256 3"]) -> Look:
        """Look at square crops (RGB)."""


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One person in one frame, as one look (or the mean of several) shows them."""

    crop: Float[np.ndarray, "4"]  # see crops.py
    points: Float[np.ndarray, "35 2"]  # 33 keypoints, HIP and TIP; px of the frame
    confidence: Float[np.ndarray, "33"]
    world_landmarks: Float[np.ndarray, "33 3"]  # metres from the mid-hip, axes of the camera
    quality: float  # mean heat-map peak of the limbs' joints: 0.9 well seen, below 0.75 doubtful
    colors: Float[np.ndarray, "segments 3"]  # CIELAB along trunk and limbs, to tell people apart
    mask: UInt8[np.ndarray, "64 64"]  # silhouette probability of the crop times 255
    features: Float[np.ndarray, "560"] | None = None
    """What the network thought, averaged; none of it where left and right have been exchanged."""
    parts: UInt8[np.ndarray, "3 64 64"] | None = None  # of the crop, see part_maps.py

    @property
    def box(self) -> Float[np.ndarray, "4"]:
        """Upright box round the keypoints: x0, y0, x1, y1 in px."""
        keypoints = self.points[:NUM_KEYPOINTS]
        return np.concatenate((keypoints.min(axis=0), keypoints.max(axis=0)))

    @property
    def wanted_crop(self) -> Float[np.ndarray, "4"]:
        """The crop in which the network would see the person best.

        It is the one of its auxiliary points. Boxes of the keypoints do worse: the network was
        trained on crops about the mid-hip (on 200 sports pictures 7.4 % of the size as mean error
        against 9.2 … 11.0 %).
        """
        crop = around_axis(self.points[HIP], self.points[TIP])
        crop[2] = np.clip(crop[2], self.crop[2] / MOST_RESIZED, self.crop[2] * MOST_RESIZED)
        return crop


class Sight:
    """Looks at crops of one frame, those of one call in one batch."""

    def __init__(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        pose: Pose,
        intrinsics: Float[np.ndarray, "3 3"],
    ) -> None:
        self.image, self.pose, self.intrinsics = image, pose, intrinsics

    def __call__(
        self, crops: Float[np.ndarray, "crops 4"], *, mirrored: bool = False
    ) -> list[Sighting]:
        """Sightings in the crops, in their order.

        Args:
            crops: see crops.py.
            mirrored: show them mirrored to the network and mirror back what it says.
        """
        return self._read(cut(self.image, crops), crops, mirrored) if len(crops) else []

    def with_next(
        self, crops: Float[np.ndarray, "2 4"], image: UInt8[np.ndarray, "height width 3"]
    ) -> list[Sighting]:
        """Sightings in a crop of this frame and in one of the next, `image`, in one batch."""
        pictures = np.concatenate((cut(self.image, crops[:1]), cut(image, crops[1:])))
        return self._read(pictures, crops, mirrored=False)

    def _read(
        self,
        pictures: UInt8[np.ndarray, "crops size size 3"],
        crops: Float[np.ndarray, "crops 4"],
        mirrored: bool,
    ) -> list[Sighting]:
        """What the network says of crops that are cut."""
        shown = np.ascontiguousarray(pictures[:, :, ::-1]) if mirrored else pictures
        look = self.pose.look(shown)
        order = OTHER_SIDE if mirrored else slice(len(OTHER_SIDE))
        keypoints, peaks = look.keypoints[:, order].astype(float), look.peaks[:, order]
        world, masks = look.world_landmarks[:, order].astype(float), look.masks
        parts = look.parts
        if mirrored:
            keypoints = keypoints * (-1, 1) + (CROP_SIZE_PX, 0)
            world, masks = world * (-1, 1, 1), masks[:, :, ::-1]
            parts = None if parts is None else packed_part_maps.mirrored(parts)
        points = move(keypoints, image_from_crop(crops))
        quality = peaks[:, LIMB_JOINTS].mean(axis=1)
        confidence = keypoint_confidence(peaks, look.visibility[:, order], quality)
        world = world @ camera_from_crop(crops, self.intrinsics).swapaxes(1, 2)
        return [
            Sighting(
                crop=crops[index],
                points=points[index],
                confidence=confidence[index, :NUM_KEYPOINTS],
                world_landmarks=world[index, :NUM_KEYPOINTS],
                quality=float(quality[index]),
                colors=_colors(pictures[index], keypoints[index]),
                mask=_small(masks[index]),
                features=None if mirrored else look.features[index],
                parts=None if parts is None else parts[index],
            )
            for index in range(len(crops))
        ]


def _small(mask: np.ndarray) -> np.ndarray:
    """A silhouette in 64 by 64 bytes."""
    shrunk = cv2.resize(mask, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_AREA)
    return (shrunk * 255).round().astype(np.uint8)


def _colors(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Median CIELAB color along trunk and limbs (OpenCV's 8-bit scale)."""
    ends = points[np.array(SEGMENTS)]
    along = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * SAMPLES[:, None]
    column, row = along.astype(int).clip(0, len(picture) - 1).transpose(2, 0, 1)
    lab = cv2.cvtColor(picture[row, column], cv2.COLOR_RGB2LAB)
    return np.median(lab, axis=1).astype(float)
