"""Feet: they stay where they touch the floor, on legs of any length."""

import bpy
import numpy as np
import rig_tables
from bl_ext.user_default.hund.bridge.retarget import contacts, feet, source_motion, two_bone_ik
from bl_ext.user_default.hund.bridge.retarget.apply import Options
from bl_ext.user_default.hund.hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES
from retargeting import mapping, retarget, source_character
from synthetic_people import build_reconstruction, rotvecs_to_quaternions
from test_retarget_mapping import short_legs

FPS, FRAMES = 30, 60
DRIFT, PENETRATION = 5e-3, 5e-3  # metres a second, metres


def walking_character():
    """A character that walks towards the camera, with feet that slide a little while they stand."""
    from bl_ext.user_default.hund.bridge import scene

    half, step, leg = 15, 0.35, 0.83  # frames and metres
    rotvecs = np.zeros((1, FRAMES, len(JOINT_NAMES), 3))
    rotvecs[0, :, 0, 0] = np.pi
    height = np.zeros(FRAMES)
    for side, start in (("L", 0), ("R", half)):
        phase = (np.arange(FRAMES) + start) % (2 * half) / half  # 0…1 stance, 1…2 swing
        is_stance = phase < 1
        place = np.where(is_stance, 1 - 2 * phase, -np.cos(np.pi * (phase - 1))) * step / 2
        forward = np.arcsin(place / leg)
        bend = np.where(is_stance, 0, 0.6 * np.sin(np.pi * (phase - 1)) ** 2)
        rotvecs[0, :, JOINT_INDEX[f"Thigh{side}"], 0] = -forward - bend / 2
        rotvecs[0, :, JOINT_INDEX[f"Calf{side}"], 0] = bend
        rotvecs[0, :, JOINT_INDEX[f"Ankle{side}"], 0] = forward - bend / 2
        height[is_stance] = leg * (np.cos(forward[is_stance]) - 1)
    position = np.zeros((1, FRAMES, 3), np.float32)
    position[0, :, 1] = -height
    position[0, :, 2] = 4 - 0.9 * step / half * np.arange(FRAMES)  # a tenth slower than the feet
    level = np.eye(4)
    level[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    reconstruction = build_reconstruction(
        frames=FRAMES,
        moves_face=False,
        rotations=rotvecs_to_quaternions(rotvecs).astype(np.float32),
        root_translation=position,
        betas=np.zeros((1, 16), np.float32),
        world_from_camera=np.tile(level, (FRAMES, 1, 1)),
    )
    (character,) = scene.write(bpy.context, reconstruction, match_scene=True).people
    names = ("Ball.L", "Ball.R")
    lowest = min(
        point[2]
        for frame in range(1, FRAMES + 1)
        for point in rig_tables.heads(character, names, frame).values()
    )
    rest = min(character.data.bones[name].head_local.z for name in names)
    character.delta_location.z += rest - lowest
    bpy.context.view_layer.update()
    return character


def soles_and_balls(armature, preset):
    """Heights of sole points (frames, points) and places of balls (frames, 3) by side."""
    frames = np.arange(1, FRAMES + 1, dtype=float)
    names = mapping(armature, preset)
    motion = source_motion.read(armature, names, frames, lambda share: None).motion
    return {
        side: (feet.sole_points(motion, side)[..., 2], motion.positions[f"toe.{side}"])
        for side in "LR"
    }


def test_corrections_are_eased():
    source, target = walking_character(), rig_tables.build("mixamo", place=short_legs(1.3))
    retarget(source, target, "Mixamo", Options())
    for _, balls in soles_and_balls(target, "Mixamo").values():
        acceleration = np.linalg.norm(np.diff(balls, 2, axis=0), axis=-1) * FPS**2
        assert acceleration.max() < 250  # a jump of 1 cm in one frame is 270 m/s²


def test_given_contacts_are_used():
    source, target = walking_character(), rig_tables.build("mixamo")
    given = {side: np.zeros((FRAMES, 2)) for side in "LR"}
    given["L"][10:20] = 1
    retarget(source, target, "Mixamo", Options(), contacts=given)
    found = soles_and_balls(target, "Mixamo")
    speeds = {
        side: np.linalg.norm(np.diff(balls[10:20, :2], axis=0), axis=-1) * FPS
        for side, (_, balls) in found.items()
    }
    assert speeds["L"].max() < DRIFT < speeds["R"].max()


def test_hips_go_down_where_a_leg_cannot_reach():
    source, target = source_character(frames=12), rig_tables.build("mixamo")
    given = {side: np.ones((12, 2)) for side in "LR"}
    applied = retarget(source, target, "Mixamo", Options(), contacts=given)
    assert applied.lowered > 0.01


def test_runs_have_hysteresis_and_a_least_length():
    confidence = np.array([0, 0.5, 0.7, 0.5, 0.4, 0.7, 0.3, 0, 0.9, 0, 0.9, 0.9, 0.9, 0.9])
    assert contacts.runs(confidence, 30) == [(2, 5), (10, 13)]


def test_two_bone_ik_reaches_and_bends_to_the_pole():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(50, 3))
    lengths = (0.5, 0.4)
    end = start + two_bone_ik.unit(rng.normal(size=(50, 3))) * rng.uniform(0.15, 0.85, (50, 1))
    pole = rng.normal(size=(50, 3))
    middle, reached = two_bone_ik.solve(start, lengths, end, pole)
    assert np.allclose(reached, end)
    assert np.allclose(np.linalg.norm(middle - start, axis=-1), 0.5)
    assert np.allclose(np.linalg.norm(end - middle, axis=-1), 0.4)
    bend = two_bone_ik.across(middle - start, two_bone_ik.unit(end - start))
    assert ((bend * pole).sum(-1) > 0).all()
    far, reached = two_bone_ik.solve(start, lengths, start + 10 * (end - start), pole)
    assert (np.linalg.norm(reached - start, axis=-1) <= 0.9).all()
    assert np.isfinite(far).all()
