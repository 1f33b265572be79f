"""Part maps: values equal the exact map, derivatives equal finite differences."""

import pytest
import torch
from rendering_people import (
    fit_crop_intrinsics,
    foreground_iou,
    part_iou,
    random_people,
    sample_poses,
    scale_intrinsics,
)

from benchmarks.part_splats import PartSplats, spread_samples
from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import PART_NAMES
from hund_backend.rendering.exact_parts import exact_parts, part_labels
from hund_backend.rendering.part_renderer import render_parts

SIZE = (64, 64)
PEOPLE = 6
FINE = 6  # samples along a pixel for finite differences


@pytest.fixture(scope="module")
def body():
    return BodyModel.load("low")


@pytest.fixture(scope="module")
def crowd(body):
    """Vertices of people, and intrinsics of their crops."""
    vertices = body(**random_people(body, sample_poses(PEOPLE))).vertices
    return vertices, fit_crop_intrinsics(vertices, SIZE[0])


@pytest.fixture(scope="module")
def splats(body):
    return PartSplats(body)


@pytest.fixture(params=["borders", "splats"])
def render(request, body, splats):
    """Either renderer, as a function of vertices, intrinsics and size."""
    if request.param == "splats":
        return splats
    return lambda vertices, intrinsics, size: render_parts(body, vertices, intrinsics, size)


def test_parts_agree_with_the_exact_map(render, body, crowd):
    maps, labels = render(*crowd, SIZE), part_labels(body, *crowd, SIZE)
    assert foreground_iou(maps, labels) >= 0.9
    assert part_iou(maps, labels) >= 0.8


def test_parts_and_background_sum_to_one(render, crowd):
    maps = render(*crowd, SIZE)
    assert maps.shape == (PEOPLE, len(PART_NAMES), *SIZE)
    assert maps.amin() >= 0
    torch.testing.assert_close(maps.sum(1), torch.ones(PEOPLE, *SIZE))


def test_parts_shift_with_the_principal_point(render, crowd):
    vertices, intrinsics = crowd
    moved = intrinsics + torch.tensor([[0.0, 0, 5], [0, 0, -3], [0, 0, 0]])
    maps, shifted = render(*crowd, SIZE), render(vertices, moved, SIZE)
    # Rounding decides for samples that lie on an edge.
    different = (shifted[..., :-3, 5:] - maps[..., 3:, :-5]).abs() > 1e-3
    assert different.float().mean() < 1e-4


