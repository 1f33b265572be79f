"""The puppet's skin: places on the body's surface, and how they follow its joints."""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.descent.reduced_body import (
    REDUCED_JOINTS,
    PosedReducedBody,
    ReducedBody,
    carrier_of_joint,
)


class Spots(NamedTuple):
    """Places fixed to the surface, other ones in each frame."""

    rest: Float[Tensor, "frames spots 3"]  # of the mean build, metres
    rest_basis: Float[Tensor, "frames spots betas 3"]
    joint_weights: Float[Tensor, "frames spots joints"]  # of the moved joints in each place

    def at(self, chosen: Int[Tensor, "frames fewer"]) -> "Spots":
        """Some of the spots of each frame."""
        frame = torch.arange(len(chosen))[:, None]
        return Spots(*(values[frame, chosen] for values in self))


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A mesh that follows the puppet's joints: x' = Σ_j w_j (G_j (x − c_j) + p_j).

    Unlike the puppet's points, places on it are chosen anew while a descent goes on, others in each
    frame. So what belongs to a place is small: its rest position, and its weights w.
    """

    vertices: Float[Tensor, "vertices 3"]  # at rest, mean build, metres
    vertex_basis: Float[Tensor, "betas vertices 3"]
    rest_joints: Float[Tensor, "joints 3"]  # c, the moved joints at rest
    rest_joint_basis: Float[Tensor, "betas joints 3"]
    joint_weights: Float[Tensor, "vertices joints"]  # w, collapsed onto the moved joints
    faces: Int[Tensor, "faces 3"]
    part_of_face: Int[Tensor, " faces"]  # indices into PART_NAMES

    @classmethod
    def from_body(cls, body: BodyModel, dtype: torch.dtype = torch.float64) -> "Surface":
        """The surface of a body with faces ("low" or "full"), on the CPU.

        Args:
            body: whose keypoints the puppet has.
            dtype: the descent's precision.
        """
        body = copy.deepcopy(body).to("cpu", dtype)  # `to` would change the caller's
        moved = [JOINT_INDEX[name] for name in REDUCED_JOINTS]
        collapse = one_hot(torch.tensor(carrier_of_joint()), len(moved)).to(dtype)
        return cls(
            vertices=body.template,
            vertex_basis=body.shape_basis,
            rest_joints=body.rest_template[moved],
            rest_joint_basis=body.joint_basis[:, moved],
            joint_weights=body.skinning_weights @ collapse,
            faces=body.faces,
            part_of_face=body.part_of_face,
        )

    def posed(
        self, figure: PosedReducedBody, betas: Float[Tensor, " betas"]
    ) -> Float[Tensor, "frames vertices 3"]:
        """All vertices in the camera frame."""
        rest = self.vertices + torch.einsum("b,bvx->vx", betas, self.vertex_basis)
        return _skinned(figure, self._shifts(figure, betas), self.joint_weights, rest)

    def spots(
        self, faces: Int[Tensor, "frames spots"], barycentrics: Float[Tensor, "frames spots 3"]
    ) -> Spots:
        """Places in faces, with blends of their corners' weights: within millimetres of the faces."""
        corners = self.faces[faces]
        weights = barycentrics.to(self.vertices)[..., None]

        def blended(values: Float[Tensor, "vertices numbers"]) -> Float[Tensor, "frames spots _"]:
            return (weights * values[corners]).sum(-2)

        basis = blended(self.vertex_basis.transpose(0, 1).flatten(1))
        return Spots(blended(self.vertices), basis.unflatten(-1, (-1, 3)), blended(self.joint_weights))

    def places(
        self, spots: Spots, figure: PosedReducedBody, betas: Float[Tensor, " betas"]
    ) -> Float[Tensor, "frames spots 3"]:
        """The spots in the camera frame."""
        return _skinned(figure, self._shifts(figure, betas), spots.joint_weights, _built(spots, betas))

    def rows(
        self,
        spots: Spots,
        reduced_body: ReducedBody,
        figure: PosedReducedBody,
        betas: Float[Tensor, " betas"],
        directions: Float[Tensor, "frames spots rows 3"],
    ) -> Float[Tensor, "frames spots rows unknowns"]:
        """Derivatives of directionᵀ x' by the step of `FitVariables.moved`, at a zero step."""
        turned = torch.einsum("fjxy,fny->fnjx", figure.orientations, _built(spots, betas))
        contributions = spots.joint_weights[..., None] * (turned + self._shifts(figure, betas)[:, None])
        swung = reduced_body.ancestor_mask.T @ contributions
        joint_weights = spots.joint_weights @ reduced_body.ancestor_mask
        arms = swung - joint_weights[..., None] * figure.joints[:, None]
        # d · (G_a e_i × arm) = G_a e_i · (arm × d) for a turn about axis i of joint a.
        torques = torch.linalg.cross(arms[:, :, None], directions[:, :, :, None])
        turns = torch.einsum("fnrax,faxi->fnrai", torques, figure.orientations).flatten(3)
        return torch.cat((turns, directions @ figure.translation_jacobian[:, None]), dim=-1)

    def betas_rows(
        self,
        spots: Spots,
        reduced_body: ReducedBody,
        figure: PosedReducedBody,
        directions: Float[Tensor, "frames spots rows 3"],
    ) -> Float[Tensor, "frames spots rows betas"]:
        """Derivatives of directionᵀ x' by the betas."""
        blended = torch.einsum("fnj,fjxy->fnxy", spots.joint_weights, figure.orientations)
        local = blended @ spots.rest_basis.transpose(-1, -2)
        rest_joints = torch.einsum("fjxy,bjy->fjxb", figure.orientations, self.rest_joint_basis)
        contributions = reduced_body.joints_betas_jacobian(figure) - rest_joints
        local = local + torch.einsum("fnj,fjxb->fnxb", spots.joint_weights, contributions)
        return directions @ local

    def _shifts(
        self, figure: PosedReducedBody, betas: Float[Tensor, " betas"]
    ) -> Float[Tensor, "frames joints 3"]:
        """p_j − G_j c_j of each joint."""
        rest_joints = self.rest_joints + torch.einsum("b,bjx->jx", betas, self.rest_joint_basis)
        return figure.joints - (figure.orientations @ rest_joints[..., None])[..., 0]


def _built(spots: Spots, betas: Float[Tensor, " betas"]) -> Float[Tensor, "frames spots 3"]:
    """Rest positions of a build."""
    return spots.rest + torch.einsum("b,fnbx->fnx", betas, spots.rest_basis)


def _skinned(
    figure: PosedReducedBody,
    shifts: Float[Tensor, "frames joints 3"],
    joint_weights: Float[Tensor, "*#frames places joints"],
    rest: Float[Tensor, "*#frames places 3"],
) -> Float[Tensor, "frames places 3"]:
    """Linear blend skinning; the transforms are blended first."""
    transforms = torch.cat((figure.orientations, shifts[..., None]), dim=-1).flatten(2)
    blended = (joint_weights @ transforms).unflatten(-1, (3, 4))
    return (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]
