"""Job: outcomes, progress, cancel and errors, with a fake backend."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bl_ext.user_default.hund.bridge import backend, job

FAKE = Path(__file__).parent / "fake_backend"
TIMEOUT = 300.0  # seconds; only a hang takes so long, even on a busy machine


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
        path.write_bytes(b"copied as the reconstruction")
        return job.Task(clip=path, output=tmp_path / "out")

    return make


def run_to_end(running):
    outcomes, deadline = [], time.monotonic() + TIMEOUT
    while running.running:
        assert time.monotonic() < deadline, "the job does not end"
        outcomes += running.poll()
        time.sleep(0.005)
    return outcomes


def wait_for_frames(running, frames=1):
    """Poll until a number of frames is done, while the clip is not."""
    deadline = time.monotonic() + TIMEOUT
    while running.status.stage != "detect" or running.status.done < frames:
        assert time.monotonic() < deadline, "no frame is done"
        assert not running.poll()
        time.sleep(0.005)


def process_of(running):
    return running._backend.process


def test_clip_gives_file(settings, clip, tmp_path):
    (outcome,) = run_to_end(job.Job([clip("walk")], settings))
    assert outcome.path == tmp_path / "out" / "walk.npz" and outcome.path.is_file()
    assert outcome.error is None and not outcome.skipped


def test_status_has_progress(settings, clip):
    running = job.Job([clip("slow")], settings)
    wait_for_frames(running, 2)
    status = running.status
    assert (status.clip, status.position, status.clips) == ("slow.mp4", 1, 1)
    assert 0 < status.done < status.total == 1000
    assert status.seconds_left > 0 and not status.stopping
    running.close()


def test_second_run_skips_existing_file(settings, clip):
    run_to_end(job.Job([clip("walk")], settings))
    (outcome,) = run_to_end(job.Job([clip("walk")], settings))
    assert outcome.skipped and outcome.path.is_file()


def test_backend_error_keeps_message_and_exit_code(settings, clip):
    (bad,) = run_to_end(job.Job([clip("bad")], settings))
    assert (str(bad.error), bad.error.exit_code) == ("bad.mp4 is no video.", 2)
    (nobody,) = run_to_end(job.Job([clip("nobody")], settings))
    assert nobody.error.exit_code == 3


@pytest.mark.parametrize("name", ["crash", "killed"])
def test_backend_exit_gives_one_sentence(settings, clip, name):
    (outcome,) = run_to_end(job.Job([clip(name)], settings))
    message = str(outcome.error)
    assert message.count("\n") == 0 and message.endswith(".")
    assert ("torch" if name == "crash" else "signal 9") in message


def test_batch_continues_after_errors_and_exits(settings, clip):
    names = ["walk", "bad", "killed", "crash", "run"]
    outcomes = run_to_end(job.Job([clip(name) for name in names], settings))
    assert [outcome.task.clip.stem for outcome in outcomes] == names
    assert [outcome.error is None for outcome in outcomes] == [True, False, False, False, True]


def test_external_kill_ends_task(settings, clip):
    running = job.Job([clip("slow")], settings)
    wait_for_frames(running)
    os.kill(process_of(running).pid, signal.SIGKILL)
    (outcome,) = run_to_end(running)
    assert "signal 9" in str(outcome.error)


def test_output_that_is_no_reply_goes_to_log(settings, clip):
    (outcome,) = run_to_end(job.Job([clip("garbage")], settings))
    assert outcome.error is None
    log = settings.log.read_text(encoding="utf-8")
    assert "not JSON at all" in log and "output before" in log


@pytest.mark.parametrize("name", ["slow", "stubborn"])
def test_cancel_ends_cooperative_and_stubborn_backend(settings, clip, name):
    running = job.Job([clip(name), clip("walk")], settings)
    wait_for_frames(running)
    process = process_of(running)
    running.cancel()
    assert running.status.stopping
    (outcome,) = run_to_end(running)
    assert outcome.error.exit_code == job.ExitCode.CANCELLED
    assert process.poll() is not None


def test_finish_keeps_frames_and_drops_later_clips(settings, clip):
    running = job.Job([clip("slow"), clip("walk")], settings)
    wait_for_frames(running)
    running.finish()
    assert running.status.finishing and not running.status.stopping
    (outcome,) = run_to_end(running)
    assert outcome.error is None and outcome.path.is_file()


def test_status_counts_clips(settings, clip):
    running = job.Job([clip("walk"), clip("bad"), clip("slow"), clip("run")], settings)
    while len(running._queue) > 1:
        running.poll()
    assert (running.status.position, running.status.clips) == (3, 4)
    running.cancel()
    assert running.status.position == 3
    run_to_end(running)


def test_cancel_works_before_first_reply(settings, clip, monkeypatch):
    monkeypatch.setenv("HUND_FAKE_SILENT", "1")
    running = job.Job([clip("walk")], settings)
    running.cancel()
    (outcome,) = run_to_end(running)
    assert outcome.error.exit_code == job.ExitCode.CANCELLED


def test_backend_without_reply_is_killed(settings, clip, monkeypatch):
    monkeypatch.setenv("HUND_FAKE_SILENT", "1")
    impatient = job.Settings(**{**vars(settings), "start_timeout": 0.3})
    (outcome,) = run_to_end(job.Job([clip("walk")], impatient))
    assert "did not start" in str(outcome.error)


def test_missing_interpreter_gives_one_sentence(settings, clip, tmp_path):
    missing = job.Settings(**{**vars(settings), "interpreter": tmp_path / "python"})
    assert "does not exist" in backend.unavailable_reason(missing)
    outcomes = run_to_end(job.Job([clip("walk"), clip("run")], missing))
    assert len(outcomes) == 2
    assert all("preferences" in str(outcome.error) for outcome in outcomes)


def test_interpreter_that_is_no_program_gives_one_sentence(settings, clip, tmp_path):
    text = tmp_path / "python"
    text.write_text("no program")
    (outcome,) = run_to_end(
        job.Job([clip("walk")], job.Settings(**{**vars(settings), "interpreter": text}))
    )
    assert "cannot be started" in str(outcome.error)


def test_blender_python_without_torch_is_unavailable(settings):
    own = job.Settings(**{**vars(settings), "interpreter": None})
    assert "preferences" in backend.unavailable_reason(own)


def test_unwritable_log_gives_one_sentence(settings, clip, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = job.Settings(**{**vars(settings), "log": tmp_path / "file" / "backend.log"})
    with pytest.raises(job.JobError, match="cannot be written"):
        job.Job([clip("walk")], blocked)


def test_close_kills_process(settings, clip):
    running = job.Job([clip("stubborn")], settings)
    wait_for_frames(running)
    process = process_of(running)
    running.close()
    assert process.poll() is not None and not running.running


def test_backend_ends_with_its_parent(settings, clip):
    code = f"""
