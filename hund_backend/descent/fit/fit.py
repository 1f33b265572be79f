"""Fit: states of a person over a whole track, by minimizing an energy.

The optimization variant of the flow priors' and GHUM's papers (Zanfir et al., 2020; Xu et al.,
2020), over all frames of a track at once: keyframes are fitted from several initial poses and agree
on one shape; then all frames are fitted together, coupled in time.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...body.model import BodyModel
from ...perception.evidence import Evidence
from ...prior.dynamics import Dynamics
from ...prior.limits import JointLimits
from ...prior.pose_prior import PosePrior
from ..body_contacts import BodyContacts
from ..expected_betas import ExpectedBetas
from ..joint_confidence import joint_confidence, unobserved_fraction
from ..keypoints import NUM_KEYPOINTS, keypoint_residuals
from ..reduced_body import FitVariables, ReducedBody
from ..result import DescentResult
from ..state import State
from ..targets import Targets
from ..translation import solve_translation
from .activity import ActivityConfig, local_accelerations
from .energy import TERMS, Energy, EnergyConfig, build_terms
from .initialization import initial_rotations
from .jacobian_cache import JacobianCache
from .keyframes import best_path, choose_keyframes, interpolate
from .parts.observed_parts import ObservedParts
from .parts.surface import Surface
from .solver import Minimum, SolverConfig, minimize
from .terms.betas import size_direction
from .terms.depth_anchor import DepthAnchor
from .terms.kernels import Robust
from .terms.pose_anchor import PoseAnchor
from .windows import Window, windows

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvidenceNoise:
    """Noise and cut-off of the 2D evidence, where they differ from the energy's own."""

    keypoint_noise: float
    keypoint_cutoff: float
    part_noise: float  # of the silhouette as well
    part_cutoff: float
    silhouette_cutoff: float | None = None  # None: the energy's own

    def applied_to(self, energy: EnergyConfig) -> EnergyConfig:
        """The energy with this noise."""
        silhouette = replace(energy.silhouette, noise=self.part_noise)
        if self.silhouette_cutoff is not None:
            silhouette = replace(silhouette, cutoff=self.silhouette_cutoff)
        return replace(
            energy,
            keypoints=replace(
                energy.keypoints, noise=self.keypoint_noise, cutoff=self.keypoint_cutoff
            ),
            parts=replace(energy.parts, noise=self.part_noise, cutoff=self.part_cutoff),
            silhouette=silhouette,
        )


