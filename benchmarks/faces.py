"""The learned descent of faces against gradient descent and the fit, on held-out synthetic faces.

Run as `python -m benchmarks.faces PICTURES --levels LEVELS`, files of
`python -m hund_backend.training.faces.generate`, the second one with `--levels`. People are not
those of training.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks import measuring
from hund_backend.descent.face.hund import WEIGHTS_FILE, FaceHund
from hund_backend.descent.face.inputs import POINTS, FaceInputs
from hund_backend.descent.face.model import FaceModel
from hund_backend.descent.face.neutral import Displacements
from hund_backend.descent.face.solve import (
    combined,
    facts,
    with_single_features,
    without_opposites,
)
from hund_backend.descent.face.state_decoder import PosedFace
from hund_backend.training.faces.expressions import LEVEL_KEYS, LEVELS
from hund_backend.training.faces.metrics import landmark_error, turn_error_deg
from hund_backend.training.faces.samples import (
    Arrays,
    FaceSample,
    displacements_by_person,
    load_pictures,
    samples_of,
)

MARKS, RATE = (20, 100), 0.05  # iterations of the fit that are scored; rate of Adam
ACTIVE = 0.3  # coefficient from which a key counts as active
COLUMNS = ("landmarks %", "ARKit mean", "rms", "active", "turn °", "L", "lower %", "worst key")
HEAD = """# The learned descent of faces on held-out synthetic faces

{environment}
* {count} faces of {people} people
* landmarks: distance from their vertices in the picture, in per cent of the distance of the eyes'
  outer corners; ARKit: error of the 52 coefficients, and where they are above {active}; L is the
  loss that stages receive and the fit by gradients minimizes; "lower" is the share of faces whose L
  is below that of s_0; ms of processor time a face

