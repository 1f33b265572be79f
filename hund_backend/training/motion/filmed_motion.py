"""Filmed motion: captured motion on a body before a static camera."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...body.model import BodyModel
from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import JOINT_INDEX
from ...descent.state import State

SIZE = (1280, 720)  # of the frame, px


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Static camera in a world with y up."""

    rotation: Float[np.ndarray, "3 3"]  # world to camera
    position: Float[np.ndarray, "3"]  # in the world, metres
    intrinsics: Float[np.ndarray, "3 3"]  # px

    @property
    def up(self) -> Float[np.ndarray, "3"]:
        """The world's up direction in the camera frame."""
        return self.rotation[:, 1]


def random_camera(path: Float[np.ndarray, "frames 3"], rng: np.random.Generator) -> Camera:
    """Return a camera, mostly level, that has a person in view throughout.

    Args:
        path: of the pelvis over a floor at 0, metres.
        rng: random numbers.
    """
    yaw, pitch, roll = rng.uniform(0, 2 * np.pi), rng.normal(0.1, 0.06), rng.normal(0, 0.02)
    focal = SIZE[0] * rng.uniform(0.8, 1.3)
    vectors = torch.tensor([[pitch, 0, 0], [0, 0, roll], [0, yaw, 0]], dtype=torch.float64)
    tilt, lean, turn = rotvec_to_matrix(vectors).numpy()
    rotation = lean @ np.diag([1.0, -1, -1]) @ tilt @ turn
    middle = (path.max(axis=0) + path.min(axis=0)) / 2
    middle[1] = 0.9
    extent = np.linalg.norm(np.ptp(path, axis=0)[[0, 2]])
    distance = max(focal * 2.3 / SIZE[1], focal * (extent + 1.5) / SIZE[0]) + extent / 2
    intrinsics = np.array([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1.0]])
    position = middle - distance * rotation[2]
    return Camera(rotation=rotation, position=position, intrinsics=intrinsics)


def filmed(
    rotations: Float[Tensor, "frames 63 3 3"],
    translation: Float[Tensor, "frames 3"],
    betas: Float[Tensor, "16"],
    camera: Camera,
) -> State:
    """Return states in the camera frame of a motion in the world, single precision."""
    turn = torch.from_numpy(camera.rotation).float()
    position = torch.from_numpy(camera.position).float()
    return State(
        pose=rotations[:, 1:],
        betas=betas.expand(len(rotations), -1),
        global_orient=turn @ rotations[:, 0],
        root_translation=(translation - position) @ turn.T,
    )


def leg_ratio(body: BodyModel, betas: Float[Tensor, "16"]) -> float:
    """Length of the legs over that of the mean body: by it paths scale, so that feet hold."""
    return _leg_length(body, betas) / _leg_length(body, torch.zeros_like(betas))


def _leg_length(body: BodyModel, betas: Float[Tensor, "16"]) -> float:
    _, joints = body.rest(betas)
    hip, knee, ankle = (joints[JOINT_INDEX[f"{name}L"]] for name in ("Thigh", "Calf", "Ankle"))
    return float((hip - knee).norm() + (knee - ankle).norm())
