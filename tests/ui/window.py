"""Scenario: the panel used with mouse and keys: cancel, result, undo, stages, another file."""

import sys
import time
from pathlib import Path

import bpy

sys.path.append(str(Path(__file__).parent))
from driver import (
    CLIP,
    LONG_CLIP,
    choose_clip,
    close_other_windows,
    in_view,
    install,
    key,
    mouse,
    operators,
    people,
    record,
    render,
    run,
    screenshot,
    set_interpreter,
    show_panel,
    view,
    wait,
)

BUTTON = 571  # pixels from the sidebar's upper edge to the large button, measured in screenshots


def button():
    """Position of the large button, from the upper left corner."""
    window, _, region = view()
    panel = region["UI"]
    top = window.height - (panel.y + panel.height)
    return panel.x + panel.width // 2, top + BUTTON


def press_and_cancel():
    mouse(*button(), click=True)
    yield from wait(lambda: operators().status(), "the button starts a job", 20)
    yield from wait(lambda: operators().status().stage == "detect", "frames are processed", 120)
    yield 0.5
    screenshot("2_running")
    mouse(400, 400)
    yield 1.0
    key("Escape")
    yield 0.5
    record(running_after_escape_elsewhere=operators().status() is not None)
    mouse(*button())
    yield 1.0
    key("Escape")
    yield 1.5
    screenshot("2_question")
    record(running_while_asked=operators().status() is not None)
    key("Return")
    start = time.monotonic()
    yield from wait(lambda: not operators().status(), "the answer cancels the job", 20)
    record(cancel_seconds=round(time.monotonic() - start, 2), after_cancel=people())


def press_and_wait():
    mouse(*button(), click=True)
    yield from wait(lambda: operators().status(), "the button starts a job", 20)
    mouse(400, 400)
    yield 1.0
    key("ctrl+z")  # an undo must not disturb the job
    yield from wait(lambda: not operators().status(), "the job ends", 900)
    yield from wait(people, "a character exists", 10)
    yield 1.0
    record(people=people(), results=len(bpy.context.scene.hund.results))


def see_first_result():
    """Record what the first result has done to the startup scene and to the view."""
    _, area, _ = view()
    scene = bpy.context.scene
    scene.frame_set((scene.frame_start + scene.frame_end) // 2)
    yield 2.0
    screenshot("3_result")
    record(
        perspective=area.spaces.active.region_3d.view_perspective,
        cube_hidden=bpy.data.objects["Cube"].hide_viewport,
    )


def hand():
    """Evaluated position of the first person's left hand."""
    armature = bpy.data.objects[people()[0]]
    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return list(evaluated.matrix_world @ evaluated.pose.bones["Hand.L"].head)


def preview_stages():
    """Show all stages, change frames, render, and switch the preview off."""
    scene, result = bpy.context.scene, bpy.context.scene.hund.results[0]
    scene.frame_set((scene.frame_start + scene.frame_end) // 2)  # undo has changed it
    final, stages = hand(), {}
    result.show_descent = True
    for stage in range(result.stages):
        result.stage = stage
        yield 1.0
        screenshot(f"3_stage_{stage}")
        stages[stage] = hand()
    scene.frame_set(scene.frame_current + 1)
    scene.frame_set(scene.frame_current - 1)
    record(stages=stages, last_stage_after_scrubbing=hand())
    scene.render.engine, scene.render.resolution_percentage = "BLENDER_WORKBENCH", 25
    yield from render()
    yield from close_other_windows()
    record(last_stage_after_rendering=hand())
    result.show_descent = False
    yield 1.0
    record(final_hand=final, final_hand_afterwards=hand())


def pose_person():
    """Enter pose mode for one person, seen in perspective."""
    _, area, _ = view()
    area.spaces.active.show_region_ui = False
    area.spaces.active.region_3d.view_perspective = "PERSP"
    bpy.context.scene.frame_set(8)
    armature = bpy.data.objects[people()[0]]
    with in_view():
        bpy.context.view_layer.objects.active = armature
        armature.select_set(True)
        bpy.ops.view3d.view_selected()
        bpy.ops.object.mode_set(mode="POSE")
    yield 1.0
    screenshot("4_pose")
    record(mode=bpy.context.mode)
    with in_view():
        bpy.ops.object.mode_set(mode="OBJECT")
    yield from show_panel()


def undo_and_redo():
    mouse(400, 400)
    yield 1.0
    key("ctrl+z")
    yield 1.5
    record(after_undo=people(), cube_after_undo=bpy.data.objects["Cube"].hide_viewport)
    key("ctrl+shift+z")
    yield 1.5
    record(after_redo=people())


def open_another_file():
    bpy.context.scene.hund.clip = CLIP
    mouse(*button(), click=True)
    yield from wait(lambda: operators().status(), "the button starts a job", 20)
    bpy.ops.wm.read_homefile(use_factory_startup=False)
    yield 1.0
    yield from show_panel()
    yield from wait(lambda: operators().unclaimed(), "the job continues", 900)
    yield 0.5
    screenshot("5_another_file")
    record(unclaimed=[str(outcome.path) for outcome in operators().unclaimed()])


def scenario():
    yield from install()
    yield from set_interpreter()
    yield from show_panel()
    screenshot("0_installed")
    yield from choose_clip()
    screenshot("1_clip")
    yield from choose_clip(LONG_CLIP)
    yield from press_and_cancel()
    yield 1.0
    yield from choose_clip()
    yield from press_and_wait()
    yield from see_first_result()
    yield from undo_and_redo()
    yield from preview_stages()
    yield from pose_person()
    yield from open_another_file()


run(scenario)
