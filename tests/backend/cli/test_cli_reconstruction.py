"""Reconstruction file: save and load round trip; wrong and damaged files are refused."""

import dataclasses
import errno
import os
import pathlib

import cli_fakes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hund_backend.errors import BadInputError
from hund_backend.reconstruction import LAYOUT, OPTIONAL, SCHEMA, Reconstruction

SIZES = st.fixed_dictionaries(
    {
        "people": st.integers(1, 3),
        "frames": st.integers(1, 4),
        "joints": st.integers(1, 6),
        "keypoints": st.integers(0, 4),
        "stages": st.integers(1, 3),
        "terms": st.integers(0, 3),
        "seed": st.integers(0, 1000),
    }
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(SIZES)
def test_save_and_load_round_trip(tmp_path, sizes):
    written = cli_fakes.build_reconstruction(**sizes)
    written.save(tmp_path / "a.npz")
    read = Reconstruction.load(tmp_path / "a.npz")
    for field in dataclasses.fields(Reconstruction):
        before, after = getattr(written, field.name), getattr(read, field.name)
        assert type(before) is type(after), field.name
        np.testing.assert_array_equal(before, after, err_msg=field.name)
        assert not isinstance(before, np.ndarray) or before.dtype == after.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_stages_shots_and_stillness_are_optional(tmp_path):
    whole = cli_fakes.build_reconstruction()
    plain = dataclasses.replace(whole, **dict.fromkeys(OPTIONAL))
    plain.save(tmp_path / "a.npz")
    read = Reconstruction.load(tmp_path / "a.npz")
    assert all(getattr(read, name) is None for name in OPTIONAL)
    np.testing.assert_array_equal(read.rotations, whole.rotations)


def test_the_file_has_the_keys_of_the_schema_and_no_pickle(tmp_path):
    cli_fakes.build_reconstruction().save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file.files) == {"schema", "provenance", *LAYOUT, *OPTIONAL}
        assert str(file["schema"]) == SCHEMA
        assert all(file[name].dtype != object for name in file.files)


def changed(name, change):
    """A file's arrays with one of them changed."""

    def make(arrays):
        arrays[name] = change(arrays[name])
        return arrays

    return make


def with_first(value):
    def change(array):
        array = array.copy()
        array.reshape(-1)[0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda arrays: {k: v for k, v in arrays.items() if k != "joints"}, "'joints' is missing"),
        (changed("schema", lambda _: np.array("other/2")), "other/2"),
        (changed("provenance", lambda _: np.array("{")), "not a JSON object"),
        (changed("provenance", lambda _: np.array("[1]")), "not a JSON object"),
        (changed("joints", lambda a: a[:, :, 1:]), "'joints' has the shape"),
        (changed("present", lambda a: a[:, 1:]), "'present' has the shape"),
        (changed("betas", lambda a: a[:, 1:]), "'betas' has the shape"),
        (changed("fps", lambda a: a[None]), "'fps' has the shape"),
        (changed("rotations", lambda a: a.astype(np.float64)), "'rotations' is of type"),
        (changed("rotations", lambda a: a * np.float32(1.1)), "unit length"),
        (changed("stage_rotations", lambda a: a * np.float32(1.1)), "'stage_rotations' holds"),
        (changed("stage_root_translation", lambda a: a[:, :, 1:]), "'stage_root_translation' has"),
        (changed("joints", with_first(np.nan)), "'joints' holds values that are not finite"),
        (changed("times", with_first(np.inf)), "'times' holds values that are not finite"),
        (changed("times", lambda a: a[::-1]), "'times' should increase"),
        (changed("frame_numbers", lambda a: a * 0), "'frame_numbers' should increase"),
        (changed("parents", lambda a: np.roll(a, 1)), "'parents' should start with one root"),
        (changed("parents", with_first(0)), "'parents' should start with one root"),
        (changed("joint_names", lambda a: np.full_like(a, "x")), "names a joint twice"),
        (changed("contacts", with_first(1.5)), "'contacts' holds confidences"),
        (changed("keypoints", lambda a: a - np.float32(1)), "'keypoints' holds confidences"),
        (changed("world_from_camera", lambda a: -a), "'world_from_camera'"),
        (changed("shots", lambda a: a + 1), "'shots' should start with the first frame"),
        (changed("shots", lambda a: np.append(a, 99)), "'shots' names frames that are not"),
        (changed("static", lambda a: a + np.float32(1)), "'static' holds confidences"),
        (changed("body_contacts", with_first(-0.5)), "'body_contacts' holds confidences"),
        (changed("body_contacts", lambda a: a[..., 1:]), "'body_contacts' has the shape"),
        (changed("fps", lambda a: -a), "'fps' should be positive"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(tmp_path, break_it, words):
    path = tmp_path / "a.npz"
    cli_fakes.build_reconstruction().save(path)
    with np.load(path) as file:
        arrays = break_it({name: file[name] for name in file.files})
    np.savez(path, **arrays)
    with pytest.raises(BadInputError) as caught:
        Reconstruction.load(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith("a.npz cannot be used: ")


def damaged(content):
    return lambda path: path.write_bytes(content(path.read_bytes()))


@pytest.mark.parametrize(
    "damage",
    [
        damaged(lambda data: b""),
        damaged(lambda data: b"this is text"),
        damaged(lambda data: data[: len(data) // 2]),
        damaged(lambda data: data[:2000] + bytes(200) + data[2200:]),
        lambda path: np.savez(path, a=np.array([{}], object)),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (
            np.save(path.with_suffix(".npy"), 1),
            path.with_suffix(".npy").replace(path),
        ),
    ],
)
def test_a_damaged_file_is_bad_input(tmp_path, damage):
    path = tmp_path / "a.npz"
    cli_fakes.build_reconstruction().save(path)
    damage(path)
    with pytest.raises(BadInputError) as caught:
        Reconstruction.load(path)
    assert "\n" not in str(caught.value)


def test_an_invalid_reconstruction_is_not_saved(tmp_path):
    good = cli_fakes.build_reconstruction()
    bad = dataclasses.replace(good, joints=np.full_like(good.joints, np.nan))
    with pytest.raises(ValueError, match="'joints'"):
        bad.save(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInputError, match="cannot be written"):
        cli_fakes.build_reconstruction().save(tmp_path / "file" / "a.npz")
    with pytest.raises(BadInputError, match="cannot be written"):
        cli_fakes.build_reconstruction().save(pathlib.Path("/proc/none/a.npz"))


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    cli_fakes.build_reconstruction().save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadInputError, match="No space left"):
        cli_fakes.build_reconstruction(seed=1).save(path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
