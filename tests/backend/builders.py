"""Builders for tests: a small body without files, and synthetic evidence of people."""

import dataclasses
import math

import numpy as np
import torch

from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.body.procrustes import similarity_aligned
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX, JOINT_NAMES, PARENTS
from hund_backend.descent.fit.fit import FitConfig
from hund_backend.descent.fit.parts.surface import Surface
from hund_backend.descent.fit.solver import SolverConfig
from hund_backend.descent.reduced_body import REDUCED_JOINTS, FitVariables, ReducedBody
from hund_backend.perception.crops import crop_from_image
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.packed_part_maps import pack_part_maps
from hund_backend.rendering.exact_parts import exact_parts

CAMERA = np.array([[1000.0, 0, 500], [0, 1000, 400], [0, 0, 1]])  # intrinsics, px

# Outputs of the keypoint network, without the batch.
BLAZEPOSE_SHAPES = {
    "landmarks": (195,),
    "heatmaps": (39, 64, 64),
    "presence": (1,),
    "world_landmarks": (117,),
    "mask": (1, 256, 256),
    "decoder": (48, 64, 64),
    "bottleneck": (272, 8, 8),
    "trunk": (288, 2, 2),
}

QUICK_FIT = FitConfig(  # few iterations: enough for clean evidence of a few frames
    initial_steps=SolverConfig(iterations=6),
    shape_steps=SolverConfig(iterations=6),
    coarse_steps=SolverConfig(iterations=4),
    fine_steps=SolverConfig(iterations=8),
)

# Left and middle joints at rest, and keypoints relative to their joint; metres, body frame.
_REST = {
    "Pelvis": (0, 0, 0),
    "Spine01": (0, 0.10, -0.01),
    "Spine02": (0, 0.22, -0.02),
    "Spine03": (0, 0.34, -0.03),
    "Neck01": (0, 0.52, -0.02),
    "Head01": (0, 0.62, 0.0),
    "ClavicleL": (0.03, 0.45, 0.0),
    "UpperarmL": (0.17, 0.45, -0.02),
    "LowerarmL": (0.36, 0.26, -0.02),
    "HandL": (0.53, 0.09, -0.02),
    "ThighL": (0.09, 0.0, 0.0),
    "CalfL": (0.09, -0.40, 0.0),
    "AnkleL": (0.09, -0.80, 0.0),
    "BallL": (0.10, -0.86, 0.12),
}
_POINTS = {
    "nose": ("Head01", (0, 0.06, 0.11)),
    "left_eye_inner": ("Head01", (0.015, 0.10, 0.09)),
    "left_eye": ("Head01", (0.03, 0.10, 0.09)),
    "left_eye_outer": ("Head01", (0.045, 0.10, 0.08)),
    "left_ear": ("Head01", (0.075, 0.07, 0.0)),
    "mouth_left": ("Head01", (0.025, 0.02, 0.09)),
    "left_shoulder": ("UpperarmL", (0, 0, 0)),
    "left_elbow": ("LowerarmL", (0, 0, 0)),
    "left_wrist": ("HandL", (0, 0, 0)),
    "left_pinky": ("HandL", (0.05, -0.06, -0.03)),
    "left_index": ("HandL", (0.06, -0.06, 0.02)),
    "left_thumb": ("HandL", (0.03, -0.04, 0.04)),
    "left_hip": ("ThighL", (0, 0, 0)),
    "left_knee": ("CalfL", (0, 0, 0)),
    "left_ankle": ("AnkleL", (0, 0, 0)),
    "left_heel": ("AnkleL", (0, -0.06, -0.05)),
    "left_foot_index": ("BallL", (0, 0, 0.06)),
}


def _mirrored(place):
    return (-place[0], *place[1:])


def mini_reduced_body(dtype=torch.float64):
    """Reduced body without files: 22 joints, 33 keypoints, two betas (size, length of limbs)."""
    joints = tuple(JOINT_INDEX[name] for name in REDUCED_JOINTS)
    parents = [-1]
    for joint in joints[1:]:
        parent = PARENTS[joint]
        while parent not in joints:
            parent = PARENTS[parent]
        parents.append(joints.index(parent))
    rest = dict(_REST)
    rest |= {f"{name[:-1]}R": _mirrored(at) for name, at in _REST.items() if name[-1] == "L"}
    places = torch.tensor([rest[name] for name in REDUCED_JOINTS], dtype=dtype)
    offsets = places - torch.stack([places[max(parent, 0)] for parent in parents])
    carried = dict(_POINTS)
    for name, (joint, at) in _POINTS.items():
        if "left" in name:
            other = joint[:-1] + "R" if joint[-1] == "L" else joint
            carried[name.replace("left", "right")] = (other, _mirrored(at))
    count = len(BLAZEPOSE_NAMES) + len(joints)
    point_offsets = torch.zeros(count, len(joints), 3, dtype=dtype)
    joint_weights = torch.zeros(count, len(joints), dtype=dtype)
    for point, name in enumerate(BLAZEPOSE_NAMES):
        joint, at = carried[name]
        column = REDUCED_JOINTS.index(joint)
        joint_weights[point, column] = 1
        point_offsets[point, column] = torch.tensor(at, dtype=dtype)
    joint_weights[len(BLAZEPOSE_NAMES) :] = torch.eye(len(joints), dtype=dtype)
    limbs = torch.tensor(
        [[float(n[-1] in "LR" and n[:-1] != "Clavicle")] for n in REDUCED_JOINTS], dtype=dtype
    )
    return ReducedBody(
        joint_indices=joints,
        rest_pose=torch.eye(3, dtype=dtype).repeat(len(JOINT_NAMES) - 1, 1, 1),
        parents=tuple(parents),
        offsets=offsets,
        offset_basis=torch.stack((0.05 * offsets, 0.03 * offsets * limbs)),
        point_offsets=point_offsets,
        point_offset_basis=torch.stack((0.05 * point_offsets, torch.zeros_like(point_offsets))),
        joint_weights=joint_weights,
    )


