"""Laws of a face's motion: on the character, on other meshes, in files, and with its sound."""

import csv
import math
import struct
import wave
from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default import hund
from bl_ext.user_default.hund.bridge import action, exports, scene, timeline
from bl_ext.user_default.hund.bridge.face import apply, arkit_keys, live_link, motion, sound
from bl_ext.user_default.hund.bridge.face.errors import FaceError
from bl_ext.user_default.hund.hund_backend.body.file import load_body_file
from synthetic_people import build_reconstruction

NAMES = load_body_file().arkit_names
MOVIE = Path(__file__).parents[1] / "data" / "walker.mp4"  # without sound
SPELLINGS = (
    lambda key: key,
    lambda key: key[0].upper() + key[1:],
    lambda key: key.replace("Left", "_L").replace("Right", "_R"),
    lambda key: key.replace("Left", ".l").replace("Right", ".r").lower(),
    lambda key: f"Head_geo.{key}",
)


@pytest.fixture
def extension():
    hund.register()
    yield
    hund.unregister()


@pytest.fixture
def reconstruction():
    return build_reconstruction(frames=24)


@pytest.fixture
def person(reconstruction):
    written = scene.write(bpy.context, reconstruction)
    return motion.face_mesh(written.people[0])


def other_mesh(names, value=0.0):
    data = bpy.data.meshes.new("Other")
    data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    mesh = bpy.data.objects.new("Other", data)
    bpy.context.scene.collection.objects.link(mesh)
    mesh.shape_key_add(name="Basis")
    for name in names:
        mesh.shape_key_add(name=name).value = value
    return mesh


def value_at(mesh, name, frame):
    shape_keys = mesh.data.shape_keys
    channels = action.channels_of(shape_keys.animation_data)
    return channels.fcurves.find(f'key_blocks["{name}"].value').evaluate(frame)


def test_the_keys_are_those_of_the_body_and_of_the_columns():
    assert set(arkit_keys.KEYS) == set(NAMES) and len(arkit_keys.KEYS) == 52
    assert len(live_link.COLUMNS) == 63


@pytest.mark.parametrize("spell", SPELLINGS)
def test_every_key_is_found_in_every_spelling(spell):
    found = arkit_keys.matches(["Basis", "Smile", *map(spell, NAMES)])
    assert found == {key: (spell(key),) for key in arkit_keys.KEYS}


def test_sides_are_never_exchanged():
    for key in NAMES:
        for side, other in (("Left", "Right"), ("Right", "Left")):
            if key.endswith(side):
                mirrored = key.removesuffix(side) + other
                assert arkit_keys.key_of(f"{key.removesuffix(side)}_{side[0]}") == key != mirrored


def test_the_characters_keys_have_the_files_values(person, reconstruction):
    moved = motion.read(person)
    for row, name in enumerate(NAMES):
        column = reconstruction.arkit[0, :, row]
        np.testing.assert_allclose(
            np.interp(np.arange(1, 25), moved.frames, moved.values[name]), column, atol=1e-5
        )


@pytest.mark.parametrize("spell", SPELLINGS)
def test_another_mesh_gets_the_same_motion(person, spell):
    target = other_mesh([*map(spell, NAMES), "Wrinkle"], value=0.0)
    applied = apply.apply(person, target)
    assert applied.keys == 52 and not applied.missing
    moved = motion.read(person)
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        for frame in (1, 7, 24):
            expected = np.interp(frame, moved.frames, moved.values[name])
            assert value_at(target, spell(name), frame) == pytest.approx(expected, abs=1e-5)


def test_strength_scales_and_the_neutral_is_taken_off(person):
    target = other_mesh(NAMES)
    moved = motion.read(person)
    column = moved.values["jawOpen"]
    apply.apply(person, target, strength=0.5)
    assert value_at(target, "jawOpen", 9) == pytest.approx(0.5 * column[8], abs=1e-5)
    apply.apply(person, target, neutral_frame=4)
    expected = max(column[8] - column[3], 0)
    assert value_at(target, "jawOpen", 4) == pytest.approx(0, abs=1e-6)
    assert value_at(target, "jawOpen", 9) == pytest.approx(expected, abs=1e-5)


def test_what_the_mesh_lacks_is_named_and_its_other_keys_stay(person):
    target = other_mesh(["jawOpen", "Wrinkle"], value=0.25)
    applied = apply.apply(person, target)
    assert applied.keys == 1 and "eyeBlinkLeft" in applied.missing
    assert target.data.shape_keys.key_blocks["Wrinkle"].value == 0.25


def test_reasons_say_what_to_do(person):
    with pytest.raises(FaceError, match="no shape keys with ARKit"):
        apply.apply(person, other_mesh(["Smile"]))
    with pytest.raises(FaceError, match="does not move"):
        apply.apply(other_mesh(NAMES), person)
    with pytest.raises(FaceError, match="another mesh"):
        apply.apply(person, person)


def test_the_operator_does_what_the_function_does(extension, person):
    target, alike = other_mesh(NAMES), other_mesh(NAMES)
    apply.apply(person, alike)
    bpy.ops.object.select_all(action="DESELECT")
    person.select_set(True)
    target.select_set(True)
    bpy.context.view_layer.objects.active = target
    assert bpy.ops.hund.apply_face() == {"FINISHED"}
    for frame in (1, 12, 24):
        assert value_at(target, "jawOpen", frame) == value_at(alike, "jawOpen", frame)


