"""HUND over a clip: the stages frame by frame, then one build and a motion that hangs together.

The stages know nothing of time. What they say of all frames is brought together afterwards: one
build, poses that are likely to follow one another (the dynamics of the prior's latents), and a place
from which the steadied body is seen where the keypoints are.
"""

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hund_backend.body.model import BodyModel
from hund_backend.perception.evidence import Evidence
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.prior.smoothing import filled, smoothed_poses

from .certainty import joint_confidence
from .crop_evidence import CropEvidence
from .feedback import TERMS
from .fitting import FitResult
from .hund import Hund
from .losses import keypoint_residuals
from .puppet import Posture, Puppet
from .starts import placed
from .state import State
from .steadying import steadied
from .targets import NUM_KEYPOINTS, Targets


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """How far the stages' answers are trusted, frame by frame."""

    stages: int | None = None  # as many as the network was made for
    turn_noise: float = 0.08  # radians, of every joint on every axis
    orient_noise: float = 0.05
    orient_acceleration: float = 40.0  # rad/s²
    sideways_noise: float = 0.01  # metres
    depth_noise: float = 0.03  # of the distance
    acceleration: float = 6.0  # m/s², of the pelvis
    sight_bound: bool = True  # the place is where the keypoints are, not where the stages say


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
) -> FitResult:
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
    seen = CropEvidence.of(evidence, intrinsics, hund.marionette.bones).to(str(device))
    told = hund.descend(seen, config.stages)
    last = State(**{name: values[:, -1].cpu() for name, values in vars(told.states).items()})
    betas = _one_build(last.betas, evidence)
    observed = torch.from_numpy(evidence.observed.copy())
    moving = len(observed) > 2
    pose = last.pose
    if dynamics is not None and moving:
        pose = _likely_poses(pose, observed, prior, dynamics, fps, config.turn_noise)
    orient = last.global_orient
    if moving:
        orient = _steady_turns(orient, evidence.observed, fps, config)
    puppet = Puppet.cut_from(body)
    targets = Targets.of(evidence, intrinsics, puppet)
    rotations = torch.cat((orient[:, None], pose), dim=1)[:, list(puppet.moved)].double()
    place = last.root_translation.double()
    if config.sight_bound:
        place = placed(rotations, targets, puppet, betas.double()).translation
    if moving:
        place = _steady_place(place, evidence.observed, fps, config)
    posture = Posture(rotations, place, betas.double())
    points = puppet.posed(posture).points[:, :NUM_KEYPOINTS]
    missed = keypoint_residuals(points, targets.intrinsics, targets.pixels, targets.crop_side)
    confidence = torch.from_numpy(evidence.keypoints[..., 2] * evidence.observed[:, None])
    return FitResult(
        state=State(
            pose=pose,
            betas=betas.expand(len(pose), -1),
            global_orient=orient,
            root_translation=place.float(),
        ),
        stage_losses=told.terms.cpu(),
        terms=TERMS,
        joint_confidence=joint_confidence(missed.norm(dim=-1), confidence.double()).float(),
        converged=True,
    )


def _one_build(
    betas: Float[Tensor, "frames betas"], evidence: Evidence
) -> Float[Tensor, " betas"]:
    """The mean of the frames, by how well each was seen."""
    seen = evidence.keypoints[..., 2].mean(axis=1) * evidence.observed
    weights = torch.from_numpy(seen).to(betas).square() + 1e-6
    return (weights[:, None] * betas).sum(0) / weights.sum()


def _likely_poses(
    pose: Float[Tensor, "frames joints 3 3"],
    observed: Bool[Tensor, " frames"],
    prior: PoseFlow,
    dynamics: Dynamics,
    fps: float,
    noise: float,
) -> Float[Tensor, "frames joints 3 3"]:
    """The likeliest motion of which these are noisy poses; gaps are filled first."""
    if not observed.all():
        latents = filled(dynamics, prior.latent(pose), ~observed, fps=fps)
        pose = torch.where(observed[:, None, None, None], pose, prior.pose(latents))
    return smoothed_poses(dynamics, prior, pose, noise, fps=fps, rounds=2)


def _steady_turns(
    orient: Float[Tensor, "frames 3 3"],
    observed: Bool[np.ndarray, " frames"],
    fps: float,
    config: TrackConfig,
) -> Float[Tensor, "frames 3 3"]:
    """Orientations without jitter: their entries steadied, and the nearest rotations to those."""
    entries = orient.flatten(1).double().numpy()
    steady = steadied(entries, observed, config.orient_noise, config.orient_acceleration, fps)
    matrices = torch.from_numpy(steady).unflatten(-1, (3, 3))
    return roma.special_procrustes(matrices).to(orient)


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
