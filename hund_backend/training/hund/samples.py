"""Samples that HUND learns from: people with what a detector sees of them.

People of captured motion before random cameras are made on the fly, with errors lent by the
detector; people of pictures come with what the detector said.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, KEYPOINT_MIRROR
from hund_backend.descent.keypoints import bone_length, hip_centered
from hund_backend.descent.learned.inputs import NetworkInputs, concatenate
from hund_backend.descent.learned.state_decoder import PosedState, StateDecoder
from hund_backend.perception import packed_part_maps
from hund_backend.perception.crops import BODY_RADIUS_RATIO, CROP_MARGIN, crop_around_axis

from ..motion.motion_set import MotionSet, Split
from ..motion.retargeting import mirror_rotations
from ..priors.augmentation import Augmentation, AugmentationConfig
from .detections import Detections
from .detector_errors import DetectorErrors, DetectorOutput, chance_of

HIPS, SHOULDERS = (
    [BLAZEPOSE_NAMES.index(f"{side}_{name}") for side in ("left", "right")]
    for name in ("hip", "shoulder")
)
MIN_DEPTH = 0.1  # metres
KNOWN = {"parts": 0.7, "features": 0.8}  # how often they are told of pictures in training
SIDES = list(KEYPOINT_MIRROR["blazepose"])
FLIP = torch.tensor([-1.0, 1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """Cameras and crops; as those of the pictures (pictures/views.py)."""

    fov_deg: tuple[float, float] = (28.0, 90.0)  # of the longer side
    share: tuple[float, float] = (0.15, 1.05)  # of the frame's shorter side that people fill
    level: float = 0.8  # share of cameras that look more or less level
    tilt_deg: float = 14.0  # spread of a level camera's pitch, with what a crop off the axis adds
    tumbled: float = 0.12  # share of people who are turned anyhow
    boxed: float = 0.3  # share of crops round a box, not about the hips


class Truth(NamedTuple):
    """What is true of people; the crop's camera."""

    posed: PosedState
    betas: Float[Tensor, "batch betas"]

    def select(self, chosen: Tensor | slice) -> "Truth":
        """That of some."""
        return Truth(PosedState(*(values[chosen] for values in self.posed)), self.betas[chosen])


class Sample(NamedTuple):
    """What was seen, and what is true; no truth is known of unlabelled pictures."""

    inputs: NetworkInputs
    truth: Truth | None


