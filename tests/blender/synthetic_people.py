"""Reconstructions with smooth random motion, and a naive implementation of the body model."""

from dataclasses import replace

import bpy
import numpy as np
from bl_ext.user_default.hund.bridge.bone_names import to_blender
from bl_ext.user_default.hund.hund_backend.body.file import load_body_file
from bl_ext.user_default.hund.hund_backend.body.skeleton import JOINT_NAMES, PARENTS
from bl_ext.user_default.hund.hund_backend.reconstruction import Reconstruction

BODY = load_body_file()
BONE_NAMES = tuple(to_blender(joint) for joint in JOINT_NAMES)


def random_motion(rng, frames, *shape, size=1.0):
    """Sums of three slow waves, (frames, *shape)."""
    time = np.linspace(0, 1, frames).reshape(-1, *(1 for _ in shape))
    waves = [
        rng.normal(size=shape) * np.sin(2 * np.pi * (frequency * time + rng.uniform(size=shape)))
        for frequency in (0.5, 1.3, 2.1)
    ]
    return size * sum(waves)


def rotvecs_to_quaternions(rotvecs):
    angle = np.linalg.norm(rotvecs, axis=-1, keepdims=True)
    axis = rotvecs / np.maximum(angle, 1e-12)
    return np.concatenate((np.cos(angle / 2), np.sin(angle / 2) * axis), axis=-1)


