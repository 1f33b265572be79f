"""Girths of adult torsos: published tables, and body shapes fitted to them.

Source (public): ANSUR II, the 2012 survey of 1,986 women and 4,082 men (Gordon et al. 2014,
NATICK/TR-15/007): chest circumference at its fullest, waist circumference at the navel, buttock
circumference at its widest. Heights are shares of the stature.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial import ConvexHull

from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES

from .anthropometry import Statistic


@dataclass(frozen=True, kw_only=True)
class Girth:
    """A girth: the largest at some heights, and its statistic in metres."""

    heights: tuple[float, ...]
    length: Statistic

    @property
    def height(self) -> float:
        """Mean height."""
        return sum(self.heights) / len(self.heights)


HIP = Girth(
    heights=(0.49, 0.50, 0.51, 0.52), length=Statistic(women=1.022, men=1.019, deviation=0.078)
)
WAIST = Girth(heights=(0.60,), length=Statistic(women=0.861, men=0.941, deviation=0.106))
CHEST = Girth(
    heights=(0.71, 0.725, 0.74, 0.755), length=Statistic(women=0.947, men=1.058, deviation=0.085)
)
GIRTHS = (HIP, WAIST, CHEST)  # from below
ENDS = (0.42, 0.80)  # heights where the fit ends: below the groin, and at the shoulders
ARM = ("Upperarm", "Lowerarm", "Hand", "Thumb", "Index", "Middle", "Ring", "Pinky")
SPINE = ("Pelvis", "Spine01", "Spine02", "Spine03", "Neck01")
ROUNDS = 3  # of the fit: a hull's perimeter is not quite linear in its scale


def edges_of(faces: np.ndarray) -> np.ndarray:
    """Return the edges (E, 2) of triangles (F, 3) or quads (F, 4)."""
    corners = faces.shape[1]
    sides = np.concatenate([faces[:, [k, (k + 1) % corners]] for k in range(corners)])
    return np.unique(np.sort(sides, axis=1), axis=0)


def girth(vertices: np.ndarray, edges: np.ndarray, level: float) -> float:
    """Return the perimeter of the convex hull of a horizontal cut, as a tape measures it.

    Args:
        vertices: (V, 3), y up.
        edges: of the surface, (E, 2).
        level: height of the cut.
    """
    start, end = vertices[edges[:, 0]], vertices[edges[:, 1]]
    cut = (start[:, 1] < level) != (end[:, 1] < level)
    start, end = start[cut], end[cut]
    share = (level - start[:, 1]) / (end[:, 1] - start[:, 1])
    points = start + share[:, None] * (end - start)
    return float(ConvexHull(points[:, [0, 2]]).area)  # in two dimensions, the perimeter


def torso_girths(vertices: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the girths of hip, waist and chest, (3,), of a standing body's vertices (V, 3)."""
    floor, stature = vertices[:, 1].min(), np.ptp(vertices[:, 1])
    return np.array(
        [
            max(girth(vertices, edges, floor + share * stature) for share in g.heights)
            for g in GIRTHS
        ]
    )


def arm_share(weights: np.ndarray) -> np.ndarray:
    """Return the share (V,) of the skinning weights (V, 63) that belongs to arms and hands."""
    return weights[:, [JOINT_INDEX[n] for n in JOINT_NAMES if n.startswith(ARM)]].sum(axis=1)


def torso_edges(quads: np.ndarray, arms: np.ndarray) -> np.ndarray:
    """Return the edges of quads between vertices whose `arm_share` is less than a half."""
    edges = edges_of(quads)
    return edges[(arms[edges] < 0.5).all(axis=1)]


def fit_girths(
    points: np.ndarray, weights: np.ndarray, quads: np.ndarray, gender: np.ndarray
) -> np.ndarray:
    """Widen or narrow torsos about the spine to the tables' girths; joints stay where they are.

    Args:
        points: vertices, then joints, (N, V + 63, 3), metres; standing.
        weights: skinning weights, (V, 63).
        quads: (F, 4).
        gender: 0 (man) to 1 (woman), (N,).

    Returns:
        The points of the fitted bodies.
    """
    number, arms = len(weights), arm_share(weights)
    edges = torso_edges(quads, arms)
    girths = np.stack([torso_girths(body[:number], edges) for body in points])
    targets = np.stack(
        [g.length.by_rank(values, gender) for g, values in zip(GIRTHS, girths.T, strict=True)],
        axis=1,
    )
    fitted = points.copy()
    for body, start, target in zip(fitted, girths, targets, strict=True):
        now = start
        for _ in range(ROUNDS):
            body[:number] = _scale(body, arms, target / now)
            now = torso_girths(body[:number], edges)
    return fitted


def _scale(body: np.ndarray, arms: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Scale the torso of a body horizontally by factors (3,) at the heights of the girths.

    `arms` is the `arm_share` of its vertices; the result is the vertices alone.
    """
    vertices, joints = body[: len(arms)], body[len(arms) :]
    floor, stature = vertices[:, 1].min(), np.ptp(vertices[:, 1])
    heights = np.clip((vertices[:, 1] - floor) / stature, *ENDS)
    curve = PchipInterpolator([ENDS[0], *(g.height for g in GIRTHS), ENDS[1]], [1, *factors, 1])
    spine = joints[[JOINT_INDEX[name] for name in SPINE]]
    depth = np.interp(vertices[:, 1], spine[:, 1], spine[:, 2])
    growth = (curve(heights) - 1) * (1 - arms)
    scaled = vertices.copy()
    scaled[:, 0] += growth * vertices[:, 0]
    scaled[:, 2] += growth * (vertices[:, 2] - depth)
    return scaled
