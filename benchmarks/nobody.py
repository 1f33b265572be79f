"""Nobody: how many people are found in clips without any, by the floor of confidence.

Run as `python -m benchmarks.nobody SCENERY_FOLDER` (`tools/fetch_scenery.py`). The clips are pans
over photographs and panoramas, textures, noise, and drawn figures that resemble people or animals.
Everybody is followed whatever their confidence, and those above each floor are counted: seconds of
false people a minute. Clips with people (`--people CLIP ...`) show beside it what a floor costs:
seconds of people kept a minute, and their number.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from benchmarks import measuring
from hund_backend.body.camera import default_intrinsics
from hund_backend.image_file import read_image
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.linking import LinkConfig
from hund_backend.perception.run import Perception
from hund_backend.perception.tracker import TrackerConfig
from hund_backend.training.pictures.backgrounds import clutter
from hund_backend.video import Frame, open_clip

WIDTH, HEIGHT, FPS = 640, 360, 15.0
STATIC = 0.5  # confidence from which a person counts as a still figure
Image = UInt8[np.ndarray, "360 640 3"]


def main() -> None:
    """Look at every clip and print a row for each kind."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    link = replace(LinkConfig(), min_quality=0.0, max_static=2.0)
    perception = Perception.open("cpu", config=TrackerConfig(link=link))
    print(
        "| kind | clips | seconds |" + "".join(f" {floor} |" for floor in args.floors) + " all |"
    )
    print("| --- " * (4 + len(args.floors)) + "|")
    for kind, clips in kinds(args).items():
        found: list[tuple[float, Evidence]] = []  # seconds in view
        seconds = 0.0
        for clip in clips:
            frames = list(clip(args.frames))
            fps = 1 / (frames[1].time - frames[0].time)
            intrinsics = default_intrinsics(*frames[0].image.shape[1::-1])
            seconds += len(frames) / fps
            for person in perception.run(frames, intrinsics, fps=fps):
                found.append((float(person.observed.sum()) / fps, person))
        print(_row(kind, len(clips), seconds, found, args.floors), flush=True)


def _row(
    kind: str,
    clips: int,
    seconds: float,
    found: Sequence[tuple[float, Evidence]],
    floors: Sequence[float],
) -> str:
    row = f"| {kind} | {clips} | {seconds:.0f} |"
    for floor in floors:
        kept = [in_view for in_view, person in found if person.confidence >= floor]
        row += f" {60 * sum(kept) / max(seconds, 1e-9):.1f} ({len(kept)}) |"
    listed = (f"{p.confidence:.2f}{' static' * (p.static > STATIC)}" for _, p in found)
    return row + f" {', '.join(listed)} |"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("scenery", type=Path, help="folder of photographs and panoramas")
    parser.add_argument("--frames", type=int, default=45, help="of each clip")
    parser.add_argument("--most", type=int, default=12, help="photographs, and panoramas")
    parser.add_argument("--people", type=Path, nargs="+", default=[], help="clips with people")
    parser.add_argument(
        "--floors", type=float, nargs="+", default=[0.42, 0.5, 0.55, 0.6, 0.65, 0.7]
    )


Clip = Callable[[int], Iterator[Frame]]


def kinds(args: argparse.Namespace) -> dict[str, list[Clip]]:
    """Clips by kind, each a function from the number of frames to the frames."""
    rng = np.random.default_rng(0)
    chosen = {
        kind: [files[i] for i in rng.permutation(len(files))[: args.most]]
        for kind, files in (
            ("photographs", sorted(args.scenery.glob("photographs/*.png"))),
            ("panoramas", sorted(args.scenery.glob("panoramas/*.npy"))),
        )
    }
    return {
        "photographs, panned": [partial(pan, read_image(path)) for path in chosen["photographs"]],
        "panoramas, panned": [partial(turn, np.load(path)) for path in chosen["panoramas"]],
        "clutter": [partial(pan, _texture(seed)) for seed in range(8)],
        "noise": [noise],
        "mannequin": [partial(figure, limbs=MANNEQUIN, moves=False)],
        "animals that walk": [partial(figure, limbs=ANIMAL, moves=True)],
        **{path.name: [partial(film, path)] for path in args.people},
    }


def film(path: Path, frames: int) -> Iterator[Frame]:
    """Yield the first frames of a clip with people."""
    with open_clip(path) as clip:
        yield from islice(clip, frames)


