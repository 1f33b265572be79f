"""Attachments: surfaces that hang from the body without being its skin: skirt, hair, hat brim."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from ...body.skeleton import JOINT_INDEX, PART_NAMES
from .body_template import LEG, TORSO, BodyTemplate
from .surfaces import MaterialFunction, Surface, cloth_sheet

COLUMNS = 40
HIP = -0.02  # height on the mean body where a skirt starts to follow the thighs
_TORSO, _HEAD = PART_NAMES.index("torso"), PART_NAMES.index("head")


@dataclass(frozen=True, kw_only=True)
class PosedSkeleton:
    """Joints of a body at rest and posed (world), and its vertices at rest."""

    rest_vertices: Float[np.ndarray, "vertices 3"]
    rest_joints: Float[np.ndarray, "63 3"]
    joints: Float[np.ndarray, "63 3"]
    orientations: Float[np.ndarray, "63 3 3"]

    def skin_points(
        self, points: Float[np.ndarray, "*shape 3"], weights: dict[str, np.ndarray]
    ) -> Float[np.ndarray, "*shape 3"]:
        """Linear blend skinning of rest points of this body."""
        result = np.zeros(points.shape)
        for name, weight in weights.items():
            joint = JOINT_INDEX[name]
            rotated = (points - self.rest_joints[joint]) @ self.orientations[joint].T
            result += weight[..., None] * (rotated + self.joints[joint])
        return result


def skirt(
    template: BodyTemplate,
    skeleton: PosedSkeleton,
    material: MaterialFunction,
    rng: np.random.Generator,
) -> Surface:
    """Skirt from the waist to a random hem, tight or wide, perhaps pleated."""
    heights = np.linspace(rng.uniform(0.04, 0.12), rng.uniform(-0.75, -0.15), 12)[:, None]
    angles = np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False)
    radii = _body_radii(template, skeleton, heights[:, 0], angles)
    depth = (0.02 - heights).clip(0)
    pleats = 1 + rng.uniform(0, 0.08) * depth * np.sin(angles * rng.integers(6, 14))
    radii = (radii + 0.012 + rng.uniform(0, 0.45) * depth) * pleats
    points = np.stack(
        (radii * np.sin(angles), heights + 0 * angles, 0.015 + radii * np.cos(angles)), axis=-1
    )
    legs = 0.9 * ((HIP - heights) / 0.35).clip(0, 1) + 0 * angles
    calves = legs * 0.5 * ((-0.38 - heights) / 0.3).clip(0, 1)
    left = expit(points[..., 0] / 0.05)
    weights = {"Pelvis": 1 - legs}
    for side, share in (("L", left), ("R", 1 - left)):
        weights |= {f"Thigh{side}": (legs - calves) * share, f"Calf{side}": calves * share}
    limb = np.where(heights > -0.385, "thigh", "calf")
    names = np.where(points[..., 0] > 0, "left", "right")
    parts = [
        [_TORSO if height > -0.08 else PART_NAMES.index(f"{side}_{part}") for side in row]
        for height, part, row in zip(heights[:, 0], limb[:, 0], names, strict=True)
    ]
    # Turned round, so that the outside is counter-clockwise.
    return cloth_sheet(
        skeleton.skin_points(points, weights), points, np.array(parts), material, closed=True
    )


def long_hair(
    skeleton: PosedSkeleton, material: MaterialFunction, rng: np.random.Generator
) -> Surface:
    """Sheet of hair from the top of the head down the back and the sides."""
    head = skeleton.rest_joints[JOINT_INDEX["Head01"]]
    heights = np.linspace(0.10, rng.uniform(-0.35, -0.08), 12)[:, None]
    half = np.deg2rad(rng.uniform(70, 125))
    angles = np.pi + np.linspace(-half, half, 24)
    width = np.interp(-heights, (-0.10, -0.05, 0.05, 0.35), (0.07, 0.095, 0.1, 0.12))
    radii = width + rng.uniform(0, 0.02) + 0.006 * np.sin(angles * 9 + heights * 20)
    points = np.stack(
        (0.95 * radii * np.sin(angles), heights + 0 * angles, 1.1 * radii * np.cos(angles)), -1
    )
    points = points + head + (0, 0.03, 0.018)
    body = (-(heights + 0.05) / 0.15).clip(0, 1) + 0 * angles
    weights = {"Head01": 1 - body, "Spine03": 0.6 * body, "Neck01": 0.4 * body}
    parts = np.full(points.shape[:2], _HEAD)
    return cloth_sheet(
        skeleton.skin_points(points, weights), points - head, parts, material, closed=False
    )


def hat_brim(
    skeleton: PosedSkeleton, material: MaterialFunction, rng: np.random.Generator
) -> Surface:
    """Brim of a hat, all round or at the front only."""
    head = skeleton.rest_joints[JOINT_INDEX["Head01"]]
    half = np.pi if rng.random() < 0.4 else np.deg2rad(rng.uniform(40, 70))
    angles = np.linspace(-half, half, 28)
    radii = np.linspace(0.07, rng.uniform(0.12, 0.19), 4)[:, None]
    droop = -rng.uniform(0, 0.3) * (radii - 0.08)
    points = np.stack(
        (0.9 * radii * np.sin(angles), droop + 0 * angles, 1.15 * radii * np.cos(angles)), -1
    )
    points = points + head + (0, rng.uniform(0.085, 0.105), 0.03)
    weights = {"Head01": np.ones(points.shape[:2])}
    parts = np.full(points.shape[:2], _HEAD)
    return cloth_sheet(
        skeleton.skin_points(points, weights), points - head, parts, material, closed=False
    )


def _body_radii(
    template: BodyTemplate, skeleton: PosedSkeleton, heights: np.ndarray, angles: np.ndarray
) -> Float[np.ndarray, "heights angles"]:
    """Extent of the body at each height in each direction, metres from its axis."""
    trunk = np.isin(template.region_of_vertex, (TORSO, LEG))
    vertices = skeleton.rest_vertices[trunk]
    directions = np.stack((np.sin(angles), np.cos(angles)))
    extent = (vertices[:, ::2] - (0, 0.015)) @ directions
    near = np.abs(vertices[:, 1] - heights[:, None]) < 0.04
    return np.stack([np.max(extent[rows], axis=0, initial=0.0) for rows in near])