@dataclass(frozen=True, kw_only=True)
class DepthEvidence:
    """Evidence of depth in the polish of a clip, metres.

    The stages have read the landmarks already, and these err by much the same amount in all frames:
    more frames do not make them more certain. The depths of the stages err less.
    """

    landmarks: Robust = Robust(weight=1.0, noise=0.25, cutoff=1.0)
    stages: Robust = Robust(weight=1.0, noise=0.08, cutoff=3.0)

    def applied_to(self, energy: EnergyConfig) -> EnergyConfig:
        """The energy with this evidence."""
        return replace(energy, landmarks=self.landmarks, depth_anchor=self.stages)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Energy, and the schedule of its minimization."""

    energy: EnergyConfig = EnergyConfig()
    # Pictures: the noise of a clip's keypoints averages out over time; in a picture the prior alone
    # would counter it, and draw every pose towards the mean.
    still: EvidenceNoise = EvidenceNoise(
        keypoint_noise=0.001,
        keypoint_cutoff=40.0,
        part_noise=0.001,
        part_cutoff=80.0,
        silhouette_cutoff=30.0,
    )
    # Their polish: what the stages know of depth is worth more than the last pixel.
    still_polish: EvidenceNoise = EvidenceNoise(
        keypoint_noise=0.003,
        keypoint_cutoff=13.0,
        part_noise=0.003,
        part_cutoff=27.0,
        silhouette_cutoff=10.0,
    )
    clip_polish: DepthEvidence = DepthEvidence()
    # Early stages: initial poses may be far off and must not be trapped.
    wide: EvidenceNoise = EvidenceNoise(
        keypoint_noise=0.012, keypoint_cutoff=15.0, part_noise=0.012, part_cutoff=30.0
    )
    keyframe_spacing: float = 0.3  # seconds
    max_keyframes: int = 120  # of the whole track, evenly spread
    visibility_refreshes: int = 3  # in each stage, if parts are aligned
    rigid_steps: SolverConfig = SolverConfig(iterations=6)
    initial_steps: SolverConfig = SolverConfig(iterations=12)
    shape_steps: SolverConfig = SolverConfig(iterations=12)
    coarse_steps: SolverConfig = SolverConfig(iterations=8)
    fine_steps: SolverConfig = SolverConfig(iterations=30)
    still_steps: SolverConfig = SolverConfig(iterations=80)
    polish_steps: SolverConfig = SolverConfig(iterations=2)
    # Contacts are stiff. Damped as much as the rest, they would not let the legs move; stiff from
    # the beginning, they would bend the legs before the body follows.
    contact_steps: SolverConfig = SolverConfig(iterations=1, damping=1e-4)
    contact_schedule: tuple[float, ...] = (0.02, 1.0)  # factors of the contacts' weight
    still_polish_steps: SolverConfig = SolverConfig(iterations=20)
    activity: ActivityConfig = ActivityConfig()
    window: int = 300  # frames that are fitted together, and at least twice the overlap
    overlap_seconds: float = 4 / 3  # of the next window that a window reads ahead


def fit(
    evidence: Evidence,
    fps: float,
    body: BodyModel,
    prior: PosePrior,
    config: FitConfig | None = None,
    report: Callable[[int], None] = lambda iteration: None,
    *,
    dynamics: Dynamics | None = None,
    skin: BodyModel | None = None,
    initial: State | None = None,
    contacts: BodyContacts | None = None,
    expected_betas: ExpectedBetas | None = None,
) -> DescentResult:
    """Fit the body to a person over all frames of a track, or polish given states.

    Deterministic. Computes on the CPU in double precision whatever the body's device: the problem
    is a narrow band of small blocks, too small for a GPU and too stiff for single precision.

    Args:
        evidence: of one person over a track.
        fps: true rate of the frames.
        body: a body model that has BlazePose's keypoints.
        prior: pose prior.
        config: energy and schedule.
        report: called with the number of each iteration; may raise to end the fit.
        dynamics: of the prior's latents; without them only accelerations are penalized.
        skin: the same body with faces ("low"); None disables part and silhouette terms.
        initial: states of all frames to polish; None fits from initial poses. The result of a polish
            has one stage, its end.
        contacts: of the body in polished states; these are settled on them.
        expected_betas: of the person, as outlines show them; None: the population's, in the polish
            of a picture those of the initial state.
    """
    config = config or FitConfig()
    fitter = _Fitter(
        evidence, fps, body, prior, config, report, dynamics, skin, contacts, expected_betas
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the blocks are small: more threads only wait for each other
    try:
        with torch.no_grad():
            if initial is None:
                return fitter.fit()
            return fitter.polish(initial) if contacts is None else fitter.settle(initial)
    finally:
        torch.set_num_threads(threads)


class _Fitter:
    """One fit: what is constant over its stages."""

    def __init__(
        self,
        evidence: Evidence,
        fps: float,
        body: BodyModel,
        prior: PosePrior,
        config: FitConfig,
        report: Callable[[int], None],
        dynamics: Dynamics | None,
        skin: BodyModel | None,
        contacts: BodyContacts | None,
        expected_betas: ExpectedBetas | None,
    ) -> None:
        self.config, self.fps = config, fps
        self.output = {"device": body.template.device, "dtype": body.template.dtype}
        self.reduced_body = ReducedBody.from_body(body)
        self.prior = copy.deepcopy(prior).to("cpu").to(torch.float64)
        self.dynamics = copy.deepcopy(dynamics)
        if self.dynamics is not None:
            self.dynamics = self.dynamics.to("cpu").to(torch.float64)
        self.limits = JointLimits(torch.float64)
        self.targets = Targets.from_evidence(evidence, self.reduced_body)
        self.surface: Surface | None = None
        self.parts: ObservedParts | None = None
        if skin is not None and config.energy.aligns_parts:
            self.surface = Surface.from_body(skin)
            self.parts = ObservedParts.from_evidence(evidence)
        self.frames = len(evidence.frames)
        self.is_still = self.frames <= 2
        self.energy = config.still.applied_to(config.energy) if self.is_still else config.energy
        confidence = evidence.keypoints[..., 2] * evidence.observed[:, None]
        self.confidence = torch.from_numpy(confidence.astype(np.float64))
        self.keyframes = choose_keyframes(
            self.targets.observed, config.keyframe_spacing * fps, config.max_keyframes
        )
        self.anchor: PoseAnchor | None = None  # of a polish
        self.depth_anchor: DepthAnchor | None = None  # of the same
        self.expected_betas = expected_betas
        self.activity: Tensor | None = None  # of a motion that is settled
        self.contacts = contacts
        self.contact_points = None if contacts is None else ReducedBody.contacts_from_body(body)
        self._report, self._iterations = report, 0

    def fit(self) -> DescentResult:
        """Keyframes from initial poses, one shape, then all frames: coarse, and fine."""
        config = self.config
        initial, fitted = self._fit_initial_poses()
        shaped = self._fit_shape(fitted, config.shape_steps)
        stages = [interpolate(each, self.keyframes, self.frames) for each in (initial, shaped)]
        fine = config.still_steps if self.is_still else config.fine_steps
        coarse = config.wide.applied_to(self.energy)
        converged = False
        for energy, steps in ((coarse, config.coarse_steps), (self.energy, fine)):
            variables, converged = self._fit_track(stages[-1], energy, steps)
            stages.append(variables)
        return self._result(stages, converged)

    def polish(self, initial: State) -> DescentResult:
        """One shape from the keyframes, then all frames, anchored to the initial states."""
        config = self.config
        steps = config.still_polish_steps if self.is_still else config.polish_steps
        variables = self._anchored(initial)
        shaped = self._fit_shape(variables.select(self.keyframes), steps)
        variables = variables._replace(betas=shaped.betas)
        variables, converged = self._fit_track(variables, self.energy, steps)
        return self._result([variables], converged)

    def settle(self, polished: State) -> DescentResult:
        """All frames with contacts, anchored to polished states; the shape stays."""
        variables = self._anchored(polished)
        joints = self.reduced_body.forward(variables).joints
        self.activity = local_accelerations(joints, self.fps, self.config.activity)
        caches: dict[int, JacobianCache] = {}  # poses change little from one pass to the next
        for factor in self.config.contact_schedule:
            weight = factor * self.energy.contacts.weight
            energy = replace(self.energy, contacts=replace(self.energy.contacts, weight=weight))
            variables, converged = self._fit_track(
                variables, energy, self.config.contact_steps, caches
            )
        return self._result([variables], converged)

    def _anchored(self, initial: State) -> FitVariables:
        """Variables of initial states, to which all frames are anchored from now on."""
        variables = self.reduced_body.variables_of(initial)
        self.anchor = PoseAnchor(
            rotations=variables.rotations, unobserved=unobserved_fraction(self.confidence)
        )
        self.depth_anchor = DepthAnchor.of(self.reduced_body.forward(variables))
        polish = self.config.still_polish if self.is_still else self.config.clip_polish
        self.energy = polish.applied_to(self.config.energy)
        self.expected_betas = self._expected_betas(variables.betas)
        return variables

    def _expected_betas(self, betas: Float[Tensor, " betas"]) -> ExpectedBetas:
        """Betas that are expected after the learned descent has found some."""
        weight = self.energy.betas_anchor
        if self.is_still and self.expected_betas is None:
            return ExpectedBetas.isotropic(betas, weight)
        known = (self.expected_betas or ExpectedBetas.of_population(betas)).to(betas)
        if self.is_still:
            return known.weighted(weight)
        # Keypoints determine the proportions, but not the size, which sets the distance.
        direction = size_direction(betas, self.reduced_body)
        precision = self.energy.size_anchor * torch.outer(direction, direction)
        return known.observed(betas, precision)

    def _fit_initial_poses(self) -> tuple[FitVariables, FitVariables]:
        """Each keyframe's best initial pose, and the same after its own fit."""
        keyframes = self.keyframes
        targets = self.targets.select(keyframes)
        poses = initial_rotations(targets, self.reduced_body, self.prior)
        betas = self.reduced_body.offsets.new_zeros(len(self.reduced_body.offset_basis))
        frames = keyframes.repeat(len(poses))
        initial = solve_translation(
            poses.flatten(0, 1), self.targets.select(frames), self.reduced_body, betas
        )
        energy = self._energy(frames, self.config.wide.applied_to(self.energy))
        groups = torch.arange(len(frames))
        rigid = replace(energy, rigid=True)
        moved = self._minimize(rigid, initial, groups, self.config.rigid_steps)
        minimum = self._minimize(energy, moved.variables, groups, self.config.initial_steps)
        joints = self.reduced_body.forward(minimum.variables).joints
        energies = minimum.energies.sum(-1).unflatten(0, (len(poses), -1))
        relative = (joints - joints[:, :1]).unflatten(0, (len(poses), -1))
        path = best_path(energies, relative, keyframes / self.fps)
        logger.debug("initial poses: %s", torch.bincount(path, minlength=len(poses)).tolist())
        chosen = path * len(keyframes) + torch.arange(len(keyframes))
        return initial.select(chosen), minimum.variables.select(chosen)

    def _fit_shape(self, variables: FitVariables, steps: SolverConfig) -> FitVariables:
        """Keyframes with one shape for all of them."""
        energy = replace(self._energy(self.keyframes, self.energy), solves_betas=True)
        one_group = torch.zeros(len(self.keyframes), dtype=torch.int64)
        return self._minimize(energy, variables, one_group, steps).variables

    def _fit_track(
        self,
        variables: FitVariables,
        config: EnergyConfig,
        steps: SolverConfig,
        caches: dict[int, JacobianCache] | None = None,
    ) -> tuple[FitVariables, bool]:
        """All frames, coupled in time, window by window; and whether all windows converged.

        Args:
            variables: initial ones.
            config: energy.
            steps: of the minimization.
            caches: of the prior's Jacobians by a window's first frame, filled and used again.
        """
        caches = {} if caches is None else caches
        rotations, translation = variables.rotations.clone(), variables.translation.clone()
        converged = True
        for window in self._windows():
            frames = torch.arange(window.start, window.stop)
            energy = self._energy(frames, config, fps=self.fps)
            energy = replace(energy, frozen=window.context)
            before = FitVariables(rotations[frames], translation[frames], variables.betas)
            one_group = torch.zeros(len(frames), dtype=torch.int64)
            cache = caches.setdefault(window.start, JacobianCache(self.prior))
            minimum = self._minimize(energy, before, one_group, steps, cache)
            kept = slice(window.start, window.keep)
            rotations[kept] = minimum.variables.rotations[: window.keep - window.start]
            translation[kept] = minimum.variables.translation[: window.keep - window.start]
            converged = converged and bool(minimum.converged.all())
        return FitVariables(rotations, translation, variables.betas), converged

    def _windows(self) -> list[Window]:
        overlap = round(self.config.overlap_seconds * self.fps)
        return windows(self.frames, max(self.config.window, 2 * overlap), overlap)

    def _result(self, stages: list[FitVariables], converged: bool) -> DescentResult:
        # By windows, so that a long track needs no more memory than one; their context lets the
        # terms in time see the neighbors.
        losses, residual_norms = [], []
        for window in self._windows():
            frames = torch.arange(window.start, window.stop)
            energy = self._energy(frames, self.energy, fps=self.fps)
            kept = slice(window.context, window.keep - window.start)
            inside = [stage.select(frames) for stage in stages]
            energies = [energy.refresh_visibility(each).energies(each)[kept] for each in inside]
            losses.append(torch.stack(energies, dim=1))
            points = self.reduced_body.forward(inside[-1]).points[:, :NUM_KEYPOINTS]
            targets = self.targets.select(frames)
            residuals = keypoint_residuals(
                points, targets.intrinsics, targets.pixels, targets.crop_side
            )
            residual_norms.append(residuals.norm(dim=-1)[kept])
        states = [self._state(stage) for stage in stages]
        confidence = joint_confidence(torch.cat(residual_norms), self.confidence)
        return DescentResult(
            state=states[-1],
            stages=State.stacked(states, dim=1),
            stage_losses=torch.cat(losses).to(**self.output),
            terms=TERMS,
            joint_confidence=confidence.to(**self.output),
            converged=converged,
        )

    def _state(self, variables: FitVariables) -> State:
        return State(
            pose=self.reduced_body.full_pose(variables).to(**self.output),
            betas=variables.betas.expand(self.frames, -1).to(**self.output),
            global_orient=variables.rotations[:, 0].to(**self.output),
            root_translation=variables.translation.to(**self.output),
        )

    def _energy(
        self, frames: Int[Tensor, " chosen"], config: EnergyConfig, fps: float | None = None
    ) -> Energy:
        """Energy of some frames; with a frame rate they are coupled in time."""
        targets = self.targets.select(frames)
        terms = build_terms(
            config,
            targets=targets,
            prior=self.prior,
            limits=self.limits,
            fps=fps,
            dynamics=self.dynamics,
            anchor=None if self.anchor is None else self.anchor.select(frames),
            depth_anchor=None if self.depth_anchor is None else self.depth_anchor.select(frames),
            expected_betas=self.expected_betas,
            contacts=None if self.contacts is None else self.contacts.select(frames),
            contact_points=self.contact_points,
            activity=None if self.activity is None else self.activity[frames],
            observed_parts=None if self.parts is None else self.parts.select(frames),
            surface=self.surface,
        )
        coupled = fps is not None and len(frames) > 2
        return Energy(
            terms=terms, reduced_body=self.reduced_body, prior=self.prior, coupled=coupled
        )

    def _minimize(
        self,
        energy: Energy,
        variables: FitVariables,
        groups: Int[Tensor, " frames"],
        steps: SolverConfig,
        cache: JacobianCache | None = None,
    ) -> Minimum:
        cache = cache or JacobianCache(self.prior)
        refreshes = self.config.visibility_refreshes if energy.aligns_parts else 1
        steps = replace(steps, iterations=-(-steps.iterations // refreshes))
        for _ in range(refreshes):
            energy = energy.refresh_visibility(variables)
            minimum = minimize(
                energy.energies,
                lambda at, energy=energy: energy.normal_equations(at, cache),
                variables,
                groups,
                steps,
                self._tick,
                with_betas=energy.solves_betas,
            )
            variables = minimum.variables
        return minimum

    def _tick(self) -> None:
        self._iterations += 1
        self._report(self._iterations)
