"""State decoder: from HUND's state vector to a posed body, for whole batches.

The reduced body of the fit in single precision, with betas of its own for each picture.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...body.kinematics import forward_kinematics
from ...body.model import BodyModel
from ...body.rotations import matrix_to_sixd, sixd_to_matrix
from ...body.skeleton import JOINT_INDEX, JOINT_NAMES
from ...prior.pose_flow import PoseFlow
from ..keypoints import NUM_KEYPOINTS, bone_length
from ..reduced_body import REDUCED_JOINTS, ReducedBody
from ..state import State
from .flow_decoder import FlowDecoder

NUM_BETAS = 16
_FACING = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # 6D orientation of a person who faces the camera
_FILLING_HEIGHT = 2.0  # metres: height of a person who fills the crop
_LOG_DEPTH_RANGE = (-2.5, 2.5)  # of the depth over that of a person who fills the crop


class StateVector(NamedTuple):
    """State s in the numbers that the stages change; in the crop's camera."""

    latent: Float[Tensor, "batch latent"]  # of the pose
    betas: Float[Tensor, "batch betas"]
    orient: Float[Tensor, "batch 6"]  # 6D rotation of the pelvis: body → crop's camera
    position: Float[Tensor, "batch 3"]
    """x / z and y / z of the pelvis in crop widths; log of z over that of a person who fills the crop."""

    def flat(self) -> Float[Tensor, "batch state"]:
        """One vector."""
        return torch.cat(tuple(self), dim=-1)


class PosedState(NamedTuple):
    """Posed body of a state; crop's camera, metres."""

    rotations: Float[Tensor, "batch joints 3 3"]  # of the reduced joints; first: pelvis → camera
    joints: Float[Tensor, "batch joints 3"]  # the reduced joints
    points: Float[Tensor, "batch keypoints 3"]

    @property
    def translation(self) -> Float[Tensor, "batch 3"]:
        """Pelvis."""
        return self.joints[:, 0]


