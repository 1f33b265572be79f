"""Fusion of hands with the body: fingers, wrists and arms where hands are seen, relaxed elsewhere.

Where a hand is seen, the arm takes the wrist to where the hand's own network sees it, the hand turns
as that network says, and forearm and wrist share the twist. Where it is not, the fingers relax and
the wrist stays the body's. Between the two everything moves over over a fifth of a second.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from ...body.hand import mirrored_rotations
from ...body.kinematics import forward_kinematics
from ...body.model import BodyModel
from ...body.rotations import matrix_to_rotvec, rotvec_to_matrix
from ...body.skeleton import (
    JOINT_INDEX,
    LEFT_HAND_JOINTS,
    PARENTS,
    RIGHT_HAND_JOINTS,
)
from ...perception.evidence import Evidence
from ...prior.limits import JointLimits
from ..easing import smoothstep
from ..learned.smoothing import smooth_curve, smooth_rotations
from ..result import DescentResult
from ..state import State
from .arm import Wrist, WristAngles, followed_twist, move_wrist
from .collisions import freed_fingers
from .hund import HandHund
from .track import HandTrack, relaxed_fingers, track_hands

_ARM_JOINTS = ("Upperarm", "Lowerarm", "Hand")
_SIZES = (0.75, 1.3)  # of people's hands over what their bodies tell
_HAND_JOINTS = (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS)


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """How hands and body are joined."""

    blend_seconds: float = 0.2  # over which a hand comes and goes
    bridged_seconds: float = 0.5  # longest gap in which a hand does not relax
    full_confidence: float = (
        0.8  # confidence from which the hand's network overrules the body's wrist
    )
    least_confidence: float = 0.4  # confidence up to which it does not
    max_offset: float = 0.1  # metres by which a wrist is moved sideways
    max_farther: float = 0.18  # metres by which it is moved in its distance
    offset_noise: float = 0.03  # metres, sideways
    distance_noise: float = 0.075  # share of the distance that the hand's size tells
    body_distance_noise: float = 0.15  # metres, of the body's wrist
    offset_acceleration: float = 6.0  # m/s²
    finger_noise: float = 0.1  # radians, of fingers that are seen for sure
    finger_acceleration: float = 40.0  # rad/s²
    wrist_noise: float = 0.2  # radians
    wrist_acceleration: float = 30.0  # rad/s²
    confidence_seconds: float = 0.1  # deviation of the filter over the confidence


def add_hands(
    evidence: Evidence,
    result: DescentResult,
    fps: float,
    body: BodyModel,
    hund: HandHund,
    config: FusionConfig | None = None,
) -> DescentResult:
    """Return a person's result with both hands.

    Args:
        evidence: of the person. Where `hands` is None, the fingers relax.
        result: descent of the body.
        fps: frames per second.
        body: body model.
        hund: network for hands.
        config: of the fusion.
    """
    config = config or FusionConfig()
    betas = result.state.betas[0].cpu()
    track = track_hands(evidence, betas, fps, hund)
    track = replace(track, places=_own_places(track, result.state, body))
    presence = _presence(evidence, track.seen, fps, config)
    weights = presence * _arm_weights(evidence, track, fps, config)
    pose = result.state.pose.cpu().double().clone()
    fingers = held_fingers(evidence, track, hund, fps, config)
    for side in range(2):
        pose[:, [joint - 1 for joint in _HAND_JOINTS[side]]] = fingers[:, side]
        if track.seen[:, side].any():
            pose = _move_arm(evidence, result.state, pose, track, weights, side, fps, body, config)
    state = replace(result.state, pose=pose.to(result.state.pose))
    return replace(
        result,
        state=state,
        stages=_stages(result.stages, track),
        joint_confidence=_confidence(result, track, presence),
    )


def held_fingers(
    evidence: Evidence, track: HandTrack, hund: HandHund, fps: float, config: FusionConfig
) -> Float[Tensor, "frames 2 15 3 3"]:
    """Return the rotations of all fingers in all frames, relaxed where hands are not seen.

    They are smooth over time, and no finger is in another or in the palm.

    Args:
        evidence: of the person.
        track: both hands.
        hund: network for hands.
        fps: frames per second.
        config: of the fusion.
    """
    presence = _presence(evidence, track.seen, fps, config).double()
    sides = []
    for side in range(2):
        smoothing = config.finger_noise, config.finger_acceleration, fps
        held = _held(evidence, track, track.fingers[:, side], side, smoothing)
        relaxed = relaxed_fingers(hund)[side].double().expand_as(held)
        fingers = _between(relaxed, held, presence[:, side, None])
        left = mirrored_rotations(fingers) if side else fingers
        left = freed_fingers(hund, left.float(), track.rest_points).double()
        sides.append(mirrored_rotations(left) if side else left)
    return torch.stack(sides, dim=1)


def _move_arm(
    evidence: Evidence,
    state: State,
    pose: Float[Tensor, "frames joints 3 3"],
    track: HandTrack,
    weights: Float[Tensor, "frames 2"],
    side: int,
    fps: float,
    body: BodyModel,
    config: FusionConfig,
) -> Float[Tensor, "frames joints 3 3"]:
    """Return the pose with the arm that leads to the hand as it is seen."""
    upper, lower, hand = (JOINT_INDEX[f"{name}{'LR'[side]}"] for name in _ARM_JOINTS)
    weight = weights[:, side].double()
    rotations = torch.cat((state.global_orient.cpu().double()[:, None], pose), dim=1)
    betas = state.betas.cpu().double()
    rest = body.rest_template.cpu().double() + torch.einsum(
        "fb,bjx->fjx", betas, body.joint_basis.cpu().double()
    )
    orientations, joints = forward_kinematics(rotations, rest, PARENTS)
    joints = joints + (state.root_translation.cpu().double() - joints[:, 0])[:, None]
    offset = _wrist_offset(evidence, joints[:, hand], track, weight, side, fps, config)
    turn, bend = move_wrist(
        joints[:, lower] - joints[:, upper], joints[:, hand] - joints[:, lower], offset
    )
    shoulder = orientations[:, PARENTS[upper]]
    upper_orientation = turn @ orientations[:, upper]
    lower_orientation = bend @ orientations[:, lower]
    moved = pose.clone()
    moved[:, upper - 1] = shoulder.mT @ upper_orientation
    moved[:, lower - 1] = upper_orientation.mT @ lower_orientation
    # Unseen wrists follow the body: they keep their orientation to the forearm.
    smoothing = config.wrist_noise, config.wrist_acceleration, fps
    wrists = _held(evidence, track, track.wrists[:, side, None], side, smoothing)[:, 0]
    local = lower_orientation.mT @ wrists
    limits = JointLimits(torch.float64)
    limited = limits.joints.index(lower - 1), limits.joints.index(hand - 1)
    arm = Wrist(limits, limited)
    own = arm.angles(moved[:, lower - 1], moved[:, hand - 1])
    seen = arm.angles(moved[:, lower - 1], local)
    own_twist, twist = own.twist.clone(), seen.twist.clone()
    for shot in evidence.shot_rows():
        own_twist[shot] = followed_twist(own.twist[shot], torch.ones_like(weight[shot]))
        twist[shot] = followed_twist(seen.twist[shot], weight[shot])
    # Angles are led from one to the other, since half a turn has two shortest ways.
    bend = own.bend + weight[:, None] * (seen.bend - own.bend)
    angles = WristAngles(bend, own_twist + weight * (twist - own_twist))
    forearm, wrist = arm.rotations(moved[:, lower - 1], angles)
    moved[:, lower - 1] = _between(moved[:, lower - 1], forearm, weight)
    moved[:, hand - 1] = _between(moved[:, hand - 1], wrist, weight)
    return moved


def _own_places(track: HandTrack, state: State, body: BodyModel) -> Float[Tensor, "frames 2 3"]:
    """Places of the hands, freed from half of what all frames share in their distances.

    A hand that is always farther than its wrist is not far but small: hands differ in size. Half of
    it is taken for a distance nevertheless, or all hands would be drawn too large over the footage.
    """
    if not track.seen.any():
        return track.places
    with torch.no_grad():
        wrists = state.posed(body).joints[:, [JOINT_INDEX[f"Hand{side}"] for side in "LR"], 2]
    ratio = (track.places[..., 2] / wrists.to(track.places))[track.seen].median()
    return track.places / ratio.clamp(*_SIZES).sqrt()


def _wrist_offset(
    evidence: Evidence,
    wrists: Float[Tensor, "frames 3"],
    track: HandTrack,
    weight: Float[Tensor, " frames"],
    side: int,
    fps: float,
    config: FusionConfig,
) -> Float[Tensor, "frames 3"]:
    """Offset from the body's wrist to where the hand is seen.

    Its direction is known well, its distance by the size of the hand and by the body. The error of
    the first grows with the distance: of a hand that is far away, the body knows more.
    """
    seen = track.seen[:, side].numpy()
    places, hand = wrists.numpy(), track.places[:, side].double().numpy()
    middles = track.middles[:, side].double().numpy()
    # The hand's middle is on its ray at any distance; unseen hands have no ray.
    rays = np.where(seen[:, None], hand + middles, places)
    rays = rays / np.maximum(rays[:, 2:], 0.05)
    noise = config.distance_noise * float(np.median(hand[seen, 2]))
    own = _smoothed(hand[:, 2:], seen, evidence, noise, fps, config)
    share = config.body_distance_noise**2 / (config.body_distance_noise**2 + noise**2)
    farther = share * (own - places[:, 2:])
    farther = rays * farther.clip(-config.max_farther, config.max_farther)
    offset = rays * (places + middles)[:, 2:] - middles - places
    length = np.linalg.norm(offset, axis=-1, keepdims=True)
    offset = farther + offset * np.minimum(1.0, config.max_offset / np.maximum(length, 1e-9))
    offset[~seen] = 0.0
    offset = _smoothed(offset, seen, evidence, config.offset_noise, fps, config)
    return weight[:, None] * torch.from_numpy(offset)


def _smoothed(
    values: Float[np.ndarray, "frames components"],
    seen: Bool[np.ndarray, " frames"],
    evidence: Evidence,
    noise: float,
    fps: float,
    config: FusionConfig,
) -> Float[np.ndarray, "frames components"]:
    """Values smoothed within each shot; those of unseen frames are led between the others."""
    smooth = values.copy()
    for shot in evidence.shot_rows():
        known = _interpolated(values[shot], seen[shot])
        smooth[shot] = smooth_curve(known, seen[shot], noise, config.offset_acceleration, fps)
    return smooth


def _interpolated(
    values: Float[np.ndarray, "frames components"], known: Bool[np.ndarray, " frames"]
) -> Float[np.ndarray, "frames components"]:
    """Values with those of other frames led on a straight line between the known ones."""
    if not known.any():
        return values
    frames, at = np.arange(len(values)), np.flatnonzero(known)
    return np.stack([np.interp(frames, at, column[at]) for column in values.T], axis=-1)


def _presence(
    evidence: Evidence, seen: Bool[Tensor, "frames 2"], fps: float, config: FusionConfig
) -> Float[Tensor, "frames 2"]:
    """How far each hand is that which is seen and not the relaxed one, 0…1, without steps.

    One where a hand is seen and in short gaps; from there it falls over the blend's time.
    """
    presence = np.zeros(seen.shape)
    width = max(config.blend_seconds * fps, 1.0)
    for shot in evidence.shot_rows():
        for side in range(2):
            at = np.flatnonzero(seen[shot, side].numpy())
            if len(at):
                distance = np.abs(np.arange(len(shot))[:, None] - at).min(axis=1)
                presence[shot, side] = smoothstep(1 - distance / width)
                for first, last in pairwise(at):
                    if last - first <= config.bridged_seconds * fps:
                        presence[shot[first:last], side] = 1
    return torch.from_numpy(presence).float()


def _arm_weights(
    evidence: Evidence, track: HandTrack, fps: float, config: FusionConfig
) -> Float[Tensor, "frames 2"]:
    """How far the hand's network overrules the body's wrist, by its confidence over time."""
    confidence = np.zeros(track.confidence.shape)
    for shot in evidence.shot_rows():
        for side in range(2):
            values = track.confidence[shot, side].double().numpy()[:, None]
            held = _interpolated(values, track.seen[shot, side].numpy())
            deviation = config.confidence_seconds * fps  # so that no flickering shakes the wrist
            confidence[shot, side] = gaussian_filter1d(held[:, 0], deviation, mode="nearest")
    share = (confidence - config.least_confidence) / (
        config.full_confidence - config.least_confidence
    )
    return torch.from_numpy(share.clip(0, 1)).float()


def _held(
    evidence: Evidence,
    track: HandTrack,
    rotations: Float[Tensor, "frames joints 3 3"],
    side: int,
    smoothing: tuple[float, float, float],
) -> Float[Tensor, "frames joints 3 3"]:
    """Rotations of a hand's joints in all frames of each shot, smooth in time.

    Those of unseen frames lead from the last to the next seen ones; doubtful ones count little.

    Args:
        evidence: of the person.
        track: both hands.
        rotations: of some joints of one.
        side: 0 for left, 1 for right.
        smoothing: noise, acceleration and rate of `smooth_rotations`.
    """
    rotations, seen = rotations.double().clone(), track.seen[:, side]
    weights = track.confidence[:, side].double().numpy()
    for shot in evidence.shot_rows():
        at = shot[seen[shot].numpy()]
        if not len(at):
            continue
        after = np.searchsorted(at, shot)
        first = at[np.clip(after - 1, 0, len(at) - 1)]
        last = at[np.clip(after, 0, len(at) - 1)]
        span = np.maximum(last - first, 1)
        share = np.clip((shot - first) / span, 0, 1)
        rotations[shot] = _between(
            rotations[first], rotations[last], torch.from_numpy(share)[:, None].to(rotations)
        )
        for joint in range(rotations.shape[1]):
            rotations[shot, joint] = smooth_rotations(
                rotations[shot, joint], weights[shot], *smoothing
            )
    return rotations


def _between(
    first: Float[Tensor, "*batch 3 3"],
    second: Float[Tensor, "*batch 3 3"],
    share: Float[Tensor, "*#batch"],
) -> Float[Tensor, "*batch 3 3"]:
    """Rotations on the shortest way from one to another."""
    way = matrix_to_rotvec(first.mT @ second)
    return first @ rotvec_to_matrix(share[..., None] * way)


def _stages(stages: State, track: HandTrack) -> State:
    """The body's stages with the fingers of the hand's stages; the last ones repeat."""
    pose = stages.pose.clone()
    number = torch.arange(pose.shape[1]).clamp(max=track.stage_fingers.shape[2] - 1)
    for side in range(2):
        fingers = torch.tensor([joint - 1 for joint in _HAND_JOINTS[side]])
        pose[:, :, fingers] = track.stage_fingers[:, side, number].to(pose)
    return replace(stages, pose=pose)


def _confidence(
    result: DescentResult, track: HandTrack, presence: Float[Tensor, "frames 2"]
) -> Float[Tensor, "frames 63"]:
    """Confidence of the joints: that of fingers is the hand's, which may raise the wrist's."""
    confidence = result.joint_confidence.clone()
    for side in range(2):
        own = (track.confidence[:, side] * presence[:, side]).to(confidence)
        confidence[:, list(_HAND_JOINTS[side])] = own[:, None]
        wrist = JOINT_INDEX[f"Hand{'LR'[side]}"]
        confidence[:, wrist] = confidence[:, wrist].maximum(own)
    return confidence
