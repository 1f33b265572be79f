"""Scenario: from an empty profile to a moving character with *Try the Sample*, by the clock."""

import math
import sys
import time
from pathlib import Path

import bpy

sys.path.append(str(Path(__file__).parent))
import driver

BUTTON = 311  # pixels from the sidebar's upper edge to Try the Sample, measured in screenshots
FRAMES = (5, 20, 35, 50)


def press():
    """Press the button with the mouse."""
    window, _, region = driver.view()
    panel = region["UI"]
    top = window.height - (panel.y + panel.height)
    driver.mouse(panel.x + panel.width // 2, top + BUTTON, click=True)
    yield from driver.wait(lambda: driver.operators().status(), "the button starts a job", 20)
    driver.mouse(400, 400)


def hands(name):
    """Places of a person's hands in the frames, meters."""
    armature = bpy.data.objects[name]
    for frame in FRAMES:
        bpy.context.scene.frame_set(frame)
        evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        yield evaluated.matrix_world @ evaluated.pose.bones["Hand.L"].head


def play():
    """Play the animation; pictures of it while it plays."""
    with driver.in_view():
        bpy.ops.screen.animation_play()
    for number in range(3):
        yield 1.1
        driver.screenshot(f"3_playing_{number}")
    with driver.in_view():
        bpy.ops.screen.animation_cancel()
    yield 0.5


def scenario():
    start = time.monotonic()
    yield from driver.install()
    yield from driver.show_panel()
    driver.screenshot("0_first_sight")
    yield from driver.set_interpreter()
    driver.screenshot("1_welcome")
    yield from press()
    yield 8.0
    driver.screenshot("2_running")
    yield from driver.wait(lambda: not driver.operators().status(), "the job ends", 900)
    yield from driver.wait(driver.people, "a character exists", 10)
    driver.record(seconds=round(time.monotonic() - start, 1), people=driver.people())
    yield 1.0
    yield from play()
    moved = {}
    for name in driver.people():
        places = list(hands(name))
        moved[name] = max(math.dist(place, places[0]) for place in places)
    driver.record(moved=moved, errors=driver.operators().last_errors())


driver.run(scenario)
