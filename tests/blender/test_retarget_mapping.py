"""Mapping: presets name known rigs' bones, geometry finds those of unknown rigs, both vote."""

import json

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge.retarget import (
    detection,
    geometry_mapping,
    presets,
    roles,
)
from bl_ext.user_default.hund.bridge.retarget.errors import RetargetError
from retargeting import PRESETS, mapping, source_character

RIGS = {
    "mixamo": "Mixamo",
    "game_engine": "Unreal",
    "makehuman": "MPFB Default",
    "makehuman_no_toes": "MPFB Default",
    "cmu": "CMU BVH",
}
UNSEEN = ("jaw", "eye", "upper_lid", "lower_lid", "midfoot", "toe_end")
LEAST_RIGHT = 0.95


def hide_names(armature, rng):
    """Rename bones at random; returns the old names by the new ones."""
    numbers = rng.permutation(len(armature.data.bones))
    old = {}
    for number, bone in zip(numbers, list(armature.data.bones), strict=True):
        new = f"Joint {number}"
        old[new], bone.name = bone.name, new
    return old


def right_share(armature, expected, found):
    """Share of the expected roles that were found on the right bones."""
    wanted = {role: bone for role, bone in expected.items() if role.split(".")[0] not in UNSEEN}
    return sum(found.get(role) == bone for role, bone in wanted.items()) / len(wanted)


def short_legs(factor):
    """A function that shortens or lengthens legs."""

    def place(point, hip_height=0.92):
        scale = factor if point[2] < hip_height else 1.0
        return np.array([*point[:2], (point[2] - hip_height) * scale + hip_height])

    return place


VARIANTS = {
    "plain": {},
    "rolled": {"rolls": np.random.default_rng(1)},
    "short legs": {"place": short_legs(0.65)},
    "long legs": {"place": short_legs(1.3)},
    "large": {"place": lambda point: 37 * point},
}


@pytest.mark.parametrize(
    ("rig", "variant"),
    [
        (rig, variant)
        for rig in RIGS
        for variant in VARIANTS
        if rig == "mixamo" or "legs" not in variant  # others have their origin at the hips
    ],
)
def test_geometry_finds_the_roles_with_names_hidden(rig, variant):
    armature = rig_tables.build(rig, **VARIANTS[variant])
    armature.rotation_euler = (0, 0, 2.5)
    bpy.context.view_layer.update()
    expected = mapping(armature, RIGS[rig]).bones
    old = hide_names(armature, np.random.default_rng(7))
    found = {role: old[bone] for role, bone in detection.by_geometry(armature).items()}
    assert right_share(armature, expected, found) >= LEAST_RIGHT


def test_geometry_finds_the_roles_of_our_own_rig():
    armature = source_character(frames=2)
    expected = mapping(armature, "HUND").bones
    old = hide_names(armature, np.random.default_rng(2))
    found = {role: old[bone] for role, bone in detection.by_geometry(armature).items()}
    assert right_share(armature, expected, found) >= LEAST_RIGHT


def test_geometry_passes_over_twist_bones_helpers_and_targets():
    armature = rig_tables.build("game_engine")
    expected = mapping(armature, "Unreal").bones
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    for side in "lr":
        for limb in ("upperarm", "lowerarm", "thigh", "calf"):
            twist = bones.new(f"{limb}_twist_01_{side}")
            parent = bones[f"{limb}_{side}"]
            twist.head, twist.tail = parent.head.lerp(parent.tail, 0.5), parent.tail
            twist.parent = parent
        for name, at in (("ik_foot", "foot"), ("ik_hand", "hand")):
            target = bones.new(f"{name}_{side}")
            target.head, target.tail = bones[f"{at}_{side}"].head, bones[f"{at}_{side}"].tail
            target.parent = bones["Root"]
    bpy.ops.object.mode_set(mode="OBJECT")
    old = hide_names(armature, np.random.default_rng(4))
    found = {role: old[bone] for role, bone in detection.by_geometry(armature).items()}
    assert right_share(armature, expected, found) >= LEAST_RIGHT


@pytest.mark.parametrize("missing", [("Toe",), ("Shoulder", "Neck"), ("Hand1", "Hand2", "Hand3")])
def test_geometry_copes_with_missing_bones(missing):
    armature = rig_tables.build(
        "mixamo", keep=lambda bone: not any(text in bone for text in missing)
    )
    expected = mapping(armature, "Mixamo").bones
    found = detection.by_geometry(armature)
    assert right_share(armature, expected, found) >= LEAST_RIGHT


def test_a_prop_is_no_body():
    armature = rig_tables.build("mixamo", keep=lambda bone: "Hand" in bone and "Left" in bone)
    with pytest.raises(geometry_mapping.NoBodyError):
        detection.by_geometry(armature)
    with pytest.raises(RetargetError, match="Only"):
        detection.detect(armature, PRESETS)


