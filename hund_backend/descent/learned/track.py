"""HUND over a track: the stages frame by frame, then one shape and a smooth motion.

The stages know nothing of time. Their states of all frames are combined afterwards: one shape,
smoothed rotations with gaps filled by the dynamics of the prior's latents, and a translation that
brings the smoothed body to the keypoints.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...body.model import BodyModel
from ...perception.evidence import Evidence
from ...prior.dynamics import Dynamics
from ...prior.pose_flow import PoseFlow
from ...prior.smoothing import fill_gaps, smooth_latents
from ..joint_confidence import joint_confidence
from ..keypoints import NUM_KEYPOINTS, keypoint_residuals
from ..reduced_body import FitVariables, ReducedBody
from ..result import DescentResult
from ..state import State
from ..targets import Targets
from ..translation import solve_translation
from .hund import TERMS, Hund
from .inputs import NetworkInputs
from .smoothing import smooth_curve, smooth_rotations

_GAP_CONTEXT = 2  # frames before and after a gap that its transitions start from and lead to


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """Noise of the stages' states, and typical accelerations."""

    stages: int | None = None  # None: as many as the network was trained with
    rotation_noise: float = 0.15  # radians, of every joint
    angular_acceleration: float = 25.0  # rad/s²
    orient_noise: float = 0.08  # radians
    orient_acceleration: float = 25.0  # rad/s²
    sideways_noise: float = 0.01  # metres
    depth_noise: float = 0.03  # of the distance
    acceleration: float = 6.0  # m/s², of the pelvis
    solves_translation: bool = True  # from the keypoints, instead of taking the stages'
    smooths_latents: bool = False  # by the dynamics in all frames: five times slower
    latent_noise: float = 0.5  # for that


def descend(
    evidence: Evidence,
    fps: float,
    hund: Hund,
    body: BodyModel,
    prior: PoseFlow,
    config: TrackConfig | None = None,
    *,
    dynamics: Dynamics | None = None,
) -> DescentResult:
    """States of a person over all frames of a track, by learned descent.

    Args:
        evidence: of one person over a track.
        fps: frames per second.
        hund: the network.
        body: body model that it was trained with.
        prior: pose prior that it was trained with.
        config: of the smoothing.
        dynamics: of the prior's latents; without them gaps keep the stages' poses.
    """
    config = config or TrackConfig()
    device = hund.mean_state.device
    inputs = NetworkInputs.from_evidence(evidence, hund.decoder.bones).to(str(device))
    descent = hund.descend(inputs, config.stages)
    stages = State(**{name: values.cpu() for name, values in vars(descent.states).items()})
    prior = copy.deepcopy(prior).to("cpu")
    dynamics = None if dynamics is None else copy.deepcopy(dynamics).to("cpu")
    state = _smooth_state(stages, evidence, prior, dynamics, fps, config)
    reduced_body = ReducedBody.from_body(body)
    targets = Targets.from_evidence(evidence, reduced_body)
    variables = _translated(state, targets, reduced_body, evidence.observed, fps, config)
    points = reduced_body.forward(variables).points[:, :NUM_KEYPOINTS]
    residuals = keypoint_residuals(points, targets.intrinsics, targets.pixels, targets.crop_side)
    confidence = torch.from_numpy(evidence.keypoints[..., 2] * evidence.observed[:, None])
    return DescentResult(
        state=replace(state, root_translation=variables.translation.float()),
        stages=stages,
        stage_losses=descent.terms.cpu(),
        terms=TERMS,
        joint_confidence=joint_confidence(residuals.norm(dim=-1), confidence.double()).float(),
        converged=True,
    )


def _smooth_state(
    stages: State,
    evidence: Evidence,
    prior: PoseFlow,
    dynamics: Dynamics | None,
    fps: float,
    config: TrackConfig,
) -> State:
    """The last stage's states with one shape and smooth rotations; translations as they are."""
    last = State(**{name: values[:, -1] for name, values in vars(stages).items()})
    betas = _mean_betas(last.betas, evidence)
    pose, orient = last.pose, last.global_orient
    if len(pose) > 2:
        observed = torch.from_numpy(evidence.observed.copy())
        pose = _smooth_poses(pose, observed, prior, dynamics, fps, config)
        noise, acceleration = config.orient_noise, config.orient_acceleration
        orient = smooth_rotations(orient, evidence.observed, noise, acceleration, fps)
    betas = betas.expand(len(pose), -1)
    return replace(last, pose=pose, betas=betas, global_orient=orient)


