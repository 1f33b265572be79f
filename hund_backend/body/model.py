"""The body model: from build, pose and place to joints, vertices and keypoints."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..weights_file import note_loaded
from .file import BODY_FILE, BodyFile, load_body_file
from .kinematics import forward_kinematics
from .skeleton import KEYPOINT_NAMES, PARENTS, PART_OF_FINE_PART
from .skinning import linear_blend_skinning

Resolution = Literal["full", "low", "keypoints"]
Table = Literal["blazepose", "coco", "h36m"]


class PosedBody(NamedTuple):
    """A posed body, in the camera frame if it was given a place there, metres."""

    joints: Float[Tensor, "*batch 63 3"]
    vertices: Float[Tensor, "*batch vertices 3"]
    orientations: Float[Tensor, "*batch 63 3 3"]


class BodyModel(nn.Module):
    """A GHUM-like body: linear shape and expression, 63 joints, linear blend skinning.

    Everything is a constant: the model has no parameters, and follows inputs of its own dtype and
    device; `.to(...)` moves it.

    Attributes:
        template: rest vertices at zero betas, (vertices, 3).
        rest_template: rest joints at zero betas, (63, 3).
        shape_basis: vertices per unit of the betas, (16, vertices, 3).
        joint_basis: joints per unit of the betas, (16, 63, 3).
        skinning_weights: (vertices, 63).
        faces: triangles, (faces, 3), counter-clockwise from outside; none for "keypoints".
        quads: the faces that the triangles halve, (quads, 4); only for "full".
        uvs: texture coordinates 0…1, v up, (uvs, 2).
        face_uvs: indices of the texture coordinates of the faces' corners, (faces, 3).
        part_of_vertex, part_of_face: indices into PART_NAMES.
    """

    def __init__(self, body: BodyFile, resolution: Resolution) -> None:
        super().__init__()
        matrices = {table: body.keypoint_matrix(table) for table in KEYPOINT_NAMES}
        kept, faces, face_uvs = _kept(body, resolution, matrices)
        place = np.full(len(body.template), -1)
        place[kept] = np.arange(len(kept))
        self._add("template", body.template[kept])
        self._add("rest_template", body.joints)
        self._add("shape_basis", body.shape_basis[:, kept])
        self._add("joint_basis", body.joint_basis)
        self._add("skinning_weights", body.skinning_weights[kept])
        self._add("faces", faces)
        self._add("quads", body.quads if resolution == "full" else body.quads[:0])
        self._add("uvs", body.texture_coordinates)
        self._add("face_uvs", face_uvs)
        parts = np.array(PART_OF_FINE_PART)[body.fine_part_of_vertex[kept]]
        self._add("part_of_vertex", parts)
        self._add("part_of_face", np.median(parts[faces], axis=1).astype(np.int64))
        moved = place[body.face_vertices] >= 0
        self._add("_face_places", place[body.face_vertices[moved]])
        self._add("_expression_basis", body.expression_basis[:, moved])
        self._add("_arkit_basis", body.arkit_basis[:, moved])
        columns = np.concatenate([kept, len(body.template) + np.arange(len(PARENTS))])
        for table, matrix in matrices.items():
            dropped = np.delete(matrix, columns, axis=1)
            if not dropped.any():  # the low mesh need not have every keypoint's vertex
                self._add(f"_{table}_matrix", matrix[:, columns])

    def _add(self, name: str, values: np.ndarray) -> None:
        # An asset, not a weight: it is not saved with what is learned.
        self.register_buffer(
            name, torch.from_numpy(np.ascontiguousarray(values)), persistent=False
        )

    @classmethod
    def load(cls, resolution: Resolution = "full", path: Path = BODY_FILE) -> "BodyModel":
        """The body of a file, in float32 on the CPU.

        Args:
            resolution: "full" mesh, "low" mesh (about 3,200 vertices), or only the vertices that
                "keypoints" need, which is fast enough to be fitted.
            path: the body file.

        Raises:
            BadInputError: the file is missing or is no body.
        """
        body = cls(load_body_file(path), resolution)
        note_loaded(path)
        return body

    def rest(
        self,
        betas: Float[Tensor, "*batch 16"],
        expression: Float[Tensor, "*batch 20"] | None = None,
        arkit: Float[Tensor, "*batch 52"] | None = None,
    ) -> tuple[Float[Tensor, "*batch vertices 3"], Float[Tensor, "*batch 63 3"]]:
        """Rest vertices and rest joints of a build, body frame, metres."""
        vertices = self.template + torch.einsum("...b,bvx->...vx", betas, self.shape_basis)
        joints = self.rest_template + torch.einsum("...b,bjx->...jx", betas, self.joint_basis)
        for values, basis in ((expression, self._expression_basis), (arkit, self._arkit_basis)):
            if values is not None:
                moved = torch.einsum("...b,bvx->...vx", values, basis)
                vertices = vertices.index_add(-2, self._face_places, moved)
        return vertices, joints

    def forward(
        self,
        pose: Float[Tensor, "*batch 62 3 3"],
        betas: Float[Tensor, "*batch 16"],
        *,
        global_orient: Float[Tensor, "*batch 3 3"] | None = None,
        root_translation: Float[Tensor, "*batch 3"] | None = None,
        expression: Float[Tensor, "*batch 20"] | None = None,
        arkit: Float[Tensor, "*batch 52"] | None = None,
    ) -> PosedBody:
        """Pose the body.

        Args:
            pose: rotation of each joint but the root in its parent's frame, relative to rest.
            betas: build, standard normal.
            global_orient: rotation of the root, body frame → camera frame; none leaves it at rest.
            root_translation: place of the pelvis, metres; none leaves it at the origin.
            expression: coefficients of the expression space, standard normal.
            arkit: activations 0…1 of the ARKit-named keys.
        """
        rest_vertices, rest_joints = self.rest(betas, expression, arkit)
        root = torch.eye(3, dtype=pose.dtype, device=pose.device).expand(*pose.shape[:-3], 3, 3)
        root = root if global_orient is None else global_orient
        rotations = torch.cat((root[..., None, :, :], pose), dim=-3)
        orientations, joints = forward_kinematics(rotations, rest_joints, PARENTS)
        if root_translation is not None:
            joints = joints + root_translation[..., None, :]
        vertices = linear_blend_skinning(
            rest_vertices, rest_joints, orientations, joints, self.skinning_weights
        )
        return PosedBody(joints, vertices, orientations)

    def keypoints(self, posed: PosedBody, table: Table) -> Float[Tensor, "*batch keypoints 3"]:
        """The points of a keypoint table on a posed body.

        Raises:
            ValueError: this resolution does not have the vertices that the table needs.
        """
        matrix = getattr(self, f"_{table}_matrix", None)
        if matrix is None:
            raise ValueError(f"'{table}' needs vertices that this resolution does not have.")
        return matrix @ torch.cat((posed.vertices, posed.joints), dim=-2)


def _kept(
    body: BodyFile, resolution: Resolution, matrices: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of a resolution, as indices into the full mesh; triangles; their texture corners."""
    if resolution == "full":
        return (
            np.arange(len(body.template)),
            _halved(body.quads),
            _halved(body.quad_texture_coordinates),
        )
    if resolution == "low":
        return body.low_vertices, body.low_faces, body.low_texture_coordinates
    used = sum(np.abs(matrix[:, : len(body.template)]).sum(0) for matrix in matrices.values())
    none = np.zeros((0, 3), np.int64)
    return np.nonzero(used)[0], none, none


def _halved(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
