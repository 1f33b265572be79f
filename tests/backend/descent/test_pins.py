"""Pins: joints come to their places, and nothing else changes."""

import json

import numpy as np
import pytest
import torch
from builders import CAMERA, walk

from hund_backend.__main__ import main
from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_quaternion, quaternion_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX, JOINT_NAMES, PARENTS
from hund_backend.commands.serve import _Server
from hund_backend.descent.fit.linearization import EvaluationPoint, LinearizationPoint
from hund_backend.descent.fit.solver import NormalEquations
from hund_backend.descent.fit.span import SpanConfig, fit_span
from hund_backend.descent.fit.terms.pins import PinConfig, Pins, PinTerm
from hund_backend.descent.fit.terms.place_anchor import PlaceAnchorTerm
from hund_backend.descent.reduced_body import FitVariables
from hund_backend.errors import BadInputError
from hund_backend.pins import Bodies, Motion, Pin, solve_pins
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.reconstruction import NUM_ARKIT, NUM_EXPRESSION, Reconstruction

FRAMES, FPS = 60, 30.0
WITHIN = 0.010  # metres


@pytest.fixture(scope="module")
def bodies():
    return Bodies.load()


@pytest.fixture(scope="module")
def clip(bodies):
    """Two people who walk, each with another phase; the second one's right hand is not seen."""
    people = [walked(bodies, yaw) for yaw in (0.7, -0.4)]
    return reconstruction_of(bodies, people)


def walked(bodies, yaw):
    variables = walk(bodies.keypoints, GaussianPrior.load(), FRAMES, FPS, yaw)
    return variables._replace(betas=torch.zeros(16, dtype=torch.float64))


