"""Writing a clip again: whatever the user has changed is detected and survives."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import action, edits, job, ownership, scene
from mathutils import Matrix
from synthetic_people import bone_heads, build_reconstruction, go_to_frame

CLIP = Path("/somewhere/dance.mp4")
FRAMES = 9
FRAME = 5  # whole, between the first and the last one
TOLERANCE = 1e-4  # metres
PRESENT = np.ones((2, FRAMES), bool)
PRESENT[1, :3] = False  # the second person enters later


def solve(seed=0, **options):
    """A reconstruction of the clip; all have the same people in another order of poses."""
    return build_reconstruction(**({"people": 2, "frames": FRAMES, "seed": seed} | options))


def write(reconstruction=None, existing="AUTO", **options):
    return scene.write(
        bpy.context, reconstruction or solve(), clip=CLIP, existing=existing, **options
    )


def changes(written):
    return edits.changes(written.collection)


def texts(written):
    return edits.descriptions(changes(written))


def channels(obj):
    return action.channels_in(obj.animation_data)


def collections():
    return list(bpy.context.scene.collection.children)


def heads(armature, frame=FRAME):
    go_to_frame(bpy.context.scene, frame)
    return bone_heads(armature)


@pytest.fixture(scope="module")
def expected_heads():
    """Heads of each person of a reconstruction when it is written into an empty scene."""
    known = {}

    def write_alone(reconstruction):
        key = reconstruction.rotations.tobytes()
        if key not in known:
            bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
            known[key] = [heads(person) for person in write(reconstruction).people]
            bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        return known[key]

    return write_alone


# Work of an animator. Each function changes a result and returns a function that tells whether the
# change is there in a scene; `person` and `mesh` are the first ones of the result.


def hand_made_keys(written):
    person = written.people[0]
    curve = channels(person).fcurves.find('pose.bones["Head01"].rotation_quaternion', index=1)
    curve.keyframe_points.insert(FRAME + 0.5, 0.25)
    value = curve.keyframe_points[0].co.y = curve.keyframe_points[0].co.y + 0.125

    def lives():
        curves = [c for item in bpy.data.actions for c in action.fcurves(item)]
        found = [c for c in curves if c.data_path == curve_path and c.array_index == 1]
        return any(np.isclose(c.keyframe_points[0].co.y, value) for c in found)

    curve_path = curve.data_path
    return lives


def key_on_another_channel(written):
    person = written.people[0]
    person["ik"] = 0.5
    curve = channels(person).fcurves.new('["ik"]')
    curve.keyframe_points.insert(3, 0.5)
    name = person.name
    return lambda: channels(bpy.data.objects[name]).fcurves.find('["ik"]') is not None


def curve_modifier(written):
    person = written.people[0]
    path = 'pose.bones["Head01"].rotation_quaternion'
    channels(person).fcurves.find(path, index=2).modifiers.new("NOISE")
    name = person.name
    return lambda: bool(channels(bpy.data.objects[name]).fcurves.find(path, index=2).modifiers)


def bone_constraint(written):
    person = written.people[0]
    person.pose.bones["Head01"].constraints.new("LIMIT_ROTATION").name = "Limit Head"
    name = person.name
    return lambda: "Limit Head" in bpy.data.objects[name].pose.bones["Head01"].constraints


def object_constraint(written):
    name = written.camera.name
    written.camera.constraints.new("LIMIT_LOCATION").name = "Limit Camera"
    return lambda: "Limit Camera" in bpy.data.objects[name].constraints


def subsurf(written):
    mesh = written.people[0].children[0]
    mesh.modifiers.new("Subdivision", "SUBSURF")
    name = mesh.name
    return lambda: "Subdivision" in bpy.data.objects[name].modifiers


def own_material(written):
    mesh = written.people[0].children[0]
    mesh.data.materials[0] = bpy.data.materials.new("Costume")
    name = mesh.name
    return lambda: bpy.data.objects[name].data.materials[0].name == "Costume"


def changed_skin(written):
    material = written.people[0].children[0].data.materials[0]
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Roughness"].default_value = 0.125
    name = written.people[0].children[0].name

    def lives():
        nodes = bpy.data.objects[name].data.materials[0].node_tree.nodes
        shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
        return shader.inputs["Roughness"].default_value == 0.125

    return lives


def moved_armature(written):
    person = written.people[0]
    person.location = (1, 2, 0.5)
    name = person.name
    return lambda: tuple(bpy.data.objects[name].location) == (1, 2, 0.5)


def tweak_layer(written):
    """Push the motion down to a strip, moved and slowed, below an action of the animator's."""
    person = written.people[0]
    animation = person.animation_data
    solved, slot = animation.action, animation.action_slot if action.HAS_SLOTS else None
    animation.action = None
    strip = animation.nla_tracks.new().strips.new("Solve", 20, solved)
    if slot:
        strip.action_slot = slot
    strip.scale = 2.0
    person.keyframe_insert('pose.bones["Head01"].location', frame=4)
    animation.action.name = "Tweak"
    animation.action_blend_type = "ADD"
    name, timing = person.name, (strip.frame_start, strip.frame_end, strip.scale)

    def lives():
        animation = bpy.data.objects[name].animation_data
        (strip,) = animation.nla_tracks[0].strips
        is_same = (strip.frame_start, strip.frame_end, strip.scale) == timing
        return is_same and animation.action.name == "Tweak" and bool(channels(strip_owner(name)))

    def strip_owner(name):
        return bpy.data.objects[name]

    return lives


