"""Training samples of HUND: inputs of the network, with the truth where it is known.

People of captured motion are put before random cameras, with errors transferred from the detector;
people of pictures come with the detector's own outputs.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import BLAZEPOSE_NAMES, KEYPOINT_MIRROR
from ...descent.keypoints import bone_length, hip_centered
from ...descent.learned.inputs import NetworkInputs, concatenate
from ...descent.learned.state_decoder import PosedState, StateDecoder
from ...perception import packed_part_maps
from ...perception.crops import BODY_RADIUS_RATIO, CROP_MARGIN, crop_around_axis
from ..motion.motion_set import MotionSet, Split
from ..motion.retargeting import mirror_rotations
from ..priors.augmentation import Augmentation, AugmentationConfig
from .detections import Detections
from .detector_errors import DetectorErrors, DetectorOutput, bernoulli

HIPS, SHOULDERS = (
    [BLAZEPOSE_NAMES.index(f"{side}_{name}") for side in ("left", "right")]
    for name in ("hip", "shoulder")
)
MIN_DEPTH = 0.1  # metres
KEEP_PROBABILITY = {"parts": 0.7, "features": 0.8}  # of a picture's inputs in training
MIRRORED_KEYPOINTS = list(KEYPOINT_MIRROR["blazepose"])
FLIP = torch.tensor([-1.0, 1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Distribution of cameras and crops; like that of the pictures (pictures/views.py)."""

    fov_deg: tuple[float, float] = (28.0, 90.0)  # of the longer side
    frame_share: tuple[float, float] = (0.15, 1.05)  # of the shorter side that people fill
    level_share: float = 0.8  # of cameras that are roughly level
    tilt_deg: float = 14.0  # std of a level camera's pitch, with what a crop off the axis adds
    tumbled_share: float = 0.12  # of people with a random orientation
    box_share: float = 0.3  # of crops around a box, not around the hips


class Truth(NamedTuple):
    """Ground truth of people, in the crop's camera."""

    posed: PosedState
    betas: Float[Tensor, "batch betas"]

    def select(self, indices: Tensor | slice) -> "Truth":
        """Some of the batch."""
        posed = PosedState(*(values[indices] for values in self.posed))
        return Truth(posed, self.betas[indices])


class Sample(NamedTuple):
    """Inputs of the network, and their truth."""

    inputs: NetworkInputs
    truth: Truth

    def select(self, indices: Int[Tensor, " chosen"] | slice) -> "Sample":
        """Some of the samples."""
        return Sample(self.inputs.select(indices), self.truth.select(indices))