| | {columns} | ms |
| --- |{rule} --- |
"""
Solver = Callable[[Displacements, FaceInputs], Float[np.ndarray, "frames 52"]]


def main() -> None:
    """Print the tables."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    model = FaceModel.load()
    hund = FaceHund.load(model, args.weights)
    arrays = load_pictures(args.pictures)
    sample = samples_of(model, arrays)
    text = HEAD.format(
        environment=measuring.environment(("torch",), args.cores),
        count=len(sample.inputs),
        people=len(np.unique(arrays["person"])),
        active=ACTIVE,
        columns=" | ".join(COLUMNS),
        rule=" --- |" * len(COLUMNS),
    )
    text += table(hund, model, sample, arrays)
    if args.levels is not None:
        text += amplitudes(hund, model, load_pictures([args.levels]))
    print(text)
    if args.save:
        print(measuring.save("faces", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--levels", type=Path, help="keys alone at known levels")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def solvers(hund: FaceHund, model: FaceModel) -> dict[str, Solver]:
    """Return the ways to coefficients that are no stage of the descent."""

    def learned(shown: Displacements, inputs: FaceInputs) -> np.ndarray:
        with torch.no_grad():
            return hund(inputs)[-1].posed.arkit.numpy().astype(np.float64)

    def shipped(shown: Displacements, inputs: FaceInputs) -> np.ndarray:
        values = with_single_features(model, shown, learned(shown, inputs))
        return without_opposites(model.names, values).clip(0, 1)

    return {
        "always 0": lambda shown, inputs: np.zeros((len(inputs), len(model.names))),
        "blend shape network over its rest": lambda shown, inputs: facts(model, shown)[1],
        "bounded least squares": lambda shown, inputs: facts(model, shown)[0],
        "the same with the network's numbers": lambda shown, inputs: combined(
            model, shown, *facts(model, shown)
        ),
        "s_4 with the turn as aligned": learned,
        "s_4 with lids, lips and brows (shipped)": shipped,
    }


def solved(
    solver: Solver, model: FaceModel, arrays: Arrays
) -> tuple[Float[np.ndarray, "faces 52"], float]:
    """Return coefficients in the order of the people, and ms of processor time a face."""
    values, watch = [], measuring.Stopwatch()
    for _, shown in displacements_by_person(model, arrays):
        inputs = FaceInputs.from_displacements(model, shown)
        with watch:
            values.append(solver(shown, inputs))
    joined = np.concatenate(values)
    return joined, 1000 * watch.cpu_seconds / len(joined)


def table(hund: FaceHund, model: FaceModel, sample: FaceSample, arrays: Arrays) -> str:
    """Return the rows: stages of the descent, gradient descent, then the other ways."""
    inputs, count = sample.inputs, len(sample.inputs)
    names = model.names
    with torch.no_grad():
        hund(inputs)  # what is prepared once does not count
        with measuring.Stopwatch() as watch:
            steps = hund(inputs)
    whole, start = 1000 * watch.cpu_seconds / count, steps[0].losses.total
    rows = [
        row(f"s_{i}", step.posed, sample, names, step.losses.total, start)
        + f" {whole * (i + 1) / len(steps):.3f} |"
        for i, step in enumerate(steps)
    ]
    flat = hund.decoder.first_guess(inputs).clone().requires_grad_(True)
    optimizer, cost = torch.optim.Adam([flat], lr=RATE), 0.0
    for iteration in range(1, max(MARKS) + 1):
        with measuring.Stopwatch() as watch:
            loss = hund.evaluate(flat, inputs).losses.total.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        cost += 1000 * watch.cpu_seconds / count
        if iteration in MARKS:
            with torch.no_grad():
                step = hund.evaluate(flat, inputs)
            name = f"gradients, {iteration} iterations"
            line = row(name, step.posed, sample, names, step.losses.total, start)
            rows.append(f"{line} {cost:.3f} |")
    given = torch.from_numpy(arrays["coefficients"]).float()
    order = np.concatenate([index for index, _ in displacements_by_person(model, arrays)])
    keys = torch.from_numpy(model.keys[:, list(POINTS)]).float()
    others = {"blend shape network": (given[torch.from_numpy(order)], 0.0)}
    for name, solver in solvers(hund, model).items():
        values, milliseconds = solved(solver, model, arrays)
        others[name] = torch.from_numpy(values).float(), milliseconds
    for name, (values, milliseconds) in others.items():
        landmarks = inputs.neutral + torch.einsum("bk,kpx->bpx", values, keys)
        posed = PosedFace(values, landmarks, torch.eye(3).expand(count, 3, 3))
        rows.append(row(name, posed, sample, names) + f" {milliseconds:.3f} |")
    return "\n".join(rows) + "\n"


def row(
    name: str,
    posed: PosedFace,
    sample: FaceSample,
    names: tuple[str, ...],
    loss: Tensor | None = None,
    start: Tensor | None = None,
) -> str:
    """Return a row of the table, without its time."""
    truth = sample.truth
    error = (posed.arkit - truth.arkit).abs()
    each = error.mean(0)
    cells = [
        f"{100 * float(landmark_error(posed, truth).mean()):.2f}",
        f"{float(error.mean()):.4f}",
        f"{float(error.square().mean().sqrt()):.4f}",
        f"{float(error[truth.arkit > ACTIVE].mean()):.3f}",
        f"{float(turn_error_deg(posed, truth).mean()):.2f}",
        "" if loss is None else f"{float(loss.mean()):.3f}",
        "" if loss is None else f"{100 * float((loss < start).float().mean()):.0f}",
        f"{names[int(each.argmax())]} {float(each.max()):.3f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def amplitudes(hund: FaceHund, model: FaceModel, arrays: Arrays) -> str:
    """Return the mean coefficient that is found of keys alone, at each true level."""
    titles = " | ".join(f"{'/'.join(keys)}" for keys in LEVEL_KEYS)
    lines = [
        f"\n## Keys alone: found at rest and at {', '.join(map(str, LEVELS))}, slope\n",
        f"| | {titles} |",
        "| --- |" + " --- |" * len(LEVEL_KEYS),
    ]
    people = [rows for rows, _ in displacements_by_person(model, arrays)]
    order = np.concatenate(people)
    truth = arrays["arkit"][order]
    for name, solver in solvers(hund, model).items():
        values = solved(solver, model, arrays)[0]
        cells = []
        for keys in LEVEL_KEYS:
            columns = [model.names.index(key) for key in keys]
            alone = np.isclose(truth.sum(axis=1), truth[:, columns].sum(axis=1))
            level = truth[:, columns].mean(axis=1)
            at_rest = truth.sum(axis=1) < 0.05 * len(keys)
            means = [values[at_rest][:, columns].mean()]
            means += [
                values[alone & np.isclose(level, each)][:, columns].mean() for each in LEVELS
            ]
            slope = np.polyfit((0.0, *LEVELS), means, 1)[0]
            cells.append(f"{' '.join(f'{mean:.2f}' for mean in means)}, {slope:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
