"""Clips of held-out motion for benchmarks: known bodies, cameras, contacts and detections.

Captured feet slide by 3–8 mm a frame on our body, so the truth is captured motion whose contacts
were made to hold: the points that bear stay in place, those on the floor lie on it, and who flies
falls with gravity. Walks are lifted step by step where there are stairs or a platform.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d, label
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.captured_motion import CUTOFF, captured_motion
from hund_backend.body.camera import project
from hund_backend.body.contact_points import CONTACT_NAMES
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_rotvec
from hund_backend.descent.body_contacts import BodyContacts
from hund_backend.descent.fit.energy import Energy
from hund_backend.descent.fit.linearization import EvaluationPoint, LinearizationPoint
from hund_backend.descent.fit.solver import NormalEquations, SolverConfig, minimize
from hund_backend.descent.fit.terms.contacts import ContactConfig, ContactTerm
from hund_backend.descent.fit.terms.evidence import KeypointTerm
from hund_backend.descent.fit.terms.flight import FlightConfig, FlightTerm
from hund_backend.descent.fit.terms.kernels import Robust
from hund_backend.descent.fit.terms.pose_anchor import (
    PoseAnchor,
    PoseAnchorConfig,
    PoseAnchorTerm,
)
from hund_backend.descent.reduced_body import ReducedBody
from hund_backend.descent.state import State
from hund_backend.descent.targets import Targets
from hund_backend.motion.levels import contact_levels
from hund_backend.perception.evidence import Evidence
from hund_backend.prior.coordinates import inverse_right_jacobian
from hund_backend.prior.pose_prior import PosePrior
from hund_backend.training.motion.contact_labels import contact_labels, contact_motion
from hund_backend.training.motion.filmed_motion import (
    Camera,
    filmed,
    leg_ratio,
    random_camera,
)
from hund_backend.training.motion.motion_set import MotionSet
from hund_backend.training.motion.simulated_detector import DetectorNoise, simulated_evidence

SOFT_SECONDS = 1 / 30  # deviation by which true contacts are softened in time
FLOOR_TOLERANCE = 0.08  # metres: a sole in contact below this height is on the floor
BODY_TOLERANCE = 0.15  # the same of hands, knees and seats, which differ more from body to body
SOLES = np.arange(len(CONTACT_NAMES)) < 6
LIFT_SECONDS = 0.15  # standard deviation: smoothness of the way up


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Frames of a clip of the motion set that no training has seen."""

    kind: str
    clip: str
    start: int
    frames: int
    step: float = 0.0  # metres by which each footfall is higher than the one before
    steps: int = 0  # after which footfalls stay on one level
    ride: float = 0.0  # m/s at which what bears the person moves across the view
    bounce: float = 0.0  # metres by which it gives way and rises again, once a second


SEGMENTS = (
    Segment(kind="walk", clip="cmu_eval8/train/walking/walking_2", start=0, frames=149),
    Segment(kind="walk", clip="cmu_eval8/train/walking_extra/walking_20", start=0, frames=120),
    Segment(kind="walk", clip="cmu_eval8/train/walking_extra/walking_29", start=0, frames=78),
    Segment(kind="run", clip="cmu_eval8/test/running/running_1", start=0, frames=40),
    Segment(kind="run", clip="cmu_subset/09_01", start=0, frames=30),
    Segment(kind="jump", clip="cmu_subset/13_40", start=0, frames=79),
    Segment(kind="jump", clip="cmu_subset/05_20", start=0, frames=120),
    Segment(kind="steps", clip="cmu_subset/14_34", start=0, frames=120),
    Segment(kind="squat", clip="cmu_subset/13_30", start=0, frames=150),
    Segment(kind="stand", clip="cmu_subset/13_09", start=0, frames=150),
    Segment(kind="dance", clip="cmu_subset/05_13", start=0, frames=120),
    Segment(kind="dance", clip="cmu_subset/05_12", start=100, frames=120),
    Segment(kind="kick", clip="deepmimic/humanoid3d_spinkick", start=0, frames=38),
    Segment(kind="busy", clip="cmu_subset/14_19", start=100, frames=120),
    Segment(
        kind="stairs",
        clip="cmu_eval8/train/walking/walking_2",
        start=0,
        frames=110,
        step=0.15,
        steps=5,
    ),
    Segment(
        kind="platform",
        clip="cmu_eval8/train/walking_extra/walking_20",
        start=0,
        frames=110,
        step=0.12,
        steps=2,
    ),
    Segment(kind="chair", clip="quaternius_ual_cc0/Sitting_Talking_Loop", start=0, frames=88),
    Segment(kind="chair", clip="quaternius_ual_cc0/Sitting_Enter", start=0, frames=39),
    Segment(kind="sit", clip="mesh2motion_cc0/Meditate", start=0, frames=46),
    Segment(kind="lie", clip="mesh2motion_cc0/Sleeping", start=0, frames=51),
    Segment(kind="push-up", clip="mesh2motion_cc0/Pushup", start=0, frames=47),
    Segment(kind="kneel", clip="mesh2motion_cc0/Kneeling Tired", start=0, frames=26),
    Segment(kind="cartwheel", clip="deepmimic/humanoid3d_cartwheel", start=0, frames=82),
    Segment(kind="ride", clip="cmu_subset/13_09", start=0, frames=120, ride=0.5),
    Segment(kind="bounce", clip="cmu_subset/13_09", start=0, frames=120, bounce=0.1),
)


