"""Part maps of the evidence as the alignment wants them: samples of the parts, and the silhouette."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hund_backend.body.skeleton import PART_NAMES
from hund_backend.descent.fit.parts.part_samples import NUM_PARTS, part_discs
from hund_backend.perception.crops import crop_from_image, image_from_crop, move
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.packed_part_maps import unpacked

SIZE = 64  # cells along a side of a map
FINER = 4  # by which the silhouette is enlarged before it is cut out
FEW = 8.0  # cells of a part that count half: so few may be a mistake
FAINT = 0.3  # probability below which a cell's part is nobody's


@dataclass(frozen=True, kw_only=True)
class ObservedParts:
    """What the evidence says of parts; lengths are fractions of the crop's side."""

    camera: Float[Tensor, "frames 3 3"]  # leads from metres to the crop, whose side is 1
    places: Float[Tensor, "frames parts discs 2"]  # in the crop, 0…1
    radii: Float[Tensor, "frames parts discs"]
    confidence: Float[Tensor, "frames parts discs"]  # zero for empty places
    worth: Float[Tensor, "frames parts"]  # 0…1: how much there is of the part, how surely
    border: Float[Tensor, "frames rows columns"]  # distance from the silhouette, inside negative
    outlined: Float[Tensor, " frames"]  # 1 where there is a silhouette
    known: Bool[Tensor, "frames rows columns"]  # inside of the picture

    @classmethod
    def of(
        cls, evidence: Evidence, intrinsics: Float[np.ndarray, "frames 3 3"]
    ) -> "ObservedParts":
        """The parts of the evidence, or the silhouette alone if it has no parts.

        Args:
            evidence: what was seen.
            intrinsics: of the full frame, px; their principal point is taken for its middle.
        """
        frames = len(evidence.frames)
        people = evidence.masks.astype(np.float32) / 255
        labels = np.zeros((frames, SIZE, SIZE), np.uint8)
        sure = np.zeros((frames, SIZE, SIZE), np.float32)
        for frame in np.flatnonzero(evidence.observed) if evidence.parts is not None else ():
            probs = unpacked(evidence.parts[frame])
            people[frame] = 1 - probs[0]
            labels[frame], sure[frame] = _told(probs)
        known = _known(evidence.crops, intrinsics)
        discs = part_discs(np.where(known, labels, 0).astype(np.uint8))
        row = torch.arange(frames)[:, None, None]
        confidence = torch.from_numpy(sure).double().flatten(1)[row, discs.cell] * discs.there
        count = discs.there.sum(-1).clamp(min=1)
        worth = confidence.sum(-1) / count * discs.area / (discs.area + FEW)
        seen = (people.max(axis=(1, 2)) > 0.5) & evidence.observed
        return cls(
            camera=torch.from_numpy(crop_from_image(evidence.crops, 1) @ intrinsics),
            places=cell_centers(discs.cell),
            radii=discs.radius / SIZE,
            confidence=confidence,
            worth=worth,
            border=torch.from_numpy(np.stack([_distance(person) for person in people])),
            outlined=torch.from_numpy(seen.astype(np.float64)),
            known=torch.from_numpy(known),
        )

    def at(self, frames: Int[Tensor, " chosen"]) -> "ObservedParts":
        """The parts of some of the frames, in their order."""
        return ObservedParts(**{f.name: getattr(self, f.name)[frames] for f in fields(self)})


def cell_centers(cell: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape 2"]:
    """Middles of a map's cells in the crop, 0…1."""
    return (torch.stack((cell % SIZE, cell // SIZE), dim=-1).double() + 0.5) / SIZE


def _told(
    probs: Float[np.ndarray, "parts rows columns"],
) -> tuple[Int[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
    """The likeliest label of each cell and its probability; faint ones are background."""
    label, most = probs.argmax(axis=0), probs.max(axis=0)
    assert len(probs) == NUM_PARTS + 1 == len(PART_NAMES)
    return np.where(most > FAINT, label, 0), most


def _distance(person: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows columns"]:
    """Distance of the cells' middles from where the probability of the person is a half."""
    fine = cv2.resize(person, None, fx=FINER, fy=FINER, interpolation=cv2.INTER_LINEAR) > 0.5
    if fine.all() or not fine.any():
        return np.zeros(person.shape)
    inside, outside = (
        cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for region in (fine, ~fine)
    )
    signed = np.where(fine, 0.5 - inside, outside - 0.5).astype(np.float64)
    # The middle of a cell lies between the fine cells around it.
    first = FINER // 2 - 1
    around = [signed[i::FINER, j::FINER] for i in (first, first + 1) for j in (first, first + 1)]
    return np.mean(around, axis=0) / (FINER * SIZE)


def _known(
    crops: Float[np.ndarray, "frames 4"], intrinsics: Float[np.ndarray, "frames 3 3"]
) -> Bool[np.ndarray, "frames rows columns"]:
    """Cells that lie in the picture: a crop may reach beyond it."""
    middle = np.arange(SIZE) + 0.5
    cells = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(1, -1, 2)
    cells = np.repeat(cells, len(crops), axis=0)
    pixels = move(cells, image_from_crop(crops.astype(np.float64), SIZE))
    inside = (pixels > 0) & (pixels < 2 * intrinsics[:, None, :2, 2])
    return inside.all(axis=-1).reshape(len(crops), SIZE, SIZE)
