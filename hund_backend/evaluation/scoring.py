"""Scores of a method on a kit: estimates against the truth, with confidence intervals."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from .kits import Kit, KitFrame
from .metrics import bootstrap_interval, mean_of, mpjpe_mm, pa_mpjpe_mm, pck_hits, segment_px

HIPS = ("left_hip", "right_hip")
ROOT = "pelvis"
HEAD_SEGMENT = ("head_top", "neck")
# Diagonals of the trunk: LSP's convention, and the one to use where a joint of it is unknown.
TORSO_DIAGONALS = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))
BLOCK_FRAMES = 30  # frames of a clip that are resampled together: about a second
METRICS = {  # key → unit, description
    "mpjpe_mm": ("mm", "mean per-joint position error, roots (middle of the hips) aligned"),
    "pa_mpjpe_mm": ("mm", "the same after the best rotation, scale and translation"),
    "pck_head_50": ("%", "keypoints within 0.5 of the head segment (neck to top of the head)"),
    "pck_torso_50": ("%", "keypoints within 0.5 of the torso's diagonal (shoulder to other hip)"),
    "pck_torso_20": ("%", "keypoints within 0.2 of the torso's diagonal"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """A method's estimates of the person in each frame, joints in the kit's order.

    NaN where the method does not define a joint and where it found nobody.
    """

    method: str
    defined: frozenset[str]  # joints it can be scored on
    found: Bool[np.ndarray, " frames"]
    joints_px: Float[np.ndarray, "frames joints 2"]
    joints_mm: Float[np.ndarray, "frames joints 3"]  # camera frame, or relative to its root


@dataclass(frozen=True, kw_only=True, eq=False)
class Score:
    """Mean over frames with its 95 % confidence interval."""

    per_frame: Float[np.ndarray, " frames"]  # NaN where a frame cannot be scored
    weights: Float[np.ndarray, " frames"]
    mean: float
    low: float
    high: float

    @property
    def num_frames(self) -> int:
        """Number of frames that could be scored."""
        return int((np.isfinite(self.per_frame) & (self.weights > 0)).sum())


def scored_joints(kit: Kit, *methods: Estimates) -> tuple[str, ...]:
    """Return the joints that the kit and all methods define, in the kit's order."""
    return tuple(n for n in kit.joint_names if all(n in method.defined for method in methods))


def score(kit: Kit, estimates: Estimates, joints: tuple[str, ...]) -> dict[str, Score]:
    """Return the scores of `METRICS` that the kit's truth allows, over some of its joints."""
    values = _score_3d(kit, estimates, joints) | _score_2d(kit, estimates, joints)
    groups = frame_groups(kit.frames)
    scores = {}
    for key, (per_frame, weights) in values.items():
        if (np.isfinite(per_frame) & (weights > 0)).any():
            low, high = bootstrap_interval(per_frame, groups, weights)
            mean = mean_of(per_frame, weights)
            scores[key] = Score(
                per_frame=per_frame, weights=weights, mean=mean, low=low, high=high
            )
    return scores


def frame_groups(frames: tuple[KitFrame, ...]) -> Int[np.ndarray, " frames"]:
    """Return each frame's group for resampling: pictures one by one, clips by the second."""
    keys = [(str(frame.path), (frame.number or 0) // BLOCK_FRAMES) for frame in frames]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


def truth_px(kit: Kit) -> tuple[Float[np.ndarray, "frames joints 2"], np.ndarray]:
    """Return true keypoints of all frames, px, and which of them are known."""
    known = np.stack([frame.has_px for frame in kit.frames])
    unknown = np.zeros((len(kit.joint_names), 2))
    points = [unknown if frame.joints_px is None else frame.joints_px for frame in kit.frames]
    return np.stack(points), known


def truth_mm(kit: Kit) -> tuple[Float[np.ndarray, "frames joints 3"], np.ndarray]:
    """Return true joints of all frames, camera frame, mm, and which of them are known."""
    known = np.stack([frame.has_mm for frame in kit.frames])
    unknown = np.zeros((len(kit.joint_names), 3))
    points = [unknown if frame.joints_mm is None else frame.joints_mm for frame in kit.frames]
    return np.stack(points), known


def _score_3d(kit: Kit, estimates: Estimates, joints: tuple[str, ...]) -> dict[str, tuple]:
    truth, known = truth_mm(kit)
    known = known & np.isfinite(estimates.joints_mm).all(axis=-1)
    scored = np.isin(kit.joint_names, joints)
    ones = np.ones(len(kit.frames))
    values = {"pa_mpjpe_mm": (pa_mpjpe_mm(estimates.joints_mm, truth, known & scored), ones)}
    roots = _roots(kit.joint_names, known.any(axis=0))
    if roots:
        counted = tuple(np.flatnonzero(scored & (np.array(kit.joint_names) != ROOT)).tolist())
        errors = mpjpe_mm(estimates.joints_mm, truth, known, roots, counted)
        values["mpjpe_mm"] = (errors, ones)
    return values


def _roots(names: tuple[str, ...], known: Bool[np.ndarray, " joints"]) -> tuple[int, ...]:
    """Return the indices of the hips where both are known, else of the pelvis, else none."""
    for roots in (HIPS, (ROOT,)):
        if all(name in names and known[names.index(name)] for name in roots):
            return tuple(names.index(name) for name in roots)
    return ()


def _score_2d(kit: Kit, estimates: Estimates, joints: tuple[str, ...]) -> dict[str, tuple]:
    truth, known = truth_px(kit)
    scored = known & np.isin(kit.joint_names, joints)
    head = _length_px(kit.joint_names, truth, known, HEAD_SEGMENT)
    torso, other = (_length_px(kit.joint_names, truth, known, ends) for ends in TORSO_DIAGONALS)
    torso = np.where(np.isfinite(torso), torso, other)
    values = {}
    for key, size, threshold in (
        ("pck_head_50", head, 0.5),
        ("pck_torso_50", torso, 0.5),
        ("pck_torso_20", torso, 0.2),
    ):
        hits, counted = pck_hits(estimates.joints_px, truth, scored, size, threshold)
        share = np.where(counted > 0, 100 * hits / np.maximum(counted, 1), np.nan)
        values[key] = (share, counted.astype(float))
    return values


def _length_px(
    names: tuple[str, ...],
    points: Float[np.ndarray, "frames joints 2"],
    known: Bool[np.ndarray, "frames joints"],
    ends: tuple[str, str],
) -> Float[np.ndarray, " frames"]:
    if not set(ends) <= set(names):
        return np.full(len(points), np.nan)
    return segment_px(points, known, tuple(names.index(end) for end in ends))
