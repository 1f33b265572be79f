"""Laws of the face solve: mirror, neutral, blinks, gaps, the turn of the head."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hund_backend.body.file import load_body_file
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import FACE_JOINTS, JOINT_INDEX
from hund_backend.descent.face.head_turn import with_head_turn
from hund_backend.descent.face.hund import FaceHund
from hund_backend.descent.face.joint_confidence import with_face_confidence
from hund_backend.descent.face.model import FaceModel
from hund_backend.descent.face.solve import FaceMotion, solve_face
from hund_backend.descent.result import DescentResult
from hund_backend.descent.state import State
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.face.evidence import FaceEvidence, FaceState

FPS = 30.0
INTRINSICS = np.array([[1000.0, 0, 640], [0, 1000, 360], [0, 0, 1]])
MODEL = FaceModel.load()
# A model without what was learned on pictures: landmarks and numbers are exact here.
EXACT = dataclasses.replace(
    MODEL,
    turn_landmarks=np.zeros_like(MODEL.turn_landmarks),
    turn_coefficients=np.zeros_like(MODEL.turn_coefficients),
)
HUND = FaceHund.load(MODEL)
UPRIGHT = np.diag([1.0, -1, -1])  # from the body's axes to the camera's


def key(name):
    return MODEL.names.index(name)


def face_of(arkit, turns=None, observed=None, numbers=None, size=900.0, visibility=(1.0, 1.0)):
    """Evidence of a face with these activations in the middle of the picture."""
    arkit = np.asarray(arkit, float)
    frames = len(arkit)
    turns = np.repeat(UPRIGHT[None], frames, axis=0) if turns is None else turns
    shape = MODEL.rest + np.einsum("fk,kpx->fpx", arkit, MODEL.keys)
    landmarks = size * np.einsum("fij,fpj->fpi", turns, shape - MODEL.rest.mean(axis=0))
    landmarks[..., :2] += (640, 360)
    observed = np.ones(frames, bool) if observed is None else np.asarray(observed)
    states = np.where(observed, FaceState.SEEN, FaceState.NOT_FOUND).astype(np.uint8)
    face = FaceEvidence(
        observed=observed,
        landmarks=landmarks,
        confidence=observed.astype(float),
        arkit=(arkit if numbers is None else numbers).copy(),
        crops=np.tile([640.0, 360, 200, 0], (frames, 1)),
        states=states,
        visibility=observed[:, None] * np.broadcast_to(visibility, (frames, 2)),
    )
    return Evidence(
        track_id=0,
        frames=np.arange(frames),
        observed=np.ones(frames, bool),
        keypoints=np.zeros((frames, 33, 3)),
        world_landmarks=np.zeros((frames, 33, 3)),
        crops=np.tile([640.0, 360, 400, 0], (frames, 1)),
        intrinsics=np.repeat(INTRINSICS[None], frames, axis=0),
        masks=np.zeros((frames, 64, 64), np.uint8),
        face=face,
    )


def some_activations(frames=40, seed=0):
    rng = np.random.default_rng(seed)
    arkit = np.zeros((frames, 52))
    for first, name in ((6, "jawOpen"), (14, "mouthSmileLeft"), (22, "browInnerUp")):
        arkit[first : first + 6, key(name)] = rng.uniform(0.4, 1.0)
    arkit[30:33, key("eyeBlinkLeft")] = arkit[30:33, key("eyeBlinkRight")] = 1.0
    arkit[34:38, key("mouthLeft")] = 0.7
    return arkit


@pytest.mark.parametrize("hund", [None, HUND])
def test_known_activations_are_found(hund):
    truth = some_activations()
    motion = solve_face(face_of(truth), FPS, EXACT, hund)
    assert motion.has_neutral and motion.arkit.min() >= 0 and motion.arkit.max() <= 1
    for name in ("jawOpen", "mouthSmileLeft", "mouthLeft"):
        found, wanted = motion.arkit[:, key(name)], truth[:, key(name)]
        assert found[wanted > 0].mean() > 0.5 * wanted.max(), name
        assert found[wanted == 0].mean() < 0.05, name


def test_the_mirrored_face_has_the_mirrored_coefficients():
    truth = some_activations()
    turn = Rotation.from_euler("yx", (18, 6), degrees=True).as_matrix()
    other = Rotation.from_euler("yx", (-18, 6), degrees=True).as_matrix()
    turns = np.repeat((UPRIGHT @ turn)[None], len(truth), axis=0)
    mirrored_turns = np.repeat((UPRIGHT @ other)[None], len(truth), axis=0)
    mirror = list(MODEL.mirror)
    one = solve_face(face_of(truth, turns), FPS, MODEL)
    two = solve_face(face_of(truth[:, mirror], mirrored_turns), FPS, MODEL)
    np.testing.assert_allclose(two.arkit[:, mirror], one.arkit, atol=0.05)


@pytest.mark.parametrize("hund", [None, HUND])
def test_a_resting_face_is_no_expression(hund):
    """Whatever the network reads in it, and however the head is tilted."""
    numbers = np.zeros((40, 52))
    numbers[:, key("eyeBlinkLeft")], numbers[:, key("eyeLookDownLeft")] = 0.45, 0.75
    motion = solve_face(face_of(np.zeros((40, 52)), numbers=numbers), FPS, EXACT, hund)
    assert motion.arkit.max() < (0.05 if hund is None else 0.15)


@pytest.mark.parametrize("hund", [None, HUND])
def test_a_blink_is_neither_lowered_nor_late(hund):
    truth = np.zeros((40, 52))
    for frame, value in ((19, 0.6), (20, 1.0), (21, 0.6)):
        truth[frame, [key("eyeBlinkLeft"), key("eyeBlinkRight")]] = value
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        found = solve_face(face_of(truth), FPS, EXACT, hund).arkit[:, key(name)]
        assert found.argmax() == 20 and found[20] > 0.9
        assert found[17] < 0.1 and found[23] < 0.1


def test_a_picture_of_a_usual_face_at_rest_has_open_eyes():
    """One frame teaches no neutral; what the network reads in most faces at rest is taken off."""
    numbers = np.zeros((1, 52))
    numbers[:, [key("eyeBlinkLeft"), key("eyeBlinkRight")]] = 0.42
    numbers[:, key("jawOpen")] = 0.5
    motion = solve_face(face_of(np.zeros((1, 52)), numbers=numbers), FPS, MODEL)
    assert not motion.has_neutral and motion.arkit[0, key("jawOpen")] > 0.4
    assert motion.arkit[0, key("eyeBlinkLeft")] < 0.01


@pytest.mark.parametrize("hund", [None, HUND])
def test_nothing_is_invented_without_a_face(hund):
    motion = solve_face(face_of(np.zeros((20, 52)), observed=[False] * 20), FPS, MODEL, hund)
    assert not motion.arkit.any() and not motion.turn_weight.any() and not motion.has_neutral
    assert motion.as_json()["frames"]["not_found"] == 20


def test_short_gaps_are_bridged_and_long_ones_are_at_rest():
    truth = np.zeros((80, 52))
    truth[20:, key("jawOpen")] = 0.8
    observed = np.ones(80, bool)
    observed[26:30] = observed[40:70] = False
    motion = solve_face(face_of(truth, observed=observed), FPS, EXACT)
    jaw = motion.arkit[:, key("jawOpen")]
    assert jaw[26:30].min() > 0.8 * jaw[25] and not jaw[50:60].any()
    assert np.isfinite(motion.arkit).all() and motion.turn_weight[50] == 0


@pytest.mark.parametrize("yaw", [-30, 0, 25])
def test_the_turn_of_the_head_is_found(yaw):
    turn = UPRIGHT @ Rotation.from_euler("yxz", (yaw, 10, 5), degrees=True).as_matrix()
    evidence = face_of(np.zeros((20, 52)), np.repeat(turn[None], 20, axis=0))
    motion = solve_face(evidence, FPS, MODEL)
    angle = Rotation.from_matrix(motion.turn[10] @ turn.T).magnitude()
    assert np.degrees(angle) < 1.0 and motion.turn_weight[10] > 0.9


def result_of(frames):
    def states(*batch):
        return State(
            pose=torch.eye(3).expand(*batch, 62, 3, 3).clone(),
            betas=torch.zeros(*batch, 16),
            global_orient=torch.tensor(UPRIGHT).float().expand(*batch, 3, 3).clone(),
            root_translation=torch.tensor([0.0, 0, 3]).expand(*batch, 3).clone(),
        )

    return DescentResult(
        state=states(frames),
        stages=states(frames, 1),
        stage_losses=torch.zeros(frames, 1, 1),
        terms=("keypoints",),
        joint_confidence=torch.ones(frames, 63),
        converged=True,
    )


def head_motion(frames, turn, weight):
    return FaceMotion(
        arkit=np.zeros((frames, 52), np.float32),
        turn=np.repeat(turn[None], frames, axis=0),
        turn_weight=np.full(frames, weight),
        states=np.zeros(5, np.int64),
        has_neutral=True,
        expression=np.zeros((frames, 20), np.float32),
        confidence=np.full((frames, 2), weight),
    )


def test_the_head_takes_the_turn_of_the_face_and_the_neck_a_share():
    body, result = BodyModel.load("keypoints"), result_of(4)
    turn = UPRIGHT @ Rotation.from_euler("yx", (30, 10), degrees=True).as_matrix()
    turned = with_head_turn(result, body, head_motion(4, turn, 1.0))
    before, after = (each.state.posed(body).orientations.numpy() for each in (result, turned))
    np.testing.assert_allclose(after[:, JOINT_INDEX["Head01"]], np.stack([turn] * 4), atol=1e-5)
    neck = JOINT_INDEX["Neck01"]
    share = Rotation.from_matrix(after[0, neck] @ before[0, neck].T).magnitude()
    whole = Rotation.from_matrix(turn @ UPRIGHT.T).magnitude()
    assert share == pytest.approx(0.4 * whole, rel=1e-3)
    others = [joint for joint in range(63) if joint not in (neck, JOINT_INDEX["Head01"])]
    kept = np.array(others)[1:] - 1
    np.testing.assert_array_equal(turned.state.pose[:, kept], result.state.pose[:, kept])


def test_a_face_that_is_not_seen_leaves_the_result_as_it_is():
    body, result = BodyModel.load("keypoints"), result_of(4)
    turn = UPRIGHT @ Rotation.from_euler("y", 30, degrees=True).as_matrix()
    assert with_head_turn(result, body, head_motion(4, turn, 0.0)) is result


@pytest.mark.parametrize("hund", [None, HUND])
def test_what_is_not_seen_well_is_at_rest_and_the_rest_is_as_before(hund):
    whole = solve_face(face_of(some_activations()), FPS, EXACT, hund)
    upper = np.array([name.startswith(("eye", "brow")) for name in MODEL.names])
    masked = solve_face(face_of(some_activations(), visibility=(1.0, 0.2)), FPS, EXACT, hund)
    assert not masked.arkit[:, ~upper].any()
    np.testing.assert_allclose(masked.arkit[:, upper], whole.arkit[:, upper], atol=1e-6)
    shaded = solve_face(face_of(some_activations(), visibility=(0.2, 1.0)), FPS, EXACT, hund)
    assert not shaded.arkit[:, upper].any()
    np.testing.assert_allclose(shaded.arkit[:, ~upper], whole.arkit[:, ~upper], atol=1e-6)


def test_a_hand_that_passes_the_mouth_leaves_it_at_rest_smoothly():
    arkit = np.zeros((90, 52))
    arkit[::7, key("browInnerUp")] = 0.5
    arkit[20:, key("jawOpen")] = 0.6
    visibility = np.ones((90, 2))
    visibility[40:70, 1] = 0.1
    jaw = solve_face(face_of(arkit, visibility=visibility), FPS, EXACT).arkit[:, key("jawOpen")]
    assert jaw[30:40].min() > 0.4 and jaw[75:].min() > 0.4 and jaw[50:60].max() == 0
    assert np.abs(np.diff(jaw[38:])).max() < 0.25


def test_joints_of_the_face_are_as_sure_as_what_is_seen_of_it():
    result = result_of(4)
    motion = dataclasses.replace(
        head_motion(4, UPRIGHT, 1.0), confidence=np.tile([0.9, 0.2], (4, 1))
    )
    confidence = with_face_confidence(result, motion).joint_confidence.numpy()
    assert np.allclose(confidence[:, JOINT_INDEX["Jaw01"]], 0.2)
    assert np.allclose(confidence[:, JOINT_INDEX["Eyelidup01L"]], 0.9)
    others = [joint for joint in range(63) if joint not in FACE_JOINTS]
    np.testing.assert_array_equal(confidence[:, others], result.joint_confidence[:, others])


def test_the_expression_is_the_same_face_in_the_bodys_coefficients():
    motion = solve_face(face_of(some_activations()), FPS, EXACT, HUND)
    np.testing.assert_allclose(motion.expression, motion.arkit @ MODEL.expressions, atol=1e-5)
    body = load_body_file()
    for name, share in (("jawOpen", 0.05), ("mouthSmileLeft", 0.15), ("eyeBlinkRight", 0.15)):
        wanted = body.arkit_basis[key(name)]
        found = np.tensordot(MODEL.expressions[key(name)], body.expression_basis, 1)
        assert np.linalg.norm(found - wanted) < share * np.linalg.norm(wanted)
    side = np.array(MODEL.mirror)
    moved = np.einsum("ke,evx->kvx", MODEL.expressions, body.expression_basis)
    size = np.linalg.norm(moved, axis=(1, 2))
    np.testing.assert_allclose(size, size[side], rtol=0.05)
