"""Body model against the model it was built from, where the `anny` package is installed."""

import pytest
import roma
import torch

from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from hund_backend.body.skinning import linear_blend_skinning

pytestmark = pytest.mark.anny
# Toes and the extra foot joint correspond to several bones, or none: they stay at rest here.
UNPOSED = ("Foot", "Ball", "Toes01")


@pytest.fixture(scope="module")
def body_source():
    pytest.importorskip("anny", reason="only the environment of tools/build_body.py has anny")
    from tools import body_source

    return body_source


@pytest.fixture(scope="module")
def source(body_source):
    return body_source.load_source()


def pose_anny(source, body_source, orientations, coefficients):
    """Output of anny's model posed with these orientations of our joints."""
    model, names = source.model, source.bone_names
    table = body_source.bones_of_joints(source)
    dtype = model.template_vertices.dtype
    pose = torch.eye(4, dtype=dtype).repeat(1, len(names), 1, 1)
    frame = torch.tensor(body_source.to_body_frame(torch.eye(3).numpy()).T, dtype=dtype)
    for joint, name in enumerate(JOINT_NAMES):
        if joint and not name.startswith(UNPOSED):
            parent = orientations[PARENTS[joint]]
            local = frame.T @ (parent.T @ orientations[joint]).to(dtype) @ frame
            pose[0, names.index(table[name].moves[0]), :3, :3] = local
    with torch.no_grad():
        out = model(pose_parameters=pose, **coefficients)
    return out


@pytest.mark.parametrize("seed", range(3))
def test_merged_joints_deform_the_mesh_like_the_rig(seed, source, body_source):
    generator = torch.Generator().manual_seed(seed)
    heads, weights = body_source.joint_operators(source)
    local = roma.rotvec_to_rotmat(0.4 * torch.randn(63, 3, generator=generator)).double()
    local[0] = torch.eye(3)
    for name, joint in JOINT_INDEX.items():
        if name.startswith(UNPOSED):
            local[joint] = torch.eye(3)
    shares = torch.rand(len(source.model.phenotype_labels), 1, generator=generator)
    phenotypes = dict(zip(source.model.phenotype_labels, shares.double(), strict=True))
    orientations = forward_kinematics(local, torch.zeros(63, 3).double(), PARENTS)[0]
    out = pose_anny(source, body_source, orientations, {"phenotype_kwargs": phenotypes})

    def body_frame(points):
        return torch.from_numpy(body_source.to_body_frame(points.double().numpy()))

    rest = body_frame(out["rest_vertices"][0])
    rest_joints = torch.from_numpy(heads) @ body_frame(out["rest_bone_heads"][0])
    orientations, joints = forward_kinematics(local, rest_joints, PARENTS)
    mesh = linear_blend_skinning(rest, rest_joints, orientations, joints, torch.tensor(weights))
    expected = body_frame(out["vertices"][0])
    expected = expected - expected.mean(0) + mesh.mean(0)  # anny has another root
    gap_mm = 1e3 * (mesh - expected).norm(dim=-1).max()
    print(f"largest gap {gap_mm:.5f} mm")
    assert gap_mm < 0.1
