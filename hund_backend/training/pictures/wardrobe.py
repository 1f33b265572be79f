"""The wardrobe: garments as covered regions of the body at rest, with ends and thickness."""

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
    Mannequin,
)
from .fabrics import Fabric, draw_fabric
from .scenery import Scenery

UPPER_ARM, UPPER_LEG = 0.26, 0.42  # metres: a unit of the coordinates along arm and leg
EDGE = 0.012  # metres over which the thickness of a garment falls to nothing
FAR = 9.0  # metres; where there is no end


@dataclass(frozen=True, kw_only=True)
class Garment:
    """A piece of clothing; its ends in metres on the mean body, or in limbs' coordinates."""

    regions: tuple[int, ...]
    fabric: Fabric
    below: float = FAR  # covers what is lower than this
    above: float = -FAR  # covers what is higher than this
    sleeve: float = FAR  # covers the arm down to here
    glove: float = -FAR  # covers the arm from here on
    leg: float = FAR  # covers the leg down to here
    boot: float = -FAR  # covers the leg from here on
    neck: float = 0.0  # radius of the hole for the neck
    vee: float = 0.0  # how much deeper the hole is at the front
    thickness: float = 0.004
    smoothing: int = 2  # times that the surface is smoothed: how loose it hangs
    flare: float = 0.0  # metres of thickness more at the end of a limb
    folds: float = 0.3  # strength of the folds

    def inside(
        self,
        mannequin: Mannequin,
        places: Float[np.ndarray, "points 3"],
        regions: Int[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """How far inside the garment places on the body are, metres; negative where it is not."""
        height = places[:, 1]
        within = np.minimum(self.below - height, height - self.above)
        collar = (places - mannequin.joints["Neck01"]) * (1, 1, 0.7 - 0.3 * self.vee)
        within = np.minimum(within, np.linalg.norm(collar, axis=-1) - self.neck)
        arm, leg = mannequin.arm_coordinate(places), mannequin.leg_coordinate(places)
        on_arm = np.minimum(self.sleeve - arm, arm - self.glove) * UPPER_ARM
        on_leg = np.minimum(self.leg - leg, leg - self.boot) * UPPER_LEG
        limbs = (regions == ARM) | (regions == HAND)
        within = np.where(limbs, np.minimum(on_arm, within), within)
        legs = (regions == LEG) | (regions == FOOT)
        within = np.where(legs, np.minimum(on_leg, within), within)
        return np.where(np.isin(regions, self.regions), within, -FAR)

    def rise(
        self,
        mannequin: Mannequin,
        within: Float[np.ndarray, " points"],
        places: Float[np.ndarray, "points 3"],
    ) -> Float[np.ndarray, " points"]:
        """How far over the skin the cloth lies, metres."""
        near_end = np.exp(-within.clip(0) / 0.12)
        covered = (within / EDGE).clip(0, 1)
        waves = 0.35 * self.folds * self.fabric.noise(places, 0.09)
        return covered * (self.thickness * (1 + waves) + self.flare * near_end).clip(0)


def draw_outfit(scenery: Scenery, rng: np.random.Generator) -> tuple[list[Garment], Fabric | None]:
    """Garments from the innermost out, and the fabric of a skirt if there is one."""

    def fabric(plain: float = 0.3) -> Fabric:
        return draw_fabric(scenery, rng, plain)

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
        glove = 2 + rng.uniform(-0.4, 0.1)
        garments.append(Garment(regions=(HAND, ARM), fabric=fabric(), glove=glove))
    return garments, (fabric() if rng.random() < 0.5 else bottom.fabric) if skirt else None


def _bottom(rng: np.random.Generator, fabric: Fabric) -> tuple[Garment, bool]:
    """Trousers, shorts, tights or pants, and whether a skirt comes over them."""
    waist = rng.uniform(0.02, 0.13)
    kind = rng.random()
    if kind < 0.5:
        loose = rng.random() ** 1.5
        garment = Garment(
            regions=(TORSO, LEG),
            fabric=fabric,
            below=waist,
            leg=rng.uniform(1.7, 2.05),
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
            below=waist,
            leg=rng.uniform(0.25, 1.15),
            thickness=0.003 + 0.02 * loose,
            smoothing=int(2 + 10 * loose),
            flare=0.02 * loose,
            folds=rng.uniform(0.2, 1),
        )
    else:
        leg = rng.choice((0.12, 1.4, 2.0))
        garment = Garment(regions=(TORSO, LEG), fabric=fabric, below=waist, leg=leg, folds=0.1)
    return garment, rng.random() < 0.15


def _top(rng: np.random.Generator, fabric: Fabric) -> Garment:
    """A shirt, a pullover, a vest or a bra."""
    if rng.random() < 0.07:
        above = rng.uniform(0.2, 0.3)
        return Garment(regions=(TORSO,), fabric=fabric, above=above, neck=0.17, folds=0.1)
    loose = rng.random()
    sleeve = rng.choice((-0.05, 0.45, 0.6, 1.0, 1.9)) + rng.normal(0, 0.08)
    return Garment(
        regions=(TORSO, ARM, LEG) if rng.random() < 0.9 else (TORSO, ARM, LEG, NECK),
        fabric=fabric,
        above=rng.uniform(-0.12, 0.1) if rng.random() < 0.9 else rng.uniform(0.1, 0.22),
        sleeve=sleeve,
        neck=rng.uniform(0.07, 0.13),
        vee=max(0.0, rng.normal(0, 0.6)),
        thickness=0.003 + 0.022 * loose,
        smoothing=int(2 + 14 * loose),
        flare=0.02 * loose * rng.random(),
        folds=rng.uniform(0.2, 1),
    )


def _jacket(rng: np.random.Generator, fabric: Fabric) -> Garment:
    return Garment(
        regions=(TORSO, ARM, LEG, NECK),
        fabric=fabric,
        above=rng.uniform(-0.35, 0.0),
        sleeve=rng.uniform(1.7, 2.05),
        neck=rng.uniform(0.05, 0.09),
        vee=rng.uniform(0, 2),
        thickness=rng.uniform(0.02, 0.04),
        smoothing=int(rng.integers(8, 20)),
        folds=rng.uniform(0.3, 1.2),
    )


def _sock(rng: np.random.Generator, fabric: Fabric) -> Garment:
    boot = rng.uniform(1.1, 1.95)
    return Garment(regions=(FOOT, LEG), fabric=fabric, boot=boot, thickness=0.002, smoothing=3)


def _shoe(rng: np.random.Generator, fabric: Fabric) -> Garment:
    return Garment(
        regions=(FOOT, LEG),
        fabric=fabric,
        boot=rng.uniform(1.82, 2.02) if rng.random() < 0.8 else rng.uniform(1.2, 1.8),
        thickness=rng.uniform(0.006, 0.014),
        smoothing=int(rng.integers(6, 14)),
        folds=0.05,
    )