def test_the_file_holds_the_motion_in_the_apps_columns(person, tmp_path):
    moved, path = motion.read(person), tmp_path / "face.csv"
    assert live_link.write(path, moved, 30.0) == 24
    with path.open() as opened:
        rows = list(csv.DictReader(opened))
    assert tuple(rows[0]) == live_link.COLUMNS
    for key in arkit_keys.KEYS:
        column = [float(row[key[0].upper() + key[1:]]) for row in rows]
        frames = np.arange(1, 25)
        np.testing.assert_allclose(
            column, np.interp(frames, moved.frames, moved.values[key]), atol=1e-6
        )
    codes = [row["Timecode"] for row in rows]
    assert codes[0] == "00:00:00:00.000" and len(set(codes)) == 24


def write_sound(path, seconds=4.0, rate=8000):
    samples = [int(8000 * math.sin(i / 5)) for i in range(int(seconds * rate))]
    with wave.open(str(path), "wb") as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(rate)
        opened.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return path


needs_sound = pytest.mark.skipif(
    not bpy.app.build_options.audaspace, reason="this Blender was built without sound"
)


@needs_sound
@pytest.mark.parametrize("fps", [24, 25, 30, 60])
def test_the_sound_is_in_step_at_every_rate(tmp_path, fps):
    clip = write_sound(tmp_path / "clip.wav")
    reconstruction = build_reconstruction(frames=31, times=0.5 + np.arange(31) / 30)
    context_scene = bpy.context.scene
    context_scene.render.fps, context_scene.render.fps_base = fps, 1.0
    timing = timeline.timing_of(reconstruction, fps, 11)
    strip = sound.attach(context_scene, clip, "clip", reconstruction, timing)
    begin, first, last = (getattr(strip, name) for name in sound._places(strip))
    assert first == 11
    # Second 0.5 of the sound is heard when the motion begins, whatever the rate.
    assert (11 - begin) / fps == pytest.approx(0.5, abs=0.51 / fps)
    assert abs(last - (timing.end + 1)) <= 1
    again = sound.attach(context_scene, clip, "clip", reconstruction, timing)
    assert len(sound._strips(context_scene.sequence_editor)) == 1 and again is not None


def strips():
    editor = bpy.context.scene.sequence_editor
    return list(sound._strips(editor)) if editor else []


@needs_sound
def test_a_clip_brings_its_sound_unless_that_is_switched_off(tmp_path, reconstruction):
    clip = write_sound(tmp_path / "clip.wav")
    scene.write(bpy.context, reconstruction, clip=clip, use_sound=False)
    assert not strips()
    scene.write(bpy.context, reconstruction, clip=clip)
    scene.write(bpy.context, reconstruction, clip=clip)  # written again: still one
    assert [getattr(strip, sound._places(strip)[1]) for strip in strips()] == [1]


def test_a_silent_movie_and_a_picture_leave_no_strip(tmp_path, reconstruction):
    scene.write(bpy.context, reconstruction, clip=MOVIE)
    assert not strips()
    picture = tmp_path / "picture.png"
    image = bpy.data.images.new("Picture", 8, 8)
    image.filepath_raw, image.file_format = str(picture), "PNG"
    image.save()
    scene.write(bpy.context, reconstruction, clip=picture)
    assert not strips()


def values_in(mesh, frames, name):
    shape_keys = mesh.data.shape_keys
    found = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        found.append(shape_keys.key_blocks[name].value)
    return found


def test_gltf_carries_the_moving_keys(person, tmp_path):
    frames, names = (1, 9, 20), ("jawOpen", "eyeBlinkLeft", "mouthSmileRight")
    expected = {name: values_in(person, frames, name) for name in names}
    exports.export([person.parent], tmp_path, "face", "glb")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.render.fps = 30
    bpy.ops.import_scene.gltf(filepath=str(tmp_path / "face.glb"))
    (mesh,) = [obj for obj in bpy.data.objects if obj.type == "MESH" and obj.data.shape_keys]
    for name, values in expected.items():
        found = values_in(mesh, [frame - 1 for frame in frames], name)  # from time 0
        np.testing.assert_allclose(found, values, atol=2e-3)


def test_usd_carries_the_moving_keys(person, tmp_path, usd_module):
    [path] = exports.export([person.parent], tmp_path, "face", "usd")
    usd, skel = usd_module("Usd"), usd_module("UsdSkel")
    stage = usd.Stage.Open(str(path))  # held: its prims end with it
    prims = list(stage.Traverse())
    (animation,) = [skel.Animation(p) for p in prims if p.IsA(skel.Animation)]
    names = list(animation.GetBlendShapesAttr().Get())
    column = [animation.GetBlendShapeWeightsAttr().Get(t)[names.index("jawOpen")] for t in (1, 9)]
    moved = motion.read(person)
    expected = np.interp((1, 9), moved.frames, moved.values["jawOpen"])
    np.testing.assert_allclose(column, expected, atol=1e-4)
