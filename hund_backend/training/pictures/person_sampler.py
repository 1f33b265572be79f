"""Random people for pictures: shape, appearance and clothes, in a captured pose."""

from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    LEFT_HAND_JOINTS,
    RIGHT_HAND_JOINTS,
)
from ..motion.motion_set import MotionSet, Split
from ..motion.retargeting import mirror_rotations
from ..priors.hand_poses import hand_poses
from .appearance import Appearance, sample_appearance
from .body_template import BodyTemplate
from .fabrics import Fabric, sample_fabric
from .scenery import Scenery
from .wardrobe import Garment, sample_outfit

BETAS_STD = 0.9
NUM_HAND_POSES = 600  # of each split
PERTURBED_JOINTS = tuple(
    JOINT_INDEX[name]
    for stem in ("Upperarm", "Lowerarm", "Hand", "Thigh", "Calf", "Clavicle")
    for name in (f"{stem}L", f"{stem}R")
) + tuple(JOINT_INDEX[name] for name in ("Spine01", "Spine02", "Neck01", "Head01"))


@dataclass(frozen=True, kw_only=True)
class Person:
    """Person in a pose, in a world with y up and the floor at 0."""

    rotations: Float[Tensor, "63 3 3"]  # parent-relative; the pelvis in the world
    pelvis_height: float  # on the mean body, metres
    on_floor: bool  # whether the person touches the floor
    betas: Float[Tensor, "16"]
    expression: Float[Tensor, "20"]
    appearance: Appearance
    garments: tuple[Garment, ...]  # from the innermost out
    skirt: Fabric | None
    long_hair: bool
    has_brim: bool
    frame: int  # of the motion set


class PersonSampler:
    """Samples people of a split; splits share no motions, shapes or clothes."""

    def __init__(self, motions: MotionSet, scenery: Scenery, template: BodyTemplate) -> None:
        self.motions, self.scenery, self.template = motions, scenery, template
        inside = motions.frames_of(scenery.split)
        weights = (motions.weights() * inside).double().numpy()
        self._cumulative = np.cumsum(weights / weights.sum())
        generator = torch.Generator().manual_seed(get_args(Split).index(scenery.split))
        hands = hand_poses(template.model.rest_template, NUM_HAND_POSES, generator)
        self._hands = torch.eye(3).repeat(NUM_HAND_POSES, len(JOINT_NAMES), 1, 1)
        self._hands[:, 1:] = hands

    def sample(self, rng: np.random.Generator) -> Person:
        """Sample a person."""
        frame = int(np.searchsorted(self._cumulative, rng.random() * self._cumulative[-1]))
        rotations = self._pose(frame, rng)
        hat = sample_fabric(self.scenery, rng) if rng.random() < 0.2 else None
        garments, skirt = sample_outfit(self.scenery, rng)
        appearance = sample_appearance(hat, rng)
        tilted = rng.random() < 0.06
        if tilted:  # lying, diving, upside down: motion capture has next to none of it
            tilt = rotvec_to_matrix(torch.from_numpy(rng.normal(0, 1.2, 3)).float())
            rotations[0] = tilt @ rotations[0]
        return Person(
            rotations=rotations,
            pelvis_height=float(self.motions.translation[frame, 1]),
            on_floor=tilted or bool(self.motions.contacts[frame].any()),
            betas=torch.from_numpy(rng.normal(0, BETAS_STD, 16)).float(),
            expression=torch.from_numpy(rng.normal(0, 0.6, 20)).float(),
            appearance=appearance,
            garments=tuple(garments),
            skirt=skirt,
            long_hair=appearance.hair_height > 0 and rng.random() < 0.3,
            has_brim=hat is not None and rng.random() < 0.5,
            frame=frame,
        )

    def _pose(self, frame: int, rng: np.random.Generator) -> Float[Tensor, "63 3 3"]:
        """Captured pose with random heading and hands, perhaps mirrored and perturbed."""
        rotations = self.motions.rotations[frame].clone()
        if rng.random() < 0.5:
            rotations = mirror_rotations(rotations)
        if rng.random() < 0.5:
            std = rng.uniform(0, 0.12)
            change = torch.from_numpy(rng.normal(0, std, (len(PERTURBED_JOINTS), 3))).float()
            rotations[list(PERTURBED_JOINTS)] = rotations[
                list(PERTURBED_JOINTS)
            ] @ rotvec_to_matrix(change)
        left, right = self._hands[rng.integers(NUM_HAND_POSES, size=2)]
        rotations[list(LEFT_HAND_JOINTS)] = left[list(LEFT_HAND_JOINTS)]
        rotations[list(RIGHT_HAND_JOINTS)] = mirror_rotations(right)[list(RIGHT_HAND_JOINTS)]
        turn = torch.tensor([0.0, rng.uniform(0, 2 * np.pi), 0.0])
        rotations[0] = rotvec_to_matrix(turn) @ rotations[0]
        return rotations
