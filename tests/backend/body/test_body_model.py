"""Body model, on the shipped body."""

import numpy as np
import pytest
import torch

from hund_backend.body.file import BODY_FILE, load_body_file
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import (
    H36M_NAMES,
    JOINT_INDEX,
    JOINT_NAMES,
    KEYPOINT_MIRROR,
    MIRROR,
    PARENTS,
    PART_MIRROR,
    PART_NAMES,
)
from hund_backend.errors import BadInputError

MIRRORED = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def body_file():
    return load_body_file()


@pytest.fixture(scope="module", params=["full", "low", "keypoints"])
def any_body(request):
    return BodyModel.load(request.param).double()


@pytest.fixture(scope="module")
def keypoint_body():
    return BodyModel.load("keypoints").double()


@pytest.fixture(scope="module")
def full_body():
    return BodyModel.load("full").double()


def random_pose(*batch, seed=0, scale=0.5):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(*batch, 62, 3, generator=generator, dtype=torch.float64)
    return rotvec_to_matrix(scale * vectors)


def random_betas(*batch, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, 16, generator=generator, dtype=torch.float64)


def naive_body(body_file, pose, betas):
    """Reference: one body, joint by joint and vertex by vertex, in NumPy and float64."""
    template = body_file.template.astype(np.float64)
    rest = template + np.tensordot(betas, body_file.shape_basis.astype(np.float64), 1)
    joints = body_file.joints.astype(np.float64)
    joints = joints + np.tensordot(betas, body_file.joint_basis.astype(np.float64), 1)
    transforms = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = np.eye(3) if parent < 0 else pose[joint - 1]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        transforms.append(local if parent < 0 else transforms[parent] @ local)
    posed = np.zeros_like(rest)
    for vertex, weights in enumerate(body_file.skinning_weights.astype(np.float64)):
        for joint in np.nonzero(weights)[0]:
            transformed = transforms[joint] @ np.append(rest[vertex] - joints[joint], 1)
            posed[vertex] += weights[joint] * transformed[:3]
    return posed, np.array([transform[:3, 3] for transform in transforms])


def test_fast_body_equals_naive_body(body_file, full_body):
    pose, betas = random_pose(), random_betas()
    posed = full_body(pose, betas)
    vertices, joints = naive_body(body_file, pose.numpy(), betas.numpy())
    np.testing.assert_allclose(posed.joints, joints, atol=1e-9)
    np.testing.assert_allclose(posed.vertices, vertices, atol=1e-6)  # weights are float32


@pytest.mark.parametrize("resolution", ["low", "keypoints"])
def test_lower_resolutions_pose_vertices_of_the_full_mesh(resolution, full_body):
    body = BodyModel.load(resolution).double()
    pose, betas = random_pose(2), random_betas(2)
    few, many = body(pose, betas), full_body(pose, betas)
    torch.testing.assert_close(few.joints, many.joints)
    exact = "donot_use_mm_for_euclid_dist"
    gaps = torch.cdist(few.vertices, many.vertices, compute_mode=exact).min(-1).values
    assert gaps.max() < 1e-9


@pytest.mark.parametrize("table", ["blazepose", "coco", "h36m"])
def test_keypoints_equal_those_of_the_full_mesh(table, any_body, full_body):
    pose, betas = random_pose(2), random_betas(2)
    few, many = any_body(pose, betas), full_body(pose, betas)
    expected = full_body.keypoints(many, table)
    torch.testing.assert_close(any_body.keypoints(few, table), expected)


def test_h36m_spine_is_half_way_from_pelvis_to_thorax(full_body):
    posed = full_body(torch.eye(3).double().expand(62, 3, 3), torch.zeros(16).double())
    points = dict(zip(H36M_NAMES, full_body.keypoints(posed, "h36m").numpy(), strict=True))
    half_way = (points["pelvis"] + points["thorax"]) / 2
    assert np.linalg.norm(points["spine"] - half_way) < 0.03
    height = points["thorax"][1]
    assert points["left_shoulder"][1] < height < posed.joints[JOINT_INDEX["Neck01"], 1]


def test_low_mesh_lies_on_the_full_one(body_file, full_body):
    """Full vertices are on average within a millimetre of the low-resolution surface."""
    low = BodyModel.load("low").double()
    for seed in range(3):
        pose, betas = random_pose(seed=seed, scale=0.3), random_betas(seed=seed)
        corners = low(pose, betas).vertices[low.faces]
        points = full_body(pose, betas).vertices[::23]
        assert distances_to_triangles(points, corners).mean() < 1e-3


