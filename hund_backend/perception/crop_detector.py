"""Crop detector: one person's keypoints, landmarks and mask in the frame, from a crop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ..body.skeleton import KEYPOINT_MIRROR
from .blazepose import CROP_SIZE_PX, BlazePoseOutput
from .bust import quality_of_bust, release_guessed_limbs
from .confidence import keypoint_confidence
from .crops import (
    camera_from_crop,
    crop_around_axis,
    extract_crops,
    image_from_crop,
    transform_points,
)
from .hands.detector import HandPair
from .packed_part_maps import mirror_part_maps
from .painting import paint_over_person

NUM_KEYPOINTS = 33
HIP, TIP = 33, 34  # BlazePose's auxiliary points: the axis of the next crop
MIRRORED_POINTS = [*KEYPOINT_MIRROR["blazepose"], HIP, TIP]
LIMB_JOINTS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]  # shoulders … ankles
MIN_INSIDE = 6  # limbs' joints inside the frame whose mean tells whether they are a person's
MAX_RESIZE = 4.0  # a crop farther than that from the size of its detection's crop is unreliable
MASK_SIZE = 64
SEGMENTS = ((11, 23), (12, 24), (23, 25), (24, 26), (25, 27), (26, 28), (11, 13), (12, 14))
COLOR_SAMPLES = np.linspace(0.2, 0.8, 5)  # along a segment, where its color is read


@runtime_checkable
class LandmarkNetwork(Protocol):
    """A landmark network, as BlazePose."""

    def predict(self, images: UInt8[np.ndarray, "crops 256 256 3"]) -> BlazePoseOutput:
        """Predict keypoints, silhouettes and features of square crops (RGB)."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One person in one frame, from one crop or as the mean over several."""

    crop: Float[np.ndarray, "4"]  # see crops.py
    points: Float[np.ndarray, "35 2"]  # 33 keypoints, HIP and TIP; px of the frame
    confidence: Float[np.ndarray, "33"]
    world_landmarks: Float[np.ndarray, "33 3"]  # metres from the mid-hip, axes of the camera
    quality: float
    """Mean heat-map peak of the limbs' joints, or of head and shoulders of who is cut off above the
    hips: 0.9 is good, below 0.75 doubtful."""
    colors: Float[np.ndarray, "segments 3"]  # CIELAB along trunk and limbs, to tell people apart
    mask: UInt8[np.ndarray, "64 64"]  # silhouette probability of the crop times 255
    features: Float[np.ndarray, "560"] | None = None
    """Pooled BlazePose features; None after left and right were swapped."""
    parts: UInt8[np.ndarray, "3 64 64"] | None = None  # of the crop, see packed_part_maps.py
    hands: HandPair | None = None  # None: they were not looked for
    missed_hands: tuple[int, int] = (0, 0)  # frames in a row up to this without each of them
    quality_inside: float | None = None
    """The quality of the joints inside the frame: what the frame cuts off says nothing about
    whether this is a person. None: as `quality`."""

    @property
    def box(self) -> Float[np.ndarray, "4"]:
        """Axis-aligned box around the keypoints: x0, y0, x1, y1 in px."""
        keypoints = self.points[:NUM_KEYPOINTS]
        return np.concatenate((keypoints.min(axis=0), keypoints.max(axis=0)))

    @property
    def next_crop(self) -> Float[np.ndarray, "4"]:
        """The crop that fits this person best.

        It is the one of the auxiliary points. Boxes of the keypoints do worse: the network was
        trained on crops around the mid-hip (on 200 sports images 7.4 % of the size as mean error
        against 9.2 … 11.0 %).
        """
        crop = crop_around_axis(self.points[HIP], self.points[TIP])
        crop[2] = np.clip(crop[2], self.crop[2] / MAX_RESIZE, self.crop[2] * MAX_RESIZE)
        return crop


