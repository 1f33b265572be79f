"""Generate synthetic faces and what the face networks read in them.

`python -m hund_backend.training.faces.generate FILE`. Each person is shown several times, at rest
and with random keys; light, skin and blur differ from picture to picture.
"""

import argparse
from pathlib import Path

import numpy as np

from ...body.file import load_body_file
from ...perception.crops import extract_crops, image_from_crop, transform_points
from ...perception.face.head import landmark_crop
from ...perception.face.networks import FaceNetworks
from ...weights_file import WEIGHTS
from .pictures import SIZE_PX, FacePainter, FacePicture, random_betas

PICTURES_AT_REST, PICTURES_EACH = 5, 16
AMOUNT_AT_REST = 0.05  # of the random keys in pictures of a face at rest
SEED = 1000


def read_face(networks: FaceNetworks, picture: FacePicture) -> dict[str, np.ndarray]:
    """Return landmarks in the picture, their confidence, and the coefficients of the network."""
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
    }


def generate(people: range, painter: FacePainter, networks: FaceNetworks) -> dict[str, np.ndarray]:
    """Return arrays over all pictures of some people; each person depends on their number alone."""
    rows: list[dict[str, np.ndarray]] = []
    for person in people:
        rng = np.random.default_rng(SEED + person)
        betas = random_betas(rng)
        for number in range(PICTURES_EACH):
            amount = AMOUNT_AT_REST if number < PICTURES_AT_REST else 1.0
            sample = painter.sample(rng, betas, amount)
            picture = painter.render(sample, rng)
            truth = {"person": person, "arkit": sample.arkit, "turn": sample.turn}
            pixels = {"pixels": picture.pixels.astype(np.float32)}
            rows.append(truth | pixels | read_face(networks, picture))
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return arrays | {"vertices": painter.vertices}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--first", type=int, default=0, help="number of the first person")
    parser.add_argument("--people", type=int, default=48)
    arguments = parser.parse_args()
    people = range(arguments.first, arguments.first + arguments.people)
    networks = FaceNetworks.open(WEIGHTS / "perception")
    arrays = generate(people, FacePainter(load_body_file()), networks)
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.file, **arrays)


if __name__ == "__main__":
    main()
