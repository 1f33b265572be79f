"""FK retargeting: directions of limbs carry over to any skeleton, and nothing else is touched."""

import bpy
import numpy as np
import pytest
import rig_tables
from bl_ext.user_default.hund.bridge.retarget.apply import Options, apply_motion
from bl_ext.user_default.hund.bridge.retarget.errors import RetargetError
from retargeting import (
    FK,
    LIMBS,
    channel,
    curves_of,
    datablock_counts,
    limb_errors,
    mapping,
    retarget,
    rig_state,
    source_character,
)

RIGS = {
    "mixamo": "Mixamo",
    "game_engine": "Unreal",
    "makehuman": "MPFB Default",
    "makehuman_no_toes": "MPFB Default",
    "cmu": "CMU BVH",
}
FRAMES = (1, 4, 8)
HIP_LINE = (("thigh.L", "thigh.R"),)
SHOULDER_LINE = (("upper_arm.L", "upper_arm.R"),)
T_POSE = {"LeftArm": ((0, 1, 0), 0.75), "RightArm": ((0, 1, 0), -0.75)}


def assert_limbs(source, target, preset, degrees=1.0):
    for frame in FRAMES:
        errors = limb_errors(source, target, preset, frame)
        assert max(errors.values()) < degrees, errors
        (hip_line,) = limb_errors(source, target, preset, frame, HIP_LINE).values()
        assert hip_line < 1.5
        (shoulder_line,) = limb_errors(source, target, preset, frame, SHOULDER_LINE).values()
        assert shoulder_line < 16  # shoulder blades of other shapes, and large motion


@pytest.mark.parametrize("rig", ["mixamo", "makehuman"])
def test_rolls_and_rest_poses_do_not_matter(rig):
    rng = np.random.default_rng(5)
    source, target = source_character(), rig_tables.build(rig, rolls=rng)
    arms = {"mixamo": "mixamorig:{}Arm", "makehuman": "upperarm01.{}"}[rig]
    sides = {"mixamo": ("Left", "Right"), "makehuman": "LR"}[rig]
    elbows = {"mixamo": "mixamorig:{}ForeArm", "makehuman": "lowerarm01.{}"}[rig]
    for side, sign in zip(sides, (1, -1), strict=True):
        rig_tables.set_rest(target, {arms.format(side): ((0, 1, 0), -0.7 * sign)})
        rig_tables.set_rest(target, {elbows.format(side): ((0, 0, 1), -0.4 * sign)})
    retarget(source, target, RIGS[rig])
    assert_limbs(source, target, RIGS[rig])


@pytest.mark.parametrize("rig", ["mixamo", "game_engine", "makehuman"])
def test_palms_face_where_the_source_s_do(rig):
    source, target = source_character(), rig_tables.build(rig, rolls=np.random.default_rng(3))
    retarget(source, target, RIGS[rig])
    for frame in FRAMES:
        palms = []
        for armature, preset in ((source, "HUND"), (target, RIGS[rig])):
            bones = mapping(armature, preset).bones
            points = rig_tables.heads(armature, list(bones.values()), frame)
            at = {role: points[bone] for role, bone in bones.items()}
            for side in "LR":
                knuckles = [
                    at[f"{name}.1.{side}"] for name in ("index", "middle", "ring", "pinky")
                ]
                along = np.mean(knuckles, axis=0) - at[f"hand.{side}"]
                normal = np.cross(along, knuckles[0] - knuckles[-1])
                palms.append(normal / np.linalg.norm(normal))
        assert rig_tables.angle_deg(palms[0], palms[2]) < 1
        assert rig_tables.angle_deg(palms[1], palms[3]) < 1


def test_any_mapped_armature_is_a_source():
    character = source_character()
    first, second = rig_tables.build("mixamo"), rig_tables.build("mixamo")
    retarget(character, first, "Mixamo")
    names = mapping(first, "Mixamo")
    apply_motion(first, names, second, names, FK)
    given, written = curves_of(first), curves_of(second)
    assert given.keys() == written.keys()
    for key, curve in written.items():
        expected = np.interp(curve[:, 0], given[key][:, 0], given[key][:, 1])
        assert np.abs(curve[:, 1] - expected).max() < 1e-3, key


def test_linked_rigs_need_an_override(tmp_path):
    path = tmp_path / "rig.blend"
    armature = rig_tables.build("mixamo")
    bpy.data.libraries.write(str(path), {armature})
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    source = source_character()
    with bpy.data.libraries.load(str(path), link=True) as (_, wanted):
        wanted.objects = ["mixamo"]
    linked = wanted.objects[0]
    bpy.context.scene.collection.objects.link(linked)
    with pytest.raises(RetargetError, match="library override"):
        retarget(source, linked, "Mixamo")
    override = linked.override_create()
    bpy.context.scene.collection.objects.link(override)
    bpy.context.view_layer.update()
    override.override_library.is_system_override = False
    retarget(source, override, "Mixamo")
    assert_limbs(source, override, "Mixamo")


