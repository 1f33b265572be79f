"""Scenario inside Blender with a window: uses the panel with mouse and keys, takes screenshots.

The results are written to facts.json in $HUND_UI_FOLDER, the screenshots beside it. A scenario is a
generator that yields the seconds until its next step.
"""

import json
import os
import subprocess
import time
import traceback
from pathlib import Path

import bpy

FOLDER = Path(os.environ["HUND_UI_FOLDER"])
FACTS = {"steps": []}
MODULE = "bl_ext.user_default.hund"
BUTTON = 446  # pixels from the sidebar's upper edge to the large button, measured in screenshots


def record(**facts):
    FACTS.update(facts)
    (FOLDER / "facts.json").write_text(json.dumps(FACTS, indent=2))


def screenshot(name):
    """Take it from the X server: Blender's own is black without a graphics card."""
    FACTS["steps"].append(name)
    subprocess.run(["import", "-window", "root", str(FOLDER / f"{name}.png")], check=True)


def mouse(x, y, *, click=False):
    """Move in pixels from the upper left corner, in two steps: Blender ignores a single jump."""
    steps = ["mousemove", str(x - 9), str(y), "sleep", "0.2", "mousemove", str(x), str(y)]
    subprocess.Popen(["xdotool", *steps, "sleep", "0.4", *(["click", "1"] if click else [])])


def key(name):
    subprocess.Popen(["xdotool", "key", name])


def view():
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = {region.type: region for region in area.regions}
    return window, area, region


def operators():
    import importlib

    return importlib.import_module(f"{MODULE}.operators.reconstruct")


def wait(condition, description, seconds=300.0):
    """Yield until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            screenshot("timeout")
            raise TimeoutError(description)
        yield 0.2


def show_panel():
    _, area, region = view()
    area.spaces.active.show_region_ui = True
    yield 1.0
    region["UI"].active_panel_category = "HUND"
    area.tag_redraw()
    yield 1.5


def button():
    """Position of the large button, from the upper left corner."""
    window, _, region = view()
    panel = region["UI"]
    top = window.height - (panel.y + panel.height)
    return panel.x + panel.width // 2, top + BUTTON


def people():
    return [item.name for item in bpy.data.objects if item.type == "ARMATURE"]


def install():
    start = time.monotonic()
    bpy.ops.extensions.package_install_files(
        filepath=os.environ["HUND_UI_ZIP"], repo="user_default", enable_on_install=True
    )
    record(install_seconds=round(time.monotonic() - start, 2))
    preferences = bpy.context.preferences.addons[MODULE].preferences
    preferences.interpreter = os.environ.get("HUND_UI_INTERPRETER", "")
    preferences.cache_folder = str(FOLDER / "cache")
    yield 0.5


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
    window, area, region = view()
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
    with bpy.context.temp_override(window=window, area=area, region=region["WINDOW"]):
        bpy.ops.render.render("INVOKE_DEFAULT")
    yield 2.0
    yield from wait(lambda: not bpy.app.is_job_running("RENDER"), "the picture is rendered", 60)
    for other in list(bpy.context.window_manager.windows)[1:]:
        with bpy.context.temp_override(window=other):
            bpy.ops.wm.window_close()
    yield 1.0
    record(last_stage_after_rendering=hand())
    result.show_descent = False
    yield 1.0
    record(final_hand=final, final_hand_afterwards=hand())


def pose_person():
    """Enter pose mode for one person, seen in perspective."""
    window, area, region = view()
    area.spaces.active.show_region_ui = False
    area.spaces.active.region_3d.view_perspective = "PERSP"
    bpy.context.scene.frame_set(8)
    armature = bpy.data.objects[people()[0]]
    with bpy.context.temp_override(window=window, area=area, region=region["WINDOW"]):
        bpy.context.view_layer.objects.active = armature
        armature.select_set(True)
        bpy.ops.view3d.view_selected()
        bpy.ops.object.mode_set(mode="POSE")
    yield 1.0
    screenshot("4_pose")
    record(mode=bpy.context.mode)
    with bpy.context.temp_override(window=window, area=area, region=region["WINDOW"]):
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
    bpy.context.scene.hund.clip = os.environ["HUND_UI_CLIP"]
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
    yield from show_panel()
    screenshot("0_installed")
    bpy.context.scene.hund.clip = os.environ["HUND_UI_CLIP"]
    view()[1].tag_redraw()
    yield from wait(lambda: bpy.context.scene.hund.card, "the clip is read", 60)
    yield 1.0
    screenshot("1_clip")
    yield from press_and_cancel()
    yield 1.0
    yield from press_and_wait()
    yield from see_first_result()
    yield from undo_and_redo()
    yield from preview_stages()
    yield from pose_person()
    yield from open_another_file()
    record(finished=True)


def tick(steps=scenario()):  # noqa: B008 - one scenario for the life of this Blender
    try:
        return next(steps)
    except StopIteration:
        pass
    except Exception:  # noqa: BLE001 - the test reports it
        record(error=traceback.format_exc())
    bpy.ops.wm.quit_blender()
    return None


bpy.context.preferences.view.show_splash = False
bpy.app.timers.register(tick, first_interval=2.0, persistent=True)
