"""Training samples of a face's descent: what the networks read in synthetic faces, with variation.

Pictures of a person stand for a clip: their face at rest is learned from all of them, as in use.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...descent.face.inputs import POINTS, FaceInputs
from ...descent.face.model import FaceModel
from ...descent.face.neutral import Displacements, displacements, typical_rest

Arrays = dict[str, np.ndarray]
_MIRRORED_TERMS = torch.tensor([-1.0, 1, 1, 1, -1])
_MIRRORED_POINT = torch.tensor([-1.0, 1, 1])
_MIN_PRESENCE = 0.9
_MOST_AT_REST = 0.5  # sum of the coefficients of a face at rest
LEAST_PICTURES = 12  # of a person, from which a face at rest is learned


class FaceTruth(NamedTuple):
    """What the faces show."""

    arkit: Float[Tensor, "batch 52"]
    turn: Float[Tensor, "batch 3 3"]  # from the head's axes to those of the alignment
    landmarks: Float[Tensor, "batch points 3"]  # head's axes, metres from their mean
    eyes: Float[Tensor, " batch"]  # distance of the eyes' outer corners, metres


class FaceSample(NamedTuple):
    """Inputs of the network and the truth."""

    inputs: FaceInputs
    truth: FaceTruth

    def select(self, rows: Int[Tensor, " chosen"]) -> "FaceSample":
        """Some of the batch."""
        return FaceSample(
            self.inputs.select(rows), FaceTruth(*(values[rows] for values in self.truth))
        )


@dataclass(frozen=True, kw_only=True)
class FaceVariation:
    """How samples differ from what was read in the pictures."""

    mirrored: float = 0.5  # share of the samples
    jitter: float = 0.0002  # metres, of each landmark
    rest_error: float = 0.03  # of the keys in the face at rest, which is no perfect rest
    unknown_rest: float = 0.15  # share without a face at rest
    unknown_numbers: float = 0.2  # share without the blend shape network
    transferred: float = 0.5  # share whose expression is moved onto a face at rest
    response: tuple[float, float] = (0.85, 1.1)  # of their landmarks to a key
    numbers_response: tuple[float, float] = (0.5, 1.1)  # of their numbers
    numbers_noise: float = 0.06


def load_pictures(files: list[Path]) -> Arrays:
    """Return the arrays of `generate` in which a face is found, of all files."""
    parts = [dict(np.load(file)) for file in files]
    shared = parts[0]["vertices"]
    names = [name for name in parts[0] if name != "vertices"]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in names}
    found = arrays["presence"] > _MIN_PRESENCE
    return {name: values[found] for name, values in arrays.items()} | {"vertices": shared}


def displacements_by_person(
    model: FaceModel, arrays: Arrays
) -> list[tuple[np.ndarray, Displacements]]:
    """Return the rows of each person's pictures, and what they show beyond the face at rest."""
    result = []
    for person in np.unique(arrays["person"]):
        rows = np.flatnonzero(arrays["person"] == person)
        if len(rows) >= LEAST_PICTURES:
            numbers = arrays["coefficients"][rows].astype(np.float64)
            result.append((rows, displacements(model, arrays["landmarks"][rows], numbers)))
    return result


def samples_of(model: FaceModel, arrays: Arrays) -> FaceSample:
    """Return the samples of all pictures of people whose face at rest can be learned."""
    place = np.full(arrays["vertices"].max() + 1, -1)
    place[arrays["vertices"]] = np.arange(len(arrays["vertices"]))
    chosen = place[model.vertices[list(POINTS)]]
    corners = place[model.vertices[[33, 263]]]
    inputs, truths = [], []
    for rows, shown in displacements_by_person(model, arrays):
        inputs.append(FaceInputs.from_displacements(model, shown))
        arkit, rest = arrays["arkit"][rows], arrays["rest"][rows].astype(np.float64)
        landmarks = rest[:, chosen] + np.einsum("bk,kpx->bpx", arkit, model.keys[:, list(POINTS)])
        landmarks -= landmarks.mean(axis=1, keepdims=True)
        turn = np.einsum("bji,bjk->bik", shown.turn, arrays["turn"][rows])
        eyes = np.linalg.norm(rest[:, corners[0]] - rest[:, corners[1]], axis=-1)
        values = (arkit, turn, landmarks, eyes)
        truths.append(FaceTruth(*(torch.from_numpy(each).float() for each in values)))
    truth = FaceTruth(*(torch.cat(columns) for columns in zip(*truths, strict=True)))
    return FaceSample(joined(inputs), truth)


def joined(parts: list[FaceInputs]) -> FaceInputs:
    """Return the inputs of several people as one batch."""
    return FaceInputs(
        **{
            each.name: torch.cat([getattr(part, each.name) for part in parts])
            for each in fields(FaceInputs)
        }
    )


