"""Part renderers side by side: time, agreement with the exact map, and accuracy of gradients.

Run as `python -m benchmarks.renderer MOCAP_FOLDER`; pytorch3d takes part where it is installed.
People are held-out poses with random body shapes, cameras and positions, each filling a crop.
Gradients of the squared distance to the map of a moved person are compared with finite differences
of the exact map, finely sampled.
"""

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from benchmarks import measuring
from benchmarks.part_splats import PartSplats
from benchmarks.pytorch3d_parts import pytorch3d_labels, pytorch3d_parts
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.rendering.exact_parts import exact_parts, part_labels
from hund_backend.rendering.part_renderer import render_parts
from hund_backend.training.motion.motion_set import motion_set

sys.path.insert(0, str(measuring.ROOT / "tests" / "backend" / "rendering"))
from rendering_people import (
    fit_crop_intrinsics,
    foreground_iou,
    part_iou,
    random_people,
    scale_intrinsics,
)

PACKAGES = ("torch", "numpy")
STEP = 0.15  # of finite differences, in typical changes
FINER = 8  # samples along a pixel for finite differences
TURNED = ("Spine02", "Head01", "UpperarmL", "UpperarmR", "LowerarmL", "LowerarmR")
TURNED += ("ThighL", "ThighR", "CalfL", "CalfR")
# Typical changes: of the translation, metres; of rotations, radians; of betas.
UNITS = torch.cat(
    (torch.tensor([0.04, 0.04, 0.15]), torch.full((33,), 0.15), torch.full((4,), 1.0))
)
HEAD = """# Part renderers

{environment}
* `python -m benchmarks.renderer MOCAP_FOLDER --cores {args.cores} --people {args.people} \
--batch {args.batch} --size {args.size}`
* {args.people} held-out poses at {args.size}²; ms a frame in batches of {args.batch}, least
  (median) of {args.repeats} rounds in which all take turns; the body's own time is its own row
* IoU of person and of parts of more than 8 pixels, mean over people: with the exact labels at
  pixels' centres, and with the parts that fill most of each pixel
* gradients: mean cosine with finite differences by translation, orientation, 10 joints and 4 betas,
  of {gradients} people moved by half, one and three typical changes

| | forward ms | + backward ms | processor ms | IoU person, centres | parts | IoU person, most \
| parts | gradients ½ | 1 | 3 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

Render = Callable[[Tensor, Tensor, tuple[int, int]], Tensor]  # vertices, intrinsics, size


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A renderer in the comparison."""

    name: str
    render: Render
    is_labels: bool = False  # renders labels, which have no gradients
    rounds: int | None = None  # fewer than of the others, for a slow one


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """People, their body model and the crops around them."""

    body: BodyModel
    people: dict[str, Tensor]
    vertices: Tensor
    intrinsics: Tensor
    size: tuple[int, int]

    def part(self, count: int) -> "Crowd":
        """Return the first people."""
        people = {name: values[:count] for name, values in self.people.items()}
        vertices, intrinsics = self.vertices[:count], self.intrinsics[:count]
        return Crowd(
            body=self.body,
            people=people,
            vertices=vertices,
            intrinsics=intrinsics,
            size=self.size,
        )


