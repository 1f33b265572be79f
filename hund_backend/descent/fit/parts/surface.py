"""Surface: a mesh skinned to the reduced body, and points on it with their derivatives."""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from ....body.model import BodyModel
from ....body.skeleton import JOINT_INDEX
from ...reduced_body import (
    REDUCED_JOINTS,
    PosedReducedBody,
    ReducedBody,
    carrier_of_joint,
)


class SurfacePoints(NamedTuple):
    """Points fixed to the surface, chosen for each frame."""

    rest: Float[Tensor, "frames points 3"]  # of the mean body, metres
    rest_basis: Float[Tensor, "frames points betas 3"]
    joint_weights: Float[Tensor, "frames points joints"]  # of the reduced joints

    def select(self, chosen: Int[Tensor, "frames fewer"]) -> "SurfacePoints":
        """Some of the points of each frame."""
        frame = torch.arange(len(chosen))[:, None]
        return SurfacePoints(*(values[frame, chosen] for values in self))


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Mesh skinned to the reduced joints: x' = Σ_j w_j (G_j (x − c_j) + p_j).

    Unlike the reduced body's points, points on it are chosen anew during a descent, for each frame.
    So little is kept of a point: its rest position x and its weights w.
    """

    vertices: Float[Tensor, "vertices 3"]  # at rest, mean body, metres
    vertex_basis: Float[Tensor, "betas vertices 3"]
    rest_joints: Float[Tensor, "joints 3"]  # c, reduced joints at rest
    rest_joint_basis: Float[Tensor, "betas joints 3"]
    joint_weights: Float[
        Tensor, "vertices joints"
    ]  # w, summed over what each reduced joint carries
    faces: Int[Tensor, "faces 3"]
    part_of_face: Int[Tensor, " faces"]  # indices into PART_NAMES

    @classmethod
    def from_body(cls, body: BodyModel, dtype: torch.dtype = torch.float64) -> "Surface":
        """Surface of a body model; the result is on the CPU.

        Args:
            body: of a resolution that has faces ("low" or "full").
            dtype: precision of the descent.
        """
        body = copy.deepcopy(body).to("cpu").to(dtype)  # a copy: `to` works in place
        reduced = [JOINT_INDEX[name] for name in REDUCED_JOINTS]
        collapse = one_hot(torch.tensor(carrier_of_joint()), len(reduced)).to(dtype)
        return cls(
            vertices=body.template,
            vertex_basis=body.shape_basis,
            rest_joints=body.rest_template[reduced],
            rest_joint_basis=body.joint_basis[:, reduced],
            joint_weights=body.skinning_weights @ collapse,
            faces=body.faces,
            part_of_face=body.part_of_face,
        )

    def vertices_of(
        self, posed: PosedReducedBody, betas: Float[Tensor, " betas"]
    ) -> Float[Tensor, "frames vertices 3"]:
        """All vertices in the camera frame, metres."""
        rest = self.vertices + torch.einsum("b,bvx->vx", betas, self.vertex_basis)
        return _skinned(posed, self._joint_shifts(posed, betas), self.joint_weights, rest)

    def points_in_faces(
        self, faces: Int[Tensor, "frames points"], barycentrics: Float[Tensor, "frames points 3"]
    ) -> SurfacePoints:
        """Points in faces, with the corners' skinning weights blended.

        Exact at the corners, and within millimetres of the posed faces elsewhere.
        """
        corners = self.faces[faces]
        weights = barycentrics.to(self.vertices)[..., None]

        def blended(values: Float[Tensor, "vertices numbers"]) -> Float[Tensor, "frames points _"]:
            return (weights * values[corners]).sum(-2)

        basis = blended(self.vertex_basis.transpose(0, 1).flatten(1))
        return SurfacePoints(
            blended(self.vertices), basis.unflatten(-1, (-1, 3)), blended(self.joint_weights)
        )

    def positions(
        self, points: SurfacePoints, posed: PosedReducedBody, betas: Float[Tensor, " betas"]
    ) -> Float[Tensor, "frames points 3"]:
        """Points in the camera frame, metres."""
        return _skinned(
            posed,
            self._joint_shifts(posed, betas),
            points.joint_weights,
            _rest_positions(points, betas),
        )

    def jacobian_along(
        self,
        points: SurfacePoints,
        reduced_body: ReducedBody,
        posed: PosedReducedBody,
        betas: Float[Tensor, " betas"],
        directions: Float[Tensor, "frames points rows 3"],
    ) -> Float[Tensor, "frames points rows unknowns"]:
        """Derivatives of directionᵀ x' by the step of `FitVariables.apply_step`, at a zero step."""
        rotated = torch.einsum(
            "fjxy,fny->fnjx", posed.orientations, _rest_positions(points, betas)
        )
        contributions = points.joint_weights[..., None] * (
            rotated + self._joint_shifts(posed, betas)[:, None]
        )
        rotated_sums = reduced_body.ancestor_mask.T @ contributions
        joint_weights = points.joint_weights @ reduced_body.ancestor_mask
        levers = rotated_sums - joint_weights[..., None] * posed.joints[:, None]
        # d · (G_a e_i × lever) = G_a e_i · (lever × d) for a turn about axis i of joint a.
        moments = torch.linalg.cross(levers[:, :, None], directions[:, :, :, None])
        by_rotation = torch.einsum("fnrax,faxi->fnrai", moments, posed.orientations).flatten(3)
        return torch.cat((by_rotation, directions @ posed.translation_jacobian[:, None]), dim=-1)

    def betas_jacobian_along(
        self,
        points: SurfacePoints,
        reduced_body: ReducedBody,
        posed: PosedReducedBody,
        directions: Float[Tensor, "frames points rows 3"],
    ) -> Float[Tensor, "frames points rows betas"]:
        """Derivatives of directionᵀ x' by the betas."""
        blended = torch.einsum("fnj,fjxy->fnxy", points.joint_weights, posed.orientations)
        local = blended @ points.rest_basis.transpose(-1, -2)
        rest_joints = torch.einsum("fjxy,bjy->fjxb", posed.orientations, self.rest_joint_basis)
        contributions = reduced_body.joints_betas_jacobian(posed) - rest_joints
        local = local + torch.einsum("fnj,fjxb->fnxb", points.joint_weights, contributions)
        return directions @ local

    def _joint_shifts(
        self, posed: PosedReducedBody, betas: Float[Tensor, " betas"]
    ) -> Float[Tensor, "frames joints 3"]:
        """p_j − G_j c_j of each joint."""
        rest_joints = self.rest_joints + torch.einsum("b,bjx->jx", betas, self.rest_joint_basis)
        return posed.joints - (posed.orientations @ rest_joints[..., None])[..., 0]


def _rest_positions(
    points: SurfacePoints, betas: Float[Tensor, " betas"]
) -> Float[Tensor, "frames points 3"]:
    """Rest positions for given betas."""
    return points.rest + torch.einsum("b,fnbx->fnx", betas, points.rest_basis)


def _skinned(
    posed: PosedReducedBody,
    shifts: Float[Tensor, "frames joints 3"],
    joint_weights: Float[Tensor, "*#frames positions joints"],
    rest: Float[Tensor, "*#frames positions 3"],
) -> Float[Tensor, "frames positions 3"]:
    """Linear blend skinning; the transforms are blended first."""
    transforms = torch.cat((posed.orientations, shifts[..., None]), dim=-1).flatten(2)
    blended = (joint_weights @ transforms).unflatten(-1, (3, 4))
    return (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]
