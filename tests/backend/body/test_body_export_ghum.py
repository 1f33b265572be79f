"""The exporter for owners of GHUM, against a stand-in with GHUM's interface."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_NAMES
from tools.export_ghum import InstalledGhum, export


class StandIn:
    """Our own low-resolution body behind the interface of the licensed package."""

    def __init__(self):
        self.body = BodyModel.load("low").double()
        self.GHUMPoseParameters = SimpleNamespace

    def create_ghum_from_parameters(self, parameters):
        return self

    def pose(self, given):
        assert given.pose.shape == (1, 3 + 63 * 6)
        betas, expression = torch.tensor(given.shape), torch.tensor(given.expression)
        vertices, joints = self.body.rest(betas, expression)
        away = torch.tensor([0.0, 0.9, 0.1])  # GHUM's origin is not the pelvis
        return SimpleNamespace(vertices=vertices + away, joints=joints + away)


@pytest.fixture(scope="module")
def stand_in():
    package = StandIn()
    parameters = SimpleNamespace(
        joint_names=JOINT_NAMES,
        triangles=package.body.faces.numpy(),
        skinning_weights=package.body.skinning_weights.numpy(),
    )
    return package.body, InstalledGhum(package, parameters)


def test_the_exported_body_is_the_body_that_was_exported(stand_in, tmp_path):
    body, installed = stand_in
    path = tmp_path / "ghum.npz"
    np.savez_compressed(path, **export(installed))
    exported = BodyModel.load(path=path).double()
    betas = torch.randn(16, generator=torch.Generator().manual_seed(0)).double()
    expression = torch.randn(20, generator=torch.Generator().manual_seed(1)).double()
    pose = torch.eye(3).double().expand(62, 3, 3)
    ours = body(pose, betas, expression=expression)
    theirs = exported(pose, betas, expression=expression)
    torch.testing.assert_close(theirs.vertices, ours.vertices, atol=1e-4, rtol=0)
    torch.testing.assert_close(theirs.joints, ours.joints, atol=1e-5, rtol=0)
    same_parts = (exported.part_of_vertex == body.part_of_vertex).double().mean()
    assert same_parts > 0.99
    full = BodyModel.load("full").double()
    for table in ("blazepose", "coco", "h36m"):
        expected = full.keypoints(full(pose, 0 * betas), table)
        found = exported.keypoints(exported(pose, 0 * betas), table)
        assert (found - expected).norm(dim=-1).max() < 0.02  # the nearest vertex of a coarser mesh


def test_other_joints_are_refused(stand_in):
    installed = stand_in[1]
    parameters = SimpleNamespace(**{**vars(installed.parameters), "joint_names": ("Hips",)})
    with pytest.raises(ValueError, match="63"):
        export(InstalledGhum(installed.package, parameters))