class MotionDataset:
    """People of captured motion before random cameras, with simulated detector outputs."""

    def __init__(
        self,
        poses: MotionSet,
        split: Split,
        decoder: StateDecoder,
        errors: DetectorErrors | None,
        config: SampleConfig | None = None,
        augmentation: AugmentationConfig | None = None,
    ) -> None:
        """Take the frames of a split.

        Args:
            poses: all motion.
            split: of the motion.
            decoder: state decoder of the reduced body.
            errors: of the detector; without them keypoints are exact, with full confidence.
            config: cameras and crops.
            augmentation: of the poses; none by default.
        """
        used = poses.frames_of(split)
        self.rotations, self.weights = poses.rotations[used], poses.weights()[used]
        self.decoder, self.errors = decoder, errors
        self.config = config or SampleConfig()
        self.augment = Augmentation(augmentation) if augmentation else None
        self.joint_indices = list(decoder.joint_indices)

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """Draw random people."""
        picks = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        rotations = self.rotations[picks].clone()
        if self.augment is not None:
            rotations[:, 1:] = self.augment(rotations[:, 1:], generator)
        rotations[:, 0] = self._camera_rotations(count, generator) @ rotations[:, 0]
        betas = torch.randn(count, 16, generator=generator)
        origin = torch.zeros(count, 3)
        posed = self.decoder.pose(rotations[:, self.joint_indices], origin, betas)
        translation = self._translations(posed.points, generator)
        points = posed.points + translation[:, None]
        rays = points[..., :2] / points[..., 2:].clamp(min=MIN_DEPTH)
        crops = self._crops(rays, generator)
        return self._sample(
            rotations[:, self.joint_indices], translation, betas, rays, crops, generator
        )

    def _camera_rotations(
        self, count: int, generator: torch.Generator
    ) -> Float[Tensor, "count 3 3"]:
        """Rotations from the world (y up) to random cameras on all sides of the person."""
        config = self.config

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, 1, generator=generator)

        def normal(mean: float, std: float) -> Tensor:
            return mean + std * torch.randn(count, 1, generator=generator)

        level = bernoulli(config.level_share, count, generator) > 0
        pitch = torch.where(level, normal(-6.0, config.tilt_deg), uniform(-70.0, 30.0)).deg2rad()
        straight = bernoulli(0.9, count, generator) > 0
        roll = torch.where(straight, normal(0.0, 4.0), uniform(-30.0, 30.0)).deg2rad()
        yaw = uniform(-math.pi, math.pi)
        x, y, z = torch.eye(3)
        upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        rotation = rotvec_to_matrix(roll * z) @ upright @ rotvec_to_matrix(-pitch * x)
        rotation = rotation @ rotvec_to_matrix(yaw * y)
        tumbled = bernoulli(config.tumbled_share, count, generator)
        axis = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
        return rotation @ rotvec_to_matrix(tumbled * uniform(0.0, math.pi) * axis)

    def _translations(
        self, points: Float[Tensor, "count keypoints 3"], generator: torch.Generator
    ) -> Float[Tensor, "count 3"]:
        """Positions of the pelvis with the person on the camera's axis."""
        config, count = self.config, len(points)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator)

        center = (points.amin(1) + points.amax(1)) / 2
        extent = 2.15 * (points - center[:, None]).norm(dim=-1).amax(1)
        half_fov = uniform(*config.fov_deg).deg2rad() / 2
        share = uniform(*(math.log(value) for value in config.frame_share)).exp()
        width = share * uniform(0.56, 1.0) * 2 * half_fov.tan()  # of the person at one metre
        depth = (extent / width).maximum(0.62 * extent + 0.35)
        on_axis = torch.stack((torch.zeros(count), torch.zeros(count), depth), dim=-1)
        return on_axis - center

    def _crops(
        self, rays: Float[Tensor, "count keypoints 2"], generator: torch.Generator
    ) -> Float[np.ndarray, "count 4"]:
        """Crops as a tracker cuts them, in the picture plane at one metre."""
        count = len(rays)

        def normal(mean: float, std: float) -> Tensor:
            return mean + std * torch.randn(count, generator=generator)

        hip, chest = rays[:, HIPS].mean(1), rays[:, SHOULDERS].mean(1)
        radius = BODY_RADIUS_RATIO * (rays - hip[:, None]).norm(dim=-1).amax(1, keepdim=True)
        trunk = torch.nn.functional.normalize(chest - hip, dim=-1)
        hip_crops = torch.from_numpy(
            crop_around_axis(hip.double().numpy(), (hip + radius * trunk).double().numpy())
        )
        is_box = (bernoulli(self.config.box_share, count, generator) > 0)[:, 0]
        is_rotated = (bernoulli(0.6, count, generator) > 0)[:, 0]
        unrotated = torch.zeros(count, dtype=hip_crops.dtype)
        angle = torch.where(is_rotated, hip_crops[:, 3], unrotated)
        crops = torch.where(is_box[:, None], _box_crops(rays.double(), angle), hip_crops)
        log_scale = torch.where(is_box, normal(0.1, 0.14), normal(0.0, 0.08))
        crops[:, 3] += torch.where(is_box, normal(0.0, 0.15), normal(0.0, 0.1))
        crops[:, :2] += crops[:, 2:3] * 0.025 * torch.randn(count, 2, generator=generator)
        crops[:, 2] *= log_scale.exp()
        return crops.numpy()

    def _sample(
        self,
        rotations: Float[Tensor, "count joints 3 3"],
        translation: Float[Tensor, "count 3"],
        betas: Float[Tensor, "count betas"],
        rays: Float[Tensor, "count keypoints 2"],
        crops: Float[np.ndarray, "count 4"],
        generator: torch.Generator,
    ) -> Sample:
        """Inputs of crops, with detector errors, and the truth in the crops' cameras."""
        count, keypoints = len(betas), len(MIRRORED_KEYPOINTS)
        exact = NetworkInputs.from_keypoints(
            rays.double().numpy(),
            np.ones((count, keypoints)),
            np.zeros((count, keypoints, 3)),
            crops,
            np.repeat(np.eye(3)[None], count, axis=0),
        ).to(torch.float32)
        truth = truth_in_crop(self.decoder, rotations, translation, betas, exact.camera_from_crop)
        landmarks = exact_landmarks(truth, self.decoder.bones)
        output = DetectorOutput(exact.keypoints, landmarks, exact.confidence)
        if self.errors is not None:
            output = self.errors.apply(output, generator)
            landmarks = normalize_bone_length(output.landmarks, self.decoder.bones)
            output = output._replace(landmarks=landmarks)
        identity = torch.eye(3).repeat(count, 1, 1)
        return Sample(replace(exact, **output._asdict(), camera_from_crop=identity), truth)


