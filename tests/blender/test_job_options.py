"""Options: command line, batch and panel offer the same."""

import argparse
import importlib

import bpy
import pytest
from bl_ext.user_default.hund.bridge import headless, job
from bl_ext.user_default.hund.hund_backend import options
from bl_ext.user_default.hund.hund_backend.commands import reconstruct
from conftest import MODULE


@pytest.fixture
def preferences():
    bpy.ops.preferences.addon_enable(module=MODULE)
    yield bpy.context.preferences.addons[MODULE].preferences
    bpy.ops.preferences.addon_disable(module=MODULE)


def command_line():
    parser = argparse.ArgumentParser()
    reconstruct.add_arguments(parser)
    return parser


def arguments_of(parser):
    """Choices, value without argument, and default of each option of a request."""
    return {
        action.dest: (action.choices and tuple(action.choices), action.const, action.default)
        for action in parser._actions
        if action.dest in options.REQUEST_OPTIONS
    }


def items_of(properties, name):
    """Items of an enumeration in Blender, and its default."""
    enum = properties.bl_rna.properties[name]
    items = tuple((item.identifier, item.name, item.description) for item in enum.enum_items)
    return items, enum.default


def test_command_line_and_batch_have_equal_arguments():
    batch = arguments_of(headless._parser(options.DEFAULT_DEVICE))
    backend = arguments_of(command_line())
    assert set(backend) == set(options.REQUEST_OPTIONS)
    assert set(backend) - set(batch) == {"focal", "fov", "distortion"}
    assert batch == {name: backend[name] for name in batch}


def test_lists_of_command_line_and_panel_are_equal(preferences):
    backend = arguments_of(command_line())
    for properties, name, default in (
        (bpy.context.scene.hund, "quality", options.DEFAULT_QUALITY),
        (preferences, "device", options.DEFAULT_DEVICE),
    ):
        items, panel_default = items_of(properties, name)
        assert tuple(identifier for identifier, _, _ in items) == backend[name][0]
        assert panel_default == default
        assert all(label and description for _, label, description in items)
    assert bpy.context.scene.hund.adapt_seconds == backend["adapt"][1] == options.ADAPT_SECONDS


def test_stored_qualities_keep_their_meaning(preferences):
    # A .blend file stores an item's number, not its name.
    items = bpy.context.scene.hund.bl_rna.properties["quality"].enum_items
    assert [(item.identifier, item.value) for item in items] == [
        ("standard", 0),
        ("high", 1),
        ("draft", 2),
    ]


def test_panel_requests_only_known_options(preferences):
    settings = bpy.context.scene.hund
    settings.people, settings.adapt, settings.use_range = 2, True, True
    operators = importlib.import_module(f"{MODULE}.operators.reconstruct")
    (task,) = operators.make_tasks(bpy.context, ["walk.mp4"])
    assert set(task.options) <= set(options.REQUEST_OPTIONS)


@pytest.mark.parametrize("name", ["hands", "face"])
def test_hands_and_faces_are_left_to_the_quality_unless_switched_off(preferences, name):
    settings = bpy.context.scene.hund
    operators = importlib.import_module(f"{MODULE}.operators.reconstruct")
    for quality in ("standard", "draft"):
        settings.quality = quality
        for is_on in (True, False):
            setattr(settings, name, is_on)
            (task,) = operators.make_tasks(bpy.context, ["walk.mp4"])
            assert task.options.get(name) is (None if is_on else False)


@pytest.mark.parametrize("stage", options.ProgressStage)
def test_every_stage_has_label(stage):
    status = job.Status(
        clip="walk.mp4",
        position=1,
        clips=1,
        stage=str(stage),
        person="",
        done=1,
        total=None,
        fraction=0.0,
        seconds_left=None,
        stopping=False,
        finishing=False,
    )
    assert status.stage_label[0].isupper()
    assert status.is_detecting == (stage == options.ProgressStage.DETECT)
