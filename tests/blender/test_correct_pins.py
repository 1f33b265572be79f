"""Pins in Blender: joints come to their places; all keys outside of the span stay."""

import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import (
    action,
    bone_names,
    curve_spans,
    pins,
    scene,
    timeline,
)
from bl_ext.user_default.hund.bridge.backend import JobError, Settings
from bl_ext.user_default.hund.hund_backend.body.skeleton import JOINT_NAMES
from conftest import MODULE
from retargeting import curves_of
from synthetic_people import build_reconstruction

FRAMES = 40


def reconstruction_with(**options):
    return build_reconstruction(frames=FRAMES, moves_face=False, **options)


def clip_of(reconstruction, fps=30.0):
    return pins.Clip(Path("clip.npz"), reconstruction, timeline.timing_of(reconstruction, fps, 1))


def written(reconstruction, **options):
    return scene.write(bpy.context, reconstruction, **options).people


@pytest.mark.parametrize("rest", ["A", "T"])
def test_poses_of_bones_are_those_of_joints(rest):
    """Bones posed from joints give the joints back, in any rest pose."""
    reconstruction = reconstruction_with(people=2, moves_camera=True)
    people = written(reconstruction, rest=rest)
    for person, armature in enumerate(people):
        asked = pins.request(armature, person, [], clip_of(reconstruction))
        given = reconstruction.rotations[person]
        dots = np.abs((asked.base["rotations"] * given).sum(-1))
        assert dots.min() > 1 - 1e-5
        shift = asked.base["root_translation"] - reconstruction.root_translation[person]
        assert np.abs(shift).max() < 1e-4
        assert (asked.base["rotations"][..., 0] >= 0).all()


def test_a_request_says_where_joints_are_in_the_camera_frame():
    reconstruction = reconstruction_with(moves_camera=True)
    (armature,) = written(reconstruction)
    armature.delta_location.z += 0.7  # the floor was set by hand
    bpy.context.scene.frame_set(12)
    place = pins.place_of(armature, "HandL")
    world = armature.matrix_world @ armature.pose.bones["Hand.L"].head
    assert np.allclose(pins.in_armature(armature, world), place, atol=1e-5)
    asked = pins.request(armature, 0, [pins.Pin(12, "HandL", place)], clip_of(reconstruction))
    (pin,) = asked.message["pins"]
    joint = reconstruction.joints[0, 11, JOINT_NAMES.index("HandL")]
    assert pin["frame"] == 11 and np.allclose(pin["place"], joint, atol=2e-4)


def answer_of(asked, first, last, size=0.3):
    """An answer that turns the left upper arm and moves the root, most in the middle."""
    rows = np.arange(first, last + 1)
    bump = np.sin(np.pi * (rows - first) / (last - first))
    rotations = asked.base["rotations"][rows].astype(np.float64)
    joint = JOINT_NAMES.index("UpperarmL")
    turn = np.zeros((len(rows), 4))
    turn[:, 0], turn[:, 1] = np.cos(size * bump / 2), np.sin(size * bump / 2)
    w, v = rotations[:, joint, :1], rotations[:, joint, 1:]
    rotations[:, joint] = np.concatenate(
        (
            w * turn[:, :1] - (v * turn[:, 1:]).sum(-1, keepdims=True),
            w * turn[:, 1:] + turn[:, :1] * v + np.cross(v, turn[:, 1:]),
        ),
        axis=-1,
    )
    moved = asked.base["root_translation"][rows] + 0.05 * bump[:, None].astype(np.float32)
    return {
        "frames": rows,
        "rotations": rotations.astype(np.float32),
        "root_translation": moved.astype(np.float32),
    }


