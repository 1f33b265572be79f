"""Synthetic kits and estimates with a known truth."""

from pathlib import Path

import numpy as np

from hund_backend.evaluation.kits import Kit, KitFrame
from hund_backend.evaluation.scoring import Estimates

NAMES = (
    "head_top",
    "neck",
    *(f"{side}_{name}" for side in ("right", "left") for name in ("shoulder", "elbow", "wrist")),
    *(f"{side}_{name}" for side in ("right", "left") for name in ("hip", "knee", "ankle")),
    "pelvis",
)
INTRINSICS = np.array([[1000.0, 0, 500], [0, 1000, 500], [0, 0, 1]])


def random_people(num_frames, seed=0):
    """Joints in mm in front of the camera; the pelvis in the middle of the hips."""
    rng = np.random.default_rng(seed)
    joints = rng.normal(scale=400, size=(num_frames, len(NAMES), 3)) + np.array([0, 0, 4000])
    hips = [NAMES.index("left_hip"), NAMES.index("right_hip")]
    joints[:, NAMES.index("pelvis")] = joints[:, hips].mean(axis=1)
    return joints


def projected(joints_mm):
    image = joints_mm @ INTRINSICS.T
    return image[..., :2] / image[..., 2:]


def make_kit(joints_mm, joints_px=None, *, clip=None, names=NAMES):
    """A kit of pictures, or of frames of one clip; joints that are None are left out."""
    count = len(joints_px if joints_mm is None else joints_mm)
    return Kit(
        folder=Path("toy"),
        name="toy",
        source="made up",
        licence="CC0",
        joint_names=names,
        frames=tuple(
            KitFrame(
                path=Path(clip or f"{number}.png"),
                number=number if clip else None,
                width=1000,
                height=1000,
                intrinsics=INTRINSICS,
                joints_px=None if joints_px is None else joints_px[number],
                has_px=np.full(len(names), joints_px is not None),
                joints_mm=None if joints_mm is None else joints_mm[number],
                has_mm=np.full(len(names), joints_mm is not None),
            )
            for number in range(count)
        ),
    )


def make_estimates(joints_mm, joints_px, *, method="guess", defined=NAMES, found=None):
    found = np.ones(len(joints_mm), dtype=bool) if found is None else found
    return Estimates(
        method=method,
        defined=frozenset(defined),
        found=found,
        joints_px=np.where(found[:, None, None], joints_px, np.nan),
        joints_mm=np.where(found[:, None, None], joints_mm, np.nan),
    )