def main() -> None:
    """Measure every contender and print the table."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    crowd = held_out_crowd(args.mocap, args.people, args.size)
    contenders = all_contenders(crowd.body)
    batch = crowd.part(args.batch)
    times = measure_times(contenders, batch, args.repeats)
    gradients = cosines(contenders, crowd.part(args.gradients))
    head = HEAD.format(
        environment=measuring.environment(PACKAGES, args.cores),
        args=args,
        gradients=args.gradients,
    )
    rows = [as_row("body alone", times["body alone"], [])]
    for contender in contenders:
        maps = agreement(contender, crowd)
        rows.append(
            as_row(contender.name, times[contender.name], maps + gradients[contender.name])
        )
    text = head + "\n".join(rows) + "\n"
    print(text)
    if args.save:
        print(measuring.save("renderer", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--people", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=64, help="side of the map, pixels")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--gradients", type=int, default=8, help="people for finite differences")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def held_out_crowd(mocap: Path, count: int, side: int) -> Crowd:
    """Return random people in held-out poses."""
    poses = motion_set(mocap)
    frames = torch.nonzero(poses.frames_of("held_out"))[:, 0]
    order = torch.randperm(len(frames), generator=torch.Generator().manual_seed(0))
    body = BodyModel.load("low")
    people = random_people(body, poses.rotations[frames[order[:count]], 1:])
    vertices = body(**people).vertices
    return Crowd(
        body=body,
        people=people,
        vertices=vertices,
        intrinsics=fit_crop_intrinsics(vertices, side),
        size=(side, side),
    )


def all_contenders(body: BodyModel) -> list[Contender]:
    """Return all renderers, the exact ones first."""
    contenders = [
        Contender(name="exact labels", render=partial(part_labels, body), is_labels=True)
    ]
    for samples in (1, 2, 3):
        render = partial(render_parts, body, oversampling=samples)
        contenders.append(Contender(name=f"borders, {samples}² samples a pixel", render=render))
    for samples in (1000, 1500, 3000):
        contenders.append(Contender(name=f"{samples} splats", render=PartSplats(body, samples)))
    if importlib.util.find_spec("pytorch3d") is not None:
        labels = partial(pytorch3d_labels, body)
        contenders.append(
            Contender(name="pytorch3d labels", render=labels, is_labels=True, rounds=1)
        )
        soft = partial(pytorch3d_parts, body)
        contenders.append(Contender(name="pytorch3d soft", render=soft, rounds=1))
    return contenders


def measure_times(
    contenders: list[Contender], crowd: Crowd, repeats: int
) -> dict[str, list[tuple[float, float, float]]]:
    """Return seconds per frame in each round: forward, with backward, processor time of both."""
    works = {"body alone": (lambda: crowd.body(**crowd.people).vertices, repeats)}
    for contender in contenders:
        rounds = contender.rounds or repeats
        works[contender.name] = (partial(_rendered, contender, crowd), rounds)
    times = {name: [] for name in works}
    for number in range(repeats + 1):
        for name, (work, rounds) in works.items():
            if number <= rounds:
                times[name].append(_one_round(work, crowd))
    return {name: rounds[1:] for name, rounds in times.items()}  # the first one warms up


def _rendered(contender: Contender, crowd: Crowd) -> Tensor:
    return contender.render(crowd.vertices, crowd.intrinsics, crowd.size)


def _one_round(work: Callable[[], Tensor], crowd: Crowd) -> tuple[float, float, float]:
    frames = len(crowd.vertices)
    start = time.perf_counter()
    with torch.no_grad():
        work()
    forward = time.perf_counter() - start
    leaves = (crowd.vertices, *crowd.people.values())
    for leaf in leaves:
        leaf.requires_grad_()
    start, processor = time.perf_counter(), time.process_time()
    rendered = work()
    if rendered.requires_grad:
        rendered.square().sum().backward()
    both, busy = time.perf_counter() - start, time.process_time() - processor
    for leaf in leaves:
        leaf.requires_grad_(False).grad = None
    return forward / frames, both / frames, busy / frames


def agreement(contender: Contender, crowd: Crowd) -> list[float]:
    """Return IoU of person and parts with exact labels at pixel centres, and with majorities."""
    centers = part_labels(crowd.body, crowd.vertices, crowd.intrinsics, crowd.size)
    majority = supersampled(crowd.vertices, crowd).argmax(1)
    with torch.no_grad():
        rendered = _rendered(contender, crowd)
    if contender.is_labels:
        rendered = torch.nn.functional.one_hot(rendered, 15).movedim(-1, 1)
    return [
        iou(rendered, truth) for truth in (centers, majority) for iou in (foreground_iou, part_iou)
    ]


def cosines(contenders: list[Contender], crowd: Crowd) -> dict[str, list[float]]:
    """Return the mean cosine of gradients with finite differences, for three distances."""
    generator = torch.Generator().manual_seed(1)
    moved = torch.randn(len(crowd.vertices), len(UNITS), generator=generator)
    result = {contender.name: [] for contender in contenders}
    stepped = central_steps(crowd)
    for distance in (0.5, 1.0, 3.0):
        target = supersampled(changed(crowd, distance * moved), crowd)
        energies = (stepped - target[:, None, None]).square().sum((3, 4, 5))
        truth = (energies[..., 0] - energies[..., 1]) / (2 * STEP)
        for contender in contenders:
            if not contender.is_labels:
                change = torch.zeros_like(moved, requires_grad=True)
                rendered = contender.render(changed(crowd, change), crowd.intrinsics, crowd.size)
                gradient = torch.autograd.grad((rendered - target).square().sum(), change)[0]
                result[contender.name].append(
                    float(torch.cosine_similarity(gradient, truth).mean())
                )
    return result


def changed(crowd: Crowd, change: Float[Tensor, "people changes"]) -> Tensor:
    """Return the vertices of people after changes in typical units."""
    change = change * UNITS
    translation, turn, bends, shape = change.split((3, 3, 30, 4), dim=1)
    joints = [JOINT_INDEX[name] - 1 for name in TURNED]
    bent = rotvec_to_matrix(bends.unflatten(1, (10, 3)))
    pose = crowd.people["pose"].index_copy(
        1, torch.tensor(joints), crowd.people["pose"][:, joints] @ bent
    )
    return crowd.body(
        pose,
        crowd.people["betas"] + torch.nn.functional.pad(shape, (0, 12)),
        global_orient=rotvec_to_matrix(turn) @ crowd.people["global_orient"],
        root_translation=crowd.people["root_translation"] + translation,
    ).vertices


@torch.no_grad()
def supersampled(vertices: Tensor, crowd: Crowd) -> Tensor:
    """Return coverage by the exact map with many samples per pixel."""
    samples = (crowd.size[0] * FINER, crowd.size[1] * FINER)
    pictures = zip(
        vertices.split(1), scale_intrinsics(crowd.intrinsics, FINER).split(1), strict=True
    )
    return torch.cat([avg_pool2d(exact_parts(crowd.body, *p, samples), FINER) for p in pictures])


def central_steps(crowd: Crowd) -> Float[Tensor, "people changes 2 parts height width"]:
    """Return exact maps of people after a step forward and back of each change."""
    steps = STEP * torch.eye(len(UNITS))
    count = len(crowd.vertices)
    maps = [
        torch.stack(
            [supersampled(changed(crowd, s.expand(count, -1)), crowd) for s in (step, -step)], 1
        )
        for step in steps
    ]
    return torch.stack(maps, dim=1)


def as_row(name: str, rounds: list[tuple[float, float, float]], values: list[float]) -> str:
    """Return a row of the table; times in ms."""
    times = [[1000 * seconds for seconds in column] for column in zip(*rounds, strict=True)]
    cells = [f"{min(column):.2f} ({statistics.median(column):.2f})" for column in times]
    cells += [f"{value:.3f}" for value in values]
    return f"| {name} | " + " | ".join([*cells, *["–"] * (10 - len(cells))]) + " |"


if __name__ == "__main__":
    main()
