"""Scenario: a motion is applied to an armature: the table of bones, Escape, the result, undo."""

import sys
from pathlib import Path

import bpy
import numpy as np

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "blender"))
import driver
import rig_tables

MANY, FEW = 80000, 400  # frames: to cancel, to finish
OPEN = ("HUND_PT_retarget", "HUND_PT_roles", "HUND_PT_pairs")
CLOSED = ("HUND_PT_source", "HUND_PT_solve", "HUND_PT_scene", "HUND_PT_export", "HUND_PT_result")


def settings():
    return bpy.context.scene.hund.retarget


def progress():
    return sys.modules[f"{driver.MODULE}.operators.retarget"].progress()


def arrange_panels():
    """Let the panels of applying be open, and the others closed, when they are first drawn."""
    for names, options in ((OPEN, set()), (CLOSED, {"DEFAULT_CLOSED"})):
        for name in names:
            panel = getattr(bpy.types, name)
            bpy.utils.unregister_class(panel)
            panel.bl_options = options
            bpy.utils.register_class(panel)


def make_rigs():
    """A source whose motion has to be evaluated frame by frame, and two targets."""
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    bpy.context.view_layer.update()
    source, first, second = (
        rig_tables.build(name) for name in ("mixamo", "makehuman", "game_engine")
    )
    source.name = "Source"
    animate(source, MANY)
    holder = bpy.data.objects.new("Holder", None)
    bpy.context.scene.collection.objects.link(holder)
    source.constraints.new("COPY_LOCATION").target = holder
    first.location.x, second.location.x = 1.2, 2.4
    return source, first, second


def animate(source, frames):
    """Key a wave of an arm."""
    source.animation_data_clear()
    arm = source.pose.bones["mixamorig:LeftArm"]
    for frame, angle in ((1, 0.0), (frames // 2, 1.2), (frames, 0.0)):
        arm.rotation_quaternion = (np.cos(angle / 2), 0, 0, np.sin(angle / 2))
        arm.keyframe_insert("rotation_quaternion", frame=frame)


def counts():
    return [len(bpy.data.actions), len(bpy.data.objects), len(bpy.data.scenes)]


def apply():
    with driver.in_view():
        bpy.ops.hund.retarget("INVOKE_DEFAULT")


def cancel(target):
    before = counts()
    apply()
    driver.record(progress=progress())
    yield 0.5
    driver.screenshot("2_progress")
    driver.key("ctrl+z")  # waits: nothing changes while a motion is applied
    yield 0.5
    driver.record(progress_after_undo=progress(), targets_after_undo=bool(target.name))
    driver.key("Escape")
    yield from driver.wait(lambda: progress() is None, "Escape cancels", 30)
    yield 0.5
    driver.record(counts_unchanged=counts() == before, has_keys=target.animation_data is not None)
    driver.screenshot("3_cancelled")


def finish(source, target):
    name = target.name
    animate(source, FEW)
    with driver.in_view():
        bpy.ops.ed.undo_push(message="Short")
    apply()
    yield from driver.wait(lambda: progress() is None, "the motion is applied", 300)
    yield 1.0
    driver.record(action=bpy.data.objects[name].animation_data.action.name)
    bpy.context.scene.frame_set(FEW // 2)
    yield 1.0
    driver.screenshot("4_result")
    with driver.in_view():
        bpy.ops.ed.undo()
    yield 1.0
    animation = bpy.data.objects[name].animation_data
    driver.record(action_after_undo=bool(animation and animation.action))


def scenario():
    yield from driver.install()
    arrange_panels()
    bpy.context.preferences.view.ui_scale = 0.7  # the table fits into the window
    yield from driver.show_panel()
    with driver.in_view():
        source, first, second = make_rigs()
    settings().source, settings().target = source, first
    pair = settings().pairs.add()
    pair.person, pair.target = source, second
    with driver.in_view():
        bpy.ops.ed.undo_push(message="Rigs")
        bpy.ops.view3d.view_all()
    yield 2.0
    driver.screenshot("1_table")
    yield from cancel(first)
    yield from finish(source, first)


driver.run(scenario)