def random_variables(reduced_body, frames, seed=0, spread=0.4):
    """Random fit variables, three metres in front of the camera."""
    generator = torch.Generator().manual_seed(seed)
    rotvecs = spread * torch.randn(frames, len(reduced_body.parents), 3, generator=generator)
    places = torch.tensor([0.1, 0.2, 3.0]) + 0.1 * torch.randn(frames, 3, generator=generator)
    betas = torch.randn(len(reduced_body.offset_basis), generator=generator)
    rotations = rotvec_to_matrix(rotvecs.double())
    return FitVariables(rotations, places.double(), betas.double())


def walk(reduced_body, prior, frames, fps=30.0, yaw=0.7):
    """Fit variables of a person who walks across the image, at an angle to the camera."""
    typical = prior.typical_pose().double()
    rotations = torch.cat((torch.eye(3, dtype=torch.float64)[None], typical))[
        list(reduced_body.joint_indices)
    ]
    rotations = rotations.repeat(frames, 1, 1, 1)
    seconds = torch.arange(frames, dtype=torch.float64) / fps
    phase = 2 * math.pi * seconds
    swings = {
        "ThighL": -0.5 * phase.sin(),
        "ThighR": 0.5 * phase.sin(),
        "CalfL": 0.4 + 0.4 * phase.cos(),
        "CalfR": 0.4 - 0.4 * phase.cos(),
    }
    for name, angle in swings.items():
        turn = torch.nn.functional.pad(angle[:, None], (0, 2))
        joint = REDUCED_JOINTS.index(name)
        rotations[:, joint] = rotations[:, joint] @ rotvec_to_matrix(turn)
    facing = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    turned = rotvec_to_matrix(torch.tensor([0.0, yaw, 0.0], dtype=torch.float64))
    rotations[:, 0] = facing @ turned
    place = torch.stack((seconds - seconds.mean(), 0.1 + 0 * seconds, 4 + 0.2 * seconds), dim=-1)
    return FitVariables(
        rotations, place, torch.zeros(len(reduced_body.offset_basis), dtype=torch.float64)
    )


def evidence_of(reduced_body, variables, noise=0.0, seed=0):
    """Evidence of a person before `CAMERA`; noise as a fraction of the crop's side."""
    points = reduced_body.forward(variables).points[:, : len(BLAZEPOSE_NAMES)]
    pixels = project(points, torch.tensor(CAMERA)).numpy()
    side = 1.25 * np.ptp(pixels, axis=1).max(axis=-1)
    generator = np.random.default_rng(seed)
    pixels = pixels + noise * side[:, None, None] * generator.normal(size=pixels.shape)
    hips = points[:, [23, 24]].mean(dim=1, keepdim=True)
    middle = (pixels.max(axis=1) + pixels.min(axis=1)) / 2
    frames = len(pixels)
    return Evidence(
        track_id=0,
        frames=np.arange(frames),
        observed=np.ones(frames, bool),
        keypoints=np.concatenate((pixels, np.full((frames, 33, 1), 0.9)), axis=-1),
        world_landmarks=(points - hips).numpy(),
        crops=np.column_stack((middle, side, np.zeros(frames))),
        intrinsics=np.repeat(CAMERA[None], frames, axis=0),
        masks=np.zeros((frames, 64, 64), np.uint8),
    )


def pa_mpjpe_mm(joints, truth):
    """PA-MPJPE of each frame, millimetres."""
    aligned = similarity_aligned(joints.double(), truth.double())
    return 1000 * (aligned - truth.double()).norm(dim=-1).mean(-1)


def with_parts(evidence, reduced_body, variables, camera=CAMERA):
    """Add exact part maps and masks to evidence."""
    low = BodyModel.load("low")
    vertices = (
        Surface.from_body(low)
        .vertices_of(reduced_body.forward(variables), variables.betas)
        .float()
    )
    cells = crop_from_image(evidence.crops, 64) @ np.asarray(camera)
    maps = exact_parts(low, vertices, torch.from_numpy(cells).float(), (64, 64)).numpy()
    masks = (255 * (1 - maps[:, 0])).astype(np.uint8)
    return dataclasses.replace(
        evidence, parts=pack_part_maps(maps.astype(np.float32)), masks=masks
    )
