"""An animator's first hour in one Blender with a window: nothing is lost, nothing is odd."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def facts(run_scenario):
    return run_scenario("story")


def test_story_finishes(facts):
    assert facts["finished"]


def test_clip_is_seen_through_its_camera(facts):
    assert facts["people"] and facts["scene_camera"] == "Camera - walker"
    assert facts["perspective"] == "CAMERA"


def test_untouched_result_is_replaced_without_a_question(facts):
    assert facts["load_untouched"] == ["FINISHED"]


def test_edits_live_after_loading_again(facts):
    assert facts["load_edited"] == ["RUNNING_MODAL"]  # the question
    assert facts["people_again"] == facts["people"] and facts["results_again"] == 1
    assert facts["modifiers"] == ["ARMATURE", "SUBSURF"]
    assert np.abs(np.subtract(facts["arm_edited"], facts["arm_solved"])).max() > 0.1
    assert facts["arm_again"] == pytest.approx(facts["arm_edited"], abs=1e-5)


def test_export_is_written(facts):
    assert facts["export"] == ["FINISHED"]
    assert facts["files"]["walker.fbx"] > 100_000


def test_render_shows_people_over_footage(facts):
    assert 0.1 < np.mean(facts["brightness"]) < 0.9
    assert facts["darkest"] < 0.2 and facts["brightest"] > 0.8
