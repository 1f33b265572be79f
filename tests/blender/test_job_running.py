"""Laws of a job, against a backend that does what the clip's name says."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bl_ext.user_default.hund.bridge import backend, job

FAKE = Path(__file__).parent / "fake_backend"


@pytest.fixture
def settings(tmp_path):
    return job.Settings(
        log=tmp_path / "logs" / "backend.log", interpreter=Path(sys.executable), root=FAKE
    )


@pytest.fixture
def clip(tmp_path):
    def make(name):
        path = tmp_path / "clips" / f"{name}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"a reconstruction in disguise")
        return job.Task(clip=path, output=tmp_path / "out")

    return make


def finish(running, seconds=20.0):
    outcomes, end = [], time.monotonic() + seconds
    while running.running and time.monotonic() < end:
        outcomes += running.poll()
        time.sleep(0.005)
    assert not running.running, "the job did not end"
    return outcomes


def wait_for_stage(running, stage, seconds=20.0):
    end = time.monotonic() + seconds
    while running.status.stage != stage and time.monotonic() < end:
        assert not running.poll()
        time.sleep(0.005)
    assert running.status.stage == stage


def child_of(running):
    return running._backend.process


def test_a_clip_becomes_a_file(settings, clip, tmp_path):
    (outcome,) = finish(job.Job([clip("walk")], settings))
    assert outcome.path == tmp_path / "out" / "walk.npz" and outcome.path.is_file()
    assert outcome.error is None and not outcome.skipped


def test_progress_is_told(settings, clip):
    running = job.Job([clip("slow")], settings)
    wait_for_stage(running, "detect")
    time.sleep(0.2)
    running.poll()
    status = running.status
    assert (status.clip, status.position, status.clips) == ("slow.mp4", 1, 1)
    assert 0 < status.done < status.total == 1000
    assert status.seconds_left > 0 and not status.stopping
    running.close()


def test_a_second_run_skips_what_is_there(settings, clip):
    finish(job.Job([clip("walk")], settings))
    (outcome,) = finish(job.Job([clip("walk")], settings))
    assert outcome.skipped and outcome.path.is_file()


def test_an_error_of_the_backend_keeps_its_sentence_and_code(settings, clip):
    (bad,) = finish(job.Job([clip("bad")], settings))
    assert (str(bad.error), bad.error.exit_code) == ("bad.mp4 is no video.", 2)
    (nobody,) = finish(job.Job([clip("nobody")], settings))
    assert nobody.error.exit_code == 3


@pytest.mark.parametrize("name", ["die", "killed"])
def test_a_dead_backend_is_one_sentence(settings, clip, name):
    (outcome,) = finish(job.Job([clip(name)], settings))
    sentence = str(outcome.error)
    assert sentence.count("\n") == 0 and sentence.endswith(".")
    assert ("torch" if name == "die" else "signal 9") in sentence


def test_a_batch_goes_on_past_errors_and_deaths(settings, clip):
    names = ["walk", "bad", "killed", "die", "run"]
    outcomes = finish(job.Job([clip(name) for name in names], settings))
    assert [outcome.task.clip.stem for outcome in outcomes] == names
    assert [outcome.error is None for outcome in outcomes] == [True, False, False, False, True]


def test_a_kill_from_outside_is_noticed(settings, clip):
    running = job.Job([clip("slow")], settings)
    wait_for_stage(running, "detect")
    os.kill(child_of(running).pid, signal.SIGKILL)
    (outcome,) = finish(running)
    assert "signal 9" in str(outcome.error)


def test_what_is_not_an_answer_goes_to_the_log(settings, clip):
    (outcome,) = finish(job.Job([clip("garbage")], settings))
    assert outcome.error is None
    log = settings.log.read_text(encoding="utf-8")
    assert "not JSON at all" in log and "noise before" in log


@pytest.mark.parametrize("name", ["slow", "stubborn"])
def test_cancel_ends_the_backend_whether_it_obeys_or_not(settings, clip, name):
    running = job.Job([clip(name), clip("walk")], settings)
    wait_for_stage(running, "detect")
    child = child_of(running)
    running.cancel()
    assert running.status.stopping
    (outcome,) = finish(running)
    assert outcome.error.exit_code == job.CANCELLED
    assert child.poll() is not None


def test_finish_keeps_what_was_seen_and_drops_what_waits(settings, clip):
    running = job.Job([clip("slow"), clip("walk")], settings)
    wait_for_stage(running, "detect")
    running.finish()
    assert running.status.finishing and not running.status.stopping
    (outcome,) = finish(running)
    assert outcome.error is None and outcome.path.is_file()


def test_a_batch_counts_its_clips(settings, clip):
    running = job.Job([clip("walk"), clip("bad"), clip("slow"), clip("run")], settings)
    while len(running._waiting) > 1:
        running.poll()
    assert (running.status.position, running.status.clips) == (3, 4)
    running.cancel()
    assert running.status.position == 3
    finish(running)


def test_cancel_works_before_the_backend_has_said_a_word(settings, clip, monkeypatch):
    monkeypatch.setenv("HUND_FAKE_SILENT", "1")
    running = job.Job([clip("walk")], settings)
    running.cancel()
    (outcome,) = finish(running)
    assert outcome.error.exit_code == job.CANCELLED


def test_a_backend_that_never_starts_is_given_up(settings, clip, monkeypatch):
    monkeypatch.setenv("HUND_FAKE_SILENT", "1")
    impatient = job.Settings(**{**vars(settings), "first_word": 0.3})
    (outcome,) = finish(job.Job([clip("walk")], impatient))
    assert "did not start" in str(outcome.error)


def test_a_missing_interpreter_is_one_sentence(settings, clip, tmp_path):
    missing = job.Settings(**{**vars(settings), "interpreter": tmp_path / "python"})
    assert "does not exist" in backend.obstacle(missing)
    outcomes = finish(job.Job([clip("walk"), clip("run")], missing))
    assert len(outcomes) == 2
    assert all("preferences" in str(outcome.error) for outcome in outcomes)


def test_an_interpreter_that_is_no_program_is_one_sentence(settings, clip, tmp_path):
    text = tmp_path / "python"
    text.write_text("no program")
    (outcome,) = finish(
        job.Job([clip("walk")], job.Settings(**{**vars(settings), "interpreter": text}))
    )
    assert "cannot be started" in str(outcome.error)


def test_blenders_python_without_torch_is_an_obstacle(settings):
    own = job.Settings(**{**vars(settings), "interpreter": None})
    assert "preferences" in backend.obstacle(own)


def test_a_log_that_cannot_be_written_is_one_sentence(settings, clip, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = job.Settings(**{**vars(settings), "log": tmp_path / "file" / "backend.log"})
    with pytest.raises(job.FailedError, match="cannot be written"):
        job.Job([clip("walk")], blocked)


def test_close_leaves_no_process(settings, clip):
    running = job.Job([clip("stubborn")], settings)
    wait_for_stage(running, "detect")
    child = child_of(running)
    running.close()
    assert child.poll() is not None and not running.running


def test_the_backend_ends_with_its_parent(settings, clip):
    code = f"""
import sys, time, os
sys.path.insert(0, {str(Path(job.__file__).parents[2])!r})
from pathlib import Path
from hund.bridge import job
settings = job.Settings(log=Path({str(settings.log)!r}), interpreter=Path(sys.executable),
                        root=Path({str(FAKE)!r}))
task = job.Task(clip=Path({str(clip("stubborn").clip)!r}), output=Path({str(settings.log.parent)!r}))
running = job.Job([task], settings)
while running.status.stage != "detect":
    running.poll()
print(running._backend.process.pid)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(answer.stdout), 0)


def test_threads_and_places_reach_the_child(settings, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    limited = backend.environment(job.Settings(**{**vars(settings), "threads": 3}))
    assert limited["OMP_NUM_THREADS"] == "3"
    assert limited["PYTHONPATH"] == str(FAKE) and "PYTHONHOME" not in limited
    own = backend.environment(job.Settings(**{**vars(settings), "interpreter": None}))
    assert own["PYTHONPATH"].split(os.pathsep)[:2] == [str(FAKE), str(FAKE / backend.PACKAGES)]
