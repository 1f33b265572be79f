"""Nobody: how many people are found in clips without any.

Run as `python -m benchmarks.nobody SCENERY_FOLDER` (`tools/fetch_scenery.py`). The clips are pans
over photographs and panoramas, textures, noise, and drawn figures that resemble people or animals.
A false person is counted with its seconds and its confidence.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from benchmarks import measuring
from hund_backend.body.camera import default_intrinsics
from hund_backend.image_file import read_image
from hund_backend.perception.run import Perception
from hund_backend.training.pictures.backgrounds import clutter
from hund_backend.video import Frame

WIDTH, HEIGHT, FPS = 640, 360, 15.0
PICTURES = (".jpg", ".jpeg", ".png", ".hdr", ".exr")
Image = UInt8[np.ndarray, "360 640 3"]


def main() -> None:
    """Look at every clip and print a row for each kind."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    perception = Perception.open("cpu")
    print("| kind | clips | seconds | with false people | false person-seconds a minute | found |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, clips in kinds(args).items():
        found, seconds, wrong = [], 0.0, 0
        for clip in clips:
            people = perception.run(
                clip(args.frames), default_intrinsics(WIDTH, HEIGHT), fps=FPS, max_people=None
            )
            seconds += args.frames / FPS
            wrong += bool(people)
            found += [(p.observed.sum() / FPS, p.confidence, p.static) for p in people]
        rate = 60 * sum(each[0] for each in found) / max(seconds, 1e-9)
        listed = "; ".join(f"{s:.1f} s, {c:.2f}, static {t:.2f}" for s, c, t in found)
        print(f"| {kind} | {len(clips)} | {seconds:.0f} | {wrong} | {rate:.1f} | {listed} |")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("scenery", type=Path, help="folder of photographs and panoramas")
    parser.add_argument("--frames", type=int, default=45, help="of each clip, 15 a second")
    parser.add_argument("--most", type=int, default=12, help="photographs")


Clip = Callable[[int], Iterator[Frame]]


def kinds(args: argparse.Namespace) -> dict[str, list[Clip]]:
    """Clips by kind, each a function from the number of frames to the frames."""
    files = [p for p in sorted(args.scenery.rglob("*")) if p.suffix.lower() in PICTURES[:3]]
    rng = np.random.default_rng(0)
    chosen = [files[i] for i in rng.permutation(len(files))[: args.most]]
    return {
        "photographs, panned": [partial(pan, read_image(path)) for path in chosen],
        "clutter": [partial(pan, _texture(seed)) for seed in range(3)],
        "noise": [noise],
        "mannequin": [partial(figure, limbs=MANNEQUIN, moves=False)],
        "animals that walk": [partial(figure, limbs=ANIMAL, moves=True)],
    }


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
