"""Synthetic faces with glasses, masks, hands, in the dark and from aside: what is found of them.

Run as `python -m benchmarks.face_conditions PRESETS --sheet FILE`. Each condition is put on the
same pictures of the same people, whose keys are known.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from benchmarks import measuring
from hund_backend.body.file import load_body_file
from hund_backend.descent.face.hund import FaceHund
from hund_backend.descent.face.inputs import FaceInputs
from hund_backend.descent.face.model import FaceModel
from hund_backend.descent.face.neutral import displacements
from hund_backend.descent.face.solve import with_single_features
from hund_backend.perception.face.networks import FaceNetworks
from hund_backend.perception.face.visibility import FaceVisibility
from hund_backend.training.faces.expressions import blended_preset, load_presets
from hund_backend.training.faces.generate import read_face
from hund_backend.training.faces.pictures import (
    SIZE_PX,
    FacePainter,
    FacePerson,
    FacePicture,
    FaceSample,
)
from hund_backend.weights_file import WEIGHTS

SEED, REST, SHOWN = 9000, 5, 9  # pictures of a person at rest and with an expression
WATCHED = ("eyeBlink", "jawOpen", "mouthSmile", "mouthPucker", "mouthFunnel", "browInnerUp")
COLUMNS = ("presence", "seen", "eyes visible", "mouths visible", "landmarks %", "error")
COLUMNS += ("correlation", "unexplained mm")
Overlay = Callable[[UInt8[np.ndarray, "256 256 3"], Float[np.ndarray, "vertices 2"]], np.ndarray]


class Overlays:
    """What is put over pictures, by the places of the head's vertices."""

    def __init__(self, painter: FacePainter) -> None:
        self.painter = painter
        rest = painter.body.template[painter.vertices] - painter.center
        front = rest[:, 2] > -0.02
        self.lower = front & (rest[:, 1] < -0.03) & (rest[:, 1] > -0.125)
        self.mouth = front & (np.abs(rest[:, 0]) < 0.045) & (rest[:, 1] < -0.05)
        self.mouth &= rest[:, 1] > -0.115

    def sunglasses(self, image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Dark lenses."""
        eyes = [pixels[eye].mean(axis=0) for eye in self.painter.eyes.values()]
        radius = 0.36 * np.linalg.norm(eyes[0] - eyes[1])
        for eye in eyes:
            cv2.circle(image, tuple(eye.astype(int)), int(radius), (20, 20, 25), -1)
        cv2.line(image, *(tuple(eye.astype(int)) for eye in eyes), (20, 20, 25), 3)
        return image

    def mask(self, image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """A mask over nose and mouth."""
        hull = cv2.convexHull(pixels[self.lower].astype(np.int32))
        cv2.fillConvexPoly(image, hull, (150, 190, 220))
        return image

    def hand(self, image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Four fingers over mouth and chin."""
        low, high = pixels[self.mouth].min(axis=0), pixels[self.mouth].max(axis=0)
        color = tuple(int(value) for value in image[int(low[1]) - 8, int(low[0])])
        width = int((high[1] - low[1]) / 4)
        for finger in range(4):
            height = int(low[1] + (finger + 0.5) * width)
            start = (int(low[0]) - 10, height)
            end = (int(high[0]) + 6 * (finger % 2), height)
            cv2.line(image, start, end, color, width)
            below = height + width // 2
            line = [(start[0], below), (end[0], below)]
            cv2.line(image, *line, tuple(value // 2 for value in color), 1)
        return image


def dark(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """A tenth of the light, with noise."""
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    return (image * 0.1 + noise).clip(0, 255).astype(np.uint8)


def blurred(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Out of focus."""
    return cv2.GaussianBlur(image, (0, 0), 7)


def small(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """A face 24 px wide."""
    size = SIZE_PX // 6
    tiny = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.resize(tiny, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)


def drawing(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Dark edges on white."""
    gray = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.5)
    return np.repeat(255 - cv2.Canny(gray, 15, 40)[..., None], 3, axis=-1)


def turned_by(yaw: float) -> Float[np.ndarray, "3 3"]:
    """Return the turn of a head that looks aside, degrees."""
    return np.diag([1.0, -1, -1]) @ Rotation.from_euler("y", yaw, degrees=True).as_matrix()


def plain(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """As it is."""
    return image


def bearded(painter: FacePainter, person: FacePerson) -> FacePerson:
    """Return a person with a dark beard."""
    colors = person.colors.copy()
    colors[painter.beard] = 0.2 * colors[painter.beard] + 0.8 * np.array([0.12, 0.09, 0.07])
    return replace(person, colors=colors)


def main() -> None:
    """Print the table and draw a sheet."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    painter, networks = FacePainter(load_body_file()), FaceNetworks.open(WEIGHTS / "perception")
    model = FaceModel.load()
    hund, overlays = FaceHund.load(model), Overlays(painter)
    presets = load_presets(args.presets, model.names)
    place = np.full(len(painter.body.template), -1)
    place[painter.vertices] = np.arange(len(painter.vertices))
    places = place[model.vertices]  # the landmarks' vertices among those of the head
    conditions: dict[str, tuple[float, Overlay]] = {
        "nothing": (0, plain),
        "glasses": (0, plain),
        "beard": (0, plain),
        "sunglasses": (0, overlays.sunglasses),
        "mask": (0, overlays.mask),
        "hand over the mouth": (0, overlays.hand),
        "dark": (0, dark),
        "blurred": (0, blurred),
        "24 px": (0, small),
        "drawing": (0, drawing),
        "45° aside": (45, plain),
        "60° aside": (60, plain),
        "75° aside": (75, plain),
        "profile": (90, plain),
        "back of the head": (180, plain),
    }
    lines = [f"| | {' | '.join(COLUMNS)} |"]
    lines += ["| --- |" + " --- |" * len(COLUMNS)]
    visibility = FaceVisibility.load()
    tiles = []
    for name, (yaw, overlay) in conditions.items():
        results, image = [], None
        for number in range(args.people):
            rng = np.random.default_rng(SEED + number)
            person = replace(painter.person(rng), glasses=0.003 * (name == "glasses"))
            person = bearded(painter, person) if name == "beard" else person
            results.append(one_person(painter, networks, person, presets, yaw, overlay, rng))
            image = results[-1].pop("image")
        tiles.append(labelled(image, name))
        lines.append(line_of(name, results, places, model, hund, visibility))
    print("\n".join(lines))
    if args.sheet is not None:
        rows = [np.concatenate(tiles[i : i + 5], axis=1) for i in range(0, len(tiles), 5)]
        cv2.imwrite(str(args.sheet), np.concatenate(rows)[..., ::-1])


def one_person(
    painter: FacePainter,
    networks: FaceNetworks,
    person: FacePerson,
    presets: np.ndarray,
    yaw: float,
    overlay: Overlay,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return what is read in the pictures of a person, the truth, and one picture."""
    names, rows, image = painter.body.arkit_names, [], None
    for number in range(REST + SHOWN):
        arkit = blended_preset(presets, names, rng) * (number >= REST)
        turn = turned_by(yaw + rng.normal(0, 5))
        picture = painter.render(person, FaceSample(arkit=arkit, turn=turn), rng)
        shown = overlay(picture.image.copy(), picture.pixels)
        picture = FacePicture(image=shown, pixels=picture.pixels, sample=picture.sample)
        image = shown if number == REST else image
        read = read_face(networks, picture)
        rows.append(read | {"arkit": arkit, "pixels": picture.pixels})
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]} | {"image": image}


def line_of(
    name: str,
    results: list[dict[str, np.ndarray]],
    places: np.ndarray,
    model: FaceModel,
    hund: FaceHund,
    visibility: FaceVisibility,
) -> str:
    """Return a row of the table."""
    found, truth, unexplained, off = [], [], [], []
    for person in results:
        landmarks = person["landmarks"].astype(np.float64)
        shown = displacements(model, landmarks, person["coefficients"].astype(np.float64))
        with torch.no_grad():
            step = hund(FaceInputs.from_displacements(model, shown))[-1]
        values = with_single_features(model, shown, step.posed.arkit.double().numpy())
        explained = np.einsum("fk,kpx->fpx", values, model.keys)
        misfit = np.linalg.norm((shown.landmarks - explained)[..., :2], axis=-1)
        unexplained.append(1000 * misfit.mean())
        found.append(values)
        truth.append(person["arkit"])
        size = np.linalg.norm(landmarks[:, 33, :2] - landmarks[:, 263, :2], axis=1)
        distance = np.linalg.norm(landmarks[..., :2] - person["pixels"][:, places], axis=-1)
        off.append(100 * (distance.mean(axis=1) / np.maximum(size, 1)).mean())
    found, truth = np.concatenate(found), np.concatenate(truth)
    presence = np.concatenate([person["presence"] for person in results])
    features = np.concatenate([person["features"] for person in results]).astype(np.float32)
    visible = (visibility(features) > 0.5).mean(axis=0)
    watched = [row for row, key in enumerate(model.names) if key.startswith(WATCHED)]
    correlations = [
        np.corrcoef(found[:, row], truth[:, row])[0, 1]
        for row in watched
        if min(found[:, row].std(), truth[:, row].std()) > 1e-6
    ]
    cells = [
        f"{presence.mean():.2f}",
        f"{100 * (presence > 0.5).mean():.0f} %",
        *(f"{100 * share:.0f} %" for share in visible),
        f"{np.mean(off):.1f}",
        f"{np.abs(found - truth).mean():.3f}",
        f"{np.mean(correlations) if correlations else 0:.2f}",
        f"{np.mean(unexplained):.2f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def labelled(image: np.ndarray, name: str) -> np.ndarray:
    """Return a tile with its name."""
    image = np.ascontiguousarray(image)
    cv2.putText(image, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 0))
    return image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("presets", type=Path, help="face_presets.json")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--sheet", type=Path, help="picture of all conditions")


if __name__ == "__main__":
    main()
