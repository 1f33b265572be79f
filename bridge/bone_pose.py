"""Bone poses: from a Reconstruction's joint rotations to the transforms of pose bones."""

from typing import NamedTuple

import bpy
import numpy as np

from . import quaternions, rest_pose
from .armature import bone_heads
from .world import ARMATURE_FROM_BODY, root_motion


class BonePose(NamedTuple):
    """Transforms of an armature's pose bones, in the order of the joints."""

    rotations: np.ndarray  # (frames, joints, 4): quaternions of either sign
    locations: np.ndarray  # (frames, 3): of the root; the other bones do not move


def from_joints(
    armature: bpy.types.Object,
    rotations: np.ndarray,
    root_translation: np.ndarray,
    world_from_camera: np.ndarray,
    units_per_meter: float,
) -> BonePose:
    """Convert a person's pose from the file's joint frames to the bones' axes.

    Joints rotate in frames that coincide with the body frame at rest; a bone rotates in its own
    axes. With A = armature_from_body, B_j the axes of bone j at rest and G_j the orientation of
    joint j in the body frame, the posed bone is A G_j Aᵀ B_j, which at rest is B_j. Blender poses
    it as M_j = M_p B_pᵀ B_j basis_j with M_p = A G_p Aᵀ B_p, and G_j = G_p R_j; so
        basis_j = C_j R_j C_jᵀ  with  C_j = B_jᵀ A = bone_from_body.
    In another rest pose than the A-pose, bone j is at rest rotated by P_j in its own axes, relative
    to its parent, from where it is in the A-pose; B_j are its axes in the A-pose, and the rotation
    is P_jᵀ basis_j.
    The root has no parent and rotates from the body frame into the world, in which the armature
    has the identity transform. With W = world_from_body the posed root is W Aᵀ B_0, so
        basis_0 = B_0ᵀ (W Aᵀ) B_0,  location_0 = B_0ᵀ (position − head_0).

    Args:
        armature: made for this person.
        rotations: (frames, joints, 4), each in its parent's frame; the root's: body → camera.
        root_translation: (frames, 3), in the camera frame, metres.
        world_from_camera: (frames, 4, 4), metres.
        units_per_meter: Blender units in a metre.
    """
    offsets, axes = rest_pose.offsets_and_axes(armature)
    heads = bone_heads(armature)
    root = root_motion(rotations[:, 0], root_translation, world_from_camera)
    bone_rotations = quaternions.change_basis(
        rotations.astype(np.float64), axes.swapaxes(1, 2) @ ARMATURE_FROM_BODY
    )
    bone_rotations = quaternions.multiply(offsets * [1, -1, -1, -1], bone_rotations)
    body_from_armature = quaternions.from_matrices(ARMATURE_FROM_BODY.T[None])
    world_from_armature = quaternions.multiply(root.rotations, body_from_armature)
    bone_rotations[:, 0] = quaternions.change_basis(world_from_armature, axes[0].T)
    positions = root.positions * units_per_meter
    return BonePose(bone_rotations, (positions - heads[0]) @ axes[0])


def to_joints(
    armature: bpy.types.Object,
    pose: BonePose,
    world_from_camera: np.ndarray,
    units_per_meter: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Convert the pose of bones to the file's joint frames: the inverse of `from_joints`.

    Args:
        armature: made for this person.
        pose: of its bones.
        world_from_camera: (frames, 4, 4), metres.
        units_per_meter: Blender units in a metre.

    Returns:
        Quaternions (frames, joints, 4) with w ≥ 0, and the root's translation (frames, 3), metres.
    """
    offsets, axes = rest_pose.offsets_and_axes(armature)
    heads = bone_heads(armature)
    rotations = quaternions.change_basis(
        quaternions.multiply(np.broadcast_to(offsets, pose.rotations.shape), pose.rotations),
        ARMATURE_FROM_BODY.T @ axes,
    )
    world_from_armature = quaternions.change_basis(pose.rotations[:, 0], axes[0])
    world_from_body = quaternions.multiply(
        world_from_armature, quaternions.from_matrices(ARMATURE_FROM_BODY[None])
    )
    camera_from_world = quaternions.from_matrices(world_from_camera[:, :3, :3].swapaxes(1, 2))
    rotations[:, 0] = quaternions.multiply(camera_from_world, world_from_body)
    rotations *= np.where(rotations[..., :1] < 0, -1, 1)
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)  # curves are read part by part
    positions = (heads[0] + pose.locations @ axes[0].T) / units_per_meter
    offset = positions - world_from_camera[:, :3, 3]
    return rotations, (offset[:, None] @ world_from_camera[:, :3, :3])[:, 0]
