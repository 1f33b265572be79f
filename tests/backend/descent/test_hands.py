"""Laws of hands: model, anatomy, descent, polish, and their fusion with the body."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch
from builders import CAMERA, evidence_of, walk

from hund_backend.body.camera import project
from hund_backend.body.hand import (
    HAND_JOINT_NAMES,
    PALM_POINTS,
    POINT_NAMES,
    TIP_POINTS,
    WRIST,
    HandModel,
    bone_lengths,
    mirrored_rotations,
)
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, LEFT_HAND_JOINTS, MIRROR, RIGHT_HAND_JOINTS
from hund_backend.descent.hands.arm import MAX_TWIST, Wrist, followed_twist, move_wrist
from hund_backend.descent.hands.collisions import freed_fingers
from hund_backend.descent.hands.fusion import FusionConfig, _wrist_offset, add_hands
from hund_backend.descent.hands.hund import TERMS, HandHund, HandHundConfig
from hund_backend.descent.hands.inputs import HandInputs
from hund_backend.descent.hands.polish import HandPolishConfig, polished
from hund_backend.descent.hands.track import HandConfig, HandTrack, relaxed_fingers, track_hands
from hund_backend.descent.reduced_body import ReducedBody
from hund_backend.descent.result import DescentResult
from hund_backend.descent.state import State
from hund_backend.perception.hands.evidence import HandEvidence
from hund_backend.prior.coordinates import swing_and_twist
from hund_backend.prior.hand_anatomy import HandAnatomy
from hund_backend.prior.hand_collisions import HandCollisions
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow
from hund_backend.training.hands.metrics import pa_mpjpe_mm, rotation_angle_deg

FPS = 30.0
SMALL = HandHundConfig(stages=2, hidden=32, context=16, memory=24)
FINGERS = [joint - 1 for joint in LEFT_HAND_JOINTS]


@pytest.fixture(scope="module")
def model():
    return HandModel.load()


@pytest.fixture(scope="module")
def anatomy(model):
    return HandAnatomy(model.rest)


@pytest.fixture(scope="module")
def prior():
    return PoseFlow.load(HAND_WEIGHTS_FILE)


@pytest.fixture(scope="module")
def body():
    return BodyModel.load("keypoints")


@pytest.fixture(scope="module")
def hund(model, prior):
    """An untrained network whose stages take steps."""
    torch.manual_seed(0)
    hund = HandHund(SMALL, model, prior)
    torch.nn.init.normal_(hund.stage.output[-1].weight, std=0.05)
    return hund.eval().requires_grad_(False)


def poses_of(prior, count, seed=0):
    """Rotations of the left finger joints."""
    return prior.sample(count, torch.Generator().manual_seed(seed), 0.7)[:, FINGERS]


def posed_hands(hund, prior, count, seed=0):
    """Random left hands half a metre before the camera, and their points at rest."""
    generator = torch.Generator().manual_seed(seed)
    rest = hund.decoder.model.rest_points(torch.randn(count, 16, generator=generator))
    wrist = rotvec_to_matrix(1.2 * torch.randn(count, 1, 3, generator=generator))
    rotations = torch.cat((wrist, poses_of(prior, count, seed)), dim=1)
    place = torch.tensor([0.02, 0.05, 0.6]) + 0.03 * torch.randn(count, 3, generator=generator)
    return hund.decoder.pose(rotations, place, rest), rest


def exact_inputs(posed, rest, width=0.6, confidence=1.0):
    count = len(rest)
    rays = posed.points[..., :2] / posed.points[..., 2:] / width
    return HandInputs.from_points(
        rays,
        torch.full((count, 21), confidence),
        posed.points,
        torch.full((count,), width),
        torch.eye(3).expand(count, 3, 3),
        rest,
        torch.zeros(count, dtype=torch.bool),
    )


# --- Model and anatomy ---------------------------------------------------------------------------


def test_hand_equals_the_body_model_on_either_side(model, prior):
    """Joints are those of the posed body; a right hand is a left one in a mirror."""
    body = BodyModel.load("full")
    fingers, betas = poses_of(prior, 3), torch.randn(3, 16, generator=torch.Generator())
    pose = torch.eye(3).repeat(3, 62, 1, 1)
    pose[:, FINGERS] = fingers
    pose[:, [MIRROR[joint] - 1 for joint in LEFT_HAND_JOINTS]] = mirrored_rotations(fingers)
    posed = body(pose, betas)
    wrist = torch.eye(3).expand(3, 1, 3, 3)
    points = model.joints(torch.cat((wrist, fingers), dim=1), model.rest_joints(betas))
    rows = [row for row in range(21) if row not in TIP_POINTS]
    for side, sign in (("L", 1.0), ("R", -1.0)):
        joints = [JOINT_INDEX[POINT_NAMES[row][:-1] + side] for row in rows]
        relative = posed.joints[:, joints] - posed.joints[:, joints[:1]]
        mirrored = relative * torch.tensor([sign, 1.0, 1.0])
        torch.testing.assert_close(points[:, rows], mirrored, atol=1e-5, rtol=0)


def test_landmarks_move_with_their_bones(model, prior):
    """Landmarks keep their distance from their joints, and those of the palm from each other."""
    fingers = poses_of(prior, 4)
    turn = rotvec_to_matrix(torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(0)))
    rotations = torch.cat((turn, fingers), dim=1)
    rest = model.rest_points(torch.zeros(16))
    points = model(rotations, rest)
    apart = (points - model.joints(rotations, model.rest)).norm(dim=-1)
    torch.testing.assert_close(apart, model.offsets.norm(dim=-1).expand(4, -1))
    palm = list(PALM_POINTS)
    torch.testing.assert_close(
        torch.cdist(points[:, palm], points[:, palm])[0],
        torch.cdist(rest[palm], rest[palm]),
        atol=1e-5,
        rtol=0,
    )
    assert apart.max() < 0.03  # metres: they belong to their joints


def test_tips_lie_inside_the_ends_of_the_fingers(model, prior):
    """A tip is nearer to the skin's end than to the last joint, and moves with it."""
    body = BodyModel.load("full")
    pose = torch.eye(3).repeat(2, 62, 1, 1)
    pose[:, FINGERS] = poses_of(prior, 2)
    posed = body(pose, torch.zeros(2, 16))
    rotations = torch.cat((torch.eye(3).expand(2, 1, 3, 3), pose[:, FINGERS]), dim=1)
    rest = model.rest_joints(torch.zeros(2, 16))
    points = model.joints(rotations, rest) + posed.joints[:, [WRIST]]
    for row in TIP_POINTS:
        gap = (posed.vertices - points[:, row, None]).norm(dim=-1).amin(-1)
        assert gap.max() < 0.012  # metres: half a finger's width
        assert bone_lengths(points)[:, row - 1].min() > 0.014


