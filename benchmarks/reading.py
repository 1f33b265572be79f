"""Reading: seconds and memory of PyAV's and OpenCV's decoders, and of clips as the backend reads them.

`python -m benchmarks.reading [--frames 60]` makes its movies, measures each in a process of its
own, and prints a table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from .measuring import peak_mib

SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160), "8K": (7680, 4320)}
CODECS = {"H.264": "libx264", "HEVC": "libx265"}
LONG = 20_000  # frames of a small movie


def write_movie(path: Path, size: tuple[int, int], frames: int, codec: str) -> None:
    """Write a movie of moving noise, which costs a decoder as much as film does."""
    import av

    width, height = size
    rng = np.random.default_rng(0)
    noise = rng.integers(60, 200, (height // 8 + 64, width // 8 + 64), np.uint8)
    noise = np.kron(noise, np.ones((8, 8), np.uint8))
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=Fraction(30))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "x265-params": "log-level=none"}
        for number in range(frames):
            shift = 4 * (number % 64)
            image = noise[shift : shift + height, shift : shift + width]
            frame = av.VideoFrame.from_ndarray(np.repeat(image[..., None], 3, 2), "rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def read_with(reader: str, path: Path) -> int:
    """Read all frames as RGB; return how many."""
    if reader == "opencv":
        import cv2

        capture, count = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0
        while capture.grab():
            cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            count += 1
        return count
    if reader == "pyav":
        import av

        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            return sum(
                frame.to_ndarray(format="rgb24").ndim > 0 for frame in container.decode(video=0)
            )
    from hund_backend.video import open_clip

    with open_clip(path) as clip:
        return sum(1 for _ in clip)


def measure(reader: str, path: Path) -> dict[str, float]:
    """Return frames, seconds and the largest memory of a reader in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.reading", "--reader", reader, str(path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--reader", choices=("opencv", "pyav", "clip"))
    parser.add_argument("path", type=Path, nargs="?")
    arguments = parser.parse_args()
    if arguments.reader:
        before, used = time.perf_counter(), time.process_time()
        frames = read_with(arguments.reader, arguments.path)
        seconds, used = time.perf_counter() - before, time.process_time() - used
        facts = {"frames": frames, "seconds": seconds, "cpu": used, "memory": peak_mib()}
        print(json.dumps(facts))
        return
    # Processor time of all threads is less noisy than frames per second on a shared machine.
    print("| movie | reader | frames | frames/s | processor ms a frame | most memory, MiB |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        movies = {
            f"{size} {codec}": (
                SIZES[size],
                max(8, arguments.frames // (4 if size == "8K" else 1)),
            )
            for size in SIZES
            for codec in CODECS
        }
        movies["320 × 240 H.264, long"] = ((320, 240), LONG)
        for name, (size, frames) in movies.items():
            codec = next(code for label, code in CODECS.items() if label in name)
            path = Path(folder) / "movie.mp4"
            write_movie(path, size, frames, codec)
            for reader in ("opencv", "pyav", "clip"):
                result = measure(reader, path)
                rate = result["frames"] / result["seconds"]
                cpu, memory = 1000 * result["cpu"] / result["frames"], result["memory"]
                cells = (
                    name,
                    reader,
                    result["frames"],
                    f"{rate:.0f}",
                    f"{cpu:.2f}",
                    f"{memory:.0f}",
                )
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