def _translated(
    state: State,
    targets: Targets,
    reduced_body: ReducedBody,
    observed: Bool[np.ndarray, " frames"],
    fps: float,
    config: TrackConfig,
) -> FitVariables:
    """Variables with smooth translations that match the keypoints."""
    rotations = torch.cat((state.global_orient[:, None], state.pose), dim=1)
    rotations = rotations[:, list(reduced_body.joint_indices)].double()
    translation, betas = state.root_translation.double(), state.betas[0].double()
    if config.solves_translation:
        variables = solve_translation(rotations, targets, reduced_body, betas)
        translation = variables.translation
    if len(translation) > 2:
        translation = _smooth_translation(translation, observed, fps, config)
    return FitVariables(rotations, translation, betas)


def _mean_betas(
    betas: Float[Tensor, "frames betas"], evidence: Evidence
) -> Float[Tensor, " betas"]:
    """Mean over the frames, weighted by squared keypoint confidence."""
    confidence = evidence.keypoints[..., 2].mean(axis=1) * evidence.observed
    weights = torch.from_numpy(confidence).to(betas).square() + 1e-6
    return (weights[:, None] * betas).sum(0) / weights.sum()


def _smooth_poses(
    pose: Float[Tensor, "frames joints 3 3"],
    observed: Bool[Tensor, " frames"],
    prior: PoseFlow,
    dynamics: Dynamics | None,
    fps: float,
    config: TrackConfig,
) -> Float[Tensor, "frames joints 3 3"]:
    """Smoothed poses; gaps filled by the dynamics."""
    if dynamics is not None and config.smooths_latents:
        precision = observed.float() / config.latent_noise**2
        latents = smooth_latents(dynamics, prior.latent(pose), precision, fps=fps, iterations=1)
        return prior.pose(latents)
    pose = pose.clone()
    noise, acceleration = config.rotation_noise, config.angular_acceleration
    for joint in prior.joints:
        pose[:, joint] = smooth_rotations(
            pose[:, joint], observed.numpy(), noise, acceleration, fps
        )
    if dynamics is not None:
        for gap in _gaps(observed):
            frames = slice(max(gap.start - _GAP_CONTEXT, 0), gap.stop + _GAP_CONTEXT)
            latents = prior.latent(pose[frames])
            pose[frames] = prior.pose(fill_gaps(dynamics, latents, ~observed[frames], fps=fps))
    return pose


def _gaps(observed: Bool[Tensor, " frames"]) -> list[slice]:
    """Runs of unobserved frames."""
    ends = torch.nn.functional.pad(observed.int(), (1, 1), value=1).diff().nonzero()[:, 0]
    return [slice(int(start), int(stop)) for start, stop in ends.unflatten(0, (-1, 2))]


def _smooth_translation(
    translation: Float[Tensor, "frames 3"],
    observed: Bool[np.ndarray, " frames"],
    fps: float,
    config: TrackConfig,
) -> Float[Tensor, "frames 3"]:
    """Smooth x / z, y / z and log z; the depth, the least certain of the three, the most."""
    values = translation.double().numpy()
    median_depth = float(np.median(values[:, 2]))
    slopes = values[:, :2] / values[:, 2:]
    acceleration = config.acceleration / median_depth  # of the slopes, and of log z
    noise = config.sideways_noise / median_depth
    slopes = smooth_curve(slopes, observed, noise, acceleration, fps)
    log_depth = np.log(values[:, 2:])
    depth = np.exp(smooth_curve(log_depth, observed, config.depth_noise, acceleration, fps))
    return torch.from_numpy(np.concatenate((slopes * depth, depth), axis=1)).to(translation)