def test_betas_change_the_bones_of_the_hand(model):
    big = torch.zeros(16)
    big[0] = 2.0
    assert (bone_lengths(model.rest_points(big)) != bone_lengths(model.rest)).all()


def test_angles_of_anatomy_round_trip(anatomy):
    angles = torch.rand(50, 15, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    torch.testing.assert_close(
        anatomy.angles(anatomy.rotations(angles)), angles, atol=1e-4, rtol=0
    )


def test_hinges_bend_one_way_only(anatomy):
    """A middle joint bent by 60° is within its range, by −60° it is not; so are all of a fist."""
    row = HAND_JOINT_NAMES.index("Middle02L")
    angles = torch.zeros(2, 15, 3)
    angles[0, row, 0], angles[1, row, 0] = np.radians(60), -np.radians(60)
    angles[0, row + 1, 0] = np.radians(40)
    forwards, backwards = anatomy.excess(anatomy.rotations(angles)).abs().amax(-1).rad2deg()
    assert forwards < 1
    assert backwards > 30


def test_last_joint_follows_the_middle_one(anatomy):
    """Fingers that bend the last joint alone, or the middle one alone, are not hands."""
    row = HAND_JOINT_NAMES.index("Index02L")
    angles = torch.zeros(2, 15, 3)
    angles[0, row, 0] = angles[1, row + 1, 0] = np.radians(80)
    assert (anatomy.excess(anatomy.rotations(angles))[:, -4].abs().rad2deg() > 10).all()


def test_relaxed_hand_is_bent_and_within_its_ranges(anatomy, model):
    relaxed = anatomy.relaxed()
    assert anatomy.excess(relaxed).abs().max() < 1e-4
    flexion = anatomy.angles(relaxed)[:, 0].rad2deg()
    assert (flexion[:12] > 8).all()
    straight = torch.eye(3).repeat(16, 1, 1)
    bent = torch.cat((straight[:1], relaxed))
    rest = model.rest
    reach = (model.joints(bent, rest) - model.joints(straight, rest)).norm(dim=-1)[
        list(TIP_POINTS)
    ]
    assert (reach[1:] > 0.03).all()  # metres that the tips of fingers have moved


# --- Descent -------------------------------------------------------------------------------------


def test_state_vector_round_trip(hund, prior):
    posed, rest = posed_hands(hund, prior, 5)
    inputs = exact_inputs(posed, rest)
    again = hund.decoder(hund.decoder.state_vector(posed, inputs, prior), inputs)
    torch.testing.assert_close(again.points, posed.points, atol=2e-4, rtol=0)


def test_losses_vanish_at_the_truth(hund, prior):
    posed, rest = posed_hands(hund, prior, 5)
    inputs = exact_inputs(posed, rest)
    vector = hund.decoder.state_vector(posed, inputs, prior)
    losses = hund.evaluate(vector.flat(), inputs).losses
    terms = dict(zip(TERMS, losses.terms.T, strict=True))
    # Landmarks are scaled by the sum of their bones, which poses change by a little.
    assert terms["keypoints"].max() < 0.02 and terms["landmarks"].max() < 0.08
    moved = vector._replace(position=vector.position + 0.05)
    assert hund.evaluate(moved.flat(), inputs).losses.terms[:, 0].min() > 1


def test_loss_gradient_equals_finite_differences(hund, prior):
    posed, rest = posed_hands(hund, prior, 2)
    inputs = exact_inputs(posed, rest, confidence=0.8)
    double = copy.deepcopy(hund).double()
    values = {f.name: getattr(inputs, f.name) for f in dataclasses.fields(inputs)}
    values = {n: v.double() if v.is_floating_point() else v for n, v in values.items()}
    inputs = HandInputs(**values)
    generator = torch.Generator().manual_seed(0)
    flat = double.first_guess + 0.2 * torch.randn(2, len(double.first_guess), generator=generator)
    direction = torch.randn(flat.shape, generator=generator, dtype=torch.float64)

    def loss(states):
        return double.evaluate(states, inputs).losses.total.sum()

    flat = flat.double().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(flat), [flat])
    step = 1e-6
    difference = (loss(flat + step * direction) - loss(flat - step * direction)) / (2 * step)
    expected = float((gradient * direction).sum())
    assert float(difference.detach()) == pytest.approx(expected, rel=1e-4)


