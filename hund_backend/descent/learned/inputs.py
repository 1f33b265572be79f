"""Crop evidence: what was seen of people, in the terms of a camera that looks straight at each crop.

The network sees keypoints as if every crop had been taken by a camera of its own, upright with the
crop, whose axis passes through the crop's centre. That camera differs from the true one by a
rotation alone, so nothing is approximated, and a person who walks across the picture looks to the
network like one who turns. The answer is turned back at the end, into the full frame's camera; so
the paper's crop intrinsics are an input exactly.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d

from hund_backend.body.skeleton import PART_NAMES
from hund_backend.descent.losses import HIPS
from hund_backend.descent.targets import BONES, LANDMARK_SCALE_RANGE
from hund_backend.perception.blazepose import NUM_FEATURES
from hund_backend.perception.crops import camera_from_crop, crop_from_image, image_from_crop, move
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.packed_part_maps import unpacked

MAP_SIZE = 32  # cells along a side of the part maps
NEAREST_RAY = 0.05  # cosine: keypoints farther than this from the crop's axis are drawn in


@dataclass(frozen=True, kw_only=True)
class NetworkInputs:
    """What is seen of people, in the camera of each crop."""

    keypoints: Float[Tensor, "batch keypoints 2"]
    """x / z and y / z in spans, from the crop's centre: −½ … ½ inside the crop."""
    confidence: Float[Tensor, "batch keypoints"]
    landmarks: Float[Tensor, "batch keypoints 3"]
    """Metres from the mid-hip, the crop's axes; bones as long, in sum, as the mean body's."""
    span: Float[Tensor, " batch"]  # width of the crop at a distance of one metre
    camera_from_crop: Float[Tensor, "batch 3 3"]  # rotation to the camera of the full frame
    parts: Float[Tensor, "batch parts rows columns"]  # probabilities in the crop's cells
    has_parts: Bool[Tensor, " batch"]  # where it is False, parts are zeros
    window: Float[Tensor, "batch 3 3"]
    """From directions in the crop's camera to places in the crop, −1 … 1 from edge to edge."""
    features: Float[Tensor, "batch 560"]  # the keypoint network's inner ones
    has_features: Bool[Tensor, " batch"]  # where it is False, features are zeros

    @classmethod
    def of(
        cls,
        evidence: Evidence,
        intrinsics: Float[np.ndarray, "frames 3 3"],
        bones: float,
        dtype: torch.dtype = torch.float32,
    ) -> "CropEvidence":
        """The evidence of a track, frame by frame; frames that only bridge a gap have no confidence.

        Args:
            evidence: what was seen.
            intrinsics: of the full frame, px.
            bones: length of the mean body's bones, metres (`bone_length`).
            dtype: of the tensors.
        """
        seen = evidence.observed
        lengths = bone_length(torch.from_numpy(evidence.world_landmarks.astype(np.float64)))
        usual = lengths[seen & (lengths > 0).numpy()]
        scale = float((bones / usual.median()).clamp(*LANDMARK_SCALE_RANGE)) if len(usual) else 1.0
        told = cls.seen_by(
            evidence.keypoints[..., :2],
            evidence.keypoints[..., 2] * seen[:, None],
            scale * evidence.world_landmarks,
            evidence.crops,
            intrinsics,
        )
        if evidence.parts is not None:
            told = told.with_parts(torch.from_numpy(unpacked(evidence.parts)))
        if evidence.features is not None:
            known = torch.from_numpy(seen.copy())
            features = torch.from_numpy(evidence.features) * known[:, None]
            told = replace(told, features=features, has_features=known)
        return told.to(dtype)

    @classmethod
    def seen_by(
        cls,
        pixels: Float[np.ndarray, "batch keypoints 2"],
        confidence: Float[np.ndarray, "batch keypoints"],
        landmarks: Float[np.ndarray, "batch keypoints 3"],
        crops: Float[np.ndarray, "batch 4"],
        intrinsics: Float[np.ndarray, "batch 3 3"],
    ) -> "CropEvidence":
        """Keypoints in crops of some cameras, without parts and features; landmarks have those cameras' axes."""
        crops, intrinsics = crops.astype(np.float64), np.asarray(intrinsics, np.float64)
        turn = _turns(crops, intrinsics)
        crop_from_camera = turn.swapaxes(-1, -2)
        image_from_rays = intrinsics @ turn
        rays_from_image = np.linalg.inv(image_from_rays)
        span = _spans(crops, rays_from_image)
        unit_from_crop = np.array([[2.0, 0, -1], [0, 2, -1], [0, 0, 1]])
        window = unit_from_crop @ crop_from_image(crops, 1) @ image_from_rays
        return cls(
            keypoints=torch.from_numpy(_rays(pixels, rays_from_image) / span[:, None, None]),
            confidence=torch.from_numpy(confidence.astype(np.float64)),
            landmarks=torch.from_numpy(landmarks @ crop_from_camera.swapaxes(-1, -2)),
            span=torch.from_numpy(span),
            camera_from_crop=torch.from_numpy(turn),
            parts=torch.zeros(len(crops), len(PART_NAMES), MAP_SIZE, MAP_SIZE),
            has_parts=torch.zeros(len(crops), dtype=torch.bool),
            window=torch.from_numpy(window),
            features=torch.zeros(len(crops), NUM_FEATURES),
            has_features=torch.zeros(len(crops), dtype=torch.bool),
        )

    def with_parts(self, probs: Float[Tensor, "batch parts height width"]) -> "CropEvidence":
        """The same with part maps of all the batch, of any size that is a multiple of the cells'."""
        cells = avg_pool2d(probs, probs.shape[-1] // MAP_SIZE)
        return replace(self, parts=cells, has_parts=torch.ones(len(self), dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.span)

    def at(self, chosen: Int[Tensor, " chosen"] | slice) -> "CropEvidence":
        """That of some of the batch."""
        return replace(self, **{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def to(self, *wanted: torch.dtype | torch.device | str) -> "CropEvidence":
        """The same in another precision or on another device."""

        def moved(values: Tensor) -> Tensor:
            for kind in wanted:
                if isinstance(kind, torch.dtype) and values.dtype == torch.bool:
                    continue
                values = values.to(kind)
            return values

        return replace(self, **{f.name: moved(getattr(self, f.name)) for f in fields(self)})


def joined(batches: list[NetworkInputs]) -> NetworkInputs:
    """Batches in a row."""
    return NetworkInputs(
        **{f.name: torch.cat([getattr(b, f.name) for b in batches]) for f in fields(NetworkInputs)}
    )


def bone_length(places: Float[Tensor, "*batch keypoints 3"]) -> Float[Tensor, "*batch"]:
    """Length of limbs and trunk sides together, metres."""
    return sum((places[..., a, :] - places[..., b, :]).norm(dim=-1) for a, b in BONES)


def hip_centered(places: Float[Tensor, "*batch keypoints 3"]) -> Float[Tensor, "*batch keypoints 3"]:
    """Places from the mid-hip."""
    return places - places[..., HIPS, :].mean(-2, keepdim=True)


def _turns(
    crops: Float[np.ndarray, "batch 4"], intrinsics: Float[np.ndarray, "batch 3 3"]
) -> Float[np.ndarray, "batch 3 3"]:
    """Rotation from each crop's camera to the full frame's."""
    if len(crops) and (intrinsics == intrinsics[0]).all():  # as a rule; all at once
        return camera_from_crop(crops, intrinsics[0])
    turns = [camera_from_crop(crop, k) for crop, k in zip(crops, intrinsics, strict=True)]
    return np.stack(turns) if turns else np.zeros((0, 3, 3))


def _spans(
    crops: Float[np.ndarray, "batch 4"], rays_from_image: Float[np.ndarray, "batch 3 3"]
) -> Float[np.ndarray, " batch"]:
    """Mean width and height of crops in the picture planes of their own cameras, at one metre."""
    edges = np.array([[0.0, 0.5], [1, 0.5], [0.5, 0], [0.5, 1]])
    pixels = move(np.broadcast_to(edges, (len(crops), 4, 2)), image_from_crop(crops, 1))
    left, right, top, bottom = _rays(pixels, rays_from_image).swapaxes(0, 1)
    widths = np.linalg.norm(right - left, axis=-1), np.linalg.norm(bottom - top, axis=-1)
    return (widths[0] + widths[1]) / 2


def _rays(
    pixels: Float[np.ndarray, "batch points 2"], rays_from_image: Float[np.ndarray, "batch 3 3"]
) -> Float[np.ndarray, "batch points 2"]:
    """X / z and y / z of pixels in the crops' cameras; of those far to the side something finite."""
    homogeneous = np.concatenate((pixels, np.ones((*pixels.shape[:-1], 1))), axis=-1)
    rays = homogeneous.astype(np.float64) @ rays_from_image.swapaxes(-1, -2)
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return rays[..., :2] / rays[..., 2:].clip(NEAREST_RAY)
