"""Laws of the build from outlines: what pictures' scale, mirrors and order may not change."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import CAMERA, evidence_of, walk

from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import KEYPOINT_MIRROR
from hund_backend.descent.build.estimator import BuildEstimator, combine, is_usable
from hund_backend.descent.build.network import NUM_BETAS, BuildNetwork, Information
from hund_backend.descent.build.outline import NUM_FEATURES, TORSO, outlines_of
from hund_backend.descent.fit.energy import EnergyConfig, build_terms
from hund_backend.descent.fit.linearization import EvaluationPoint
from hund_backend.descent.fit.terms.betas import BetasTerm
from hund_backend.descent.reduced_body import REDUCED_JOINTS, ReducedBody
from hund_backend.descent.state import State
from hund_backend.descent.targets import Targets
from hund_backend.perception.crops import crop_from_image
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.rendering.exact_parts import part_labels
from hund_backend.training.motion.retargeting import mirror_rotations

FRAMES = 3
WEIGHT, MORE = 3, -2.0  # the coefficient that makes people heavy, and how much of it


@pytest.fixture(scope="module")
def skin():
    return BodyModel.load("low")


@pytest.fixture(scope="module")
def reduced_body():
    return ReducedBody.from_body(BodyModel.load("keypoints"))


@pytest.fixture(scope="module")
def network():
    """A network with random weights: laws hold for any."""
    torch.manual_seed(0)
    return BuildNetwork().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def estimator(network, skin, reduced_body):
    return BuildEstimator(network=network, skin=skin, reduced_body=reduced_body)


@pytest.fixture(scope="module")
def walker(reduced_body):
    return walk(reduced_body, PoseFlow.load(), FRAMES, fps=10)


def state_of(variables, reduced_body):
    return State(
        pose=reduced_body.full_pose(variables).float(),
        betas=variables.betas.float().expand(len(variables.rotations), -1),
        global_orient=variables.rotations[:, 0].float(),
        root_translation=variables.translation.float(),
    )


def seen(variables, reduced_body, skin, crop=(1.0, 0.0)):
    """Evidence with the exact mask, in crops of another size (a factor) or turned (radians)."""
    evidence = evidence_of(reduced_body, variables)
    crops = evidence.crops * (1, 1, crop[0], 1) + (0, 0, 0, crop[1])
    camera = torch.from_numpy(crop_from_image(crops, 64) @ CAMERA).float()
    vertices = state_of(variables, reduced_body).posed(skin).vertices
    masks = (part_labels(skin, vertices, camera, (64, 64)) > 0).numpy()
    return dataclasses.replace(evidence, crops=crops, masks=(255 * masks).astype(np.uint8))


def outlines(variables, reduced_body, skin, **changes):
    evidence = seen(variables, reduced_body, skin, **changes)
    return outlines_of(evidence, variables.rotations, skin, reduced_body)


def torso_ratio(found):
    lines = slice(0, len(TORSO.shares))
    return found.ratios[:, lines].sum() / found.valid[:, lines].sum()


def test_the_mean_body_is_as_broad_as_itself(walker, reduced_body, skin):
    found = outlines(walker, reduced_body, skin)
    assert is_usable(found).all()
    assert abs(torso_ratio(found)) < 0.03


@pytest.mark.parametrize("crop", [(1.5, 0.0), (1.0, 0.4)])
def test_the_crop_does_not_matter(walker, reduced_body, skin, crop):
    heavy = walker._replace(betas=walker.betas.index_fill(0, torch.tensor(WEIGHT), MORE))
    plain = outlines(heavy, reduced_body, skin)
    other = outlines(heavy, reduced_body, skin, crop=crop)
    assert torso_ratio(plain) > 0.1
    assert abs(torso_ratio(other) - torso_ratio(plain)) < 0.05


def test_the_scale_of_the_picture_does_not_matter(walker, reduced_body, skin):
    evidence = seen(walker, reduced_body, skin)
    double = np.diag([2.0, 2.0, 1.0])
    larger = dataclasses.replace(
        evidence,
        keypoints=evidence.keypoints * (2, 2, 1),
        crops=evidence.crops * (2, 2, 2, 1),
        intrinsics=double @ evidence.intrinsics,
    )
    both = [
        outlines_of(each, walker.rotations, skin, reduced_body).vectors()
        for each in (evidence, larger)
    ]
    torch.testing.assert_close(*both, atol=1e-3, rtol=0)


def mirrored(evidence):
    """The evidence of the mirrored picture; the principal point is its middle."""
    order = list(KEYPOINT_MIRROR["blazepose"])
    width = 2 * CAMERA[0, 2]
    return dataclasses.replace(
        evidence,
        keypoints=evidence.keypoints[:, order] * (-1, 1, 1) + (width, 0, 0),
        world_landmarks=evidence.world_landmarks[:, order] * (-1, 1, 1),
        crops=evidence.crops * (-1, 1, 1, -1) + (width, 0, 0, 0),
        masks=np.ascontiguousarray(evidence.masks[:, :, ::-1]),
    )


def test_a_mirrored_person_has_the_same_build(walker, reduced_body, skin, estimator):
    evidence, state = seen(walker, reduced_body, skin), state_of(walker, reduced_body)
    rotations = torch.cat((state.global_orient[:, None], state.pose), dim=1)
    turned = mirror_rotations(rotations)
    other = dataclasses.replace(state, global_orient=turned[:, 0], pose=turned[:, 1:])
    found = estimator.estimate(evidence, state)
    again = estimator.estimate(mirrored(evidence), other)
    torch.testing.assert_close(again.mean, found.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(again.precision, found.precision, atol=0.02, rtol=0)


def test_mirrored_twice_is_the_same(walker, reduced_body, skin, network):
    found = outlines(walker, reduced_body, skin)
    torch.testing.assert_close(found.mirrored().mirrored().vectors(), found.vectors())
    for once, twice in zip(
        network.information(found), network.information(found.mirrored()), strict=True
    ):
        torch.testing.assert_close(once, twice)


def test_without_a_usable_mask_there_is_no_estimate(walker, reduced_body, skin, estimator):
    state, evidence = state_of(walker, reduced_body), seen(walker, reduced_body, skin)
    empty = dataclasses.replace(evidence, masks=0 * evidence.masks)
    hidden = dataclasses.replace(evidence, observed=np.zeros(FRAMES, bool))
    of_another = dataclasses.replace(evidence, masks=np.roll(evidence.masks, 40, axis=2))
    doubtful = dataclasses.replace(evidence, keypoints=evidence.keypoints * (1, 1, 0.1))
    for each in (empty, hidden, of_another, doubtful):
        assert estimator.estimate(each, state) is None


def test_what_the_frame_cuts_off_has_no_breadth(walker, reduced_body, skin):
    evidence = seen(walker, reduced_body, skin)
    full = np.full_like(evidence.masks, 255)
    narrow = evidence.intrinsics.copy()
    narrow[:, 0, 2] = evidence.crops[:, 0].min() / 2  # the frame ends in the person's middle
    cut = dataclasses.replace(evidence, masks=full, intrinsics=narrow)
    assert not outlines_of(cut, walker.rotations, skin, reduced_body).valid.any()


def test_the_order_of_frames_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    precision = torch.rand(7, NUM_BETAS, generator=generator)
    information = Information(precision, torch.randn(7, NUM_BETAS, generator=generator))
    order = torch.randperm(7, generator=generator)
    found, again = combine(information), combine(Information(*(v[order] for v in information)))
    torch.testing.assert_close(again.mean, found.mean)
    torch.testing.assert_close(again.precision, found.precision)


def test_more_frames_tell_more_but_not_without_end():
    one = Information(torch.ones(1, NUM_BETAS), torch.ones(1, NUM_BETAS))
    precisions = [
        float(combine(Information(*(v.repeat(n, 1) for v in one))).precision[0, 0])
        for n in (1, 2, 10, 1000)
    ]
    assert precisions == sorted(precisions)
    assert precisions[0] == pytest.approx(2)
    assert precisions[-1] < 4


def test_frames_that_know_nothing_leave_the_build_of_everybody():
    nothing = Information(torch.zeros(4, NUM_BETAS), torch.zeros(4, NUM_BETAS))
    expected = combine(nothing)
    assert (expected.mean == 0).all()
    assert (expected.precision == torch.eye(NUM_BETAS)).all()


def test_the_build_of_everybody_changes_no_energy(walker, reduced_body):
    nothing = combine(Information(torch.zeros(1, NUM_BETAS), torch.zeros(1, NUM_BETAS)))
    evidence = evidence_of(reduced_body, walker)
    heavy = walker._replace(betas=walker.betas.index_fill(0, torch.tensor(WEIGHT), MORE))
    at = EvaluationPoint(heavy, reduced_body, PoseFlow.load().double())
    energies = []
    for build in (None, nothing):
        terms = build_terms(
            EnergyConfig(),
            targets=Targets.from_evidence(evidence, reduced_body),
            prior=PoseFlow.load().double(),
            limits=JointLimits(torch.float64),
            expected_betas=build,
        )
        [term] = [term for term in terms if isinstance(term, BetasTerm)]
        energies.append(term.energies(at)[0])
    torch.testing.assert_close(energies[1], energies[0])
    assert (energies[0] > 0).all()


def test_the_shipped_network_tells_heavy_from_thin(walker, reduced_body, skin):
    estimator = BuildEstimator(network=BuildNetwork.load(), skin=skin, reduced_body=reduced_body)
    weights = []
    for amount in (-MORE, MORE):
        person = walker._replace(betas=walker.betas.index_fill(0, torch.tensor(WEIGHT), amount))
        evidence = seen(person, reduced_body, skin)
        weights.append(estimator.estimate(evidence, state_of(walker, reduced_body)).mean[WEIGHT])
    assert (weights[1] - weights[0]) * MORE > 1.0


def test_features_are_counted(walker, reduced_body, skin):
    assert outlines(walker, reduced_body, skin).vectors().shape == (FRAMES, NUM_FEATURES)
    assert len(REDUCED_JOINTS) == walker.rotations.shape[1]
