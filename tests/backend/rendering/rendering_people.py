"""People in front of a camera, each filling a crop, and how well two part maps agree."""

import math

import torch

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.prior.gaussian import GaussianPrior

FILL = 1.2  # side of the crop, in the longer side of the body
SEEN = 8  # pixels above which a part counts for the mean over parts


def random_people(body, pose, seed=0):
    """Random builds in given poses ("people 62 3 3"), turned and placed at random, upright."""
    generator = torch.Generator().manual_seed(seed)
    count, dtype = len(pose), body.template.dtype

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    yaw = 2 * math.pi * torch.rand(count, generator=generator).to(dtype)
    nothing = torch.zeros_like(yaw)
    turned = rotvec_to_matrix(torch.stack((nothing, yaw, nothing), dim=-1))
    tilted = rotvec_to_matrix(torch.stack((0.25 * normal(count), nothing, nothing), dim=-1))
    facing = torch.diag(torch.tensor([1.0, -1, -1], dtype=dtype))
    place = torch.stack((0.5 * normal(count), 0.2 * normal(count), 4 + 0.5 * normal(count)), -1)
    return {
        "pose": pose.to(dtype),
        "betas": 0.8 * normal(count, 16),
        "global_orient": facing @ tilted @ turned,
        "root_translation": place,
    }


def sampled_poses(count, seed=0):
    """Poses from the Gaussian prior, "people 62 3 3"."""
    prior = GaussianPrior.load()
    generator = torch.Generator().manual_seed(seed)
    return prior.pose(0.8 * torch.randn(count, 3 * len(prior.joints), generator=generator))


def crop_round(vertices, side):
    """Intrinsics of square crops, `side` pixels, that hold the vertices ("people vertices 3")."""
    rays = vertices[..., :2] / vertices[..., 2:]
    low, high = rays.amin(1), rays.amax(1)
    focal = side / (FILL * (high - low).amax(1))
    intrinsics = torch.eye(3, dtype=vertices.dtype).repeat(len(vertices), 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = side / 2 - focal[:, None] * (low + high) / 2
    return intrinsics


def enlarged(intrinsics, factor):
    """Intrinsics of the same view in so many times finer pixels."""
    return torch.tensor([[factor], [factor], [1.0]]).to(intrinsics) * intrinsics


def foreground_iou(maps, labels):
    """IoU of the foreground of maps ("people parts height width") with exact labels; mean."""
    drawn, there = maps.argmax(1) > 0, labels > 0
    return float(((drawn & there).sum((1, 2)) / (drawn | there).sum((1, 2))).mean())


def part_iou(maps, labels):
    """IoU of the parts that are seen, mean over them and then over people."""
    drawn = torch.nn.functional.one_hot(maps.argmax(1), maps.shape[1]).flatten(1, 2).bool()
    there = torch.nn.functional.one_hot(labels, maps.shape[1]).flatten(1, 2).bool()
    iou = (drawn & there).sum(1) / (drawn | there).sum(1).clamp_min(1)
    counted = there.sum(1) > SEEN
    counted[:, 0] = False
    return float(((iou * counted).sum(1) / counted.sum(1)).mean())
