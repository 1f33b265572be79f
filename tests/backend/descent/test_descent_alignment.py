"""Laws of the alignment of body parts: derivatives, zeros, what it asks for and what it leaves alone."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from builders import CAMERA, evidence_of, pa_mpjpe_mm, random_variables, with_parts

from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, PART_NAMES
from hund_backend.descent.fit.energy import Energy, EnergyConfig
from hund_backend.descent.fit.fit import FitConfig, fit
from hund_backend.descent.fit.linearization import linearize
from hund_backend.descent.fit.parts import alignment
from hund_backend.descent.fit.parts.observed_parts import ObservedParts
from hund_backend.descent.fit.parts.part_samples import part_discs
from hund_backend.descent.fit.parts.surface import Surface
from hund_backend.descent.fit.solver import SolverConfig, minimize
from hund_backend.descent.reduced_body import ReducedBody
from hund_backend.descent.targets import Targets
from hund_backend.perception.crops import crop_from_image
from hund_backend.perception.packed_part_maps import packed
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.limits import JointLimits
from hund_backend.rendering.part_renderer import render_parts
from hund_backend.training.hund.rendering_loss import rendering_loss, silhouette_loss

FRAMES = 3
BOTH = EnergyConfig(parts=2.0, silhouette=3.0)
ALONE = dataclasses.replace(BOTH, keypoints=0.0, landmarks=0.0, prior=0.0, build=0.0, limits=0.0)
QUICK = FitConfig(
    start_steps=SolverConfig(iterations=6),
    build_steps=SolverConfig(iterations=6),
    coarse_steps=SolverConfig(iterations=4),
    fine_steps=SolverConfig(iterations=8),
)


@pytest.fixture(scope="module")
def low():
    return BodyModel.load("low")


@pytest.fixture(scope="module")
def reduced_body():
    return ReducedBody.from_body(BodyModel.load("keypoints"))


@pytest.fixture(scope="module")
def surface(low):
    return Surface.from_body(low)


@pytest.fixture(scope="module")
def truth(reduced_body):
    variables = random_variables(reduced_body, FRAMES, seed=3, spread=0.2)
    variables.rotations[:, 0] = torch.diag(torch.tensor([1.0, -1, -1]).double())
    return variables


def seen_from(reduced_body, variables, turn=0.0, shift=(0.0, 0.0)):
    """Evidence of a posture with its exact part maps, in turned crops, pictures moved."""
    evidence = evidence_of(reduced_body, variables)
    evidence.keypoints[..., :2] += shift
    evidence.crops[:, :2] += shift
    evidence.crops[:, 3] = turn
    evidence.crops[:, 2] *= 1.2
    return with_parts(evidence, reduced_body, variables, camera_of(shift))


def camera_of(shift=(0.0, 0.0)):
    camera = CAMERA.copy()
    camera[:2, 2] += shift
    return np.repeat(camera[None], FRAMES, axis=0)


@pytest.fixture(scope="module")
def objective(low, surface, reduced_body, truth):
    """An objective that has parts, exact ones, and nothing but parts and silhouette."""
    evidence = seen_from(reduced_body, truth, turn=0.4)
    targets = Targets.of(evidence, camera_of(), reduced_body)
    targets = dataclasses.replace(targets, parts=ObservedParts.of(evidence, camera_of()))
    return Energy(
        reduced_body=reduced_body,
        prior=GaussianPrior.load().double(),
        limits=JointLimits(torch.float64),
        targets=targets,
        config=ALONE,
        surface=surface,
    )


def wronged(variables, by=0.1, seed=0):
    """The posture with every joint turned a little, and moved."""
    generator = torch.Generator().manual_seed(seed)
    step = by * torch.randn(len(variables.rotations), 69, generator=generator).double()
    step[:, -3:] *= 0.3
    return variables.moved(step, torch.zeros_like(variables.betas))


def test_the_surface_is_the_bodys(low, surface, reduced_body, truth):
    double = BodyModel.load("low").double()
    posed = double(
        reduced_body.pose(truth),
        truth.betas.expand(FRAMES, -1),
        global_orient=truth.rotations[:, 0],
        root_translation=truth.translation,
    )
    vertices = surface.posed(reduced_body.posed(truth), truth.betas)
    torch.testing.assert_close(vertices, posed.vertices)
    faces = torch.arange(0, 600, 7).expand(FRAMES, -1)
    barycentrics = torch.tensor([0.2, 0.3, 0.5]).double().expand(*faces.shape, 3)
    places = surface.places(surface.spots(faces, barycentrics), reduced_body.posed(truth), truth.betas)
    corners = posed.vertices[:, low.faces[faces[0]]]
    blend = (barycentrics[..., None] * corners).sum(-2)
    assert (places - blend).norm(dim=-1).max() < 0.004  # metres: weights are blended, not places


@pytest.mark.parametrize("changes", [{}, {"solves_betas": True}])
def test_the_written_gradient_is_autograds(objective, truth, changes):
    here = wronged(truth)
    objective = dataclasses.replace(objective.looking(here), **changes)
    here = wronged(here, by=0.01, seed=1)  # somewhat past the last look
    step = torch.zeros(FRAMES, 69, dtype=torch.float64, requires_grad=True)
    betas = torch.zeros_like(here.betas).requires_grad_()
    objective.energies(here.moved(step, betas))[:, -2:].sum().backward()
    equations = linearize(objective, here)
    assert step.grad.abs().max() > 1
    assert (equations.gradient - step.grad).abs().max() < 1e-4 * step.grad.abs().max()
    if objective.solves_betas:
        gap = (equations.betas_gradient - betas.grad).abs().max()
        assert gap < 1e-4 * betas.grad.abs().max()


def test_the_gradient_is_that_of_differences(objective, truth):
    here = wronged(truth)
    objective = objective.looking(
        here
    )  # at cells' middles, where distances have kinks: so move on
    here = wronged(here, by=0.01, seed=1)
    gradient = linearize(objective, here).gradient
    generator = torch.Generator().manual_seed(5)
    still = torch.zeros_like(here.betas)
    for _ in range(4):
        way = torch.randn(FRAMES, 69, generator=generator).double()
        ahead, behind = (
            objective.energies(here.moved(sign * 1e-6 * way, still)).sum() for sign in (1, -1)
        )
        slope = (gradient * way).sum()
        torch.testing.assert_close((ahead - behind) / 2e-6, slope, rtol=1e-3, atol=1e-2)


def test_the_hessian_has_no_negative_directions(objective, truth):
    here = wronged(truth)
    hessian = linearize(objective.looking(here), here).hessian
    assert torch.linalg.eigvalsh(hessian).min() > -1e-6 * hessian.abs().max()


def lengths(objective, variables):
    """Mean distances left by the three terms, in cells of the map."""
    looking = objective.looking(variables)
    seen, shown = looking.targets.parts, looking.shown
    points = looking.surface.places(shown.spots, looking.reduced_body.posed(variables), variables.betas)
    places = project(points, seen.camera)
    gaps = alignment.part_gaps(places, shown, seen)
    means = [(gap.weights * gap.lengths).sum() / gap.weights.sum() for gap in gaps]
    rim, _, weights = alignment.outline(places, shown, seen)
    return 64 * torch.stack([*means, (weights * rim).sum() / weights.sum()])


def test_at_the_truth_nothing_is_left_but_sampling(objective, truth):
    explained, spilled, rim = lengths(objective, truth)
    assert explained < 0.15
    assert spilled < 0.15
    assert abs(rim) < 0.25
    assert lengths(objective, wronged(truth))[:2].min() > 0.5


def test_descending_on_parts_alone_brings_the_body_home(objective, truth):
    here = wronged(truth, by=0.08)
    groups = torch.arange(FRAMES)
    start = lengths(objective, here)[:2].sum()
    for _ in range(5):
        looking = objective.looking(here)
        here = minimize(
            looking.energies,
            lambda variables, looking=looking: linearize(looking, variables),
            here,
            groups,
            SolverConfig(iterations=5),
            lambda: None,
        ).variables
    assert lengths(objective, here)[:2].sum() < 0.2 * start


def fitted(low, evidence, energy, shift=(0.0, 0.0), skin=True):
    config = dataclasses.replace(QUICK, energy=energy)
    body, prior = BodyModel.load("keypoints"), GaussianPrior.load()
    return fit(evidence, camera_of(shift), 30.0, body, prior, config, skin=low if skin else None)


def same(result, other):
    """Whether two fits have the same state, to the last bit."""
    values = zip(vars(result.state).values(), vars(other.state).values(), strict=True)
    return all(torch.equal(first, second) for first, second in values)


def test_parts_without_a_weight_change_nothing(low, surface, reduced_body, truth):
    with_parts = seen_from(reduced_body, truth)
    plain = dataclasses.replace(with_parts, parts=None)
    off = EnergyConfig()
    reference = fitted(low, plain, off, skin=False)
    assert same(fitted(low, with_parts, off), reference)
    assert same(fitted(low, with_parts, BOTH, skin=False), reference)
    assert (reference.stage_losses[..., -2:] == 0).all()


def test_a_fit_reports_what_parts_cost(low, surface, reduced_body, truth):
    result = fitted(low, seen_from(reduced_body, truth), BOTH)
    assert result.terms[-2:] == ("parts", "silhouette")
    costs = result.stage_losses[..., -2:].mean(0)
    assert (costs[0] > 0).all()
    assert (costs[-1] < 0.5 * costs[0]).all()


@pytest.mark.parametrize("size", [1.0, 2.0])
def test_where_in_its_frame_and_how_large_a_picture_is_does_not_matter(
    objective, low, surface, reduced_body, truth, size
):
    shift = (12.0, -7.0)
    evidence = seen_from(reduced_body, truth, turn=0.4, shift=shift)
    crops = evidence.crops * (size, size, size, 1)
    camera = np.diag([size, size, 1.0]) @ camera_of(shift)
    parts = ObservedParts.of(dataclasses.replace(evidence, crops=crops), camera)
    targets = dataclasses.replace(objective.targets, parts=parts)
    moved = dataclasses.replace(objective, targets=targets)
    here = wronged(truth)
    energies = [each.looking(here).energies(here)[:, -2:] for each in (objective, moved)]
    # Of pixels that are equally near, rounding may choose another.
    torch.testing.assert_close(*energies, rtol=0.03, atol=0)


def test_parts_pull_exchanged_limbs_back(low, surface, reduced_body, truth):
    """Keypoints that call the left leg the right one are outvoted by the parts."""
    evidence = seen_from(reduced_body, truth)
    order = np.arange(33)
    for name in ("knee", "ankle", "heel", "foot_index"):
        places = [BLAZEPOSE_NAMES.index(f"{side}_{name}") for side in ("left", "right")]
        order[places] = places[::-1]
    wrong = dataclasses.replace(
        evidence,
        keypoints=evidence.keypoints[:, order],
        world_landmarks=evidence.world_landmarks[:, order],
    )

    def error(energy):
        state = fitted(low, wrong, energy).state
        posed = state.posed(low)
        joints = posed.joints[:, list(reduced_body.moved)]
        return pa_mpjpe_mm(joints, reduced_body.posed(truth).joints).mean()

    assert error(dataclasses.replace(BOTH, parts=5.0)) < 0.85 * error(EnergyConfig())


def test_a_part_that_is_not_seen_asks_for_nothing(objective, truth):
    """Something may hide it; what the body shows of it is not pushed away."""
    looking = objective.looking(wronged(truth))
    seen = looking.targets.parts
    part = PART_NAMES.index("left_forearm") - 1
    worth, confidence = seen.worth.clone(), seen.confidence.clone()
    worth[:, part], confidence[:, part] = 0, 0
    hidden = dataclasses.replace(seen, worth=worth, confidence=confidence)
    figure = looking.reduced_body.posed(wronged(truth))
    points = looking.surface.places(looking.shown.spots, figure, truth.betas)
    places = project(points, seen.camera)
    all_gaps = [alignment.part_gaps(places, looking.shown, each) for each in (seen, hidden)]
    for with_it, without in zip(*all_gaps, strict=True):
        assert (with_it.weights[:, part] > 0).any()
        assert (without.weights[:, part] == 0).all()
        torch.testing.assert_close(with_it.weights[:, :part], without.weights[:, :part])


def test_nothing_seen_pulls_nowhere(objective, truth, low, surface, reduced_body):
    evidence = seen_from(reduced_body, truth)
    nobody = np.zeros((FRAMES, 15, 64, 64), np.float32)
    nobody[:, 0] = 1
    blind = dataclasses.replace(
        evidence,
        parts=packed(nobody),
        masks=np.zeros_like(evidence.masks),
    )
    targets = dataclasses.replace(objective.targets, parts=ObservedParts.of(blind, camera_of()))
    blind = dataclasses.replace(objective, targets=targets)
    here = wronged(truth)
    assert (linearize(blind.looking(here), here).gradient == 0).all()
    assert (blind.looking(here).energies(here)[:, -2:] == 0).all()


def test_what_lies_beyond_the_picture_pulls_nowhere(low, surface, reduced_body, truth):
    evidence = seen_from(reduced_body, truth)
    narrow = camera_of()
    narrow[:, 0, 2] = 200  # of a picture 400 px wide: half of the person is beyond it
    seen = ObservedParts.of(evidence, narrow)
    assert not seen.known.all()
    places = seen.places[seen.confidence > 0]
    assert len(places) > 0
    frame_x = 2 * narrow[0, 0, 2]
    crops = torch.from_numpy(evidence.crops)
    pixels = crops[:, None, None, :2] + (seen.places - 0.5) * crops[:, None, None, 2:3]
    assert (pixels[..., 0][seen.confidence > 0] < frame_x).all()


def test_discs_cover_their_parts():
    labels = np.zeros((1, 64, 64), np.uint8)
    labels[0, 5:40, 10:30], labels[0, 40:44, 10:60], labels[0, 50, 50] = 2, 3, 4
    discs = part_discs(labels)
    cells = np.indices((64, 64))
    for part in (2, 3, 4):
        there = discs.there[0, part - 1].numpy()
        middle = discs.cell[0, part - 1].numpy()[there]
        radius = discs.radius[0, part - 1].numpy()[there]
        rows, columns = middle // 64, middle % 64
        assert (labels[0, rows, columns] == part).all()
        apart = np.hypot(cells[0][..., None] - rows, cells[1][..., None] - columns) - radius
        inside = apart.min(-1) <= 0
        assert (apart.min(-1)[labels[0] == part] < 2.7).all()
        assert not inside[labels[0] != part].any()
    assert not discs.there[0, [0, 5]].any()
    assert discs.area[0, 1:4].tolist() == [35 * 20, 4 * 50, 1]


def maps_of(low, surface, reduced_body, variables, oversampling=1):
    camera = torch.from_numpy(crop_from_image(evidence_of(reduced_body, variables).crops, 64) @ CAMERA)
    vertices = surface.posed(reduced_body.posed(variables), variables.betas).float()
    vertices.requires_grad_()
    maps = render_parts(low, vertices, camera.float(), (64, 64), oversampling=oversampling)
    return vertices, maps


def test_rendering_losses_are_nothing_for_the_same_and_one_for_all_else(
    low, surface, reduced_body, truth
):
    _, maps = maps_of(low, surface, reduced_body, truth)
    nothing = torch.zeros_like(maps)
    nothing[:, 0] = 1
    person = 1 - maps[:, 0]
    assert rendering_loss(maps, maps).abs().max() < 1e-6
    assert silhouette_loss(maps, person).abs().max() < 1e-6
    torch.testing.assert_close(silhouette_loss(nothing, person), torch.ones(FRAMES))
    share = person.mean((1, 2))
    torch.testing.assert_close(
        rendering_loss(nothing, maps, poolings=(1,)), share, atol=2e-3, rtol=0
    )
    torch.testing.assert_close(
        rendering_loss(maps[1], nothing[1]), rendering_loss(maps, nothing)[1]
    )


@pytest.mark.parametrize("loss", [rendering_loss, lambda a, b: silhouette_loss(a, 1 - b[:, 0])])
def test_the_slope_of_a_rendering_loss_leads_home(low, surface, reduced_body, truth, loss):
    """A person seen moved by two hundredths of the crop: the slope points from there to here."""
    _, predicted = maps_of(low, surface, reduced_body, truth, oversampling=3)
    camera = torch.from_numpy(crop_from_image(evidence_of(reduced_body, truth).crops, 64) @ CAMERA)
    vertices = surface.posed(reduced_body.posed(truth), truth.betas).float()
    for axis, sign in itertools.product((0, 1), (-1, 1)):
        shift = torch.zeros(3)
        shift[axis] = 0.03 * sign
        moved = (vertices + shift).requires_grad_()
        maps = render_parts(low, moved, camera.float(), (64, 64), oversampling=3)
        loss(maps, predicted.detach()).sum().backward()
        slope = moved.grad.sum((0, 1))
        assert slope[axis] * sign > 0


def test_cells_that_are_not_known_do_not_count(low, surface, reduced_body, truth):
    _, maps = maps_of(low, surface, reduced_body, truth)
    wrong = maps.clone()
    wrong[:, :, :32] = wrong[:, :, :32].roll(1, dims=1)
    known = torch.ones(FRAMES, 64, 64)
    known[:, :32] = 0
    assert rendering_loss(wrong, maps, known).abs().max() < 1e-6
    assert silhouette_loss(wrong, 1 - maps[:, 0], known).abs().max() < 1e-6