def renamed_armature(written):
    written.people[0].name = "Anna"
    return lambda: "Anna" in bpy.data.objects and len(bpy.data.objects["Anna"].children) == 1


def renamed_collection(written):
    written.collection.name = "Shot 7"
    return lambda: "Shot 7" in bpy.data.collections


def renamed_bone(written):
    written.people[0].pose.bones["Hand.L"].name = "Paw"
    name = written.people[0].name
    return lambda: "Paw" in bpy.data.objects[name].pose.bones


def parent(written):
    empty = bpy.data.objects.new("Anchor", None)
    bpy.context.scene.collection.objects.link(empty)
    written.people[0].parent = empty
    name = written.people[0].name
    return lambda: bpy.data.objects[name].parent is bpy.data.objects["Anchor"]


def driver(written):
    person = written.people[0]
    person.driver_add("location", 2).driver.expression = "0.5"
    name = person.name
    return lambda: bool(bpy.data.objects[name].animation_data.drivers)


def own_bone(written):
    """Add a bone in edit mode, as for an IK target."""
    person = written.people[0]
    with bpy.context.temp_override(object=person, active_object=person):
        bpy.context.view_layer.objects.active = person
        bpy.ops.object.mode_set(mode="EDIT")
        bone = person.data.edit_bones.new("IK")
        bone.tail = (0, 0, 1)
        bpy.ops.object.mode_set(mode="OBJECT")
    name = person.name
    return lambda: "IK" in bpy.data.objects[name].pose.bones


def sculpted_shape(written):
    keys = written.people[0].children[0].data.shape_keys
    keys.key_blocks["Shape 02"].value += 0.5
    value, name = keys.key_blocks["Shape 02"].value, written.people[0].children[0].name
    blocks = "key_blocks"
    return lambda: (
        getattr(bpy.data.objects[name].data.shape_keys, blocks)["Shape 02"].value
        == pytest.approx(value)
    )


def keyed_face(written):
    keys = written.people[0].children[0].data.shape_keys
    keys.key_blocks["jawOpen"].keyframe_insert("value", frame=3)
    name = written.people[0].children[0].name

    def lives():
        keys = bpy.data.objects[name].data.shape_keys
        return keys.animation_data and any(
            "jawOpen" in curve.data_path
            for item in edits.actions(keys.animation_data)
            for curve in action.fcurves(item)
        )

    return lives


def painted_weights(written):
    mesh = written.people[0].children[0]
    mesh.vertex_groups["Head01"].add([5], 0.375, "REPLACE")
    name = mesh.name
    return lambda: bpy.data.objects[name].vertex_groups["Head01"].weight(5) == pytest.approx(0.375)


