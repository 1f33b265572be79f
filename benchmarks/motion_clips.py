"""Clips of held-out motion for benchmarks: known bodies, cameras, contacts and detections.

Captured feet slide by 3–8 mm a frame on our body, so the truth is captured motion whose contacts
were made to hold: the soles that bear stay in place, and those on the floor lie on it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.captured_motion import CUTOFF, captured_motion
from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_rotvec
from hund_backend.descent.fit.energy import Energy
from hund_backend.descent.fit.linearization import EvaluationPoint, LinearizationPoint
from hund_backend.descent.fit.solver import NormalEquations, SolverConfig, minimize
from hund_backend.descent.fit.terms.contacts import ContactConfig, ContactTerm
from hund_backend.descent.fit.terms.evidence import KeypointTerm
from hund_backend.descent.fit.terms.kernels import Robust
from hund_backend.descent.fit.terms.pose_anchor import (
    PoseAnchor,
    PoseAnchorConfig,
    PoseAnchorTerm,
)
from hund_backend.descent.reduced_body import ReducedBody
from hund_backend.descent.sole_contacts import SoleContacts
from hund_backend.descent.state import State
from hund_backend.descent.targets import Targets
from hund_backend.perception.evidence import Evidence
from hund_backend.prior.coordinates import inverse_right_jacobian
from hund_backend.prior.pose_prior import PosePrior
from hund_backend.training.motion.filmed_motion import (
    Camera,
    filmed,
    leg_ratio,
    random_camera,
)
from hund_backend.training.motion.motion_set import MotionSet
from hund_backend.training.motion.simulated_detector import DetectorNoise, simulated_evidence
from hund_backend.training.motion.sole_labels import sole_labels, sole_points

SOFT_SECONDS = 1 / 30  # deviation by which true contacts are softened in time
FLOOR_TOLERANCE = 0.08  # metres: a sole in contact below this height is on the floor


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Frames of a clip of the motion set that no training has seen."""

    kind: str
    clip: str
    start: int
    frames: int


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
)


@dataclass(frozen=True, kw_only=True)
class MotionClip:
    """True motion of a person before a static camera, and simulated detections."""

    kind: str
    state: State  # camera frame
    joints: Float[np.ndarray, "frames 63 3"]
    keypoints: Float[np.ndarray, "frames 33 3"]
    soles: Float[np.ndarray, "frames 6 3"]
    contacts: Bool[np.ndarray, "frames 6"]
    up: Float[np.ndarray, "3"]
    floor: float  # height along `up`
    evidence: Evidence
    intrinsics: Float[np.ndarray, "3 3"]
    fps: float


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
    soles = sole_points(body, rotations, translation, betas)
    contacts = sole_labels(soles.double().numpy(), fps)
    heights = soles[..., 1].numpy()
    low = contacts & (heights < np.quantile(heights[contacts], 0.05) + FLOOR_TOLERANCE)
    floor = float(np.median(heights[low]))
    translation[:, 1] -= floor
    camera = place_camera(translation.numpy(), rng)
    intrinsics, up = camera.intrinsics, camera.up
    state = filmed(rotations, translation, betas, camera)
    # They begin and end softly, or the correction would jerk.
    bearing = contacts * gaussian_filter1d(contacts.astype(float), SOFT_SECONDS * fps, axis=0)
    held = SoleContacts(
        bearing=torch.from_numpy(bearing),
        on_floor=torch.from_numpy(bearing * low),
        over_floor=torch.ones(bearing.shape, dtype=torch.float64),
        up=torch.from_numpy(up),
        floor=-float(camera.position[1]),
    )
    state = _held(state, held, body, prior, intrinsics, fps)
    posed = state.posed(body)
    keypoints = body.keypoints(posed, "blazepose").double().numpy()
    return MotionClip(
        kind=segment.kind,
        state=state,
        joints=posed.joints.double().numpy(),
        keypoints=keypoints,
        soles=body.soles(posed).double().numpy(),
        contacts=contacts,
        up=up,
        floor=held.floor,
        evidence=simulated_evidence(keypoints, intrinsics, fps, rng, noise),
        intrinsics=intrinsics,
        fps=fps,
    )


def _held(
    state: State,
    contacts: SoleContacts,
    body: BodyModel,
    prior: PosePrior,
    intrinsics: Float[np.ndarray, "3 3"],
    fps: float,
) -> State:
    """The nearest states whose contacts hold."""
    reduced_body, soles = ReducedBody.from_body(body), ReducedBody.soles_from_body(body)
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
        ContactTerm(config=held, contacts=contacts, soles=soles, fps=fps),
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