def test_first_guess_turns_with_the_landmarks(hund, prior):
    """A hand that is turned with its evidence descends to the same hand, turned."""
    posed, rest = posed_hands(hund, prior, 4)
    roll = rotvec_to_matrix(torch.tensor([0.0, 0.0, 0.5]))
    turned = posed._replace(points=posed.points @ roll.T)
    before, after = (exact_inputs(each, rest) for each in (posed, turned))
    torch.testing.assert_close(after.palm_rotation, roll @ before.palm_rotation, atol=1e-4, rtol=0)


# --- Collisions -----------------------------------------------------------------------------------


def test_open_and_relaxed_hands_do_not_go_into_themselves(model, anatomy):
    collisions, rest = HandCollisions(model), model.rest_points(torch.zeros(2, 16))
    fingers = torch.stack((torch.eye(3).expand(15, 3, 3), anatomy.relaxed()))
    rotations = torch.cat((torch.eye(3).expand(2, 1, 3, 3), fingers), dim=1)
    assert collisions(rotations, rest).max() == 0


@pytest.mark.parametrize("finger", range(4))
def test_a_finger_that_is_bent_through_the_palm_is_deep_in_it(model, anatomy, finger):
    """Fingers that bend ever farther reach the palm's surface, then go into it ever deeper."""
    angles = torch.zeros(40, 15, 3)
    share = torch.linspace(0, 1, 40)[:, None]
    angles[:, 3 * finger : 3 * finger + 3, 0] = share * torch.tensor([95.0, 120.0, 80.0]).deg2rad()
    wrist = torch.eye(3).expand(40, 1, 3, 3)
    rotations = torch.cat((wrist, anatomy.rotations(angles)), dim=1)
    depths = HandCollisions(model)(rotations, model.rest_points(torch.zeros(40, 16))).amax(1)
    assert depths[0] == 0 and depths[-1] > 0.003  # metres
    touching = (depths > 0).nonzero()[0, 0]
    assert (depths[touching:].diff()[:4] > 0).all()