WORK = {
    hand_made_keys: "Hand-made keys on Person 1",
    key_on_another_channel: "Hand-made keys on Person 1",
    curve_modifier: "F-curve modifiers on Person 1",
    bone_constraint: "Constraint Head01: Limit Head on Person 1",
    object_constraint: "Constraint Limit Camera on Camera",
    subsurf: "Modifier Subdivision on Person 1 Body",
    own_material: "Material of Person 1 Body",
    changed_skin: "Nodes of Person 1 Body Skin",
    moved_armature: "Person 1 is moved",
    tweak_layer: "NLA track NlaTrack on Person 1",
    renamed_armature: "Person 1 is renamed to Anna",
    renamed_collection: "The collection is renamed to Shot 7",
    renamed_bone: "Edited bones of Person 1",
    parent: "Parent of Person 1",
    driver: "Driver of location on Person 1",
    own_bone: "Edited bones of Person 1",
    sculpted_shape: "Shape key values of Person 1 Body",
    keyed_face: "Hand-made keys on Person 1",
    painted_weights: "Weights of Person 1 Body",
}
every_work = pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
# One of each place where changes are kept: keys, layers, modifiers, names, bones, drivers.
some_work = pytest.mark.parametrize(
    "work",
    [hand_made_keys, tweak_layer, subsurf, renamed_armature, own_bone, driver],
    ids=lambda work: work.__name__,
)


@every_work
def test_change_is_described(work):
    written = write(solve(present=PRESENT))
    assert changes(written) == []
    lives = work(written)
    assert lives()
    assert any(text.startswith(WORK[work]) for text in texts(written)), texts(written)


@every_work
def test_work_survives_new_motion(work, expected_heads):
    check_survival(work, "AUTO", expected_heads)


@some_work
def test_work_survives_chosen_new_motion(work, expected_heads):
    check_survival(work, "MOTION", expected_heads)


def check_survival(work, existing, expected_heads):
    new = solve(seed=1, moves_face=False)
    expected = expected_heads(new)
    first = write(solve(moves_face=False))
    lives = work(first)
    before = collections()
    second = write(new, existing)
    assert lives() and collections() == before
    assert second.people == first.people and second.collection == first.collection
    assert not any(name.startswith("~") for name in names_of_all())
    assert np.abs(heads(second.people[1]) - expected[1]).max() < TOLERANCE
    if work in {subsurf, own_material, bone_constraint, renamed_armature}:
        assert np.abs(heads(second.people[0]) - expected[0]).max() < TOLERANCE
    third = write(solve(seed=2, moves_face=False), existing)
    assert lives() and third.people == first.people


@some_work
def test_work_survives_beside_a_new_result(work, expected_heads):
    new = solve(seed=1)
    expected = expected_heads(new)
    first = write()
    lives = work(first)
    before = texts(first)
    second = write(new, "ADD")
    assert collections() == [first.collection, second.collection]
    assert lives() and texts(first) == before and changes(second) == []
    assert not set(first.people) & set(second.people)
    for person, positions in zip(second.people, expected, strict=True):
        assert np.abs(heads(person) - positions).max() < TOLERANCE


@some_work
def test_replacing_all_leaves_only_the_new_result(work):
    write(solve(seed=1))
    alone = names_of_all()
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    work(write())
    bpy.data.orphans_purge(do_recursive=True)
    own = [name for name in ("Anchor", "Tweak", "Costume") if name in names_of_all()]
    second = write(solve(seed=1), "ALL")
    assert second.kept[0].startswith("Your changes are gone: ")
    bpy.data.orphans_purge(do_recursive=True)
    assert sorted(set(names_of_all()) - set(own)) == sorted(set(alone) - set(own))
    assert changes(second) == []


def names_of_all():
    return sorted(item.name for item in bpy.data.user_map() if item.id_type != "BRUSH")


@pytest.mark.parametrize("existing", ["AUTO", "ALL"])
def test_untouched_result_is_replaced_silently(existing):
    name = write(solve(present=PRESENT)).name
    for frame in (1, 3, 9):
        go_to_frame(bpy.context.scene, frame)
    names = names_of_all()
    second = write(solve(seed=1, present=PRESENT), existing)
    assert second.kept == () and names_of_all() == names
    assert collections() == [second.collection] and second.name == name == CLIP.stem


