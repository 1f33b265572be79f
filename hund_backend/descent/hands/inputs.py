"""Hand inputs: what is seen of hands, in the camera that looks straight at each crop.

As the body's inputs (`learned/inputs.py`). All hands are left ones here: of a right hand the network
gets what a mirror shows.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...body.hand import PALM_POINTS, HandModel, bone_lengths, mirrored_rotations
from ...body.procrustes import aligning_rotation
from ..learned.inputs import crop_rotations, crop_widths, rays_of_pixels


@dataclass(frozen=True, kw_only=True)
class HandInputs:
    """Evidence of a batch of hands, in the camera of each crop."""

    keypoints: Float[Tensor, "batch 21 2"]
    """x / z and y / z in crop widths, from the crop's center: −½ … ½ inside the crop."""
    confidence: Float[Tensor, "batch 21"]
    landmarks: Float[Tensor, "batch 21 3"]
    """Metres from the mean of the points, crop's axes; scaled to the hand's own bone length."""
    crop_width: Float[Tensor, " batch"]  # width of the crop at a distance of one metre, metres
    camera_from_crop: Float[Tensor, "batch 3 3"]  # rotation to the camera of the full frame
    rest_points: Float[Tensor, "batch 21 3"]  # the person's landmarks at rest (`HandModel`)
    palm_rotation: Float[Tensor, "batch 3 3"]
    """Rotation of the hand by the landmarks of its palm: body frame → crop's camera."""
    mirrored: Bool[Tensor, " batch"]  # right hands

    @classmethod
    def from_keypoints(
        cls,
        keypoints: Float[np.ndarray, "batch 21 3"],
        landmarks: Float[np.ndarray, "batch 21 3"],
        crops: Float[np.ndarray, "batch 4"],
        intrinsics: Float[np.ndarray, "batch 3 3"],
        rest_points: Float[Tensor, "batch 21 3"],
        mirrored: Bool[Tensor, " batch"],
    ) -> "HandInputs":
        """Inputs of hands, in single precision.

        Args:
            keypoints: x, y in px of the full frame, confidence 0…1.
            landmarks: metres from any center, axes of the full frame's camera.
            crops: center x, center y, side in px, and rotation in radians.
            intrinsics: of the full frame, px.
            rest_points: of the left hands at rest.
            mirrored: which are right hands.
        """
        crops, intrinsics = crops.astype(np.float64), np.asarray(intrinsics, np.float64)
        rotation = crop_rotations(crops, intrinsics)
        rays_from_image = np.linalg.inv(intrinsics @ rotation)
        width = crop_widths(crops, rays_from_image)
        rays = rays_of_pixels(keypoints[..., :2], rays_from_image) / width[:, None, None]
        sign = np.where(mirrored.numpy(), -1.0, 1.0)
        rays[..., 0] *= sign[:, None]
        landmarks = landmarks.astype(np.float64) @ rotation
        landmarks[..., 0] *= sign[:, None]
        as_tensor = lambda values: torch.from_numpy(np.ascontiguousarray(values)).float()
        return cls.from_points(
            as_tensor(rays),
            as_tensor(keypoints[..., 2]),
            as_tensor(landmarks),
            as_tensor(width),
            as_tensor(rotation),
            rest_points,
            mirrored,
        )

    @classmethod
    def from_points(
        cls,
        keypoints: Float[Tensor, "batch 21 2"],
        confidence: Float[Tensor, "batch 21"],
        landmarks: Float[Tensor, "batch 21 3"],
        crop_width: Float[Tensor, " batch"],
        camera_from_crop: Float[Tensor, "batch 3 3"],
        rest_points: Float[Tensor, "batch 21 3"],
        mirrored: Bool[Tensor, " batch"],
    ) -> "HandInputs":
        """Inputs of points in the crops' cameras, all of left hands; landmarks of any size."""
        landmarks = landmarks - landmarks.mean(1, keepdim=True)
        own, seen = bone_lengths(rest_points).sum(-1), bone_lengths(landmarks).sum(-1)
        landmarks = landmarks * (own / seen.clamp(min=1e-3)).clamp(max=1e3)[:, None, None]
        return cls(
            keypoints=keypoints,
            confidence=confidence,
            landmarks=landmarks,
            crop_width=crop_width,
            camera_from_crop=camera_from_crop,
            rest_points=rest_points,
            palm_rotation=palm_rotation(rest_points, landmarks),
            mirrored=mirrored,
        )

    def __len__(self) -> int:
        return len(self.crop_width)

    def select(self, indices: Int[Tensor, " chosen"] | slice) -> "HandInputs":
        """Some of the batch."""
        return replace(self, **{f.name: getattr(self, f.name)[indices] for f in fields(self)})

    def to_camera(self, orientations: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3 3"]:
        """Orientations of the true hands in the full frame's camera, of those in the crops'."""
        mirrored = self.mirrored[:, None, None]
        true = torch.where(mirrored, mirrored_rotations(orientations), orientations)
        return self.camera_from_crop @ true

    def to_frame(self, vectors: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
        """Vectors of the true hands in the full frame's camera, of those in the crops'."""
        sign = torch.where(self.mirrored, -1.0, 1.0).to(vectors)
        true = torch.cat((sign[:, None] * vectors[:, :1], vectors[:, 1:]), dim=-1)
        return (self.camera_from_crop @ true[..., None])[..., 0]


def hand_inputs(
    model: HandModel,
    betas: Float[Tensor, "batch betas"],
    keypoints: Float[np.ndarray, "batch 21 3"],
    landmarks: Float[np.ndarray, "batch 21 3"],
    crops: Float[np.ndarray, "batch 4"],
    intrinsics: Float[np.ndarray, "batch 3 3"],
    mirrored: Bool[Tensor, " batch"],
) -> HandInputs:
    """Inputs of hands of people of these betas; arguments as of `HandInputs.from_keypoints`."""
    rest = model.rest_points(betas.float())
    return HandInputs.from_keypoints(keypoints, landmarks, crops, intrinsics, rest, mirrored)


def palm_rotation(
    rest_points: Float[Tensor, "batch 21 3"], landmarks: Float[Tensor, "batch 21 3"]
) -> Float[Tensor, "batch 3 3"]:
    """Rotation that brings the palm at rest nearest to its landmarks."""
    palm = list(PALM_POINTS)
    # Where the landmarks are no palm at all, anything finite will do.
    prior = 1e-9 * torch.eye(3).to(landmarks)
    return aligning_rotation(rest_points[:, palm], landmarks[:, palm], prior=prior)
