"""Export of GHUM, tested with a fake of GHUM's package."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_NAMES
from tools.export_ghum import InstalledGhum, export


class FakeGhum:
    """Our low-resolution body behind the interface of the licensed package."""

    def __init__(self):
        self.body = BodyModel.load("low").double()
        self.GHUMPoseParameters = SimpleNamespace

    def create_ghum_from_parameters(self, parameters):
        return self

    def pose(self, parameters):
        assert parameters.pose.shape == (1, 3 + 63 * 6)
        betas, expression = torch.tensor(parameters.shape), torch.tensor(parameters.expression)
        vertices, joints = self.body.rest(betas, expression)
        origin = torch.tensor([0.0, 0.9, 0.1])  # GHUM's origin is not the pelvis
        return SimpleNamespace(vertices=vertices + origin, joints=joints + origin)


@pytest.fixture(scope="module")
def fake_ghum():
    package = FakeGhum()
    parameters = SimpleNamespace(
        joint_names=JOINT_NAMES,
        triangles=package.body.faces.numpy(),
        skinning_weights=package.body.skinning_weights.numpy(),
    )
    return package.body, InstalledGhum(package, parameters)


def test_exported_body_equals_the_original(fake_ghum, tmp_path):
    body, installed = fake_ghum
    path = tmp_path / "ghum.npz"
    np.savez_compressed(path, **export(installed))
    exported = BodyModel.load(path=path).double()
    betas = torch.randn(16, generator=torch.Generator().manual_seed(0)).double()
    expression = torch.randn(20, generator=torch.Generator().manual_seed(1)).double()
    pose = torch.eye(3).double().expand(62, 3, 3)
    expected = body(pose, betas, expression=expression)
    found = exported(pose, betas, expression=expression)
    torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.joints, expected.joints, atol=1e-5, rtol=0)
    same_parts = (exported.part_of_vertex == body.part_of_vertex).double().mean()
    assert same_parts > 0.99
    full = BodyModel.load("full").double()
    for table in ("blazepose", "coco", "h36m"):
        expected = full.keypoints(full(pose, 0 * betas), table)
        found = exported.keypoints(exported(pose, 0 * betas), table)
        assert (found - expected).norm(dim=-1).max() < 0.02  # the nearest vertex of a coarser mesh


def test_other_joint_names_are_refused(fake_ghum):
    installed = fake_ghum[1]
    parameters = SimpleNamespace(**{**vars(installed.parameters), "joint_names": ("Hips",)})
    with pytest.raises(ValueError, match="63"):
        export(InstalledGhum(installed.package, parameters))
