"""Cuts: precision and recall of shot changes that were made, and time a frame.

Run as `python -m benchmarks.cuts CLIP CLIP …`. Stretches of the clips, at random places, scales
and mirrored or not, are joined by hard cuts, fades through black and dissolves; flashes, whips of
the camera and repeated frames lie in between and are no cuts.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks import measuring
from hund_backend.perception.shots import ShotDetector
from hund_backend.video import open_clip

FPS, SIZE = 30.0, (640, 360)
KINDS = ("cut", "fade", "dissolve")
TROUBLES = ("none", "flash", "whip", "repeats")
TOLERANCE = {"cut": 0, "fade": 12, "dissolve": 12}  # frames
FADE, DISSOLVE, FLASH, WHIP = 10, 16, 2, 12  # frames
HEAD = """# Cuts

{environment}
* `python -m benchmarks.cuts …`, {args.clips_made} clips of {args.shots} shots

| kind | made | found | recall |
| --- | --- | --- | --- |
"""


@dataclass
class Made:
    """A clip with known cuts."""

    images: list[np.ndarray]
    cuts: list[tuple[int, str]]  # position of the first whole frame of the next shot, kind


def main() -> None:
    """Find the made cuts and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    sources = [list(islice(_images(clip), args.frames)) for clip in args.clips]
    watch, frames, false = measuring.Stopwatch(), 0, 0
    found = dict.fromkeys(KINDS, 0)
    made = dict.fromkeys(KINDS, 0)
    for seed in range(args.clips_made):
        clip = make(sources, args.shots, np.random.default_rng(seed))
        with watch:
            shots = find(clip.images)
        frames += len(clip.images)
        left = list(shots[1:])
        for position, kind in clip.cuts:
            made[kind] += 1
            near = [s for s in left if abs(s - position) <= TOLERANCE[kind]]
            if near:
                found[kind] += 1
                left.remove(near[0])
        if left:
            print(f"clip {seed}: {left} are none of {clip.cuts}")
        false += len(left)
    rows = [f"| {k} | {made[k]} | {found[k]} | {found[k] / max(made[k], 1):.2f} |" for k in KINDS]
    hits = sum(found.values())
    rows.append(f"\nPrecision {hits / max(hits + false, 1):.3f} ({false} false); ")
    rows[-1] += f"{1000 * watch.cpu_seconds / frames:.2f} ms a frame of {SIZE[0]} x {SIZE[1]}"
    environment = measuring.environment(("numpy", "opencv-python-headless"), args.cores)
    text = HEAD.format(environment=environment, args=args) + "\n".join(rows) + "\n"
    print(text)
    if args.save:
        print(measuring.save("cuts", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("clips", type=Path, nargs="+", help="footage without cuts")
    parser.add_argument("--frames", type=int, default=120, help="of each clip")
    parser.add_argument("--clips-made", type=int, default=12)
    parser.add_argument("--shots", type=int, default=6)
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def find(images: list[np.ndarray]) -> tuple[int, ...]:
    """Return the positions at which shots begin."""
    detector = ShotDetector(fps=FPS)
    for image, following in zip(images, [*images[1:], None], strict=True):
        detector.add(image, following)
    return detector.shots()


def make(sources: list[list[np.ndarray]], shots: int, generator: np.random.Generator) -> Made:
    """Join stretches of footage."""
    clip, last = Made(images=[], cuts=[]), -1
    for _ in range(shots):
        last = int(generator.choice([i for i in range(len(sources)) if i != last]))
        source = sources[last]
        length = min(int(generator.integers(30, 60)), len(source))
        start = int(generator.integers(0, len(source) - length + 1))
        shot = [image.copy() for image in source[start : start + length]]
        if generator.random() < 0.5:
            shot = [image[:, ::-1].copy() for image in shot]
        _disturb(shot, str(generator.choice(TROUBLES)), generator)
        if not clip.images:
            clip.images = shot
            continue
        kind = str(generator.choice(KINDS))
        if kind == "fade":
            _fade(clip.images[-FADE:])
            _fade(shot[:FADE][::-1])
            clip.images += [np.zeros_like(shot[0])] * int(generator.integers(1, 6))
        if kind == "dissolve":
            for index in range(DISSOLVE):
                share = (index + 1) / (DISSOLVE + 1)
                clip.images[-DISSOLVE + index] = cv2.addWeighted(
                    clip.images[-DISSOLVE + index], 1 - share, shot[index], share, 0
                )
            clip.cuts.append((len(clip.images) - DISSOLVE // 2, kind))
            clip.images += shot[DISSOLVE:]
            continue
        clip.cuts.append((len(clip.images), kind))
        clip.images += shot
    return clip


def _fade(images: list[np.ndarray]) -> None:
    """Darken images in place, towards the last."""
    for index, image in enumerate(images):
        image[:] = (image * (1 - (index + 1) / (len(images) + 1))).astype(np.uint8)


def _disturb(shot: list[np.ndarray], trouble: str, generator: np.random.Generator) -> None:
    """Add something in the middle of a shot that is no cut."""
    middle = len(shot) // 2
    if trouble == "flash":
        for image in shot[middle : middle + FLASH]:
            image[:] = np.clip(image.astype(int) + 150, 0, 255).astype(np.uint8)
    if trouble == "whip":
        reach = 0.3 * SIZE[0] * generator.choice((-1, 1))
        for index in range(WHIP):
            shift = reach * np.sin(np.pi * (index + 1) / (WHIP + 1))
            matrix = np.array([[1.0, 0, shift], [0, 1, 0]])
            image = shot[middle - WHIP // 2 + index]
            image[:] = cv2.warpAffine(image, matrix, SIZE, borderMode=cv2.BORDER_REFLECT)
    if trouble == "repeats":
        for index in range(middle, middle + 6):
            shot[index][:] = shot[middle - 1]


def _images(clip: Path) -> Iterator[np.ndarray]:
    with open_clip(clip) as frames:
        for frame in frames:
            yield cv2.resize(frame.image, SIZE, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
