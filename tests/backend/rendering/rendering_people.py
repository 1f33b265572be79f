"""Random people in front of a camera, each filling a crop, and the agreement of part maps."""

import math

import torch

from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.prior.gaussian import GaussianPrior

MARGIN = 1.2  # side of the crop over the longer side of the body
MIN_PART_PIXELS = 8  # above which a part counts for the mean over parts


def random_people(body, pose, seed=0):
    """Random betas, headings and positions of upright people in given poses, "people 62 3 3"."""
    generator = torch.Generator().manual_seed(seed)
    count, dtype = len(pose), body.template.dtype

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    yaw = 2 * math.pi * torch.rand(count, generator=generator).to(dtype)
    zero = torch.zeros_like(yaw)
    heading = rotvec_to_matrix(torch.stack((zero, yaw, zero), dim=-1))
    tilt = rotvec_to_matrix(torch.stack((0.25 * normal(count), zero, zero), dim=-1))
    camera_from_body = torch.diag(torch.tensor([1.0, -1, -1], dtype=dtype))
    translation = torch.stack(
        (0.5 * normal(count), 0.2 * normal(count), 4 + 0.5 * normal(count)), -1
    )
    return {
        "pose": pose.to(dtype),
        "betas": 0.8 * normal(count, 16),
        "global_orient": camera_from_body @ tilt @ heading,
        "root_translation": translation,
    }


def sample_poses(count, seed=0):
    """Sample poses from the Gaussian prior, "people 62 3 3"."""
    prior = GaussianPrior.load()
    generator = torch.Generator().manual_seed(seed)
    return prior.pose(0.8 * torch.randn(count, 3 * len(prior.joints), generator=generator))


def fit_crop_intrinsics(vertices, side):
    """Intrinsics of square crops of `side` pixels around vertices, "people vertices 3"."""
    rays = vertices[..., :2] / vertices[..., 2:]
    low, high = rays.amin(1), rays.amax(1)
    focal = side / (MARGIN * (high - low).amax(1))
    intrinsics = torch.eye(3, dtype=vertices.dtype).repeat(len(vertices), 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = side / 2 - focal[:, None] * (low + high) / 2
    return intrinsics


def scale_intrinsics(intrinsics, factor):
    """Intrinsics of the same view with pixels finer by a factor."""
    return torch.tensor([[factor], [factor], [1.0]]).to(intrinsics) * intrinsics


def foreground_iou(maps, labels):
    """Mean foreground IoU of maps, "people parts height width", with exact labels."""
    rendered, exact = maps.argmax(1) > 0, labels > 0
    return float(((rendered & exact).sum((1, 2)) / (rendered | exact).sum((1, 2))).mean())


def part_iou(maps, labels):
    """Mean IoU over the visible parts of a person, then over people."""
    rendered = torch.nn.functional.one_hot(maps.argmax(1), maps.shape[1]).flatten(1, 2).bool()
    exact = torch.nn.functional.one_hot(labels, maps.shape[1]).flatten(1, 2).bool()
    iou = (rendered & exact).sum(1) / (rendered | exact).sum(1).clamp_min(1)
    counted = exact.sum(1) > MIN_PART_PIXELS
    counted[:, 0] = False
    return float(((iou * counted).sum(1) / counted.sum(1)).mean())
