"""Scenario: find the people of a clip, tick one, reconstruct, and solve again with more smoothing."""

import sys
from pathlib import Path

import bpy

sys.path.append(str(Path(__file__).parent))
import driver


def settings():
    return bpy.context.scene.hund


def press(operator, **options):
    """Do what a button does, and wait for the end of its job."""
    with driver.in_view():
        operator("INVOKE_DEFAULT", **options)
    yield from driver.wait(lambda: driver.operators().status(), "the job starts", 60)
    driver.mouse(400, 400)
    yield 1.0
    yield from driver.wait(lambda: not driver.operators().status(), "the job ends", 900)
    yield 2.0


def icons():
    return [person.icon for person in settings().found.people]


def find_and_cancel():
    """Start the look at a clip that takes a while, and cancel it by the operator of the button."""
    with driver.in_view():
        bpy.ops.hund.find_people("INVOKE_DEFAULT")
    yield from driver.wait(lambda: driver.operators().status(), "the look starts", 60)
    driver.record(command=driver.operators().status().command)
    yield 0.5
    driver.screenshot("1_looking")
    bpy.ops.hund.cancel()
    yield from driver.wait(lambda: not driver.operators().status(), "the look ends", 30)
    driver.record(found_after_cancel=len(settings().found.people))


def choose():
    yield from press(bpy.ops.hund.find_people)
    driver.screenshot("2_found")
    people = settings().found.people
    driver.record(found=[person.number for person in people], icons=icons())
    for person in list(people)[1:]:
        person.is_chosen = False
    driver.view()[1].tag_redraw()
    yield 1.0
    driver.screenshot("3_chosen")


def curve_roughness():
    """Sum of the second differences of the keys of the first person's left hand."""
    armature = bpy.data.objects[driver.people()[0]]
    places = []
    for frame in range(1, settings().results[0].frames + 1):
        bpy.context.scene.frame_set(frame)
        places.append(armature.pose.bones["Hand.L"].head.copy())
    triples = zip(places, places[1:], places[2:], strict=False)
    return sum((a - 2 * b + c).length for a, b, c in triples)


def solve_again():
    result = settings().results[0]
    driver.record(smoothing=result.smoothing, rough=curve_roughness(), people=driver.people())
    armature = bpy.data.objects[driver.people()[0]]
    armature.constraints.new("LIMIT_SCALE").name = "Mine"
    result.smoothing = 8.0
    yield from press(bpy.ops.hund.solve_again, name=result.name)
    driver.screenshot("5_solved_again")
    driver.record(
        smoothing_again=settings().results[0].smoothing,
        smooth=curve_roughness(),
        people_again=driver.people(),
        constraints=[each.name for each in bpy.data.objects[driver.people()[0]].constraints],
    )


def scenario():
    yield from driver.install()
    yield from driver.set_interpreter()
    yield from driver.show_panel()
    yield from driver.choose_clip(driver.LONG_CLIP)
    yield from find_and_cancel()
    yield from driver.choose_clip()
    yield from choose()
    yield from press(bpy.ops.hund.reconstruct)
    driver.screenshot("4_result")
    yield from solve_again()
    settings().clip = driver.LONG_CLIP
    yield 1.0
    driver.record(found_of_other_clip=len(settings().found.people))


driver.run(scenario)
