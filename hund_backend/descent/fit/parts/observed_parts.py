"""Observed parts: disc samples of the evidence's part maps, and its silhouette as a distance map."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ....body.skeleton import PART_NAMES
from ....perception.crops import crop_from_image, image_from_crop, transform_points
from ....perception.evidence import Evidence
from ....perception.packed_part_maps import unpack_part_maps
from .disc_samples import NUM_PARTS, part_discs

SIZE = 64  # cells along a side of a map
UPSAMPLING = 4  # of the silhouette before it is thresholded
FEW_CELLS = 8.0  # a part of so few cells counts half: it may be a false detection
MIN_PROBABILITY = 0.3  # a cell below it is background


@dataclass(frozen=True, kw_only=True)
class ObservedParts:
    """Disc samples of the parts and distance map of the silhouette; lengths: fractions of the crop's side."""

    camera: Float[Tensor, "frames 3 3"]  # projects camera-frame metres to the crop, 0…1
    centers: Float[Tensor, "frames parts discs 2"]  # in the crop, 0…1
    radii: Float[Tensor, "frames parts discs"]
    confidence: Float[Tensor, "frames parts discs"]  # 0…1; zero in padding
    part_weight: Float[Tensor, "frames parts"]  # 0…1, by the part's area and probability
    silhouette_distance: Float[Tensor, "frames rows columns"]  # signed, negative inside
    has_silhouette: Float[Tensor, " frames"]  # 1 or 0
    in_image: Bool[Tensor, "frames rows columns"]  # cells inside the full frame

    @classmethod
    def from_evidence(cls, evidence: Evidence) -> "ObservedParts":
        """Sample the evidence's part maps; without part maps, the silhouette alone.

        The principal point is taken for the middle of the full frame.
        """
        intrinsics = evidence.intrinsics
        frames = len(evidence.frames)
        people = evidence.masks.astype(np.float32) / 255
        labels = np.zeros((frames, SIZE, SIZE), np.uint8)
        probability = np.zeros((frames, SIZE, SIZE), np.float32)
        for frame in np.flatnonzero(evidence.observed) if evidence.parts is not None else ():
            probs = unpack_part_maps(evidence.parts[frame])
            people[frame] = 1 - probs[0]
            labels[frame], probability[frame] = _labels_of(probs)
        in_image = _cells_in_image(evidence.crops, intrinsics)
        discs = part_discs(np.where(in_image, labels, 0).astype(np.uint8))
        row = torch.arange(frames)[:, None, None]
        confidence = (
            torch.from_numpy(probability).double().flatten(1)[row, discs.cell] * discs.valid
        )
        count = discs.valid.sum(-1).clamp(min=1)
        part_weight = confidence.sum(-1) / count * discs.area / (discs.area + FEW_CELLS)
        has_silhouette = (people.max(axis=(1, 2)) > 0.5) & evidence.observed
        return cls(
            camera=torch.from_numpy(crop_from_image(evidence.crops, 1) @ intrinsics),
            centers=cell_centers(discs.cell),
            radii=discs.radius / SIZE,
            confidence=confidence,
            part_weight=part_weight,
            silhouette_distance=torch.from_numpy(
                np.stack([_silhouette_distance(person) for person in people])
            ),
            has_silhouette=torch.from_numpy(has_silhouette.astype(np.float64)),
            in_image=torch.from_numpy(in_image),
        )

    def select(self, frames: Int[Tensor, " chosen"]) -> "ObservedParts":
        """Parts of some of the frames, in the given order."""
        return ObservedParts(**{f.name: getattr(self, f.name)[frames] for f in fields(self)})


def cell_centers(cell: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape 2"]:
    """Centers of a map's cells in the crop, 0…1."""
    return (torch.stack((cell % SIZE, cell // SIZE), dim=-1).double() + 0.5) / SIZE


def _labels_of(
    probs: Float[np.ndarray, "parts rows columns"],
) -> tuple[Int[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
    """Most probable label of each cell and its probability; uncertain cells are background."""
    label, most = probs.argmax(axis=0), probs.max(axis=0)
    assert len(probs) == NUM_PARTS + 1 == len(PART_NAMES)
    return np.where(most > MIN_PROBABILITY, label, 0), most


def _silhouette_distance(
    person: Float[np.ndarray, "rows columns"],
) -> Float[np.ndarray, "rows columns"]:
    """Signed distance of cell centers from the contour where the person's probability is 0.5."""
    fine = (
        cv2.resize(person, None, fx=UPSAMPLING, fy=UPSAMPLING, interpolation=cv2.INTER_LINEAR)
        > 0.5
    )
    if fine.all() or not fine.any():
        return np.zeros(person.shape)
    inside, outside = (
        cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for region in (fine, ~fine)
    )
    signed = np.where(fine, 0.5 - inside, outside - 0.5).astype(np.float64)
    # The center of a cell lies between the four fine cells around it.
    first = UPSAMPLING // 2 - 1
    around = [
        signed[i::UPSAMPLING, j::UPSAMPLING]
        for i in (first, first + 1)
        for j in (first, first + 1)
    ]
    return np.mean(around, axis=0) / (UPSAMPLING * SIZE)


def _cells_in_image(
    crops: Float[np.ndarray, "frames 4"], intrinsics: Float[np.ndarray, "frames 3 3"]
) -> Bool[np.ndarray, "frames rows columns"]:
    """Cells inside the full frame: a crop may reach beyond it."""
    middle = np.arange(SIZE) + 0.5
    cells = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(1, -1, 2)
    cells = np.repeat(cells, len(crops), axis=0)
    pixels = transform_points(cells, image_from_crop(crops.astype(np.float64), SIZE))
    inside = (pixels > 0) & (pixels < 2 * intrinsics[:, None, :2, 2])
    return inside.all(axis=-1).reshape(len(crops), SIZE, SIZE)
