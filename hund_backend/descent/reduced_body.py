"""The body as the descent moves it: a few joints, a few points, and how the points follow."""

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hund_backend.body.model import BodyModel, PosedBody
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from hund_backend.descent.state import State

# The joints that the evidence can move, parents first, the root leading. Fingers and face stay
# relaxed; "Foot" is a rest-pose segment between ankle and ball that people cannot bend.
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
    """What the descent changes: rotations of the moved joints, place, build."""

    rotations: Float[
        Tensor, "frames joints 3 3"
    ]  # parent-relative; joint 0 is the global orientation
    translation: Float[Tensor, "frames 3"]  # pelvis in the camera frame
    betas: Float[Tensor, " betas"]  # one build for all frames

    def at(self, frames: Int[Tensor, " chosen"]) -> "Posture":
        """The posture in some of the frames, in their order."""
        return FitVariables(self.rotations[frames], self.translation[frames], self.betas)

    def moved(
        self, step: Float[Tensor, "frames unknowns"], betas_step: Float[Tensor, " betas"]
    ) -> "Posture":
        """The posture after a step.

        Args:
            step: rotation vectors in each joint's own frame (3 per joint), then the place: sideways
                and down in units of the depth, and the change of the logarithm of the depth.
            betas_step: change of the betas.
        """
        turns = rotvec_to_matrix(step[:, :-3].unflatten(-1, (-1, 3)))
        # The logarithm keeps the person in front of the camera whatever the step.
        depth = self.translation[:, 2:] * step[:, -1:].exp()
        slopes = self.translation[:, :2] / self.translation[:, 2:] + step[:, -3:-1]
        return FitVariables(
            self.rotations @ turns,
            torch.cat((slopes * depth, depth), dim=-1),
            self.betas + betas_step,
        )


class PosedReducedBody(NamedTuple):
    """A posed puppet in the camera frame, metres."""

    points: Float[Tensor, "frames points 3"]  # keypoints, then the moved joints
    orientations: Float[Tensor, "frames joints 3 3"]  # of the moved joints
    joints: Float[Tensor, "frames joints 3"]
    contributions: Float[Tensor, "frames points joints 3"]  # each joint's share of each point
    translation_jacobian: Float[Tensor, "frames 3 3"]  # metres of translation per unit of step


@dataclass(frozen=True, kw_only=True)
class ReducedBody:
    """Rigid pieces on the moved joints, and points that are blends of places on the pieces.

    A point of a linearly blended mesh is Σ_j G_j a_j + m_j p_j with the orientation G_j and the
    position p_j of joint j; anchors a_j and masses m_j do not depend on the pose. So posing the
    points is a matrix product, and its derivative a cross product.
    """

    moved: tuple[int, ...]  # places of its joints in JOINT_NAMES, the pelvis first
    rest_pose: Float[Tensor, "others 3 3"]  # a pose of all non-root joints, for those that rest
    parents: tuple[int, ...]
    offsets: Float[Tensor, "joints 3"]  # rest position of each joint in its parent's frame
    offset_basis: Float[Tensor, "betas joints 3"]
    point_offsets: Float[Tensor, "points joints 3"]
    point_offset_basis: Float[Tensor, "betas points joints 3"]
    joint_weights: Float[Tensor, "points joints"]

    @classmethod
    def from_body(cls, body: BodyModel, dtype: torch.dtype = torch.float64) -> "Puppet":
        """The puppet of a body model, on the CPU.

        Args:
            body: of any resolution that has BlazePose's keypoints.
            dtype: the descent's precision.
        """
        return _cut(copy.deepcopy(body).to("cpu", dtype))  # `to` would change the caller's

    @cached_property
    def ancestor_mask(self) -> Float[Tensor, "joints joints"]:
        """One where the first joint moves with the second (or is it), zero elsewhere."""
        table = torch.eye(len(self.parents), dtype=self.offsets.dtype)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                table[joint] += table[parent]
        return table

    def pose(self, variables: FitVariables) -> Float[Tensor, "frames others 3 3"]:
        """The pose of all non-root joints."""
        pose = self.rest_pose.expand(len(variables.rotations), -1, -1, -1).clone()
        pose[:, [joint - 1 for joint in self.moved[1:]]] = variables.rotations[:, 1:]
        return pose

    def variables(self, state: State) -> FitVariables:
        """The posture of states of one person; joints that the puppet does not move are left out."""
        rotations = torch.cat((state.global_orient[:, None], state.pose), dim=1)[:, self.moved]
        place, betas = state.root_translation, state.betas[0]
        return FitVariables(*(values.to(self.offsets) for values in (rotations, place, betas)))

    def posed(self, variables: FitVariables) -> PosedReducedBody:
        """Joints and points of a posture in the camera frame."""
        offsets = self.offsets + torch.einsum("b,bjx->jx", variables.betas, self.offset_basis)
        point_offsets = self.point_offsets + torch.einsum("b,bnjx->njx", variables.betas, self.point_offset_basis)
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
        return PosedReducedBody(contributions.sum(2), orientations, positions, contributions, translation_jacobian)

    def jacobian(self, figure: PosedReducedBody) -> Float[Tensor, "frames points 3 unknowns"]:
        """Derivative of the points by the step of `FitVariables.moved`, at a zero step."""
        swung = torch.einsum("fnjx,ja->fnax", figure.contributions, self.ancestor_mask)
        joint_weights = self.joint_weights @ self.ancestor_mask
        arms = swung - joint_weights[..., None] * figure.joints[:, None]
        # d(point) = (G_a e_i) × arm for a turn about axis i of joint a.
        axes = figure.orientations.transpose(-1, -2)[:, None]  # frames 1 joints axis 3
        turned = torch.linalg.cross(axes, arms[..., None, :])  # frames points joints axis 3
        turned = turned.flatten(2, 3).transpose(-1, -2)
        shifted = figure.translation_jacobian[:, None].expand(-1, turned.shape[1], -1, -1)
        return torch.cat((turned, shifted), dim=-1)

    def betas_jacobian(self, figure: PosedReducedBody) -> Float[Tensor, "frames points 3 betas"]:
        """Derivative of the points by the betas."""
        local = torch.einsum("fjxy,bnjy->fnxb", figure.orientations, self.point_offset_basis)
        return local + torch.einsum(
            "nj,fjxb->fnxb", self.joint_weights, self.joints_betas_jacobian(figure)
        )

    def joints_betas_jacobian(
        self, figure: PosedReducedBody
    ) -> Float[Tensor, "frames joints 3 betas"]:
        """Derivative of the joints by the betas."""
        moves = [figure.joints.new_zeros(len(figure.joints), 3, len(self.offset_basis))]
        for joint, parent in enumerate(self.parents[1:], start=1):
            along = figure.orientations[:, parent] @ self.offset_basis[:, joint].T
            moves.append(moves[parent] + along)
        return torch.stack(moves, 1)


