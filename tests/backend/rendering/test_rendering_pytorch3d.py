"""pytorch3d, where it is installed, agrees with our part maps."""

import importlib.util

import pytest
import torch
from rendering_people import (
    fit_crop_intrinsics,
    foreground_iou,
    part_iou,
    random_people,
    sample_poses,
)

from benchmarks.pytorch3d_parts import pytorch3d_labels, pytorch3d_parts
from hund_backend.body.model import BodyModel
from hund_backend.errors import BadInputError
from hund_backend.rendering.exact_parts import part_labels
from hund_backend.rendering.part_renderer import render_parts

SIZE = (64, 48)
MISSING = importlib.util.find_spec("pytorch3d") is None
needs_pytorch3d = pytest.mark.skipif(MISSING, reason="pytorch3d is not installed")


@pytest.fixture(scope="module")
def scene():
    body = BodyModel.load("low")
    vertices = body(**random_people(body, sample_poses(3))).vertices
    intrinsics = fit_crop_intrinsics(vertices, 48)
    intrinsics[:, 0, 1] = 3  # a rotated crop is skewed
    return body, vertices, intrinsics


@needs_pytorch3d
def test_pytorch3d_labels_equal_ours(scene):
    same = pytorch3d_labels(*scene, SIZE) == part_labels(*scene, SIZE)
    assert same.float().mean() > 0.999


@needs_pytorch3d
def test_pytorch3d_soft_maps_agree_with_the_exact_map(scene):
    maps, labels = pytorch3d_parts(*scene, SIZE), part_labels(*scene, SIZE)
    torch.testing.assert_close(maps.sum(1), torch.ones(3, *SIZE))
    assert foreground_iou(maps, labels) > 0.9
    assert part_iou(maps, labels) > 0.8


@needs_pytorch3d
def test_pytorch3d_gradients_are_parallel_to_ours(scene):
    body, vertices, intrinsics = scene
    target = render_parts(body, vertices + torch.tensor([0.03, 0.02, 0.1]), intrinsics, SIZE)
    gradients = []
    for render in (render_parts, pytorch3d_parts):
        shift = torch.zeros(3, 1, 3, requires_grad=True)
        maps = render(body, vertices + shift, intrinsics, SIZE)
        gradients.append(torch.autograd.grad((maps - target).square().sum(), shift)[0].flatten(1))
    assert torch.cosine_similarity(*gradients).amin() > 0.9


@pytest.mark.skipif(not MISSING, reason="pytorch3d is installed")
def test_without_pytorch3d_the_error_says_what_to_do(scene):
    with pytest.raises(BadInputError, match="install"):
        pytorch3d_labels(*scene, SIZE)
