"""HUND over a clip: the stages frame by frame, then one build and a motion that hangs together.

The stages know nothing of time. What they say of all frames is brought together afterwards: one
build, poses that are likely to follow one another (the dynamics of the prior's latents), and a place
from which the steadied body is seen where the keypoints are.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.model import BodyModel
from hund_backend.descent.fit.fit import DescentResult
from hund_backend.descent.fit.initialization import placed
from hund_backend.descent.joint_confidence import joint_confidence
from hund_backend.descent.learned.evidence_loss import TERMS
from hund_backend.descent.learned.hund import Hund
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.descent.learned.smoothing import steadied
from hund_backend.descent.losses import keypoint_residuals
from hund_backend.descent.reduced_body import FitVariables, ReducedBody
from hund_backend.descent.state import State
from hund_backend.descent.targets import NUM_KEYPOINTS, Targets
from hund_backend.perception.evidence import Evidence
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.prior.smoothing import fill_gaps, smooth_latents

CONTEXT = 2  # frames before and after a gap: those that its steps start from and lead to


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """How far the stages' answers are trusted, frame by frame."""

    stages: int | None = None  # as many as the network was made for
    turn_noise: float = 0.15  # radians, of every joint
    turn_acceleration: float = 25.0  # rad/s²
    orient_noise: float = 0.08
    orient_acceleration: float = 25.0
    sideways_noise: float = 0.01  # metres
    depth_noise: float = 0.03  # of the distance
    acceleration: float = 6.0  # m/s², of the pelvis
    sight_bound: bool = True  # the place is where the keypoints are, not where the stages say
    likely: bool = (
        False  # poses by the dynamics in all frames, not in gaps alone: five times slower
    )
    latent_noise: float = 0.5  # for that


def descend(
    evidence: Evidence,
    intrinsics: Float[np.ndarray, "frames 3 3"],
    fps: float,
    hund: Hund,
    body: BodyModel,
    prior: PoseFlow,
    config: TrackConfig | None = None,
    *,
    dynamics: Dynamics | None = None,
) -> DescentResult:
    """States of a person over all frames of a track, by the learned descent.

    Args:
        evidence: what was seen.
        intrinsics: of the full frame, px.
        fps: frames a second.
        hund: the network.
        body: that it was made with.
        prior: that it was made with.
        config: of the steadying.
        dynamics: of the prior's latents; without them poses stay as the stages say.
    """
    config = config or TrackConfig()
    device = hund.start.device
    seen = NetworkInputs.of(evidence, intrinsics, hund.decoder.bones).to(str(device))
    told = hund.descend(seen, config.stages)
    stages = State(**{name: values.cpu() for name, values in vars(told.states).items()})
    prior = copy.deepcopy(prior).to("cpu")
    dynamics = None if dynamics is None else copy.deepcopy(dynamics).to("cpu")
    state = _steady(stages, evidence, prior, dynamics, fps, config)
    reduced_body = ReducedBody.from_body(body)
    targets = Targets.of(evidence, intrinsics, reduced_body)
    variables = _placed(state, targets, reduced_body, evidence.observed, fps, config)
    points = reduced_body.posed(variables).points[:, :NUM_KEYPOINTS]
    missed = keypoint_residuals(points, targets.intrinsics, targets.pixels, targets.crop_side)
    confidence = torch.from_numpy(evidence.keypoints[..., 2] * evidence.observed[:, None])
    return DescentResult(
        state=replace(state, root_translation=variables.translation.float()),
        stages=stages,
        stage_losses=told.terms.cpu(),
        terms=TERMS,
        joint_confidence=joint_confidence(missed.norm(dim=-1), confidence.double()).float(),
        converged=True,
    )


def _steady(
    stages: State,
    evidence: Evidence,
    prior: PoseFlow,
    dynamics: Dynamics | None,
    fps: float,
    config: TrackConfig,
) -> State:
    """The last stage's states with one build and without jitter, but for the place."""
    last = State(**{name: values[:, -1] for name, values in vars(stages).items()})
    betas = _one_build(last.betas, evidence)
    pose, orient = last.pose, last.global_orient
    if len(pose) > 2:
        observed = torch.from_numpy(evidence.observed.copy())
        pose = _steady_poses(pose, observed, prior, dynamics, fps, config)
        noise, acceleration = config.orient_noise, config.orient_acceleration
        orient = steady_turns(orient, evidence.observed, noise, acceleration, fps)
    betas = betas.expand(len(pose), -1)
    return replace(last, pose=pose, betas=betas, global_orient=orient)