@dataclass(frozen=True, kw_only=True)
class MotionClip:
    """True motion of a person before a static camera, and simulated detections."""

    kind: str
    state: State  # camera frame
    joints: Float[np.ndarray, "frames 63 3"]
    keypoints: Float[np.ndarray, "frames 33 3"]
    points: Float[np.ndarray, "frames 12 3"]  # of CONTACT_NAMES
    contacts: Bool[np.ndarray, "frames 12"]  # with what keeps its place
    up: Float[np.ndarray, "3"]
    floor: float  # height along `up`
    evidence: Evidence
    intrinsics: Float[np.ndarray, "3 3"]
    fps: float
    betas: Float[np.ndarray, "16"] | None = None
    flies: Bool[np.ndarray, " frames"] | None = None  # where nothing bears the person


@torch.no_grad()
def motion_clip(
    body: BodyModel,
    prior: PosePrior,
    motions: MotionSet,
    segment: Segment,
    seed: int,
    noise: DetectorNoise | None = None,
    place_camera: Callable[[np.ndarray, np.random.Generator], Camera] = random_camera,
    *,
    fps: float | None = None,
    cutoff: float | None = CUTOFF,
) -> MotionClip:
    """Return a segment played by a random body before a random camera, with detections.

    Args:
        body: with BlazePose's keypoints.
        prior: of poses.
        motions: the clips.
        segment: of one of them.
        seed: of body, camera and detections.
        noise: of the detector.
        place_camera: draws the camera.
        fps: frames a second; None for the motions' own.
        cutoff: Hz, above which motion counts as noise of its capture; None keeps all.
    """
    rng = np.random.default_rng([seed, len(segment.clip), segment.start])
    frames = range(segment.start, segment.start + segment.frames)
    fps = fps or motions.fps
    rotations, translation = captured_motion(motions, segment.clip, frames, fps, cutoff)
    betas = torch.from_numpy(0.6 * rng.normal(size=16)).float()
    translation = translation * leg_ratio(body, betas)
    motion = contact_motion(body, rotations, translation, betas)
    labels = contact_labels(motion, fps)
    contacts, heights = labels.contacts, motion.points[..., 1]
    low = contacts & (
        heights
        < np.quantile(heights[contacts], 0.05) + np.where(SOLES, FLOOR_TOLERANCE, BODY_TOLERANCE)
    )
    on_soles = low & SOLES if (low & SOLES).any() else low
    floor = float(np.median(heights[on_soles]))
    translation = translation.clone()
    translation[:, 1] -= floor
    steps = _steps(contacts, segment)
    lift = gaussian_filter1d(steps.mean(axis=1), LIFT_SECONDS * fps, mode="nearest")
    lift += segment.bounce * (np.cos(2 * np.pi * np.arange(len(lift)) / fps) - 1) / 2
    translation[:, 1] += torch.from_numpy(lift).float()
    camera = place_camera(translation.numpy(), rng)
    intrinsics, up = camera.intrinsics, camera.up
    state = filmed(rotations, translation, betas, camera)
    flies = labels.known & ~contacts.any(axis=1)
    on_level, levels = contact_levels(heights - floor + lift[:, None], contacts.astype(float))
    ground = -float(camera.position[1])
    # They begin and end softly, or the correction would jerk.
    bearing = contacts * gaussian_filter1d(contacts.astype(float), SOFT_SECONDS * fps, axis=0)
    soles = np.repeat(steps, 3, axis=1)
    levels[:, :6] = np.where(soles > 0, soles, levels[:, :6])
    on_level = np.where(low, 0.0, on_level)
    on_level[:, :6] = np.where(soles > 0, 1.0, on_level[:, :6])
    held = BodyContacts(
        bearing=torch.from_numpy(bearing),
        on_floor=torch.from_numpy(bearing * low * (on_level == 0)),
        over_floor=torch.ones(bearing.shape, dtype=torch.float64),
        on_level=torch.from_numpy(bearing * on_level),
        levels=torch.from_numpy(levels + ground),
        airborne=torch.from_numpy(flies.astype(float)),
        up=torch.from_numpy(up),
        floor=ground,
    )
    state = _held(state, held, body, prior, intrinsics, fps)
    if segment.ride or segment.bounce:  # what bears the person does not keep its place
        contacts = np.zeros_like(contacts)
        seconds = torch.arange(len(contacts)) / fps
        aside = segment.ride * (seconds - seconds.mean())
        moved = state.root_translation.clone()
        moved[:, 0] += aside
        state = replace(state, root_translation=moved)
    posed = state.posed(body)
    keypoints = body.keypoints(posed, "blazepose").double().numpy()
    return MotionClip(
        kind=segment.kind,
        state=state,
        joints=posed.joints.double().numpy(),
        keypoints=keypoints,
        points=body.contact_points(posed).double().numpy(),
        contacts=contacts,
        up=up,
        floor=held.floor,
        evidence=simulated_evidence(keypoints, intrinsics, fps, rng, noise),
        intrinsics=intrinsics,
        fps=fps,
        betas=betas.numpy(),
        flies=flies,
    )


