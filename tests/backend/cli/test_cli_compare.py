"""Comparison of results: equal bits, tolerances, missing files, and exit codes."""

import dataclasses
import math

import cli_fakes
import numpy as np
import pytest

from tools import compare_results


@pytest.fixture
def folders(tmp_path):
    """Two folders with the same two Reconstructions."""
    for folder in ("first", "second"):
        for seed, name in enumerate(("a", "b")):
            result = cli_fakes.build_reconstruction(people=2, frames=4, seed=seed)
            result.save(tmp_path / folder / f"{name}.npz")
    return tmp_path / "first", tmp_path / "second"


def compare(*arguments):
    return compare_results.main([str(argument) for argument in arguments])


def change(path, **arrays):
    result = compare_results.Reconstruction.load(path)
    dataclasses.replace(result, **arrays).save(path)


def test_equal_results_are_equal_whatever_their_provenance(folders, capsys):
    change(folders[1] / "a.npz", provenance={"device": "elsewhere"})
    assert compare(*folders) == 0
    assert compare(folders[0] / "a.npz", folders[1] / "a.npz") == 0
    assert "| a.npz | 2 | 4 | 0 | - |" in capsys.readouterr().out


def test_a_difference_is_named_and_given_in_metres(folders, capsys):
    path = folders[1] / "b.npz"
    joints = compare_results.Reconstruction.load(path).joints
    joints[1, 2, 3, 0] += 0.125
    change(path, joints=joints)
    assert compare(*folders) == 1
    output = capsys.readouterr().out
    assert "| a.npz | 2 | 4 | 0 | - |" in output and "| b.npz | 2 | 4 | 0.125 | joints |" in output
    assert "b.npz: joints: 0.125" in output
    assert compare(*folders, "--tolerance", "0.13") == 0
    assert compare(*folders, "--tolerance", "0.12") == 1


def test_a_file_in_one_folder_only_differs(folders, capsys):
    (folders[0] / "b.npz").unlink()
    assert compare(*folders, "--tolerance", "1") == 1
    assert f"missing in {folders[0]}" in capsys.readouterr().out


@pytest.mark.parametrize("sizes", [{"people": 1}, {"frames": 3}])
def test_other_people_or_frames_differ_at_any_tolerance(folders, sizes):
    cli_fakes.build_reconstruction(**{"people": 2, "frames": 4} | sizes).save(folders[1] / "a.npz")
    assert compare(*folders, "--tolerance", "1e9") == 1


def test_other_frame_numbers_differ_at_any_tolerance(folders, capsys):
    path = folders[1] / "a.npz"
    loaded = compare_results.Reconstruction.load(path)
    change(path, frame_numbers=loaded.frame_numbers + 1, shots=loaded.shots + 1)
    assert compare(*folders, "--tolerance", "10") == 1
    assert "frame_numbers" in capsys.readouterr().out


def test_an_optional_array_in_one_file_only_differs(folders):
    change(folders[1] / "a.npz", stage_rotations=None, stage_root_translation=None)
    assert compare(*folders, "--tolerance", "1") == 1


def test_paths_that_cannot_be_compared_are_bad_input(folders, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (folders[1] / "a.npz").write_bytes(b"damaged")
    for paths in (
        (folders[0], tmp_path / "none"),
        (folders[0], folders[0] / "a.npz"),
        (folders[0], tmp_path / "empty"),
        folders,
    ):
        assert compare(*paths) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_arrays_that_are_not_numbers_are_equal_or_not():
    names = {"a": np.array(["x", "y"])}
    assert compare_results.differing(names, {"a": np.array(["x", "y"])}) == {}
    assert compare_results.differing(names, {"a": np.array(["x", "z"])}) == {"a": math.inf}
    assert compare_results.differing(names, {}) == {"a": math.inf}


def test_without_tolerance_bits_and_types_are_compared():
    zero, negative = {"a": np.array([0.0])}, {"a": np.array([-0.0])}
    assert compare_results.differing(zero, negative) == {"a": 0.0}
    assert compare_results.differing(zero, negative, tolerance=1e-9) == {}
    single = {"a": np.array([0.0], np.float32)}
    assert compare_results.differing(zero, single) == {"a": 0.0}
    assert compare_results.differing(zero, single, tolerance=1e-9) == {}
    assert compare_results.differing(zero, {"a": np.array([math.nan])}, tolerance=1.0) == {
        "a": math.inf
    }
