"""Metrics: how far a reconstruction is from the truth, per frame, in NumPy alone.

3D points of these functions are in millimetres, image points in pixels. A joint that `valid` leaves
out may hold anything, NaN too. A frame that cannot be judged gets NaN; `mean_of` leaves it out.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

MIN_ALIGNED_JOINTS = 3  # a similarity has 7 freedoms: it fits two points, whatever they are


def joint_errors(
    predicted: Float[np.ndarray, "frames joints dims"],
    truth: Float[np.ndarray, "frames joints dims"],
    valid: Bool[np.ndarray, "frames joints"],
) -> Float[np.ndarray, "frames joints"]:
    """Distance of each joint from its truth, in the unit of the points; NaN where not valid."""
    return np.where(valid, np.linalg.norm(predicted - truth, axis=-1), np.nan)


def root_aligned(
    points: Float[np.ndarray, "frames joints 3"], roots: tuple[int, ...]
) -> Float[np.ndarray, "frames joints 3"]:
    """Points moved so that the middle of the `roots` (the hips, or the pelvis) is the origin."""
    return points - points[:, roots].mean(axis=1, keepdims=True)


def mpjpe_mm(
    predicted_mm: Float[np.ndarray, "frames joints 3"],
    truth_mm: Float[np.ndarray, "frames joints 3"],
    valid: Bool[np.ndarray, "frames joints"],
    roots: tuple[int, ...],
    scored: tuple[int, ...] | None = None,
) -> Float[np.ndarray, " frames"]:
    """Mean per-joint position error after moving both roots onto each other (Ionescu 2014).

    Args:
        predicted_mm: estimated joints.
        truth_mm: true joints, same axes.
        valid: joints whose truth is known.
        roots: joints whose middle is moved onto each other; a frame where one is missing is NaN.
        scored: joints that count, all by default; leave out a root, its error is 0 by definition.
    """
    counted = valid & _only(scored, valid.shape[1]) & valid[:, roots].all(axis=1, keepdims=True)
    errors = joint_errors(
        root_aligned(predicted_mm, roots), root_aligned(truth_mm, roots), counted
    )
    return _mean_of_joints(errors)


def similarity_aligned(
    source: Float[np.ndarray, "frames joints 3"],
    target: Float[np.ndarray, "frames joints 3"],
    valid: Bool[np.ndarray, "frames joints"],
) -> Float[np.ndarray, "frames joints 3"]:
    """Source under the rotation, scale and translation that bring it nearest to the target.

    Least squares over the valid joints, frame by frame (Umeyama 1991, equations 40 to 42). Mirror
    images are not allowed, so a person whose sides are swapped does not pass. Where all source
    points coincide every scale is as good, and it stays 1.
    """
    weights = valid[..., None] / np.maximum(valid.sum(axis=1), 1)[:, None, None]
    source = np.where(valid[..., None], source, 0.0)
    target = np.where(valid[..., None], target, 0.0)
    source_mean = (weights * source).sum(axis=1, keepdims=True)
    target_mean = (weights * target).sum(axis=1, keepdims=True)
    centred = source - source_mean
    covariance = np.einsum("fjc,fjd->fcd", weights * (target - target_mean), centred)
    left, singular, right = np.linalg.svd(covariance)
    signs = np.ones_like(singular)
    signs[:, 2] = np.where(np.linalg.det(left) * np.linalg.det(right) < 0, -1.0, 1.0)
    rotation = (left * signs[:, None, :]) @ right
    variance = (weights * centred**2).sum(axis=(1, 2))
    has_extent = variance > np.finfo(np.float64).tiny
    scale = np.where(has_extent, (singular * signs).sum(axis=1), 1.0)
    scale = scale / np.where(has_extent, variance, 1.0)
    return scale[:, None, None] * centred @ np.swapaxes(rotation, 1, 2) + target_mean


def pa_mpjpe_mm(
    predicted_mm: Float[np.ndarray, "frames joints 3"],
    truth_mm: Float[np.ndarray, "frames joints 3"],
    valid: Bool[np.ndarray, "frames joints"],
) -> Float[np.ndarray, " frames"]:
    """Mean per-joint position error after the best similarity (Procrustes) alignment.

    NaN for a frame with fewer than three valid joints, which any pose would fit.
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
    """Mean per-vertex error after moving both roots onto each other (Pavlakos 2018)."""
    difference = predicted_mm - truth_mm - (predicted_root_mm - truth_root_mm)[:, None]
    return np.linalg.norm(difference, axis=-1).mean(axis=1)