def test_keys_onto_a_copy_of_our_own_rig_are_equal():
    source = source_character()
    target = source.copy()
    skin = source.children[0].copy()
    skin.parent = skin.modifiers["Armature"].object = target
    for obj in (target, skin):
        bpy.context.scene.collection.objects.link(obj)
    target.animation_data_clear()
    retarget(source, target, "HUND")
    given, written = curves_of(source), curves_of(target)
    bones = {path for path, _ in written}
    assert len(mapping(target, "HUND").bones) == 63
    assert bones == {path for path, _ in given if path.endswith(("location", "_quaternion"))}
    for key, curve in written.items():
        expected = np.interp(curve[:, 0], given[key][:, 0], given[key][:, 1])
        assert np.abs(curve[:, 1] - expected).max() < 1e-4, key


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "AXIS_ANGLE"])
def test_other_rotation_modes_give_the_same_pose_and_continuous_curves(mode):
    source = source_character(frames=24)
    target = rig_tables.build("mixamo")
    for bone in target.pose.bones:
        bone.rotation_mode = mode
    retarget(source, target, "Mixamo")
    assert_limbs(source, target, "Mixamo")
    path = "rotation_axis_angle" if mode == "AXIS_ANGLE" else "rotation_euler"
    for bone in ("mixamorig:Hips", "mixamorig:LeftArm", "mixamorig:Head"):
        values = channel(target, bone, path)
        assert np.abs(np.diff(values, axis=0)).max() < 2.0  # a wrapped angle jumps by 2 π


def test_twist_bones_extra_bones_and_missing_bones_are_no_obstacle():
    source = source_character()
    missing = ("Shoulder", "Neck", "Toe", "Hand", "Spine2")
    target = rig_tables.build("mixamo", keep=lambda bone: not bone.endswith(missing))
    assert "mixamorig:LeftShoulder" not in target.data.bones
    retarget(source, target, "Mixamo")
    for frame in FRAMES:
        pairs = tuple(pair for pair in LIMBS if not pair[1].startswith("hand"))
        errors = limb_errors(source, target, "Mixamo", frame, pairs)
        assert max(errors.values()) < 1.0, errors


def test_only_mapped_bones_are_keyed_and_the_rig_is_unchanged():
    source, target = source_character(), rig_tables.build("makehuman")
    target.pose.bones["jaw"].rotation_mode = "XYZ"
    target.pose.bones["tongue01"].location = (0.1, 0, 0)
    before, counts = rig_state(target), datablock_counts()
    retarget(source, target, "MPFB Default")
    assert rig_state(target) == before
    assert datablock_counts() == {**counts, "actions": counts["actions"] + 1}
    keyed = {path.split('"')[1] for path, _ in curves_of(target)}
    names = mapping(target, "MPFB Default")
    assert keyed == {*names.bones.values(), *(b for g in names.followers.values() for b in g)}
    locations = {path.split('"')[1] for path, _ in curves_of(target) if "location" in path}
    assert locations == {"root"}
    assert tuple(target.pose.bones["tongue01"].location) == pytest.approx((0.1, 0, 0))


def test_a_pose_of_other_bones_is_kept_and_made_up_for():
    source = source_character()
    target = rig_tables.build("makehuman")
    target.pose.bones["pelvis.L"].rotation_mode = "XYZ"
    target.pose.bones["pelvis.L"].rotation_euler = (0.2, 0.1, 0.3)
    target.pose.bones["upperarm02.R"].rotation_quaternion = (0.98, 0.0, 0.17, 0.1)
    bpy.context.view_layer.update()
    retarget(source, target, "MPFB Default")
    for frame in FRAMES:
        errors = limb_errors(source, target, "MPFB Default", frame)
        assert max(errors.values()) < 1.0, errors


def test_inherited_scale_and_rotation_are_made_up_for():
    source = source_character()
    target = rig_tables.build("mixamo")
    target.pose.bones["mixamorig:Spine"].scale = (1.3, 1.3, 1.3)
    target.data.bones["mixamorig:LeftArm"].inherit_scale = "NONE"
    target.data.bones["mixamorig:RightArm"].use_inherit_rotation = False
    target.data.bones["mixamorig:Hips"].use_local_location = False
    bpy.context.view_layer.update()
    retarget(source, target, "Mixamo")
    assert_limbs(source, target, "Mixamo")


def test_locked_axes_get_no_keys():
    source, target = source_character(), rig_tables.build("mixamo")
    for bone in target.pose.bones:
        bone.rotation_mode = "XYZ"
    knee, head = (target.pose.bones[f"mixamorig:{name}"] for name in ("LeftLeg", "Head"))
    knee.lock_rotation = (False, True, True)
    head.lock_rotation = (True, True, True)
    retarget(source, target, "Mixamo")
    keyed = {key for key in curves_of(target) if "LeftLeg" in key[0] or "Head" in key[0]}
    assert keyed == {('pose.bones["mixamorig:LeftLeg"].rotation_euler', 0)}
    for frame in FRAMES:  # what follows a locked bone still points the right way
        pairs = tuple(pair for pair in LIMBS if pair[0] != "shin.L")
        assert max(limb_errors(source, target, "Mixamo", frame, pairs).values()) < 1.0


