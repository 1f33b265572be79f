"""Server: each request is answered, a cancel overtakes, an error costs its request only."""

import argparse
import json
import threading

import cli_clips
import cli_fakes
import pytest

from hund_backend import evidence_file, pipeline
from hund_backend.commands import serve
from hund_backend.errors import CancelledError, NobodyFoundError
from hund_backend.models import Models
from hund_backend.people_list import PeopleList
from hund_backend.progress import Progress


class Input:
    """Standard input that returns lines as the test provides them."""

    def __init__(self):
        self._lines, self._ready = [], threading.Condition()

    def say(self, *requests):
        with self._ready:
            self._lines += [
                request if isinstance(request, str) else json.dumps(request)
                for request in requests
            ]
            self._ready.notify()

    def end(self):
        with self._ready:
            self._lines.append(None)
            self._ready.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self._ready:
            self._ready.wait_for(lambda: self._lines, timeout=600)
            line = self._lines.pop(0)
        if line is None:
            raise StopIteration
        return line


@pytest.fixture
def server(monkeypatch, capsys):
    """Standard input and the answers so far; the models are fakes."""
    requests, received = Input(), []

    def answers():
        received.extend(json.loads(line) for line in capsys.readouterr().out.splitlines())
        return received

    monkeypatch.setattr("sys.stdin", requests)
    monkeypatch.setattr(Models, "load", classmethod(lambda cls, device: object()))
    return requests, answers


def work_with(monkeypatch, work, *, takes_stop_early=False):
    def reconstruct(clip, options, models, report, stop_early):
        work(clip, report, *([stop_early] if takes_stop_early else []))
        report(Progress(stage="pose", done=1, total=1))
        result = cli_fakes.build_reconstruction()
        result.provenance["truncated"] = None
        return result

    monkeypatch.setattr(pipeline, "reconstruct", reconstruct)


@pytest.fixture
def clips(tmp_path):
    return [cli_clips.write_video(tmp_path / f"{name}.mp4", num_frames=2) for name in "abc"]


def request(number, clip):
    folder = str(clip.parent / "out")
    return {"id": number, "command": "reconstruct", "clip": str(clip), "output": folder}


def ends(answers):
    """Return the last answer to each request."""
    return {a["id"]: a for a in answers if a["event"] in {"done", "error", "doctor"}}


def test_each_request_is_answered_and_an_error_costs_its_request_only(server, clips, monkeypatch):
    def work(clip, report):
        if clip.stem == "a":
            raise NobodyFoundError("Nobody was found in a.mp4.")
        if clip.stem == "b":
            raise ZeroDivisionError("something\nunexpected")
        requests.say({"command": "quit"})

    requests, answers = server
    work_with(monkeypatch, work)
    missing = clips[0].with_name("missing.mp4")
    requests.say("no JSON", "[]", '{"id": 9}', request(1, clips[0]), request(2, clips[1]))
    requests.say(
        request(3, missing), {"id": 4, "command": "dance"}, request(5, clips[2]) | {"fov": "x"}
    )
    requests.say(
        {"id": 6, "command": "reconstruct"}, request(7, clips[2]) | {"distortion": [1, "x"]}
    )
    requests.say(request(8, clips[2]))
    assert serve.run(argparse.Namespace()) == 0
    found = ends(answers())
    assert answers()[0] == {"event": "ready"}
    assert sum(answer.get("id", 0) is None for answer in answers()) == 3
    codes = {number: found[number]["exit_code"] for number in range(1, 8)}
    assert codes == {1: 3, 2: 1, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2}
    assert all("\n" not in found[number]["message"] for number in codes)
    assert "missing.mp4 does not exist" in found[3]["message"]


def test_a_finished_request_names_its_file_and_is_skipped_the_second_time(
    server, clips, monkeypatch
):
    requests, answers = server
    done = []

    def work(clip, report):
        done.append(clip.stem)
        if clip.stem == "b":
            requests.end()

    work_with(monkeypatch, work)
    first = request(1, clips[0])
    requests.say(
        first, first | {"id": 2}, first | {"id": 3, "overwrite": True}, request(4, clips[1])
    )
    serve.run(argparse.Namespace())
    found = ends(answers())
    assert [found[number]["skipped"] for number in (1, 2, 3)] == [False, True, False]
    assert done == ["a", "a", "b"]
    assert (clips[0].parent / "out" / "a.npz").exists()
    progress = [answer for answer in answers() if answer["event"] == "progress"]
    assert {"load", "pose"} <= {answer["stage"] for answer in progress}
    assert {answer["id"] for answer in progress} >= {1, 3}
    assert 2 not in {answer["id"] for answer in progress}


def test_a_cancel_ends_earlier_requests_and_no_later_one(server, clips, monkeypatch):
    requests, answers = server

    def work(clip, report):
        if clip.stem == "a":
            requests.say({"command": "cancel"}, request(3, clips[2]))
            while True:  # a long job, until the cancel was heard
                report(Progress(stage="detect", done=0, total=None))
        else:
            requests.say({"command": "quit"})

    work_with(monkeypatch, work)
    requests.say(request(1, clips[0]), request(2, clips[1]))
    serve.run(argparse.Namespace())
    found = ends(answers())
    assert found[1]["exit_code"] == found[2]["exit_code"] == 130
    assert not (clips[0].parent / "out" / "a.npz").exists()
    assert 3 in found


