"""Assets of synthetic pictures that need no downloads: synthetic motions and scenery."""

from functools import cache

import cv2
import numpy as np
import torch

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.training.motion.motion_set import MotionSet
from hund_backend.training.pictures.body_template import BodyTemplate
from hund_backend.training.pictures.person_sampler import PersonSampler
from hund_backend.training.pictures.scene import PictureAssets
from hund_backend.training.pictures.scenery import Scenery

SPLITS = ("train", "validation", "held_out", "train")
FRAMES = 5  # a clip


@cache
def template():
    return BodyTemplate()


@cache
def motions():
    """Four clips of standing people who move slightly."""
    generator = torch.Generator().manual_seed(0)
    count = FRAMES * len(SPLITS)
    rotations = torch.eye(3).repeat(count, 63, 1, 1)
    moved = list(range(13, 17)) + list(range(32, 36)) + list(range(51, 54)) + list(range(57, 60))
    vectors = torch.randn(count, len(moved), 3, generator=generator) * 0.25
    rotations[:, moved] = rotvec_to_matrix(vectors)
    return MotionSet(
        rotations=rotations,
        translation=torch.tensor([[0.0, 0.89, 0.0]]).repeat(count, 1),
        contacts=torch.ones(count, 4, dtype=torch.bool),
        starts=torch.arange(0, count + 1, FRAMES),
        names=tuple(f"pack/{index}" for index in range(len(SPLITS))),
        splits=SPLITS,
        usable=torch.ones(count, dtype=torch.bool),
        fps=30.0,
    )


def synthetic_scenery(split="train"):
    rng = np.random.default_rng(5)
    return Scenery(
        split=split,
        panoramas=(rng.uniform(0.2, 1.5, (32, 64, 3)).astype(np.float32),),
        photographs=(rng.uniform(0, 1, (48, 64, 3)).astype(np.float32),),
    )


def assets(split="train"):
    scenery = synthetic_scenery(split)
    sampler = PersonSampler(motions(), scenery, template())
    return PictureAssets(template=template(), sampler=sampler, scenery=scenery)


def write_scenery(folder):
    """Write a folder of scenery with something for every split."""
    rng = np.random.default_rng(6)
    for name in ("lab", "dawn", "elsewhere"):
        path = folder / "panoramas" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rng.uniform(0.2, 1.5, (32, 64, 3)).astype(np.float16))
    for name in ("china", "flower", "anything"):
        path = folder / "photographs" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (48, 64, 3), np.uint8))
    return folder
