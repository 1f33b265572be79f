"""BlazePose: 39 points, a silhouette and 3D landmarks of the person in a square crop.

The network and its decoding follow MediaPipe Pose (Bazarevsky et al., "BlazePose: On-device
Real-time Body Pose tracking", 2020; Xu et al., "GHUM & GHUML", 2020, for the 3D landmarks).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.special import expit

from .engine import Engine, batches_of, open_engine, planes_of

CROP_SIZE_PX = 256
NUM_POINTS = 39  # 33 of the body, then center and radius of the next crop (33, 34), then hands
HEATMAP_SIZE = 64
REFINEMENT_RADIUS = 3  # cells on each side of a landmark that its refinement reads
MIN_PEAK = 0.5  # a flatter heat map does not move its landmark
OUTPUTS = ("landmarks", "heatmaps", "presence", "world_landmarks", "mask")
FEATURES = ("bottleneck", "trunk")  # 8 x 8 cells of the encoder, 2 x 2 of the landmarks' head
FEATURE_MAPS = ("decoder", *FEATURES)
NUM_FEATURES = 272 + 288  # channels of FEATURES


@dataclass(frozen=True, kw_only=True)
class FeatureMaps:
    """Inner features of crops, cell by cell."""

    decoder: Float32[np.ndarray, "crops 48 64 64"]  # input of heat maps and mask; 0…24
    bottleneck: Float32[np.ndarray, "crops channels 8 8"]  # the encoder's last
    trunk: Float32[np.ndarray, "crops 288 2 2"]  # input of the landmarks; 0…6


@dataclass(frozen=True, kw_only=True)
class BlazePoseOutput:
    """Decoded output for crops; pixels are those of the crop, its corners at 0 and 256."""

    keypoints: Float32[np.ndarray, "crops 39 2"]  # regressed, then refined by the heat map
    peaks: Float32[np.ndarray, "crops 39"]  # maximum of each point's heat map, 0…1
    visibility: Float32[np.ndarray, "crops 39"]  # probability: in the image and not hidden
    presence: Float32[np.ndarray, "crops 39"]  # probability: inside the crop
    person: Float32[np.ndarray, " crops"]  # probability of a person in the crop
    world_landmarks: Float32[np.ndarray, "crops 39 3"]
    """Metres from the mid-hip, in the axes of the crop: x right, y down, z away."""
    masks: Float32[np.ndarray, "crops 256 256"]  # probability of the person
    features: Float32[np.ndarray, "crops 560"]  # inner features, averaged over their cells
    maps: FeatureMaps | None = None
    parts: UInt8[np.ndarray, "crops 3 64 64"] | None = None  # see packed_part_maps.py


class BlazePose:
    """The landmark network of MediaPipe Pose, on batches of crops."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> "BlazePose":
        """Load the network.

        Args:
            folder: the folder of networks.
            device: "cpu", "cuda", "cuda:1" …

        Raises:
            BadInputError: the network is missing or damaged.
        """
        return cls(open_engine(folder, "blazepose_heavy", device))

    def predict(
        self,
        images: UInt8[np.ndarray, "crops 256 256 3"],
        *,
        maps: bool = False,
    ) -> BlazePoseOutput:
        """Predict keypoints, silhouettes and features of crops.

        Args:
            images: square crops (RGB), the person upright and filling most of the square.
            maps: whether to return the inner features cell by cell, too.
        """
        outputs = [self._predict_batch(batch, maps) for batch in batches_of(images)]
        return outputs[0] if len(outputs) == 1 else concatenate_outputs(outputs)

    def _predict_batch(
        self, images: UInt8[np.ndarray, "crops 256 256 3"], maps: bool
    ) -> BlazePoseOutput:
        planes = planes_of(images)
        planes /= 255
        # The engine computes only the outputs that are named.
        raw = self.engine(planes, OUTPUTS + (FEATURE_MAPS if maps else FEATURES))
        output = _decode(raw)
        if not maps:
            return output
        return replace(output, maps=FeatureMaps(**{name: raw[name] for name in FEATURE_MAPS}))


def _decode(raw: dict[str, np.ndarray]) -> BlazePoseOutput:
    """Decode the network's raw outputs."""
    landmarks = raw["landmarks"].reshape(-1, NUM_POINTS, 5)
    heatmaps = raw["heatmaps"]
    return BlazePoseOutput(
        keypoints=refine_landmarks(landmarks[..., :2], heatmaps),
        peaks=expit(heatmaps.max(axis=(2, 3))),
        visibility=expit(landmarks[..., 3]),
        presence=expit(landmarks[..., 4]),
        person=raw["presence"][:, 0],
        world_landmarks=raw["world_landmarks"].reshape(-1, NUM_POINTS, 3),
        masks=expit(raw["mask"][:, 0]),
        features=np.concatenate([raw[name].mean(axis=(2, 3)) for name in FEATURES], axis=1),
    )


def refine_landmarks(
    landmarks: Float32[np.ndarray, "crops points 2"],
    heatmaps: Float32[np.ndarray, "crops points 64 64"],
) -> Float32[np.ndarray, "crops points 2"]:
    """Move landmarks to the center of mass of their heat maps, as MediaPipe's calculator does.

    The center is taken over the 7x7 cells around the landmark. A landmark stays where it lies
    outside the map, or where the best of these cells is below MIN_PEAK. A cell counts with its
    index, not with its center: the heat maps were trained so.

    Args:
        landmarks: regressed points, pixels of the crop.
        heatmaps: logits, one map for each point.
    """
    scale = CROP_SIZE_PX / HEATMAP_SIZE
    cell = np.trunc(landmarks / scale).astype(np.int64)
    inside = ((cell >= 0) & (cell < HEATMAP_SIZE)).all(axis=-1)
    offsets = np.arange(-REFINEMENT_RADIUS, REFINEMENT_RADIUS + 1)
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


def concatenate_outputs(outputs: Sequence[BlazePoseOutput]) -> BlazePoseOutput:
    """Concatenate the outputs of several batches."""
    names = [field.name for field in fields(BlazePoseOutput)]
    columns = {name: [getattr(output, name) for output in outputs] for name in names}
    return BlazePoseOutput(**{name: _concatenate(values) for name, values in columns.items()})


def _concatenate(values: list) -> np.ndarray | FeatureMaps | None:
    """Concatenate one field of the outputs of several batches."""
    if values[0] is None:
        return None
    if isinstance(values[0], FeatureMaps):
        names = FEATURE_MAPS
        return FeatureMaps(**{n: _concatenate([getattr(v, n) for v in values]) for n in names})
    return np.concatenate(values)
