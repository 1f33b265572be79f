"""Reduced body: 22 joints and the points they carry, with derivatives written out.

The descent evaluates it thousands of times, so it keeps of the body model only what keypoints can
tell: the joints that move them, and the keypoints as linear functions of those joints.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..body.model import BodyModel, PosedBody
from ..body.rotations import rotvec_to_matrix
from ..body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from .state import State

# Joints that keypoints determine, parents first, the root leading. Fingers and face keep their rest
# pose; "Foot" is a segment between ankle and ball that people cannot bend.
REDUCED_JOINTS = (
    "Pelvis",
    "Spine01",
    "Spine02",
    "Spine03",
    "Neck01",
    "Head01",
    "ClavicleL",
    "UpperarmL",
    "LowerarmL",
    "HandL",
    "ClavicleR",
    "UpperarmR",
    "LowerarmR",
    "HandR",
    "ThighL",
    "CalfL",
    "AnkleL",
    "BallL",
    "ThighR",
    "CalfR",
    "AnkleR",
    "BallR",
)


class FitVariables(NamedTuple):
    """Variables of a descent over frames of one person."""

    rotations: Float[Tensor, "frames joints 3 3"]  # of REDUCED_JOINTS, parent-relative;
    # joint 0 is the global orientation
    translation: Float[Tensor, "frames 3"]  # pelvis in the camera frame, metres
    betas: Float[Tensor, " betas"]  # the same in all frames

    def select(self, frames: Int[Tensor, " chosen"]) -> "FitVariables":
        """Variables of some of the frames, in the given order."""
        return FitVariables(self.rotations[frames], self.translation[frames], self.betas)

    def apply_step(
        self, step: Float[Tensor, "frames unknowns"], betas_step: Float[Tensor, " betas"]
    ) -> "FitVariables":
        """Return the variables after a step.

        Args:
            step: rotation vectors in each joint's own frame (3 per joint), then the translation:
                change of x / z and y / z, and of log z.
            betas_step: change of the betas.
        """
        turns = rotvec_to_matrix(step[:, :-3].unflatten(-1, (-1, 3)))
        # The logarithm keeps the person in front of the camera for any step.
        depth = self.translation[:, 2:] * step[:, -1:].exp()
        slopes = self.translation[:, :2] / self.translation[:, 2:] + step[:, -3:-1]
        return FitVariables(
            self.rotations @ turns,
            torch.cat((slopes * depth, depth), dim=-1),
            self.betas + betas_step,
        )


class PosedReducedBody(NamedTuple):
    """Posed reduced body in the camera frame, metres."""

    points: Float[Tensor, "frames points 3"]  # keypoints or contact points, then the joints
    orientations: Float[Tensor, "frames joints 3 3"]
    joints: Float[Tensor, "frames joints 3"]
    contributions: Float[Tensor, "frames points joints 3"]  # summands of each point, by joint
    translation_jacobian: Float[Tensor, "frames 3 3"]  # by the last three numbers of a step


@dataclass(frozen=True, kw_only=True)
class ReducedBody:
    """Linear blend skinning of points by the reduced joints.

    A point of a linearly blended mesh is Σ_j (G_j a_j + w_j p_j) with the orientation G_j and the
    position p_j of joint j. Offsets a_j and weights w_j do not depend on the pose, so posing the
    points is a matrix product and its derivative a cross product.
    """

    joint_indices: tuple[int, ...]  # of REDUCED_JOINTS in JOINT_NAMES
    rest_pose: Float[Tensor, "others 3 3"]  # of all non-root joints; those not reduced keep it
    parents: tuple[int, ...]  # among the reduced joints, −1 for the root
    offsets: Float[Tensor, "joints 3"]  # rest position relative to the parent, metres
    offset_basis: Float[Tensor, "betas joints 3"]
    point_offsets: Float[Tensor, "points joints 3"]  # a
    point_offset_basis: Float[Tensor, "betas points joints 3"]
    joint_weights: Float[Tensor, "points joints"]  # w

    @classmethod
    def from_body(cls, body: BodyModel, dtype: torch.dtype = torch.float64) -> "ReducedBody":
        """Reduce a body model; the result is on the CPU.

        Args:
            body: of any resolution that has BlazePose's keypoints.
            dtype: precision of the descent.
        """
        body = copy.deepcopy(body).to("cpu").to(dtype)  # a copy: `to` works in place
        return _reduce(body, lambda posed: body.keypoints(posed, "blazepose"))

    @classmethod
    def contacts_from_body(
        cls, body: BodyModel, dtype: torch.dtype = torch.float64
    ) -> "ReducedBody":
        """Reduce a body model to its joints and the points of CONTACT_NAMES, not its keypoints."""
        body = copy.deepcopy(body).to("cpu").to(dtype)
        return _reduce(body, body.contact_points)

    @cached_property
    def ancestor_mask(self) -> Float[Tensor, "joints joints"]:
        """One where the second joint is the first or one of its ancestors, zero elsewhere."""
        table = torch.eye(len(self.parents), dtype=self.offsets.dtype)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                table[joint] += table[parent]
        return table

    def full_pose(self, variables: FitVariables) -> Float[Tensor, "frames others 3 3"]:
        """Rotations of all non-root joints of the body model."""
        pose = self.rest_pose.expand(len(variables.rotations), -1, -1, -1).clone()
        pose[:, [joint - 1 for joint in self.joint_indices[1:]]] = variables.rotations[:, 1:]
        return pose

    def variables_of(self, state: State) -> FitVariables:
        """Variables of the states of one person; rotations of other joints are dropped."""
        rotations = torch.cat((state.global_orient[:, None], state.pose), dim=1)
        values = rotations[:, self.joint_indices], state.root_translation, state.betas[0]
        return FitVariables(*(each.to(self.offsets) for each in values))

    def forward(self, variables: FitVariables) -> PosedReducedBody:
        """Pose joints and points in the camera frame."""
        offsets = self.offsets + torch.einsum("b,bjx->jx", variables.betas, self.offset_basis)
        point_offsets = self.point_offsets + torch.einsum(
            "b,bnjx->njx", variables.betas, self.point_offset_basis
        )
        orientations = [variables.rotations[:, 0]]
        positions = [variables.translation]
        for joint, parent in enumerate(self.parents[1:], start=1):
            orientations.append(orientations[parent] @ variables.rotations[:, joint])
            positions.append(positions[parent] + orientations[parent] @ offsets[joint])
        orientations, positions = torch.stack(orientations, 1), torch.stack(positions, 1)
        contributions = torch.einsum("fjxy,njy->fnjx", orientations, point_offsets)
        contributions = contributions + self.joint_weights[..., None] * positions[:, None]
        depth = variables.translation[:, 2]
        translation_jacobian = torch.diag_embed(depth[:, None].expand(-1, 3)).clone()
        translation_jacobian[:, :2, 2] = variables.translation[:, :2]
        return PosedReducedBody(
            contributions.sum(2), orientations, positions, contributions, translation_jacobian
        )

    def jacobian(self, posed: PosedReducedBody) -> Float[Tensor, "frames points 3 unknowns"]:
        """Derivative of the points by the step of `FitVariables.apply_step`, at a zero step."""
        rotated_sums = torch.einsum("fnjx,ja->fnax", posed.contributions, self.ancestor_mask)
        joint_weights = self.joint_weights @ self.ancestor_mask
        levers = rotated_sums - joint_weights[..., None] * posed.joints[:, None]
        # d(point) = (G_a e_i) × lever for a turn about axis i of joint a.
        axes = posed.orientations.transpose(-1, -2)[:, None]  # frames 1 joints axis 3
        by_rotation = torch.linalg.cross(axes, levers[..., None, :])  # frames points joints axis 3
        by_rotation = by_rotation.flatten(2, 3).transpose(-1, -2)
        by_translation = posed.translation_jacobian[:, None].expand(
            -1, by_rotation.shape[1], -1, -1
        )
        return torch.cat((by_rotation, by_translation), dim=-1)

    def betas_jacobian(self, posed: PosedReducedBody) -> Float[Tensor, "frames points 3 betas"]:
        """Derivative of the points by the betas."""
        local = torch.einsum("fjxy,bnjy->fnxb", posed.orientations, self.point_offset_basis)
        return local + torch.einsum(
            "nj,fjxb->fnxb", self.joint_weights, self.joints_betas_jacobian(posed)
        )

    def joints_betas_jacobian(
        self, posed: PosedReducedBody
    ) -> Float[Tensor, "frames joints 3 betas"]:
        """Derivative of the joints by the betas."""
        moves = [posed.joints.new_zeros(len(posed.joints), 3, len(self.offset_basis))]
        for joint, parent in enumerate(self.parents[1:], start=1):
            along = posed.orientations[:, parent] @ self.offset_basis[:, joint].T
            moves.append(moves[parent] + along)
        return torch.stack(moves, 1)


def carrier_of_joint() -> list[int]:
    """Index in REDUCED_JOINTS of the joint that carries each of the 63: itself or an ancestor."""
    carriers = []
    for joint, parent in enumerate(PARENTS):
        name = JOINT_NAMES[joint]
        carriers.append(REDUCED_JOINTS.index(name) if name in REDUCED_JOINTS else carriers[parent])
    return carriers


def _reduce(
    body: BodyModel, points_of: Callable[[PosedBody], Float[Tensor, "*batch points 3"]]
) -> ReducedBody:
    """Collapse the other joints, and the vertices, onto the reduced joints that carry them.

    Args:
        body: on the CPU.
        points_of: points that are carried, as a linear function of vertices and joints.
    """
    reduced = [JOINT_INDEX[name] for name in REDUCED_JOINTS]
    carriers = carrier_of_joint()
    parents = [-1, *(carriers[PARENTS[joint]] for joint in reduced[1:])]
    # Shape is linear, so each basis vector is reduced like the mean (batch: mean and betas).
    vertices = torch.cat((body.template[None], body.shape_basis))
    joints = torch.cat((body.rest_template[None], body.joint_basis))
    carrier_joints = joints[:, [reduced[carrier] for carrier in carriers]]
    membership = torch.nn.functional.one_hot(torch.tensor(carriers), len(reduced)).to(vertices)
    weights = body.skinning_weights @ membership  # vertices reduced
    joint_offsets = torch.einsum("jm,bjx->bmjx", membership, joints - carrier_joints)
    vertex_offsets = vertices[:, None] - joints[:, reduced][:, :, None]
    offsets = torch.cat((weights.T[:, :, None] * vertex_offsets, joint_offsets), dim=2)
    joint_weights = torch.cat((weights, membership)).T[:, :, None].expand(-1, -1, 3)
    count = len(body.template)

    def carried(points: Float[Tensor, "*batch all 3"]) -> Float[Tensor, "*batch points 3"]:
        none = points.new_zeros(*points.shape[:-2], len(PARENTS), 3, 3)
        return points_of(PosedBody(points[..., count:, :], points[..., :count, :], none))

    point_offsets = carried(offsets).transpose(1, 2)  # batch points reduced 3
    of_joints = point_offsets.new_zeros(len(point_offsets), len(reduced), len(reduced), 3)
    point_offsets = torch.cat((point_offsets, of_joints), 1)
    joint_weights = carried(joint_weights)[..., 0].T
    joint_weights = torch.cat((joint_weights, torch.eye(len(reduced)).to(joint_weights)))
    from_parent = joints[:, reduced] - joints[:, [reduced[max(parent, 0)] for parent in parents]]
    return ReducedBody(
        joint_indices=tuple(reduced),
        rest_pose=torch.eye(3).to(vertices).repeat(len(JOINT_NAMES) - 1, 1, 1),
        parents=tuple(parents),
        offsets=from_parent[0],
        offset_basis=from_parent[1:],
        point_offsets=point_offsets[0],
        point_offset_basis=point_offsets[1:],
        joint_weights=joint_weights,
    )
