"""Hands: what they touch on the source, they touch on bodies of other proportions."""

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge import scene
from bl_ext.user_default.hund.bridge.retarget.apply import Options
from bl_ext.user_default.hund.hund_backend.body.skeleton import JOINT_NAMES
from mathutils.bvhtree import BVHTree
from retargeting import limb_errors, mapping
from retargeting import retarget as retarget_frames
from synthetic_people import build_reconstruction, rotvecs_to_quaternions

FRAMES, FIRST, LAST = 40, 16, 26  # the hands are in contact from FIRST to LAST
GAP = 0.01  # metres
PALM = 0.02  # metres from the middle of a palm to the skin
BUILDS = {
    "large": {0: 2.5, 1: 1.5, 2: -1.0},
    "small": {0: -2.5, 1: -1.5, 2: 1.5},
}
HANDS = Options(keep_contacts=False, keep_hands=True)
FREE = Options(keep_contacts=False)


def standing(betas=None):
    """A character of ours at rest, upright."""
    rotvecs = np.zeros((1, FRAMES, len(JOINT_NAMES), 3))
    rotvecs[0, :, 0, 0] = np.pi
    position = np.zeros((1, FRAMES, 3), np.float32)
    position[0, :, 2] = 4
    level = np.eye(4)
    level[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    shape = np.zeros((1, 16), np.float32)
    for index, value in (betas or {}).items():
        shape[0, index] = value
    reconstruction = build_reconstruction(
        frames=FRAMES,
        provenance={"source": {"name": f"{len(bpy.data.actions)}.mp4"}},  # a person of its own
        moves_face=False,
        rotations=rotvecs_to_quaternions(rotvecs).astype(np.float32),
        root_translation=position,
        betas=shape,
        expression=np.zeros((1, FRAMES, 20), np.float32),
        arkit=np.zeros((1, FRAMES, 52), np.float32),
        world_from_camera=np.tile(level, (FRAMES, 1, 1)),
    )
    (character,) = scene.write(bpy.context, reconstruction, match_scene=True).people
    return character


def retarget(source, target, preset, options):
    """Apply the motion in all frames: that of constraints, too."""
    frames = np.arange(1, FRAMES + 1, dtype=float)
    return retarget_frames(source, target, preset, options, frames=frames)


def palm(armature, side, frame, preset="HUND"):
    """The middle of a palm in the world."""
    bones = mapping(armature, preset).bones
    roles = [f"hand.{side}", *(f"{n}.1.{side}" for n in ("index", "middle", "ring", "pinky"))]
    points = rig_tables.heads(armature, [bones[role] for role in roles], frame)
    wrist, *knuckles = (points[bones[role]] for role in roles)
    return wrist + 0.7 * (np.mean(knuckles, axis=0) - wrist)


def skin(armature, frame):
    """Faces of a posed character that belong to no arm."""
    bpy.context.scene.frame_set(frame)
    (mesh,) = (child for child in armature.children if child.type == "MESH")
    names = ("Upperarm", "Lowerarm", "Hand", "Index", "Middle", "Ring", "Pinky", "Thumb", "Clav")
    arms = {group.index for group in mesh.vertex_groups if group.name.startswith(names)}
    weights = np.array(
        [sum(g.weight for g in vertex.groups if g.group in arms) for vertex in mesh.data.vertices]
    )
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    posed = evaluated.to_mesh()
    vertices = [evaluated.matrix_world @ vertex.co for vertex in posed.vertices]
    faces = [tuple(p.vertices) for p in posed.polygons if weights[list(p.vertices)].max() < 0.3]
    tree = BVHTree.FromPolygons(vertices, faces)
    evaluated.to_mesh_clear()
    return tree


def gap(armature, side, frame):
    """Distance from a palm to the skin."""
    return skin(armature, frame).find_nearest(palm(armature, side, frame).tolist())[3]


def reaching(source, wanted):
    """Let the hands of a source be at places while they are in contact; by side."""
    forearm = {side: mapping(source, "HUND").bones[f"forearm.{side}"] for side in "LR"}
    for side, place in wanted.items():
        hand = mapping(source, "HUND").bones[f"hand.{side}"]
        start = rig_tables.heads(source, [hand], 1)[hand]
        empty = bpy.data.objects.new("Reach", None)
        bpy.context.scene.collection.objects.link(empty)
        ik = source.pose.bones[forearm[side]].constraints.new("IK")
        ik.target, ik.chain_count, ik.iterations = empty, 2, 500
        target = np.array(place, float)
        for _ in range(12):
            for frame, point in (
                (1, start),
                (FIRST - 6, start),
                (FIRST, target),
                (LAST, target),
                (LAST + 6, start),
            ):
                empty.location = point
                empty.keyframe_insert("location", frame=frame)
            target = target + place - palm(source, side, FIRST + 3)
        assert np.linalg.norm(place - palm(source, side, FIRST + 3)) < 5e-3
    return source


def poses(source):
    """Places of the palms by gesture and side, on the skin of a standing source."""
    bones = mapping(source, "HUND").bones
    at = rig_tables.heads(source, [bones[r] for r in ("hips", "head", "upper_arm.L")], 1)
    hips, head, shoulder = (at[bones[r]] for r in ("hips", "head", "upper_arm.L"))
    tree = skin(source, 1)
    left = np.array([1.0, 0, 0]) * np.sign(shoulder[0] - hips[0])
    front = np.array([0, -1.0, 0])

    def on_skin(start, direction):
        point, *_ = tree.ray_cast((start + 0.5 * direction).tolist(), (-direction).tolist())
        return np.array(point) + PALM * direction

    chest = (hips + head) / 2 + 0.35 * front
    return {
        "clap": {"L": chest + 0.017 * left, "R": chest - 0.017 * left},
        "hip": {"L": on_skin(hips + np.array([0, 0, 0.06]), left)},
        "belly": {"R": on_skin(hips + np.array([0, 0, 0.15]), front)},
        "head": {
            "R": on_skin(head + np.array([0, 0, 0.1]), 0.6 * np.array([0, 0, 1]) - 0.8 * left)
        },
    }


@pytest.fixture
def source():
    return standing()


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("gesture", ["hip", "belly", "head"])
def test_a_hand_on_the_body_stays_there(source, gesture, build):
    places = poses(source)[gesture]
    reaching(source, places)
    (side,) = places
    target = standing(BUILDS[build])
    target.animation_data_clear()
    retarget(source, target, "HUND", FREE)
    free = max(abs(gap(target, side, f) - gap(source, side, f)) for f in (FIRST + 2, LAST - 2))
    retarget(source, target, "HUND", HANDS)
    kept = max(abs(gap(target, side, f) - gap(source, side, f)) for f in (FIRST + 2, LAST - 2))
    assert kept < GAP, (kept, free)
    other = "R" if side == "L" else "L"
    limbs = ((f"upper_arm.{other}", f"forearm.{other}"), ("thigh.L", "shin.L"))
    assert max(limb_errors(source, target, "HUND", FIRST + 2, limbs).values()) < 1


def broad(width, shoulder=0.15):
    """A function that makes a rig's trunk broader or narrower, with the arms it has."""

    def place(point):
        inner = np.clip(point[0], -shoulder, shoulder)
        return point + np.array([(width - 1) * inner, 0, 0])

    return place


@pytest.mark.parametrize("width", [0.6, 1.5])
def test_hands_that_clap_meet(source, width):
    reaching(source, poses(source)["clap"])
    target = rig_tables.build("mixamo", place=broad(width))
    distances = {}
    for options in (FREE, HANDS):
        retarget(source, target, "Mixamo", options)
        distances[options.keep_hands] = [
            np.linalg.norm(palm(target, "L", f, "Mixamo") - palm(target, "R", f, "Mixamo"))
            for f in (FIRST + 2, LAST - 2)
        ]
    theirs = np.linalg.norm(palm(source, "L", FIRST + 2) - palm(source, "R", FIRST + 2))
    assert max(distances[True]) < theirs + GAP
    assert min(distances[False]) > max(distances[True]) + GAP


def test_arms_move_smoothly_to_contacts(source):
    reaching(source, poses(source)["clap"])
    target = rig_tables.build("mixamo", place=broad(1.5))
    steps = {}
    for options in (FREE, HANDS):
        retarget(source, target, "Mixamo", options)
        points = np.array([palm(target, "L", f, "Mixamo") for f in range(1, FRAMES + 1)])
        steps[options.keep_hands] = np.linalg.norm(np.diff(points, axis=0), axis=-1).max()
    assert steps[True] < steps[False] + 0.05


def test_without_contacts_nothing_changes():
    source, target = standing(), rig_tables.build("mixamo")
    points = []
    for options in (FREE, HANDS):
        retarget(source, target, "Mixamo", options)
        points.append([palm(target, side, 9, "Mixamo") for side in "LR"])
    assert np.abs(np.subtract(*points)).max() < 1e-6
