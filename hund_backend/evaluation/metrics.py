"""Metrics: errors of a reconstruction against the truth, per frame.

3D points are in millimetres and image points in pixels unless a name says otherwise. A joint that
is not `valid` may hold anything, NaN too. A frame that cannot be scored gets NaN, which `mean_of`
leaves out.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ..body import procrustes

MIN_ALIGNED_JOINTS = 3  # a similarity, with 7 degrees of freedom, fits any two points


def joint_errors(
    predicted: Float[np.ndarray, "frames joints dims"],
    truth: Float[np.ndarray, "frames joints dims"],
    valid: Bool[np.ndarray, "frames joints"],
) -> Float[np.ndarray, "frames joints"]:
    """Return the distance of each joint from its truth, in the points' unit; NaN if not valid."""
    return np.where(valid, np.linalg.norm(predicted - truth, axis=-1), np.nan)


def root_aligned(
    points: Float[np.ndarray, "frames joints 3"], roots: tuple[int, ...]
) -> Float[np.ndarray, "frames joints 3"]:
    """Move points so that the mean of the `roots` (the hips, or the pelvis) is the origin."""
    return points - points[:, roots].mean(axis=1, keepdims=True)


def mpjpe_mm(
    predicted_mm: Float[np.ndarray, "frames joints 3"],
    truth_mm: Float[np.ndarray, "frames joints 3"],
    valid: Bool[np.ndarray, "frames joints"],
    roots: tuple[int, ...],
    scored: tuple[int, ...] | None = None,
) -> Float[np.ndarray, " frames"]:
    """Return the mean per-joint position error, roots aligned (Ionescu et al., 2014).

    Args:
        predicted_mm: estimated joints.
        truth_mm: true joints, same axes.
        valid: joints whose truth is known.
        roots: joints whose mean is aligned; a frame where one is missing is NaN.
        scored: joints that count, all by default; leave out a single root, whose error is 0.
    """
    counted = valid & _mask(scored, valid.shape[1]) & valid[:, roots].all(axis=1, keepdims=True)
    errors = joint_errors(
        root_aligned(predicted_mm, roots), root_aligned(truth_mm, roots), counted
    )
    return _mean_of_joints(errors)


def similarity_aligned(
    source: Float[np.ndarray, "frames joints 3"],
    target: Float[np.ndarray, "frames joints 3"],
    valid: Bool[np.ndarray, "frames joints"],
) -> Float[np.ndarray, "frames joints 3"]:
    """Align source to target by rotation, scale and translation, frame by frame.

    Least squares over the valid joints, by `procrustes.similarity_aligned`. Reflections are
    excluded, so a person with swapped sides scores badly.
    """
    source = torch.from_numpy(np.where(valid[..., None], source, 0.0))
    target = torch.from_numpy(np.where(valid[..., None], target, 0.0))
    weights = torch.from_numpy(valid).to(source.dtype)
    return procrustes.similarity_aligned(source, target, weights).numpy()


def pa_mpjpe_mm(
    predicted_mm: Float[np.ndarray, "frames joints 3"],
    truth_mm: Float[np.ndarray, "frames joints 3"],
    valid: Bool[np.ndarray, "frames joints"],
) -> Float[np.ndarray, " frames"]:
    """Return the mean per-joint position error after similarity (Procrustes) alignment.

    NaN for a frame with fewer than three valid joints, to which any pose can be aligned.
    """
    counted = valid & (valid.sum(axis=1, keepdims=True) >= MIN_ALIGNED_JOINTS)
    aligned = similarity_aligned(predicted_mm, truth_mm, counted)
    return _mean_of_joints(joint_errors(aligned, truth_mm, counted))


def pve_mm(
    predicted_mm: Float[np.ndarray, "frames vertices 3"],
    truth_mm: Float[np.ndarray, "frames vertices 3"],
    predicted_root_mm: Float[np.ndarray, "frames 3"],
    truth_root_mm: Float[np.ndarray, "frames 3"],
) -> Float[np.ndarray, " frames"]:
    """Return the mean per-vertex error, roots aligned (Pavlakos et al., 2018)."""
    difference = predicted_mm - truth_mm - (predicted_root_mm - truth_root_mm)[:, None]
    return np.linalg.norm(difference, axis=-1).mean(axis=1)


def segment_px(
    points_px: Float[np.ndarray, "frames joints 2"],
    valid: Bool[np.ndarray, "frames joints"],
    ends: tuple[int, int],
) -> Float[np.ndarray, " frames"]:
    """Return the distance of two joints; NaN where one is missing or they coincide."""
    length = np.linalg.norm(points_px[:, ends[0]] - points_px[:, ends[1]], axis=-1)
    return np.where(valid[:, ends].all(axis=1) & (length > 0), length, np.nan)