class PictureDataset:
    """People of pictures with the detector's outputs; plain and mirrored."""

    def __init__(
        self, detections: Detections, decoder: StateDecoder, *, mirror: bool = True
    ) -> None:
        """Take all detections.

        Mirrored pictures add poses, not detector errors: the detector has not run on them. Their
        part maps are mirrored, features are missing.
        """
        self.inputs, self.truth = _convert(detections, decoder, mirrored=False)
        if mirror:
            inputs, truth = _convert(detections, decoder, mirrored=True)
            self.inputs = concatenate([self.inputs, inputs])
            self.truth = concatenate_truths([self.truth, truth])
        self.parts = detections.parts
        self.bones = decoder.bones

    def __len__(self) -> int:
        return len(self.inputs)

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """Draw random people; some lack part maps or features."""
        return self.select(torch.randint(len(self), (count,), generator=generator), generator)

    def select(self, indices: Tensor, generator: torch.Generator | None = None) -> Sample:
        """Return some people; with a generator, part maps and features are dropped at random."""
        mirrored = indices.numpy() >= len(self.parts)
        parts = self.parts[indices.numpy() % len(self.parts)]
        parts[mirrored] = packed_part_maps.mirror_part_maps(parts[mirrored])
        probabilities = torch.from_numpy(packed_part_maps.unpack_part_maps(parts))
        inputs = self.inputs.select(indices).with_parts(probabilities)
        if generator is not None:
            inputs = drop_maps(inputs, generator)
        return Sample(inputs, self.truth.select(indices))

    def errors(self) -> DetectorErrors:
        """Errors of the detector on these pictures."""
        points = self.truth.posed.points
        exact = points[..., :2] / points[..., 2:].clamp(min=MIN_DEPTH)
        true = DetectorOutput(
            exact / self.inputs.crop_width[:, None, None],
            exact_landmarks(self.truth, self.bones),
            torch.ones_like(self.inputs.confidence),
        )
        output = DetectorOutput(
            self.inputs.keypoints, self.inputs.landmarks, self.inputs.confidence
        )
        return DetectorErrors(true, output)


def drop_maps(inputs: NetworkInputs, generator: torch.Generator) -> NetworkInputs:
    """The inputs with part maps and features dropped at random."""
    kept = {
        name: _random_mask(probability, len(inputs), generator)
        for name, probability in KEEP_PROBABILITY.items()
    }
    has_parts, has_features = (
        inputs.has_parts & kept["parts"],
        inputs.has_features & kept["features"],
    )
    return replace(
        inputs,
        parts=inputs.parts * has_parts[:, None, None, None],
        has_parts=has_parts,
        features=inputs.features * has_features[:, None],
        has_features=has_features,
    )


def concatenate_truths(truths: list[Truth]) -> Truth:
    """One batch of several."""
    posed = PosedState(
        *(torch.cat(values) for values in zip(*(t.posed for t in truths), strict=True))
    )
    return Truth(posed, torch.cat([truth.betas for truth in truths]))


