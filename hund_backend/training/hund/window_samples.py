"""Training windows: half a second of captured motion before and after, with a detector's errors.

The errors are correlated in time, as those of the real detector are (docs/log/dynamics.md): errors
transferred from people in similar poses, which change as the pose does; a bias that stays; wander
whose correlation decays within tenths of a second; and limbs that are displaced, doubted or swapped
for a while.
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
from ...descent.keypoints import HIPS, bone_length, hip_centered
from ...descent.learned.inputs import NetworkInputs
from ...descent.learned.state_decoder import StateDecoder
from ...descent.learned.windows import MIDDLE, OFFSETS, Windows
from ..motion.motion_set import MotionSet, Split
from .detector_errors import ARMS, LEGS, LIMBS, DetectorErrors, DetectorOutput, bernoulli
from .samples import MIN_DEPTH, MotionDataset, Sample, Truth, exact_landmarks, truth_in_crop

_COUNT = len(OFFSETS)
_KEYPOINTS = len(BLAZEPOSE_NAMES)
_NEAREST = 0.3  # metres: offsets at which a point is nearer to the camera are unknown
# Points whose errors are alike: the limbs, and all others.
_GROUP = torch.zeros(_KEYPOINTS, dtype=torch.long)
for _number, _limb in enumerate(LIMBS, start=1):
    _GROUP[list(_limb)] = _number


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """Motion and errors of the windows."""

    steps: tuple[int, ...] = (2, 3, 3, 3, 4)  # frames of 1/30 s in 0.1 s: slower and faster people
    panned_share: float = 0.3  # of cameras that turn
    pan_speed: float = 0.3  # radians a second
    max_transfer: float = 0.9  # scale of the transferred errors, drawn up to this
    bias: float = 0.005  # crop widths, constant in a window
    wander: float = 0.006  # crop widths, correlated in time
    white: float = 0.002  # crop widths
    landmark_bias: float = 0.05  # metres
    landmark_wander: float = 0.05  # metres
    landmark_white: float = 0.005  # metres
    scale: tuple[float, float] = (0.2, 1.4)  # of all of them, drawn for each window
    seconds: tuple[float, float] = (0.1, 0.4)  # in which the correlation falls to 1/e
    displaced: float = 0.12  # probability of a limb to be displaced for a while
    displacement: float = 0.1  # crop widths
    doubted: float = 0.25  # probability of a limb to be doubted for a while, though right
    swapped: float = 0.06  # probability of the legs, or the arms, to be swapped for a while
    one_sided: float = 0.2  # probability that only a part of one side is known
    sparse: float = 0.1  # probability that a third of the offsets is missing
    num_donors: int = 512  # among which the most similar pose is found


class TrueWindows(NamedTuple):
    """Windows of people whose keypoints and landmarks are exact."""

    inputs: NetworkInputs  # of the middle frames
    truth: Truth  # of the middle frames
    windows: Windows

    def select(self, indices: Int[Tensor, " chosen"]) -> "TrueWindows":
        """Some of the windows."""
        return TrueWindows(*(values.select(indices) for values in self))


class WindowSample(NamedTuple):
    """Sample of the middle frames, windows around them, and the exact evidence."""

    sample: Sample
    windows: Windows
    exact: DetectorOutput  # of the middle frames


class WindowDataset(MotionDataset):
    """People of captured motion before random cameras, over windows of time."""

    def __init__(
        self,
        poses: MotionSet,
        split: Split,
        decoder: StateDecoder,
        errors: DetectorErrors,
        config: WindowConfig | None = None,
    ) -> None:
        """Take the frames of a split.

        Args:
            poses: all motion.
            split: of the motion.
            decoder: state decoder of the reduced body.
            errors: of the detector on pictures.
            config: motion and errors.
        """
        super().__init__(poses, split, decoder, errors)
        self.window_config = config or WindowConfig()
        reduced = list(decoder.joint_indices)
        plain, mirrored = poses, poses.mirrored()
        self.motions = [
            (each.rotations[:, reduced].contiguous(), each.translation)
            for each in (plain, mirrored)
        ]
        self.frames = poses.frames_of(split).nonzero()[:, 0]
        self.first = poses.starts[:-1][poses.clips]
        self.last = poses.starts[1:][poses.clips] - 1
        self.usable = poses.usable

    def true_windows(self, count: int, generator: torch.Generator) -> TrueWindows:
        """Random people with exact windows around them."""
        frames = self.frames[
            torch.multinomial(self.weights, count, replacement=True, generator=generator)
        ]
        picked, known = self._frames_at_offsets(frames, generator)
        mirrored = bernoulli(0.5, count, generator) > 0
        (rotations, path), (other_rotations, other_path) = (
            (rotations[picked], path[picked]) for rotations, path in self.motions
        )
        rotations = torch.where(mirrored[..., None, None, None], other_rotations, rotations)
        path = torch.where(mirrored[..., None], other_path, path)
        camera = self._camera_rotations(count, generator)[:, None]
        pan = self._pan(count, generator)  # of each offset, from the middle one's camera
        rotations[:, :, 0] = pan @ camera @ rotations[:, :, 0]
        path = (camera @ (path - path[:, MIDDLE, None])[..., None])[..., 0]
        betas = torch.randn(count, 16, generator=generator)
        origin = torch.zeros(count * _COUNT, 3)
        every = betas.repeat_interleave(_COUNT, dim=0)
        posed = self.decoder.pose(rotations.flatten(0, 1), origin, every)
        around = posed.points.unflatten(0, (count, _COUNT))  # about the pelvis
        translation = self._translations(around[:, MIDDLE], generator)
        pelvis = (pan @ (path + translation[:, None])[..., None])[..., 0]
        points = around + pelvis[:, :, None]
        known &= points[..., 2].amin(-1) > _NEAREST
        known[:, MIDDLE] = True
        rays = points[:, MIDDLE, :, :2] / points[:, MIDDLE, :, 2:].clamp(min=MIN_DEPTH)
        middle = NetworkInputs.from_keypoints(
            rays.double().numpy(),
            np.ones((count, _KEYPOINTS)),
            np.zeros((count, _KEYPOINTS, 3)),
            self._crops(rays, generator),
            np.repeat(np.eye(3)[None], count, axis=0),
        ).to(torch.float32)
        rotation = middle.camera_from_crop
        truth = truth_in_crop(self.decoder, rotations[:, MIDDLE], translation, betas, rotation)
        in_crop = points @ rotation[:, None]
        keypoints = in_crop[..., :2] / in_crop[..., 2:].clamp(min=MIN_DEPTH)
        keypoints = (keypoints / middle.crop_width[:, None, None, None]).clamp(-4, 4)
        landmarks = hip_centered(in_crop)
        scale = self.decoder.bones / bone_length(landmarks[:, MIDDLE])
        inputs = replace(
            middle,
            landmarks=exact_landmarks(truth, self.decoder.bones),
            camera_from_crop=torch.eye(3).repeat(count, 1, 1),
        )
        windows = Windows(
            keypoints=keypoints,
            confidence=torch.ones(keypoints.shape[:-1]),
            landmarks=landmarks * scale[:, None, None, None],
            known=known,
        )
        return TrueWindows(inputs, truth, windows)

    def detected(self, true: TrueWindows, generator: torch.Generator) -> WindowSample:
        """What a detector sees of some windows."""
        known = true.windows.known
        output = self._with_errors(true.windows.keypoints, true.windows.landmarks, generator)
        lengths = (bone_length(output.landmarks) * known).sum(1) / known.sum(1)
        scale = (self.decoder.bones / lengths).clamp(0.7, 1.5)  # one for all of a track, as in use
        output = output._replace(landmarks=output.landmarks * scale[:, None, None, None])
        mask = known[..., None, None]
        windows = Windows(
            keypoints=output.keypoints * mask,
            confidence=output.confidence * known[..., None],
            landmarks=output.landmarks * mask,
            known=known,
        )
        middle = {name: values[:, MIDDLE] for name, values in output._asdict().items()}
        exact = DetectorOutput(
            true.inputs.keypoints, true.inputs.landmarks, true.inputs.confidence
        )
        return WindowSample(Sample(replace(true.inputs, **middle), true.truth), windows, exact)

    def _frames_at_offsets(
        self, frames: Int[Tensor, " count"], generator: torch.Generator
    ) -> tuple[Int[Tensor, "count offsets"], Bool[Tensor, "count offsets"]]:
        """Frames of the motion set at the offsets, and which of them are known."""
        config, count = self.window_config, len(frames)
        steps = torch.tensor(config.steps)
        steps = steps[torch.randint(len(steps), (count,), generator=generator)]
        offsets = torch.arange(_COUNT) - MIDDLE
        picked = frames[:, None] + steps[:, None] * offsets
        first, last = self.first[frames][:, None], self.last[frames][:, None]
        inside = (picked >= first) & (picked <= last)
        picked = picked.maximum(first).minimum(last)
        known = inside & self.usable[picked]
        side = 2 * torch.randint(2, (count, 1), generator=generator) - 1
        reach = torch.randint(MIDDLE, (count, 1), generator=generator)
        one_sided = bernoulli(config.one_sided, count, generator) > 0
        known &= ~(one_sided & (side * offsets > reach))
        sparse = bernoulli(config.sparse, count, generator) > 0
        missing = torch.rand(count, _COUNT, generator=generator) < 1 / 3
        known &= ~(sparse & missing)
        known[:, MIDDLE] = True
        return picked, known

    def _pan(self, count: int, generator: torch.Generator) -> Float[Tensor, "count offsets 3 3"]:
        """Rotations of a turning camera, from the middle frame's to each offset's."""
        config = self.window_config
        turns = bernoulli(config.panned_share, count, generator)
        speed = config.pan_speed * torch.randn(count, 3, generator=generator)
        speed = turns * speed * torch.tensor([0.4, 1.0, 0.2])
        return rotvec_to_matrix(torch.tensor(OFFSETS)[:, None] * speed[:, None])

    def _with_errors(
        self,
        keypoints: Float[Tensor, "count offsets keypoints 2"],
        landmarks: Float[Tensor, "count offsets keypoints 3"],
        generator: torch.Generator,
    ) -> DetectorOutput:
        """The detector's output over windows, with errors that are correlated in time."""
        config, count = self.window_config, len(keypoints)

        def uniform(low: float, high: float) -> Float[Tensor, "count 1 1 1"]:
            return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)

        moved, moved_landmarks, confidence = self._transferred(keypoints, landmarks, generator)
        transfer = uniform(0.0, config.max_transfer)
        scale = uniform(*config.scale)
        correlation = (-0.1 / uniform(*config.seconds)).exp()
        depth = torch.tensor([1.0, 1.0, 1.5])  # errors in depth are larger

        def noise(size: int, bias: float, wander: float, white: float) -> Tensor:
            constant = torch.randn(count, 1, _KEYPOINTS, size, generator=generator)
            independent = torch.randn(count, _COUNT, _KEYPOINTS, size, generator=generator)
            walk = self._wander(size, correlation, generator)
            return scale * (bias * constant + wander * walk + white * independent)

        keypoints = keypoints + transfer * moved
        keypoints = keypoints + noise(2, config.bias, config.wander, config.white)
        landmarks = landmarks + transfer * moved_landmarks
        landmarks = landmarks + depth * noise(
            3, config.landmark_bias, config.landmark_wander, config.landmark_white
        )
        return self._corrupted(keypoints, landmarks, confidence, generator)

    def _transferred(
        self, keypoints: Tensor, landmarks: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Errors and confidence of people in similar poses, at start, middle and end of a window.

        Between them they change evenly.
        """
        errors = self.errors
        anchors = (0, MIDDLE, _COUNT - 1)
        candidates = torch.randperm(len(errors.descriptors), generator=generator)
        candidates = candidates[: self.window_config.num_donors]
        hips = keypoints[..., list(HIPS), :].mean(2, keepdim=True)
        centered = keypoints - hips + hips[:, MIDDLE, None]
        at_anchors = []
        for anchor in anchors:
            descriptor = torch.cat(
                (2 * centered[:, anchor].flatten(1), landmarks[:, anchor].flatten(1)), dim=-1
            )
            distances = torch.cdist(descriptor, errors.descriptors[candidates])
            donor = candidates[distances.argmin(1)]
            at_anchors.append(
                (errors.keypoints[donor], errors.landmarks[donor], errors.confidence[donor])
            )
        share = torch.linspace(0, 1, MIDDLE + 1)
        moved = []
        for start, middle, end in zip(*at_anchors, strict=True):
            weight = share.view(1, -1, *(1,) * (start.ndim - 1))
            first = (1 - weight) * start[:, None] + weight * middle[:, None]
            second = (1 - weight) * middle[:, None] + weight * end[:, None]
            moved.append(torch.cat((first, second[:, 1:]), dim=1))
        return tuple(moved)

    def _wander(
        self, size: int, correlation: Float[Tensor, "count 1 1 1"], generator: torch.Generator
    ) -> Float[Tensor, "count offsets keypoints size"]:
        """Noise of unit variance whose correlation decays in time; half of it is a limb's."""
        count = len(correlation)
        own = torch.randn(count, _COUNT, _KEYPOINTS, size, generator=generator)
        groups = torch.randn(count, _COUNT, int(_GROUP.max()) + 1, size, generator=generator)
        values = math.sqrt(0.5) * (own + groups[:, :, _GROUP])
        fresh = (1 - correlation[:, 0].square()).sqrt()
        walk = [values[:, 0]]
        for offset in range(1, _COUNT):
            walk.append(correlation[:, 0] * walk[-1] + fresh * values[:, offset])
        return torch.stack(walk, dim=1)

    def _corrupted(
        self, keypoints: Tensor, landmarks: Tensor, confidence: Tensor, generator: torch.Generator
    ) -> DetectorOutput:
        """Displace, doubt and swap limbs for a while."""
        config, count = self.window_config, len(keypoints)
        for limb in LIMBS:
            mask = torch.zeros(_KEYPOINTS)
            mask[list(limb)] = 1
            displaced = _while(config.displaced, count, generator)[..., None] * mask
            own = torch.randn(count, 1, _KEYPOINTS, 2, generator=generator)
            common = torch.randn(count, 1, 1, 2, generator=generator)
            offset = config.displacement * (own + common)
            keypoints = keypoints + displaced[..., None] * offset
            doubted = _while(config.doubted, count, generator)[..., None] * mask
            doubted = doubted.maximum(displaced)
            factor = 0.3 * torch.rand(count, 1, 1, generator=generator)
            confidence = torch.where(doubted > 0, confidence * factor, confidence)
        for pair in (LEGS, ARMS):
            order = torch.arange(_KEYPOINTS)
            order[list(pair)] = torch.tensor(KEYPOINT_MIRROR["blazepose"])[list(pair)]
            swapped = (_while(config.swapped, count, generator) > 0)[..., None, None]
            keypoints = torch.where(swapped, keypoints[:, :, order], keypoints)
            landmarks = torch.where(swapped, landmarks[:, :, order], landmarks)
        return DetectorOutput(keypoints, landmarks, confidence)


def _while(
    probability: float, count: int, generator: torch.Generator
) -> Float[Tensor, "count offsets"]:
    """One over a random run of offsets, with the given probability that there is one."""
    happens = bernoulli(probability, count, generator)
    start = torch.randint(-3, _COUNT, (count, 1), generator=generator)
    length = torch.randint(1, 8, (count, 1), generator=generator)
    place = torch.arange(_COUNT)
    return happens * ((place >= start) & (place < start + length))
