"""Laws of devices: what is computed on one leaves nothing behind on another."""

import copy
import re
from pathlib import Path

import pytest
import torch

import hund_backend
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import PART_NAMES
from hund_backend.descent.keypoints import NUM_KEYPOINTS
from hund_backend.descent.learned.hund import Hund
from hund_backend.descent.learned.inputs import MAP_SIZE, NUM_FEATURES, NetworkInputs
from hund_backend.device import choose_device
from hund_backend.errors import HundError
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.pose_flow import PoseFlow

META = torch.device("meta")  # has shapes and no numbers; other devices' tensors do not mix with it


@pytest.mark.parametrize(
    ("name", "cuda", "mps", "expected"),
    [
        ("auto", False, False, "cpu"),
        ("auto", True, True, "cuda"),
        ("auto", False, True, "cpu"),
        ("cpu", True, True, "cpu"),
        ("cuda", True, False, "cuda"),
        ("mps", False, True, "mps"),
        ("cuda", False, True, None),
        ("mps", True, False, None),
        ("tpu", True, True, None),
    ],
)
def test_the_device_is_what_was_asked_for_or_a_sentence(name, cuda, mps, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if expected:
        assert choose_device(name).type == expected
        return
    with pytest.raises(HundError, match="choose"):
        choose_device(name)


@pytest.fixture(scope="module")
def models():
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    return body, prior, Hund.load(body, prior), Dynamics.load(prior)


@pytest.fixture(scope="module")
def on_meta(models):
    return [model.to(META) for model in copy.deepcopy(models)]


@pytest.fixture
def branches(monkeypatch):
    """Take every branch that depends on numbers, which meta tensors lack."""
    has_numbers = torch.Tensor.__bool__
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: self.is_meta or has_numbers(self))


def network_inputs(frames, device="cpu"):
    """Inputs of people before a camera, with parts and features."""
    eye = torch.eye(3).expand(frames, 3, 3)
    return NetworkInputs(
        keypoints=torch.zeros(frames, NUM_KEYPOINTS, 2),
        confidence=torch.ones(frames, NUM_KEYPOINTS),
        landmarks=torch.zeros(frames, NUM_KEYPOINTS, 3),
        crop_width=torch.ones(frames),
        camera_from_crop=eye,
        parts=torch.zeros(frames, len(PART_NAMES), MAP_SIZE, MAP_SIZE),
        has_parts=torch.ones(frames, dtype=torch.bool),
        crop_from_rays=eye,
        features=torch.zeros(frames, NUM_FEATURES),
        has_features=torch.ones(frames, dtype=torch.bool),
    ).to(str(device))


def tensors(values):
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors(value)
    elif hasattr(values, "__dict__"):
        yield from tensors(list(vars(values).values()))


def assert_alike(ours, theirs):
    """Where the one has numbers, the other has shapes, all on the other device."""
    ours, theirs = list(tensors(ours)), list(tensors(theirs))
    assert theirs and [each.shape for each in ours] == [each.shape for each in theirs]
    assert {each.device.type for each in theirs} == {"meta"}


@torch.no_grad()
def test_the_body_is_posed_where_it_lies(models, on_meta):
    def pose(body, device):
        eye = torch.eye(3, device=device).expand(2, 62, 3, 3)
        posed = body(eye, torch.zeros(2, 16, device=device), global_orient=eye[:, 0])
        return [posed, body.keypoints(posed, "blazepose"), body.contact_points(posed)]

    assert_alike(pose(models[0], "cpu"), pose(on_meta[0], META))


@torch.no_grad()
def test_the_prior_and_the_dynamics_compute_where_they_lie(models, on_meta):
    def compute(prior, dynamics, device):
        latents = torch.zeros(1, 5, dynamics.config.latent, device=device)
        pose = prior.pose(latents)
        found = [pose, prior.latent(pose), prior.energy(pose), prior.log_prob(pose)]
        return [*found, prior.jacobian(pose), dynamics.log_prob(latents, fps=30.0)]

    assert_alike(compute(models[1], models[3], "cpu"), compute(on_meta[1], on_meta[3], META))


@torch.no_grad()
def test_the_learned_descent_computes_where_it_lies(models, on_meta, branches):
    assert_alike(models[2].descend(network_inputs(3)), on_meta[2].descend(network_inputs(3, META)))


def test_losses_have_their_slopes_where_they_lie(on_meta, branches):
    """As the adaptation to a clip computes them."""
    network = copy.deepcopy(on_meta[2]).requires_grad_()
    network(network_inputs(2, META))[-1].losses.terms.sum().backward()
    slopes = [each.grad for each in network.parameters() if each.grad is not None]
    assert slopes and {slope.device.type for slope in slopes} == {"meta"}


def test_nothing_asks_for_numbers_or_for_a_device_by_name_in_networks():
    """A search, for what runs on the way: `.cuda()` and `.numpy()` would leave the device."""
    root = Path(hund_backend.__file__).parent
    files = [*(root / "body").glob("*.py"), *(root / "prior").glob("*.py")]
    files += (root / "descent" / "learned").glob("*.py")
    for file in files:
        assert not re.search(r"\.cuda\(|device=\"(cuda|cpu|mps)\"", file.read_text()), file
