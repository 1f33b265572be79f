"""Confidence of bones: curves, colors that can be taken back, doubtful spans and their markers."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import (
    confidence,
    confidence_colors,
    doubt_markers,
    edits,
    scene,
)
from bl_ext.user_default.hund.hund_backend.body.skeleton import (
    BODY_JOINTS,
    FACE_JOINTS,
    JOINT_NAMES,
    LEFT_HAND_JOINTS,
    RIGHT_HAND_JOINTS,
)
from conftest import MODULE
from retargeting import curves_of
from synthetic_people import build_reconstruction

FRAMES, FPS = 80, 30
LOW = {"HandL": (20, 34), "LowerarmL": (20, 34), "CalfR": (50, 70), "AnkleR": (50, 70)}


def values_of():
    """Confidences in which an arm and a leg are doubtful in some frames (first, last) from 0."""
    values = np.full((1, FRAMES, len(JOINT_NAMES)), 0.9, np.float32)
    values += 0.05 * np.sin(np.arange(FRAMES) / 7)[None, :, None].astype(np.float32)
    for joint, (first, last) in LOW.items():
        values[0, first : last + 1, JOINT_NAMES.index(joint)] = 0.1
    values[0, 40, :] = 0.0  # one frame alone is no span
    # Hands were not looked for: fingers are as sure as their wrist.
    for side, fingers in zip("LR", (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS), strict=True):
        values[..., list(fingers)] = values[..., [JOINT_NAMES.index(f"Hand{side}")]]
    return values


def written(**options):
    reconstruction = build_reconstruction(
        frames=FRAMES, moves_face=False, joint_confidence=values_of(), **options
    )
    return scene.write(bpy.context, reconstruction, match_scene=True)


@pytest.fixture
def person():
    return written().people[0]


def test_curves_follow_the_file_with_few_keys(person):
    values = values_of()[0]
    curves = confidence.curves(person)
    assert len(curves) == len(BODY_JOINTS)
    for joint in BODY_JOINTS:
        name = JOINT_NAMES[joint]
        bone = name[:-1] + "." + name[-1] if name[-1] in "LR" else name
        found = [curves[bone].evaluate(frame) for frame in range(1, FRAMES + 1)]
        assert np.abs(found - values[:, joint]).max() < 0.025
        assert len(curves[bone].keyframe_points) < FRAMES / 2
    bpy.context.scene.frame_set(25)
    assert abs(person.pose.bones["Hand.L"][confidence.PROPERTY] - 0.1) < 0.03


def test_doubtful_spans(person):
    first, second = confidence.doubtful_spans(person, FPS)
    assert (first.first, first.last, first.parts) == (21, 35, ("Arm.L",))
    assert (second.first, second.last, second.parts) == (51, 71, ("Leg.R",))
    assert first.bone in {"Hand.L", "Lowerarm.L"} and second.bone in {"Calf.R", "Ankle.R"}
    assert confidence.doubtful_spans(person, FPS, low=0.05) == []


def test_frames_in_which_a_person_is_absent_are_not_doubtful():
    present = np.ones((1, FRAMES), bool)
    present[0, 45:] = False
    (person,) = written(present=present).people
    assert [doubt.first for doubt in confidence.doubtful_spans(person, FPS)] == [21]


def test_the_next_span_and_the_previous_one(person):
    doubts = confidence.doubtful_spans(person, FPS)
    following = [confidence.nearest(doubts, frame, forward=True) for frame in (1, 21, 51)]
    assert [doubt and doubt.first for doubt in following] == [21, 51, None]
    before = [confidence.nearest(doubts, frame, forward=False) for frame in (80, 51, 21)]
    assert [doubt and doubt.first for doubt in before] == [51, 21, None]


def colors_of(armature):
    return {
        bone.name: (bone.color.palette, *(tuple(getattr(bone.color.custom, n)) for n in NAMES))
        for bone in armature.pose.bones
    }


NAMES = ("normal", "select", "active")


def test_colors_show_the_frame_and_are_taken_back(person):
    own = person.pose.bones["Hand.R"].color
    own.palette, own.custom.normal = "CUSTOM", (0.1, 0.2, 0.3)
    before = colors_of(person)
    objects = bpy.context.scene.objects
    bpy.context.scene.frame_set(5)
    assert confidence_colors.show(objects) == 1
    red, green = (
        person.pose.bones["Hand.L"].color.custom.normal[0],
        person.pose.bones["Hand.L"].color.custom.normal[1],
    )
    assert green > red  # sure
    confidence_colors.update(objects, 25)
    color = person.pose.bones["Hand.L"].color.custom.normal
    assert color[0] > 0.8 and color[1] < 0.4  # doubtful
    assert person.pose.bones["Index01.L"].color.palette == "DEFAULT"
    confidence_colors.show(objects)  # twice: the bones' own colors are not lost
    confidence_colors.hide(objects)
    assert colors_of(person) == before
    assert not any("hund_own_color" in bone for bone in person.pose.bones)


def test_colors_are_no_change_of_the_animator():
    result = written()
    confidence_colors.show(bpy.context.scene.objects)
    assert not edits.changes(result.collection)
    confidence_colors.hide(bpy.context.scene.objects)
    assert not edits.changes(result.collection)


def test_colors_survive_a_saved_file(person, tmp_path):
    before = colors_of(person)
    confidence_colors.show(bpy.context.scene.objects)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "colors.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "colors.blend"))
    confidence_colors.hide(bpy.context.scene.objects)
    person = next(obj for obj in bpy.data.objects if obj.type == "ARMATURE")
    assert colors_of(person) == before


def test_markers_are_taken_back_but_for_the_animator_s(person):
    timeline_markers = bpy.context.scene.timeline_markers
    timeline_markers.new("mine", frame=21)
    doubts = [(person, doubt) for doubt in confidence.doubtful_spans(person, FPS)]
    assert doubt_markers.add(bpy.context.scene, doubts) == 2
    assert doubt_markers.add(bpy.context.scene, doubts) == 2  # instead of those before
    frames = sorted(marker.frame for marker in timeline_markers)
    assert frames == [21, 21, 51]
    assert all(marker.name.startswith("? Person 1: ") for marker in timeline_markers[1:])
    doubt_markers.own(bpy.context.scene)[0].name = "check the hand"
    doubt_markers.remove(bpy.context.scene)
    assert sorted(marker.name for marker in timeline_markers) == ["check the hand", "mine"]


@pytest.fixture
def extension():
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield
    bpy.ops.preferences.addon_disable(module=MODULE)


def test_the_operators_do_what_the_functions_do(extension):
    person = written().people[0]
    settings = bpy.context.scene.hund
    bpy.context.scene.frame_set(1)
    assert bpy.ops.hund.next_doubt() == {"FINISHED"}
    doubts = confidence.doubtful_spans(person, FPS)
    assert bpy.context.scene.frame_current == doubts[0].first
    assert person.data.bones.active.name == doubts[0].bone
    bpy.ops.hund.next_doubt()
    assert bpy.context.scene.frame_current == doubts[1].first
    assert bpy.ops.hund.next_doubt() == {"CANCELLED"}
    bpy.ops.hund.next_doubt(backward=True)
    assert bpy.context.scene.frame_current == doubts[0].first
    bpy.ops.hund.mark_doubts()
    markers = bpy.context.scene.timeline_markers
    assert [marker.frame for marker in markers] == [doubt.first for doubt in doubts]
    bpy.ops.hund.mark_doubts(remove=True)
    assert not len(markers)
    before = colors_of(person)
    settings.color_confidence = True
    bpy.context.scene.frame_set(25)
    assert person.pose.bones["Hand.L"].color.custom.normal[0] > 0.8
    settings.color_confidence = False
    assert colors_of(person) == before


def test_without_people_the_operators_say_so(extension):
    assert not bpy.ops.hund.next_doubt.poll() and not bpy.ops.hund.mark_doubts.poll()
    bpy.context.scene.hund.color_confidence = True
    bpy.context.scene.hund.color_confidence = False


def test_motion_has_no_other_keys_than_before(person):
    """What is added beside the motion are contacts and confidence."""
    added = {
        path
        for path, _ in curves_of(person)
        if not path.endswith((".location", ".rotation_quaternion"))
    }
    assert all("hund_confidence" in path or "hund_contact_" in path for path in added)


def test_bones_of_a_face_that_was_looked_for_have_their_own_confidence():
    values = values_of()
    eyes = [joint for joint in FACE_JOINTS if JOINT_NAMES[joint].startswith("Eye")]
    values[0, :, JOINT_NAMES.index("Jaw01")] = 0.1
    values[0, :, eyes] = 0.8
    reconstruction = build_reconstruction(frames=FRAMES, moves_face=False, joint_confidence=values)
    person = scene.write(bpy.context, reconstruction).people[0]
    assert len(confidence.curves(person)) == len(BODY_JOINTS) + len(FACE_JOINTS)
    found = confidence.of_bones(person)
    assert found["Jaw01"] == pytest.approx(0.1) and found["Eye01.L"] == pytest.approx(0.8)
    assert not any("Face" in doubt.parts for doubt in confidence.doubtful_spans(person, FPS))
