"""Wardrobe: garments as covered regions of the body at rest, with ends and thickness."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from .body_template import (
    ARM,
    FOOT,
    HAND,
    LEG,
    NECK,
    TORSO,
    BodyTemplate,
)
from .fabrics import Fabric, sample_fabric
from .scenery import Scenery

UPPER_ARM, UPPER_LEG = 0.26, 0.42  # metres: a unit of the coordinates along arm and leg
EDGE = 0.012  # metres over which the thickness of a garment falls to zero
UNBOUNDED = 9.0  # metres; for ends that a garment does not have


@dataclass(frozen=True, kw_only=True)
class Garment:
    """Piece of clothing.

    Heights are in metres on the mean body, ends on limbs in the limbs' coordinates.
    """

    regions: tuple[int, ...]
    fabric: Fabric
    max_height: float = UNBOUNDED  # upper end on the trunk
    min_height: float = -UNBOUNDED  # lower end on the trunk
    arm_end: float = UNBOUNDED  # covers the arm from the shoulder to this
    arm_start: float = -UNBOUNDED  # covers the arm from this to the hand
    leg_end: float = UNBOUNDED  # covers the leg from the hip to this
    leg_start: float = -UNBOUNDED  # covers the leg from this to the foot
    neck_radius: float = 0.0  # of the hole for the neck
    neck_depth: float = 0.0  # additional depth of the hole at the front
    thickness: float = 0.004
    smoothing: int = 2  # smoothing steps of the surface: more for looser cloth
    flare: float = 0.0  # metres of additional thickness at the end of a limb
    folds: float = 0.3  # strength of the folds

    def depth_inside(
        self,
        template: BodyTemplate,
        points: Float[np.ndarray, "points 3"],
        regions: Int[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """Distance of points on the body from the garment's edge, positive inside, metres."""
        height = points[:, 1]
        depth = np.minimum(self.max_height - height, height - self.min_height)
        collar = (points - template.joints["Neck01"]) * (1, 1, 0.7 - 0.3 * self.neck_depth)
        depth = np.minimum(depth, np.linalg.norm(collar, axis=-1) - self.neck_radius)
        arm, leg = template.arm_coordinate(points), template.leg_coordinate(points)
        on_arm = np.minimum(self.arm_end - arm, arm - self.arm_start) * UPPER_ARM
        on_leg = np.minimum(self.leg_end - leg, leg - self.leg_start) * UPPER_LEG
        limbs = (regions == ARM) | (regions == HAND)
        depth = np.where(limbs, np.minimum(on_arm, depth), depth)
        legs = (regions == LEG) | (regions == FOOT)
        depth = np.where(legs, np.minimum(on_leg, depth), depth)
        return np.where(np.isin(regions, self.regions), depth, -UNBOUNDED)

    def thickness_at(
        self,
        template: BodyTemplate,
        depth: Float[np.ndarray, " points"],
        points: Float[np.ndarray, "points 3"],
    ) -> Float[np.ndarray, " points"]:
        """Height of the cloth over the skin, metres."""
        near_end = np.exp(-depth.clip(0) / 0.12)
        covered = (depth / EDGE).clip(0, 1)
        waves = 0.35 * self.folds * self.fabric.noise(points, 0.09)
        return covered * (self.thickness * (1 + waves) + self.flare * near_end).clip(0)


def sample_outfit(
    scenery: Scenery, rng: np.random.Generator
) -> tuple[list[Garment], Fabric | None]:
    """Random garments from the innermost out, and the fabric of a skirt if there is one."""

    def fabric(plain: float = 0.3) -> Fabric:
        return sample_fabric(scenery, rng, plain)

    bottom, skirt = _bottom(rng, fabric(0.5))
    garments = [bottom]
    if rng.random() < 0.5:
        garments.insert(0, _sock(rng, fabric(0.6)))
    if rng.random() < 0.93:
        top = _top(rng, fabric())
        garments.insert(1 if rng.random() < 0.3 else len(garments), top)
    if rng.random() < 0.22:
        garments.append(_jacket(rng, fabric()))
    if rng.random() < 0.85:
        garments.append(_shoe(rng, fabric(0.8)))
    if rng.random() < 0.08:
        arm_start = 2 + rng.uniform(-0.4, 0.1)
        garments.append(Garment(regions=(HAND, ARM), fabric=fabric(), arm_start=arm_start))
    return garments, (fabric() if rng.random() < 0.5 else bottom.fabric) if skirt else None