def test_low_mesh_is_closed_and_symmetric(body_file):
    faces = body_file.low_vertices[body_file.low_faces]
    edges = {edge for a, b, c in faces.tolist() for edge in ((a, b), (b, c), (c, a))}
    assert len(edges) == 3 * len(faces)  # each edge once in each direction
    assert edges == {(end, start) for start, end in edges}
    mirrored = {frozenset(face) for face in body_file.mirror_vertices[faces].tolist()}
    assert mirrored == {frozenset(face) for face in faces.tolist()}


def test_texture_coordinates_belong_to_one_vertex_in_both_meshes(body_file):
    vertex_of = np.full(len(body_file.texture_coordinates), -1)
    vertex_of[body_file.quad_texture_coordinates] = body_file.quads
    low = body_file.low_vertices[body_file.low_faces]
    assert (vertex_of[body_file.quad_texture_coordinates] == body_file.quads).all()
    assert (vertex_of[body_file.low_texture_coordinates] == low).all()
    assert body_file.texture_coordinates.min() >= 0
    assert body_file.texture_coordinates.max() <= 1


def test_faces_have_texture_coordinates_and_split_the_quads(any_body):
    assert any_body.face_uvs.shape == any_body.faces.shape
    assert not len(any_body.face_uvs) or any_body.face_uvs.max() < len(any_body.uvs)
    assert len(any_body.quads) in (0, len(any_body.faces) / 2)


def distances_to_triangles(points, corners):
    """Distance from each point to the nearest of the triangles."""
    gaps = []
    centers = corners.mean(1)
    for point in points:
        near = corners[(centers - point).norm(dim=-1).topk(40, largest=False).indices]
        origin, first, second = near[:, 0], near[:, 1] - near[:, 0], near[:, 2] - near[:, 0]
        basis = torch.stack((first, second), dim=-1)
        weights = torch.linalg.lstsq(basis, (point - origin)[..., None]).solution[..., 0]
        weights = weights.clamp(min=0)
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1)
        gaps.append((origin + (basis @ weights[..., None])[..., 0] - point).norm(dim=-1).min())
    return torch.stack(gaps)


def test_gradients_equal_finite_differences(keypoint_body):
    def energy(vectors, betas, translation):
        posed = keypoint_body(rotvec_to_matrix(vectors), betas, root_translation=translation)
        return keypoint_body.keypoints(posed, "blazepose").sin().sum() + posed.joints.cos().sum()

    generator = torch.Generator().manual_seed(3)
    vectors = 0.3 * torch.randn(62, 3, generator=generator, dtype=torch.float64)
    inputs = (vectors, random_betas(), torch.tensor([0.1, 0.2, 3.0], dtype=torch.float64))
    inputs = [values.requires_grad_() for values in inputs]
    assert torch.autograd.gradcheck(energy, inputs, fast_mode=True)


def test_expression_and_arkit_have_gradients(any_body):
    expression = torch.zeros(20, dtype=torch.float64, requires_grad=True)
    arkit = torch.zeros(52, dtype=torch.float64, requires_grad=True)
    pose = torch.eye(3, dtype=torch.float64).expand(62, 3, 3)
    posed = any_body(pose, random_betas(), expression=expression, arkit=arkit)
    posed.vertices.square().sum().backward()
    assert expression.grad.abs().max() > 0
    assert arkit.grad.abs().max() > 0


def test_body_is_equivariant_to_rigid_motion_of_the_root(any_body):
    pose, betas = random_pose(), random_betas()
    rotation = rotvec_to_matrix(torch.tensor([0.4, -1.1, 0.7], dtype=torch.float64))
    shift = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    moved = any_body(pose, betas, global_orient=rotation, root_translation=shift)
    posed = any_body(pose, betas)
    torch.testing.assert_close(moved.vertices, posed.vertices @ rotation.T + shift)
    torch.testing.assert_close(moved.joints, posed.joints @ rotation.T + shift)
    torch.testing.assert_close(moved.orientations, rotation @ posed.orientations)


def test_pelvis_is_the_origin_for_all_betas(keypoint_body):
    joints = keypoint_body.rest(3 * random_betas(10))[1]
    assert joints[:, 0].norm(dim=-1).max() < 1e-5


def test_posing_preserves_bone_lengths(keypoint_body):
    betas = random_betas().expand(5, 16)
    joints = keypoint_body(random_pose(5, scale=1.5), betas).joints
    lengths = (joints[:, 1:] - joints[:, PARENTS[1:]]).norm(dim=-1)
    rest = keypoint_body.rest(betas)[1]
    torch.testing.assert_close(lengths, (rest[:, 1:] - rest[:, PARENTS[1:]]).norm(dim=-1))