def _steps(
    contacts: Bool[np.ndarray, "frames 12"], segment: Segment
) -> Float[np.ndarray, "frames 2"]:
    """Height of what is under each foot: each footfall is a step higher than the one before.

    Between two footfalls it is that of the next one.
    """
    feet = contacts[:, :6].reshape(-1, 2, 3).any(axis=-1)
    steps = np.zeros(feet.shape)
    falls = []
    for foot in range(2):
        runs, count = label(feet[:, foot])
        falls += [(np.flatnonzero(runs == run + 1), foot) for run in range(count)]
    ends = [0, 0]
    for number, (frames, foot) in enumerate(sorted(falls, key=lambda fall: fall[0][0])):
        steps[ends[foot] : frames[-1] + 1, foot] = segment.step * min(number, segment.steps)
        steps[frames[-1] + 1 :, foot] = steps[frames[-1], foot]
        ends[foot] = frames[-1] + 1
    return steps


def _held(
    state: State,
    contacts: BodyContacts,
    body: BodyModel,
    prior: PosePrior,
    intrinsics: Float[np.ndarray, "3 3"],
    fps: float,
) -> State:
    """The nearest states whose contacts hold."""
    reduced_body = ReducedBody.from_body(body)
    points = body.keypoints(state.posed(body), "blazepose")
    exact = _exact_evidence(points.double(), intrinsics)
    variables = reduced_body.variables_of(state)
    anchor = PoseAnchor(
        rotations=variables.rotations,
        unobserved=torch.zeros(variables.rotations.shape[:2]).double(),
    )
    held = ContactConfig(weight=1.0, cutoff=50.0)
    terms = (
        KeypointTerm(
            config=Robust(weight=1.0, noise=0.003, cutoff=50.0),
            targets=Targets.from_evidence(exact, reduced_body),
        ),
        PoseAnchorTerm(config=PoseAnchorConfig(noise=0.1), anchor=anchor),
        SmoothCorrection(
            rotations=variables.rotations, translation=variables.translation, fps=fps
        ),
        ContactTerm(
            config=held,
            contacts=contacts,
            points=ReducedBody.contacts_from_body(body),
            fps=fps,
        ),
        FlightTerm(config=FlightConfig(noise=0.02), contacts=contacts, fps=fps),
    )
    energy = Energy(terms=terms, reduced_body=reduced_body, prior=prior, coupled=True)
    groups = torch.zeros(len(points), dtype=torch.int64)
    steps = SolverConfig(iterations=8)
    variables = minimize(
        energy.energies, energy.normal_equations, variables, groups, steps, lambda: None
    ).variables
    rotations = variables.rotations.float()
    pose = state.pose.clone()
    pose[:, [joint - 1 for joint in reduced_body.joint_indices[1:]]] = rotations[:, 1:]
    return replace(
        state,
        pose=pose,
        global_orient=rotations[:, 0],
        root_translation=variables.translation.float(),
    )


