"""The marionette: from the numbers that HUND's stages move to a posed body, for whole batches.

It is the puppet of the fit in single precision with a build for every picture, and the flow's way
from latent to pose with its triangular systems solved once and for all.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_sixd, sixd_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES
from hund_backend.descent.learned.inputs import bone_length
from hund_backend.descent.reduced_body import REDUCED_JOINTS, ReducedBody
from hund_backend.descent.state import State
from hund_backend.descent.targets import NUM_KEYPOINTS
from hund_backend.prior.augmented_sixd import rotations_to_sixd
from hund_backend.prior.light_flow import LightFlow, inverse_activation
from hund_backend.prior.pose_flow import PoseFlow

BETAS = 16
FACING = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)  # 6D orientation of one who stands and faces the camera
HEIGHT = 2.0  # metres: how large one is taken to be who fills the crop
NEAREST_LOG, FARTHEST_LOG = -2.5, 2.5  # of the depth over that of one who fills the crop


class StateVector(NamedTuple):
    """The state as the stages see it; the crop's camera."""

    latent: Float[Tensor, "batch latent"]  # of the body's pose
    betas: Float[Tensor, "batch betas"]
    orient: Float[Tensor, "batch 6"]  # pelvis: body → camera of the crop
    place: Float[Tensor, "batch 3"]
    """x / z and y / z of the pelvis in spans, log of z over the depth of one who fills the crop."""

    def flat(self) -> Float[Tensor, "batch numbers"]:
        """All in a row."""
        return torch.cat(tuple(self), dim=-1)


class Posed(NamedTuple):
    """A state, posed; the crop's camera, metres."""

    rotations: Float[Tensor, "batch joints 3 3"]  # of the moved joints, the pelvis → camera first
    joints: Float[Tensor, "batch joints 3"]  # the moved ones
    points: Float[Tensor, "batch keypoints 3"]

    @property
    def translation(self) -> Float[Tensor, "batch 3"]:
        """Of the pelvis."""
        return self.joints[:, 0]