def test_hips_travel_by_the_ratio_of_the_legs_or_as_in_the_video():
    source = source_character()
    target = rig_tables.build("mixamo", place=lambda point: 2 * point)
    hips = {}
    for travel in ("SCALED", "VIDEO"):
        retarget(source, target, "Mixamo", Options(keep_contacts=False, travel=travel))
        names = ("mixamorig:LeftUpLeg", "mixamorig:RightUpLeg")
        points = [rig_tables.heads(target, names, frame) for frame in FRAMES]
        hips[travel] = np.array([np.mean(list(each.values()), axis=0) for each in points])
    theirs = [rig_tables.heads(source, ("Thigh.L", "Thigh.R"), frame) for frame in FRAMES]
    middle = np.array([np.mean(list(each.values()), axis=0) for each in theirs])
    assert np.abs(hips["VIDEO"][:, :2] - middle[:, :2]).max() < 1e-3
    steps = {name: np.diff(points, axis=0) for name, points in hips.items()}
    ratio = steps["SCALED"][:, :2] / np.diff(middle, axis=0)[:, :2]
    assert np.ptp(ratio) < 0.01 * ratio.mean() and ratio.mean() > 1.5
    assert np.allclose(steps["SCALED"][:, 2], steps["VIDEO"][:, 2], atol=1e-4)


def test_root_motion_goes_where_it_is_wanted():
    source = source_character(frames=12)
    target = rig_tables.build("game_engine")
    names = list(mapping(target, "Unreal").bones.values())
    retarget(source, target, "Unreal")
    expected = [rig_tables.heads(target, names, frame) for frame in FRAMES]
    retarget(source, target, "Unreal", Options(keep_contacts=False, root="ROOT"))
    for frame, points in zip(FRAMES, expected, strict=True):
        found = rig_tables.heads(target, names, frame)
        for name in set(names) - {"Root"}:
            assert np.abs(found[name] - points[name]).max() < 1e-3
        assert np.abs(found["Root"][:2] - found["pelvis"][:2]).max() < 0.1
    assert np.ptp(channel(target, "Root", "location"), axis=0).max() > 0.05
    retarget(source, target, "Unreal", Options(keep_contacts=False, root="IN_PLACE"))
    places = np.array([rig_tables.heads(target, ["pelvis"], f)["pelvis"] for f in FRAMES])
    assert np.ptp(places[:, :2], axis=0).max() < 0.08  # the pelvis turns about the hips' middle
    with pytest.raises(RetargetError, match="root bone"):
        other = rig_tables.build("mixamo")
        retarget(source, other, "Mixamo", Options(keep_contacts=False, root="ROOT"))


def test_an_evaluated_source_gives_the_same_as_its_curves():
    source = source_character()
    target, other = rig_tables.build("mixamo"), rig_tables.build("mixamo")
    retarget(source, target, "Mixamo")
    holder = bpy.data.objects.new("Holder", None)
    bpy.context.scene.collection.objects.link(holder)
    source.constraints.new("COPY_LOCATION").target = holder  # evaluated frame by frame
    counts, frame = datablock_counts(), bpy.context.scene.frame_current
    retarget(source, other, "Mixamo")
    assert datablock_counts() == {**counts, "actions": counts["actions"] + 1}
    assert bpy.context.scene.frame_current == frame
    first, second = curves_of(target), curves_of(other)
    assert first.keys() == second.keys()
    for key, curve in first.items():
        assert np.abs(curve - second[key]).max() < 2e-4, key


def test_constraints_that_override_keys_are_named():
    source, target = source_character(), rig_tables.build("mixamo")
    ik = target.pose.bones["mixamorig:LeftLeg"].constraints.new("IK")
    ik.target, ik.chain_count = source, 2
    applied = retarget(source, target, "Mixamo")
    assert set(applied.constrained) == {"mixamorig:LeftUpLeg", "mixamorig:LeftLeg"}
    ik.mute = True
    for frame in FRAMES:
        assert max(limb_errors(source, target, "Mixamo", frame).values()) < 1.0
    assert not retarget(source, target, "Mixamo").constrained


def test_a_previous_action_stays_in_the_file():
    source, target = source_character(), rig_tables.build("mixamo")
    target.animation_data_create().action = bpy.data.actions.new("Wave")
    retarget(source, target, "Mixamo")
    assert target.animation_data.action.name == f"{source.name} on {target.name}"
    assert bpy.data.actions["Wave"].use_fake_user


class _CancelledError(Exception):
    """Raised by a report of progress."""


def _cancel(share):
    if share > 0:
        raise _CancelledError


def test_nothing_is_left_after_a_cancel():
    source, target = source_character(), rig_tables.build("mixamo")
    holder = bpy.data.objects.new("Holder", None)
    bpy.context.scene.collection.objects.link(holder)
    source.constraints.new("COPY_LOCATION").target = holder
    before, counts = rig_state(target), datablock_counts()
    with pytest.raises(_CancelledError):
        retarget(source, target, "Mixamo", report=_cancel)
    assert rig_state(target) == before and datablock_counts() == counts
    assert target.animation_data is None
