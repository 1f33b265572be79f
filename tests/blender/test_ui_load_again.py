"""Loading again: the operator's choices, its dialog, and the results that the panel lists."""

import importlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from conftest import MODULE
from synthetic_people import build_reconstruction


def module(name):
    return importlib.import_module(f"{MODULE}.{name}")


@pytest.fixture(autouse=True)
def enabled():
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield
    bpy.ops.preferences.addon_disable(module=MODULE)


@pytest.fixture
def files(tmp_path):
    """Two reconstructions of one clip."""
    paths = []
    for seed in (0, 1):
        path = tmp_path / f"{seed}.npz"
        build_reconstruction(people=2, frames=5, seed=seed).save(path)
        paths.append(str(path))
    return paths


def load(path, **options):
    assert bpy.ops.hund.load(filepath=path, **options) == {"FINISHED"}
    bpy.context.view_layer.update()
    return results()


def results():
    return [result.name for result in bpy.context.scene.hund.results]


def armature():
    return next(obj for obj in bpy.data.objects if obj.name.startswith("Person 1 - "))


def collections():
    return [collection.name for collection in bpy.context.scene.collection.children]


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ("AUTO", ["dance"]),
        ("MOTION", ["dance"]),
        ("ADD", ["dance", "dance 2"]),
        ("ALL", ["dance"]),
    ],
)
def test_choices(existing, expected, files):
    load(files[0])
    armature().location.x = 2
    assert load(files[1], existing=existing) == expected == collections()
    positions = [obj.location.x for obj in bpy.data.objects if obj.type == "ARMATURE"]
    assert (2 in positions) == (existing != "ALL")


@pytest.mark.parametrize(("made_with", "is_noted"), [("this", False), ("other", True)])
def test_a_file_of_another_body_says_so(made_with, is_noted, tmp_path):
    body = module("hund_backend.body.file").BODY_FILE
    digest = module("hund_backend.weights_file").sha256_of(body)
    reconstruction = build_reconstruction(people=1, frames=3)
    weights = {body.name: digest if made_with == "this" else "0" * 64}
    path = tmp_path / "dance.npz"
    replace(reconstruction, provenance={**reconstruction.provenance, "weights": weights}).save(
        path
    )
    message = module("operators.load").write(bpy.context, path, None)
    assert ("another version of the body" in message) == is_noted


def test_untouched_result_is_replaced_by_default(files):
    load(files[0])
    assert load(files[1]) == ["dance"]
    assert not module("bridge.edits").changes(bpy.data.collections["dance"])


def test_chosen_result_is_replaced(files):
    load(files[0])
    load(files[0], existing="ADD")
    load(files[1], existing="ALL", result="dance")
    by_name = {result.name: result.filepath for result in bpy.context.scene.hund.results}
    assert by_name == {"dance": files[1], "dance 2": files[0]}


def test_deleted_collections_leave_the_list(files):
    load(files[0])
    load(files[0], existing="ADD")
    collection = bpy.data.collections["dance"]
    bpy.data.batch_remove([*collection.objects, collection])
    bpy.context.view_layer.update()
    assert results() == ["dance 2"]
    bpy.context.scene.collection.children.unlink(bpy.data.collections["dance 2"])
    bpy.context.view_layer.update()
    assert results() == []


def test_renamed_collections_stay_in_the_list(files):
    load(files[0])
    bpy.data.collections["dance"].name = "Shot 7"
    bpy.context.view_layer.update()
    assert results() == ["dance"]
    assert load(files[1]) == ["dance"] and collections() == ["Shot 7"]


def test_copied_scene_does_not_list_the_copies(files):
    load(files[0])
    bpy.ops.scene.new(type="FULL_COPY")
    bpy.context.scene.objects[0].location.x += 1
    bpy.context.view_layer.update()
    assert results() == []
    bpy.context.window.scene = bpy.data.scenes[0]
    assert results() == ["dance"]


def test_results_are_recognized_in_an_opened_file(files, tmp_path):
    load(files[0])
    copy = armature().copy()
    bpy.context.scene.collection.objects.link(copy)
    armature().location.x = 2
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "work.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "work.blend"))
    assert results() == ["dance"]
    people = bpy.context.scene.hund.results[0].characters
    assert people[0].location.x == 2 and len(people) == 2
    assert load(files[1]) == ["dance"] and armature().location.x == 2


class FakeLayout:
    """Records texts and choices."""

    def __init__(self):
        self.texts, self.choices, self.enabled = [], [], []

    def row(self, **_):
        return self

    column = row

    def separator(self):
        pass

    def label(self, text="", **_):
        self.texts.append(text)

    def prop_enum(self, _owner, _name, value):
        self.choices.append(str(value))


def test_dialog_lists_changes_and_choices(files):
    load(files[0])
    scene = module("bridge.scene")
    reconstruction = module("bridge.job").load(Path(files[1]))
    assert scene.edited_result(bpy.context.scene, reconstruction, None) is None
    armature().location.x = 2
    edited = scene.edited_result(bpy.context.scene, reconstruction, None)
    layout = FakeLayout()
    operator = SimpleNamespace(existing=module("bridge.existing").Existing.MOTION)
    module("operators.load")._draw_choices(layout, operator, edited)
    assert "Person 1 is moved" in layout.texts and layout.choices == ["MOTION", "ADD", "ALL"]


@pytest.mark.parametrize("existing", ["ADD", "MOTION", "ALL"])
def test_one_undo_takes_loading_back(existing, files):
    load(files[0])
    armature().location.x = 2
    bpy.ops.ed.undo_push(message="Move")
    before = collections(), results()
    load(files[1], existing=existing)
    bpy.ops.ed.undo_push(message="Load")
    bpy.ops.ed.undo()
    assert (collections(), results()) == before
    assert armature().location.x == 2
    assert bpy.context.scene.hund.results[0].filepath == files[0]
