"""Blender with a window: install the zip, reconstruct, cancel, preview stages, undo."""

import pytest


@pytest.fixture(scope="module")
def facts(run_scenario):
    return run_scenario("window")


def test_scenario_finishes(facts):
    assert facts["finished"]


def test_escape_cancels_only_over_the_panel_after_a_question_and_keeps_scene(facts):
    assert facts["running_after_escape_elsewhere"] and facts["running_while_asked"]
    assert facts["after_cancel"] == []


def test_first_result_is_seen_through_its_camera_without_the_cube(facts):
    assert facts["perspective"] == "CAMERA" and facts["cube_hidden"]
    assert not facts["cube_after_undo"]


def test_button_makes_person(facts):
    assert "Person 1 - walker" in facts["people"] and facts["results"] == 1


def test_one_undo_removes_result_and_one_redo_restores_it(facts):
    assert facts["after_undo"] == []
    assert facts["after_redo"] == facts["people"]


def test_stage_preview_keeps_motion(facts):
    stages = list(facts["stages"].values())
    assert len(stages) == 5 and stages[0] != stages[-1]
    assert facts["last_stage_after_scrubbing"] == pytest.approx(stages[-1], abs=1e-5)
    assert facts["last_stage_after_rendering"] == pytest.approx(stages[-1], abs=1e-5)
    assert facts["final_hand_afterwards"] == facts["final_hand"]


def test_job_survives_opening_another_file(facts):
    assert len(facts["unclaimed"]) == 1
