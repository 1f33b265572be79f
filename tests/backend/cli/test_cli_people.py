"""Quick look: the list of people, and the reconstruction of those who are chosen in it."""

import contextlib
import dataclasses
import json
import signal

import cli_clips
import numpy as np
import pytest

from hund_backend.__main__ import main
from hund_backend.commands.arguments import pipeline_options
from hund_backend.errors import BadInputError, OptionError
from hund_backend.people_list import FILE_NAME, ListedPerson, PeopleList
from hund_backend.perception.run import Perception
from hund_backend.quick_look import quick_look


def person(number=1, **changes):
    values = {"picture": f"person_{number}.png", "presence": 0.5, "size": 0.4, "first": 0.0}
    values |= {"last": 1.0, "static": False, "confidence": 0.9}
    boxes = ((0.0, 1.0, 2.0, 30.5, 40.0), (0.25, 2.0, 2.0, 31.5, 40.0))
    return ListedPerson(**{"id": number, "boxes": boxes} | values | changes)


@pytest.fixture
def listed(tmp_path):
    found = PeopleList(clip="clips/wälk.mp4", duration=2.0, people=(person(), person(2)))
    found.save(tmp_path / FILE_NAME)
    return found


def edit(path, change):
    values = json.loads(path.read_bytes())
    change(values)
    path.write_text(json.dumps(values))


def test_a_list_is_read_as_it_was_written(tmp_path, listed):
    assert PeopleList.load(tmp_path / FILE_NAME) == listed
    values = json.loads((tmp_path / FILE_NAME).read_bytes())
    assert values["schema"] == 1 and set(values) == {"schema", "clip", "duration", "people"}
    assert {"id", "picture", "presence", "first", "last", "static", "confidence", "chosen"} < set(
        values["people"][0]
    )


def test_who_is_chosen_can_be_edited(tmp_path, listed):
    edit(tmp_path / FILE_NAME, lambda values: values["people"][1].update(chosen=False))
    found = PeopleList.load_for(tmp_path / FILE_NAME, tmp_path / "wälk.mp4")
    expected = (listed.people[0], dataclasses.replace(listed.people[1], chosen=False))
    assert found.people == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(schema=2),
        lambda values: values.pop("people"),
        lambda values: values["people"][0].update(boxes=[[0, 1, 2]]),
        lambda values: values["people"][0].update(boxes=[[0, 1, 2, 3, float("nan")]]),
        lambda values: values["people"][0].update(chosen="no"),
        lambda values: [each.update(chosen=False) for each in values["people"]],
        lambda values: values.update(clip="other.mp4"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, listed, change):
    edit(tmp_path / FILE_NAME, change)
    with pytest.raises(BadInputError, match=f"^{FILE_NAME} .*: .*\\.$"):
        PeopleList.load_for(tmp_path / FILE_NAME, tmp_path / "wälk.mp4")


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff\xfe", b"{}"])
def test_a_file_that_is_no_list_is_refused(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(BadInputError, match="holds no list of people"):
        PeopleList.load(tmp_path / FILE_NAME)


def test_the_option_is_the_name_of_a_file():
    assert pipeline_options({"only": "a/people.json"}).only == "a/people.json"
    with pytest.raises(OptionError, match="--only is 3"):
        pipeline_options({"only": 3})


@pytest.fixture
def perception(monkeypatch):
    """Perception whose networks find nobody in any picture."""
    from hund_backend.perception.person_detector import PersonBoxes

    class Nobody:
        def detect(self, images):
            nothing = PersonBoxes(
                boxes=np.zeros((0, 4), np.float32),
                confidence=np.zeros(0, np.float32),
                keypoints=np.zeros((0, 17, 2), np.float32),
            )
            return [nothing for _ in images]

        def predict(self, images):
            raise AssertionError("nobody is looked at")

    return Perception(Nobody(), Nobody(), Nobody())


def test_a_clip_without_people_has_an_empty_list(tmp_path, perception):
    clip = cli_clips.write_video(tmp_path / "walk.mp4", num_frames=12)
    found = quick_look(clip, tmp_path / "out", perception)
    assert found.people == () and found.duration == pytest.approx(12 / cli_clips.FPS)
    assert PeopleList.load(tmp_path / "out" / FILE_NAME) == found


def test_the_command_says_what_it_wrote(tmp_path, perception, monkeypatch, capsys):
    monkeypatch.setattr(Perception, "open", classmethod(lambda cls, device: perception))
    clip = cli_clips.write_video(tmp_path / "walk.mp4", num_frames=3)
    command = ["people", str(clip), "--out", str(tmp_path / "out"), "--device", "cpu", "--json"]
    assert run(command) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    path = tmp_path / "out" / FILE_NAME
    assert lines[-1] == {"event": "done", "clip": str(clip), "output": str(path), "people": 0}
    assert path.exists()


def test_a_clip_that_cannot_be_read_is_an_error_event(tmp_path, capsys):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    command = ["people", str(tmp_path / "bad.mp4"), "--out", str(tmp_path / "out"), "--json"]
    assert run(command) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "error" and not (tmp_path / "out").exists()


def run(command):
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.getsignal(number))
        return main(command)