def test_collisions_do_not_depend_on_where_the_hand_is(hund, prior):
    (rotations, _, _), rest = posed_hands(hund, prior, 12)
    collisions = hund.collisions(rotations, rest)
    turn = rotvec_to_matrix(torch.tensor([0.4, -1.1, 0.7]))
    turned = torch.cat((turn @ rotations[:, :1], rotations[:, 1:]), dim=1)
    torch.testing.assert_close(hund.collisions(turned, rest), collisions, atol=1e-6, rtol=0)
    assert (collisions > 0).any()


def test_polish_leads_fingers_out_of_each_other(hund, prior):
    """Hands whose points say that fingers are in each other end beside what the points say."""
    posed, rest = posed_hands(hund, prior, 60, seed=3)
    deep = (hund.collisions(posed.rotations, rest).amax(1) > 0.004).nonzero()[:, 0]
    assert len(deep) > 3
    posed, rest = type(posed)(*(values[deep] for values in posed)), rest[deep]
    inputs = exact_inputs(posed, rest)
    flat = hund.decoder.state_vector(posed, inputs, prior).flat()
    alone, depth = torch.arange(len(deep)), {}
    for weight in (0.0, HandPolishConfig().collisions):
        config = HandPolishConfig(collisions=weight)
        states = polished(hund, flat, inputs, 2 * alone, alone, FPS, config)
        found = hund.evaluate(states, inputs).posed
        depth[weight] = hund.collisions(found.rotations, rest).amax(1).mean()
        assert pa_mpjpe_mm(found, posed).mean() < 6
    free, held = depth.values()
    assert held < 0.5 * free


def test_freed_fingers_are_out_of_each_other_and_others_stay(hund, prior):
    fingers, rest = poses_of(prior, 80, seed=5), hund.decoder.model.rest_points(torch.zeros(16))

    def depths(fingers):
        wrist = torch.eye(3).expand(len(fingers), 1, 3, 3)
        rotations = torch.cat((wrist, fingers), dim=1)
        return hund.collisions(rotations, rest.expand(len(fingers), -1, -1)).amax(1)

    before = depths(fingers)
    freed = freed_fingers(hund, fingers, rest)
    after, deep = depths(freed), before > 0.003
    assert deep.sum() > 5
    assert torch.equal(freed[before == 0], fingers[before == 0])
    assert (after[deep] < 0.003).float().mean() > 0.8 and (after <= before + 1e-3).all()
    # A few degrees lead out, and twice the depth does not need a jump.
    assert rotation_angle_deg(freed, fingers)[deep].mean() < 12
    torch.testing.assert_close(freed @ freed.mT, torch.eye(3).expand_as(freed), atol=1e-5, rtol=0)