@pytest.mark.parametrize("fps", [30.0, 24.0])
@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ"])
def test_an_answer_changes_keys_of_its_span_only(fps, mode):
    reconstruction = reconstruction_with()
    if fps != 30.0:
        bpy.context.scene.render.fps = round(fps)
    (armature,) = written(reconstruction, match_scene=fps == 30.0)
    clip = clip_of(reconstruction, fps)
    if mode != "QUATERNION":
        as_euler(armature, "Upperarm.L", mode)
    asked = pins.request(armature, 0, [], clip)
    before = curves_of(armature)
    count = pins.apply(armature, asked, answer_of(asked, 10, 30))
    after = curves_of(armature)
    assert before.keys() == after.keys() and count > 10
    changed = set()
    first, last = clip.timing.frames[[10, 30]]
    for key, values in before.items():
        assert np.array_equal(values[:, 0], after[key][:, 0])
        frames = values[values[:, 1] != after[key][:, 1], 0]
        if len(frames):
            changed.add(key[0])
            assert first <= frames.min() and frames.max() <= last
    prop = "rotation_quaternion" if mode == "QUATERNION" else "rotation_euler"
    assert changed == {'pose.bones["Upperarm.L"].' + prop, 'pose.bones["Pelvis"].location'}
    # What is read back is the answer.
    again = pins.request(armature, 0, [], clip)
    if fps == 30.0:
        expected = answer_of(asked, 10, 30)
        dots = np.abs((again.base["rotations"][10:31] * expected["rotations"]).sum(-1))
        assert dots.min() > 1 - 1e-5
        shift = again.base["root_translation"][10:31] - expected["root_translation"]
        assert np.abs(shift).max() < 1e-4


def as_euler(armature, name, mode):
    """Let the animator have a bone's keys as angles."""
    from bl_ext.user_default.hund.bridge import quaternions
    from bl_ext.user_default.hund.bridge.retarget.channels import rotation_channels

    channels = action.channels_of(armature.animation_data)
    path = f'pose.bones["{name}"].rotation_quaternion'
    values = np.stack([curves_of(armature)[path, i][:, 1] for i in range(4)], axis=-1)
    frames = curves_of(armature)[path, 0][:, 0].astype(float)
    for index in range(4):
        channels.fcurves.remove(channels.fcurves.find(path, index=index))
    bone = armature.pose.bones[name]
    bone.rotation_mode = mode
    angles = rotation_channels(bone, quaternions.to_matrices(values), use_locks=False)
    new = f'pose.bones["{name}"].rotation_euler'
    action.write_channel(channels, new, frames, angles.values)


def test_an_answer_without_a_change_changes_no_key():
    reconstruction = reconstruction_with()
    (armature,) = written(reconstruction)
    asked = pins.request(armature, 0, [], clip_of(reconstruction))
    before = curves_of(armature)
    rows = np.arange(5, 20)
    same = {name: values[rows] for name, values in asked.base.items()}
    pins.apply(armature, asked, {"frames": rows, **same})
    after = curves_of(armature)
    assert all(np.array_equal(values, after[key]) for key, values in before.items())


def test_edited_keys_stay_edited():
    """The change is added to what the animator has done since."""
    reconstruction = reconstruction_with()
    (armature,) = written(reconstruction)
    asked = pins.request(armature, 0, [], clip_of(reconstruction))
    pins.apply(armature, asked, answer_of(asked, 10, 30))
    alone = curves_of(armature)
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    (armature,) = written(reconstruction)
    channels = action.channels_of(armature.animation_data)
    path = 'pose.bones["Pelvis"].location'
    curve = channels.fcurves.find(path, index=1)
    for point in curve.keyframe_points:
        point.co.y += 0.25
    pins.apply(armature, asked, answer_of(asked, 10, 30))
    values = curves_of(armature)[path, 1][:, 1] - alone[path, 1][:, 1]
    assert np.allclose(values, 0.25, atol=1e-5)


def test_few_keys_become_many_in_the_span_only():
    """A curve with few keys gets one on each frame of a span and keeps its motion outside."""
    armature = written(reconstruction_with())[0]
    channels = action.channels_of(armature.animation_data)
    curve = channels.fcurves.find('pose.bones["Pelvis"].location', index=0)
    curve.keyframe_points.clear()
    for frame, value in ((1, 0.0), (12, 1.0), (40, -1.0)):
        curve.keyframe_points.insert(frame, value).interpolation = "BEZIER"
    curve.update()
    outside = np.array([*range(1, 15), *range(26, 41)], float)
    before = np.array([curve.evaluate(frame) for frame in outside])
    frames = np.arange(15, 26, dtype=float)
    curve_spans.replace(channels, curve.data_path, 0, frames, np.full(len(frames), 5.0), (1, 40))
    after = np.array([curve.evaluate(frame) for frame in outside])
    assert np.allclose(before, after, atol=1e-3)
    assert all(abs(curve.evaluate(frame) - 5) < 1e-6 for frame in frames)