def quaternions_to_matrices(quaternions):
    w, x, y, z = np.moveaxis(np.asarray(quaternions, np.float64), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def forward_kinematics(rotations, root_translation, betas):
    """Rest joints, (joints, 3), and transforms of the joints, (joints, 4, 4), of one frame."""
    joints = BODY.joints + np.tensordot(betas, BODY.joint_basis, 1)
    transforms = []
    matrices = quaternions_to_matrices(rotations)
    for joint, (parent, rotation) in enumerate(zip(PARENTS, matrices, strict=True)):
        local = np.eye(4)
        local[:3, :3] = rotation
        local[:3, 3] = root_translation if parent < 0 else joints[joint] - joints[parent]
        transforms.append(local if parent < 0 else transforms[parent] @ local)
    return joints, np.array(transforms)


def expected_vertices(reconstruction, person, frame):
    """A person's vertices in the world by naive skinning, (vertices, 3)."""
    vertices = BODY.template.astype(np.float64)
    vertices += np.tensordot(reconstruction.betas[person], BODY.shape_basis, 1)
    face = reconstruction.driven_face
    for values, basis in zip(face, (BODY.expression_basis, BODY.arkit_basis), strict=True):
        vertices[BODY.face_vertices] += np.tensordot(values[person, frame], basis, 1)
    joints, transforms = forward_kinematics(
        reconstruction.rotations[person, frame],
        reconstruction.root_translation[person, frame],
        reconstruction.betas[person],
    )
    skinned = np.zeros_like(vertices)
    for joint, transform in enumerate(transforms):
        moved = (vertices - joints[joint]) @ transform[:3, :3].T + transform[:3, 3]
        skinned += BODY.skinning_weights[:, joint, None] * moved
    return in_world(reconstruction, skinned, frame)


def in_world(reconstruction, points, frame):
    """Transform points from the camera frame to the world."""
    transform = reconstruction.world_from_camera[frame]
    return points @ transform[:3, :3].T + transform[:3, 3]


def build_reconstruction(
    people=1, frames=20, seed=0, fps=30.0, moves_camera=False, moves_face=True, **changes
):
    """A valid Reconstruction with large smooth motion; `changes` replace its fields."""
    rng = np.random.default_rng(seed)
    joints = len(JOINT_NAMES)
    rotvecs = random_motion(rng, frames, people, joints, 3, size=0.35)
    rotvecs[:, :, 0] = random_motion(rng, frames, people, 3, size=1.2)
    rotvecs[:, :, 0, 0] += np.pi  # the body's y is up, the camera's down
    rotations = np.moveaxis(rotvecs_to_quaternions(rotvecs), 0, 1)
    rotations *= rng.choice([-1, 1], size=(*rotations.shape[:3], 1))  # either sign is the same
    root_translation = np.moveaxis(random_motion(rng, frames, people, 3, size=0.3), 0, 1)
    root_translation[..., 2] += 4
    betas = rng.normal(size=(people, 16))
    expression = np.moveaxis(random_motion(rng, frames, people, 20, size=0.5), 0, 1)
    arkit = random_motion(rng, frames, people, 52, size=0.5)
    arkit = np.moveaxis(np.clip(arkit, 0, 1), 0, 1)
    if not moves_face:
        expression, arkit = expression[:, :1].repeat(frames, 1), arkit[:, :1].repeat(frames, 1)
    posed_joints = [
        [
            forward_kinematics(*frame, person_betas)[1][:, :3, 3]
            for frame in zip(*motion, strict=True)
        ]
        for *motion, person_betas in zip(rotations, root_translation, betas, strict=True)
    ]
    fields = {
        "provenance": {"source": {"name": "dance.mp4"}},
        "fps": fps,
        "frame_numbers": np.arange(frames),
        "times": np.arange(frames) / fps,
        "image_size": (640, 360),
        "intrinsics": np.tile(
            np.array([[500.0, 0, 330], [0, 520, 170], [0, 0, 1]]), (frames, 1, 1)
        ),
        "world_from_camera": camera_poses(rng, frames, moves_camera),
        "joint_names": JOINT_NAMES,
        "parents": np.array(PARENTS),
        "track_ids": np.arange(people),
        "present": np.ones((people, frames), bool),
        "rotations": rotations.astype(np.float32),
        "root_translation": root_translation.astype(np.float32),
        "betas": betas.astype(np.float32),
        "expression": expression.astype(np.float32),
        "arkit": arkit.astype(np.float32),
        "joints": np.array(posed_joints, np.float32),
        "keypoints": np.zeros((people, frames, 33, 3), np.float32),
        "joint_confidence": np.full((people, frames, joints), 0.75, np.float32),
        "contacts": np.zeros((people, frames, 4), np.float32),
        "stage_losses": np.zeros((people, frames, 1, 1), np.float32),
    }
    reconstruction = Reconstruction(**(fields | changes))
    reconstruction.validate()
    return reconstruction


def build_descent(stages=5, **options):
    """A Reconstruction with stages, and a list with each stage's motion as a Reconstruction."""
    final = build_reconstruction(**options)
    shape = {"people": len(final.betas), "frames": len(final.times)}
    stage_motions = [build_reconstruction(**shape, seed=100 + stage) for stage in range(stages)]
    with_stages = replace(
        final,
        stage_losses=np.zeros((*shape.values(), stages, 1), np.float32),
        stage_rotations=np.stack([motion.rotations for motion in stage_motions], axis=2),
        stage_root_translation=np.stack(
            [motion.root_translation for motion in stage_motions], axis=2
        ),
    )
    with_stages.validate()
    return with_stages, [
        replace(final, rotations=motion.rotations, root_translation=motion.root_translation)
        for motion in stage_motions
    ]


def camera_poses(rng, frames, moves):
    """World from camera: 1.5 m above the ground, along y and a little down; it may move."""
    level = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # world z up from camera y down
    rotvecs = [[-0.15, 0, 0]] + (
        random_motion(rng, frames, 3, size=0.1) if moves else np.zeros((frames, 3))
    )
    transforms = np.tile(np.eye(4), (frames, 1, 1))
    rotations = quaternions_to_matrices(rotvecs_to_quaternions(np.array(rotvecs)))
    transforms[:, :3, :3] = level @ rotations
    transforms[:, :3, 3] = [0.2, -1, 1.5]
    if moves:
        transforms[:, :3, 3] += random_motion(rng, frames, 3, size=0.2)
    return transforms


def go_to_frame(scene, frame):
    """Set a scene's frame, whole or not."""
    whole = int(np.floor(frame))
    scene.frame_set(whole, subframe=float(frame - whole))


def bone_heads(armature):
    """Heads of the joints' evaluated bones in the world, (joints, 3)."""
    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    heads = [evaluated.matrix_world @ evaluated.pose.bones[name].head for name in BONE_NAMES]
    return np.array(heads)


def mesh_vertices(armature):
    """Evaluated vertices of an armature's mesh in the world, (vertices, 3)."""
    (mesh,) = armature.children
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    vertices = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", vertices)
    rotation = np.array(evaluated.matrix_world.to_3x3())
    translation = np.array(evaluated.matrix_world.translation)
    return vertices.reshape(-1, 3) @ rotation.T + translation