def test_polish_lowers_the_losses_and_the_accelerations(hund, prior):
    frames = 12
    posed, rest = posed_hands(hund, prior, 1)
    repeated = type(posed)(*(values.expand(frames, *values.shape[1:]) for values in posed))
    inputs = exact_inputs(repeated, rest.expand(frames, -1, -1))
    noise = torch.randn(frames, 21, 2, generator=torch.Generator().manual_seed(0))
    inputs = dataclasses.replace(inputs, keypoints=inputs.keypoints + 0.01 * noise)
    flat = hund(inputs)[-1].vector.flat()
    numbers, tracks = torch.arange(frames), torch.zeros(frames, dtype=torch.int64)
    config = HandPolishConfig(steps=60)
    after = polished(hund, flat, inputs, numbers, tracks, FPS, config)
    losses = [hund.evaluate(each, inputs).losses.total.mean() for each in (flat, after)]
    assert losses[1] < 0.7 * losses[0]

    def jitter(states):
        points = hund.evaluate(states, inputs).posed.points
        return (points - points[:, :1]).diff(2, dim=0).norm(dim=-1).mean()

    loose = dataclasses.replace(config, weight=0.0)
    alone = polished(hund, flat, inputs, numbers, tracks, FPS, loose)
    assert jitter(after) < 0.5 * jitter(alone)


# --- Fusion --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(body, model, prior):
    """A person who walks with known fingers, with the evidence of both hands."""
    return make_scene(body, model, prior)


def make_scene(body, model, prior, frames=24):
    reduced_body = ReducedBody.from_body(body)
    variables = walk(reduced_body, PoseFlow.load().double(), frames)
    evidence = evidence_of(reduced_body, variables)
    pose = reduced_body.full_pose(variables).float()
    left, right = poses_of(prior, 2, seed=3)
    pose[:, FINGERS] = left
    pose[:, [joint - 1 for joint in RIGHT_HAND_JOINTS]] = mirrored_rotations(right)
    betas = variables.betas.float().expand(frames, -1)
    truth = State(
        pose=pose,
        betas=betas,
        global_orient=variables.rotations[:, 0].float(),
        root_translation=variables.translation.float(),
    )
    posed = truth.posed(body)
    sides = []
    for side, sign in (("L", 1.0), ("R", -1.0)):
        wrist = JOINT_INDEX[f"Hand{side}"]
        fingers = [joint - 1 for joint in (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS)[side == "R"]]
        local, orient = pose[:, fingers], posed.orientations[:, wrist]
        flip = torch.tensor([sign, 1.0, 1.0])
        if side == "R":
            local = mirrored_rotations(local)
        identity = torch.eye(3).expand(frames, 1, 3, 3)
        hand = model(torch.cat((identity, local), dim=1), model.rest_points(betas)) * flip
        sides.append(hand @ orient.mT + posed.joints[:, [wrist]])
    points = torch.stack(sides, dim=1)
    pixels = project(points.flatten(0, 1), torch.tensor(CAMERA).float()).unflatten(0, (frames, 2))
    middle = (pixels.amax(2) + pixels.amin(2)) / 2
    extent = (pixels.amax(2) - pixels.amin(2)).amax(-1)
    crops = torch.cat((middle, 2 * extent[..., None], torch.zeros(frames, 2, 1)), dim=-1)
    confidence = torch.full((frames, 2, 21, 1), 0.9)
    hands = HandEvidence(
        observed=np.ones((frames, 2), bool),
        keypoints=torch.cat((pixels, confidence), dim=-1).numpy(),
        world_landmarks=(points - points.mean(2, keepdim=True)).numpy(),
        crops=crops.numpy(),
    )
    evidence = dataclasses.replace(evidence, hands=hands)
    plain = truth.pose.clone()
    for joints in (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS):
        plain[:, [joint - 1 for joint in joints]] = torch.eye(3)
    result = DescentResult(
        state=dataclasses.replace(truth, pose=plain),
        stages=State(**{n: v[:, None].repeat_interleave(3, 1) for n, v in vars(truth).items()}),
        stage_losses=torch.zeros(frames, 3, 1),
        terms=("keypoints",),
        joint_confidence=torch.full((frames, 63), 0.5),
        converged=True,
    )
    return evidence, result, truth


