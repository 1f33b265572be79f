"""Generate crops of faces in conditions that hide or spoil them, and what the network reads there.

`python -m hund_backend.training.faces.generate_visibility FILE PRESETS --clips CLIP...`. Half of them
are synthetic faces, half faces of the people in clips; each is read as it is and in some of
CONDITIONS. Where a condition covers a part of the face, its visibility is 0; elsewhere visibility
falls with how far its landmarks lie from those of the crop as it was.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from ... import pipeline, progress, stopwatch
from ...body.file import load_body_file
from ...models import Models
from ...options import Options
from ...perception.crops import extract_crops
from ...perception.face.follow import FacePerception
from ...perception.face.head import landmark_crop
from ...perception.face.networks import FaceNetworks
from ...perception.face.visibility import NUM_REGIONS
from ...video import open_clip
from ...weights_file import WEIGHTS
from .conditions import CONDITIONS
from .expressions import load_presets
from .generate import SEED, expressions_of_person
from .pictures import FacePainter, FaceSample, random_turn

# Landmarks of irises, lids and brows; of lips and chin.
UPPER = (33, 133, 144, 145, 153, 158, 159, 160, 263, 362, 373, 374, 380, 385, 386, 387)
UPPER += (63, 66, 70, 105, 107, 293, 296, 300, 334, 336, *range(468, 478))
LOWER = (0, 13, 14, 17, 37, 39, 40, 61, 78, 81, 82, 84, 87, 91, 181, 267, 269, 270, 291, 308)
LOWER += (311, 312, 314, 317, 321, 405, 148, 152, 176, 377, 400)
NOTHING = "nothing"
# Landmarks move to and fro by rims of glasses, but by as much in a face at rest.
_HARMLESS = (NOTHING, "rims")
# Distances of the eyes' outer corners, at which visibility has fallen to a third: of a spoilt crop, and
# of what is left bare where the rest is covered, whose landmarks are off by much the same always.
_MISPLACED, _MISPLACED_BESIDE = 0.02, 0.035
_EXPRESSIONS = (0, 6, 9, 10, 13, 15, 17)  # of the pictures of a person in `generate`
_MIN_PRESENCE = 0.9  # of the crop as it is
Crop = UInt8[np.ndarray, "256 256 3"]


def visibility_of(
    condition: str, clean: Float[np.ndarray, "478 3"], changed: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "2"]:
    """Return the visibility of eyes and mouth that is wanted.

    Args:
        condition: name of a condition, or NOTHING.
        clean: landmarks in the crop as it is, px.
        changed: landmarks in the condition.
    """
    if condition in _HARMLESS:
        return np.ones(NUM_REGIONS)
    size = np.linalg.norm(clean[33, :2] - clean[263, :2])
    off = np.linalg.norm((changed - clean)[:, :2], axis=1) / size
    hidden = CONDITIONS[condition]
    is_covered = hidden.hides_eyes or hidden.hides_mouth
    scale = _MISPLACED_BESIDE if is_covered else _MISPLACED
    visibility = [np.exp(-((off[list(points)].mean() / scale) ** 2)) for points in (UPPER, LOWER)]
    return np.array(visibility) * (not hidden.hides_eyes, not hidden.hides_mouth)


def read_conditions(
    networks: FaceNetworks, crop: Crop, count: int, rng: np.random.Generator
) -> Iterator[dict[str, object]]:
    """Yield what is read in a crop as it is and in some conditions; nothing without a face."""
    clean = networks.predict(crop[None])
    if clean.presence[0] < _MIN_PRESENCE:
        return
    landmarks = clean.landmarks[0].astype(np.float64)
    names = list(rng.choice(list(CONDITIONS), count, replace=False))
    images = [CONDITIONS[name].change(crop.copy(), landmarks[:, :2], rng) for name in names]
    changed = networks.predict(np.stack(images))
    everything = [
        (NOTHING, landmarks, clean.features[0]),
        *zip(names, changed.landmarks, changed.features, strict=True),
    ]
    for name, found, features in everything:
        yield {
            "condition": name,
            "features": features.astype(np.float16),
            "visibility": visibility_of(name, landmarks, found).astype(np.float32),
        }


def synthetic_crops(
    people: range, painter: FacePainter, networks: FaceNetworks, presets: np.ndarray
) -> Iterator[tuple[str, Crop]]:
    """Yield a name of the person and a crop of the face, of several pictures of each."""
    for number in people:
        rng = np.random.default_rng(SEED + number)
        person, expressions = painter.person(rng), expressions_of_person(painter, presets, rng)
        for expression in _EXPRESSIONS:
            sample = FaceSample(arkit=expressions[expression], turn=random_turn(rng))
            picture = painter.render(person, sample, rng)
            crop = landmark_crop(networks.predict(picture.image[None]).landmarks[0])
            yield f"synthetic {number}", extract_crops(picture.image, crop[None])[0]


def crops_of_clip(path: Path, models: Models) -> Iterator[tuple[str, Crop]]:
    """Yield the clip's name and a crop of the face, of everybody in every frame."""
    networks = models.faces.networks
    options = Options(hands=False, face=False)
    tracked = pipeline.perceive(path, options, models, progress.silent, stopwatch.Stopwatch())
    everything = FacePerception(networks, lambda f: np.ones((len(f), NUM_REGIONS), np.float32))
    with open_clip(path) as clip:
        faces = everything.run(clip, tracked.people)
    with open_clip(path) as clip:
        for position, frame in enumerate(clip):
            for person, face in zip(tracked.people, faces, strict=True):
                row = position - int(person.frames[0])
                if 0 <= row < len(face.observed) and face.observed[row]:
                    crop = face.crops[row].astype(np.float64)
                    yield path.stem, extract_crops(frame.image, crop[None])[0]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("presets", type=Path, help="face_presets.json")
    parser.add_argument("--first", type=int, default=300, help="number of the first person")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--clips", type=Path, nargs="*", default=[])
    parser.add_argument("--conditions", type=int, default=4, help="of each crop")
    arguments = parser.parse_args()
    painter, networks = FacePainter(load_body_file()), FaceNetworks.open(WEIGHTS / "perception")
    presets = load_presets(arguments.presets, painter.body.arkit_names)
    people = range(arguments.first, arguments.first + arguments.people)
    rng = np.random.default_rng(SEED)
    sources = [synthetic_crops(people, painter, networks, presets)]
    models = Models.load("cpu") if arguments.clips else None
    sources += [crops_of_clip(path, models) for path in arguments.clips]
    rows = [
        {"group": group} | row
        for source in sources
        for group, crop in source
        for row in read_conditions(networks, crop, arguments.conditions, rng)
    ]
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.file, **{name: np.stack([row[name] for row in rows]) for name in rows[0]})


if __name__ == "__main__":
    main()
