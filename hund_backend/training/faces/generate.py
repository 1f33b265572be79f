"""Generate synthetic faces and what the face networks read in them.

`python -m hund_backend.training.faces.generate FILE PRESETS`. Each person is shown several times:
at rest, with one key, with presets and with random mixtures; light and blur differ from picture to
picture.
"""

import argparse
from pathlib import Path

import numpy as np

from ...body.file import load_body_file
from ...perception.crops import extract_crops, image_from_crop, transform_points
from ...perception.face.head import landmark_crop
from ...perception.face.networks import FaceNetworks
from ...weights_file import WEIGHTS
from .expressions import AMOUNT_AT_REST, blended_preset, key_alone, levels, load_presets
from .pictures import SIZE_PX, FacePainter, FacePicture, FaceSample, random_turn

PICTURES_AT_REST, PICTURES_OF_ONE_KEY = 6, 3  # of each person
PICTURES_OF_PRESETS, PICTURES_OF_MIXTURES = 4, 7
SEED = 1000


def read_face(networks: FaceNetworks, picture: FacePicture) -> dict[str, np.ndarray]:
    """Return landmarks in the picture, their presence, coefficients and the network's features."""
    first = networks.predict(picture.image[None])
    crop = landmark_crop(first.landmarks[0])[None]
    output = networks.predict(extract_crops(picture.image, crop))
    landmarks = output.landmarks[0].astype(np.float64)
    landmarks[:, :2] = transform_points(landmarks[:, :2], image_from_crop(crop)[0])
    landmarks[:, 2] *= crop[0, 2] / SIZE_PX
    return {
        "landmarks": landmarks,
        "presence": output.presence[0],
        "coefficients": networks.coefficients(landmarks[None])[0],
        "features": output.features[0].astype(np.float16),
    }


def expressions_of_person(
    painter: FacePainter, presets: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return the activations of the keys in the pictures of one person."""
    names = painter.body.arkit_names
    rest = [painter.sample(rng, AMOUNT_AT_REST).arkit for _ in range(PICTURES_AT_REST)]
    alone = [key_alone(names, rng) for _ in range(PICTURES_OF_ONE_KEY)]
    blended = [blended_preset(presets, names, rng) for _ in range(PICTURES_OF_PRESETS)]
    mixed = [painter.sample(rng).arkit for _ in range(PICTURES_OF_MIXTURES)]
    return rest + alone + blended + mixed


def expressions_at_levels(painter: FacePainter, rng: np.random.Generator) -> list[np.ndarray]:
    """Return a face at rest and some keys alone at known levels."""
    rest = [painter.sample(rng, AMOUNT_AT_REST).arkit for _ in range(PICTURES_AT_REST)]
    return rest + list(levels(painter.body.arkit_names))


def generate(
    people: range,
    painter: FacePainter,
    networks: FaceNetworks,
    presets: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Return arrays over all pictures of some people; each person depends on their number alone.

    Args:
        people: numbers of the people.
        painter: of the pictures.
        networks: that read them.
        presets: expressions; None: keys alone at known levels.
    """
    rows: list[dict[str, np.ndarray]] = []
    for number in people:
        rng = np.random.default_rng(SEED + number)
        person = painter.person(rng)
        if presets is None:
            expressions = expressions_at_levels(painter, rng)
        else:
            expressions = expressions_of_person(painter, presets, rng)
        for arkit in expressions:
            sample = FaceSample(arkit=arkit, turn=random_turn(rng))
            picture = painter.render(person, sample, rng)
            truth = {"person": number, "arkit": arkit, "turn": sample.turn}
            places = {
                "pixels": picture.pixels.astype(np.float32),
                "rest": person.rest.astype(np.float32),
            }
            rows.append(truth | places | read_face(networks, picture))
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return arrays | {"vertices": painter.vertices}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("presets", type=Path, help="face_presets.json")
    parser.add_argument("--first", type=int, default=0, help="number of the first person")
    parser.add_argument("--people", type=int, default=48)
    parser.add_argument(
        "--levels", action="store_true", help="some keys alone at known levels, to measure"
    )
    arguments = parser.parse_args()
    people = range(arguments.first, arguments.first + arguments.people)
    networks, painter = FaceNetworks.open(WEIGHTS / "perception"), FacePainter(load_body_file())
    presets = load_presets(arguments.presets, painter.body.arkit_names)
    arrays = generate(people, painter, networks, None if arguments.levels else presets)
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.file, **arrays)


if __name__ == "__main__":
    main()
