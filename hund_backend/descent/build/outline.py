"""Outline: breadths of a person's mask, relative to those of the mean body in the same pose.

Both are read along the same lines across torso and limbs, so that pose, view and distance cancel:
what is left is how much broader than the mean a person is at each line, clothes included.
"""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from ...body.model import BodyModel
from ...body.skeleton import BLAZEPOSE_NAMES, PART_NAMES
from ...perception.crop_detector import LIMB_JOINTS, MASK_SIZE, NUM_KEYPOINTS
from ...perception.crops import crop_from_image, image_from_crop, transform_points
from ...perception.evidence import Evidence
from ...rendering.exact_parts import part_labels
from ..learned.inputs import crop_rotations
from ..reduced_body import ReducedBody
from ..targets import Targets
from ..translation import solve_translation

REACH = 0.3  # of the crop's side: farthest end of a breadth from the limb's axis
STEP = 1 / 256  # of the crop's side, between samples
RENDERING = 2  # pixels of the mean body's rendering per cell of a mask
MAX_RATIO = 0.6  # of the logarithm of a breadth relative to the mean body's
MIN_OWN = 0.85  # of a breadth that no other part of the body crosses
MIN_COSINE = 0.35  # a limb nearer to the line of sight than that has no breadth
SIDES = ("left", "right")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of the body, and where breadths are read across it."""

    start: tuple[str, ...]  # BlazePose's keypoints; their middle is where the axis begins
    end: tuple[str, ...]
    shares: tuple[float, ...]  # of the way from start to end
    parts: tuple[str, ...]  # of PART_NAMES, that belong to the breadth


def _both(name: str) -> tuple[str, str]:
    return f"left_{name}", f"right_{name}"


def _limb(side: str, start: str, end: str, shares: tuple[float, ...], *parts: str) -> Segment:
    return Segment(
        start=(f"{side}_{start}",),
        end=(f"{side}_{end}",),
        shares=shares,
        parts=tuple(f"{side}_{part}" for part in parts),
    )


TORSO = Segment(
    start=_both("shoulder"),
    end=_both("hip"),
    shares=(0.0, 0.12, 0.25, 0.37, 0.5, 0.62, 0.75, 0.87, 1.0, 1.12),
    parts=("torso", *_both("thigh")),
)
SEGMENTS = (
    TORSO,
    Segment(
        start=_both("shoulder"),
        end=_both("ear"),
        shares=(0.35, 0.6, 0.85, 1.1),
        parts=("head", "torso"),
    ),
    *(
        segment
        for side in SIDES
        for segment in (
            _limb(side, "hip", "knee", (0.2, 0.35, 0.5, 0.65, 0.8), "thigh", "calf"),
            _limb(side, "knee", "ankle", (0.1, 0.25, 0.4, 0.6, 0.8), "calf", "thigh"),
            _limb(side, "shoulder", "elbow", (0.35, 0.55, 0.75), "upper_arm", "forearm"),
            _limb(side, "elbow", "wrist", (0.2, 0.5), "forearm", "upper_arm"),
        )
    ),
)
NUM_LINES = sum(len(segment.shares) for segment in SEGMENTS)
_MIDDLE = len(SEGMENTS[0].shares) + len(SEGMENTS[1].shares)  # lines of torso and head
_SIDE_LINES = (NUM_LINES - _MIDDLE) // 2
LINE_MIRROR = (
    *range(_MIDDLE),
    *range(_MIDDLE + _SIDE_LINES, NUM_LINES),
    *range(_MIDDLE, _MIDDLE + _SIDE_LINES),
)
_SIDE_SEGMENTS = (len(SEGMENTS) - 2) // 2
SEGMENT_MIRROR = (
    0,
    1,
    *range(2 + _SIDE_SEGMENTS, len(SEGMENTS)),
    *range(2, 2 + _SIDE_SEGMENTS),
)
NUM_FEATURES = 3 * NUM_LINES + len(SEGMENTS) + 3 + 6 + 1


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """Outlines of a batch of frames, in the axes of the crops."""

    ratios: Float[Tensor, "frames lines"]  # log of breadths, relative to the mean body's
    valid: Bool[Tensor, "frames lines"]  # where it is False, ratios are zero
    own: Float[Tensor, "frames lines"]
    """Share of the mean body's breadth that belongs to the segment: less where others cross it."""
    axes: Float[Tensor, "frames segments 3"]  # unit vectors along the segments
    across: Float[Tensor, "frames 2 3"]  # from right to left: shoulders, hips; unit vectors
    confidence: Float[Tensor, " frames"]  # mean of the limbs' keypoints
    overlap: Float[Tensor, " frames"]  # of mask and mean body: intersection over union

    def __len__(self) -> int:
        return len(self.ratios)

    def select(self, frames: Int[Tensor, " chosen"] | slice) -> "Outlines":
        """Outlines of some of the frames."""
        return Outlines(**{f.name: getattr(self, f.name)[frames] for f in fields(self)})

    @classmethod
    def concatenated(cls, batches: "list[Outlines]") -> "Outlines":
        """One batch of several."""
        names = [f.name for f in fields(cls)]
        return cls(**{n: torch.cat([getattr(b, n) for b in batches]) for n in names})

    def mirrored(self) -> "Outlines":
        """Outlines of the mirrored pictures."""
        flip = self.axes.new_tensor([-1.0, 1.0, 1.0])
        return Outlines(
            ratios=self.ratios[:, LINE_MIRROR],
            valid=self.valid[:, LINE_MIRROR],
            own=self.own[:, LINE_MIRROR],
            axes=self.axes[:, SEGMENT_MIRROR] * flip,
            across=-self.across * flip,
            confidence=self.confidence,
            overlap=self.overlap,
        )

    def vectors(self) -> Float[Tensor, "frames features"]:
        """All of it as one vector for each frame."""
        values = (
            self.ratios,
            self.ratios * (self.own > MIN_OWN),
            self.valid.to(self.ratios),
            self.axes[..., 2],
            self.axes[:, 0],
            self.across.flatten(1),
            self.overlap[:, None],
        )
        return torch.cat(values, dim=1)