def _placed(
    state: State,
    targets: Targets,
    reduced_body: ReducedBody,
    observed: Bool[np.ndarray, " frames"],
    fps: float,
    config: TrackConfig,
) -> FitVariables:
    """The body of all frames where the keypoints are, without jitter."""
    rotations = torch.cat((state.global_orient[:, None], state.pose), dim=1)
    rotations = rotations[:, list(reduced_body.moved)].double()
    place, betas = state.root_translation.double(), state.betas[0].double()
    if config.sight_bound:
        place = placed(rotations, targets, reduced_body, betas).translation
    if len(place) > 2:
        place = _steady_place(place, observed, fps, config)
    return FitVariables(rotations, place, betas)


def _one_build(
    betas: Float[Tensor, "frames betas"], evidence: Evidence
) -> Float[Tensor, " betas"]:
    """The mean of the frames, by how well each was seen."""
    seen = evidence.keypoints[..., 2].mean(axis=1) * evidence.observed
    weights = torch.from_numpy(seen).to(betas).square() + 1e-6
    return (weights[:, None] * betas).sum(0) / weights.sum()


def _steady_poses(
    pose: Float[Tensor, "frames joints 3 3"],
    observed: Bool[Tensor, " frames"],
    prior: PoseFlow,
    dynamics: Dynamics | None,
    fps: float,
    config: TrackConfig,
) -> Float[Tensor, "frames joints 3 3"]:
    """Poses that hang together; what was not seen is what the dynamics find likely."""
    if dynamics is not None and config.likely:
        trust = observed.float() / config.latent_noise**2
        latents = smooth_latents(dynamics, prior.latent(pose), trust, fps=fps, iterations=1)
        return prior.pose(latents)
    pose, joints, seen = pose.clone(), list(prior.joints), observed.numpy()
    for joint in joints:
        pose[:, joint] = steady_turns(
            pose[:, joint], seen, config.turn_noise, config.turn_acceleration, fps
        )
    if dynamics is not None:
        for gap in _gaps(observed):
            around = slice(max(gap.start - CONTEXT, 0), gap.stop + CONTEXT)
            latents = prior.latent(pose[around])
            pose[around] = prior.pose(fill_gaps(dynamics, latents, ~observed[around], fps=fps))
    return pose


def _gaps(observed: Bool[Tensor, " frames"]) -> list[slice]:
    """Stretches that were not seen."""
    ends = torch.nn.functional.pad(observed.int(), (1, 1), value=1).diff().nonzero()[:, 0]
    return [slice(int(start), int(stop)) for start, stop in ends.unflatten(0, (-1, 2))]


def steady_turns(
    rotations: Float[Tensor, "frames 3 3"],
    observed: Bool[np.ndarray, " frames"],
    noise: float,
    acceleration: float,
    fps: float,
) -> Float[Tensor, "frames 3 3"]:
    """Rotations without jitter: their entries steadied, and the nearest rotations to those.

    Args:
        rotations: of one joint.
        observed: frames in which they were.
        noise: radians.
        acceleration: rad/s².
        fps: frames a second.
    """
    steady = steadied(rotations.flatten(1).double().numpy(), observed, noise, acceleration, fps)
    matrices = torch.from_numpy(steady).unflatten(-1, (3, 3))
    return roma.special_procrustes(matrices).to(rotations)


def _steady_place(
    place: Float[Tensor, "frames 3"],
    observed: Bool[np.ndarray, " frames"],
    fps: float,
    config: TrackConfig,
) -> Float[Tensor, "frames 3"]:
    """Places without jitter; depths, which one picture hardly tells, are steadied most."""
    values = place.double().numpy()
    usual = float(np.median(values[:, 2]))
    slopes = values[:, :2] / values[:, 2:]
    pace = config.acceleration / usual  # as a slope, and of the depth's logarithm
    slopes = steadied(slopes, observed, config.sideways_noise / usual, pace, fps)
    depth = np.exp(steadied(np.log(values[:, 2:]), observed, config.depth_noise, pace, fps))
    return torch.from_numpy(np.concatenate((slopes * depth, depth), axis=1)).to(place)
