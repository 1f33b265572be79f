"""Exports Google's licensed GHUM to a body file: `python -m tools.export_ghum MODEL OUTPUT`.

GHUM is not part of this project, and its licence forbids redistribution. Run this in your own
installation (Python with TensorFlow and the `ghum` package of google-research), do not pass on the
file it writes, and load it with `BodyModel.load(path=...)`. Only the package's public interface is
used: the parameters of `create_ghum_parameters`, posed by `pose`; bases are measured by posing unit
coefficients. It needs Python 3.11, so a newer TensorFlow than the one GHUM was released with.
Tested with a fake of that interface; untested with the release.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.spatial import cKDTree

from hund_backend.atomic_write import atomic_write
from hund_backend.body.file import (
    NUM_ARKIT,
    NUM_BETAS,
    NUM_EXPRESSION,
    SCHEMA,
    load_body_file,
)
from hund_backend.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES, PARENTS

NUM_INFLUENCES = 6
FACE_THRESHOLD = 1e-5  # metres; vertices that no expression moves farther are not stored


class Ghum(Protocol):
    """Interface to GHUM: its tables, and rest bodies for given coefficients, metres."""

    joint_names: tuple[str, ...]
    triangles: np.ndarray  # (F, 3)
    skinning_weights: np.ndarray  # (V, 63)

    def rest(self, betas: np.ndarray, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return vertices (V, 3) and joints (63, 3) in the rest pose."""


@dataclass(frozen=True)
class InstalledGhum:
    """GHUM of the installed package."""

    package: object  # the imported module `ghum`
    parameters: object  # result of `create_ghum_parameters`

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in GHUM's order."""
        return tuple(str(name) for name in self.parameters.joint_names)

    @property
    def triangles(self) -> np.ndarray:
        """Triangles of the mesh."""
        return np.asarray(self.parameters.triangles)

    @property
    def skinning_weights(self) -> np.ndarray:
        """Weights of the joints for each vertex."""
        return np.asarray(self.parameters.skinning_weights)

    def rest(self, betas: np.ndarray, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return vertices (V, 3) and joints (63, 3) in the rest pose."""
        identity = np.tile([1.0, 0, 0, 1, 0, 0], len(JOINT_NAMES))  # 6D, row-major 3 × 2
        pose = np.concatenate([np.zeros(3), identity])[None]
        body = self.package.create_ghum_from_parameters(self.parameters)
        posed = body.pose(
            self.package.GHUMPoseParameters(
                pose=pose, shape=betas[None], expression=expression[None]
            )
        )
        return np.asarray(posed.vertices)[0], np.asarray(posed.joints)[0]


def export(ghum: Ghum) -> dict[str, np.ndarray]:
    """Return the arrays of a body file for GHUM.

    The rest pose is GHUM's own. Parts and keypoints, which GHUM lacks, are transferred from our
    body by nearest vertices after aligning the meshes. The ARKit shapes are zero, and triangles
    are stored as quads with their last corner repeated.

    Raises:
        ValueError: the joints are not GHUM's 63.
    """
    if tuple(ghum.joint_names) != JOINT_NAMES:
        raise ValueError("'joint_names' should be GHUM's 63, in its order.")
    betas, expression = np.zeros(NUM_BETAS), np.zeros(NUM_EXPRESSION)
    vertices, joints = ghum.rest(betas, expression)
    origin = joints[0].copy()

    def difference(betas: np.ndarray, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved, moved_joints = ghum.rest(betas, expression)
        # The pelvis is the origin for all betas.
        return moved - moved_joints[0] - vertices + origin, (
            moved_joints - moved_joints[0] - joints + origin
        )

    shapes = [difference(unit, expression) for unit in np.eye(NUM_BETAS)]
    faces = np.stack([difference(betas, unit)[0] for unit in np.eye(NUM_EXPRESSION)])
    moved = np.nonzero(np.abs(faces).max((0, 2)) > FACE_THRESHOLD)[0]
    weights = np.asarray(ghum.skinning_weights)
    influences = np.argsort(-weights, axis=1, kind="stable")[:, :NUM_INFLUENCES]
    triangles = np.asarray(ghum.triangles)
    arrays = {
        "schema": np.array(SCHEMA),
        "joint_names": np.array(JOINT_NAMES),
        "parents": np.array(PARENTS, np.int16),
        "template": (vertices - origin).astype(np.float32),
        "joints": (joints - origin).astype(np.float32),
        "shape_basis": np.stack([shape for shape, _ in shapes]).astype(np.float32),
        "joint_basis": np.stack([shape for _, shape in shapes]).astype(np.float32),
        "face_vertices": moved.astype(np.uint16),
        "expression_basis": faces[:, moved].astype(np.float32),
        "arkit_basis": np.zeros((NUM_ARKIT, len(moved), 3), np.float16),
        "weight_joints": influences.astype(np.uint8),
        "weight_values": np.take_along_axis(weights, influences, 1).astype(np.float32),
        "quads": np.concatenate([triangles, triangles[:, 2:]], axis=1).astype(np.uint16),
        "texture_coordinates": np.zeros((1, 2), np.float16),
        "quad_texture_coordinates": np.zeros((len(triangles), 4), np.uint16),
        "low_vertices": np.arange(len(vertices), dtype=np.uint16),
        "low_faces": triangles.astype(np.uint16),
        "low_texture_coordinates": np.zeros_like(triangles, np.uint16),
    }
    return arrays | _transfer_from_own_body(arrays["template"], arrays["joints"])


def _transfer_from_own_body(vertices: np.ndarray, joints: np.ndarray) -> dict[str, np.ndarray]:
    """Return parts, keypoints and mirror images by the nearest vertices of our body."""
    own = load_body_file()
    scale = np.linalg.norm(joints, axis=1).mean() / np.linalg.norm(own.joints, axis=1).mean()
    own_vertices = scale * own.template
    nearest_vertex = cKDTree(vertices).query(own_vertices)[1]
    arrays = {
        "arkit_names": np.array(own.arkit_names),
        "fine_part_of_vertex": own.fine_part_of_vertex[
            cKDTree(own_vertices).query(vertices)[1]
        ].astype(np.uint8),
        "mirror_vertices": cKDTree(vertices)
        .query(vertices * np.array([-1.0, 1.0, 1.0]))[1]
        .astype(np.uint16),
    }
    for table in KEYPOINT_NAMES:
        rows, columns, values = own.keypoint_tables[table]
        is_joint = columns >= len(own.template)
        vertex = nearest_vertex[np.where(is_joint, 0, columns)]
        joint = columns - len(own.template) + len(vertices)
        arrays[f"{table}_rows"] = rows.astype(np.uint8)
        arrays[f"{table}_columns"] = np.where(is_joint, joint, vertex).astype(np.uint16)
        arrays[f"{table}_values"] = values
    return arrays


def main() -> None:
    """Export the installed GHUM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of the licensed GHUM model")
    parser.add_argument("output", type=Path, help="the body file to write")
    options = parser.parse_args()
    import ghum  # the licensed package: only its owners have it

    parameters = ghum.create_ghum_parameters(str(options.model))
    arrays = export(InstalledGhum(ghum, parameters))
    with atomic_write(options.output) as [part]:
        np.savez_compressed(part, **arrays)
    print(f"{options.output}: written; GHUM's licence forbids redistribution")


if __name__ == "__main__":
    main()
