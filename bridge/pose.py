"""Poses: how bones have to be turned and moved for joints to stand as the backend says."""

from typing import NamedTuple

import bpy
import numpy as np

from . import quaternions
from .armature import bone_frames
from .world import ARMATURE_FROM_BODY, root_motion


class Pose(NamedTuple):
    """What an armature's pose bones take, joint by joint."""

    rotations: np.ndarray  # (frames, joints, 4): quaternions of either sign
    locations: np.ndarray  # (frames, 3): of the root; the other bones stay in their sockets


def in_bones(
    armature: bpy.types.Object,
    rotations: np.ndarray,
    root_translation: np.ndarray,
    world_from_camera: np.ndarray,
) -> Pose:
    """A person's pose, as the file gives it, in the axes of the armature's bones.

    Joints turn in frames that at rest are the body's; a bone turns in its own axes. With
    A = armature_from_body, B_j the axes of bone j at rest and G_j the orientation of joint j in
    the body frame, the posed bone should stand as A G_j Aᵀ B_j: at rest, B_j. Blender poses it as
    M_j = M_p B_pᵀ B_j basis_j with M_p = A G_p Aᵀ B_p, and G_j = G_p R_j; so
        basis_j = C_j R_j C_jᵀ  with  C_j = B_jᵀ A = bone_from_body.
    The root has no parent, and turns from the body frame into the world, where the armature
    stands unmoved: with W = world_from_body it should stand as W Aᵀ B_0, so
        basis_0 = B_0ᵀ (W Aᵀ) B_0,  location_0 = B_0ᵀ (position − head_0).

    Args:
        armature: made for this person.
        rotations: (frames, joints, 4), each in its parent's frame; the root's: body → camera.
        root_translation: (frames, 3), in the camera frame.
        world_from_camera: (frames, 4, 4).
    """
    axes, heads = bone_frames(armature)
    root = root_motion(rotations[:, 0], root_translation, world_from_camera)
    turns = quaternions.in_frame(
        rotations.astype(np.float64), axes.swapaxes(1, 2) @ ARMATURE_FROM_BODY
    )
    body_from_armature = quaternions.from_matrices(ARMATURE_FROM_BODY.T[None])
    from_rest = quaternions.multiply(root.rotations, body_from_armature)
    turns[:, 0] = quaternions.in_frame(from_rest, axes[0].T)
    return Pose(turns, (root.positions - heads[0]) @ axes[0])
