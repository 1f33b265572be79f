"""Span fit: frames around pins are solved again; those outside of the span stay.

The solution at hand is the evidence of everything but the pins, which contradict it: keypoints are
expected at its projection, with the detector's confidence; its feet keep their contacts; the change
of the motion is smooth in time and ends at the span's border. What is solved for is thus the
likeliest change, and without pins there is none.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...body.camera import project
from ...body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from ...prior.limits import JointLimits
from ..body_contacts import BodyContacts
from ..joint_confidence import joint_keypoint_weights
from ..keypoints import NUM_KEYPOINTS, keypoint_weights
from ..reduced_body import REDUCED_JOINTS, FitVariables, ReducedBody
from ..targets import Targets
from .energy import Energy
from .solver import SolverConfig, minimize
from .terms.body_limits import JointLimitTerm, LimitsConfig
from .terms.contacts import NUM_POINTS, ContactConfig, ContactTerm
from .terms.evidence import KeypointTerm
from .terms.evidence_motion import KeypointStepTerm, PersistentNoise
from .terms.kernels import Robust
from .terms.motion import AccelerationConfig, AccelerationTerm
from .terms.pins import PinConfig, Pins, PinTerm
from .terms.place_anchor import PlaceAnchorTerm
from .terms.pose_anchor import PoseAnchor, PoseAnchorConfig, PoseAnchorTerm
from .terms.term import Term

_CROP = 1.25  # side of a crop around a person, of the larger extent of the keypoints


@dataclass(frozen=True, kw_only=True)
class SpanConfig:
    """Energy of a change, and its minimization."""

    pins: PinConfig = PinConfig()
    keypoints: Robust = Robust(weight=1.0, noise=0.008, cutoff=6.0)
    keypoint_steps: PersistentNoise = PersistentNoise(
        weight=0.3, noise=0.006, seconds=0.2, cutoff=6.0
    )
    # Accelerations of a change are far below those of the motion itself.
    acceleration: AccelerationConfig = AccelerationConfig(weight=1.0, noise=0.15, root_noise=0.15)
    anchor: PoseAnchorConfig = PoseAnchorConfig(noise=0.5, unobserved_noise=0.5)
    place_noise: float = 0.03  # metres: a limb is moved rather than the body
    contacts: ContactConfig = ContactConfig()
    limits: LimitsConfig = LimitsConfig()
    # A pin says that the detections of its joint are wrong, for some time before and after.
    seconds_doubted: float = 0.3
    # Pins are stiff: firm from the beginning, they would bend the limb before the body follows.
    schedule: tuple[float, ...] = (10.0, 1.0)  # factors of the pins' noise
    steps: SolverConfig = SolverConfig(iterations=8, damping=1e-4, tolerance=1e-3)
    context: int = 2  # fixed frames at either end, which the accelerations need


def fit_span(
    base: FitVariables,
    pins: Pins,
    confidence: Float[Tensor, "frames 33"],
    intrinsics: Float[Tensor, "frames 3 3"],
    fps: float,
    reduced_body: ReducedBody,
    *,
    contact_points: ReducedBody | None = None,
    contacts: BodyContacts | None = None,
    frozen: tuple[int, int] | None = None,
    config: SpanConfig | None = None,
) -> FitVariables:
    """Change a motion so that joints come to their pins.

    Deterministic, on the CPU, in double precision.

    Args:
        base: motion of the span, with the frames before and after it that stay.
        pins: in the frames between those.
        confidence: of the detected keypoints, 0…1.
        intrinsics: of the full frame, px.
        fps: rate of the frames.
        reduced_body: with BlazePose's keypoints.
        contact_points: the same body with the points of CONTACT_NAMES; they need contacts.
        contacts: of these points.
        frozen: number of frames at either end that stay; None: `config.context`.
        config: energy and steps.
    """
    config = config or SpanConfig()
    first, last = frozen or (config.context, config.context)
    posed = reduced_body.forward(base)
    observed = torch.ones(len(confidence), dtype=torch.bool)
    targets = _targets(posed.points[:, :NUM_KEYPOINTS], confidence, intrinsics, observed)
    doubted = _doubted(pins, len(confidence), fps, config.seconds_doubted)
    positions = Targets(**vars(targets) | {"confidence": targets.confidence * (1 - doubted)})
    anchor = PoseAnchor(
        rotations=base.rotations, unobserved=torch.zeros_like(base.rotations[..., 0, 0])
    )
    terms: list[Term] = [
        KeypointTerm(config=config.keypoints, targets=positions),
        PoseAnchorTerm(config=config.anchor, anchor=anchor),
        PlaceAnchorTerm(noise=config.place_noise, places=base.translation),
        JointLimitTerm(config=config.limits, limits=JointLimits(torch.float64)),
    ]
    is_coupled = len(confidence) > 2
    if is_coupled:
        terms += [
            KeypointStepTerm(config=config.keypoint_steps, targets=targets, fps=fps),
            AccelerationTerm(config=config.acceleration, fps=fps, reference=posed.joints),
        ]
    if is_coupled and contacts is not None and contact_points is not None:
        reference = contact_points.forward(base).points[:, :NUM_POINTS]
        terms.append(
            ContactTerm(
                config=config.contacts,
                contacts=contacts,
                points=contact_points,
                fps=fps,
                reference=reference,
            )
        )
    groups = torch.zeros(len(confidence), dtype=torch.int64)
    variables = base
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the blocks are small: more threads only wait for each other
    try:
        for factor in config.schedule:
            pin_term = PinTerm(
                config=config.pins.scaled(factor),
                pins=pins,
                intrinsics=intrinsics,
                crop_side=targets.crop_side,
            )
            energy = Energy(
                terms=(pin_term, *terms),
                reduced_body=reduced_body,
                prior=None,  # none of the terms needs latents
                coupled=is_coupled,
                frozen=first,
                frozen_end=last,
            )
            with torch.no_grad():
                variables = minimize(
                    energy.energies,
                    energy.normal_equations,
                    variables,
                    groups,
                    config.steps,
                    lambda: None,
                ).variables
    finally:
        torch.set_num_threads(threads)
    return variables


def _targets(
    points: Float[Tensor, "frames keypoints 3"],
    confidence: Float[Tensor, "frames keypoints"],
    intrinsics: Float[Tensor, "frames 3 3"],
    observed: Tensor,
) -> Targets:
    """Targets at which the motion at hand is expected."""
    pixels = project(points, intrinsics)
    extent = (pixels.amax(1) - pixels.amin(1)).amax(-1)
    return Targets(
        pixels=pixels,
        confidence=confidence * keypoint_weights().to(confidence),
        crop_side=(_CROP * extent).clamp(min=1.0),
        intrinsics=intrinsics,
        landmarks=torch.zeros_like(points),
        landmark_scale=torch.ones_like(confidence[:, 0]),
        observed=observed,
    )


def _doubted(
    pins: Pins, frames: int, fps: float, seconds: float
) -> Float[Tensor, "frames keypoints"]:
    """Fraction by which each keypoint is disregarded: those that lie on a pinned joint's segment."""
    doubted = torch.zeros(frames, NUM_KEYPOINTS, dtype=torch.float64)
    weights = joint_keypoint_weights()
    for frame, joint in zip(pins.frames.tolist(), pins.joints.tolist(), strict=True):
        distance = (torch.arange(frames, dtype=torch.float64) - frame) / (fps * seconds)
        share = torch.exp(-0.5 * distance.square())
        on_segment = weights[_segment(REDUCED_JOINTS[joint])].amax(0) > 0
        doubted = torch.maximum(doubted, share[:, None] * on_segment)
    return doubted


def _segment(name: str) -> list[int]:
    """A joint and those that it carries rigidly: a hand with its fingers, a foot with its ball."""
    segment = [JOINT_INDEX[name]]
    for joint, parent in enumerate(PARENTS):
        is_rigid = JOINT_NAMES[joint] not in REDUCED_JOINTS or JOINT_NAMES[joint][:-1] == "Ball"
        if parent in segment and is_rigid:
            segment.append(joint)
    return segment
