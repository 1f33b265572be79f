"""Coordinates in Blender: armature space, camera axes and root motion (docs/conventions.md)."""

from typing import NamedTuple

import bpy
import numpy as np

from ..hund_backend.body.file import BodyFile
from . import quaternions

# Armature space: x to the person's left, y to the back, z up; Blender's front view shows the face.
ARMATURE_FROM_BODY = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])

# Blender's cameras look along −z with y up, OpenCV's along z with y down.
CAMERA_FROM_BLENDER = np.diag([1.0, -1, -1, 1])


class RestPose(NamedTuple):
    """Rest pose of a person in armature space with the soles on z = 0, in Blender units."""

    joints: np.ndarray  # (joints, 3)
    template: np.ndarray  # (vertices, 3): body with zero betas, raised by as much as the joints
    vertices: np.ndarray  # (vertices, 3): body with the person's betas
    units_per_meter: float


class RootMotion(NamedTuple):
    """Motion of the root in the world."""

    rotations: np.ndarray  # (frames, 4): body frame → world
    positions: np.ndarray  # (frames, 3): of the pelvis, metres


def units_per_meter(scene: bpy.types.Scene) -> float:
    """Return the Blender units in a metre: 100 in a scene whose unit is a centimetre."""
    settings = scene.unit_settings
    return 1.0 if settings.system == "NONE" else 1 / settings.scale_length


def rest_pose(body: BodyFile, betas: np.ndarray, units_per_meter: float) -> RestPose:
    """Return the rest pose of a body with the given betas (16,), in Blender units."""
    vertices = body.template + np.tensordot(betas, body.shape_basis, 1)
    joints = body.joints + np.tensordot(betas, body.joint_basis, 1)
    ground_offset = [0, 0, -vertices[:, 1].min()]

    def in_armature(points: np.ndarray) -> np.ndarray:
        return (points @ ARMATURE_FROM_BODY.T + ground_offset) * units_per_meter

    points = (in_armature(each) for each in (joints, body.template, vertices))
    return RestPose(*points, units_per_meter)


def root_motion(
    rotations: np.ndarray, translations: np.ndarray, world_from_camera: np.ndarray
) -> RootMotion:
    """Transform a person's root from the camera frame to the world.

    Args:
        rotations: (frames, 4), body frame → camera frame.
        translations: (frames, 3), in the camera frame, metres.
        world_from_camera: (frames, 4, 4).
    """
    camera_rotations, camera_positions = world_from_camera[:, :3, :3], world_from_camera[:, :3, 3]
    in_camera = translations.astype(np.float64)
    return RootMotion(
        rotations=quaternions.multiply(quaternions.from_matrices(camera_rotations), rotations),
        positions=(camera_rotations @ in_camera[..., None])[..., 0] + camera_positions,
    )