def _bottom(rng: np.random.Generator, fabric: Fabric) -> tuple[Garment, bool]:
    """Trousers, shorts, tights or pants, and whether a skirt covers them."""
    waist = rng.uniform(0.02, 0.13)
    kind = rng.random()
    if kind < 0.5:
        loose = rng.random() ** 1.5
        garment = Garment(
            regions=(TORSO, LEG),
            fabric=fabric,
            max_height=waist,
            leg_end=rng.uniform(1.7, 2.05),
            thickness=0.003 + 0.02 * loose,
            smoothing=int(2 + 12 * loose),
            flare=max(0.0, rng.normal(0, 0.02)) * loose,
            folds=rng.uniform(0.2, 1),
        )
    elif kind < 0.75:
        loose = rng.random()
        garment = Garment(
            regions=(TORSO, LEG),
            fabric=fabric,
            max_height=waist,
            leg_end=rng.uniform(0.25, 1.15),
            thickness=0.003 + 0.02 * loose,
            smoothing=int(2 + 10 * loose),
            flare=0.02 * loose,
            folds=rng.uniform(0.2, 1),
        )
    else:
        leg_end = rng.choice((0.12, 1.4, 2.0))
        garment = Garment(
            regions=(TORSO, LEG), fabric=fabric, max_height=waist, leg_end=leg_end, folds=0.1
        )
    return garment, rng.random() < 0.15


def _top(rng: np.random.Generator, fabric: Fabric) -> Garment:
    """Shirt, pullover, vest or bra."""
    if rng.random() < 0.07:
        min_height = rng.uniform(0.2, 0.3)
        return Garment(
            regions=(TORSO,), fabric=fabric, min_height=min_height, neck_radius=0.17, folds=0.1
        )
    loose = rng.random()
    arm_end = rng.choice((-0.05, 0.45, 0.6, 1.0, 1.9)) + rng.normal(0, 0.08)
    return Garment(
        regions=(TORSO, ARM, LEG) if rng.random() < 0.9 else (TORSO, ARM, LEG, NECK),
        fabric=fabric,
        min_height=rng.uniform(-0.12, 0.1) if rng.random() < 0.9 else rng.uniform(0.1, 0.22),
        arm_end=arm_end,
        neck_radius=rng.uniform(0.07, 0.13),
        neck_depth=max(0.0, rng.normal(0, 0.6)),
        thickness=0.003 + 0.022 * loose,
        smoothing=int(2 + 14 * loose),
        flare=0.02 * loose * rng.random(),
        folds=rng.uniform(0.2, 1),
    )


def _jacket(rng: np.random.Generator, fabric: Fabric) -> Garment:
    return Garment(
        regions=(TORSO, ARM, LEG, NECK),
        fabric=fabric,
        min_height=rng.uniform(-0.35, 0.0),
        arm_end=rng.uniform(1.7, 2.05),
        neck_radius=rng.uniform(0.05, 0.09),
        neck_depth=rng.uniform(0, 2),
        thickness=rng.uniform(0.02, 0.04),
        smoothing=int(rng.integers(8, 20)),
        folds=rng.uniform(0.3, 1.2),
    )


def _sock(rng: np.random.Generator, fabric: Fabric) -> Garment:
    leg_start = rng.uniform(1.1, 1.95)
    return Garment(
        regions=(FOOT, LEG), fabric=fabric, leg_start=leg_start, thickness=0.002, smoothing=3
    )


def _shoe(rng: np.random.Generator, fabric: Fabric) -> Garment:
    return Garment(
        regions=(FOOT, LEG),
        fabric=fabric,
        leg_start=rng.uniform(1.82, 2.02) if rng.random() < 0.8 else rng.uniform(1.2, 1.8),
        thickness=rng.uniform(0.006, 0.014),
        smoothing=int(rng.integers(6, 14)),
        folds=0.05,
    )
