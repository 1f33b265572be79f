"""Rest poses: the arms' direction is chosen, while poses, skin and shape keys stay the same."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import bone_names, ownership, rest_pose, scene
from bl_ext.user_default.hund.bridge.stage_preview import Source, fingerprint, show_stage
from exchange_files import skin_vertices
from synthetic_people import bone_heads, build_descent, build_reconstruction, go_to_frame

TOLERANCE = 1e-4  # metres
FRAMES = 4


def write(reconstruction, rest, **options):
    return scene.write(bpy.context, reconstruction, rest=rest, **options).people


def motion_of(person, frames):
    places = []
    for frame in frames:
        go_to_frame(bpy.context.scene, frame)
        places.append((bone_heads(person), skin_vertices(person)))
    return places


def empty():
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.mark.parametrize("use_twist", [False, True])
@pytest.mark.parametrize("rest", ["T", "I"])
def test_motion_and_skin_do_not_depend_on_the_rest(rest, use_twist):
    reconstruction = build_reconstruction(frames=FRAMES)  # the face's shape keys move, too
    frames = (1, 2, 2.5, FRAMES)
    (person,) = write(reconstruction, "A", use_twist=use_twist)
    expected = motion_of(person, frames)
    empty()
    (person,) = write(reconstruction, rest, use_twist=use_twist)
    for (heads, skin), (joints, vertices) in zip(motion_of(person, frames), expected, strict=True):
        assert np.abs(heads - joints).max() < TOLERANCE
        assert np.abs(skin - vertices).max() < TOLERANCE


@pytest.mark.parametrize("rest", rest_pose.RESTS)
def test_limbs_rest_in_their_directions_with_soles_on_the_floor(rest):
    (person,) = write(build_reconstruction(frames=2), rest)
    assert rest_pose.rest_of(person) == rest
    bones = bone_names.find_bones(person)
    arms = {"A": (1, 0, -1), "T": (1, 0, 0), "I": (0, 0, -1)}[rest]
    for side, sign in (("L", 1), ("R", -1)):
        arm = bones[f"Hand{side}"].head_local - bones[f"Upperarm{side}"].head_local
        direction = np.array(arms) * [sign, 1, 1] / np.linalg.norm(arms)
        # The A-pose's elbows and wrists lie up to 2 degrees off the line.
        np.testing.assert_allclose(arm.normalized(), direction, atol=0.1 if rest == "A" else 1e-5)
        leg = bones[f"Ankle{side}"].head_local - bones[f"Thigh{side}"].head_local
        if rest != "A":
            np.testing.assert_allclose(leg.normalized(), (0, 0, -1), atol=1e-5)
    ankles = [bones[f"Ankle{side}"].head_local.z for side in "LR"]
    empty()
    (other,) = write(build_reconstruction(frames=2), "A")
    bones = bone_names.find_bones(other)
    assert np.allclose(ankles, [bones[f"Ankle{side}"].head_local.z for side in "LR"], atol=2e-3)


@pytest.mark.parametrize("rest", ["T", "I"])
def test_skin_follows_the_bones_in_rest_position_and_by_hand(rest):
    """A pose made by hand, too, deforms the skin as in the A-pose: the law is of all poses."""
    reconstruction = build_reconstruction(frames=2)
    (person,) = write(reconstruction, rest)
    person.data.pose_position = "REST"
    bpy.context.view_layer.update()
    hand = bone_names.find_bones(person)["HandL"]
    place = np.array(person.matrix_world @ hand.head_local)
    skin = skin_vertices(person)
    assert np.linalg.norm(skin - place, axis=1).min() < 0.04
    person.data.pose_position = "POSE"
    person.animation_data.action = None
    for name in ("Upperarm.L", "Lowerarm.L", "Thigh.R"):
        person.pose.bones[name].rotation_quaternion = (0.9, 0.3, 0.1, 0.3)
    bpy.context.view_layer.update()
    skin = skin_vertices(person)
    matrices = {bone.name: bone.matrix.copy() for bone in person.pose.bones}
    empty()
    (other,) = write(reconstruction, "A")
    other.animation_data.action = None
    for bone in other.pose.bones:  # parents come first
        if not bone.constraints:
            bone.matrix = matrices[bone.name]
            bpy.context.view_layer.update()
    assert np.abs(skin_vertices(other) - skin).max() < TOLERANCE


def test_stage_preview_does_not_depend_on_the_rest(tmp_path):
    reconstruction, _ = build_descent(frames=2)
    path = tmp_path / "dance.npz"
    reconstruction.save(path)
    source = Source(str(path), fingerprint(reconstruction), 30.0, 1)
    shown = []
    for rest in rest_pose.RESTS:
        empty()
        (person,) = write(reconstruction, rest)
        go_to_frame(bpy.context.scene, 1)
        show_stage({0: person}, source, 1, bpy.context.scene)
        bpy.context.view_layer.update()
        shown.append((bone_heads(person), skin_vertices(person)))
    for heads, skin in shown[1:]:
        assert np.abs(heads - shown[0][0]).max() < TOLERANCE
        assert np.abs(skin - shown[0][1]).max() < TOLERANCE


@pytest.mark.parametrize("asked", ["A", "I"])
def test_replaced_motion_keeps_the_rest_and_fits_the_new_build(asked):
    (person,) = write(build_reconstruction(frames=FRAMES), "T")
    person.show_name = True  # a change of the user's
    second = build_reconstruction(frames=FRAMES, seed=5)
    (renewed,) = write(second, asked, existing="MOTION")
    assert renewed == person and rest_pose.rest_of(renewed) == "T"
    found = motion_of(renewed, (1, FRAMES))
    empty()
    (expected,) = write(second, "A")
    for (heads, skin), (joints, vertices) in zip(
        found, motion_of(expected, (1, FRAMES)), strict=True
    ):
        assert np.abs(heads - joints).max() < TOLERANCE
        assert np.abs(skin - vertices).max() < TOLERANCE


def test_bind_armature_is_hidden_and_goes_with_its_result():
    written = scene.write(bpy.context, build_reconstruction(frames=2), rest="T")
    (person,) = written.people
    bind = rest_pose.bind_armature(person)
    assert bind != person and ownership.is_owned(bind)
    assert bind.hide_viewport and bind.hide_render and bind.hide_select
    assert len([o for o in bpy.data.objects if o.type == "ARMATURE"]) == 2
    written = scene.write(bpy.context, build_reconstruction(frames=2), rest="A")
    assert rest_pose.bind_armature(written.people[0]) == written.people[0]
    assert len([o for o in bpy.data.objects if o.type == "ARMATURE"]) == 1


def test_bones_of_both_sides_stay_mirror_images():
    betas = np.zeros((1, 16), np.float32)
    for rest in ("T", "I"):
        empty()
        (person,) = write(build_reconstruction(frames=2, betas=betas), rest)
        mirror = np.diag([-1.0, 1, 1])
        for bone in person.data.bones:
            other = person.data.bones[bpy.utils.flip_name(bone.name)]
            axes = np.array(bone.matrix_local)[:3, :3]
            mirrored = mirror @ np.array(other.matrix_local)[:3, :3] @ mirror
            np.testing.assert_allclose(axes, mirrored, atol=1e-3, err_msg=bone.name)
