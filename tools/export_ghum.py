"""Writes Google's licensed GHUM in our schema, for those who own it: `python -m tools.export_ghum`.

GHUM is no part of this project and may not be passed on. Run this inside your own installation
(Python with TensorFlow and the `ghum` package of google-research), keep what it writes to yourself,
and name it with `BodyModel.load(path=...)`. It uses the package's public interface only: the
parameters that `create_ghum_parameters` makes, posed by `pose`; bases are read off by posing unit
coefficients. It needs Python 3.11, so a TensorFlow newer than the one GHUM was released with.
Tested against a stand-in with that interface; untested against the release.
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
FACE_THRESHOLD = 1e-5  # metres; vertices that no expression moves further are not stored


class Ghum(Protocol):
    """What is asked of GHUM: the arrays of one rest body for given coefficients, metres."""

    joint_names: tuple[str, ...]
    triangles: np.ndarray  # (F, 3)
    skinning_weights: np.ndarray  # (V, 63)

    def rest(self, betas: np.ndarray, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3) and joints (63, 3) in the rest pose."""


@dataclass(frozen=True)
class InstalledGhum:
    """GHUM as its package gives it."""

    package: object  # the imported module `ghum`
    parameters: object  # what `create_ghum_parameters` returned

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names in GHUM's order."""
        return tuple(str(name) for name in self.parameters.joint_names)

    @property
    def triangles(self) -> np.ndarray:
        """Triangles of the mesh."""
        return np.asarray(self.parameters.triangles)

    @property
    def skinning_weights(self) -> np.ndarray:
        """Weights of the joints in each vertex."""
        return np.asarray(self.parameters.skinning_weights)

    def rest(self, betas: np.ndarray, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The body of the coefficients in the rest pose."""
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
    """Arrays of a body file from GHUM.

    The rest pose stays GHUM's own. What GHUM does not have comes from our body by the nearest
    vertex after laying mesh on mesh: parts and keypoints; the ARKit-named keys stay zero, and
    triangles stand in for quads, with their last corner twice.

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
        # The pelvis is the origin of every build.
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
    return arrays | _borrowed(arrays["template"], arrays["joints"])


def _borrowed(vertices: np.ndarray, joints: np.ndarray) -> dict[str, np.ndarray]:
    """Parts, keypoints and mirror images, found through the nearest vertices of our body."""
    ours = load_body_file()
    scale = np.linalg.norm(joints, axis=1).mean() / np.linalg.norm(ours.joints, axis=1).mean()
    place = scale * ours.template
    nearest_of_ours = cKDTree(vertices).query(place)[1]
    arrays = {
        "arkit_names": np.array(ours.arkit_names),
        "fine_part_of_vertex": ours.fine_part_of_vertex[cKDTree(place).query(vertices)[1]].astype(
            np.uint8
        ),
        "mirror_vertices": cKDTree(vertices)
        .query(vertices * np.array([-1.0, 1.0, 1.0]))[1]
        .astype(np.uint16),
    }
    for table in KEYPOINT_NAMES:
        rows, columns, values = ours.keypoint_tables[table]
        is_joint = columns >= len(ours.template)
        vertex = nearest_of_ours[np.where(is_joint, 0, columns)]
        joint = columns - len(ours.template) + len(vertices)
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
    print(f"{options.output}: written; GHUM's licence forbids passing it on")


if __name__ == "__main__":
    main()