def test_pins_outside_of_the_clip_are_refused():
    reconstruction = reconstruction_with()
    (armature,) = written(reconstruction)
    with pytest.raises(JobError, match=r"frame 400.*\.$"):
        pins.request(armature, 0, [pins.Pin(400, "HandL", (0, 0, 0))], clip_of(reconstruction))


def test_a_person_without_an_action_is_refused():
    reconstruction = reconstruction_with()
    (armature,) = written(reconstruction)
    armature.animation_data.action = None
    with pytest.raises(JobError, match=r"no action.*\.$"):
        pins.request(armature, 0, [], clip_of(reconstruction))


def test_bones_that_can_be_pinned():
    (armature,) = written(reconstruction_with())
    by_joint = {joint: pins.joint_of(bone) for joint, bone in pose_bones(armature).items()}
    assert {joint for joint, pinned in by_joint.items() if pinned} == set(pins.PINNABLE)
    assert len(pins.PINNABLE) == 22 and by_joint["HandL"] == "HandL"
    armature.pose.bones["Hand.L"].name = "wrist"
    assert pins.joint_of(armature.pose.bones["wrist"]) == "HandL"


def pose_bones(armature):
    found = bone_names.find_bones(armature)
    return {joint: armature.pose.bones[bone.name] for joint, bone in found.items()}


# The operators, with a backend that answers like the real one.

BACKEND = """
import json, sys
import numpy as np

def answer(request):
    with np.load(request["motion"]) as file:
        rotations, translation = file["rotations"], file["root_translation"]
    rows = np.arange(max(0, min(p["frame"] for p in request["pins"]) - 5),
                     min(len(rotations), max(p["frame"] for p in request["pins"]) + 6))
    translation = translation[rows] + np.float32(0.1)
    np.savez(request["output"], frames=rows, rotations=rotations[rows],
             root_translation=translation, misses=np.array([MISS] * len(request["pins"])))

print(json.dumps({"event": "ready"}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if not request.get("pins"):
        continue
    if request["person"] == 1:
        message = "The second person cannot be solved: choose another one."
        print(json.dumps({"event": "error", "id": request["id"], "message": message}), flush=True)
        continue
    answer(request)
    print(json.dumps({"event": "done", "id": request["id"], "output": "", "misses": []}), flush=True)
"""


@pytest.fixture
def extension(tmp_path, monkeypatch):
    """The enabled extension with a small program in place of the backend."""
    bpy.ops.preferences.addon_enable(module=MODULE)
    package = tmp_path / "root" / "hund_backend"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(BACKEND.replace("MISS", "0.001"))
    settings = Settings(
        log=tmp_path / "backend.log",
        interpreter=Path(sys.executable),
        root=tmp_path / "root",
        start_timeout=120.0,
    )
    preferences = sys.modules[f"{MODULE}.preferences"]
    monkeypatch.setattr(preferences, "settings", lambda context: settings)
    yield
    bpy.ops.preferences.addon_disable(module=MODULE)


@pytest.fixture
def result(extension, tmp_path):
    """A result of two people, the first one in Pose Mode with a hand selected."""
    reconstruction_with(people=2).save(tmp_path / "dance.npz")
    bpy.ops.hund.load(filepath=str(tmp_path / "dance.npz"))
    result = bpy.context.scene.hund.results[0]
    activate(result.characters[0], "Hand.L")
    return result


def activate(armature, bone):
    if bpy.context.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    bpy.context.view_layer.objects.active = armature
    armature.select_set(True)
    bpy.ops.object.mode_set(mode="POSE")
    armature.data.bones.active = armature.data.bones[bone]


def test_pinning_stores_where_a_bone_is_posed(result):
    armature = result.characters[0]
    bpy.context.scene.frame_set(20)
    assert bpy.ops.hund.pin() == {"FINISHED"}
    (pin,) = result.pins
    assert (pin.frame, pin.person, pin.joint, pin.name) == (20, 0, "HandL", "Hand.L")
    assert np.allclose(pin.place, armature.pose.bones["Hand.L"].head, atol=1e-6)
    bpy.context.scene.cursor.location = (0.1, 0.2, 1.3)
    bpy.ops.hund.pin(place="CURSOR")  # the same bone and frame: the pin is moved
    assert len(result.pins) == 1
    assert np.allclose(
        pin.place, armature.matrix_world.inverted() @ bpy.context.scene.cursor.location
    )


