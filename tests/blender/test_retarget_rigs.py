"""Twelve rigs of other families, sizes and rest poses, and what must hold on each of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge.retarget import (
    contacts,
    detection,
    feet,
    presets,
    source_motion,
)
from bl_ext.user_default.hund.bridge.retarget.apply import Options, apply_motion
from bl_ext.user_default.hund.bridge.retarget.rotations import rotated
from retargeting import FK, LIMBS, PRESETS, mapping, source_character
from test_retarget_feet import FPS, FRAMES, walking_character
from test_retarget_mapping import hide_names, right_share

Y, Z = (0, 1, 0), (0, 0, 1)
LEGS = (0.65, 1.0, 1.3)
DRIFT, DEPTH = 5e-3, 5e-3  # metres a second, metres
LEAST_RIGHT = 0.95
LINES = (("thigh.L", "thigh.R"), ("upper_arm.L", "upper_arm.R"))
HANDS = tuple((f"hand.{side}", f"middle.1.{side}") for side in "LR")


@dataclass(frozen=True)
class Rig:
    """A rig that is made from a table."""

    table: str
    preset: str  # whose names it has
    missing: tuple[str, ...] = ()  # roles without a bone
    rolls: int | None = None  # seed of random rolls
    units: float = 1.0  # metres in a unit of the armature; the object makes up for it
    rest: dict[str, tuple] = field(default_factory=dict)  # turns of bones at rest, by role
    change: Callable[[bpy.types.Object, dict], None] = lambda armature, bones: None
    shoulders: float = 2.0  # degrees: shoulder blades of other shapes


def _split(*roles):
    def change(armature, bones):
        for role in roles:
            rig_tables.split(armature, bones[role], f"{bones[role]} outer")

    return change


def _twists(armature, bones):
    names = ("upper_arm", "forearm", "thigh", "shin")
    rig_tables.add_twists(armature, [bones[f"{n}.{side}"] for n in names for side in "LR"])


LIMB_BONES = tuple(f"{n}.{s}" for n in ("upper_arm", "forearm", "thigh") for s in "LR")
A_POSE = {"upper_arm.L": (Y, 0.7), "upper_arm.R": (Y, -0.7)}
BENT = {
    "upper_arm.L": (Y, 0.4),
    "forearm.L": (Z, 0.6),
    "forearm.R": (Z, -0.6),
    "shin.L": ((1, 0, 0), 0.3),
}
TOES = tuple(f"{name}.{side}" for name in ("toe", "toe_end") for side in "LR")
RIGS = {
    "Mixamo, in centimetres": Rig("mixamo", "Mixamo", units=0.01),
    "Mixamo, A-pose, rolled": Rig("mixamo", "Mixamo", rolls=1, rest=A_POSE),
    "Unreal, twist bones": Rig("game_engine", "Unreal", change=_twists),
    "MakeHuman": Rig("makehuman", "MPFB Default"),
    "MakeHuman, no toes": Rig("makehuman_no_toes", "MPFB Default", rolls=2),
    "CMU": Rig("cmu", "CMU BVH"),
    "VRM, large units": Rig("mixamo", "VRM 1", units=100.0, rolls=3),
    "Biped, no toes": Rig("game_engine", "3ds Max Biped", missing=TOES),
    "Daz, bend and twist bones": Rig("mixamo", "Daz Genesis 3, 8", change=_split(*LIMB_BONES)),
    "Auto-Rig Pro, bent": Rig("mixamo", "Auto-Rig Pro", rest=BENT),
    "Character Creator, extra spine": Rig(
        "game_engine", "Character Creator", change=_split("spine.1", "spine.2")
    ),
    "no shoulder blades or neck": Rig(
        "mixamo", "Mixamo", missing=("clavicle.L", "clavicle.R", "neck.1"), shoulders=4.0
    ),
}
TABLES = {
    "mixamo": "Mixamo",
    "game_engine": "Unreal",
    "makehuman": "MPFB Default",
    "makehuman_no_toes": "MPFB Default",
    "cmu": "CMU BVH",
}


def build(rig, legs=1.0):
    """An armature of a rig and its bones by role."""
    rows = {row[0]: row for row in rig_tables.read_table(rig.table)}
    template = rig_tables.build(rig.table)
    roles = {bone: role for role, bone in mapping(template, TABLES[rig.table]).bones.items()}
    bpy.data.objects.remove(template)
    bpy.context.view_layer.update()
    names = dict(presets._named(PRESETS[rig.preset].content, PRESETS[rig.preset].content["sides"]))
    thigh = next(bone for bone, role in roles.items() if role == "thigh.L")
    hips = rows[thigh][2][2]

    def place(point):
        height = hips + (point[2] - hips) * (legs if point[2] < hips + 0.05 else 1.0)
        return np.array([*point[:2], height]) / rig.units

    def rename(bone):
        if TABLES[rig.table] == rig.preset:
            return bone
        role = roles.get(bone, bone)
        return names.get(role, f"extra {role}")

    armature = rig_tables.build(
        rig.table,
        place=place,
        rename=rename,
        rolls=None if rig.rolls is None else np.random.default_rng(rig.rolls),
        keep=lambda bone: roles.get(bone) not in rig.missing,
    )
    armature.scale = (rig.units,) * 3
    bones = {role: rename(bone) for bone, role in roles.items() if role not in rig.missing}
    for role, turn in rig.rest.items():
        rig_tables.set_rest(armature, {bones[role]: turn})
    rig.change(armature, bones)
    bpy.context.view_layer.update()
    return armature, bones


def detected(armature):
    """The mapping that is found for an armature."""
    return detection.detect(armature, PRESETS).mapping


def retarget(source, target, options=FK):
    """Apply the motion by the mapping that is found; returns this."""
    found = detected(target)
    apply_motion(source, mapping(source, "HUND"), target, found, options)
    return found


def errors(source, target, bones, frame, pairs):
    """Angles between the directions of pairs of joints, degrees, by pair."""
    own = mapping(source, "HUND").bones
    pairs = [pair for pair in pairs if all(role in bones for role in pair)]
    found = []
    for armature, names in ((source, own), (target, bones)):
        points = rig_tables.heads(armature, {names[r] for pair in pairs for r in pair}, frame)
        at = {role: points[names[role]] for pair in pairs for role in pair}
        found.append(rig_tables.directions(at, pairs))
    return {pair: rig_tables.angle_deg(found[0][pair], found[1][pair]) for pair in pairs}


@pytest.mark.parametrize("name", RIGS)
def test_limbs_and_hands_point_where_the_source_s_do(name):
    source = source_character()
    target, bones = build(RIGS[name])
    found = retarget(source, target)
    assert found.preset == RIGS[name].preset and found.body_coverage > 0.75
    for frame in (1, 4, 8):
        limbs = errors(source, target, bones, frame, LIMBS)
        assert len(limbs) == len(LIMBS) and max(limbs.values()) < 1, limbs
        hands = errors(source, target, bones, frame, HANDS)
        assert max(hands.values(), default=0) < 2.5, hands


@pytest.mark.parametrize("name", RIGS)
def test_stance_feet_neither_slide_nor_sink_and_the_trunk_follows(name):
    source = walking_character()
    for legs in LEGS:
        target, bones = build(RIGS[name], legs)
        retarget(source, target, Options())
        hips, shoulders = errors(source, target, bones, 20, LINES).values()
        assert hips < 1 and shoulders < RIGS[name].shoulders, (legs, hips, shoulders)
        check_stance(source, target)


def check_stance(source, target):
    """Check that feet in contact neither slide nor hover, and that no sole sinks."""
    frames = np.arange(1, FRAMES + 1, dtype=float)
    theirs, own = (
        source_motion.read(armature, names, frames, lambda share: None).motion
        for armature, names in ((source, mapping(source, "HUND")), (target, detected(target)))
    )
    for side in "LR":
        points = feet.sole_points(theirs, side)[:, [0, 2]]
        confidence = contacts.from_motion(points, 0.0, theirs.rest.leg_length(), FPS)
        joint = feet.sole(own.rest, own.ground, side).ball_joint
        foot = f"foot.{side}"
        balls = own.positions[foot] + rotated(own.rotations[foot], joint)
        heights = feet.sole_points(own, side)[..., 2].min(1)
        assert heights.min() > -DEPTH
        runs = contacts.runs(confidence.max(-1), FPS)
        assert runs
        for first, last in runs:
            steps = np.diff(balls[first : last + 1, :2], axis=0)
            assert np.linalg.norm(steps, axis=-1).max() * FPS < DRIFT
            assert heights[first : last + 1].max() < DEPTH


@pytest.mark.parametrize("name", RIGS)
def test_geometry_finds_the_roles_with_names_hidden(name):
    target, bones = build(RIGS[name])
    target.rotation_euler = (0, 0, 2.0)
    bpy.context.view_layer.update()
    old = hide_names(target, np.random.default_rng(7))
    found = {role: old[bone] for role, bone in detection.by_geometry(target).items()}
    assert right_share(target, bones, found) >= LEAST_RIGHT, {
        role: (bone, found.get(role)) for role, bone in bones.items() if found.get(role) != bone
    }


@pytest.mark.parametrize("name", RIGS)
def test_a_turned_scaled_object_gives_the_same_pose(name):
    source = source_character(frames=4)
    rig = RIGS[name]
    (plain, bones), (turned, _) = build(rig), build(rig)
    turned.rotation_euler, turned.location = (1.2, 0.3, 2.0), (3, -2, 0.7)
    turned.scale = (0.4 * rig.units,) * 3
    bpy.context.view_layer.update()
    for target in (plain, turned):
        retarget(source, target)
    first, second = (rig_tables.heads(t, list(bones.values()), 3) for t in (plain, turned))
    hips = bones["hips"]
    for bone in set(bones.values()) - {bones.get("root")}:
        expected = 0.4 * (first[bone] - first[hips])
        assert np.abs(second[bone] - second[hips] - expected).max() < 5e-4, bone
