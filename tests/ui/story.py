"""Scenario: an animator's first hour, from an empty profile to an export and a render."""

import sys
from pathlib import Path

import bpy
from mathutils import Quaternion

sys.path.append(str(Path(__file__).parent))
import driver

FRAME = 8
ANGLE = 0.9  # radians by which the animator turns the left upper arm


def solve():
    with driver.in_view():
        bpy.ops.hund.reconstruct("INVOKE_DEFAULT")
    yield from driver.wait(lambda: driver.operators().status(), "the job starts", 30)
    driver.mouse(400, 400)
    yield 4.0
    driver.screenshot("3_solving")
    yield from driver.wait(lambda: not driver.operators().status(), "the job ends", 900)
    yield from driver.wait(driver.people, "a character exists", 10)
    yield 1.5
    driver.record(people=driver.people(), scene_camera=bpy.context.scene.camera.name)


def look_through_camera():
    bpy.context.scene.frame_set(FRAME)
    with driver.in_view():
        bpy.ops.hund.look_through(name=bpy.context.scene.hund.results[0].name)
    yield 1.5
    driver.screenshot("4_camera")
    space = driver.view()[1].spaces.active
    driver.record(perspective=space.region_3d.view_perspective)


def person():
    """Armature and skin of the first person."""
    armature = bpy.data.objects[driver.people()[0]]
    return armature, armature.children[0]


def arm():
    return list(person()[0].pose.bones["Upperarm.L"].rotation_quaternion)


def edit_by_hand():
    """Key the left arm in one frame and add a subdivision surface to the skin."""
    armature, skin = person()
    scene = bpy.context.scene
    scene.frame_set(FRAME)
    before = arm()
    with driver.in_view():
        bpy.context.view_layer.objects.active = armature
        armature.select_set(True)
        bpy.ops.object.mode_set(mode="POSE")
        bone = armature.pose.bones["Upperarm.L"]
        bone.rotation_quaternion.rotate(Quaternion((1, 0, 0), ANGLE))
        bone.keyframe_insert("rotation_quaternion", frame=FRAME)
        bpy.ops.object.mode_set(mode="OBJECT")
    skin.modifiers.new("Subdivision", "SUBSURF")
    scene.frame_set(FRAME + 1)
    scene.frame_set(FRAME)
    bpy.ops.ed.undo_push(message="Edit by hand")
    yield 1.5
    driver.screenshot("5_edited")
    driver.record(arm_solved=before, arm_edited=arm())


def load():
    """Do what the button of the result box does."""
    result = bpy.context.scene.hund.results[0]
    options = {"filepath": result.filepath, "clip": result.clip, "result": result.name}
    with driver.in_view():
        return list(bpy.ops.hund.load("INVOKE_DEFAULT", **options))


def load_untouched():
    """Load the result that was drawn and played, but not edited: nothing is asked."""
    driver.record(load_untouched=load())
    yield 1.0
    yield from look_through_camera()


def load_edited():
    """Load again, answer the question, and record what is left."""
    driver.mouse(500, 300)
    yield 1.0
    result = bpy.context.scene.hund.results[0]
    result.frames = 0  # until the file is loaded
    driver.record(load_edited=load())
    yield 2.0
    driver.screenshot("6_question")
    driver.key("Return")
    yield from driver.wait(lambda: result.frames, "the answer is accepted", 30)
    yield 1.0
    driver.screenshot("7_loaded_again")
    bpy.context.scene.frame_set(FRAME)
    _, skin = person()
    driver.record(
        people_again=driver.people(),
        modifiers=[modifier.type for modifier in skin.modifiers],
        arm_again=arm(),
        results_again=len(bpy.context.scene.hund.results),
    )


def export():
    settings = bpy.context.scene.hund
    settings.export_format, settings.export_folder = "fbx", str(driver.FOLDER / "export")
    yield 0.5
    with driver.in_view():
        status = bpy.ops.hund.export()
    files = {file.name: file.stat().st_size for file in (driver.FOLDER / "export").iterdir()}
    driver.record(export=list(status), files=files)
    yield 1.0
    driver.screenshot("8_exported")


def render():
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 8, "CPU"
    scene.cycles.use_denoising = False  # not every build can
    scene.render.resolution_percentage = 25
    yield from driver.render()
    driver.screenshot("9_render")
    path = driver.FOLDER / "render.png"
    bpy.data.images["Render Result"].save_render(str(path))
    yield from driver.close_other_windows()
    picture = bpy.data.images.load(str(path))
    pixels = list(picture.pixels)
    channels = [pixels[index::4] for index in range(3)]
    driver.record(
        brightness=[sum(channel) / len(channel) for channel in channels],
        darkest=min(min(channel) for channel in channels),
        brightest=max(max(channel) for channel in channels),
    )


def scenario():
    yield from driver.install()
    yield from driver.show_panel()
    driver.screenshot("0_first_sight")
    yield from driver.set_interpreter()
    yield from driver.choose_clip()
    driver.screenshot("1_ready")
    yield from solve()
    yield from look_through_camera()
    yield from load_untouched()
    yield from edit_by_hand()
    yield from load_edited()
    yield from export()
    yield from render()


driver.run(scenario)