def hidden(evidence, frames, side=0):
    """Evidence with a hand unseen in some frames."""
    observed = evidence.hands.observed.copy()
    observed[frames, side] = False
    keypoints = evidence.hands.keypoints.copy()
    keypoints[frames, side, :, 2] = 0
    hands = dataclasses.replace(evidence.hands, observed=observed, keypoints=keypoints)
    return dataclasses.replace(evidence, hands=hands)


def test_fingers_are_found_on_both_sides(scene, hund, body):
    """Exact evidence leads near the true hands, with an untrained network, by the polish alone."""
    evidence, result, truth = scene
    # At four metres an untrained network cannot tell distances.
    config = FusionConfig(body_distance_noise=0.0)
    fused = add_hands(evidence, result, FPS, body, hund, config)
    for joints in (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS):
        fingers = [joint - 1 for joint in joints]
        error = rotation_angle_deg(fused.state.pose[:, fingers], truth.pose[:, fingers])
        straight = rotation_angle_deg(result.state.pose[:, fingers], truth.pose[:, fingers])
        assert error.mean() < 0.6 * straight.mean()
    joints, true = fused.state.posed(body).joints, truth.posed(body).joints
    # The wrist is where the hand's middle is seen, as an untrained network turns the hand.
    assert (joints - true)[:, WRIST].norm(dim=-1).max() < 0.035  # metres
    assert fused.joint_confidence[:, list(LEFT_HAND_JOINTS)].min() == pytest.approx(0.9, abs=1e-3)


def test_far_hands_take_less_of_their_distance_from_their_size(scene):
    """Of hands that look ten per cent too far away, near wrists move most of the way, far ones not.

    The error by size grows with the distance; that of the body does not.
    """
    evidence, _, _ = scene
    frames, shares, moves = len(evidence.frames), [], []
    for distance in (0.5, 1.5, 4.0, 10.0, 30.0):
        wrists = np.tile([0.1, 0.2, distance], (frames, 1))
        track = HandTrack(
            seen=torch.ones(frames, 2, dtype=torch.bool),
            confidence=torch.ones(frames, 2),
            wrists=torch.eye(3).expand(frames, 2, 3, 3),
            places=torch.from_numpy(1.1 * wrists).float()[:, None].expand(-1, 2, -1),
            middles=torch.zeros(frames, 2, 3),
            fingers=torch.eye(3).expand(frames, 2, 15, 3, 3),
            stage_fingers=torch.eye(3).expand(frames, 2, 1, 15, 3, 3),
            rest_points=torch.zeros(21, 3),
        )
        offset = _wrist_offset(
            evidence,
            torch.from_numpy(wrists),
            track,
            torch.ones(frames).double(),
            0,
            FPS,
            FusionConfig(max_farther=10.0),
        )
        moves.append(float(offset[:, 2].mean()))
        shares.append(moves[-1] / (0.1 * distance))
    assert all(far < near for near, far in itertools.pairwise(shares))
    assert shares[0] > 0.5
    assert shares[-1] < 0.1
    assert max(moves) < FusionConfig().body_distance_noise


