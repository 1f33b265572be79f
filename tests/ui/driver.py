"""Driver of a Blender with a window: mouse, keys, screenshots, and the steps of a scenario.

A scenario is a generator that yields the seconds until its next step. The facts that it records are
written to facts.json in $HUND_UI_FOLDER, the screenshots beside it.
"""

import importlib
import json
import os
import subprocess
import time
import traceback
from pathlib import Path

import bpy

FOLDER = Path(os.environ["HUND_UI_FOLDER"])
CLIP, LONG_CLIP = os.environ["HUND_UI_CLIP"], os.environ["HUND_UI_LONG_CLIP"]
FACTS = {"steps": []}
MODULE = "bl_ext.user_default.hund"


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


def in_view():
    """Return an override of the context: operators run as if called from the 3D View."""
    window, area, region = view()
    return bpy.context.temp_override(window=window, area=area, region=region["WINDOW"])


def operators():
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


def preferences():
    return bpy.context.preferences.addons[MODULE].preferences


def install():
    """Install the zip into the empty profile."""
    start = time.monotonic()
    bpy.ops.extensions.package_install_files(
        filepath=os.environ["HUND_UI_ZIP"], repo="user_default", enable_on_install=True
    )
    record(install_seconds=round(time.monotonic() - start, 2))
    preferences().cache_folder = str(FOLDER / "cache")
    yield 0.5


def set_interpreter():
    """Choose the Python with the backend's packages."""
    preferences().interpreter = os.environ["HUND_UI_INTERPRETER"]
    view()[1].tag_redraw()
    yield 0.5


def choose_clip(clip=CLIP):
    """Choose a clip and wait until its card is there."""
    bpy.context.scene.hund.clip = clip
    view()[1].tag_redraw()
    yield from wait(lambda: bpy.context.scene.hund.card, "the clip is read", 120)
    yield 1.0


def people():
    return [item.name for item in bpy.data.objects if item.type == "ARMATURE"]


def render():
    """Render as F12 does, wait, and close the window that shows it."""
    with in_view():
        bpy.ops.render.render("INVOKE_DEFAULT")
    yield 2.0
    yield from wait(lambda: not bpy.app.is_job_running("RENDER"), "the picture is rendered", 300)
    yield 1.0


def close_other_windows():
    for other in list(bpy.context.window_manager.windows)[1:]:
        with bpy.context.temp_override(window=other):
            bpy.ops.wm.window_close()
    yield 1.0


def run(scenario):
    """Run a scenario after Blender's start, and quit."""
    steps = scenario()

    def tick():
        try:
            return next(steps)
        except StopIteration:
            record(finished=True)
        except Exception:  # noqa: BLE001 - the test reports it
            record(error=traceback.format_exc())
        bpy.ops.wm.quit_blender()
        return None

    bpy.context.preferences.view.show_splash = False
    bpy.app.timers.register(tick, first_interval=2.0, persistent=True)