class CropDetector:
    """Detector of people in crops of one frame; the crops of one call form one batch."""

    def __init__(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        network: LandmarkNetwork,
        intrinsics: Float[np.ndarray, "3 3"],
        painted: Sequence[Detection] = (),
    ) -> None:
        self.image, self.network, self.intrinsics = image, network, intrinsics
        self.painted = tuple(painted)  # people who are painted over

    def without(self, people: Sequence[Detection]) -> "CropDetector":
        """Return a detector that does not see some people, so that it finds those behind them."""
        return type(self)(self.image, self.network, self.intrinsics, people)

    def __call__(
        self, crops: Float[np.ndarray, "crops 4"], *, mirrored: bool = False
    ) -> list[Detection]:
        """Detect the person in each crop.

        Args:
            crops: see crops.py.
            mirrored: whether the network gets mirrored images; its output is mirrored back.
        """
        if not len(crops):
            return []
        images = extract_crops(self.image, crops)
        for person in self.painted:
            for image, crop in zip(images, crops, strict=True):
                image[:] = paint_over_person(image, crop, person.mask, person.crop)
        return self._detect(images, crops, mirrored)

    def detect_with_next(
        self, crops: Float[np.ndarray, "2 4"], next_image: UInt8[np.ndarray, "height width 3"]
    ) -> list[Detection]:
        """Detect a person in a crop of this frame and in one of the next frame, in one batch."""
        images = np.concatenate(
            (extract_crops(self.image, crops[:1]), extract_crops(next_image, crops[1:]))
        )
        return self._detect(images, crops, mirrored=False)

    def _detect(
        self,
        images: UInt8[np.ndarray, "crops size size 3"],
        crops: Float[np.ndarray, "crops 4"],
        mirrored: bool,
    ) -> list[Detection]:
        """Detect the person in each extracted crop."""
        inputs = np.ascontiguousarray(images[:, :, ::-1]) if mirrored else images
        output = self.network.predict(inputs)
        order = MIRRORED_POINTS if mirrored else slice(len(MIRRORED_POINTS))
        keypoints, peaks = output.keypoints[:, order].astype(float), output.peaks[:, order]
        world, masks = output.world_landmarks[:, order].astype(float), output.masks
        parts = output.parts
        if mirrored:
            keypoints = keypoints * (-1, 1) + (CROP_SIZE_PX, 0)
            world, masks = world * (-1, 1, 1), masks[:, :, ::-1]
            parts = None if parts is None else mirror_part_maps(parts)
        points = transform_points(keypoints, image_from_crop(crops))
        quality = peaks[:, LIMB_JOINTS].mean(axis=1)
        confidence = keypoint_confidence(peaks, output.visibility[:, order], quality)
        bust = quality_of_bust(points, peaks, self.image.shape[1::-1])
        inside = np.maximum(quality_inside(points, peaks, self.image.shape[1::-1]), bust)
        world = world @ camera_from_crop(crops, self.intrinsics).swapaxes(1, 2)
        for index in np.flatnonzero(bust > quality):
            release_guessed_limbs(points[index], world[index], confidence[index])
        quality = np.maximum(quality, bust)
        return [
            Detection(
                crop=crops[index],
                points=points[index],
                confidence=confidence[index, :NUM_KEYPOINTS],
                world_landmarks=world[index, :NUM_KEYPOINTS],
                quality=float(quality[index]),
                colors=_segment_colors(images[index], keypoints[index]),
                mask=downsampled_mask(masks[index]),
                features=None if mirrored else output.features[index],
                parts=None if parts is None else parts[index],
                quality_inside=float(inside[index]),
            )
            for index in range(len(crops))
        ]


def quality_inside(
    points: Float[np.ndarray, "crops points 2"],
    peaks: Float[np.ndarray, "crops points"],
    size: tuple[int, int],
) -> Float[np.ndarray, " crops"]:
    """Return the mean peak of the limbs' joints inside the frame.

    Where fewer than `MIN_INSIDE` are inside, the others count as not found.

    Args:
        points: px of the frame.
        peaks: highest values of the heat maps, 0…1.
        size: width and height of the frame, px.
    """
    limbs = points[:, LIMB_JOINTS]
    inside = ((limbs >= 0) & (limbs <= size)).all(axis=-1)
    count = inside.sum(axis=1).clip(min=MIN_INSIDE)
    return (inside * peaks[:, LIMB_JOINTS]).sum(axis=1) / count


def downsampled_mask(mask: np.ndarray) -> np.ndarray:
    """Downsample a silhouette to 64 by 64 bytes."""
    shrunk = cv2.resize(mask, (MASK_SIZE, MASK_SIZE), interpolation=cv2.INTER_AREA)
    return (shrunk * 255).round().astype(np.uint8)


def _segment_colors(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the median CIELAB color along trunk and limbs (OpenCV's 8-bit scale)."""
    ends = points[np.array(SEGMENTS)]
    along = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * COLOR_SAMPLES[:, None]
    column, row = along.astype(int).clip(0, len(image) - 1).transpose(2, 0, 1)
    lab = cv2.cvtColor(image[row, column], cv2.COLOR_RGB2LAB)
    return np.median(lab, axis=1).astype(float)