def test_mirrored_evidence_gives_the_mirrored_hand(scene, hund):
    """What the left hand shows in a mirror, the right hand does."""
    evidence, result, _ = scene
    betas, hands = result.state.betas[0], evidence.hands
    middle = CAMERA[0, 2]
    flip = np.array([-1.0, 1, 1])
    keypoints = hands.keypoints[:, ::-1].copy()
    keypoints[..., 0] = 2 * middle - keypoints[..., 0]
    crops = hands.crops[:, ::-1].copy()
    crops[..., 0], crops[..., 3] = 2 * middle - crops[..., 0], -crops[..., 3]
    mirrored = HandEvidence(
        observed=hands.observed[:, ::-1].copy(),
        keypoints=keypoints,
        world_landmarks=(hands.world_landmarks[:, ::-1] * flip).astype(np.float32),
        crops=crops,
    )
    # Without the polish, whose steps go by the signs of vanishing gradients.
    config = HandConfig(polish=HandPolishConfig(steps=0))
    one = track_hands(evidence, betas, FPS, hund, config)
    other = track_hands(dataclasses.replace(evidence, hands=mirrored), betas, FPS, hund, config)
    for name in ("fingers", "wrists"):
        values = getattr(one, name), getattr(other, name).flip(1)
        torch.testing.assert_close(values[0], mirrored_rotations(values[1]), atol=1e-3, rtol=0)


def test_unseen_hands_relax_and_leave_the_body_alone(scene, hund, body):
    evidence, result, _ = scene
    blind = hidden(hidden(evidence, slice(None), 0), slice(None), 1)
    fused = add_hands(blind, result, FPS, body, hund)
    for side, joints in enumerate((LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS)):
        fingers = [joint - 1 for joint in joints]
        relaxed = relaxed_fingers(hund)[side].expand(len(fused.state.pose), -1, -1, -1)
        torch.testing.assert_close(fused.state.pose[:, fingers], relaxed, atol=1e-5, rtol=0)
    others = [j for j in range(62) if j + 1 not in {*LEFT_HAND_JOINTS, *RIGHT_HAND_JOINTS}]
    torch.testing.assert_close(fused.state.pose[:, others], result.state.pose[:, others])


def test_hands_come_and_go_without_a_jump(scene, hund, body):
    """Where a hand is lost for long, no joint turns faster than the blend's time allows."""
    evidence, result, _ = scene
    fused = add_hands(hidden(evidence, slice(10, None)), result, FPS, body, hund)
    arm = [JOINT_INDEX[name] - 1 for name in ("UpperarmL", "LowerarmL", "HandL")]
    for joints in (FINGERS, arm):
        pose = fused.state.pose[:, joints]
        whole = rotation_angle_deg(pose[9], pose[-1]).max()
        steps = rotation_angle_deg(pose[1:], pose[:-1])
        own = rotation_angle_deg(result.state.pose[1:, joints], result.state.pose[:-1, joints])
        assert steps.max() < 0.45 * whole + own.max() + 4
    relaxed = relaxed_fingers(hund)[0]
    torch.testing.assert_close(fused.state.pose[-1, FINGERS], relaxed, atol=1e-4, rtol=0)


def test_short_sights_do_not_count(scene, hund):
    evidence, result, _ = scene
    flicker = hidden(evidence, np.arange(24) != 7)
    track = track_hands(flicker, result.state.betas[0], FPS, hund, HandConfig())
    assert not track.seen[:, 0].any() and track.seen[:, 1].all()


def test_twist_is_shared_and_the_hand_keeps_its_orientation():
    limits = JointLimits(torch.float64)
    joints = tuple(limits.joints.index(JOINT_INDEX[n] - 1) for n in ("LowerarmL", "HandL"))
    generator = torch.Generator().manual_seed(0)
    noise = 0.4 * torch.randn(40, 2, 3, generator=generator, dtype=torch.float64)
    bone = limits.frames[joints[1]][:, 2]
    forearm = rotvec_to_matrix(noise[:, 0])
    hand = rotvec_to_matrix(0.5 * noise[:, 1]) @ rotvec_to_matrix(0.9 * bone)
    arm = Wrist(limits, joints)
    shared, wrist = arm.rotations(forearm, arm.angles(forearm, hand))
    torch.testing.assert_close(shared @ wrist, forearm @ hand, atol=1e-6, rtol=0)
    twists = [
        swing_and_twist(r[:, None], limits.frames[joints[1]][None])[:, 0, 2]
        for r in (shared, wrist)
    ]
    torch.testing.assert_close(twists[0], twists[1], atol=1e-6, rtol=0)