def test_batch_equals_single_images(render, crowd):
    together = render(*crowd, SIZE)
    alone = torch.cat([render(v[None], k[None], SIZE) for v, k in zip(*crowd, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_hidden_parts_have_no_coverage_and_no_gradient(render, body, crowd):
    vertices = crowd[0].clone().requires_grad_()
    maps, exact = render(vertices, crowd[1], SIZE), exact_parts(body, *crowd, SIZE)
    hidden = exact.sum((2, 3)) == 0
    assert hidden.any()
    weight = maps.sum((2, 3))
    assert (weight[hidden] < 0.03 * exact[:, 1:].sum((1, 2, 3)).mean()).all()
    (maps * torch.randn(maps.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    inner = torch.ones_like(body.part_of_vertex)  # faces of two parts belong to one of them
    mixed = (body.part_of_vertex[body.faces] != body.part_of_face[:, None]).any(1)
    inner[body.faces[mixed]] = 0
    of_hidden = hidden[:, body.part_of_vertex] & inner.bool()
    gradient = vertices.grad.norm(dim=-1)
    assert gradient[of_hidden].mean() < 0.05 * gradient.mean()


def test_mirrored_camera_gives_the_mirrored_map(body, crowd):
    vertices, intrinsics = crowd
    labels = part_labels(body, vertices, intrinsics, SIZE)
    mirrored = vertices * torch.tensor([-1.0, 1, 1])
    view = intrinsics.clone()
    view[:, 0, 2] = SIZE[1] - view[:, 0, 2]
    inside_out = BodyModel.load("low")
    inside_out.faces = body.faces.flip(1)
    assert torch.equal(part_labels(inside_out, mirrored, view, SIZE).flip(-1), labels)


def test_part_areas_grow_with_the_square_of_the_zoom(body, crowd):
    vertices, intrinsics = crowd
    share = torch.ones(PEOPLE, 1, 1, requires_grad=True)
    middle = torch.tensor([[[0.0, 0, 32], [0, 0, 32], [0, 0, 0]]])
    zoomed = (intrinsics - middle) * torch.cat((share, share, 1 + 0 * share), dim=1) + middle
    areas = render_parts(body, vertices, zoomed, SIZE, oversampling=4).sum((2, 3))
    weights = torch.rand(areas.shape, generator=torch.Generator().manual_seed(0))
    weights[:, 0] = 0
    grown = torch.autograd.grad((weights * areas).sum(), share)[0].flatten()
    expected = 2 * (weights * areas).sum(1)
    assert (grown / expected - 1).abs().amax() < 0.03


def test_part_centers_move_with_the_principal_point(body, crowd):
    vertices, intrinsics = crowd
    moved = intrinsics.clone().requires_grad_()
    maps = render_parts(body, vertices, moved, SIZE)[:, 1:]
    across = torch.arange(SIZE[1]) + 0.5
    slope = torch.autograd.grad((maps * across).sum(), moved)[0][:, 0, 2]
    assert (slope / maps.sum((1, 2, 3)) - 1).abs().amax() < 1e-4


def directions(people):
    """Small changes of people, as functions of a step, by name."""
    count = len(people["betas"])

    def rotated(step, key, index, axis):
        rotvec = step * torch.eye(3, dtype=torch.float64)[axis]
        matrices = people[key].clone()
        part = matrices if index is None else matrices[:, index]
        return people | {key: _replace(matrices, index, part @ rotvec_to_matrix(rotvec))}

    def moved(step, axis):
        shift = step * torch.eye(3, dtype=torch.float64)[axis].expand(count, 3)
        return people | {"root_translation": people["root_translation"] + shift}

    def grown(step):
        first = torch.eye(16, dtype=torch.float64)[0]
        return people | {"betas": people["betas"] + 10 * step * first}

    return {
        "translation x": lambda step: moved(step, 0),
        "translation z": lambda step: moved(5 * step, 2),
        "orientation": lambda step: rotated(step, "global_orient", None, 1),
        "upper arm": lambda step: rotated(step, "pose", 13, 2),
        "spine": lambda step: rotated(step, "pose", 1, 0),
        "betas": grown,
    }


def _replace(matrices, index, values):
    if index is None:
        return values
    return torch.cat((matrices[:, :index], values[:, None], matrices[:, index + 1 :]), dim=1)


@pytest.fixture(scope="module")
def precise():
    """Body, two people, intrinsics and random weights of the map, in double precision."""
    body = BodyModel.load("low").double()
    people = random_people(body, sample_poses(2, seed=3).double(), seed=4)
    view = fit_crop_intrinsics(body(**people).vertices, SIZE[0])
    noise = torch.randn(2, 15, 8, 8, generator=torch.Generator().manual_seed(5)).double()
    weights = torch.nn.functional.interpolate(noise, SIZE, mode="bicubic")
    return body, people, view, weights


def derivative(loss, change):
    """Derivative of a loss by the step of a change, by autograd."""
    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    return float(torch.autograd.grad(loss(change(step)), step)[0])


def finite_difference(loss, change, step):
    """Derivative of a loss by the step of a change, by central differences."""
    with torch.no_grad():
        return float((loss(change(step)) - loss(change(-step))) / (2 * step))


def test_border_derivatives_equal_finite_differences(precise):
    body, people, view, weights = precise

    def rendered_loss(state):
        maps = render_parts(body, body(**state).vertices, view, SIZE, oversampling=4)
        return (maps * weights).sum()

    def exact_loss(state):
        samples = (SIZE[0] * FINE, SIZE[1] * FINE)
        exact = exact_parts(body, body(**state).vertices, scale_intrinsics(view, FINE), samples)
        return (torch.nn.functional.avg_pool2d(exact, FINE) * weights).sum()

    computed, expected = [], []
    for change in directions(people).values():
        computed.append(derivative(rendered_loss, change))
        expected.append(finite_difference(exact_loss, change, torch.tensor(8e-3).double()))
    computed, expected = torch.tensor(computed), torch.tensor(expected)
    # The differences are noisy: their samples jump as borders pass them. Measured 0.07 and 0.998.
    assert (computed - expected).abs().amax() < 0.15 * expected.abs().amax()
    assert torch.cosine_similarity(computed, expected, dim=0) > 0.98


def test_splat_derivatives_equal_finite_differences(precise, monkeypatch):
    body, people, view, weights = precise
    splats = PartSplats(body, 500).double()
    vertices = body(**people).vertices
    # Visibility is not differentiated, so it is held fixed.
    around = (splats.barycentrics[..., None] * vertices[:, splats.corners]).sum(2)
    visible = splats._visibility(vertices, view, SIZE, project(around, view), around[..., 2])
    monkeypatch.setattr(splats, "_visibility", lambda *_: visible)

    def rendered_loss(state):
        return (splats(body(**state).vertices, view, SIZE) * weights).sum()

    for name, change in directions(people).items():
        expected = finite_difference(rendered_loss, change, torch.tensor(1e-6).double())
        assert derivative(rendered_loss, change) == pytest.approx(expected, rel=1e-4, abs=1e-3), (
            name
        )


def test_gradient_descent_on_maps_recovers_a_translation(render, crowd):
    vertices, intrinsics = crowd
    target = render(vertices, intrinsics, SIZE)
    shift = torch.tensor([0.1, -0.08, 0.3]).repeat(PEOPLE, 1).requires_grad_()
    optimizer = torch.optim.Adam([shift], lr=0.02)
    for _ in range(25):
        optimizer.zero_grad()
        maps = render(vertices + shift[:, None], intrinsics, SIZE)
        (maps - target).square().sum().backward()
        optimizer.step()
    assert shift.detach()[:, :2].norm(dim=-1).amax() < 0.05


def test_map_is_the_same_with_and_without_gradients(body, crowd):
    vertices, intrinsics = crowd
    plain = render_parts(body, vertices, intrinsics, SIZE)
    differentiable = render_parts(body, vertices.clone().requires_grad_(), intrinsics, SIZE)
    assert not plain.requires_grad and differentiable.requires_grad
    torch.testing.assert_close(plain, differentiable, rtol=0, atol=0)
    once = render_parts(body, vertices, intrinsics, SIZE, oversampling=1)
    assert torch.equal(once, exact_parts(body, vertices, intrinsics, SIZE))


def test_samples_are_evenly_spread_and_reproducible(body):
    faces, barycentrics, areas = spread_samples(body, 300)
    again = spread_samples(body, 300)
    assert torch.equal(faces, again[0]) and torch.equal(barycentrics, again[1])
    points = (barycentrics[..., None] * body.template[body.faces[faces]]).sum(1)
    distances = torch.cdist(points, points) + 10 * torch.eye(len(points))
    spacing = (areas.sum() / len(points)).sqrt()
    assert distances.amin() > 0.6 * spacing  # random samples come as near as 0.05
    assert areas.std() / areas.mean() < 0.4