def truth_in_crop(
    decoder: StateDecoder,
    rotations: Float[Tensor, "count joints 3 3"],
    translation: Float[Tensor, "count 3"],
    betas: Float[Tensor, "count betas"],
    camera_from_crop: Float[Tensor, "count 3 3"],
) -> Truth:
    """Truth in the crops' cameras from that in the full frame's."""
    crop_from_camera = camera_from_crop.mT
    root = crop_from_camera @ rotations[:, 0]
    rotations = torch.cat((root[:, None], rotations[:, 1:]), dim=1)
    translation = (crop_from_camera @ translation[..., None])[..., 0]
    return Truth(decoder.pose(rotations, translation, betas), betas)


def exact_landmarks(truth: Truth, bones: float) -> Float[Tensor, "count keypoints 3"]:
    """World landmarks without detector errors."""
    return normalize_bone_length(hip_centered(truth.posed.points), bones)


def normalize_bone_length(
    landmarks: Float[Tensor, "count keypoints 3"], bones: float
) -> Float[Tensor, "count keypoints 3"]:
    """Scale landmarks to the total bone length of the mean body, metres."""
    lengths = bone_length(landmarks)[:, None, None]
    return landmarks * bones / lengths.clamp(min=0.2 * bones)


def _random_mask(
    probability: float, count: int, generator: torch.Generator
) -> Bool[Tensor, " count"]:
    """True with the given probability, for each."""
    return bernoulli(probability, count, generator)[:, 0] > 0


def _box_crops(
    rays: Float[Tensor, "count keypoints 2"], angle: Float[Tensor, " count"]
) -> Float[Tensor, "count 4"]:
    """Rotated squares around keypoints (`crop_around_points`, for a batch)."""
    cosine, sine = angle.cos(), angle.sin()
    rotation = torch.stack((cosine, -sine, sine, cosine), dim=-1).unflatten(-1, (2, 2))
    rotated = rays @ rotation
    low, high = rotated.amin(1), rotated.amax(1)
    center = (rotation @ ((low + high) / 2)[..., None])[..., 0]
    side = CROP_MARGIN * BODY_RADIUS_RATIO * (high - low).amax(-1)
    return torch.cat((center, side[:, None], angle[:, None]), dim=-1)


def _convert(
    detections: Detections, decoder: StateDecoder, *, mirrored: bool
) -> tuple[NetworkInputs, Truth]:
    """Inputs (without part maps, which are added on demand) and truth of all detections."""
    count = len(detections)
    inputs = NetworkInputs.from_keypoints(
        detections.keypoints,
        detections.confidence,
        detections.landmarks,
        detections.crop,
        detections.intrinsics,
    ).to(torch.float32)
    tensors = (detections.rotations, detections.root_translation, detections.betas)
    rotations, translation, betas = (torch.from_numpy(values) for values in tensors)
    joint_indices = list(decoder.joint_indices)
    camera_from_crop, identity = inputs.camera_from_crop, torch.eye(3).repeat(count, 1, 1)
    landmarks = normalize_bone_length(torch.from_numpy(detections.landmarks), decoder.bones)
    inputs = replace(
        inputs,
        landmarks=landmarks,
        camera_from_crop=identity,
        parts=inputs.parts[:, :, :1, :1].clone(),  # full-size maps of all would fill the memory
    )
    if not mirrored:
        features = torch.from_numpy(detections.features).float()
        known = torch.ones(count, dtype=torch.bool)
        inputs = replace(inputs, features=features, has_features=known)
        return inputs, truth_in_crop(
            decoder, rotations[:, joint_indices], translation, betas, camera_from_crop
        )
    rotations = rotations.clone()
    rotations[:, 0] = camera_from_crop.mT @ rotations[:, 0]
    translation = FLIP * (camera_from_crop.mT @ translation[..., None])[..., 0]
    rotations = mirror_rotations(rotations)[:, joint_indices]
    mirror = torch.diag(FLIP)
    inputs = replace(
        inputs,
        keypoints=inputs.keypoints[:, MIRRORED_KEYPOINTS] * FLIP[:2],
        confidence=inputs.confidence[:, MIRRORED_KEYPOINTS],
        landmarks=inputs.landmarks[:, MIRRORED_KEYPOINTS] * FLIP,
        crop_from_rays=mirror @ inputs.crop_from_rays @ mirror,
    )
    return inputs, truth_in_crop(decoder, rotations, translation, betas, identity)
