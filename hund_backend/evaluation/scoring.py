"""Scores: what a method says of a kit's people against the truth, each figure with its interval."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from .kits import Kit, KitFrame
from .metrics import bootstrap_interval, mean_of, mpjpe_mm, pa_mpjpe_mm, pck_hits, segment_px

HIPS = ("left_hip", "right_hip")
ROOT = "pelvis"
HEAD_SEGMENT = ("head_top", "neck")
# Both diagonals of the trunk; LSP's convention is the first, the other stands in for it.
TORSO_DIAGONALS = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))
BLOCK_FRAMES = 30  # frames of a clip that are drawn together for an interval: about a second
METRICS = {  # key → unit, what it says
    "mpjpe_mm": ("mm", "mean per-joint position error, roots (middle of the hips) aligned"),
    "pa_mpjpe_mm": ("mm", "the same after the best rotation, scale and translation"),
    "pck_head_50": ("%", "keypoints within 0.5 of the head segment (neck to top of the head)"),
    "pck_torso_50": ("%", "keypoints within 0.5 of the torso's diagonal (shoulder to other hip)"),
    "pck_torso_20": ("%", "keypoints within 0.2 of the torso's diagonal"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """What a method says of the person of each frame, joint by joint in the kit's order.

    Values are NaN where the method does not define a joint and where it found nobody.
    """

    method: str
    defined: frozenset[str]  # joints it can be scored on
    found: Bool[np.ndarray, " frames"]
    joints_px: Float[np.ndarray, "frames joints 2"]
    joints_mm: Float[np.ndarray, "frames joints 3"]  # camera frame, or relative to its root


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A mean over frames with its 95 % confidence interval."""

    per_frame: Float[np.ndarray, " frames"]  # NaN where a frame could not be judged
    weights: Float[np.ndarray, " frames"]
    mean: float
    low: float
    high: float

    @property
    def num_frames(self) -> int:
        """Frames that could be judged."""
        return int((np.isfinite(self.per_frame) & (self.weights > 0)).sum())


def scored_joints(kit: Kit, *methods: Estimates) -> tuple[str, ...]:
    """Joints that the kit and every one of the methods define, in the kit's order."""
    return tuple(n for n in kit.joint_names if all(n in method.defined for method in methods))


def score(kit: Kit, estimates: Estimates, joints: tuple[str, ...]) -> dict[str, Figure]:
    """Every figure of `METRICS` that the kit's truth allows, for some joints of the kit."""
    figures = _score_3d(kit, estimates, joints) | _score_2d(kit, estimates, joints)
    groups = frame_groups(kit.frames)
    scored = {}
    for key, (per_frame, weights) in figures.items():
        if (np.isfinite(per_frame) & (weights > 0)).any():
            low, high = bootstrap_interval(per_frame, groups, weights)
            mean = mean_of(per_frame, weights)
            scored[key] = Figure(
                per_frame=per_frame, weights=weights, mean=mean, low=low, high=high
            )
    return scored


def frame_groups(frames: tuple[KitFrame, ...]) -> Int[np.ndarray, " frames"]:
    """Which frames stand or fall together: each picture alone, a clip's in blocks of a second."""
    keys = [(str(frame.path), (frame.number or 0) // BLOCK_FRAMES) for frame in frames]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


def truth_px(kit: Kit) -> tuple[Float[np.ndarray, "frames joints 2"], np.ndarray]:
    """True keypoints of all frames and which of them are known."""
    known = np.stack([frame.has_px for frame in kit.frames])
    blank = np.zeros((len(kit.joint_names), 2))
    points = [blank if frame.joints_px is None else frame.joints_px for frame in kit.frames]
    return np.stack(points), known


def truth_mm(kit: Kit) -> tuple[Float[np.ndarray, "frames joints 3"], np.ndarray]:
    """True joints of all frames in the camera frame and which of them are known."""
    known = np.stack([frame.has_mm for frame in kit.frames])
    blank = np.zeros((len(kit.joint_names), 3))
    points = [blank if frame.joints_mm is None else frame.joints_mm for frame in kit.frames]
    return np.stack(points), known


def _score_3d(kit: Kit, estimates: Estimates, joints: tuple[str, ...]) -> dict[str, tuple]:
    truth, known = truth_mm(kit)
    known = known & np.isfinite(estimates.joints_mm).all(axis=-1)
    scored = np.isin(kit.joint_names, joints)
    ones = np.ones(len(kit.frames))
    figures = {"pa_mpjpe_mm": (pa_mpjpe_mm(estimates.joints_mm, truth, known & scored), ones)}
    roots = _roots(kit.joint_names, known.any(axis=0))
    if roots:
        counted = tuple(np.flatnonzero(scored & (np.array(kit.joint_names) != ROOT)).tolist())
        errors = mpjpe_mm(estimates.joints_mm, truth, known, roots, counted)
        figures["mpjpe_mm"] = (errors, ones)
    return figures


def _roots(names: tuple[str, ...], known: Bool[np.ndarray, " joints"]) -> tuple[int, ...]:
    """The hips where both are known, else the pelvis, else nothing."""
    for wanted in (HIPS, (ROOT,)):
        if all(name in names and known[names.index(name)] for name in wanted):
            return tuple(names.index(name) for name in wanted)
    return ()


def _score_2d(kit: Kit, estimates: Estimates, joints: tuple[str, ...]) -> dict[str, tuple]:
    truth, known = truth_px(kit)
    scored = known & np.isin(kit.joint_names, joints)
    head = _length_px(kit.joint_names, truth, known, HEAD_SEGMENT)
    torso, other = (_length_px(kit.joint_names, truth, known, ends) for ends in TORSO_DIAGONALS)
    torso = np.where(np.isfinite(torso), torso, other)
    figures = {}
    for key, size, threshold in (
        ("pck_head_50", head, 0.5),
        ("pck_torso_50", torso, 0.5),
        ("pck_torso_20", torso, 0.2),
    ):
        hits, counted = pck_hits(estimates.joints_px, truth, scored, size, threshold)
        share = np.where(counted > 0, 100 * hits / np.maximum(counted, 1), np.nan)
        figures[key] = (share, counted.astype(float))
    return figures


def _length_px(
    names: tuple[str, ...],
    points: Float[np.ndarray, "frames joints 2"],
    known: Bool[np.ndarray, "frames joints"],
    ends: tuple[str, str],
) -> Float[np.ndarray, " frames"]:
    if not set(ends) <= set(names):
        return np.full(len(points), np.nan)
    return segment_px(points, known, tuple(names.index(end) for end in ends))