class FaceDataset:
    """Random batches of samples, varied."""

    def __init__(
        self, samples: FaceSample, model: FaceModel, variation: FaceVariation | None = None
    ) -> None:
        self.samples, self.variation = samples, variation or FaceVariation()
        points = list(POINTS)
        mirrored = model.mean[points] * (-1, 1, 1)
        distance = np.linalg.norm(mirrored[:, None] - model.mean[points][None], axis=-1)
        self.partner = torch.from_numpy(distance.argmin(axis=1))
        self.mirror = torch.tensor(model.mirror)
        self.keys = torch.from_numpy(model.keys[:, points]).float()
        self.mean = torch.from_numpy(model.mean[points]).float()
        self.typical_rest = torch.from_numpy(typical_rest(model.names)).float()
        eyes, brows = (
            torch.tensor([name.startswith(part) for name in model.names])
            for part in ("eye", "brow")
        )
        self.groups = (eyes, brows, ~eyes & ~brows)
        shown = samples.truth.arkit.sum(-1)
        self.at_rest = (shown < _MOST_AT_REST).nonzero()[:, 0]

    def draw(self, count: int, generator: torch.Generator) -> FaceSample:
        """Draw random faces."""
        variation = self.variation
        rows = torch.randint(len(self.samples.inputs), (count,), generator=generator)

        def chance(share: float) -> Tensor:
            return torch.rand(count, generator=generator) < share

        sample = self._transferred(self.samples.select(rows), generator)
        inputs, truth = self._mirrored(sample, chance(variation.mirrored))
        jitter = torch.randn(inputs.landmarks.shape, generator=generator)
        error = torch.randn(count, len(self.keys), generator=generator)
        error = variation.rest_error * error * inputs.known[:, None]
        off = torch.einsum("bk,kpx->bpx", error, self.keys)
        inputs = replace(
            inputs,
            landmarks=inputs.landmarks + variation.jitter * jitter,
            neutral=inputs.neutral + off,
            remainder=inputs.remainder + off,
            numbers_weight=1 - chance(variation.unknown_numbers).float(),
        )
        return FaceSample(self._without_neutral(inputs, chance(variation.unknown_rest)), truth)

    def _transferred(self, sample: FaceSample, generator: torch.Generator) -> FaceSample:
        """Move expressions onto some of a batch, which answer to them as real faces do.

        The landmark network follows the mouths of real people fully, and those of painted heads by
        half to four fifths. Samples of both kinds keep the descent from learning the latter alone.
        """
        variation, count = self.variation, len(sample.inputs)

        def uniform(low: float, high: float, *size: int) -> Tensor:
            return low + (high - low) * torch.rand(count, *size, generator=generator)

        chosen = uniform(0.0, 1.0) < variation.transferred
        rows = self.at_rest[torch.randint(len(self.at_rest), (count,), generator=generator)]
        inputs, truth = self.samples.select(rows)
        arkit = self._mixed(sample.truth.arkit, generator)
        change = torch.einsum("bk,kpx->bpx", arkit - truth.arkit, self.keys)
        moved = uniform(*variation.response, 1, 1) * change @ truth.turn.mT
        numbers = arkit * uniform(*variation.numbers_response, arkit.shape[1])
        noise = variation.numbers_noise * torch.randn(arkit.shape, generator=generator)
        rest = self.typical_rest + 0.1 * torch.randn(arkit.shape, generator=generator).abs()
        landmarks = truth.landmarks + change
        transferred = FaceSample(
            replace(
                inputs,
                landmarks=inputs.landmarks + moved,
                coefficients=(numbers + noise).clamp(-1, 1),
                rest_coefficients=rest.clamp(0, 1),
            ),
            truth._replace(arkit=arkit, landmarks=landmarks - landmarks.mean(1, keepdim=True)),
        )
        return _chosen(chosen, transferred, sample)

    def _mixed(
        self, arkit: Float[Tensor, "batch 52"], generator: torch.Generator
    ) -> Float[Tensor, "batch 52"]:
        """Exchange eyes, brows and mouths of a batch's expressions."""
        for group in self.groups:
            order = torch.randperm(len(arkit), generator=generator)
            arkit = torch.where(group, arkit[order], arkit)
        return arkit

    def _mirrored(self, sample: FaceSample, chosen: Tensor) -> tuple[FaceInputs, FaceTruth]:
        """Mirror some of a batch; identity coefficients belong to symmetric faces nearly."""
        inputs, truth = sample

        def points(values: Tensor) -> Tensor:
            return torch.where(
                chosen[:, None, None], values[:, self.partner] * _MIRRORED_POINT, values
            )

        def keys(values: Tensor) -> Tensor:
            return torch.where(chosen[:, None], values[:, self.mirror], values)

        sign = torch.where(chosen[:, None], _MIRRORED_TERMS, torch.ones(5))
        flip = torch.diag(_MIRRORED_POINT)
        turn = torch.where(chosen[:, None, None], flip @ truth.turn @ flip, truth.turn)
        inputs = replace(
            inputs,
            landmarks=points(inputs.landmarks),
            neutral=points(inputs.neutral),
            remainder=points(inputs.remainder),
            coefficients=keys(inputs.coefficients),
            rest_coefficients=keys(inputs.rest_coefficients),
            turn_terms=inputs.turn_terms * sign,
        )
        truth = truth._replace(
            arkit=keys(truth.arkit), turn=turn, landmarks=points(truth.landmarks)
        )
        return inputs, truth

    def _without_neutral(self, inputs: FaceInputs, chosen: Tensor) -> FaceInputs:
        """Take the face at rest from some of a batch."""
        without = chosen[:, None, None]
        return replace(
            inputs,
            neutral=torch.where(without, self.mean, inputs.neutral),
            remainder=torch.where(without, torch.zeros(()), inputs.remainder),
            identity=torch.where(chosen[:, None], torch.zeros(()), inputs.identity),
            known=torch.where(chosen, torch.zeros(()), inputs.known),
        )


def _chosen(chosen: Tensor, one: FaceSample, other: FaceSample) -> FaceSample:
    """Return one sample where it is chosen, else the other."""

    def values(first: Tensor, second: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (first.dim() - 1)), first, second)

    inputs = {
        each.name: values(getattr(one.inputs, each.name), getattr(other.inputs, each.name))
        for each in fields(FaceInputs)
    }
    truth = FaceTruth(*(values(*pair) for pair in zip(one.truth, other.truth, strict=True)))
    return FaceSample(FaceInputs(**inputs), truth)