@torch.no_grad()
def outlines_of(
    evidence: Evidence,
    rotations: Float[Tensor, "frames joints 3 3"],
    skin: BodyModel,
    reduced_body: ReducedBody,
) -> Outlines:
    """Compare a person's masks with the mean body in given poses.

    Args:
        evidence: of one person.
        rotations: of the reduced joints, in the evidence's frames.
        skin: "low" body.
        reduced_body: the same body's.
    """
    crops = evidence.crops.astype(np.float64)
    intrinsics = np.asarray(evidence.intrinsics, np.float64)
    camera = torch.from_numpy(crop_from_image(crops, 1) @ intrinsics)
    points, labels = _mean_body(evidence, rotations, camera, skin, reduced_body)
    masks = torch.from_numpy(evidence.masks.astype(np.float32) / 255)
    in_crop = torch.from_numpy(crop_rotations(crops, intrinsics)).mT
    starts, ends = _ends_of_segments(points)
    axes = _unit((ends - starts) @ in_crop.mT)
    pixels = evidence.keypoints[..., :2].astype(np.float64)
    detected = torch.from_numpy(transform_points(pixels, crop_from_image(crops, 1)))
    observed_lines = _lines(*_ends_of_segments(detected))
    expected_lines = _lines(*_ends_of_segments(_projected(points, camera)))
    observed = _breadths(_sampled(masks, observed_lines))
    body = _cells((labels > 0).float())
    expected = _breadths(_sampled(body, expected_lines))
    own = torch.cat(
        [
            _sampled(_cells(_is_one_of(labels, segment.parts)), lines)
            for segment, lines in zip(SEGMENTS, _by_segment(expected_lines), strict=True)
        ],
        dim=1,
    )
    share = (own * expected.inside).sum(-1) / expected.inside.sum(-1).clamp(min=1)
    foreshortened = axes[..., :2].norm(dim=-1) < MIN_COSINE
    valid = (
        observed.ends_inside
        & expected.ends_inside
        & _in_frame(observed.ends_at(observed_lines), crops, intrinsics)
        & ~_per_line(foreshortened)
    )
    ratios = (observed.breadth.clamp(min=STEP) / expected.breadth.clamp(min=STEP)).log()
    left, right = (
        points[:, [BLAZEPOSE_NAMES.index(f"{side}_{name}") for name in ("shoulder", "hip")]]
        for side in SIDES
    )
    common, either = torch.minimum(masks, body), torch.maximum(masks, body)
    return Outlines(
        ratios=(ratios.clamp(-MAX_RATIO, MAX_RATIO) * valid).float(),
        valid=valid,
        own=share.float(),
        axes=axes.float(),
        across=_unit((left - right) @ in_crop.mT).float(),
        confidence=torch.from_numpy(evidence.keypoints[:, LIMB_JOINTS, 2].mean(1)).float(),
        overlap=common.sum((1, 2)) / either.sum((1, 2)).clamp(min=1),
    )