def test_a_finish_stops_earlier_requests_early_and_no_later_one(server, clips, monkeypatch):
    requests, answers = server

    def work(clip, report, stop_early):
        if clip.stem == "a":
            assert not stop_early()
            requests.say({"command": "finish"}, request(2, clips[1]))
            while not stop_early():
                report(Progress(stage="detect", done=0, total=None))
        else:
            assert not stop_early()
            requests.say({"command": "quit"})

    work_with(monkeypatch, work, takes_stop_early=True)
    requests.say(request(1, clips[0]))
    serve.run(argparse.Namespace())
    assert ends(answers())[1]["event"] == "done"
    assert (clips[0].parent / "out" / "a.npz").exists()


@pytest.mark.parametrize("last", ["quit", "end"])
def test_the_end_of_the_input_ends_the_work(server, clips, monkeypatch, last):
    requests, answers = server

    def work(clip, report):
        requests.end() if last == "end" else requests.say({"command": "quit"})
        while True:
            report(Progress(stage="detect", done=0, total=None))

    work_with(monkeypatch, work)
    requests.say(request(1, clips[0]), request(2, clips[1]))
    assert serve.run(argparse.Namespace()) == 0
    assert {number: answer["exit_code"] for number, answer in ends(answers()).items()} == {
        1: 130,
        2: 130,
    }
    assert not [*(clips[0].parent / "out").glob("*")]


def test_a_signal_ends_a_busy_server(server, clips, monkeypatch):
    requests, _ = server

    def work(clip, report):
        raise CancelledError("Cancelled: finished clips are kept.")  # as the handler does

    work_with(monkeypatch, work)
    requests.say(request(1, clips[0]))
    with pytest.raises(CancelledError):
        serve.run(argparse.Namespace())
    requests.end()


def test_a_missing_package_is_marked_and_options_have_the_names_of_the_panel(
    server, clips, monkeypatch
):
    def work(clip, report):
        if clip.stem == "a":
            raise ModuleNotFoundError("No module named 'cv2'")
        requests.say({"command": "quit"})

    requests, answers = server
    work_with(monkeypatch, work)
    requests.say(request(1, clips[0]), request(2, clips[1]) | {"start": 5, "end": 2})
    requests.say(request(3, clips[2]))
    assert serve.run(argparse.Namespace()) == 0
    found = ends(answers())
    assert found[1]["missing"] and "cv2" in found[1]["message"]
    assert found[2]["message"] == "End 2 lies before Start 5: exchange them."
    assert "missing" not in found[2]


def test_kept_evidence_is_written_and_solved_again(server, clips, monkeypatch):
    requests, answers = server
    calls = []

    def reconstruct(clip, options, models, report, stop_early, keep):
        keep("tracked")
        return cli_fakes.build_reconstruction()

    def solve_again(evidence, folder, smoothing, load_models, report):
        report(Progress(stage="pose", done=1, total=1))
        calls.append((evidence.name, smoothing))
        requests.say({"command": "quit"})
        return folder / "a.npz", cli_fakes.build_reconstruction(people=2)

    monkeypatch.setattr(pipeline, "reconstruct", reconstruct)
    monkeypatch.setattr(serve, "solve_again", solve_again)
    monkeypatch.setattr(
        evidence_file, "save", lambda tracked, options, path: calls.append(path.name)
    )
    folder = str(clips[0].parent / "out")
    requests.say(request(1, clips[0]) | {"keep_evidence": True})
    requests.say({"id": 2, "command": "solve", "output": folder, "smoothing": 0.5})
    again = {"command": "solve", "output": folder, "evidence": "a.evidence"}
    requests.say({"id": 3, **again, "smoothing": 0.5})
    serve.run(argparse.Namespace())
    found = ends(answers())
    assert calls == ["a.evidence", ("a.evidence", 0.5)]
    assert "evidence" in found[2]["message"] and found[2]["exit_code"] == 2
    assert found[3]["event"] == "done" and found[3]["people"] == 2


def test_a_request_lists_people(server, clips, monkeypatch):
    requests, answers = server
    calls = []

    def list_people(clip, folder, device, report, *, start, end, speed):
        calls.append((clip, start, end, speed))
        requests.say({"command": "quit"})
        return folder / "people.json", PeopleList(clip=str(clip), duration=1.0, people=())

    monkeypatch.setattr(serve, "list_people", list_people)
    requests.say(request(1, clips[0]) | {"command": "people", "start": 3, "end": 2})
    second = {"command": "people", "start": 1, "end": 2, "speed": 4.0}
    requests.say(request(2, clips[0]) | second)
    serve.run(argparse.Namespace())
    found = ends(answers())
    assert found[1]["exit_code"] == 2 and calls == [(clips[0], 1, 2, 4.0)]
    assert found[2]["output"].endswith("people.json") and found[2]["people"] == 0
