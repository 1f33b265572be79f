"""Options: all commands read one list, and each value reaches the pipeline."""

import argparse

import pytest

from hund_backend import options
from hund_backend.commands import evaluate, reconstruct
from hund_backend.commands.arguments import pipeline_options
from hund_backend.errors import BadInputError, OptionError
from hund_backend.options import Options


def choices_of(command):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return {action.dest: action.choices and tuple(action.choices) for action in parser._actions}


@pytest.mark.parametrize("command", [reconstruct, evaluate])
def test_commands_offer_the_listed_values(command):
    choices = choices_of(command)
    assert choices["quality"] == tuple(options.QUALITIES)
    assert choices["method"] == tuple(options.METHODS)
    assert choices["device"] == tuple(options.DEVICES)


def test_a_request_knows_every_option_of_the_command_line():
    own = {"help", "clips", "output", "preview", "json"}
    assert set(choices_of(reconstruct)) - own == set(options.REQUEST_OPTIONS)


def test_defaults_are_listed_values():
    assert options.DEFAULT_QUALITY in options.QUALITIES
    assert options.DEFAULT_DEVICE in options.DEVICES
    assert options.DEFAULT_METHOD in options.METHODS
    assert pipeline_options({}) == Options()


@pytest.mark.parametrize("name", options.QUALITIES)
def test_a_quality_sets_the_options_of_the_pipeline(name):
    quality, found = options.QUALITIES[name], pipeline_options({"quality": name})
    for option in ("stride", "polish", "parts", "hands", "face"):
        assert getattr(found, option) == getattr(quality, option)


@pytest.mark.parametrize("name", ["hands", "face"])
@pytest.mark.parametrize("quality", options.QUALITIES)
def test_what_is_asked_for_does_not_hang_on_the_quality(quality, name):
    parser = argparse.ArgumentParser()
    options.add_quality(parser)
    options.add_hands(parser)
    options.add_face(parser)
    for flag, wanted in ((f"--{name}", True), (f"--no-{name}", False)):
        found = pipeline_options(vars(parser.parse_args(["--quality", quality, flag])))
        assert getattr(found, name) is wanted


@pytest.mark.parametrize("option", ["quality", "method"])
def test_an_unlisted_value_is_bad_input(option):
    with pytest.raises(BadInputError, match=f"--{option} is 'other': choose"):
        pipeline_options({option: "other"})


def test_panel_items_describe_every_value():
    for choices in (options.QUALITIES, options.DEVICES, options.METHODS):
        items = options.enum_items(choices)
        assert [name for name, _, _ in items] == list(choices)
        assert all(text[0].isupper() and text[-1] != "." for item in items for text in item[1:])


def test_a_stage_of_a_person_begins_with_the_name_of_the_stage():
    for stage in options.ProgressStage:
        assert f"{stage} 1/2".partition(" ")[0] == stage == stage.value


@pytest.mark.parametrize(
    "request_",
    [
        {"people": 0},
        {"people": "two"},
        {"start": -1},
        {"start": 9, "end": 3},
        {"adapt": -1.0},
        {"adapt": 5, "method": "fit"},
        {"smoothing": -0.5},
        {"smoothing": "much"},
        {"hands": "left"},
        {"face": "left"},
        {"quality": "{start}"},
        {"distortion": [1, 2]},
    ],
)
def test_an_error_names_options_as_its_reader_knows_them(request_):
    with pytest.raises(OptionError) as caught:
        pipeline_options(request_)
    flags, labels = str(caught.value), caught.value.worded(lambda option: options.LABELS[option])
    named = [name for name in request_ if f"--{name}" in flags]
    assert named and "--" not in labels
    assert all(options.LABELS[name] in labels for name in named)