@dataclass(frozen=True, kw_only=True)
class SmoothCorrection:
    """½ Σ ‖a / σ‖² of the accelerations a of rotations and translation from a reference.

    What holds the contacts must not shake the motion.
    """

    names: ClassVar = ("turning",)
    rigid_invariant: ClassVar = False
    rotations: Float[Tensor, "frames joints 3 3"]
    translation: Float[Tensor, "frames 3"]
    fps: float
    noise: float = 2.0  # m/s², and rad/s²

    def _deviations(
        self, at: EvaluationPoint
    ) -> tuple[Float[Tensor, "frames joints 3"], Float[Tensor, "frames 3"]]:
        turned = matrix_to_rotvec(self.rotations.mT @ at.variables.rotations)
        return turned, at.variables.translation - self.translation

    def energies(self, at: EvaluationPoint) -> tuple[Float[Tensor, " frames"], ...]:
        """Energy of each frame; zero in the first and the last."""
        turned, moved = self._deviations(at)
        values = torch.cat((turned.flatten(1), moved), dim=1) * self._scale
        return (pad(0.5 * _second_difference(values).square().sum(-1), (1, 1)),)

    def linearize(self, at: LinearizationPoint, equations: NormalEquations) -> None:
        """Add gradient and Gauss–Newton Hessian."""
        turned, moved = self._deviations(at)
        by_turn = inverse_right_jacobian(turned) * self._scale
        inner = len(turned) - 2
        equations.add_to_joints_in_time(
            _second_difference(turned) * self._scale,
            [
                factor * by_turn[first : first + inner]
                for first, factor in enumerate((1.0, -2.0, 1.0))
            ],
        )
        by_step = torch.zeros(len(turned), 3, equations.gradient.shape[1], dtype=turned.dtype)
        by_step[..., -3:] = at.posed.translation_jacobian * self._scale
        equations.add_in_time(
            _second_difference(moved) * self._scale,
            [
                factor * by_step[first : first + inner]
                for first, factor in enumerate((1.0, -2.0, 1.0))
            ],
        )

    @property
    def _scale(self) -> float:
        return self.fps**2 / self.noise


def _second_difference(values: Float[Tensor, " frames *rest"]) -> Float[Tensor, " inner *rest"]:
    return values[:-2] - 2 * values[1:-1] + values[2:]


def _exact_evidence(
    points: Float[Tensor, "frames 33 3"], intrinsics: Float[np.ndarray, "3 3"]
) -> Evidence:
    frames = len(points)
    repeated = np.repeat(intrinsics[None], frames, axis=0)
    pixels = project(points, torch.from_numpy(repeated)).numpy()
    side = 1.25 * np.ptp(pixels, axis=1).max(axis=1)
    ones = np.ones((frames, 33, 1))
    return Evidence(
        track_id=0,
        frames=np.arange(frames),
        observed=np.ones(frames, dtype=bool),
        keypoints=np.concatenate((pixels, ones), axis=-1),
        world_landmarks=points.numpy() - points.mean(1, keepdim=True).numpy(),
        crops=np.column_stack((pixels.mean(axis=1), side, np.zeros(frames))),
        intrinsics=repeated,
        masks=np.zeros((frames, 64, 64), np.uint8),
    )
