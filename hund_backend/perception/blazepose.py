"""BlazePose: 39 points, a silhouette and 3D landmarks of the person in a square crop.

The network and its decoding follow MediaPipe Pose (Bazarevsky et al., "BlazePose: On-device
Real-time Body Pose tracking", 2020; Xu et al., "GHUM & GHUML", 2020, for the 3D landmarks).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.special import expit

from .engine import Engine, open_engine

CROP_SIZE_PX = 256
NUM_POINTS = 39  # 33 of the body, then centre and radius of the next crop (33, 34), then hands
HEATMAP_SIZE = 64
WINDOW = 3  # cells on each side of a landmark that its refinement looks at
MIN_PEAK = 0.5  # a flatter heat map does not move its landmark
MAX_BATCH = 16  # crops at once: memory grows with them
OUTPUTS = ("landmarks", "heatmaps", "presence", "world_landmarks", "mask")
FEATURES = ("bottleneck", "trunk")  # 8 x 8 cells of the encoder, 2 x 2 of the landmarks' head
MAPS = ("decoder", *FEATURES)
NUM_FEATURES = 272 + 288  # channels of FEATURES


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Inner features of crops, cell by cell."""

    decoder: Float32[np.ndarray, "crops 48 64 64"]  # what heat maps and mask are made of; 0…24
    bottleneck: Float32[np.ndarray, "crops channels 8 8"]  # the encoder's last
    trunk: Float32[np.ndarray, "crops 288 2 2"]  # what the landmarks are made of; 0…6


@dataclass(frozen=True, kw_only=True)
class Look:
    """What BlazePose says of crops; pixels are those of the crop, its corners at 0 and 256."""

    keypoints: Float32[np.ndarray, "crops 39 2"]  # regressed, then drawn to the heat map
    peaks: Float32[np.ndarray, "crops 39"]  # maximum of each point's heat map, 0…1
    visibility: Float32[np.ndarray, "crops 39"]  # probability: in the picture and not hidden
    presence: Float32[np.ndarray, "crops 39"]  # probability: inside the crop
    person: Float32[np.ndarray, " crops"]  # probability that somebody is there
    world_landmarks: Float32[np.ndarray, "crops 39 3"]
    """Metres from the mid-hip, in the axes of the crop: x right, y down, z away."""
    masks: Float32[np.ndarray, "crops 256 256"]  # probability of the person
    features: Float32[np.ndarray, "crops 560"]  # inner features, averaged over their cells
    maps: Maps | None = None
    parts: UInt8[np.ndarray, "crops 3 64 64"] | None = None  # packed, see part_maps.py


class BlazePose:
    """The landmark network of MediaPipe Pose, on many crops at once."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(
        cls, folder: Path, device: str = "cpu", size: Literal["heavy", "full"] = "heavy"
    ) -> "BlazePose":
        """Load the network from the folder of networks; BadInputError if it is not there whole."""
        return cls(open_engine(folder, f"blazepose_{size}", device))

    def look(
        self,
        pictures: UInt8[np.ndarray, "crops 256 256 3"],
        *,
        maps: bool = False,
    ) -> Look:
        """Look at crops (RGB).

        Args:
            pictures: square crops, the person upright and filling most of the square.
            maps: whether to hand out inner features cell by cell as well.
        """
        starts = range(0, max(len(pictures), 1), MAX_BATCH)
        batches = [pictures[start : start + MAX_BATCH] for start in starts]
        looks = [self._look(batch, maps) for batch in batches]
        return looks[0] if len(looks) == 1 else joined(looks)

    def _look(self, pictures: UInt8[np.ndarray, "crops 256 256 3"], maps: bool) -> Look:
        planes = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.float32)
        planes /= 255
        # What is not asked for is not made.
        outputs = self.engine(planes, OUTPUTS + (MAPS if maps else FEATURES))
        look = _decode(outputs)
        return replace(look, maps=Maps(**{name: outputs[name] for name in MAPS})) if maps else look


def _decode(outputs: dict[str, np.ndarray]) -> Look:
    """The network's outputs in the terms of a look."""
    landmarks = outputs["landmarks"].reshape(-1, NUM_POINTS, 5)
    heatmaps = outputs["heatmaps"]
    return Look(
        keypoints=refine(landmarks[..., :2], heatmaps),
        peaks=expit(heatmaps.max(axis=(2, 3))),
        visibility=expit(landmarks[..., 3]),
        presence=expit(landmarks[..., 4]),
        person=outputs["presence"][:, 0],
        world_landmarks=outputs["world_landmarks"].reshape(-1, NUM_POINTS, 3),
        masks=expit(outputs["mask"][:, 0]),
        features=np.concatenate([outputs[name].mean(axis=(2, 3)) for name in FEATURES], axis=1),
    )


def refine(
    landmarks: Float32[np.ndarray, "crops points 2"],
    heatmaps: Float32[np.ndarray, "crops points 64 64"],
) -> Float32[np.ndarray, "crops points 2"]:
    """Draw landmarks to the centre of mass of their heat maps, as MediaPipe's calculator does.

    The centre is taken over the 7x7 cells round the landmark; a landmark outside the map, or in
    a window whose best cell is below MIN_PEAK, stays. A cell counts with its index, not with its
    centre: the heat maps were trained so.

    Args:
        landmarks: regressed points, pixels of the crop.
        heatmaps: one a point, before the sigmoid.
    """
    scale = CROP_SIZE_PX / HEATMAP_SIZE
    cell = np.trunc(landmarks / scale).astype(np.int64)
    inside = ((cell >= 0) & (cell < HEATMAP_SIZE)).all(axis=-1)
    offsets = np.arange(-WINDOW, WINDOW + 1)
    columns = cell[..., 0, None] + offsets  # crops points 7
    rows = cell[..., 1, None] + offsets
    valid = ((rows >= 0) & (rows < HEATMAP_SIZE))[..., :, None] & (
        (columns >= 0) & (columns < HEATMAP_SIZE)
    )[..., None, :]
    crop, point = np.ogrid[: cell.shape[0], : cell.shape[1]]
    logits = heatmaps[
        crop[..., None, None],
        point[..., None, None],
        rows.clip(0, HEATMAP_SIZE - 1)[..., :, None],
        columns.clip(0, HEATMAP_SIZE - 1)[..., None, :],
    ]
    mass = np.where(valid, expit(logits), np.float32(0))
    total = mass.sum(axis=(-2, -1)).clip(min=np.finfo(np.float32).tiny)
    center = np.stack(
        [
            (mass.sum(axis=-2) * columns).sum(axis=-1) / total,
            (mass.sum(axis=-1) * rows).sum(axis=-1) / total,
        ],
        axis=-1,
    )
    moved = inside & (mass.max(axis=(-2, -1)) >= MIN_PEAK)
    return np.where(moved[..., None], center * scale, landmarks).astype(np.float32)


def joined(looks: Sequence[Look]) -> Look:
    """Looks of several batches as one."""
    return Look(
        **{f.name: _in_a_row([getattr(look, f.name) for look in looks]) for f in fields(Look)}
    )


def _in_a_row(parts: list) -> np.ndarray | Maps | None:
    """Arrays of several batches as one."""
    if parts[0] is None:
        return None
    if isinstance(parts[0], Maps):
        return Maps(**{name: _in_a_row([getattr(part, name) for part in parts]) for name in MAPS})
    return np.concatenate(parts)
