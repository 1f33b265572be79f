"""Recipe of faces' visibility: `python -m hund_backend.training.faces.train_face_visibility FILE...`.

Reads files of `generate_visibility` and writes `hund_backend/weights/face_visibility.safetensors`. A bias is
added so that clean faces of people who are not in the training count as visible.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...perception.face.visibility import (
    NUM_FEATURES,
    NUM_REGIONS,
    REGIONS,
    WEIGHTS_FILE,
    FaceVisibility,
)
from ..weights import write_weights
from .generate_visibility import NOTHING

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class FaceVisibilityRecipe:
    """Training of faces' visibility."""

    hidden: int = 24
    steps: int = 700
    batch: int = 512
    rate: float = 3e-3
    decay: float = 0.1
    dropout: float = 0.3  # share of the features that a sample lacks
    noise: float = 0.15  # of the features
    real: float = 0.6  # share of real faces in a batch
    clean: float = 0.25  # share of crops as they are
    seed: int = 0


def load(files: list[Path]) -> Arrays:
    """Return the rows of all files."""
    parts = [dict(np.load(file)) for file in files]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def train(arrays: Arrays, recipe: FaceVisibilityRecipe) -> FaceVisibility:
    """Train the network."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    features = arrays["features"].astype(np.float32)
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    values = torch.from_numpy(np.arcsinh((features - mean) / scale))
    wanted = torch.from_numpy(arrays["visibility"].astype(np.float32))
    shares = _shares(arrays, recipe)
    network = nn.Sequential(
        nn.Linear(NUM_FEATURES, recipe.hidden), nn.Tanh(), nn.Linear(recipe.hidden, NUM_REGIONS)
    )
    optimizer = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    for _ in range(recipe.steps):
        rows = rng.choice(len(values), recipe.batch, p=shares)
        batch = values[rows]
        batch = batch + recipe.noise * torch.randn(batch.shape)
        batch = batch * (torch.rand(batch.shape) > recipe.dropout) / (1 - recipe.dropout)
        loss = nn.functional.binary_cross_entropy_with_logits(network(batch), wanted[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    first, last = network[0], network[2]

    def array(tensor: Tensor) -> np.ndarray:
        return np.ascontiguousarray(tensor.detach().numpy())

    return FaceVisibility(
        mean=mean,
        scale=scale,
        hidden_weight=array(first.weight.T),
        hidden_bias=array(first.bias),
        weight=array(last.weight.T),
        bias=array(last.bias),
    )


def _shares(arrays: Arrays, recipe: FaceVisibilityRecipe) -> np.ndarray:
    """Return how often each row is drawn: kinds of faces and conditions by their shares."""
    is_real = ~np.char.startswith(arrays["group"].astype(str), "synthetic")
    is_clean = arrays["condition"] == NOTHING
    shares = np.zeros(len(is_real))
    for real, share_of_kind in ((True, recipe.real), (False, 1 - recipe.real)):
        for clean, share in ((True, recipe.clean), (False, 1 - recipe.clean)):
            rows = (is_real == real) & (is_clean == clean)
            shares[rows] = share_of_kind * share / max(rows.sum(), 1)
    return shares / shares.sum()


def describe(visibility: FaceVisibility, arrays: Arrays) -> list[str]:
    """Return a table: what is wanted and found in each condition, on average."""
    found = visibility(arrays["features"].astype(np.float32))
    lines = ["| | crops | " + " | ".join(f"{r} wanted, found, above ½" for r in REGIONS) + " |"]
    lines += ["| --- |" * 1 + " --- |" * (1 + NUM_REGIONS)]
    for condition in np.unique(arrays["condition"]):
        rows = arrays["condition"] == condition
        cells = [
            f"{arrays['visibility'][rows, k].mean():.2f} {found[rows, k].mean():.2f} "
            f"{100 * (found[rows, k] > 0.5).mean():.0f} %"
            for k in range(NUM_REGIONS)
        ]
        lines.append(f"| {condition} | {rows.sum()} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Train the network and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--held-out", nargs="*", default=[], help="groups that judge the result")
    parser.add_argument("--validation", type=Path, nargs="*", default=[])
    parser.add_argument("--output", type=Path, default=WEIGHTS_FILE)
    arguments = parser.parse_args()
    arrays, recipe = load(arguments.files), FaceVisibilityRecipe()
    judging = np.isin(arrays["group"], arguments.held_out)
    visibility = train({name: values[~judging] for name, values in arrays.items()}, recipe)
    if judging.any():
        print("\n".join(describe(visibility, {name: v[judging] for name, v in arrays.items()})))
    for file in arguments.validation:
        print("\n".join(describe(visibility, load([file]))))
    tensors = {name: torch.from_numpy(values) for name, values in vars(visibility).items()}
    description = {"kind": "face visibility", "recipe": asdict(recipe)}
    write_weights(arguments.output, tensors, description)


if __name__ == "__main__":
    main()