import sys, time, os
sys.path.insert(0, {str(Path(job.__file__).parents[2])!r})
from pathlib import Path
from hund.bridge import job
settings = job.Settings(log=Path({str(settings.log)!r}), interpreter=Path(sys.executable),
                        root=Path({str(FAKE)!r}))
task = job.Task(clip=Path({str(clip("stubborn").clip)!r}),
                output=Path({str(settings.log.parent)!r}))
running = job.Job([task], settings)
while running.status.stage != "detect":
    running.poll()
print(running._backend.process.pid)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(answer.stdout.split()[-1]), 0)


def test_threads_and_paths_reach_the_process(settings, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/missing")
    limited = backend.environment(job.Settings(**{**vars(settings), "threads": 3}))
    assert limited["OMP_NUM_THREADS"] == "3"
    assert limited["PYTHONPATH"] == str(FAKE) and "PYTHONHOME" not in limited
    own = backend.environment(job.Settings(**{**vars(settings), "interpreter": None}))
    assert own["PYTHONPATH"].split(os.pathsep)[:2] == [str(FAKE), str(FAKE / backend.PACKAGES)]


def test_missing_packages_are_explained_for_all_clips(settings, clip, tmp_path):
    """An interpreter without packages: the real backend answers that one cannot be imported."""
    bare = job.Settings(
        log=tmp_path / "logs" / "backend.log",
        interpreter=Path(sys.executable),  # Blender's: it has no cv2
        root=backend.ROOT,
    )
    outcomes = run_to_end(job.Job([clip("walk"), clip("run")], bare))
    assert len(outcomes) == 2
    for outcome in outcomes:
        message = str(outcome.error)
        assert "torch" in message and "Check" in message and "Error" not in message


def test_cancel_works_while_the_installation_is_checked(settings, clip, tmp_path):
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\ncase $* in *serve*) exit 1;; esac\nexec sleep 60\n")
    silent.chmod(0o755)
    running = job.Job([clip("walk")], job.Settings(**{**vars(settings), "interpreter": silent}))
    while not running._check:
        assert not running.poll()
    running.cancel()
    (outcome,) = run_to_end(running)
    assert outcome.error.exit_code == job.ExitCode.CANCELLED


@pytest.mark.parametrize(
    ("code", "words"),
    [(-9, "signal 9"), (0xC0000005, "Windows error 0xC0000005"), (1, "ImportError"), (3, "")],
)
def test_ends_of_a_process_are_words_on_every_system(code, words):
    text = backend.exit_text(code, "ImportError" if code == 1 else "")
    assert words in text
    assert ("killed" in text) == (code not in (1, 3))
    assert ("exit code 3" in text) == (code == 3)
