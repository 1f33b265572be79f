"""Error of skinning with four bones a vertex: `python -m benchmarks.glb_influences CLIP.npz`.

Compares, over a clip's poses and over random ones, the full skin with the four largest weights
scaled to a sum of one (what GLB exports have) and with weights fitted by least squares over other
random poses.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from hund_backend.body.file import BodyFile, load_body_file
from hund_backend.body.skeleton import PARENTS
from hund_backend.reconstruction import Reconstruction

LIMIT = 4
FIT_POSES, TEST_POSES = 30, 40
BEND = 0.5  # radians, of a random pose's joints
SUM_WEIGHT = 1e3  # of the equation that the weights sum to one


def main(path: Path) -> None:
    """Print a table of errors in millimetres."""
    body, clip, rng = load_body_file(), Reconstruction.load(path), np.random.default_rng(0)
    weights = body.skinning_weights.astype(float)
    many = np.flatnonzero((weights > 0).sum(1) > LIMIT)
    print(f"{len(many)} of {len(weights)} vertices have more than {LIMIT} bones")
    weights = weights[many]
    neutral = np.zeros(len(body.shape_basis))
    random = [(_random_pose(rng), neutral) for _ in range(FIT_POSES + TEST_POSES)]
    of_clip = [
        (_upright(rotations), betas)
        for person, betas in zip(clip.rotations, clip.betas, strict=True)
        for rotations in person
    ]
    kept = np.argsort(-weights, axis=1)[:, :LIMIT]
    methods = {
        "largest": _largest(weights, kept),
        "least squares": _fitted(body, many, weights, kept, random[:FIT_POSES]),
    }
    for poses_name, poses in (("clip", of_clip), ("random", random[FIT_POSES:])):
        for name, limited in methods.items():
            errors = 1e3 * np.array(
                [_distances(body, many, pose, weights, limited) for pose in poses]
            )
            print(
                f"{poses_name:8} {name:14} mean {errors.mean():.2f} mm, "
                f"99 % {np.quantile(errors, 0.99):.2f} mm, largest {errors.max():.2f} mm"
            )


def _random_pose(rng: np.random.Generator) -> np.ndarray:
    rotvecs = rng.normal(size=(len(PARENTS), 3)) * BEND
    rotvecs[0] = 0
    angles = np.linalg.norm(rotvecs, axis=1, keepdims=True)
    axes = rotvecs / np.maximum(angles, 1e-9)
    return np.concatenate((np.cos(angles / 2), np.sin(angles / 2) * axes), axis=1)


def _upright(rotations: np.ndarray) -> np.ndarray:
    rotations = rotations.astype(float)
    rotations[0] = (1, 0, 0, 0)
    return rotations


def _transforms(body: BodyFile, rotations: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """Transforms of the joints relative to rest, (joints, 4, 4)."""
    joints = body.joints + np.tensordot(betas, body.joint_basis, 1)
    w, x, y, z = rotations.T
    matrices = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    transforms = np.tile(np.eye(4), (len(joints), 1, 1))
    for joint, parent in enumerate(PARENTS):
        transforms[joint, :3, :3] = matrices[joint]
        transforms[joint, :3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        if parent >= 0:
            transforms[joint] = transforms[parent] @ transforms[joint]
    transforms[:, :3, 3] -= np.einsum("jab,jb->ja", transforms[:, :3, :3], joints)
    return transforms


def _moved(
    body: BodyFile, vertices: np.ndarray, pose: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Vertices as each joint alone would move them, (joints, vertices, 3)."""
    rest = (body.template + np.tensordot(pose[1], body.shape_basis, 1))[vertices]
    transforms = _transforms(body, *pose)
    return np.einsum("jab,vb->jva", transforms[:, :3, :3], rest) + transforms[:, None, :3, 3]


def _distances(
    body: BodyFile,
    vertices: np.ndarray,
    pose: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    limited: np.ndarray,
) -> np.ndarray:
    """Distances between two skins, (vertices,), metres."""
    difference = np.einsum("vj,jva->va", weights - limited, _moved(body, vertices, pose))
    return np.linalg.norm(difference, axis=1)


def _largest(weights: np.ndarray, kept: np.ndarray) -> np.ndarray:
    limited = np.zeros_like(weights)
    np.put_along_axis(limited, kept, np.take_along_axis(weights, kept, 1), 1)
    return limited / limited.sum(1, keepdims=True)


def _fitted(
    body: BodyFile,
    vertices: np.ndarray,
    weights: np.ndarray,
    kept: np.ndarray,
    poses: list[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    moved = np.array([_moved(body, vertices, pose) for pose in poses])
    full = np.einsum("vj,pjva->pva", weights, moved)
    limited = np.zeros_like(weights)
    for row, joints in enumerate(kept):
        columns = moved[:, joints, row].transpose(0, 2, 1).reshape(-1, LIMIT)
        columns = np.vstack((columns, np.full((1, LIMIT), SUM_WEIGHT)))
        limited[row, joints] = nnls(columns, np.append(full[:, row], SUM_WEIGHT))[0]
    return limited / limited.sum(1, keepdims=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
