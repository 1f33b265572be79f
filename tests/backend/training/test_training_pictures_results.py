"""Results of pictures: complete files are kept, others are written, by any number of processes."""

from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hund_backend.training.pictures import results
from hund_backend.training.pictures.results import complete, result_files, write_results
from hund_backend.training.worker_pool import run_tasks

NAMES = ("number", "square")


def numbers(offset, indices):
    values = offset + np.array(indices)
    return {"number": values, "square": values**2}


def writer(offset):
    return lambda file: write_results(file, partial(numbers, offset))


def fail_on_odd_numbers():
    def run(number):
        if number % 2:
            raise ValueError(number)

    return run


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    monkeypatch.setattr(results, "PER_FILE", 3)


def files(folder, count=8):
    return result_files(count, folder, "train")


def test_files_cover_all_pictures_in_order(tmp_path):
    complete(partial(writer, 0), files(tmp_path), NAMES)
    read = [load_file(path)["number"] for path in sorted(tmp_path.iterdir())]
    assert [len(some) for some in read] == [3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(read), np.arange(8))


def test_two_processes_write_what_one_writes(tmp_path):
    for folder, processes in (("one", 1), ("two", 2)):
        complete(partial(writer, 5), files(tmp_path / folder), NAMES, processes)
    one, two = (sorted((tmp_path / folder).iterdir()) for folder in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    for first, second in zip(one, two, strict=True):
        first, second = load_file(first), load_file(second)
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[name], second[name]) for name in first)


def test_only_files_that_lack_something_are_written(tmp_path):
    complete(partial(writer, 0), files(tmp_path, count=7), NAMES)
    older = files(tmp_path)[0].path
    save_file({"number": np.arange(3)}, older)
    complete(partial(writer, 100), files(tmp_path, count=8), NAMES)
    first, kept, grown = (load_file(path)["number"] for path in sorted(tmp_path.iterdir()))
    np.testing.assert_array_equal(first, [100, 101, 102])  # of an older version
    np.testing.assert_array_equal(kept, [3, 4, 5])
    np.testing.assert_array_equal(grown, [106, 107])  # pictures were added


def test_an_error_of_a_task_is_raised():
    with pytest.raises(ValueError, match="1"):
        list(run_tasks(fail_on_odd_numbers, [0, 1, 2]))


def test_no_tasks_start_no_process():
    assert list(run_tasks(fail_on_odd_numbers, [])) == []
