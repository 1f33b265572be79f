"""Body model: from betas, pose and translation to joints, vertices and keypoints."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..weights_file import note_loaded
from .contact_points import contact_matrix
from .file import BODY_FILE, BodyFile, load_body_file
from .kinematics import forward_kinematics
from .skeleton import KEYPOINT_NAMES, PARENTS, PART_OF_FINE_PART
from .skinning import linear_blend_skinning
from .soles import SOLE_NAMES

Resolution = Literal["full", "low", "keypoints"]
Table = Literal["blazepose", "coco", "h36m"]


class PosedBody(NamedTuple):
    """Posed body in the frame of `global_orient` and `root_translation`, metres."""

    joints: Float[Tensor, "*batch 63 3"]
    vertices: Float[Tensor, "*batch vertices 3"]
    orientations: Float[Tensor, "*batch 63 3 3"]


class BodyModel(nn.Module):
    """GHUM-like body: linear shape and expression bases, 63 joints, linear blend skinning.

    After Xu et al., "GHUM & GHUML: Generative 3D Human Shape and Articulated Pose Models", CVPR
    2020. The model has no parameters, only buffers; inputs must have its dtype and device.

    Attributes:
        template: rest vertices at zero betas, (vertices, 3).
        rest_template: rest joints at zero betas, (63, 3).
        shape_basis: vertices per unit of the betas, (16, vertices, 3).
        joint_basis: joints per unit of the betas, (16, 63, 3).
        skinning_weights: (vertices, 63).
        faces: triangles, (faces, 3), counter-clockwise from outside; none for "keypoints".
        quads: faces that are split into the triangles, (quads, 4); only for "full".
        uvs: texture coordinates 0…1, v up, (uvs, 2).
        face_uvs: indices of the texture coordinates of the faces' corners, (faces, 3).
        part_of_vertex, part_of_face: indices into PART_NAMES.
    """

    def __init__(self, body: BodyFile, resolution: Resolution) -> None:
        super().__init__()
        matrices = {table: body.keypoint_matrix(table) for table in KEYPOINT_NAMES}
        matrices["contact"] = contact_matrix(body)
        kept, faces, face_uvs = _select_mesh(body, resolution, matrices)
        index_of_vertex = np.full(len(body.template), -1)
        index_of_vertex[kept] = np.arange(len(kept))
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
        moved = index_of_vertex[body.face_vertices] >= 0
        self._add("_face_indices", index_of_vertex[body.face_vertices[moved]])
        self._add("_expression_basis", body.expression_basis[:, moved])
        self._add("_arkit_basis", body.arkit_basis[:, moved])
        columns = np.concatenate([kept, len(body.template) + np.arange(len(PARENTS))])
        for table, matrix in matrices.items():
            dropped = np.delete(matrix, columns, axis=1)
            if not dropped.any():  # the low mesh lacks the vertices of some keypoints
                self._add(f"_{table}_matrix", matrix[:, columns])

    def _add(self, name: str, values: np.ndarray) -> None:
        # Part of the body file, so not saved with trained weights.
        self.register_buffer(
            name, torch.from_numpy(np.ascontiguousarray(values)), persistent=False
        )

    @classmethod
    def load(cls, resolution: Resolution = "full", path: Path = BODY_FILE) -> "BodyModel":
        """Load a body in float32 on the CPU.

        Args:
            resolution: "full" mesh, "low" mesh (about 3,200 vertices), or only the vertices that
                "keypoints" and contact points need, which is the fastest.
            path: the body file.

        Raises:
            BadInputError: the file is missing, or not a body file.
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
        """Return rest vertices and rest joints; arguments are those of `forward`.

        Body frame, metres: x̄ = template + Σ_b β_b S_b + Σ_e ψ_e E_e.
        """
        vertices = self.template + torch.einsum("...b,bvx->...vx", betas, self.shape_basis)
        joints = self.rest_template + torch.einsum("...b,bjx->...jx", betas, self.joint_basis)
        for values, basis in ((expression, self._expression_basis), (arkit, self._arkit_basis)):
            if values is not None:
                moved = torch.einsum("...b,bvx->...vx", values, basis)
                vertices = vertices.index_add(-2, self._face_indices, moved)
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
            betas: shape coefficients β, standard normal over people.
            global_orient: rotation of the root, body frame → camera frame; None is the identity.
            root_translation: position of the pelvis, metres; None is its rest position.
            expression: expression coefficients ψ, standard normal.
            arkit: activations 0…1 of the ARKit blend shapes.
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
        """Return the keypoints of a table on a posed body.

        Raises:
            ValueError: this resolution lacks vertices of the table.
        """
        matrix = getattr(self, f"_{table}_matrix", None)
        if matrix is None:
            raise ValueError(f"'{table}' needs vertices that this resolution lacks.")
        return matrix @ torch.cat((posed.vertices, posed.joints), dim=-2)

    def soles(self, posed: PosedBody) -> Float[Tensor, "*batch 6 3"]:
        """Return the points of SOLE_NAMES on a posed body; "low" lacks their vertices."""
        return self.contact_points(posed)[..., : len(SOLE_NAMES), :]

    def contact_points(self, posed: PosedBody) -> Float[Tensor, "*batch 12 3"]:
        """Return the points of CONTACT_NAMES on a posed body; "low" lacks their vertices."""
        return self._contact_matrix @ torch.cat((posed.vertices, posed.joints), dim=-2)


def _select_mesh(
    body: BodyFile, resolution: Resolution, matrices: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a resolution's vertices as indices into the full mesh, its triangles and their uvs."""
    if resolution == "full":
        return (
            np.arange(len(body.template)),
            _split_quads(body.quads),
            _split_quads(body.quad_texture_coordinates),
        )
    if resolution == "low":
        return body.low_vertices, body.low_faces, body.low_texture_coordinates
    used = sum(np.abs(matrix[:, : len(body.template)]).sum(0) for matrix in matrices.values())
    none = np.zeros((0, 3), np.int64)
    return np.nonzero(used)[0], none, none


def _split_quads(quads: np.ndarray) -> np.ndarray:
    """Split each quad into two triangles."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
