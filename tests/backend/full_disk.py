"""A disk that is full after some bytes, for whoever writes: Python, C and C++ alike."""

import contextlib
import os
import resource
import signal
from pathlib import Path


@contextlib.contextmanager
def full_disk(limit):
    """No file can grow beyond `limit` bytes; a write past it fails as on a full disk."""
    ignored = signal.getsignal(signal.SIGXFSZ)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def limits(size):
    """Bytes after which a disk may be full while a file of `size` bytes is written to it."""
    return sorted({0, 1, size // 3, size // 2, size - 5000, size - 1} & set(range(size)))


def contents(folder):
    """Every file below a folder, by its path."""
    return {
        str(Path(root, name).relative_to(folder)): Path(root, name).read_bytes()
        for root, _, names in os.walk(folder)
        for name in names
    }