def _mean_body(
    evidence: Evidence,
    rotations: Float[Tensor, "frames joints 3 3"],
    camera: Float[Tensor, "frames 3 3"],
    skin: BodyModel,
    reduced_body: ReducedBody,
) -> tuple[Float[Tensor, "frames keypoints 3"], Int[Tensor, "frames height width"]]:
    """Keypoints of the mean body where the person is, camera frame, and its parts in the crops."""
    betas = reduced_body.offsets.new_zeros(len(reduced_body.offset_basis))
    targets = Targets.from_evidence(evidence, reduced_body)
    variables = solve_translation(rotations.to(reduced_body.offsets), targets, reduced_body, betas)
    posed = skin(
        reduced_body.full_pose(variables).to(skin.template),
        skin.template.new_zeros(len(rotations), len(betas)),
        global_orient=variables.rotations[:, 0].to(skin.template),
        root_translation=variables.translation.to(skin.template),
    )
    size = MASK_SIZE * RENDERING
    to_pixels = torch.diag(camera.new_tensor([size, size, 1.0]))
    labels = part_labels(skin, posed.vertices, (to_pixels @ camera).float(), (size, size))
    return reduced_body.forward(variables).points[:, :NUM_KEYPOINTS], labels


def _lines(
    first: Float[Tensor, "frames segments 2"], last: Float[Tensor, "frames segments 2"]
) -> Float[Tensor, "frames lines samples 2"]:
    """Sample points along all lines, in the crop, 0…1."""
    along = _unit(last - first)
    normal = torch.stack((-along[..., 1], along[..., 0]), dim=-1)
    shares = torch.tensor([s for segment in SEGMENTS for s in segment.shares]).to(first)
    centers = _per_line(first) + shares[:, None] * _per_line(last - first)
    offsets = _offsets().to(first)[:, None]
    return centers[:, :, None] + offsets * _per_line(normal)[:, :, None]


def _by_segment(lines: Float[Tensor, "frames lines samples 2"]) -> tuple[Tensor, ...]:
    return lines.split([len(segment.shares) for segment in SEGMENTS], dim=1)


@dataclass(frozen=True, kw_only=True)
class _Breadths:
    """Runs inside an outline that contain the middles of lines."""

    low: Float[Tensor, "frames lines"]  # from the middle to the end before it, ≤ 0
    high: Float[Tensor, "frames lines"]
    inside: Bool[Tensor, "frames lines samples"]
    ends_inside: Bool[Tensor, "frames lines"]  # both ends are found

    @property
    def breadth(self) -> Float[Tensor, "frames lines"]:
        return self.high - self.low

    def ends_at(
        self, points: Float[Tensor, "frames lines samples 2"]
    ) -> Float[Tensor, "frames lines 2 2"]:
        middle = (points[:, :, 0] + points[:, :, -1]) / 2
        direction = (points[:, :, -1] - points[:, :, 0]) / (2 * REACH)
        return torch.stack(
            [middle + each[..., None] * direction for each in (self.low, self.high)], dim=2
        )