def test_solving_moves_the_right_person_and_keeps_other_frames(result):
    first, second = (result.characters[index] for index in (0, 1))
    before, other = curves_of(first), curves_of(second)
    bpy.context.scene.frame_set(20)
    bpy.ops.hund.pin()
    assert bpy.ops.hund.solve_span() == {"FINISHED"}
    assert result.pins[0].is_solved
    after = curves_of(first)
    moved = {
        float(frame)
        for key, values in before.items()
        for frame in values[np.abs(values[:, 1] - after[key][:, 1]) > 1e-4, 0]
    }
    assert moved == set(map(float, range(15, 26)))
    unchanged = curves_of(second)
    assert all(np.array_equal(values, unchanged[key]) for key, values in other.items())


def test_an_error_of_the_backend_changes_nothing(result):
    armature = result.characters[1]
    activate(armature, "Hand.R")
    before = curves_of(armature)
    bpy.ops.hund.pin()
    with pytest.raises(RuntimeError, match="second person"):
        bpy.ops.hund.solve_span()
    after = curves_of(armature)
    assert all(np.array_equal(values, after[key]) for key, values in before.items())
    assert not result.pins[0].is_solved


def test_pins_are_visited_and_removed(result):
    for frame, bone in ((20, "Hand.L"), (10, "Ankle.R")):
        bpy.context.scene.frame_set(frame)
        activate(result.characters[0], bone)
        bpy.ops.hund.pin()
    assert bpy.ops.hund.go_to_pin(index=0) == {"FINISHED"}
    assert bpy.context.scene.frame_current == 20
    assert bpy.context.active_pose_bone.name == "Hand.L"
    bpy.ops.hund.remove_pin(index=0)
    assert [pin.joint for pin in result.pins] == ["AnkleR"]
    bpy.ops.hund.remove_pin(index=0)
    assert not bpy.ops.hund.solve_span.poll()


def test_bones_that_cannot_be_pinned_are_refused(result):
    activate(result.characters[0], "Foot.L")
    with pytest.raises(RuntimeError, match="cannot be pinned"):
        bpy.ops.hund.pin()
    assert not len(result.pins)


def test_a_lost_file_is_an_error(result, tmp_path):
    bpy.ops.hund.pin()
    (tmp_path / "dance.npz").unlink()
    with pytest.raises(RuntimeError, match=r"dance\.npz"):
        bpy.ops.hund.solve_span()


def test_loading_again_keeps_pins_and_marks_them_as_not_solved(result, tmp_path):
    bpy.ops.hund.pin()
    bpy.ops.hund.solve_span()
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.hund.load(filepath=str(tmp_path / "dance.npz"), existing="ALL")
    (pin,) = bpy.context.scene.hund.results[0].pins
    assert not pin.is_solved


def test_the_solver_ends_with_the_extension(result):
    bpy.ops.hund.pin()
    bpy.ops.hund.solve_span()
    operators = sys.modules[f"{MODULE}.operators.pins"]
    process = operators._solver._backend.process
    assert process.poll() is None
    operators.stop()
    assert process.poll() is not None and operators._solver is None


def test_a_solver_that_dies_is_started_again(result):
    bpy.ops.hund.pin()
    bpy.ops.hund.solve_span()
    operators = sys.modules[f"{MODULE}.operators.pins"]
    operators._solver._backend.process.kill()
    operators._solver._backend.process.wait()
    assert bpy.ops.hund.solve_span() == {"FINISHED"}


def test_hands_and_feet_can_be_dragged():
    """Auto IK moves bones that are not locked."""
    (armature,) = written(reconstruction_with())
    for name in ("Hand.L", "Hand.R", "Ankle.L", "Ankle.R", "Lowerarm.L", "Calf.R"):
        bone = armature.pose.bones[name]
        assert bone.bone.use_connect and not any(bone.lock_location)
