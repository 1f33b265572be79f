"""Hand: the left wrist, its finger joints and finger tips, posed without the rest of the body.

Its 21 points are MediaPipe's hand landmarks: the wrist, then base to tip of the thumb and of the
index, middle, ring and little finger. All but the tips belong to joints of ours; the tips are points
of the mesh. Where the network puts a landmark is not quite where the joint is: the wrist's is farther
ahead, for one. Offsets that were measured on rendered hands lead from one to the other. A right
hand is a left one in a mirror.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from .file import BodyFile, load_body_file
from .kinematics import forward_kinematics
from .skeleton import JOINT_INDEX, JOINT_NAMES, LEFT_HAND_JOINTS

WRIST = JOINT_INDEX["HandL"]
HAND_JOINT_NAMES = tuple(JOINT_NAMES[joint] for joint in LEFT_HAND_JOINTS)
_FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")
POINT_NAMES = (
    "HandL",
    *(f"{finger}{bone}L" for finger in _FINGERS for bone in ("01", "02", "03", "Tip")),
)
NUM_POINTS = len(POINT_NAMES)
POINT_PARENTS = (-1, *(0 if row % 4 == 0 else row for row in range(NUM_POINTS - 1)))
TIP_POINTS = tuple(row for row, name in enumerate(POINT_NAMES) if "Tip" in name)
# Rows of the 15 finger joints, in the order of the skeleton, among the points.
POINT_OF_JOINT = tuple(POINT_NAMES.index(name) for name in HAND_JOINT_NAMES)
# Wrist and bases of the fingers, which no finger moves.
PALM_POINTS = tuple(
    row for row, name in enumerate(POINT_NAMES) if row == 0 or name.endswith("01L")
)
_TIP_DEPTH = 0.006  # metres of a finger's end whose vertices are averaged
# Millimetres from each joint or tip to its landmark, at rest: from the wrist to the middle knuckle,
# to the thumb's side, and out of the palm (`training/hands/landmark_offsets.py`).
_OFFSETS_MM = (
    (9.6, 0.1, 1.7),  # wrist
    (-7.2, 2.7, 8.4),  # thumb 1
    (3.0, 2.2, -0.6),  # thumb 2
    (-2.0, -7.3, -4.9),  # thumb 3
    (-6.9, -7.5, -7.5),  # thumb tip
    (-9.9, -4.4, 1.0),  # index 1
    (-0.8, -2.7, 3.3),  # index 2
    (-2.1, -1.9, 2.2),  # index 3
    (-6.8, -1.7, -2.4),  # index tip
    (-7.7, 0.7, 3.5),  # middle 1
    (-2.0, 1.3, 3.2),  # middle 2
    (-5.3, 1.5, 2.1),  # middle 3
    (-7.6, 1.5, 0.1),  # middle tip
    (-7.2, 1.4, 5.2),  # ring 1
    (-0.2, 0.8, 4.8),  # ring 2
    (-3.1, 1.2, 3.5),  # ring 3
    (-8.0, 3.4, -1.6),  # ring tip
    (-7.7, 3.6, 3.2),  # pinky 1
    (-1.5, 1.4, 2.3),  # pinky 2
    (-1.1, 1.1, 1.1),  # pinky 3
    (-3.7, 2.9, -3.3),  # pinky tip
)


class HandModel(nn.Module):
    """Left hand at rest with its shape basis; it has no parameters.

    Attributes:
        rest: joints and tips at zero betas relative to the wrist, (21, 3), body frame, metres.
        basis: their displacement per unit of the betas, (16, 21, 3).
        offsets: from there to the landmarks, (21, 3); they move with the bone before the joint.
    """

    def __init__(self, body: BodyFile) -> None:
        super().__init__()
        rest, basis = _points(body)
        self.register_buffer("rest", torch.from_numpy(rest - rest[:1]), persistent=False)
        basis = basis - basis[:, :1]
        self.register_buffer("basis", torch.from_numpy(basis), persistent=False)
        offsets = torch.tensor(_OFFSETS_MM).to(self.rest) / 1000 @ hand_axes(self.rest).mT
        self.register_buffer("offsets", offsets, persistent=False)

    @classmethod
    def load(cls) -> "HandModel":
        """Load the hand of the body file, in single precision."""
        return cls(load_body_file())

    def rest_points(self, betas: Float[Tensor, "*batch betas"]) -> Float[Tensor, "*batch 21 3"]:
        """Return the landmarks at rest relative to the wrist joint."""
        return self.rest_joints(betas) + self.offsets

    def rest_joints(self, betas: Float[Tensor, "*batch betas"]) -> Float[Tensor, "*batch 21 3"]:
        """Return the joints and tips at rest relative to the wrist."""
        return self.rest + torch.einsum("...b,bpx->...px", betas, self.basis)

    def forward(
        self,
        rotations: Float[Tensor, "*batch 16 3 3"],
        rest_points: Float[Tensor, "*#batch 21 3"],
    ) -> Float[Tensor, "*batch 21 3"]:
        """Return the posed landmarks relative to the wrist joint.

        Args:
            rotations: of the wrist (body frame → the frame of the result), then of the finger
                joints in their parents' frames, in the skeleton's order.
            rest_points: landmarks at rest (`rest_points`).
        """
        orientations, joints = self._posed(rotations, rest_points - self.offsets)
        carriers = orientations[..., _CARRIERS, :, :]
        return joints + (carriers @ self.offsets[..., None])[..., 0]

    def carriers(
        self,
        rotations: Float[Tensor, "*batch 16 3 3"],
        rest_points: Float[Tensor, "*#batch 21 3"],
    ) -> Float[Tensor, "*batch 21 3 3"]:
        """Return the orientations with which landmarks move; arguments as of `forward`."""
        return self._posed(rotations, rest_points - self.offsets)[0][..., _CARRIERS, :, :]

    def joints_and_carriers(
        self,
        rotations: Float[Tensor, "*batch 16 3 3"],
        rest_joints: Float[Tensor, "*#batch 21 3"],
    ) -> tuple[Float[Tensor, "*batch 21 3"], Float[Tensor, "*batch 21 3 3"]]:
        """Return `joints` and, of the same hands, `carriers`; arguments as of `joints`."""
        orientations, joints = self._posed(rotations, rest_joints)
        return joints, orientations[..., _CARRIERS, :, :]

    def joints(
        self,
        rotations: Float[Tensor, "*batch 16 3 3"],
        rest_joints: Float[Tensor, "*#batch 21 3"],
    ) -> Float[Tensor, "*batch 21 3"]:
        """Return the posed joints and tips relative to the wrist.

        Args:
            rotations: as of `forward`.
            rest_joints: joints and tips at rest (`rest_joints`).
        """
        return self._posed(rotations, rest_joints)[1]

    def _posed(
        self,
        rotations: Float[Tensor, "*batch 16 3 3"],
        rest_joints: Float[Tensor, "*#batch 21 3"],
    ) -> tuple[Float[Tensor, "*batch 21 3 3"], Float[Tensor, "*batch 21 3"]]:
        """Orientations and positions of the joints and tips."""
        identity = torch.eye(3).to(rotations).expand(*rotations.shape[:-3], 1, 3, 3)
        all_rotations = torch.cat((rotations, identity), dim=-3)[..., _ROTATION_OF_POINT, :, :]
        rest_joints = rest_joints.expand(*rotations.shape[:-3], -1, -1)
        rest_joints = rest_joints - rest_joints[..., :1, :]
        return forward_kinematics(all_rotations, rest_joints, POINT_PARENTS)


# Row of `rotations` for each point; the tips take the identity behind them.
_ROTATION_OF_POINT = [
    0 if row == 0 else 16 if row in TIP_POINTS else 1 + POINT_OF_JOINT.index(row)
    for row in range(NUM_POINTS)
]
# The point whose bone carries each landmark: the parent, and the wrist itself.
_CARRIERS = [max(parent, 0) for parent in POINT_PARENTS]


def hand_axes(rest: Float[Tensor, "21 3"]) -> Float[Tensor, "3 3"]:
    """Columns: along the left hand at rest, across it to the thumb's side, and out of the palm.

    Args:
        rest: joints and tips at rest.
    """

    def point(name: str) -> Float[Tensor, " 3"]:
        return rest[POINT_NAMES.index(name)]

    along = point("Middle01L") - point("HandL")
    along = along / along.norm()
    across = point("Index01L") - point("Pinky01L")
    across = across - (across @ along) * along
    across = across / across.norm()
    return torch.stack((along, across, torch.linalg.cross(along, across)), dim=-1)


def bone_lengths(points: Float[Tensor, "*batch 21 3"]) -> Float[Tensor, "*batch 20"]:
    """Return the distance of each point but the wrist from its parent."""
    return (points[..., 1:, :] - points[..., POINT_PARENTS[1:], :]).norm(dim=-1)


def mirrored_rotations(
    rotations: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch 3 3"]:
    """Return rotations as a mirror across the x axis shows them; its own inverse."""
    sign = rotations.new_tensor([-1.0, 1.0, 1.0])
    return sign[:, None] * rotations * sign


def _points(
    body: BodyFile,
) -> tuple[Float[np.ndarray, "21 3"], Float[np.ndarray, "16 21 3"]]:
    """Return the points at rest and their shape basis, body frame."""
    rest, basis = [], []
    for name in POINT_NAMES:
        if "Tip" not in name:
            rest.append(body.joints[JOINT_INDEX[name]])
            basis.append(body.joint_basis[:, JOINT_INDEX[name]])
            continue
        members = _tip_vertices(body, name[:-4])
        rest.append(body.template[members].mean(axis=0))
        basis.append(body.shape_basis[:, members].mean(axis=1))
    return np.stack(rest), np.stack(basis, axis=1)


def _tip_vertices(body: BodyFile, finger: str) -> np.ndarray:
    """Return indices of the vertices at the end of a finger of the left hand."""
    joint = JOINT_INDEX[f"{finger}03L"]
    along = body.joints[joint] - body.joints[JOINT_INDEX[f"{finger}02L"]]
    members = np.flatnonzero(body.skinning_weights[:, joint] > 0.5)
    reach = body.template[members] @ (along / np.linalg.norm(along))
    return members[reach > reach.max() - _TIP_DEPTH]
