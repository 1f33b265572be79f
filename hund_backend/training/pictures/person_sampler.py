"""People: who is in a picture (build, looks, clothes), in a pose of the motion capture."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    LEFT_HAND_JOINTS,
    RIGHT_HAND_JOINTS,
)

from ..motion.motion_set import MotionSet, Split
from ..motion.retargeting import mirror_rotations
from ..priors.hand_poses import hand_poses
from .appearance import Looks, draw_looks
from .body_template import Mannequin
from .fabrics import Fabric, draw_fabric
from .scenery import Scenery
from .wardrobe import Garment, draw_outfit

BUILD_SPREAD = 0.9  # of the betas
NUM_HANDS = 600  # poses of hands that a split has
LOOSENED = tuple(
    JOINT_INDEX[name]
    for stem in ("Upperarm", "Lowerarm", "Hand", "Thigh", "Calf", "Clavicle")
    for name in (f"{stem}L", f"{stem}R")
) + tuple(JOINT_INDEX[name] for name in ("Spine01", "Spine02", "Neck01", "Head01"))


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody in a pose, in a world with y up and the floor at 0."""

    rotations: Float[Tensor, "63 3 3"]  # parent-relative; the pelvis in the world
    height: float  # of the pelvis on the mean body, metres
    grounded: bool  # stands on the floor
    betas: Float[Tensor, "16"]
    expression: Float[Tensor, "20"]
    looks: Looks
    garments: tuple[Garment, ...]  # from the innermost out
    skirt: Fabric | None
    long_hair: bool
    brim: bool
    frame: int  # of the motion set


class Casting:
    """Draws people of a split: its motions, builds and clothes, never those of another."""

    def __init__(self, motions: MotionSet, scenery: Scenery, mannequin: Mannequin) -> None:
        self.motions, self.scenery, self.mannequin = motions, scenery, mannequin
        inside = motions.frames_of(scenery.split)
        weights = (motions.weights() * inside).double().numpy()
        self._up_to = np.cumsum(weights / weights.sum())
        generator = torch.Generator().manual_seed(get_args(Split).index(scenery.split))
        hands = hand_poses(mannequin.model.rest_template, NUM_HANDS, generator)
        self._hands = torch.eye(3).repeat(NUM_HANDS, len(JOINT_NAMES), 1, 1)
        self._hands[:, 1:] = hands

    def person(self, rng: np.random.Generator) -> Person:
        """Somebody."""
        frame = int(np.searchsorted(self._up_to, rng.random() * self._up_to[-1]))
        rotations = self._pose(frame, rng)
        hat = draw_fabric(self.scenery, rng) if rng.random() < 0.2 else None
        garments, skirt = draw_outfit(self.scenery, rng)
        looks = draw_looks(hat, rng)
        tilted = rng.random() < 0.06
        if tilted:  # lying, diving, upside down: motion capture has next to none of it
            tilt = rotvec_to_matrix(torch.from_numpy(rng.normal(0, 1.2, 3)).float())
            rotations[0] = tilt @ rotations[0]
        return Person(
            rotations=rotations,
            height=float(self.motions.translation[frame, 1]),
            grounded=tilted or bool(self.motions.contacts[frame].any()),
            betas=torch.from_numpy(rng.normal(0, BUILD_SPREAD, 16)).float(),
            expression=torch.from_numpy(rng.normal(0, 0.6, 20)).float(),
            looks=looks,
            garments=tuple(garments),
            skirt=skirt,
            long_hair=looks.hair_height > 0 and rng.random() < 0.3,
            brim=hat is not None and rng.random() < 0.5,
            frame=frame,
        )

    def _pose(self, frame: int, rng: np.random.Generator) -> Float[Tensor, "63 3 3"]:
        """A frame turned about, perhaps mirrored and loosened, with made-up hands."""
        rotations = self.motions.rotations[frame].clone()
        if rng.random() < 0.5:
            rotations = mirror_rotations(rotations)
        if rng.random() < 0.5:
            spread = rng.uniform(0, 0.12)
            change = torch.from_numpy(rng.normal(0, spread, (len(LOOSENED), 3))).float()
            rotations[list(LOOSENED)] = rotations[list(LOOSENED)] @ rotvec_to_matrix(change)
        left, right = self._hands[rng.integers(NUM_HANDS, size=2)]
        rotations[list(LEFT_HAND_JOINTS)] = left[list(LEFT_HAND_JOINTS)]
        rotations[list(RIGHT_HAND_JOINTS)] = mirror_rotations(right)[list(RIGHT_HAND_JOINTS)]
        turn = torch.tensor([0.0, rng.uniform(0, 2 * np.pi), 0.0])
        rotations[0] = rotvec_to_matrix(turn) @ rotations[0]
        return rotations