def test_untouched_result_stays_untouched(tmp_path):
    """By playing, modes, saving, opening, rendering and undo."""
    written = write(solve(present=PRESENT, moves_camera=True))
    person = written.people[0]
    bpy.context.view_layer.objects.active = person
    for mode in ("POSE", "EDIT", "OBJECT"):
        bpy.ops.object.mode_set(mode=mode)
        go_to_frame(bpy.context.scene, 4.5)
    bpy.context.view_layer.objects.active = person.children[0]
    person.children[0].hide_viewport = False
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.object.mode_set(mode="OBJECT")
    for obj in bpy.context.scene.objects:
        obj.select_set(True)
    assert texts(written) == []
    reopen(tmp_path)
    (collection,) = ownership.result_collections(bpy.context.scene).values()
    assert edits.descriptions(edits.changes(collection)) == []
    assert write(solve(seed=1)).kept == ()
    assert len(collections()) == 1


def reopen(folder):
    """Save the file and open it, as the enabled extension does."""
    path = folder / f"{len(list(folder.iterdir()))}.blend"
    ownership.unmark_copies()
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.open_mainfile(filepath=str(path))
    ownership.renew_marks()
    return path


@pytest.mark.parametrize(
    "work", [hand_made_keys, tweak_layer, renamed_armature, subsurf], ids=lambda w: w.__name__
)
def test_work_is_detected_after_saving_and_opening(work, tmp_path):
    lives = work(write())
    reopen(tmp_path)
    second = write(solve(seed=1))
    assert len(collections()) == 1 and lives() and second.kept
    reopen(tmp_path)
    assert lives()


def test_new_motion_reaches_strip_below_own_action(expected_heads):
    new = solve(seed=1)
    expected = expected_heads(new)
    first = write()
    tweak_layer(first)
    person = first.people[0]
    person.animation_data.action = None
    write(new, "MOTION")
    strip = person.animation_data.nla_tracks[0].strips[0]
    frame = strip.frame_start + (FRAME - strip.action_frame_start) * strip.scale
    assert np.abs(heads(person, frame) - expected[0]).max() < TOLERANCE


def test_edited_curves_stay_and_others_get_the_new_motion():
    first, path = write(), 'pose.bones["{}"].rotation_quaternion'
    hand_made_keys(first)
    person = first.people[0]
    name = person.animation_data.action.name

    def keys(bone, index):
        curve = channels(person).fcurves.find(path.format(bone), index=index)
        return [tuple(point.co) for point in curve.keyframe_points]

    edited = [keys("Head01", index) for index in range(4)]
    other = keys("Neck01", 1)
    for seed in (1, 2):
        second = write(solve(seed=seed), "MOTION")
        assert second.people[0].animation_data.action.name == name
        assert [keys("Head01", index) for index in range(4)] == edited
        assert keys("Neck01", 1) != other
        assert any(WORK[hand_made_keys] in sentence for sentence in second.kept)
        assert texts(second) == [WORK[hand_made_keys]]


def test_own_action_in_place_of_the_solve_is_kept(expected_heads):
    new = solve(seed=1)
    expected = expected_heads(new)
    first = write()
    animation = first.people[0].animation_data
    animation.action = own = animation.action.copy()
    own.name = "Hero Walk"
    second = write(new)
    assert bpy.data.actions["Hero Walk"].use_fake_user
    assert any("Hero Walk" in sentence for sentence in second.kept)
    assert np.abs(heads(second.people[0]) - expected[0]).max() < TOLERANCE


def test_new_body_shape_and_rest_bones_unless_edited(expected_heads):
    new = solve(seed=1)
    first = write()
    subsurf(first)
    second = write(new)
    blocks = second.people[0].children[0].data.shape_keys.key_blocks
    assert blocks["Shape 01"].value == pytest.approx(float(new.betas[0, 0]), abs=1e-6)
    value = second.people[1].children[0].data.shape_keys.key_blocks["Shape 02"].value
    own_bone(second)
    third = write(solve(seed=2))
    assert blocks["Shape 01"].value == pytest.approx(float(new.betas[0, 0]), abs=1e-6)
    assert third.people[1].children[0].data.shape_keys.key_blocks["Shape 02"].value != value
    assert any("keeps its body shape" in sentence for sentence in third.kept)