def pck_hits(
    predicted_px: Float[np.ndarray, "frames joints 2"],
    truth_px: Float[np.ndarray, "frames joints 2"],
    valid: Bool[np.ndarray, "frames joints"],
    size_px: Float[np.ndarray, " frames"],
    threshold: float,
) -> tuple[Int[np.ndarray, " frames"], Int[np.ndarray, " frames"]]:
    """Return the number of joints within `threshold` times a size of the truth, and of all counted.

    PCK, the percentage of correct keypoints, is Σ hits / Σ counted over all frames (Yang and
    Ramanan, 2013). A prediction that is NaN (nobody found) counts and is wrong; a frame without a
    size counts no joint.
    """
    counted = valid & np.isfinite(size_px)[:, None]
    limit = threshold * np.where(np.isfinite(size_px), size_px, 0.0)
    distance = np.linalg.norm(predicted_px - np.where(valid[..., None], truth_px, 0.0), axis=-1)
    hits = counted & np.isfinite(distance) & (distance <= limit[:, None])
    return hits.sum(axis=1), counted.sum(axis=1)


def acceleration(joints_m: Float[np.ndarray, "frames joints 3"], fps: float) -> float:
    """Return the mean norm of the joints' second time derivative, m/s²; NaN below three frames."""
    return _mean_difference(joints_m, 2, fps)


def jitter(joints_m: Float[np.ndarray, "frames joints 3"], fps: float) -> float:
    """Return the mean norm of the joints' third time derivative, m/s³; NaN below four frames.

    The jerk, a measure of smoothness of human movement (Flash and Hogan, 1985).
    """
    return _mean_difference(joints_m, 3, fps)


def bone_length_std_mm(
    joints_mm: Float[np.ndarray, "frames joints 3"], bones: tuple[tuple[int, int], ...]
) -> float:
    """Return the standard deviation over time of bone lengths, averaged over bones; mm."""
    starts, ends = np.array(bones).T
    lengths = np.linalg.norm(joints_mm[:, starts] - joints_mm[:, ends], axis=-1)
    return float(lengths.std(axis=0).mean())


def foot_sliding_mm(
    feet_mm: Float[np.ndarray, "frames feet 3"],
    contacts: Float[np.ndarray, "frames feet"],
    up: Float[np.ndarray, " 3"],
) -> float:
    """Return the mean displacement along the ground of feet in contact with it, mm per frame.

    Args:
        feet_mm: points of the feet, world frame.
        contacts: probability; a step counts where it exceeds 0.5 in both frames.
        up: unit normal of the ground.

    Returns:
        NaN where no foot is ever in contact.
    """
    steps = np.diff(feet_mm, axis=0)
    steps = steps - (steps @ up)[..., None] * up
    standing = (contacts[1:] > 0.5) & (contacts[:-1] > 0.5)
    return float(np.linalg.norm(steps, axis=-1)[standing].mean()) if standing.any() else np.nan


def mean_of(
    values: Float[np.ndarray, " frames"], weights: Float[np.ndarray, " frames"] | None = None
) -> float:
    """Return the weighted mean of the values that are not NaN; NaN if there are none."""
    weights = np.ones_like(values) if weights is None else weights
    weights = np.where(np.isfinite(values), weights, 0.0)
    total = weights.sum()
    return float((weights * np.nan_to_num(values)).sum() / total) if total > 0 else np.nan


def bootstrap_interval(
    values: Float[np.ndarray, " frames"],
    groups: Int[np.ndarray, " frames"],
    weights: Float[np.ndarray, " frames"] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap confidence interval of `mean_of`, resampling groups (Efron, 1979).

    Args:
        values: one number per frame, NaN where it cannot be scored.
        groups: frames of one group are resampled together, as neighbours in a clip are alike.
        weights: of the values, 1 by default.
        level: confidence level.
        resamples: number of resamples.
        seed: of the resampling; the same values give the same interval.

    Returns:
        Lower and upper percentile; NaN with fewer than two groups.
    """
    weights = np.ones_like(values) if weights is None else weights
    known = np.isfinite(values)
    names, group = np.unique(groups[known], return_inverse=True)
    if len(names) < 2:
        return np.nan, np.nan
    sums = np.bincount(group, weights=(weights * np.nan_to_num(values))[known])
    totals = np.bincount(group, weights=weights[known])
    draws = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    drawn = totals[draws].sum(axis=1)
    means = sums[draws].sum(axis=1)[drawn > 0] / drawn[drawn > 0]
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def _mask(scored: tuple[int, ...] | None, num_joints: int) -> Bool[np.ndarray, " joints"]:
    return np.isin(np.arange(num_joints), range(num_joints) if scored is None else scored)


def _mean_of_joints(
    errors: Float[np.ndarray, "frames joints"],
) -> Float[np.ndarray, " frames"]:
    """Return the mean over joints that are not NaN, without a warning where all are."""
    known = np.isfinite(errors)
    total = np.where(known, errors, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _mean_difference(
    joints_m: Float[np.ndarray, "frames joints 3"], order: int, fps: float
) -> float:
    if len(joints_m) <= order:
        return np.nan
    return float(np.linalg.norm(np.diff(joints_m, n=order, axis=0), axis=-1).mean() * fps**order)