class MotionDataset:
    """People of captured motion; what the detector would say of them is imagined."""

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
            errors: of the detector; without them keypoints are exact and sure.
            config: cameras and crops.
            augmentation: of the poses; none leaves them as they are.
        """
        used = poses.frames_of(split)
        self.rotations, self.weights = poses.rotations[used], poses.weights()[used]
        self.decoder, self.errors = decoder, errors
        self.config = config or SampleConfig()
        self.augment = Augmentation(augmentation) if augmentation else None
        self.moved = list(decoder.joint_indices)

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """So many people."""
        picks = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        rotations = self.rotations[picks].clone()
        if self.augment is not None:
            rotations[:, 1:] = self.augment(rotations[:, 1:], generator)
        rotations[:, 0] = self._turns(count, generator) @ rotations[:, 0]
        betas = torch.randn(count, 16, generator=generator)
        origin = torch.zeros(count, 3)
        posed = self.decoder.pose(rotations[:, self.moved], origin, betas)
        place = self._places(posed.points, generator)
        rays = (posed.points + place[:, None])[..., :2] / (posed.points + place[:, None])[
            ..., 2:
        ].clamp(min=MIN_DEPTH)
        crops = self._crops(rays, generator)
        return self._seen(rotations[:, self.moved], place, betas, rays, crops, generator)

    def _turns(self, count: int, generator: torch.Generator) -> Float[Tensor, "count 3 3"]:
        """From the world (y up) to cameras, whatever way the person faces."""
        config = self.config

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, 1, generator=generator)

        def normal(mean: float, spread: float) -> Tensor:
            return mean + spread * torch.randn(count, 1, generator=generator)

        level = chance_of(config.level, count, generator) > 0
        pitch = torch.where(level, normal(-6.0, config.tilt_deg), uniform(-70.0, 30.0)).deg2rad()
        straight = chance_of(0.9, count, generator) > 0
        roll = torch.where(straight, normal(0.0, 4.0), uniform(-30.0, 30.0)).deg2rad()
        yaw = uniform(-math.pi, math.pi)
        x, y, z = torch.eye(3)
        upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        turn = rotvec_to_matrix(roll * z) @ upright @ rotvec_to_matrix(-pitch * x)
        turn = turn @ rotvec_to_matrix(yaw * y)
        tumbled = chance_of(config.tumbled, count, generator)
        axis = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
        return turn @ rotvec_to_matrix(tumbled * uniform(0.0, math.pi) * axis)

    def _places(
        self, points: Float[Tensor, "count keypoints 3"], generator: torch.Generator
    ) -> Float[Tensor, "count 3"]:
        """Of the pelvis, so that the person stands straight ahead."""
        config, count = self.config, len(points)

        def drawn(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=generator)

        middle = (points.amin(1) + points.amax(1)) / 2
        extent = 2.15 * (points - middle[:, None]).norm(dim=-1).amax(1)
        angle = drawn(*config.fov_deg).deg2rad() / 2
        share = drawn(*(math.log(value) for value in config.share)).exp()
        width = share * drawn(0.56, 1.0) * 2 * angle.tan()  # of the person at one metre
        depth = (extent / width).maximum(0.62 * extent + 0.35)
        ahead = torch.stack((torch.zeros(count), torch.zeros(count), depth), dim=-1)
        return ahead - middle

    def _crops(
        self, rays: Float[Tensor, "count keypoints 2"], generator: torch.Generator
    ) -> Float[np.ndarray, "count 4"]:
        """Crops as a tracker would cut them, in the picture plane at one metre."""
        count = len(rays)

        def normal(mean: float, spread: float) -> Tensor:
            return mean + spread * torch.randn(count, generator=generator)

        hip, chest = rays[:, HIPS].mean(1), rays[:, SHOULDERS].mean(1)
        radius = BODY_RADIUS_RATIO * (rays - hip[:, None]).norm(dim=-1).amax(1, keepdim=True)
        trunk = torch.nn.functional.normalize(chest - hip, dim=-1)
        about = torch.from_numpy(
            crop_around_axis(hip.double().numpy(), (hip + radius * trunk).double().numpy())
        )
        boxed = (chance_of(self.config.boxed, count, generator) > 0)[:, 0]
        turned = (chance_of(0.6, count, generator) > 0)[:, 0]
        turn = torch.where(turned, about[:, 3], torch.zeros(count, dtype=about.dtype))
        box = _round_box(rays.double(), turn)
        crops = torch.where(boxed[:, None], box, about)
        growth = torch.where(boxed, normal(0.1, 0.14), normal(0.0, 0.08))
        crops[:, 3] += torch.where(boxed, normal(0.0, 0.15), normal(0.0, 0.1))
        crops[:, :2] += crops[:, 2:3] * 0.025 * torch.randn(count, 2, generator=generator)
        crops[:, 2] *= growth.exp()
        return crops.numpy()

    def _seen(
        self,
        rotations: Float[Tensor, "count joints 3 3"],
        place: Float[Tensor, "count 3"],
        betas: Float[Tensor, "count betas"],
        rays: Float[Tensor, "count keypoints 2"],
        crops: Float[np.ndarray, "count 4"],
        generator: torch.Generator,
    ) -> Sample:
        """What is seen in crops, and the truth turned into the crops' cameras."""
        count = len(betas)
        exact = NetworkInputs.from_keypoints(
            rays.double().numpy(),
            np.ones((count, len(SIDES))),
            np.zeros((count, len(SIDES), 3)),
            crops,
            np.repeat(np.eye(3)[None], count, axis=0),
        ).to(torch.float32)
        truth = turned(self.decoder, rotations, place, betas, exact.camera_from_crop)
        told = DetectorOutput(exact.keypoints, normal_landmarks(truth, self.decoder.bones), exact.confidence)
        if self.errors is not None:
            told = self.errors.apply(told, generator)
            landmarks = as_long(told.landmarks, self.decoder.bones)
            told = told._replace(landmarks=landmarks)
        inputs = replace(exact, **told._asdict(), camera_from_crop=torch.eye(3).repeat(count, 1, 1))
        return Sample(inputs, truth)


class PictureDataset:
    """People of pictures, with what the detector said of them; plain and mirrored."""

    def __init__(
        self, detections: Detections, decoder: StateDecoder, *, mirror: bool = True
    ) -> None:
        """Take all detections; mirrored pictures are no news to the detector's errors, but to poses.

        The detector never saw the mirrored ones: their parts are mirrored, features have none.
        """
        self.inputs, self.truth = _sampled(detections, decoder, flipped=False)
        if mirror:
            inputs, truth = _sampled(detections, decoder, flipped=True)
            self.inputs = concatenate([self.inputs, inputs])
            self.truth = concatenate_truths([self.truth, truth])
        self.parts = detections.parts
        self.bones = decoder.bones

    def __len__(self) -> int:
        return len(self.inputs)

    def draw(self, count: int, generator: torch.Generator) -> Sample:
        """So many of them, by chance."""
        return self.select(torch.randint(len(self), (count,), generator=generator), generator)

    def select(self, chosen: Tensor, generator: torch.Generator | None = None) -> Sample:
        """Those of the given places; with a generator some are without parts or features."""
        places = chosen.numpy()
        flipped, rows = places >= len(self.parts), places % len(self.parts)
        parts = self.parts[rows]
        parts[flipped] = packed_part_maps.mirror_part_maps(parts[flipped])
        inputs = self.inputs.select(chosen).with_parts(
            torch.from_numpy(packed_part_maps.unpack_part_maps(parts))
        )
        if generator is not None:
            has_parts = _drawn(KNOWN["parts"], len(inputs), generator)
            has_features = inputs.has_features & _drawn(KNOWN["features"], len(inputs), generator)
            inputs = replace(
                inputs,
                parts=inputs.parts * has_parts[:, None, None, None],
                has_parts=has_parts,
                features=inputs.features * has_features[:, None],
                has_features=has_features,
            )
        return Sample(inputs, self.truth.select(chosen))

    def errors(self) -> DetectorErrors:
        """The detector's errors in these pictures."""
        exact = self.truth.posed.points[..., :2] / self.truth.posed.points[..., 2:].clamp(
            min=MIN_DEPTH
        )
        true = DetectorOutput(
            exact / self.inputs.crop_width[:, None, None],
            normal_landmarks(self.truth, self.bones),
            torch.ones_like(self.inputs.confidence),
        )
        told = DetectorOutput(self.inputs.keypoints, self.inputs.landmarks, self.inputs.confidence)
        return DetectorErrors(true, told)