def test_deleted_person_is_not_brought_back():
    first = write()
    person = first.people[1]
    bpy.data.objects.remove(person.children[0])
    bpy.data.objects.remove(person)
    assert "Person 2 is deleted" in texts(first)
    for existing in ("AUTO", "MOTION"):
        second = write(solve(seed=1), existing)
        assert len(second.people) == 1 and "Person 2 stays deleted." in second.kept
        assert len([obj for obj in bpy.data.objects if obj.type == "ARMATURE"]) == 1
    assert len(write(solve(seed=1), "ALL").people) == 2


def test_deleted_mesh_and_camera_stay_deleted():
    first = write()
    bpy.data.objects.remove(first.people[0].children[0])
    bpy.data.objects.remove(first.camera)
    second = write(solve(seed=1))
    assert second.people == first.people and second.camera is None
    assert not second.people[0].children


def test_new_person_is_added_and_vanished_one_is_kept():
    first = write(solve(people=1))
    subsurf(first)
    second = write(solve(seed=1), "MOTION")
    assert len(second.people) == 2 and "Person 2 is added." in second.kept
    assert second.people[1].name == f"Person 2 - {CLIP.stem}"
    assert set(second.collection.objects) >= {*second.people, second.people[1].children[0]}
    assert not [text for text in texts(second) if "Person 2" in text]
    third = write(solve(people=1, seed=2), "MOTION")
    assert third.people == second.people[:1]
    assert any("Person 2 is not in the new result" in sentence for sentence in third.kept)
    assert ownership.people(bpy.context.scene, third.name) == {0: second.people[0]}


def test_people_are_matched_by_track(expected_heads):
    tracks = np.array([4, 2])
    new = solve(seed=1, track_ids=tracks[::-1].copy())
    expected = expected_heads(new)
    first = write(solve(track_ids=tracks))
    subsurf(first)
    second = write(new)
    assert second.people == first.people[::-1]
    for person, positions in zip(second.people, expected, strict=True):
        assert np.abs(heads(person) - positions).max() < TOLERANCE
    assert ownership.people(bpy.context.scene, second.name) == dict(enumerate(second.people))


def test_other_people_are_added_beside_changed_ones():
    first = write()
    subsurf(first)
    second = write(solve(people=3))
    assert collections() == [first.collection, second.collection]
    assert second.kept[0].startswith(f"{first.name} is kept with your changes: ")


def test_missing_bones_are_added_beside_or_refused():
    first = write()
    person = first.people[0]
    bpy.context.view_layer.objects.active = person
    bpy.ops.object.mode_set(mode="EDIT")
    person.data.edit_bones.remove(person.data.edit_bones["Hand.L"])
    bpy.ops.object.mode_set(mode="OBJECT")
    before = names_of_all()
    with pytest.raises(job.JobError, match="Add Beside"):
        write(solve(seed=1), "MOTION")
    assert names_of_all() == before
    write(solve(seed=1))
    assert len(collections()) == 2


def test_presence_follows_the_new_motion():
    first = write(solve(present=PRESENT))
    subsurf(first)
    second = write(solve(seed=1))
    go_to_frame(bpy.context.scene, 1)
    mesh = second.people[1].children[0]
    assert not mesh.hide_viewport and not mesh.hide_render
    third = write(solve(seed=2, present=PRESENT))
    go_to_frame(bpy.context.scene, 1)
    assert mesh.hide_viewport and third.people == first.people
    assert texts(third) == texts(second) == ["Modifier Subdivision on Person 1 Body"]


def test_result_to_replace_is_chosen_by_name():
    first, second = write(), write(existing="ADD")
    assert (first.name, second.name) == (CLIP.stem, f"{CLIP.stem} 2")
    subsurf(first)
    third = write(solve(seed=1), result=first.name)
    assert third.collection == first.collection and changes(second) == []
    write(solve(seed=1))
    assert [collection.name for collection in collections()] == [CLIP.stem, f"{CLIP.stem} 2"]


