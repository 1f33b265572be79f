"""Clips: strips evaluate as the actions did, and assets say where they come from and look right."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge import action, clip_assets, clip_picture, clips, scene
from bl_ext.user_default.hund.hund_backend.errors import BadInputError
from conftest import MODULE
from exchange_files import skin_vertices
from synthetic_people import bone_heads, build_reconstruction, go_to_frame

FRAMES = 6
ORIGIN = clip_assets.Origin(
    clip="street dance.mp4",
    frames=(10, 15),
    fps=30.0,
    confidence=0.753,
    provenance={"source": {"sha256": "0123456789abcdef"}, "hund": "0.1.0", "method": "hund"},
)


@pytest.fixture(scope="module", autouse=True)
def enabled():
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield
    bpy.ops.preferences.addon_disable(module=MODULE)


def write(people=1, **options):
    options = {"frames": FRAMES, "moves_camera": True} | options
    return scene.write(bpy.context, build_reconstruction(people=people, **options))


def select(*objects):
    for item in bpy.context.view_layer.objects:
        item.select_set(item in objects)
    bpy.context.view_layer.objects.active = objects[0] if objects else None


def state(written, frames):
    """Everything that the motion moves, in frames of the scene."""
    rows = []
    for frame in frames:
        go_to_frame(bpy.context.scene, frame)
        for person in written.people:
            rows += [bone_heads(person).ravel(), skin_vertices(person)[::50].ravel()]
        rows.append(np.array(written.camera.matrix_world).ravel())
    return np.concatenate(rows)


def strips_of(datablock):
    return [strip for track in datablock.animation_data.nla_tracks for strip in track.strips]


def test_strips_evaluate_as_the_actions_did():
    written = write(people=2)
    objects = [*written.people, written.camera]
    frames = (-3, 1, 2.5, FRAMES, FRAMES + 9)
    before = state(written, frames)
    actions = {item.name: len(action.fcurves(item)) for item in bpy.data.actions}
    pushed = clips.push_to_nla(clips.animated_objects(objects))
    assert np.abs(state(written, frames) - before).max() < 1e-5
    assert [(p.name, p.start, p.end) for p in pushed] == [("dance", 1, FRAMES)] * 3
    assert {item.name: len(action.fcurves(item)) for item in bpy.data.actions} == actions
    for person in written.people:
        keys = person.children[0].data.shape_keys
        for datablock in (person, keys):
            assert datablock.animation_data.action is None
            (strip,) = strips_of(datablock)
            assert (strip.name, strip.extrapolation) == ("dance", "HOLD")
            assert (strip.frame_start, strip.frame_end) == (1, FRAMES)


def test_moved_strip_plays_later():
    written = write()
    clips.push_to_nla(clips.animated_objects(written.people))
    before = state(written, [2])
    for datablock in (written.people[0], written.people[0].children[0].data.shape_keys):
        (strip,) = strips_of(datablock)
        strip.frame_start += 10
        strip.frame_end = strip.frame_start + FRAMES - 1
    people = len(bone_heads(written.people[0]).ravel())
    assert np.abs(state(written, [12])[:people] - before[:people]).max() < 1e-5


def test_second_strip_leaves_frames_before_it_to_the_first():
    written = write()
    (person,) = written.people
    clips.push_to_nla([person])
    before = state(written, [1])
    later = bpy.data.actions.new("Later")
    person.animation_data.action = later
    person.pose.bones["Hand.L"].rotation_quaternion = (0.5, 0.5, 0.5, 0.5)
    person.pose.bones["Hand.L"].keyframe_insert("rotation_quaternion", frame=4)
    (pushed,) = clips.push_to_nla([person])
    assert pushed.name == "Later"
    assert [s.extrapolation for s in strips_of(person)] == ["HOLD", "HOLD_FORWARD"]
    assert np.abs(state(written, [1]) - before).max() < 1e-5


def test_operator_pushes_the_selected_people_and_undo_needs_nothing_else():
    written = write(people=2)
    select(written.people[0], written.people[1].children[0])  # the skin stands for its person
    assert bpy.ops.hund.push_to_nla() == {"FINISHED"}
    assert all(len(strips_of(person)) == 1 for person in written.people)
    assert written.camera.animation_data.action
    select(written.people[0])
    assert not bpy.ops.hund.push_to_nla.poll()


def test_tweaked_strip_is_refused_and_nothing_is_changed():
    written = write(people=2)
    first, second = written.people
    clips.push_to_nla([second])
    second.animation_data.nla_tracks[0].select = True
    second.animation_data.use_tweak_mode = True
    if not second.animation_data.use_tweak_mode:
        pytest.skip("this Blender enters Tweak Mode in a window only")
    with pytest.raises(BadInputError, match="Tweak Mode"):
        clips.push_to_nla([first, second])
    assert first.animation_data.action and not first.animation_data.nla_tracks


def picture_of(item):
    pixels = np.empty(clip_picture.SIZE**2 * 4, np.float32)
    item.preview.image_pixels_float.foreach_get(pixels)
    return pixels.reshape(clip_picture.SIZE, clip_picture.SIZE, 4)


def test_marked_action_has_origin_tags_author_and_picture():
    written = write()
    bpy.context.scene.frame_set(2)
    item = clip_assets.mark_action(
        bpy.context, written.people[0], ORIGIN, author="Ada", tags=["street"]
    )
    assert item == written.people[0].animation_data.action
    data = item.asset_data
    assert data.author == "Ada"
    assert {tag.name for tag in data.tags} == {"HUND", "street-dance", "street"}
    assert data.description == (
        f"Motion of {written.people[0].name} from street dance.mp4 (SHA-256 0123456789ab…), "
        "frames 10 to 15 at 30 frames per second. Made with HUND 0.1.0 by learned descent, "
        "confidence 75 %."
    )
    assert bpy.context.scene.frame_current == 2
    alpha = picture_of(item)[..., 3]
    assert 0.03 < alpha.mean() < 0.6 and alpha.max() == 1


def test_picture_shows_the_middle_pose():
    written = write(frames=11)
    (person,) = written.people
    item = clip_assets.mark_action(bpy.context, person, ORIGIN)
    assert clip_assets.middle_frame(person, item) == 6
    bpy.context.scene.frame_set(6)
    bpy.context.view_layer.update()
    expected = clip_picture.draw(person, bpy.context.evaluated_depsgraph_get())
    assert np.abs(picture_of(item) - expected).max() < 1 / 255
    bpy.context.scene.frame_set(1)
    other = clip_picture.draw(person, bpy.context.evaluated_depsgraph_get())
    assert np.abs(other - expected).max() > 0.5


def test_picture_is_the_silhouette_of_the_skin():
    """An independent count: every vertex that faces the viewer lies on a covered pixel."""
    (person,) = write().people
    go_to_frame(bpy.context.scene, 2)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    axes = clip_picture._view_axes(person.evaluated_get(depsgraph))
    points = skin_vertices(person) @ axes.T
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    scale = (1 - 2 * clip_picture._MARGIN) / (high - low).max()
    places = ((points[:, :2] - (low + high) / 2) * scale + 0.5) * clip_picture.SIZE
    alpha = clip_picture.draw(person, depsgraph)[..., 3]
    columns, rows = np.clip(places.astype(int), 0, clip_picture.SIZE - 1).T
    assert (alpha[rows, columns] > 0).mean() > 0.999


def test_hidden_person_has_a_picture_of_a_frame_in_view():
    present = np.zeros((1, FRAMES), bool)
    present[0, :2] = True
    (person,) = write(present=present).people
    item = person.animation_data.action
    assert clip_assets.middle_frame(person, item) == 2
    bpy.context.scene.frame_set(5)
    clip_assets.mark_action(bpy.context, person, ORIGIN)
    assert picture_of(item)[..., 3].mean() > 0.03
    assert person.hide_viewport and bpy.context.scene.frame_current == 5


def test_armature_without_skin_has_a_picture_of_its_bones():
    (person,) = write().people
    bpy.data.objects.remove(person.children[0])
    item = clip_assets.mark_action(bpy.context, person, clip_assets.Origin())
    assert picture_of(item)[..., 3].mean() > 0.005
    assert item.asset_data.description == f"Motion of {person.name}."


def test_pose_asset_poses_another_armature_alike():
    (person,) = write().people
    go_to_frame(bpy.context.scene, 4)
    expected = bone_heads(person)
    item = clip_assets.mark_pose(bpy.context, person, ORIGIN)
    assert item.asset_data and item != person.animation_data.action
    assert all(len(curve.keyframe_points) == 1 for curve in action.fcurves(item))
    assert picture_of(item)[..., 3].mean() > 0.03
    person.animation_data.action = item
    if action.HAS_SLOTS:
        person.animation_data.action_slot = item.slots[0]
    go_to_frame(bpy.context.scene, 1)
    assert np.abs(bone_heads(person) - expected).max() < 1e-4


def test_operator_marks_as_the_function_does():
    written = write(people=2)
    select(*written.people)
    assert bpy.ops.hund.mark_asset(content="BOTH", author="Ada", tags="a, b") == {"FINISHED"}
    for person in written.people:
        item = person.animation_data.action
        assert item.asset_data.author == "Ada" and "b" in item.asset_data.tags
    assert sum(bool(item.asset_data) for item in bpy.data.actions) == 4
    select(written.camera)
    assert not bpy.ops.hund.mark_asset.poll()


def test_person_without_action_is_refused_and_nobody_is_marked():
    written = write(people=2)
    written.people[1].animation_data.action = None
    select(*written.people)
    with pytest.raises(RuntimeError, match="has no action"):
        bpy.ops.hund.mark_asset()
    assert not any(item.asset_data for item in bpy.data.actions)