def reconstruction_of(bodies, people, shots=(0,)):
    count = len(JOINT_NAMES)
    rotations = np.zeros((len(people), FRAMES, count, 4), np.float32)
    rotations[..., 0] = 1
    joints = np.zeros((len(people), FRAMES, count, 3), np.float32)
    keypoints = np.zeros((len(people), FRAMES, 33, 3), np.float32)
    for person, variables in enumerate(people):
        indices = bodies.keypoints.joint_indices
        rotations[person][:, indices] = matrix_to_quaternion(variables.rotations).float().numpy()
        posed = bodies.keypoints.forward(variables)
        joints[person][:, indices] = posed.joints.float().numpy()
        pixels = project(posed.points[:, :33], torch.from_numpy(CAMERA))
        keypoints[person] = np.concatenate((pixels, np.full((FRAMES, 33, 1), 0.9)), axis=-1)
    keypoints[-1, :, BLAZEPOSE_NAMES.index("right_wrist"), 2] = 0.05
    level = np.eye(4)
    level[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    shape = len(people), FRAMES
    return Reconstruction(
        provenance={},
        fps=FPS,
        frame_numbers=np.arange(FRAMES),
        times=np.arange(FRAMES) / FPS,
        image_size=(1000, 800),
        intrinsics=np.tile(CAMERA, (FRAMES, 1, 1)),
        world_from_camera=np.tile(level, (FRAMES, 1, 1)),
        joint_names=JOINT_NAMES,
        parents=np.array(PARENTS),
        track_ids=np.arange(len(people)),
        present=np.ones(shape, bool),
        rotations=rotations,
        root_translation=np.stack([each.translation.float().numpy() for each in people]),
        betas=np.zeros((len(people), 16), np.float32),
        expression=np.zeros((*shape, NUM_EXPRESSION), np.float32),
        arkit=np.zeros((*shape, NUM_ARKIT), np.float32),
        joints=joints,
        keypoints=keypoints,
        joint_confidence=np.ones((*shape, count), np.float32),
        contacts=np.zeros((*shape, 4), np.float32),
        stage_losses=np.zeros((*shape, 1, 1), np.float32),
        shots=np.array(shots, np.int64),
    )


def joints_of(bodies, reconstruction, person, motion):
    """Places of the joints by the body model itself, (frames, 63, 3)."""
    rotations = quaternion_to_matrix(torch.from_numpy(motion.rotations))
    body = BodyModel.load("keypoints")
    posed = body(
        rotations[:, 1:],
        torch.from_numpy(reconstruction.betas[person]).expand(FRAMES, -1),
        global_orient=rotations[:, 0],
        root_translation=torch.from_numpy(motion.root_translation),
    )
    return posed.joints.numpy()


def pin_at(reconstruction, person, frame, joint, offset):
    place = reconstruction.joints[person, frame, JOINT_INDEX[joint]].astype(float) + offset
    return Pin(frame=frame, joint=joint, place=tuple(place.tolist()))


@pytest.mark.parametrize(
    ("person", "joint", "offset"),
    [
        (0, "HandL", (0.06, -0.12, 0.03)),
        (1, "HandR", (0.10, -0.15, -0.10)),
        (0, "AnkleR", (0.05, -0.08, 0.03)),
        (1, "LowerarmL", (-0.03, -0.06, 0.05)),
    ],
)
def test_joints_come_to_their_pins_and_other_frames_stay(bodies, clip, person, joint, offset):
    pin = pin_at(clip, person, 30, joint, offset)
    solved = solve_pins(clip, person, [pin], bodies)
    joints = joints_of(bodies, clip, person, solved.motion)
    miss = np.linalg.norm(joints[30, JOINT_INDEX[joint]] - pin.place)
    assert miss < WITHIN and abs(miss - solved.misses[0]) < 1e-4
    outside = np.setdiff1d(np.arange(FRAMES), solved.frames)
    assert len(outside) and abs(solved.frames - 30).max() == 21
    for name in ("rotations", "root_translation"):
        before, after = getattr(clip, name)[person], getattr(solved.motion, name)
        assert np.array_equal(before[outside], after[outside])
    # It comes and goes without a jump, and the other side nearly stays.
    change = np.linalg.norm(joints - clip.joints[person], axis=-1)
    size = np.linalg.norm(offset)
    assert change[solved.frames[[0, -1]]][:, JOINT_INDEX[joint]].max() < 0.1 * size
    assert np.abs(np.diff(change[:, JOINT_INDEX[joint]])).max() < 0.35 * size
    other = joint[:-1] + ("R" if joint[-1] == "L" else "L")
    assert change[:, JOINT_INDEX[other]].max() < 0.4 * size


def test_without_a_pin_nothing_changes(bodies, clip):
    solved = solve_pins(clip, 0, [], bodies)
    assert len(solved.frames) == 0
    assert np.array_equal(solved.motion.rotations, clip.rotations[0])
    assert np.array_equal(solved.motion.root_translation, clip.root_translation[0])


def test_a_pin_that_holds_changes_little(bodies, clip):
    solved = solve_pins(clip, 0, [pin_at(clip, 0, 30, "HandL", np.zeros(3))], bodies)
    joints = joints_of(bodies, clip, 0, solved.motion)
    body = list(bodies.keypoints.joint_indices)
    change = np.linalg.norm(joints - clip.joints[0], axis=-1)[:, body]
    assert change.max() < 0.005


def test_solving_again_around_a_pin_that_was_solved_changes_little(bodies, clip):
    pin = pin_at(clip, 0, 30, "HandL", np.array((0.05, -0.1, 0)))
    once = solve_pins(clip, 0, [pin], bodies)
    twice = solve_pins(clip, 0, [pin], bodies, motion=once.motion)
    before, after = (joints_of(bodies, clip, 0, each.motion) for each in (once, twice))
    assert np.abs(after - before).max() < 0.005


def test_several_pins_hold_together(bodies, clip):
    pins = [
        pin_at(clip, 0, 20, "HandL", np.array((0.05, -0.1, 0))),
        pin_at(clip, 0, 26, "HandL", np.array((0.02, -0.12, 0))),
        pin_at(clip, 0, 40, "AnkleR", np.array((0.03, -0.05, 0))),
    ]
    solved = solve_pins(clip, 0, pins, bodies, reach=0.4)
    assert solved.misses.max() < WITHIN


def test_a_hidden_hand_follows_its_pin_for_longer_than_a_seen_one(bodies, clip):
    widths = {}
    for joint in ("HandL", "HandR"):
        solved = solve_pins(
            clip, 1, [pin_at(clip, 1, 30, joint, np.array((0.0, -0.1, 0)))], bodies
        )
        joints = joints_of(bodies, clip, 1, solved.motion)
        change = np.linalg.norm(joints - clip.joints[1], axis=-1)[:, JOINT_INDEX[joint]]
        widths[joint] = change.sum()
    assert widths["HandR"] > widths["HandL"]


def test_spans_end_at_cuts(bodies):
    clip = reconstruction_of(bodies, [walked(bodies, 0.7)], shots=(0, 34))
    solved = solve_pins(clip, 0, [pin_at(clip, 0, 30, "HandL", np.array((0, -0.1, 0)))], bodies)
    assert solved.frames.max() == 33 and solved.misses[0] < WITHIN


@pytest.mark.parametrize("frame", [0, FRAMES - 1])
def test_pins_hold_in_the_first_and_in_the_last_frame(bodies, clip, frame):
    pin = pin_at(clip, 0, frame, "HandR", np.array((0, -0.08, 0)))
    assert solve_pins(clip, 0, [pin], bodies).misses[0] < WITHIN


def test_a_foot_that_stands_keeps_its_contact(bodies):
    """The feet of somebody whose hand is pinned stay where they stand."""
    variables = walked(bodies, 0.7)
    still = variables._replace(
        rotations=variables.rotations[:1].expand(FRAMES, -1, -1, -1),
        translation=variables.translation[:1].expand(FRAMES, -1),
    )
    clip = reconstruction_of(bodies, [still])
    clip.contacts[:] = 1
    pin = pin_at(clip, 0, 30, "HandL", np.array((0.2, -0.2, -0.15)))
    solved = solve_pins(clip, 0, [pin], bodies)
    joints = joints_of(bodies, clip, 0, solved.motion)
    feet = [JOINT_INDEX[name] for name in ("BallL", "BallR")]
    assert solved.misses[0] < 0.06
    assert np.linalg.norm(joints - clip.joints[0], axis=-1)[:, feet].max() < 0.01


@pytest.mark.parametrize(
    ("person", "pin"),
    [
        (2, Pin(frame=0, joint="HandL", place=(0.0, 0.0, 3.0))),
        (0, Pin(frame=FRAMES, joint="HandL", place=(0.0, 0.0, 3.0))),
        (0, Pin(frame=0, joint="Index01L", place=(0.0, 0.0, 3.0))),
        (0, Pin(frame=0, joint="HandL", place=(0.0, 0.0, -3.0))),
    ],
)
def test_wrong_pins_are_refused(bodies, clip, person, pin):
    with pytest.raises(BadInputError, match=r"\.$"):
        solve_pins(clip, person, [pin], bodies)


@pytest.mark.parametrize("kind", ["pins", "place"])
def test_derivatives_of_the_terms(bodies, kind):
    variables = walked(bodies, 0.7).select(torch.arange(4))
    intrinsics = torch.from_numpy(np.tile(CAMERA, (4, 1, 1)))
    if kind == "pins":
        pins = Pins(
            frames=torch.tensor([1, 1, 2]),
            joints=torch.tensor([9, 16, 9]),
            places=torch.tensor([[0.1, 0, 4.0], [0.2, 0.5, 4], [0, 0, 3.5]], dtype=torch.float64),
        )
        side = torch.full((4,), 300.0, dtype=torch.float64)
        config = PinConfig(noise=0.1, pixel_noise=0.1)
        term = PinTerm(config=config, pins=pins, intrinsics=intrinsics, crop_side=side)
    else:
        term = PlaceAnchorTerm(noise=0.1, places=variables.translation + 0.05)
    at = LinearizationPoint(variables, bodies.keypoints, None, solves_betas=False)
    unknowns = at.point_jacobian.shape[-1]
    equations = NormalEquations.zeros(4, unknowns, 16, at.point_jacobian)
    term.linearize(at, equations)
    generator = torch.Generator().manual_seed(0)
    step = torch.randn(4, unknowns, generator=generator).double()
    small = 1e-6

    def energy(scale):
        moved = variables.apply_step(scale * step, torch.zeros(16).double())
        return float(term.energies(EvaluationPoint(moved, bodies.keypoints, None))[0].sum())

    numeric = (energy(small) - energy(-small)) / (2 * small)
    exact = float((equations.gradient * step).sum())
    assert abs(numeric - exact) < 1e-4 * max(1, abs(exact))


def test_fixed_frames_are_exactly_fixed(bodies):
    variables = walked(bodies, 0.7).select(torch.arange(12))
    joint = bodies.keypoints.forward(variables).joints[6, 9]
    pins = Pins(
        frames=torch.tensor([6]),
        joints=torch.tensor([9]),
        places=joint[None] + torch.tensor([0.0, -0.05, 0]),
    )
    solved = fit_span(
        variables,
        pins,
        torch.full((12, 33), 0.5, dtype=torch.float64),
        torch.from_numpy(np.tile(CAMERA, (12, 1, 1))),
        FPS,
        bodies.keypoints,
        frozen=(2, 3),
        config=SpanConfig(),
    )
    assert isinstance(solved, FitVariables)
    fixed = [0, 1, 9, 10, 11]
    assert torch.equal(solved.rotations[fixed], variables.rotations[fixed])
    assert torch.equal(solved.translation[fixed], variables.translation[fixed])
    assert not torch.equal(solved.rotations[6], variables.rotations[6])


def test_the_command_answers_as_the_function(bodies, clip, tmp_path):
    clip.save(tmp_path / "clip.npz")
    pin = pin_at(clip, 1, 30, "HandL", np.array((0.05, -0.1, 0)))
    moved = Motion(
        rotations=clip.rotations[1], root_translation=clip.root_translation[1] + np.float32(0.01)
    )
    np.savez(tmp_path / "motion.npz", **vars(moved))
    request = {
        "reconstruction": str(tmp_path / "clip.npz"),
        "person": 1,
        "pins": [vars(pin)],
        "motion": str(tmp_path / "motion.npz"),
        "reach": 0.5,
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    output = tmp_path / "answer.npz"
    assert main(["pins", str(tmp_path / "request.json"), "--output", str(output)]) == 0
    expected = solve_pins(clip, 1, [pin], bodies, motion=moved, reach=0.5)
    with np.load(output) as written:
        assert np.array_equal(written["frames"], expected.frames)
        rotations = expected.motion.rotations[expected.frames]
        assert np.abs(written["rotations"] - rotations).max() < 1e-5
        assert np.abs(written["misses"] - expected.misses).max() < 1e-5


@pytest.mark.parametrize(
    "change",
    [
        {"reconstruction": None},
        {"person": "one"},
        {"pins": [{"frame": 1}]},
        {"reach": -1},
        {"motion": "none.npz"},
    ],
)
def test_wrong_requests_are_refused_in_a_sentence(clip, tmp_path, capsys, change):
    clip.save(tmp_path / "clip.npz")
    request = {
        "reconstruction": str(tmp_path / "clip.npz"),
        "person": 0,
        "pins": [{"frame": 1, "joint": "HandL", "place": [0, 0, 3]}],
    } | change
    (tmp_path / "request.json").write_text(json.dumps(request))
    assert main(["pins", str(tmp_path / "request.json"), "--output", str(tmp_path / "a.npz")]) == 2
    assert capsys.readouterr().err.strip().endswith(".")
    assert not (tmp_path / "a.npz").exists()


def test_the_server_answers_as_the_function(bodies, clip, tmp_path, capsys):
    clip.save(tmp_path / "clip.npz")
    pin = pin_at(clip, 0, 30, "AnkleL", np.array((0.02, -0.05, 0)))
    request = {
        "command": "pins",
        "id": 7,
        "reconstruction": str(tmp_path / "clip.npz"),
        "person": 0,
        "output": str(tmp_path / "answer.npz"),
    }
    server = _Server()
    server.answer(1, request | {"pins": []})  # loads the body
    server.answer(2, request | {"pins": [vars(pin)]})
    server.answer(3, request | {"pins": [vars(pin)], "person": 9})
    warm, done, error = map(json.loads, capsys.readouterr().out.splitlines())
    assert warm == {"event": "done", "id": 7, "output": "", "misses": []}
    expected = solve_pins(clip, 0, [pin], bodies).misses
    assert done["output"] == request["output"] and np.allclose(done["misses"], expected)
    assert error["event"] == "error" and error["message"].endswith(".")
