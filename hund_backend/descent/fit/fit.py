"""The fit: from a person's evidence over a whole clip to states, by energy minimisation.

The optimisation variant of the flow priors' and GHUM's papers (Zanfir et al., 2020; Xu et al.,
2020), over all frames of a track at once: keyframes find their way from several kinematic starts
and agree on one build; then all frames descend together, tied by motion.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hund_backend.body.model import BodyModel
from hund_backend.descent.fit.energy import TERMS, Energy, EnergyConfig
from hund_backend.descent.fit.initialization import initial_poses, placed
from hund_backend.descent.fit.jacobian_cache import JacobianCache
from hund_backend.descent.fit.keyframes import best_path, chosen_keyframes, interpolated
from hund_backend.descent.fit.linearization import linearize
from hund_backend.descent.fit.parts.observed_parts import ObservedParts
from hund_backend.descent.fit.parts.surface import Surface
from hund_backend.descent.fit.pose_anchor import PoseAnchor, unobserved_fraction
from hund_backend.descent.fit.solver import Descent, SolverConfig, minimize
from hund_backend.descent.fit.windows import windows
from hund_backend.descent.joint_confidence import joint_confidence
from hund_backend.descent.reduced_body import FitVariables, ReducedBody
from hund_backend.descent.state import State
from hund_backend.descent.targets import Targets
from hund_backend.perception.evidence import Evidence
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_prior import PosePrior

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """The energy and the schedule of its descent."""

    energy: EnergyConfig = field(default_factory=EnergyConfig)
    still_noise: float = 0.001  # of keypoints in tracks too short to tell noise from motion
    still_cutoff: float = 40.0
    still_parts_noise: float = (
        0.001  # of parts and silhouette, so that they keep up with the keypoints
    )
    still_parts_cutoff: float = 80.0
    still_silhouette_cutoff: float = 30.0
    keyframe_spacing: float = 0.3  # seconds
    max_keyframes: int = 120  # of the whole track, spread evenly
    wide_noise: float = 0.012  # of keypoints in early stages, so that starts do not lock in
    wide_cutoff: float = 15.0  # in early stages the right point may be far off
    wide_parts_noise: float = 0.012
    wide_parts_cutoff: float = 30.0
    looks: int = 3  # how often each stage looks at what the body shows, if it is to be aligned
    rigid_steps: SolverConfig = field(default_factory=lambda: SolverConfig(iterations=6))
    start_steps: SolverConfig = field(default_factory=lambda: SolverConfig(iterations=12))
    build_steps: SolverConfig = field(default_factory=lambda: SolverConfig(iterations=12))
    coarse_steps: SolverConfig = field(default_factory=lambda: SolverConfig(iterations=8))
    fine_steps: SolverConfig = field(default_factory=lambda: SolverConfig(iterations=30))
    still_steps: SolverConfig = field(default_factory=lambda: SolverConfig(iterations=80))
    polish_steps: SolverConfig = field(default_factory=lambda: SolverConfig(iterations=3))
    still_polish_steps: SolverConfig = field(default_factory=lambda: SolverConfig(iterations=20))
    window: int = 300  # frames that descend together
    overlap: int = 40  # frames of the next window that a window looks ahead


@dataclass(frozen=True)
class DescentResult:
    """What a fit answers."""

    state: State  # batch: frames
    stages: State  # batch: frames, stages; what was believed on the way
    stage_losses: Float[Tensor, "frames stages terms"]
    """Energies of the final objective after the start, the keyframes, the coarse and fine stage."""
    terms: tuple[str, ...]
    joint_confidence: Float[Tensor, "frames 63"]
    converged: bool


def fit(
    evidence: Evidence,
    intrinsics: Float[np.ndarray, "frames 3 3"],
    fps: float,
    body: BodyModel,
    prior: PosePrior,
    config: FitConfig | None = None,
    report: Callable[[int], None] = lambda iteration: None,
    *,
    dynamics: Dynamics | None = None,
    skin: BodyModel | None = None,
    start: State | None = None,
) -> DescentResult:
    """Fit the body to a person over all frames of a track.

    Deterministic. Works on the CPU in double precision whatever the body's device: the problem is
    a narrow band of small blocks, too small for a GPU and too stiff for single precision.

    Args:
        evidence: what was seen.
        intrinsics: of the full frame, px.
        fps: true rate of the frames.
        body: a body model that has BlazePose's keypoints.
        prior: how likely people take a pose.
        config: energy and schedule.
        report: told the number of each iteration; what it raises ends the fit.
        dynamics: how the prior's latents follow each other; without them only accelerations count.
        skin: the same body with faces ("low"); without it parts and silhouette have no say.
        start: states of all frames to polish; without them the fit finds its own. The answer of
            a polish has one stage, its end.
    """
    config = config or FitConfig()
    fitter = _Fitter(evidence, intrinsics, fps, body, prior, config, report, dynamics, skin)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the blocks are small: more threads only wait for each other
    try:
        with torch.no_grad():
            return fitter.result(start)
    finally:
        torch.set_num_threads(threads)


class _Fitter:
    """One fit: what stays the same through its stages."""

    def __init__(
        self,
        evidence: Evidence,
        intrinsics: Float[np.ndarray, "frames 3 3"],
        fps: float,
        body: BodyModel,
        prior: PosePrior,
        config: FitConfig,
        report: Callable[[int], None],
        dynamics: Dynamics | None,
        skin: BodyModel | None,
    ) -> None:
        self.config, self.fps = config, fps
        self.home = body.template.device, body.template.dtype
        self.reduced_body = ReducedBody.from_body(body)
        self.prior = copy.deepcopy(prior).to("cpu", torch.float64)
        self.dynamics = copy.deepcopy(dynamics)
        if self.dynamics is not None:
            self.dynamics = self.dynamics.to("cpu", torch.float64)
        self.limits = JointLimits(torch.float64)
        self.targets = Targets.of(evidence, intrinsics, self.reduced_body)
        self.surface = None
        if skin is not None and max(config.energy.parts, config.energy.silhouette) > 0:
            self.surface = Surface.from_body(skin)
            parts = ObservedParts.of(evidence, intrinsics)
            self.targets = replace(self.targets, parts=parts)
        self.frames = len(evidence.frames)
        self.is_still = self.frames <= 2
        self.energy = _still_energy(config) if self.is_still else config.energy
        confidence = evidence.keypoints[..., 2] * evidence.observed[:, None]
        self.seen = torch.from_numpy(confidence.astype(np.float64))
        self.anchor: PoseAnchor | None = None  # what is polished
        self._report, self._iterations = report, 0

    def result(self, start: State | None) -> DescentResult:
        """Go through the stages."""
        config = self.config
        keyframes = chosen_keyframes(
            self.targets.observed, config.keyframe_spacing * self.fps, config.max_keyframes
        )
        if start is None:
            variables_list = self._own_beginning(keyframes)
            fine = config.still_steps if self.is_still else config.fine_steps
            schedule = ((self._wide_energy(), config.coarse_steps), (self.energy, fine))
        else:
            polish = config.still_polish_steps if self.is_still else config.polish_steps
            begun = self.reduced_body.variables(start)
            self.anchor = PoseAnchor(rotations=begun.rotations, doubt=unobserved_fraction(self.seen))
            built = self._agreed_build(keyframes, begun.at(keyframes), polish)
            variables_list = [begun._replace(betas=built.variables.betas)]
            schedule = ((self.energy, polish),)
        for energy, steps in schedule:
            variables, converged = self._together(variables_list[-1], energy, steps)
            variables_list.append(variables)
        # Of a polish only the end is told: the stages are those of the descent that it began with.
        return self._answer(variables_list if start is None else variables_list[-1:], converged)

    def _own_beginning(self, keyframes: Int[Tensor, " keyframes"]) -> list[FitVariables]:
        """Where the best starts begin, and where the keyframes with one build come to."""
        started, descended = self._from_starts(keyframes)
        built = self._agreed_build(keyframes, descended, self.config.build_steps)
        return [interpolated(each, keyframes, self.frames) for each in (started, built.variables)]

    def _from_starts(
        self, keyframes: Int[Tensor, " keyframes"]
    ) -> tuple[FitVariables, FitVariables]:
        """Where the best start of each keyframe began, and where it came to."""
        targets = self.targets.at(keyframes)
        starts = initial_poses(targets, self.reduced_body, self.prior)
        betas = self.reduced_body.offsets.new_zeros(len(self.reduced_body.offset_basis))
        everywhere = torch.arange(len(keyframes)).repeat(len(starts))
        targets = targets.at(everywhere)
        started = placed(starts.flatten(0, 1), targets, self.reduced_body, betas)
        alone = self._objective(targets, self._wide_energy())
        groups = torch.arange(len(everywhere))
        rigid = replace(alone, rigid=True)
        moved = self._minimized(rigid, started, groups, self.config.rigid_steps)
        descent = self._minimized(alone, moved.variables, groups, self.config.start_steps)
        joints = self.reduced_body.posed(descent.variables).joints
        energies = descent.energies.sum(-1).unflatten(0, (len(starts), -1))
        relative = (joints - joints[:, :1]).unflatten(0, (len(starts), -1))
        path = best_path(energies, relative, keyframes / self.fps)
        logger.debug("starts chosen: %s", torch.bincount(path, minlength=len(starts)).tolist())
        chosen = path * len(keyframes) + torch.arange(len(keyframes))
        return started.at(chosen), descent.variables.at(chosen)

    def _agreed_build(
        self, keyframes: Int[Tensor, " keyframes"], variables: FitVariables, steps: SolverConfig
    ) -> Descent:
        """The keyframes' postures with one build for all of them."""
        alone = self._objective_at(keyframes, self.energy)
        alone = replace(alone, solves_betas=True)
        together = torch.zeros(len(keyframes), dtype=torch.int64)
        return self._minimized(alone, variables, together, steps)

    def _together(
        self, variables: FitVariables, energy: EnergyConfig, steps: SolverConfig
    ) -> tuple[FitVariables, bool]:
        """All frames descended, tied by motion, window by window; and whether all arrived."""
        rotations, translation = variables.rotations.clone(), variables.translation.clone()
        arrived = True
        for window in windows(self.frames, self.config.window, self.config.overlap):
            inside = torch.arange(window.start, window.stop)
            objective = self._objective_at(inside, energy, fps=self.fps)
            objective = replace(objective, frozen=window.tied)
            here = FitVariables(rotations[inside], translation[inside], variables.betas)
            groups = torch.zeros(len(inside), dtype=torch.int64)
            descent = self._minimized(objective, here, groups, steps)
            kept = slice(window.start, window.keep)
            rotations[kept] = descent.variables.rotations[: window.keep - window.start]
            translation[kept] = descent.variables.translation[: window.keep - window.start]
            arrived = arrived and bool(descent.converged.all())
        return FitVariables(rotations, translation, variables.betas), arrived

    def _answer(self, variables_list: list[FitVariables], converged: bool) -> DescentResult:
        variables = variables_list[-1]
        # Chunks, so that a long track needs no more memory than a window; two frames more on
        # either side let the terms in time see their neighbours.
        losses, residual_norms = [], []
        for window in windows(self.frames, self.config.window, self.config.overlap):
            inside = torch.arange(window.start, window.stop)
            objective = self._objective_at(inside, self.energy, fps=self.fps)
            kept = slice(window.tied, window.keep - window.start)
            energies = [
                objective.looking(stage.at(inside)).energies(stage.at(inside))[kept]
                for stage in variables_list
            ]
            losses.append(torch.stack(energies, dim=1))
            figure = self.reduced_body.posed(variables.at(inside))
            residual_norms.append(objective.keypoint_residuals(figure).norm(dim=-1)[kept])
        home = {"device": self.home[0], "dtype": self.home[1]}
        stages = [self._state(stage) for stage in variables_list]
        return DescentResult(
            state=stages[-1],
            stages=State.stacked(stages, dim=1),
            stage_losses=torch.cat(losses).to(**home),
            terms=TERMS,
            joint_confidence=joint_confidence(torch.cat(residual_norms), self.seen).to(**home),
            converged=converged,
        )

    def _state(self, variables: FitVariables) -> State:
        home = {"device": self.home[0], "dtype": self.home[1]}
        return State(
            pose=self.reduced_body.pose(variables).to(**home),
            betas=variables.betas.expand(self.frames, -1).to(**home),
            global_orient=variables.rotations[:, 0].to(**home),
            root_translation=variables.translation.to(**home),
        )

    def _wide_energy(self) -> EnergyConfig:
        config = self.config
        return replace(
            self.energy,
            keypoint_noise=config.wide_noise,
            keypoint_cutoff=config.wide_cutoff,
            parts_noise=config.wide_parts_noise,
            parts_cutoff=config.wide_parts_cutoff,
            silhouette_noise=config.wide_parts_noise,
        )

    def _objective_at(
        self, frames: Int[Tensor, " chosen"], energy: EnergyConfig, fps: float | None = None
    ) -> Energy:
        """That of some frames, with what was believed of them."""
        objective = self._objective(self.targets.at(frames), energy, fps)
        return replace(objective, anchor=self.anchor and self.anchor.at(frames))

    def _objective(
        self, targets: Targets, energy: EnergyConfig, fps: float | None = None
    ) -> Energy:
        return Energy(
            reduced_body=self.reduced_body,
            prior=self.prior,
            dynamics=self.dynamics,
            surface=self.surface,
            limits=self.limits,
            targets=targets,
            config=energy,
            fps=fps,
        )

    def _minimized(
        self,
        objective: Energy,
        variables: FitVariables,
        groups: Int[Tensor, " frames"],
        steps: SolverConfig,
    ) -> Descent:
        slopes = JacobianCache(objective.prior)
        looks = self.config.looks if objective.aligns else 1
        steps = replace(steps, iterations=-(-steps.iterations // looks))
        for _ in range(looks):
            looking = objective.looking(variables)
            descent = minimize(
                looking.energies,
                lambda here, looking=looking: linearize(looking, here, slopes),
                variables,
                groups,
                steps,
                self._tick,
                with_betas=objective.solves_betas,
            )
            variables = descent.variables
        return descent

    def _tick(self) -> None:
        self._iterations += 1
        self._report(self._iterations)


def _still_energy(config: FitConfig) -> EnergyConfig:
    """Believe the keypoints of a picture: nothing else says where the limbs are.

    The noise of a clip's keypoints averages out over time; in a picture the prior alone would
    answer it, and draws every pose towards the mean.
    """
    return replace(
        config.energy,
        keypoint_noise=config.still_noise,
        keypoint_cutoff=config.still_cutoff,
        parts_noise=config.still_parts_noise,
        parts_cutoff=config.still_parts_cutoff,
        silhouette_noise=config.still_parts_noise,
        silhouette_cutoff=config.still_silhouette_cutoff,
    )
