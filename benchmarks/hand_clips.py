"""A clip of a person who claps: hands that meet, for a known time, at known instants."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from benchmarks.motion_clips import MotionClip
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX, JOINT_NAMES
from hund_backend.descent.state import State
from hund_backend.training.motion.filmed_motion import SIZE
from hund_backend.training.motion.simulated_detector import simulated_evidence

ARMS = tuple(JOINT_INDEX[f"{name}{side}"] for side in "LR" for name in ("Upperarm", "Lowerarm"))
FINGERS = tuple(BLAZEPOSE_NAMES.index(f"{side}_index") for side in ("left", "right"))
FPS, CLAPS = 30.0, 8
# Share of the way from open to closed hands in each frame of a clap: they speed up until they meet,
# stay for two frames, and part again.
CLAP = (0.0, 0.06, 0.25, 0.56, 1.0, 1.0, 0.8, 0.5, 0.22, 0.06, 0.0, 0.0)
OPEN, CLOSED = 0.30, 0.04  # metres of each hand from the middle


def clap_clip(body: BodyModel, seed: int, fps: float = FPS) -> MotionClip:
    """Return a standing person who claps eight times, with simulated detections."""
    rng = np.random.default_rng([seed, 99])
    betas = torch.from_numpy(0.6 * rng.normal(size=16)).float()
    arms = [_reach(body, betas, distance) for distance in (OPEN, CLOSED)]
    share = torch.from_numpy(_closed(fps)).float()[:, None, None]
    vectors = (1 - share) * arms[0] + share * arms[1]
    frames = len(vectors)
    pose = torch.eye(3).repeat(frames, len(JOINT_NAMES) - 1, 1, 1)
    pose[:, [joint - 1 for joint in ARMS]] = rotvec_to_matrix(vectors)
    focal, yaw = SIZE[0] * rng.uniform(0.8, 1.3), rng.uniform(-0.8, 0.8)
    turn = rotvec_to_matrix(torch.tensor([0.0, yaw, 0.0]))
    state = State(
        pose=pose,
        betas=betas.expand(frames, -1),
        global_orient=(torch.diag(torch.tensor([1.0, -1, -1])) @ turn).expand(frames, 3, 3),
        root_translation=torch.tensor([0.0, 0.1, 2.5 * focal / SIZE[1]]).expand(frames, 3),
    )
    with torch.no_grad():
        posed = state.posed(body)
        keypoints = body.keypoints(posed, "blazepose").double().numpy()
        points = body.contact_points(posed).double().numpy()
    up = np.array([0.0, -1, 0])
    intrinsics = np.array([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1.0]])
    return MotionClip(
        kind="clap",
        state=state,
        joints=posed.joints.double().numpy(),
        keypoints=keypoints,
        points=points,
        contacts=np.repeat(np.arange(12)[None] < 6, frames, axis=0),
        up=up,
        floor=float((points[:, :6] @ up).mean()),
        evidence=simulated_evidence(keypoints, intrinsics, fps, rng),
        intrinsics=intrinsics,
        fps=fps,
    )


def _closed(fps: float) -> Float[np.ndarray, " frames"]:
    """Share of the way from open to closed hands in each frame."""
    shares = np.array(CLAP * CLAPS)
    times = np.arange(int((len(shares) - 1) / FPS * fps + 1e-6) + 1) / fps
    return PchipInterpolator(np.arange(len(shares)) / FPS, shares)(times)


def _reach(body: BodyModel, betas: Float[Tensor, "16"], distance: float) -> Float[Tensor, "4 3"]:
    """Rotations of the arms that bring the fingers before the chest, some way from the middle."""
    chest = body.rest(betas)[1][JOINT_INDEX["Spine03"]]
    sides = torch.tensor([1.0, -1.0])
    goal = torch.stack(
        (sides * distance, chest[1].expand(2) + 0.05, chest[2].expand(2) + 0.35), dim=-1
    )
    vectors = torch.zeros(4, 3, requires_grad=True)
    optimizer = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(200):
        pose = torch.eye(3).repeat(len(JOINT_NAMES) - 1, 1, 1)
        rotations = rotvec_to_matrix(vectors)
        pose = pose.index_copy(0, torch.tensor([joint - 1 for joint in ARMS]), rotations)
        fingers = body.keypoints(body(pose, betas), "blazepose")[list(FINGERS)]
        loss = ((fingers - goal) ** 2).sum() + 1e-3 * vectors.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return vectors.detach()
