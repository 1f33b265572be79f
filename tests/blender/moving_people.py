"""People who move smoothly and at random before a camera, and a naive twin of the body model."""

from dataclasses import replace

import bpy
import numpy as np
from bl_ext.user_default.hund.hund_backend.body.file import load_body_file
from bl_ext.user_default.hund.hund_backend.body.skeleton import JOINT_NAMES, PARENTS
from bl_ext.user_default.hund.hund_backend.reconstruction import Reconstruction

BODY = load_body_file()


def smooth(rng, frames, *shape, size=1.0):
    """Sums of three slow waves, (frames, *shape)."""
    time = np.linspace(0, 1, frames).reshape(-1, *(1 for _ in shape))
    waves = [
        rng.normal(size=shape) * np.sin(2 * np.pi * (speed * time + rng.uniform(size=shape)))
        for speed in (0.5, 1.3, 2.1)
    ]
    return size * sum(waves)


def quaternions_of(rotvecs):
    angle = np.linalg.norm(rotvecs, axis=-1, keepdims=True)
    axis = rotvecs / np.maximum(angle, 1e-12)
    return np.concatenate((np.cos(angle / 2), np.sin(angle / 2) * axis), axis=-1)


def matrices_of(quaternions):
    w, x, y, z = np.moveaxis(np.asarray(quaternions, np.float64), -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def transforms_of(rotations, root_translation, betas):
    """Naive kinematics of one frame: rest joints, and where each joint's frame then stands."""
    joints = BODY.joints + np.tensordot(betas, BODY.joint_basis, 1)
    transforms = []
    for joint, (parent, turn) in enumerate(zip(PARENTS, matrices_of(rotations), strict=True)):
        local = np.eye(4)
        local[:3, :3] = turn
        local[:3, 3] = root_translation if parent < 0 else joints[joint] - joints[parent]
        transforms.append(local if parent < 0 else transforms[parent] @ local)
    return joints, np.array(transforms)


def vertices_of(reconstruction, person, frame):
    """A person's vertices in the world by naive skinning, (vertices, 3)."""
    vertices = BODY.template.astype(np.float64)
    vertices += np.tensordot(reconstruction.betas[person], BODY.shape_basis, 1)
    for values, basis in (
        (reconstruction.expression, BODY.expression_basis),
        (reconstruction.arkit, BODY.arkit_basis),
    ):
        vertices[BODY.face_vertices] += np.tensordot(values[person, frame], basis, 1)
    joints, transforms = transforms_of(
        reconstruction.rotations[person, frame],
        reconstruction.root_translation[person, frame],
        reconstruction.betas[person],
    )
    moved = np.zeros_like(vertices)
    for joint, transform in enumerate(transforms):
        placed = (vertices - joints[joint]) @ transform[:3, :3].T + transform[:3, 3]
        moved += BODY.skinning_weights[:, joint, None] * placed
    return in_world(reconstruction, moved, frame)


def in_world(reconstruction, points, frame):
    """Points of the camera frame in the world."""
    transform = reconstruction.world_from_camera[frame]
    return points @ transform[:3, :3].T + transform[:3, 3]


def build_reconstruction(
    people=1, frames=20, seed=0, fps=30.0, moves_camera=False, moves_face=True, **changes
):
    """A valid Reconstruction with large smooth motion; `changes` replace its fields."""
    rng = np.random.default_rng(seed)
    joints = len(JOINT_NAMES)
    rotvecs = smooth(rng, frames, people, joints, 3, size=0.35)
    rotvecs[:, :, 0] = smooth(rng, frames, people, 3, size=1.2)
    rotvecs[:, :, 0, 0] += np.pi  # the body's y is up, the camera's down
    rotations = np.moveaxis(quaternions_of(rotvecs), 0, 1)
    rotations *= rng.choice([-1, 1], size=(*rotations.shape[:3], 1))  # either sign is the same
    places = np.moveaxis(smooth(rng, frames, people, 3, size=0.3), 0, 1)
    places[..., 2] += 4
    betas = rng.normal(size=(people, 16))
    expression = np.moveaxis(smooth(rng, frames, people, 20, size=0.5), 0, 1)
    arkit = np.moveaxis(np.clip(smooth(rng, frames, people, 52, size=0.5), 0, 1), 0, 1)
    if not moves_face:
        expression, arkit = expression[:, :1].repeat(frames, 1), arkit[:, :1].repeat(frames, 1)
    posed = [
        [transforms_of(*frame, build)[1][:, :3, 3] for frame in zip(*person, strict=True)]
        for *person, build in zip(rotations, places, betas, strict=True)
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
        "world_from_camera": cameras(rng, frames, moves_camera),
        "joint_names": JOINT_NAMES,
        "parents": np.array(PARENTS),
        "track_ids": np.arange(people),
        "present": np.ones((people, frames), bool),
        "rotations": rotations.astype(np.float32),
        "root_translation": places.astype(np.float32),
        "betas": betas.astype(np.float32),
        "expression": expression.astype(np.float32),
        "arkit": arkit.astype(np.float32),
        "joints": np.array(posed, np.float32),
        "keypoints": np.zeros((people, frames, 33, 3), np.float32),
        "joint_confidence": np.full((people, frames, joints), 0.75, np.float32),
        "contacts": np.zeros((people, frames, 4), np.float32),
        "stage_losses": np.zeros((people, frames, 1, 1), np.float32),
    }
    reconstruction = Reconstruction(**(fields | changes))
    reconstruction.validate()
    return reconstruction


def build_descent(stages=5, **options):
    """A Reconstruction that tells of its stages, and each stage as if it were a result of its own."""
    finished = build_reconstruction(**options)
    shape = {"people": len(finished.betas), "frames": len(finished.times)}
    others = [build_reconstruction(**shape, seed=100 + stage) for stage in range(stages)]
    told = replace(
        finished,
        stage_losses=np.zeros((*shape.values(), stages, 1), np.float32),
        stage_rotations=np.stack([other.rotations for other in others], axis=2),
        stage_root_translation=np.stack([other.root_translation for other in others], axis=2),
    )
    told.validate()
    return told, [
        replace(finished, rotations=other.rotations, root_translation=other.root_translation)
        for other in others
    ]


def cameras(rng, frames, moves):
    """A camera 1.5 m above the ground that looks at y, a little down; it may wander."""
    level = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # world z up from camera y down
    rotvecs = [[-0.15, 0, 0]] + (
        smooth(rng, frames, 3, size=0.1) if moves else np.zeros((frames, 3))
    )
    transforms = np.tile(np.eye(4), (frames, 1, 1))
    transforms[:, :3, :3] = level @ matrices_of(quaternions_of(np.array(rotvecs)))
    transforms[:, :3, 3] = [0.2, -1, 1.5]
    if moves:
        transforms[:, :3, 3] += smooth(rng, frames, 3, size=0.2)
    return transforms


def show(scene, frame):
    """Go to a frame, whole or not."""
    whole = int(np.floor(frame))
    scene.frame_set(whole, subframe=float(frame - whole))


def heads_of(armature):
    """Heads of the joints' bones in the world as they are shown, (joints, 3)."""
    shown = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    places = [shown.matrix_world @ shown.pose.bones[name].head for name in JOINT_NAMES]
    return np.array(places)


def skin_of(armature):
    """Vertices of an armature's mesh in the world as they are shown, (vertices, 3)."""
    (mesh,) = armature.children
    shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    places = np.empty(3 * len(shown.data.vertices), np.float32)
    shown.data.vertices.foreach_get("co", places)
    return places.reshape(-1, 3) @ np.array(shown.matrix_world.to_3x3()).T + np.array(
        shown.matrix_world.translation
    )
