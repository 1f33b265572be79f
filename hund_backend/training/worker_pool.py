"""Worker pool: independent tasks of a generator, shared by several processes of one thread each.

A worker is made once in each process, and keeps what its tasks share: assets, networks, open files.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import cv2
import torch

Task = TypeVar("Task")
Worker = Callable[[Task], None]

_worker: list[Worker] = []  # of a process of the pool


def run_tasks(
    make_worker: Callable[[], Worker[Task]], tasks: Sequence[Task], processes: int = 1
) -> Iterator[Task]:
    """Run tasks, and yield each when it is done, in their order.

    Args:
        make_worker: makes what runs the tasks; picklable, as it is called in each process.
        tasks: to run; picklable.
        processes: at most so many.

    Raises:
        Exception: a task's own; tasks that have not begun are not run then.
    """
    if not tasks:
        return
    with ProcessPoolExecutor(
        min(processes, len(tasks)),
        mp_context=get_context("spawn"),
        initializer=_start_process,
        initargs=(make_worker,),
    ) as pool:
        for task, _ in zip(tasks, pool.map(_run, tasks), strict=True):
            yield task


def _start_process(make_worker: Callable[[], Worker[Task]]) -> None:
    torch.set_num_threads(1)  # one process a core does more than several threads in one
    cv2.setNumThreads(1)
    _worker[:] = [make_worker()]


def _run(task: Task) -> None:
    _worker[0](task)
