"""Body file: the arrays of the body model. Imports no torch."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BadInputError
from ..weights_file import WEIGHTS
from .skeleton import JOINT_NAMES, KEYPOINT_NAMES, PARENTS

BODY_FILE = WEIGHTS / "body.npz"
SCHEMA = "hund-body/2"
NUM_BETAS, NUM_EXPRESSION, NUM_ARKIT = 16, 20, 52


@dataclass(frozen=True, kw_only=True)
class BodyFile:
    """Arrays of a body in its rest pose; body frame, metres; V vertices, J = 63 joints.

    Points are the vertices followed by the joints: a keypoint is a weighted sum of points.
    """

    template: np.ndarray  # (V, 3)
    joints: np.ndarray  # (J, 3)
    shape_basis: np.ndarray  # (16, V, 3): displacement per unit of each beta
    joint_basis: np.ndarray  # (16, J, 3)
    face_vertices: np.ndarray  # (E,): vertices that expressions move
    expression_basis: np.ndarray  # (20, E, 3)
    arkit_basis: np.ndarray  # (52, E, 3)
    arkit_names: tuple[str, ...]
    skinning_weights: np.ndarray  # (V, J), rows sum to one
    quads: np.ndarray  # (Q, 4)
    texture_coordinates: np.ndarray  # (T, 2)
    quad_texture_coordinates: np.ndarray  # (Q, 4): indices of texture coordinates
    fine_part_of_vertex: np.ndarray  # (V,): index into FINE_PART_NAMES
    mirror_vertices: np.ndarray  # (V,): mirror image of each vertex
    low_vertices: np.ndarray  # (L,): vertices of the low-resolution mesh
    low_faces: np.ndarray  # (F, 3): triangles over the low-resolution vertices
    low_texture_coordinates: np.ndarray  # (F, 3): indices of texture coordinates
    keypoint_tables: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    """Rows, columns (points) and values of each table's sparse matrix."""

    def keypoint_matrix(self, table: str) -> np.ndarray:
        """Return the weights of all points in each keypoint of a table, (K, V + J)."""
        rows, columns, values = self.keypoint_tables[table]
        points = len(self.template) + len(self.joints)
        matrix = np.zeros((len(KEYPOINT_NAMES[table]), points), np.float32)
        matrix[rows, columns] = values
        return matrix


def load_body_file(path: Path = BODY_FILE) -> BodyFile:
    """Load and check a body file.

    Raises:
        BadInputError: the file is missing, or not a body file of this schema.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
    except FileNotFoundError:
        raise BadInputError(
            f"The body file {path} is missing: "
            "install the extension or check out the project again."
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInputError(f"{path} is not a body file ({error}): restore it.") from None
    try:
        return _body_from_arrays(arrays)
    except (KeyError, ValueError, IndexError) as error:
        raise BadInputError(f"{path} is not a body of schema {SCHEMA} ({error}).") from None


def _body_from_arrays(arrays: dict[str, np.ndarray]) -> BodyFile:
    if str(arrays["schema"]) != SCHEMA:
        raise ValueError(f"schema {arrays['schema']}")
    if tuple(arrays["joint_names"].tolist()) != JOINT_NAMES:
        raise ValueError("other joints")
    if tuple(arrays["parents"].tolist()) != PARENTS:
        raise ValueError("other parents")
    vertices = len(arrays["template"])
    weights = np.zeros((vertices, len(JOINT_NAMES)), np.float32)
    influences = arrays["weight_joints"].astype(np.int64)
    values = arrays["weight_values"].astype(np.float32)
    np.add.at(weights, (np.arange(vertices)[:, None], influences), values)
    tables = {
        table: (
            arrays[f"{table}_rows"].astype(np.int64),
            arrays[f"{table}_columns"].astype(np.int64),
            arrays[f"{table}_values"].astype(np.float32),
        )
        for table in KEYPOINT_NAMES
    }

    def floats(key: str) -> np.ndarray:
        return arrays[key].astype(np.float32)

    def integers(key: str) -> np.ndarray:
        return arrays[key].astype(np.int64)

    return BodyFile(
        template=floats("template"),
        joints=floats("joints"),
        shape_basis=floats("shape_basis"),
        joint_basis=floats("joint_basis"),
        face_vertices=integers("face_vertices"),
        expression_basis=floats("expression_basis"),
        arkit_basis=floats("arkit_basis"),
        arkit_names=tuple(arrays["arkit_names"].tolist()),
        skinning_weights=weights / weights.sum(1, keepdims=True),
        quads=integers("quads"),
        texture_coordinates=floats("texture_coordinates"),
        quad_texture_coordinates=integers("quad_texture_coordinates"),
        fine_part_of_vertex=integers("fine_part_of_vertex"),
        mirror_vertices=integers("mirror_vertices"),
        low_vertices=integers("low_vertices"),
        low_faces=integers("low_faces"),
        low_texture_coordinates=integers("low_texture_coordinates"),
        keypoint_tables=tables,
    )