def segment_px(
    points_px: Float[np.ndarray, "frames joints 2"],
    valid: Bool[np.ndarray, "frames joints"],
    ends: tuple[int, int],
) -> Float[np.ndarray, " frames"]:
    """Length of the line between two joints; NaN where one is missing or they coincide."""
    length = np.linalg.norm(points_px[:, ends[0]] - points_px[:, ends[1]], axis=-1)
    return np.where(valid[:, ends].all(axis=1) & (length > 0), length, np.nan)


def pck_hits(
    predicted_px: Float[np.ndarray, "frames joints 2"],
    truth_px: Float[np.ndarray, "frames joints 2"],
    valid: Bool[np.ndarray, "frames joints"],
    size_px: Float[np.ndarray, " frames"],
    threshold: float,
) -> tuple[Int[np.ndarray, " frames"], Int[np.ndarray, " frames"]]:
    """Joints within `threshold` times the size of their truth, and joints that count, frame by frame.

    PCK, the percentage of correct keypoints, is Σ hits / Σ counted over all frames (Yang and
    Ramanan 2013). A prediction that is NaN (nobody found) counts and is wrong; a frame without a
    size counts no joint.
    """
    counted = valid & np.isfinite(size_px)[:, None]
    limit = threshold * np.where(np.isfinite(size_px), size_px, 0.0)
    distance = np.linalg.norm(predicted_px - np.where(valid[..., None], truth_px, 0.0), axis=-1)
    hits = counted & np.isfinite(distance) & (distance <= limit[:, None])
    return hits.sum(axis=1), counted.sum(axis=1)


def acceleration(joints_m: Float[np.ndarray, "frames joints 3"], fps: float) -> float:
    """Mean length of the joints' second difference in time, m/s²; NaN under three frames."""
    return _mean_difference(joints_m, 2, fps)


def jitter(joints_m: Float[np.ndarray, "frames joints 3"], fps: float) -> float:
    """Mean length of the joints' third difference in time (jerk), m/s³; NaN under four frames.

    After Flash and Hogan 1985, who measure the smoothness of human movement so.
    """
    return _mean_difference(joints_m, 3, fps)


def bone_length_std_mm(
    joints_mm: Float[np.ndarray, "frames joints 3"], bones: tuple[tuple[int, int], ...]
) -> float:
    """Standard deviation over time of each bone's length, averaged over the bones; mm."""
    starts, ends = np.array(bones).T
    lengths = np.linalg.norm(joints_mm[:, starts] - joints_mm[:, ends], axis=-1)
    return float(lengths.std(axis=0).mean())


def foot_sliding_mm(
    feet_mm: Float[np.ndarray, "frames feet 3"],
    contacts: Float[np.ndarray, "frames feet"],
    up: Float[np.ndarray, " 3"],
) -> float:
    """Mean way along the ground between two frames, mm per frame, of feet that should stand still.

    Args:
        feet_mm: points of the feet in a frame that stands still (the world).
        contacts: 0…1; a step counts where contact is more likely than not in both of its frames.
        up: unit vector out of the ground.

    Returns:
        NaN where no foot ever stands.
    """
    steps = np.diff(feet_mm, axis=0)
    steps = steps - (steps @ up)[..., None] * up
    standing = (contacts[1:] > 0.5) & (contacts[:-1] > 0.5)
    return float(np.linalg.norm(steps, axis=-1)[standing].mean()) if standing.any() else np.nan


def mean_of(
    values: Float[np.ndarray, " frames"], weights: Float[np.ndarray, " frames"] | None = None
) -> float:
    """Weighted mean of the values that are not NaN; NaN if there are none."""
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
    """Confidence interval of `mean_of` by drawing whole groups with replacement (Efron 1979).

    Args:
        values: one number a frame, NaN where it could not be judged.
        groups: frames of one group are drawn together, for neighbours in a clip fail together.
        weights: what each value counts, 1 by default.
        level: probability that the interval should cover.
        resamples: number of draws.
        seed: of the draws; the same figures give the same interval.

    Returns:
        Lower and upper bound by percentiles; NaN with fewer than two groups.
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


def _only(scored: tuple[int, ...] | None, num_joints: int) -> Bool[np.ndarray, " joints"]:
    return np.isin(np.arange(num_joints), range(num_joints) if scored is None else scored)


def _mean_of_joints(
    errors: Float[np.ndarray, "frames joints"],
) -> Float[np.ndarray, " frames"]:
    """Mean of the joints that are not NaN, without NumPy's warning where all of them are."""
    known = np.isfinite(errors)
    total = np.where(known, errors, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _mean_difference(
    joints_m: Float[np.ndarray, "frames joints 3"], order: int, fps: float
) -> float:
    if len(joints_m) <= order:
        return np.nan
    return float(np.linalg.norm(np.diff(joints_m, n=order, axis=0), axis=-1).mean() * fps**order)