def carrier_of_joint() -> list[int]:
    """For each joint the place, in MOVED_JOINTS, of the moved joint that carries it."""
    found = []
    for joint, parent in enumerate(PARENTS):
        name = JOINT_NAMES[joint]
        found.append(REDUCED_JOINTS.index(name) if name in REDUCED_JOINTS else found[parent])
    return found


def _cut(body: BodyModel) -> ReducedBody:
    """Collapse resting joints and vertices onto the moved joints that carry them."""
    moved = [JOINT_INDEX[name] for name in REDUCED_JOINTS]
    carried_by = carrier_of_joint()
    parents = [-1, *(carried_by[PARENTS[joint]] for joint in moved[1:])]
    # The build is linear, so each of its basis vectors is cut like the mean.
    vertices = torch.cat((body.template[None], body.shape_basis))
    joints = torch.cat((body.rest_template[None], body.joint_basis))
    rest_joints = joints[:, [moved[carrier] for carrier in carried_by]]
    shares = torch.nn.functional.one_hot(torch.tensor(carried_by), len(moved)).to(vertices)
    skinned = body.skinning_weights @ shares  # vertices moved
    places = torch.einsum("jm,bjx->bmjx", shares, joints - rest_joints)
    away = vertices[:, None] - joints[:, moved][:, :, None]
    contributions = torch.cat((skinned.T[:, :, None] * away, places), dim=2)
    joint_weights = torch.cat((skinned, shares)).T[:, :, None].expand(-1, -1, 3)
    count = len(body.template)

    def keypoints(points: Float[Tensor, "*batch all 3"]) -> Float[Tensor, "*batch keypoints 3"]:
        none = points.new_zeros(*points.shape[:-2], len(PARENTS), 3, 3)
        posed = PosedBody(points[..., count:, :], points[..., :count, :], none)
        return body.keypoints(posed, "blazepose")

    point_offsets = keypoints(contributions).transpose(1, 2)  # build points moved 3
    point_offsets = torch.cat((point_offsets, point_offsets.new_zeros(len(point_offsets), len(moved), len(moved), 3)), 1)
    joint_weights = torch.cat((keypoints(joint_weights)[..., 0].T, torch.eye(len(moved)).to(joint_weights)))
    offsets = joints[:, moved] - joints[:, [moved[max(parent, 0)] for parent in parents]]
    return ReducedBody(
        moved=tuple(moved),
        rest_pose=torch.eye(3).to(vertices).repeat(len(JOINT_NAMES) - 1, 1, 1),
        parents=tuple(parents),
        offsets=offsets[0],
        offset_basis=offsets[1:],
        point_offsets=point_offsets[0],
        point_offset_basis=point_offsets[1:],
        joint_weights=joint_weights,
    )