def test_mirrored_pose_gives_the_mirrored_body(body_file, full_body):
    pose, betas = random_pose(), random_betas()
    swap = [MIRROR[joint] - 1 for joint in range(1, len(JOINT_NAMES))]
    flip = torch.diag(MIRRORED)
    mirrored = full_body(flip @ pose[swap] @ flip, betas)
    posed = full_body(pose, betas)
    torch.testing.assert_close(
        mirrored.joints, posed.joints[list(MIRROR)] * MIRRORED, atol=1e-4, rtol=0
    )
    expected = posed.vertices[body_file.mirror_vertices] * MIRRORED
    assert (mirrored.vertices - expected).norm(dim=-1).max() < 1e-3  # bases are float16
    for table, mirror in KEYPOINT_MIRROR.items():
        expected = full_body.keypoints(posed, table)[list(mirror)] * MIRRORED
        gap = full_body.keypoints(mirrored, table) - expected
        assert gap.norm(dim=-1).max() < 1e-3


def test_limbs_are_straight_at_rest_for_all_betas(keypoint_body):
    joints = keypoint_body.rest(2 * random_betas(50))[1]
    for chain in (("Upperarm", "Lowerarm", "Hand", "Middle01"), ("Thigh", "Calf", "Ankle")):
        for side in "LR":
            positions = joints[:, [JOINT_INDEX[f"{name}{side}"] for name in chain]]
            bones = torch.nn.functional.normalize(positions.diff(dim=1), dim=-1)
            sines = torch.linalg.cross(bones[:, 1:], bones[:, :-1]).norm(dim=-1)
            assert sines.asin().rad2deg().max() < 0.01


def test_every_joint_has_skinning_weights(body_file):
    assert (body_file.skinning_weights.sum(0) > 1).all()


def test_foot_joint_lies_between_ankle_and_ball(body_file):
    ankle, foot, ball = (body_file.joints[JOINT_INDEX[n]] for n in ("AnkleL", "FootL", "BallL"))
    for end in (ankle, ball):
        assert 0.05 < np.linalg.norm(foot - end) < 0.1


def test_spine_has_little_weight_on_the_hips(body_file):
    across, up = np.abs(body_file.template[:, 0]), body_file.template[:, 1]
    spine = body_file.skinning_weights[:, JOINT_INDEX["Spine01"]]
    assert spine[(up < 0) & (across < 0.3)].max() < 0.25  # farther out are the hands
    assert spine[(up < -0.05) & (across < 0.3)].max() < 0.05


def test_skinning_weights_sum_to_one(body_file):
    weights = body_file.skinning_weights
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)


def test_parts_cover_the_body_and_are_symmetric(body_file):
    body = BodyModel.load("full")
    parts = body.part_of_vertex.numpy()
    assert set(parts) == set(range(1, len(PART_NAMES)))
    swapped = np.array(PART_MIRROR)[parts[body_file.mirror_vertices]]
    assert (swapped == parts).mean() > 0.99  # a vertex in the middle may belong to either side


def test_faces_are_oriented_outwards(any_body):
    if not len(any_body.faces):
        pytest.skip("this resolution has no faces")
    corners = any_body.template[any_body.faces]
    volume = torch.linalg.det(corners).sum() / 6
    assert 0.04 < volume < 0.12  # cubic metres; negative if the faces were oriented inwards


def test_batches_are_independent(keypoint_body):
    pose, betas = random_pose(2, 3), random_betas(2, 3)
    batched = keypoint_body(pose, betas)
    single = keypoint_body(pose[1, 2], betas[1, 2])
    torch.testing.assert_close(batched.joints[1, 2], single.joints)
    torch.testing.assert_close(batched.vertices[1, 2], single.vertices)


def test_damaged_body_file_is_named(tmp_path):
    with pytest.raises(BadInputError, match="missing"):
        BodyModel.load(path=tmp_path / "no.npz")
    text = tmp_path / "text.npz"
    text.write_text("no body")
    with pytest.raises(BadInputError, match="not a body file"):
        BodyModel.load(path=text)
    whole = BODY_FILE.read_bytes()
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "zeroed": whole[:200000] + bytes(64) + whole[200064:],
    }.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(BadInputError, match="not a body file"):
            BodyModel.load(path=tmp_path / f"{name}.npz")
    other = tmp_path / "other.npz"
    np.savez(other, schema=np.array("hund-body/0"))
    with pytest.raises(BadInputError, match="schema"):
        BodyModel.load(path=other)
