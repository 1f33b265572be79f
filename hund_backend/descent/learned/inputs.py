"""Network inputs: a track's evidence in the camera that looks straight at each crop.

The network reads keypoints as if every crop had been taken by a camera of its own, upright with the
crop, whose axis passes through the crop's center. That camera differs from the full frame's by a
rotation alone, so nothing is approximated: a person who walks across the picture appears to the
network as one who turns. Its states are rotated back into the full frame's camera, so the paper's
crop intrinsics are an exact input.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ...body.skeleton import PART_NAMES
from ...perception.blazepose import NUM_FEATURES
from ...perception.crops import (
    camera_from_crop,
    crop_from_image,
    image_from_crop,
    transform_points,
)
from ...perception.evidence import Evidence
from ...perception.packed_part_maps import unpack_part_maps
from ..keypoints import landmark_scale

MAP_SIZE = 32  # cells along a side of the part maps
_MIN_RAY_COSINE = 0.05  # keypoints farther from the crop's axis are moved to this angle


@dataclass(frozen=True, kw_only=True)
class NetworkInputs:
    """Evidence of a batch of frames, in the camera of each crop."""

    keypoints: Float[Tensor, "batch keypoints 2"]
    """x / z and y / z in crop widths, from the crop's center: −½ … ½ inside the crop."""
    confidence: Float[Tensor, "batch keypoints"]
    landmarks: Float[Tensor, "batch keypoints 3"]
    """Metres from the middle of the hips, crop's axes; scaled to the mean body's bone length."""
    crop_width: Float[Tensor, " batch"]  # width of the crop at a distance of one metre, metres
    camera_from_crop: Float[Tensor, "batch 3 3"]  # rotation to the camera of the full frame
    parts: Float[Tensor, "batch parts rows columns"]  # probabilities in the crop's cells
    has_parts: Bool[Tensor, " batch"]  # where it is False, parts are zeros
    crop_from_rays: Float[Tensor, "batch 3 3"]
    """Projection from the crop's camera into the crop, −1 … 1 from edge to edge."""
    features: Float[Tensor, "batch 560"]  # pooled BlazePose features
    has_features: Bool[Tensor, " batch"]  # where it is False, features are zeros

    @classmethod
    def from_evidence(
        cls, evidence: Evidence, bones: float, dtype: torch.dtype = torch.float32
    ) -> "NetworkInputs":
        """Inputs of all frames of a track; bridged frames have no confidence.

        Args:
            evidence: of one person over a track.
            bones: bone length of the mean body, metres (`keypoints.bone_length`).
            dtype: of the tensors.
        """
        observed = evidence.observed
        landmarks = torch.from_numpy(evidence.world_landmarks[observed].astype(np.float64))
        inputs = cls.from_keypoints(
            evidence.keypoints[..., :2],
            evidence.keypoints[..., 2] * observed[:, None],
            float(landmark_scale(landmarks, bones)) * evidence.world_landmarks,
            evidence.crops,
            evidence.intrinsics,
        )
        if evidence.parts is not None:
            inputs = inputs.with_parts(torch.from_numpy(unpack_part_maps(evidence.parts)))
        if evidence.features is not None:
            known = torch.from_numpy(observed.copy())
            features = torch.from_numpy(evidence.features) * known[:, None]
            inputs = replace(inputs, features=features, has_features=known)
        return inputs.to(dtype)

    @classmethod
    def from_keypoints(
        cls,
        pixels: Float[np.ndarray, "batch keypoints 2"],
        confidence: Float[np.ndarray, "batch keypoints"],
        landmarks: Float[np.ndarray, "batch keypoints 3"],
        crops: Float[np.ndarray, "batch 4"],
        intrinsics: Float[np.ndarray, "batch 3 3"],
    ) -> "NetworkInputs":
        """Inputs without part maps and features.

        Args:
            pixels: keypoints in the full frame, px.
            confidence: of the keypoints, 0…1.
            landmarks: metres from the middle of the hips, axes of the full frame's camera.
            crops: center x, center y, side in px, and rotation in radians.
            intrinsics: of the full frame, px.
        """
        crops, intrinsics = crops.astype(np.float64), np.asarray(intrinsics, np.float64)
        rotation = crop_rotations(crops, intrinsics)
        crop_from_camera = rotation.swapaxes(-1, -2)
        image_from_rays = intrinsics @ rotation
        rays_from_image = np.linalg.inv(image_from_rays)
        width = crop_widths(crops, rays_from_image)
        unit_from_crop = np.array([[2.0, 0, -1], [0, 2, -1], [0, 0, 1]])
        crop_from_rays = unit_from_crop @ crop_from_image(crops, 1) @ image_from_rays
        return cls(
            keypoints=torch.from_numpy(
                rays_of_pixels(pixels, rays_from_image) / width[:, None, None]
            ),
            confidence=torch.from_numpy(confidence.astype(np.float64)),
            landmarks=torch.from_numpy(landmarks @ crop_from_camera.swapaxes(-1, -2)),
            crop_width=torch.from_numpy(width),
            camera_from_crop=torch.from_numpy(rotation),
            parts=torch.zeros(len(crops), len(PART_NAMES), MAP_SIZE, MAP_SIZE),
            has_parts=torch.zeros(len(crops), dtype=torch.bool),
            crop_from_rays=torch.from_numpy(crop_from_rays),
            features=torch.zeros(len(crops), NUM_FEATURES),
            has_features=torch.zeros(len(crops), dtype=torch.bool),
        )

    def with_parts(
        self, probabilities: Float[Tensor, "batch parts height width"]
    ) -> "NetworkInputs":
        """The same with part maps, whose size is a multiple of MAP_SIZE, for the whole batch."""
        cells = avg_pool2d(probabilities, probabilities.shape[-1] // MAP_SIZE)
        return replace(self, parts=cells, has_parts=torch.ones(len(self), dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.crop_width)

    def select(self, indices: Int[Tensor, " chosen"] | slice) -> "NetworkInputs":
        """Some of the batch."""
        return replace(self, **{f.name: getattr(self, f.name)[indices] for f in fields(self)})

    def to(self, *targets: torch.dtype | torch.device | str) -> "NetworkInputs":
        """The same in another precision or on another device."""

        def convert(values: Tensor) -> Tensor:
            for target in targets:
                if isinstance(target, torch.dtype) and values.dtype == torch.bool:
                    continue
                values = values.to(target)
            return values

        return replace(self, **{f.name: convert(getattr(self, f.name)) for f in fields(self)})


def concatenate(batches: list[NetworkInputs]) -> NetworkInputs:
    """One batch of several."""
    names = [f.name for f in fields(NetworkInputs)]
    return NetworkInputs(**{n: torch.cat([getattr(b, n) for b in batches]) for n in names})


def crop_rotations(
    crops: Float[np.ndarray, "batch 4"], intrinsics: Float[np.ndarray, "batch 3 3"]
) -> Float[np.ndarray, "batch 3 3"]:
    """Rotation from each crop's camera to the full frame's."""
    if len(crops) and (intrinsics == intrinsics[0]).all():  # the usual case, vectorized
        return camera_from_crop(crops, intrinsics[0])
    rotations = [camera_from_crop(crop, k) for crop, k in zip(crops, intrinsics, strict=True)]
    return np.stack(rotations) if rotations else np.zeros((0, 3, 3))


def crop_widths(
    crops: Float[np.ndarray, "batch 4"], rays_from_image: Float[np.ndarray, "batch 3 3"]
) -> Float[np.ndarray, " batch"]:
    """Mean of width and height of each crop at one metre in its own camera."""
    edges = np.array([[0.0, 0.5], [1, 0.5], [0.5, 0], [0.5, 1]])
    pixels = transform_points(
        np.broadcast_to(edges, (len(crops), 4, 2)), image_from_crop(crops, 1)
    )
    left, right, top, bottom = rays_of_pixels(pixels, rays_from_image).swapaxes(0, 1)
    widths = np.linalg.norm(right - left, axis=-1), np.linalg.norm(bottom - top, axis=-1)
    return (widths[0] + widths[1]) / 2


def rays_of_pixels(
    pixels: Float[np.ndarray, "batch points 2"], rays_from_image: Float[np.ndarray, "batch 3 3"]
) -> Float[np.ndarray, "batch points 2"]:
    """Rays (x / z, y / z) of pixels in the crops' cameras; finite far from the axis."""
    homogeneous = np.concatenate((pixels, np.ones((*pixels.shape[:-1], 1))), axis=-1)
    rays = homogeneous.astype(np.float64) @ rays_from_image.swapaxes(-1, -2)
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return rays[..., :2] / rays[..., 2:].clip(_MIN_RAY_COSINE)
