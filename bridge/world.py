"""Blender's world: how the body's and the camera's frames stand in it (docs/conventions.md)."""

from typing import NamedTuple

import numpy as np

from ..hund_backend.body.file import BodyFile
from . import quaternions

# Armature space: x to the person's left, y to the back, z up; Blender's front view shows the face.
ARMATURE_FROM_BODY = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])

# Blender's cameras look along −z with y up, OpenCV's along z with y down.
CAMERA_FROM_BLENDER = np.diag([1.0, -1, -1, 1])


class Rest(NamedTuple):
    """A person at rest in armature space, standing with the soles on z = 0; metres."""

    joints: np.ndarray  # (joints, 3)
    template: np.ndarray  # (vertices, 3): the mean build, as high above the ground as the joints
    vertices: np.ndarray  # (vertices, 3): this build


class RootMotion(NamedTuple):
    """Where the body goes in the world."""

    rotations: np.ndarray  # (frames, 4): body frame → world
    positions: np.ndarray  # (frames, 3): of the pelvis, metres


def rest(body: BodyFile, betas: np.ndarray) -> Rest:
    """The rest pose of the build that the betas (16,) describe."""
    vertices = body.template + np.tensordot(betas, body.shape_basis, 1)
    joints = body.joints + np.tensordot(betas, body.joint_basis, 1)
    lift = [0, 0, -vertices[:, 1].min()]

    def standing(points: np.ndarray) -> np.ndarray:
        return points @ ARMATURE_FROM_BODY.T + lift

    return Rest(standing(joints), standing(body.template), standing(vertices))


def root_motion(
    rotations: np.ndarray, translations: np.ndarray, world_from_camera: np.ndarray
) -> RootMotion:
    """A person's root, which the file gives in the camera frame, in the world.

    Args:
        rotations: (frames, 4), body frame → camera frame.
        translations: (frames, 3), in the camera frame.
        world_from_camera: (frames, 4, 4).
    """
    turns, shifts = world_from_camera[:, :3, :3], world_from_camera[:, :3, 3]
    in_camera = translations.astype(np.float64)
    return RootMotion(
        rotations=quaternions.multiply(quaternions.from_matrices(turns), rotations),
        positions=(turns @ in_camera[..., None])[..., 0] + shifts,
    )