def test_a_hand_that_turns_over_does_not_make_the_arm_jump():
    """Beyond the range the twist stays at its end, however the angle is counted."""
    true = torch.linspace(-0.5, 3.6, 40)
    counted = torch.remainder(true + torch.pi, 2 * torch.pi) - torch.pi
    assert counted.diff().abs().max() > 6  # the other way round it is a full turn away
    followed = followed_twist(counted, torch.ones(40))
    torch.testing.assert_close(followed, true, atol=1e-5, rtol=0)
    # Frames that do not count may not lead the others astray.
    weights = torch.ones(40)
    counted[20], weights[20] = -3.0, 0.0
    within = followed_twist(counted, weights).clamp(-MAX_TWIST, MAX_TWIST)
    kept = torch.arange(40) != 20
    torch.testing.assert_close(within[kept], true.clamp(max=MAX_TWIST)[kept], atol=1e-5, rtol=0)


def test_wrists_do_not_break():
    """A hand that lies back on its forearm is bent no farther than wrists go."""
    limits = JointLimits(torch.float64)
    joints = tuple(limits.joints.index(JOINT_INDEX[n] - 1) for n in ("LowerarmR", "HandR"))
    axis = limits.frames[joints[1]][:, 0]
    hand = rotvec_to_matrix(np.radians(150) * axis[None])
    forearm = torch.eye(3, dtype=torch.float64)[None]
    arm = Wrist(limits, joints)
    _, wrist = arm.rotations(forearm, arm.angles(forearm, hand))
    flexion = swing_and_twist(wrist[:, None], limits.frames[joints[1]][None])[0, 0, 0]
    assert float(flexion) == pytest.approx(float(limits.upper[joints[1], 0]), abs=1e-6)


def test_arm_takes_the_wrist_along():
    generator = torch.Generator().manual_seed(0)
    upper, lower, offset = torch.randn(3, 30, 3, generator=generator, dtype=torch.float64)
    unit = torch.nn.functional.normalize
    upper, lower = 0.3 * unit(upper, dim=-1), 0.25 * unit(lower, dim=-1)
    near = (upper + lower).norm(dim=-1) < 0.45  # far from straight: there is room to move
    offset = 0.05 * unit(offset, dim=-1)
    turn, bend = move_wrist(upper, lower, offset)
    wrist = (turn @ upper[..., None] + bend @ lower[..., None])[..., 0]
    near &= (upper + lower + offset).norm(dim=-1) > 0.1
    torch.testing.assert_close(wrist[near], (upper + lower + offset)[near], atol=1e-6, rtol=0)
    nothing = move_wrist(upper, lower, torch.zeros_like(offset))
    for rotation in nothing:
        identity = torch.eye(3, dtype=torch.float64).expand(30, 3, 3)
        torch.testing.assert_close(rotation[near], identity[near], atol=1e-5, rtol=0)


# --- Shipped network -----------------------------------------------------------------------------


def test_shipped_network_descends(prior, model):
    """Each stage of the shipped network lowers the mean loss of exact hands, down to hands."""
    hund = HandHund.load(model, prior)
    posed, rest = posed_hands(hund, prior, 60, seed=5)
    inputs = exact_inputs(posed, rest)
    steps = hund(inputs)
    losses = torch.stack([step.losses.total.mean() for step in steps])
    assert losses[-1] < losses[0]
    assert pa_mpjpe_mm(steps[-1].posed, posed).mean() < 12
    distance = steps[-1].posed.translation[:, 2] / posed.translation[:, 2]
    assert (distance - 1).abs().median() < 0.08