def test_copies_and_appended_results_are_the_users(tmp_path):
    first = write()
    copy = first.people[0].copy()
    first.collection.objects.link(copy)
    first.people[0].name = "Zoe"
    copy.name = f"Person 1 - {CLIP.stem}"
    assert ownership.people(bpy.context.scene, first.name)[0] == first.people[0]
    path = reopen(tmp_path)
    people = ownership.people(bpy.context.scene, CLIP.stem)
    assert people[0].name == "Zoe"
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(path)) as (_, target):
        target.collections = [CLIP.stem]
    bpy.context.scene.collection.children.link(target.collections[0])
    second = write()
    assert collections() == [target.collections[0], second.collection]
    reopen(tmp_path)
    assert list(ownership.result_collections(bpy.context.scene)) == [f"{CLIP.stem} 2"]


@pytest.mark.parametrize("existing", ["ADD", "MOTION", "ALL"])
@pytest.mark.parametrize("work", [hand_made_keys, tweak_layer, subsurf], ids=lambda w: w.__name__)
def test_one_undo_restores_everything(existing, work):
    bpy.ops.ed.undo_push(message="Empty")
    first = write()
    lives = work(first)
    bpy.ops.ed.undo_push(message="Work")
    name, before = first.name, state()
    write(solve(seed=1), existing)
    bpy.ops.ed.undo_push(message="Load")
    assert state() != before
    bpy.ops.ed.undo()
    assert state() == before and lives()
    assert list(ownership.result_collections(bpy.context.scene)) == [name]


def state():
    """All names, and the keys of all actions."""
    keys = {
        (item.name, curve.data_path, curve.array_index): [
            tuple(point.co) for point in curve.keyframe_points
        ]
        for item in bpy.data.actions
        for curve in action.fcurves(item)
    }
    return sorted(names_of_all()), keys


def test_motion_is_renewed_in_pose_mode_of_another_rest_pose(expected_heads):
    new = solve(seed=1)
    expected = expected_heads(new)
    first = write()
    subsurf(first)
    bpy.context.view_layer.objects.active = first.people[0]
    bpy.ops.object.mode_set(mode="POSE")
    second = write(new)
    assert bpy.context.mode == "POSE"
    assert np.abs(heads(second.people[0]) - expected[0]).max() < TOLERANCE


def test_edited_bones_keep_the_motion_of_joints():
    """The pelvis follows the new motion although the armature keeps its rest bones."""
    new = solve(seed=1)
    first = write()
    own_bone(first)
    second = write(new)
    go_to_frame(bpy.context.scene, FRAME)
    person = second.people[0]
    rotation = new.world_from_camera[FRAME - 1]
    position = rotation[:3, :3] @ new.root_translation[0, FRAME - 1] + rotation[:3, 3]
    pelvis = person.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones["Pelvis"]
    assert np.abs(np.array(person.matrix_world @ pelvis.head) - position).max() < TOLERANCE
    assert person.matrix_world == Matrix.Identity(4)


def test_names_begin_with_part_and_end_with_clip():
    names = {obj.name for obj in write(solve(people=1)).collection.objects}
    assert {f"{part} - {CLIP.stem}" for part in ("Person 1", "Person 1 Body", "Camera")} <= names


@pytest.mark.parametrize(
    "name", ["שלום עולם " * 9, "歩" * 60, "مرحبا " * 20, "é" * 50, "👩‍👩‍👧‍👦" * 12, "a" * 200]
)
def test_long_names_are_cut_between_characters(name):
    written = [write(solve(people=1), "ADD") for _ in range(2)]
    assert written
    for number in (1, 2):
        result = scene.write(
            bpy.context, solve(people=1), clip=Path(f"/clips/{name}.mp4"), existing="ADD"
        )
        start = result.name.removesuffix(" 2") if number == 2 else result.name
        assert name.startswith(start) and len(start) > 5
        assert not result.name.endswith(("\u200d", " "))
        for person in result.people:
            assert person.name == f"Person 1 - {result.name}"
            assert person.children[0].name == f"Person 1 Body - {result.name}"
            assert person.animation_data.action.name == f"Person 1 Motion - {result.name}"