def _breadths(probability: Float[Tensor, "frames lines samples"]) -> _Breadths:
    """Runs of more than one half around the middle, ends interpolated between samples."""
    above = probability > 0.5
    half = probability.shape[-1] // 2
    left, right = above[..., :half].flip(-1), above[..., half:]
    runs = [side.to(torch.int64).cumprod(-1) for side in (left, right)]
    counts = [run.sum(-1) for run in runs]
    values = [probability[..., :half].flip(-1), probability[..., half:]]
    lengths = []
    for count, value in zip(counts, values, strict=True):
        after = count.clamp(max=half - 1)[..., None]
        before = (count - 1).clamp(min=0)[..., None]
        inner, outer = value.gather(-1, before)[..., 0], value.gather(-1, after)[..., 0]
        part = ((inner - 0.5) / (inner - outer).clamp(min=1e-3)).clamp(0, 1)
        lengths.append((count - 0.5 + part).clamp(min=0) * STEP)
    return _Breadths(
        low=-lengths[0],
        high=lengths[1],
        inside=torch.cat((runs[0].flip(-1), runs[1]), dim=-1) > 0,
        ends_inside=((counts[0] > 0) & (counts[1] > 0))
        & ((counts[0] < half) & (counts[1] < half)),
    )


@cache
def _offsets() -> Float[Tensor, " samples"]:
    half = torch.arange(0.5, round(REACH / STEP)).double() * STEP
    return torch.cat((-half.flip(0), half))


def _sampled(
    maps: Float[Tensor, "frames rows columns"], points: Float[Tensor, "frames lines samples 2"]
) -> Float[Tensor, "frames lines samples"]:
    grid = (2 * points - 1).to(maps)
    return grid_sample(maps[:, None], grid, align_corners=False)[:, 0]


def _cells(pixels: Float[Tensor, "frames height width"]) -> Float[Tensor, "frames rows columns"]:
    return avg_pool2d(pixels[:, None], RENDERING)[:, 0]


def _is_one_of(labels: Int[Tensor, "frames height width"], names: tuple[str, ...]) -> Tensor:
    return sum((labels == PART_NAMES.index(name)).float() for name in names)


def _ends_of_segments(points: Float[Tensor, "frames keypoints axes"]) -> tuple[Tensor, Tensor]:
    def middles(names: str) -> Tensor:
        return torch.stack(
            [
                points[:, [BLAZEPOSE_NAMES.index(n) for n in getattr(segment, names)]].mean(1)
                for segment in SEGMENTS
            ],
            dim=1,
        )

    return middles("start"), middles("end")


def _per_line(values: Tensor) -> Tensor:
    """Repeat values of segments for each of their lines."""
    return values.repeat_interleave(
        torch.tensor([len(segment.shares) for segment in SEGMENTS]), dim=1
    )


def _projected(
    points: Float[Tensor, "frames points 3"], camera: Float[Tensor, "frames 3 3"]
) -> Float[Tensor, "frames points 2"]:
    homogeneous = points.double() @ camera.double().mT
    return homogeneous[..., :2] / homogeneous[..., 2:].clamp(min=1e-3)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def _in_frame(
    points: Float[Tensor, "frames lines ends 2"],
    crops: Float[np.ndarray, "frames 4"],
    intrinsics: Float[np.ndarray, "frames 3 3"],
) -> Bool[Tensor, "frames lines"]:
    """Whether points of the crops lie in the full frame; the principal point is its middle."""
    flat = points.flatten(1, 2).numpy()
    pixels = transform_points(flat, image_from_crop(crops, 1))
    inside = (pixels > 0) & (pixels < 2 * intrinsics[:, None, :2, 2])
    return torch.from_numpy(inside.all(-1)).unflatten(1, (-1, 2)).all(-1)