def concatenate_truths(truths: list[Truth]) -> Truth:
    """Truths in a row."""
    posed = PosedState(
        *(torch.cat(values) for values in zip(*(t.posed for t in truths), strict=True))
    )
    return Truth(posed, torch.cat([truth.betas for truth in truths]))


def turned(
    decoder: StateDecoder,
    rotations: Float[Tensor, "count joints 3 3"],
    place: Float[Tensor, "count 3"],
    betas: Float[Tensor, "count betas"],
    camera_from_crop: Float[Tensor, "count 3 3"],
) -> Truth:
    """The truth in the crops' cameras from that in the full frame's."""
    crop_from_camera = camera_from_crop.mT
    root = crop_from_camera @ rotations[:, 0]
    rotations = torch.cat((root[:, None], rotations[:, 1:]), dim=1)
    place = (crop_from_camera @ place[..., None])[..., 0]
    return Truth(decoder.pose(rotations, place, betas), betas)


def normal_landmarks(truth: Truth, bones: float) -> Float[Tensor, "count keypoints 3"]:
    """What world landmarks would be without errors."""
    return as_long(hip_centered(truth.posed.points), bones)


def as_long(
    landmarks: Float[Tensor, "count keypoints 3"], bones: float
) -> Float[Tensor, "count keypoints 3"]:
    """Landmarks whose bones are together as long as the mean body's."""
    lengths = bone_length(landmarks)[:, None, None]
    return landmarks * bones / lengths.clamp(min=0.2 * bones)


def _drawn(share: float, count: int, generator: torch.Generator) -> Bool[Tensor, " count"]:
    """Whether something is told, for each."""
    return chance_of(share, count, generator)[:, 0] > 0


def _round_box(
    rays: Float[Tensor, "count keypoints 2"], turn: Float[Tensor, " count"]
) -> Float[Tensor, "count 4"]:
    """Turned squares round keypoints (`crop_around_points`, for a batch)."""
    cosine, sine = turn.cos(), turn.sin()
    rotation = torch.stack((cosine, -sine, sine, cosine), dim=-1).unflatten(-1, (2, 2))
    within = rays @ rotation
    low, high = within.amin(1), within.amax(1)
    middle = (rotation @ ((low + high) / 2)[..., None])[..., 0]
    side = CROP_MARGIN * BODY_RADIUS_RATIO * (high - low).amax(-1)
    return torch.cat((middle, side[:, None], turn[:, None]), dim=-1)


def _sampled(
    detections: Detections, decoder: StateDecoder, *, flipped: bool
) -> tuple[NetworkInputs, Truth]:
    """Evidence (parts are added when it is drawn) and truth of all detections."""
    count = len(detections)
    inputs = NetworkInputs.from_keypoints(
        detections.keypoints,
        detections.confidence,
        detections.landmarks,
        detections.crop,
        detections.intrinsics,
    ).to(torch.float32)
    tensors = (detections.rotations, detections.root_translation, detections.betas)
    rotations, place, betas = (torch.from_numpy(values) for values in tensors)
    moved = list(decoder.joint_indices)
    turn, same = inputs.camera_from_crop, torch.eye(3).repeat(count, 1, 1)
    landmarks = as_long(torch.from_numpy(detections.landmarks), decoder.bones)
    inputs = replace(
        inputs,
        landmarks=landmarks,
        camera_from_crop=same,
        parts=inputs.parts[:, :, :1, :1].clone(),  # whole ones of everybody would fill the memory
    )
    if not flipped:
        features = torch.from_numpy(detections.features).float()
        inputs = replace(inputs, features=features, has_features=torch.ones(count, dtype=torch.bool))
        return inputs, turned(decoder, rotations[:, moved], place, betas, turn)
    rotations = rotations.clone()
    rotations[:, 0] = turn.mT @ rotations[:, 0]
    place = FLIP * (turn.mT @ place[..., None])[..., 0]
    rotations = mirror_rotations(rotations)[:, moved]
    mirror = torch.diag(FLIP)
    inputs = replace(
        inputs,
        keypoints=inputs.keypoints[:, SIDES] * FLIP[:2],
        confidence=inputs.confidence[:, SIDES],
        landmarks=inputs.landmarks[:, SIDES] * FLIP,
        crop_from_rays=mirror @ inputs.crop_from_rays @ mirror,
    )
    return inputs, turned(decoder, rotations, place, betas, same)
