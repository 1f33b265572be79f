"""A small, valid, random Reconstruction for the command-line tests."""

import numpy as np

from hund_backend.reconstruction import Reconstruction


def unit_quaternions(rng, *shape):
    quaternions = rng.normal(size=(*shape, 4))
    return (quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)).astype(np.float32)


def build_reconstruction(people=1, frames=3, joints=5, keypoints=4, stages=2, terms=3, seed=0):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def uniform(*shape):
        return rng.uniform(size=shape).astype(np.float32)

    return Reconstruction(
        provenance={"source": {"name": "wälk 歩.mp4"}, "terms": ["a", "b"], "seconds": 1.5},
        fps=29.97,
        frame_numbers=np.arange(5, 5 + frames),
        times=np.cumsum(rng.uniform(0.01, 0.1, frames)),
        image_size=(640, 480),
        intrinsics=np.tile(np.array([[640.0, 0, 320], [0, 640, 240], [0, 0, 1]]), (frames, 1, 1)),
        world_from_camera=np.tile(np.eye(4), (frames, 1, 1)),
        joint_names=tuple(f"Joint{number:02d}" for number in range(joints)),
        parents=np.array([-1, *(rng.integers(0, child) for child in range(1, joints))]),
        track_ids=rng.permutation(people),
        present=rng.uniform(size=(people, frames)) < 0.5,
        rotations=unit_quaternions(rng, people, frames, joints),
        root_translation=normal(people, frames, 3),
        betas=normal(people, 16),
        expression=normal(people, frames, 20),
        arkit=uniform(people, frames, 52),
        joints=normal(people, frames, joints, 3),
        keypoints=uniform(people, frames, keypoints, 3),
        joint_confidence=uniform(people, frames, joints),
        contacts=uniform(people, frames, 4),
        stage_losses=uniform(people, frames, stages, terms),
        stage_rotations=unit_quaternions(rng, people, frames, stages, joints),
        stage_root_translation=normal(people, frames, stages, 3),
        shots=5 + np.unique([0, frames // 2]),
        static=uniform(people),
        body_contacts=uniform(people, frames, 5),
    )