class StateDecoder(nn.Module):
    """Differentiable map from state vectors to posed bodies; it has no parameters.

    Attributes:
        latent_size: length of the latent.
        state_size: length of the whole state vector.
        bones: bone length of the mean body (`bone_length`), metres.
    """

    def __init__(self, body: BodyModel, prior: PoseFlow, *, uses_flow: bool = True) -> None:
        """Reduce a body.

        Args:
            body: any resolution that has BlazePose's keypoints.
            prior: its flow maps latents to poses.
            uses_flow: False for latents that are whitened 6D rotations.
        """
        super().__init__()
        reduced = ReducedBody.from_body(body)
        assert prior.joints == tuple(JOINT_INDEX[name] - 1 for name in REDUCED_JOINTS[1:])
        self.parents, self.joint_indices = reduced.parents, reduced.joint_indices
        self.flow = FlowDecoder(prior, uses_flow=uses_flow)
        self.latent_size = self.flow.latent_size
        self.state_size = self.latent_size + NUM_BETAS + 6 + 3
        self._register("rest_joints", _rest_joints(reduced.offsets, self.parents))
        self._register("rest_joint_basis", _rest_joints(reduced.offset_basis, self.parents))
        self._register("point_offsets", reduced.point_offsets[:NUM_KEYPOINTS].flatten())
        basis = reduced.point_offset_basis[:, :NUM_KEYPOINTS].flatten(1)
        self._register("point_offset_basis", basis)
        self._register("joint_weights", reduced.joint_weights[:NUM_KEYPOINTS])
        identity = torch.eye(3).repeat(1, len(self.joint_indices), 1, 1)
        mean_body = self.pose(identity, torch.zeros(1, 3), torch.zeros(1, NUM_BETAS))
        self.bones = float(bone_length(mean_body.points))

    def _register(self, name: str, values: Tensor) -> None:
        # Derived from body and prior: not saved with the weights.
        self.register_buffer(name, values.detach().float().contiguous(), persistent=False)

    def forward(self, vector: StateVector, crop_width: Float[Tensor, " batch"]) -> PosedState:
        """Posed body of a state."""
        rotations = sixd_to_matrix(self.flow(vector.latent).unflatten(-1, (-1, 6)))
        root = sixd_to_matrix(vector.orient)
        rotations = torch.cat((root[:, None], rotations), dim=1)
        translation = translation_from_position(vector.position, crop_width)
        return self.pose(rotations, translation, vector.betas)

    def pose(
        self,
        rotations: Float[Tensor, "batch joints 3 3"],
        translation: Float[Tensor, "batch 3"],
        betas: Float[Tensor, "batch betas"],
    ) -> PosedState:
        """Posed body from rotations of the reduced joints."""
        rest = self.rest_joints + torch.einsum("nb,bjx->njx", betas, self.rest_joint_basis)
        orientations, joints = forward_kinematics(rotations, rest, self.parents)
        joints = joints + (translation - joints[:, 0])[:, None]
        offsets = (self.point_offsets + betas @ self.point_offset_basis).view(
            len(betas), NUM_KEYPOINTS, 3 * len(self.joint_indices)
        )
        points = offsets @ orientations.mT.flatten(1, 2) + self.joint_weights @ joints
        return PosedState(rotations, joints, points)

    def state_vector(
        self,
        posed: PosedState,
        betas: Float[Tensor, "batch betas"],
        crop_width: Float[Tensor, " batch"],
        prior: PoseFlow,
    ) -> StateVector:
        """State vector of a posed body: the inverse of `forward`."""
        latent = self.flow.latent_of(posed.rotations[:, 1:], prior)
        orient = matrix_to_sixd(posed.rotations[:, 0])
        position = position_from_translation(posed.translation, crop_width)
        return StateVector(latent, betas, orient, position)

    def split(self, flat: Float[Tensor, "batch state"]) -> StateVector:
        """State vector from its flat form."""
        return StateVector(*flat.split([self.latent_size, NUM_BETAS, 6, 3], dim=-1))

    def mean_state(self) -> Float[Tensor, " state"]:
        """Flat state of the mean person, facing the camera and filling the crop."""
        zeros = torch.zeros(self.latent_size + NUM_BETAS)
        return torch.cat((zeros, torch.tensor(_FACING), torch.zeros(3)))

    def state(
        self,
        posed: PosedState,
        betas: Float[Tensor, "batch betas"],
        camera_from_crop: Float[Tensor, "batch 3 3"],
    ) -> State:
        """State in the full frame's camera; joints that are not reduced keep their rest pose."""
        rest = torch.eye(3).to(betas)
        pose = rest.expand(len(betas), len(JOINT_NAMES) - 1, 3, 3).clone()
        pose[:, [joint - 1 for joint in self.joint_indices[1:]]] = posed.rotations[:, 1:]
        return State(
            pose=pose,
            betas=betas,
            global_orient=camera_from_crop @ posed.rotations[:, 0],
            root_translation=(camera_from_crop @ posed.translation[..., None])[..., 0],
        )


def translation_from_position(
    position: Float[Tensor, "batch 3"], crop_width: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3"]:
    """Pelvis in the crop's camera, metres, from `StateVector.position`."""
    log_depth = position[:, 2:].clamp(*_LOG_DEPTH_RANGE)
    depth = log_depth.exp() * _FILLING_HEIGHT / crop_width[:, None]
    return torch.cat((position[:, :2] * crop_width[:, None] * depth, depth), dim=-1)


def position_from_translation(
    translation: Float[Tensor, "batch 3"], crop_width: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3"]:
    """`StateVector.position` of the pelvis in metres."""
    depth = translation[:, 2:]
    log_depth = (depth * crop_width[:, None] / _FILLING_HEIGHT).log()
    return torch.cat((translation[:, :2] / depth / crop_width[:, None], log_depth), dim=-1)


def _rest_joints(
    offsets: Float[Tensor, "*betas joints 3"], parents: tuple[int, ...]
) -> Float[Tensor, "*betas joints 3"]:
    """Rest positions of joints from their offsets to their parents."""
    joints = [offsets[..., 0, :]]
    for joint, parent in enumerate(parents[1:], start=1):
        joints.append(joints[parent] + offsets[..., joint, :])
    return torch.stack(joints, dim=-2)
