"""The operators of retargeting do what its functions do, in one undo, and say what is missing."""

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default import hund
from bl_ext.user_default.hund import preferences
from bl_ext.user_default.hund.bridge.retarget.apply import Options
from retargeting import curves_of, mapping, retarget, source_character


@pytest.fixture
def extension(monkeypatch, tmp_path):
    monkeypatch.setattr(preferences, "presets_folder", lambda: tmp_path)
    hund.register()
    yield tmp_path
    hund.unregister()


@pytest.fixture
def settings(extension):
    return bpy.context.scene.hund.retarget


def test_the_operator_does_what_the_function_does(settings):
    source, first = source_character(), rig_tables.build("mixamo")
    second = rig_tables.build("mixamo")
    settings.source, settings.target = source, first
    assert settings.found == "Mixamo" and settings.mapping.body_coverage == 1.0
    settings.keep_contacts = False
    assert bpy.ops.hund.retarget() == {"FINISHED"}
    retarget(source, second, "Mixamo", Options(keep_contacts=False))
    given, expected = curves_of(first), curves_of(second)
    assert given.keys() == expected.keys()
    assert all(np.array_equal(given[key], expected[key]) for key in given)


def test_the_table_is_used_and_can_be_saved(settings, extension):
    source, target = source_character(), rig_tables.build("mixamo")
    settings.source, settings.target = source, target
    settings.roles["hand.L"].bone = ""
    assert bpy.ops.hund.save_rig_preset("EXEC_DEFAULT", name="Mine") == {"FINISHED"}
    assert (extension / "Mine.json").exists()
    bpy.ops.hund.retarget()
    assert not any('LeftHand"' in path for path, _ in curves_of(target))
    settings.preset = "Mine"
    assert "hand.L" not in settings.mapping.bones
    settings.preset = "AUTOMATIC"
    assert bpy.ops.hund.detect_bones() == {"FINISHED"}


def test_what_is_missing_is_said(settings):
    assert not bpy.ops.hund.retarget.poll()
    source, target = source_character(), rig_tables.build("cmu")
    settings.source, settings.target = source, target
    for role in settings.roles:
        role.bone = ""
    with pytest.raises(RuntimeError, match="Only 0 %"):
        bpy.ops.hund.retarget()
    assert target.animation_data is None
    settings.target = rig_tables.build("mixamo", keep=lambda bone: "LeftHand" in bone)
    assert "Only" in settings.message


def test_the_source_is_the_active_armature_or_the_only_person(settings):
    from bl_ext.user_default.hund.operators.retarget import source_of

    source, target = source_character(), rig_tables.build("mixamo")
    settings.target = target
    bpy.context.view_layer.objects.active = target
    assert source_of(bpy.context) == source
    bpy.context.view_layer.objects.active = source
    assert source_of(bpy.context) == source


def test_contacts_of_the_file_are_used(settings, tmp_path):
    from bl_ext.user_default.hund.operators import load
    from bl_ext.user_default.hund.operators import retarget as operator
    from synthetic_people import build_reconstruction

    contacts = np.zeros((1, 8, 4), np.float32)
    contacts[0, 2:6, 2] = 1
    path = tmp_path / "walk.npz"
    build_reconstruction(frames=8, contacts=contacts).save(path)
    load.write(bpy.context, path, None)
    source = next(obj for obj in bpy.context.scene.objects if obj.type == "ARMATURE")
    found = operator._stored_contacts(bpy.context, source)
    assert np.allclose(found["R"][:, 0], contacts[0, :, 2])
    assert not found["L"].any()
    path.unlink()  # the character's own curves of contact are enough
    again = operator._stored_contacts(bpy.context, source)
    assert all(np.allclose(again[side], found[side]) for side in "LR")
    assert mapping(source, "HUND").body_coverage == 1.0


def test_one_undo_takes_all_of_it_back(settings):
    source, target = source_character(), rig_tables.build("mixamo")
    settings.source, settings.target = source, target
    bpy.ops.ed.undo_push(message="Before")
    names = {action.name for action in bpy.data.actions}
    bpy.ops.hund.retarget()
    assert {action.name for action in bpy.data.actions} > names
    bpy.ops.ed.undo_push(message="Apply")
    bpy.ops.ed.undo()
    assert {action.name for action in bpy.data.actions} == names
    assert bpy.data.objects["mixamo"].animation_data is None
    assert bpy.context.scene.hund.retarget.mapping.body_coverage == 1.0  # the table is kept


def two_people(tmp_path):
    """A scene with two characters of ours."""
    from bl_ext.user_default.hund.operators import load
    from synthetic_people import build_reconstruction

    path = tmp_path / "two.npz"
    build_reconstruction(people=2, frames=6, moves_face=False).save(path)
    load.write(bpy.context, path, None)
    return [obj for obj in bpy.context.scene.objects if "hund_person" in obj]


def test_several_people_get_their_own_armatures(settings, tmp_path):
    with pytest.raises(RuntimeError, match="no people"):
        bpy.ops.hund.list_people()
    people = two_people(tmp_path)
    assert bpy.ops.hund.list_people() == {"FINISHED"}
    assert [pair.person for pair in settings.pairs] == people
    assert not bpy.ops.hund.retarget_people.poll()
    targets = [rig_tables.build("mixamo"), rig_tables.build("cmu")]
    settings.keep_contacts = False
    for pair, target in zip(settings.pairs, targets, strict=True):
        pair.target = target
    assert bpy.ops.hund.list_people() == {"FINISHED"}  # chosen armatures stay
    assert bpy.ops.hund.retarget_people() == {"FINISHED"}
    found = [curves_of(target) for target in targets]
    for person, target, preset, curves in zip(
        people, targets, ("Mixamo", "CMU BVH"), found, strict=True
    ):
        retarget(person, target, preset, Options(keep_contacts=False))
        expected = curves_of(target)
        assert curves.keys() == expected.keys()
        assert all(np.array_equal(curves[key], expected[key]) for key in curves)


def test_all_people_get_their_motion_or_none_does(settings, tmp_path):
    two_people(tmp_path)
    bpy.ops.hund.list_people()
    first, second = rig_tables.build("mixamo"), rig_tables.build("cmu")
    second.scale = (1, 2, 1)
    bpy.context.view_layer.update()
    settings.pairs[0].target, settings.pairs[1].target = first, second
    actions = len(bpy.data.actions)
    with pytest.raises(RuntimeError, match="unevenly"):
        bpy.ops.hund.retarget_people()
    assert first.animation_data is None and len(bpy.data.actions) == actions
    settings.pairs[1].target = first
    with pytest.raises(RuntimeError, match="gets two motions"):
        bpy.ops.hund.retarget_people()
    assert first.animation_data is None


def test_hands_keep_contacts_if_it_is_asked_for(settings):
    source, target = source_character(), rig_tables.build("mixamo")
    settings.source, settings.target = source, target
    settings.keep_hands = True
    assert bpy.ops.hund.retarget() == {"FINISHED"}
    found = curves_of(target)
    retarget(source, target, "Mixamo", Options(keep_hands=True))
    expected = curves_of(target)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)