def turn(panorama: Float[np.ndarray, "_ _ 3"], frames: int) -> Iterator[Frame]:
    """Turn a camera of 70 degrees by half a circle inside a panorama (linear light)."""
    height, width = panorama.shape[:2]
    panorama = panorama.astype(np.float32)
    panorama *= 0.5 / max(float(np.median(panorama)), 1e-3)
    focal = WIDTH / 2 / np.tan(np.radians(35))
    x, y = np.meshgrid(np.arange(WIDTH) - WIDTH / 2, np.arange(HEIGHT) - HEIGHT / 2)
    row = (np.arctan2(y, np.hypot(x, focal)) / np.pi + 0.5) * height
    for number in range(frames):
        angle = np.arctan2(x, focal) + np.pi * number / frames
        column = (angle / (2 * np.pi) + 0.5) * width % width
        maps = column.astype(np.float32), row.astype(np.float32)
        view = cv2.remap(panorama, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        yield _frame(number, (255 * view.clip(0, 1) ** (1 / 2.2)).astype(np.uint8))


def pan(picture: UInt8[np.ndarray, "_ _ 3"], frames: int) -> Iterator[Frame]:
    """Move a window over a picture, as a camera that pans."""
    scale = 1.25 * max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    room = np.array([picture.shape[1] - WIDTH, picture.shape[0] - HEIGHT])
    for number in range(frames):
        x, y = (room * number / max(frames - 1, 1)).astype(int)
        yield _frame(number, picture[y : y + HEIGHT, x : x + WIDTH])


def noise(frames: int) -> Iterator[Frame]:
    """Yield noise of several scales, another one every frame."""
    rng = np.random.default_rng(0)
    for number in range(frames):
        image = np.zeros((HEIGHT, WIDTH, 3))
        for cell in (4, 20, 80):
            coarse = rng.normal(size=(HEIGHT // cell + 2, WIDTH // cell + 2, 3))
            image += 30 * cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        yield _frame(number, np.clip(image + 128, 0, 255).astype(np.uint8))


# Limbs from x, y to x, y with a radius and the phase of their swing, of a figure of height 1.
MANNEQUIN = [
    (0, -0.45, 0, -0.4, 0.06, 0),
    (0, -0.3, 0, -0.02, 0.09, 0),
    (-0.11, -0.3, -0.16, 0.02, 0.03, 0),
    (0.11, -0.3, 0.16, 0.02, 0.03, 0),
    (-0.05, 0, -0.06, 0.48, 0.045, 0),
    (0.05, 0, 0.06, 0.48, 0.045, 0),
]
ANIMAL = [
    (-0.3, -0.1, 0.3, -0.1, 0.13, 0),
    (0.38, -0.25, 0.48, -0.22, 0.09, 0),
    (-0.25, 0, -0.25, 0.35, 0.04, 0),
    (-0.2, 0, -0.2, 0.35, 0.04, np.pi),
    (0.22, 0, 0.22, 0.35, 0.04, np.pi / 2),
    (0.27, 0, 0.27, 0.35, 0.04, 3 * np.pi / 2),
    (-0.35, -0.15, -0.5, -0.3, 0.02, 0),
]


def figure(frames: int, *, limbs: list[tuple[float, ...]], moves: bool) -> Iterator[Frame]:
    """Draw a figure of capsules before clutter; one that moves swings its limbs and goes."""
    ground = _texture(9)
    ground = cv2.resize(ground, (WIDTH, HEIGHT))
    for number in range(frames):
        image = ground.copy()
        middle = np.array([WIDTH / 2 + (number * 2 - frames if moves else 0), 0.5 * HEIGHT])
        for x0, y0, x1, y1, radius, phase in limbs:
            swing = 0.08 * np.sin(number / 2 + phase) * (y1 > 0.3) if moves else 0
            ends = np.array([[x0, y0], [x1 + swing, y1]]) * 0.8 * HEIGHT + middle
            for share, level in ((1.0, 60), (0.6, 95)):
                thickness = round(1.6 * HEIGHT * radius * share)
                color = (level, level + 10, level + 25)
                cv2.line(image, *ends.round().astype(int).tolist(), color, thickness, cv2.LINE_AA)
        yield _frame(number, image)


def _texture(seed: int) -> UInt8[np.ndarray, "_ _ 3"]:
    colors: Float[np.ndarray, "_ _ 3"] = clutter(800, np.random.default_rng(seed))
    return np.clip(255 * colors ** (1 / 2.2), 0, 255).astype(np.uint8)


def _frame(number: int, image: Image) -> Frame:
    return Frame(number=number, time=number / FPS, image=np.ascontiguousarray(image))


if __name__ == "__main__":
    main()