@pytest.mark.parametrize("rig", RIGS)
def test_the_best_preset_is_found_by_names(rig):
    found = detection.detect(rig_tables.build(rig), PRESETS)
    assert found.mapping.preset == RIGS[rig]
    assert found.mapping.body_coverage == 1.0
    assert found.mapping.finger_coverage == (0.0 if rig == "cmu" else 1.0)
    assert not found.notes


def test_namespaces_and_case_do_not_matter():
    names = {
        "mixamorig:Hips": "Bob:mixamorig1:hips",
        "mixamorig:LeftHand": "mixamorig9:LEFTHAND",
    }
    armature = rig_tables.build("mixamo", rename=lambda bone: names.get(bone, bone[10:]))
    found = detection.detect(armature, PRESETS).mapping
    assert found.preset == "Mixamo" and found.body_coverage == 1.0
    assert found.bones["hips"] == "Bob:mixamorig1:hips"


def named_by(preset):
    """An armature with the names of a preset, on the joints of another rig."""
    content = PRESETS[preset].content
    template = rig_tables.build("game_engine")
    base = mapping(template, "Unreal").bones
    names = dict(presets._named(content, content["sides"]))
    new = {bone: names.get(role, f"extra {role}") for role, bone in base.items()}
    return rig_tables.build("game_engine", rename=lambda bone: new[bone])


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_found_by_its_own_names(preset):
    found = detection.detect(named_by(preset), PRESETS)
    # Rigs of one family share names.
    same = {"Unity, VRM 0", "VRM 1"}
    assert found.mapping.preset == preset or {found.mapping.preset, preset} <= same
    assert found.mapping.body_coverage > 0.9


def test_unknown_names_are_mapped_by_geometry():
    armature = rig_tables.build("mixamo")
    expected = mapping(armature, "Mixamo").bones
    old = hide_names(armature, np.random.default_rng(3))
    found = detection.detect(armature, PRESETS)
    assert not found.mapping.preset and found.mapping.body_coverage == 1.0
    bones = {role: old[bone] for role, bone in found.mapping.bones.items()}
    assert right_share(armature, expected, bones) >= LEAST_RIGHT


def test_bones_that_a_preset_does_not_name_are_added_by_geometry():
    names = {"mixamorig:LeftToeBase": "Tip", "mixamorig:Neck": "Throat"}
    armature = rig_tables.build("mixamo", rename=lambda bone: names.get(bone, bone))
    found = detection.detect(armature, PRESETS).mapping
    assert found.preset == "Mixamo"
    assert found.bones["toe.L"] == "Tip" and found.bones["neck.1"] == "Throat"


def test_exchanged_names_of_the_sides_are_noticed():
    def exchange(bone):
        if "Left" in bone:
            return bone.replace("Left", "Right")
        return bone.replace("Right", "Left")

    armature = rig_tables.build("mixamo", rename=exchange)
    found = detection.detect(armature, PRESETS)
    assert found.mapping.bones["hand.L"] == "mixamorig:RightHand"
    assert len(found.notes) == 1 and "exchanged" in found.notes[0]


def test_presets_name_known_roles_only_and_each_once():
    assert len(PRESETS) >= 15
    for preset in PRESETS.values():
        pairs = list(presets._named(preset.content, preset.content["sides"]))
        assert len({role for role, _ in pairs}) == len(pairs)
        assert {role for role, _ in pairs} <= set(roles.ROLES)


def test_presets_of_the_user_are_saved_whole_and_found_again(tmp_path):
    armature = rig_tables.build("mixamo")
    hide_names(armature, np.random.default_rng(9))
    found = detection.detect(armature, PRESETS).mapping
    path = presets.save(tmp_path / "presets", "My: Rig/2", found)
    assert path.parent == tmp_path / "presets" and path.stem == "My_ Rig_2"
    again = detection.detect(armature, presets.load(tmp_path / "presets"))
    assert again.mapping.preset == "My: Rig/2"
    assert again.mapping.bones == found.bones
    with pytest.raises(RetargetError, match="name"):
        presets.save(tmp_path, " . ", found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2", "cannot be read"),
        ("[]", "no name"),
        (json.dumps({"name": "A", "sides": {"L": "l"}}), "sides"),
        (json.dumps({"name": "A", "sides": {"L": "l", "R": "r"}, "bonse": {}}), "bonse"),
        (
            json.dumps({"name": "A", "sides": {"L": "l", "R": "r"}, "bones": {"wing": "W"}}),
            "wing is not a role",
        ),
    ],
)
def test_damaged_presets_are_refused_in_a_sentence(tmp_path, content, message):
    (tmp_path / "own.json").write_text(content)
    with pytest.raises(RetargetError, match=message):
        presets.load(tmp_path)
