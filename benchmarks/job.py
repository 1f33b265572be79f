"""How fast is the job, what does each stage need, and how does it stand beside the official mediapipe?

Run as `python -m benchmarks.job`. Every measurement has a process of its own and the same frames
(1080p, the most salient person); the job, its eyes and mediapipe take turns, so that a busy
machine slows all of them.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import measuring
from benchmarks.clips import walker
from benchmarks.measuring import Measurement, Stopwatch
from benchmarks.official import command
from benchmarks.sights import load_sight, save_sight

PACKAGES = ("torch", "onnxruntime", "opencv-python-headless", "numpy")
COMPLEXITIES = (2, 1)
RIVALS = ("whole", "eyes")  # measured in turn with mediapipe
MEANINGS = {
    "whole": "clip → Reconstruction (without loading the models)",
    "eyes": "decode, people, look and follow as the job runs them",
    "decode": "read every frame",
    "people": "look for people in every frame (the job does it now and then)",
    "look": "landmarks of one crop in every frame",
    "follow": "the eyes but for the two networks and decoding: crops, tracks, bookkeeping",
    "descend": "the fit, from evidence in memory",
    "ground": "contacts, ground and world",
}


def measure_decode(clip: Path, frames: int, sight: Path) -> None:
    """Read every frame."""
    from hund_backend.video import open_clip

    watch = Stopwatch()
    with watch, open_clip(clip, end=frames - 1) as opened:
        count = sum(1 for _ in opened)
    measuring.report(count, watch)