class StateDecoder(nn.Module):
    """Poses the body; it has no parameters.

    Attributes:
        latent: numbers of the pose.
        numbers: of the whole state.
        bones: length of the mean body's bones (`bone_length`), metres.
    """

    def __init__(self, body: BodyModel, prior: PoseFlow, *, through_flow: bool = True) -> None:
        """Cut it from a body.

        Args:
            body: any resolution that has BlazePose's keypoints.
            prior: its flow is the way from latents to poses.
            through_flow: or else latents are the white 6D numbers before the flow.
        """
        super().__init__()
        reduced_body = ReducedBody.from_body(body)
        assert isinstance(prior.flow, LightFlow)
        assert prior.joints == tuple(JOINT_INDEX[name] - 1 for name in REDUCED_JOINTS[1:])
        self.parents, self.moved = reduced_body.parents, reduced_body.moved
        self.latent = prior.config.features
        self.numbers = self.latent + BETAS + 6 + 3
        self._keep("homes", _homes(reduced_body.offsets, self.parents))
        self._keep("home_basis", _homes(reduced_body.offset_basis, self.parents))
        self._keep("anchors", reduced_body.point_offsets[:NUM_KEYPOINTS].flatten())
        self._keep("anchor_basis", reduced_body.point_offset_basis[:, :NUM_KEYPOINTS].flatten(1))
        self._keep("masses", reduced_body.joint_weights[:NUM_KEYPOINTS])
        self._keep("mean", prior.mean)
        self._keep("unwhitening", torch.linalg.inv(prior.whitening.double()).T)
        self._keep("whitening", prior.whitening.T)
        self._keep_flow(prior.flow if through_flow else None)
        still = torch.eye(3).repeat(1, len(self.moved), 1, 1)
        nobody = torch.zeros(1, BETAS)
        self.bones = float(bone_length(self.pose(still, torch.zeros(1, 3), nobody).points))

    def _keep(self, name: str, values: Tensor) -> None:
        # Made of the body and the prior: not saved with what is learned.
        self.register_buffer(name, values.detach().float().contiguous(), persistent=False)

    def _keep_flow(self, flow: LightFlow | None) -> None:
        layers = len(flow.lu_factors) if flow is not None else 0
        forward = torch.zeros(layers, self.latent, self.latent, dtype=torch.float64)
        for layer in range(layers):
            lu_factors = flow.lu_factors[layer].detach().double()
            upper = lu_factors.triu(1) + torch.eye(self.latent)
            forward[layer] = (lu_factors.tril() @ upper).T
        self._keep("forward_matrices", forward)
        self._keep("inverse_matrices", torch.linalg.inv(forward))
        self._keep("shifts", flow.shifts if layers else self.mean[None, :0])
        self._keep(
            "bends", flow.max_slope * torch.tanh(flow.bends) if layers else self.mean[None, :0]
        )

    def forward(self, numbers: StateVector, span: Float[Tensor, " batch"]) -> Posed:
        """The body of a state."""
        rotations = sixd_to_matrix(self.sixd(numbers.latent).unflatten(-1, (-1, 6)))
        root = sixd_to_matrix(numbers.orient)
        rotations = torch.cat((root[:, None], rotations), dim=1)
        return self.pose(rotations, placed(numbers.place, span), numbers.betas)

    def pose(
        self,
        rotations: Float[Tensor, "batch joints 3 3"],
        translation: Float[Tensor, "batch 3"],
        betas: Float[Tensor, "batch betas"],
    ) -> Posed:
        """The body in a pose of the moved joints."""
        rest_joints = self.rest_joints + torch.einsum("nb,bjx->njx", betas, self.rest_joint_basis)
        orientations, joints = forward_kinematics(rotations, rest_joints, self.parents)
        joints = joints + (translation - joints[:, 0])[:, None]
        point_offsets = (self.point_offsets + betas @ self.point_offset_basis).view(
            len(betas), NUM_KEYPOINTS, 3 * len(self.moved)
        )
        points = point_offsets @ orientations.mT.flatten(1, 2) + self.joint_weights @ joints
        return Posed(rotations, joints, points)

    def sixd(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
        """6D rotations of the joints below the pelvis."""
        values = latent
        for layer in reversed(range(len(self.inverse_matrices))):
            if layer < len(self.bends):
                values = inverse_activation(values, self.bends[layer])
            values = (values - self.shifts[layer]) @ self.inverse_matrices[layer]
        return values @ self.unwhitening + self.mean

    def latent_of(
        self, rotations: Float[Tensor, "batch joints 3 3"], prior: PoseFlow
    ) -> Float[Tensor, "batch latent"]:
        """The latent of a pose of the moved joints, the pelvis left out."""
        rotations = rotations[:, 1:]
        sixd = rotations_to_sixd(rotations, torch.zeros_like(rotations[..., 0]))
        if len(self.forward_matrices):
            return prior.encode(sixd)[0]
        return (sixd - self.mean) @ self.whitening

    def numbers_of(
        self,
        posed: Posed,
        betas: Float[Tensor, "batch betas"],
        span: Float[Tensor, " batch"],
        prior: PoseFlow,
    ) -> StateVector:
        """The numbers of a posed body: the inverse of `forward`."""
        latent = self.latent_of(posed.rotations, prior)
        orient = matrix_to_sixd(posed.rotations[:, 0])
        return StateVector(latent, betas, orient, place_of(posed.translation, span))

    def split(self, flat: Float[Tensor, "batch numbers"]) -> StateVector:
        """The groups of numbers that stand in a row."""
        return StateVector(*flat.split([self.latent, BETAS, 6, 3], dim=-1))

    def start(self) -> Float[Tensor, " numbers"]:
        """The mean person, facing the camera and filling the crop."""
        facing = torch.tensor(FACING)
        return torch.cat((torch.zeros(self.latent + BETAS), facing, torch.zeros(3)))

    def state(
        self,
        posed: Posed,
        betas: Float[Tensor, "batch betas"],
        camera_from_crop: Float[Tensor, "batch 3 3"],
    ) -> State:
        """The state in the full frame's camera; joints that the stages do not move rest."""
        rest = torch.eye(3).to(betas)
        pose = rest.expand(len(betas), len(JOINT_NAMES) - 1, 3, 3).clone()
        pose[:, [joint - 1 for joint in self.moved[1:]]] = posed.rotations[:, 1:]
        return State(
            pose=pose,
            betas=betas,
            global_orient=camera_from_crop @ posed.rotations[:, 0],
            root_translation=(camera_from_crop @ posed.translation[..., None])[..., 0],
        )


def placed(
    place: Float[Tensor, "batch 3"], span: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3"]:
    """Metres in the crop's camera of a place in the stages' terms."""
    depth = place[:, 2:].clamp(NEAREST_LOG, FARTHEST_LOG).exp() * HEIGHT / span[:, None]
    return torch.cat((place[:, :2] * span[:, None] * depth, depth), dim=-1)


def place_of(
    translation: Float[Tensor, "batch 3"], span: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 3"]:
    """The stages' terms of a place in metres."""
    depth = translation[:, 2:]
    log = (depth * span[:, None] / HEIGHT).log()
    return torch.cat((translation[:, :2] / depth / span[:, None], log), dim=-1)


def _homes(
    offsets: Float[Tensor, "*builds joints 3"], parents: tuple[int, ...]
) -> Float[Tensor, "*builds joints 3"]:
    """Rest positions of joints from their offsets to their parents."""
    rest_joints = [offsets[..., 0, :]]
    for joint, parent in enumerate(parents[1:], start=1):
        rest_joints.append(rest_joints[parent] + offsets[..., joint, :])
    return torch.stack(rest_joints, dim=-2)
