"""How well do BlazePose's inner features distinguish real pictures of people from made ones?

Run as `python -m benchmarks.picture_gap KIT PICTURES`: a linear probe (ridge regression of the label)
is trained on half of the pictures and judged on the others, several times. Of the made pictures
those are taken whose keypoints are nearest to a real one's, so that poses tell little; a probe of
the keypoints alone shows how much they do. Then the made pictures are changed in cheap ways.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from benchmarks import measuring
from hund_backend.evaluation.kits import read_kit
from hund_backend.perception.crop_detector import NUM_KEYPOINTS
from hund_backend.perception.crops import CROP_MARGIN, crop_around_points, extract_crops
from hund_backend.perception.part_head import BlazePoseWithParts
from hund_backend.training.pictures.shards import PictureSet
from hund_backend.weights_file import WEIGHTS

SIZE = 256
BATCH = 8
FOLDS, ROUNDS = 2, 10
RIDGE = 30.0
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def main() -> None:
    """Print the accuracies of the probes."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(1)
    network = BlazePoseWithParts.open(WEIGHTS / "perception")
    real = real_crops(args.kit, args.count)
    pictures = PictureSet(args.pictures, "held_out")
    made = np.stack([pictures[i].image for i in range(min(args.pool, len(pictures)))])
    real_features, real_keypoints = look(real, network)
    made_features, made_keypoints = look(made, network)
    costs = np.linalg.norm(
        real_keypoints[:, None].astype(np.float32) - made_keypoints[None], axis=-1
    )
    _, chosen = linear_sum_assignment(costs)  # one made picture for each real one
    print(f"{len(real)} real pictures; made ones, {len(made)}, matched by pose")
    print("| | distinguished, % | taken for real by the first probe, % |")
    print(f"| keypoints alone | {accuracy(real_keypoints, made_keypoints[chosen]):.1f} | |")
    print(f"| made, unmatched | {accuracy(real_features, made_features[: len(real)]):.1f} | |")
    first = probe(real_features, made_features[chosen])
    for name, change in CHANGES.items():
        rng = np.random.default_rng(0)
        changed = np.stack([change(image, rng) for image in made[chosen]])
        features, _ = look(changed, network)
        share = 100 * float((first(features) > 0).mean())
        print(f"| {name} | {accuracy(real_features, features):.1f} | {share:.1f} |", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("kit", type=Path, help="folder of real pictures with joints")
    parser.add_argument("pictures", type=Path, help="folder of the made pictures")
    parser.add_argument("--count", type=int, default=200, help="real pictures")
    parser.add_argument("--pool", type=int, default=600, help="made pictures to choose from")


def real_crops(folder: Path, count: int) -> np.ndarray:
    """Crops of a kit's pictures around their joints."""
    crops = []
    for frame in read_kit(folder).frames[:count]:
        image = cv2.imread(str(frame.path))[..., ::-1]
        crop = crop_around_points(frame.joints_px[frame.has_px], 0.0, CROP_MARGIN * 1.25)
        crops.append(extract_crops(np.ascontiguousarray(image), crop[None], SIZE)[0])
    return np.stack(crops)


def look(images: np.ndarray, network: BlazePoseWithParts) -> tuple[np.ndarray, np.ndarray]:
    """Inner features and keypoints of some crops."""
    outputs = [network.predict(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    features = np.concatenate([output.features for output in outputs])
    keypoints = np.concatenate([output.keypoints[:, :NUM_KEYPOINTS, :2] for output in outputs])
    return np.arcsinh(features), keypoints.reshape(len(keypoints), -1) / SIZE


def probe(real: np.ndarray, made: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A linear probe: above zero for real pictures."""
    values = np.concatenate((real, made)).astype(float)
    labels = np.repeat((1.0, -1.0), (len(real), len(made)))
    mean, deviation = values.mean(0), values.std(0) + 1e-6
    scaled = (values - mean) / deviation
    gram = scaled @ scaled.T + RIDGE * scaled.shape[1] / 100 * np.eye(len(scaled))
    weights = scaled.T @ np.linalg.solve(gram, labels)
    return lambda features: (features - mean) / deviation @ weights


def accuracy(real: np.ndarray, made: np.ndarray) -> float:
    """Share of pictures that probes trained on others put on the right side, %."""
    rng, right = np.random.default_rng(0), []
    for _ in range(ROUNDS):
        halves = [np.array_split(rng.permutation(len(values)), FOLDS) for values in (real, made)]
        for fold in range(FOLDS):
            train = [np.concatenate(half[:fold] + half[fold + 1 :]) for half in halves]
            judge = probe(real[train[0]], made[train[1]])
            right.append((judge(real[halves[0][fold]]) > 0).mean())
            right.append((judge(made[halves[1][fold]]) < 0).mean())
    return 100 * float(np.mean(right))


# --- Cheap changes of made pictures ----------------------------------------------------------------


def _blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6))


def _compressed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(25, 70))]
    _, coded = cv2.imencode(".jpg", image[..., ::-1], quality)
    return cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]


def _noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = rng.uniform(4, 14) * rng.standard_normal(image.shape)
    return np.rint(image + grain).clip(0, 255).astype(np.uint8)


def _coarse(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = int(SIZE * rng.uniform(0.25, 0.7))
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)


def _toned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    values = image / 255.0
    gray = values.mean(-1, keepdims=True)
    values = gray + (values - gray) * rng.uniform(0.4, 1.0)
    values = 0.5 + (values - 0.5) * rng.uniform(0.8, 1.3) + rng.normal(0, 0.05)
    return np.rint(255 * values.clip(0, 1) ** rng.uniform(0.8, 1.25)).astype(np.uint8)


def _sharpened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    soft = cv2.GaussianBlur(image, (0, 0), 1.2).astype(float)
    return np.rint(image + rng.uniform(0.3, 1.0) * (image - soft)).clip(0, 255).astype(np.uint8)


def _all(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for change in (_toned, _coarse, _noisy, _compressed):
        image = change(image, rng)
    return image


CHANGES: dict[str, Change] = {
    "made, matched": lambda image, rng: image,
    "blurred": _blurred,
    "compressed": _compressed,
    "noisy": _noisy,
    "coarse": _coarse,
    "other tones": _toned,
    "sharpened": _sharpened,
    "tones, coarse, noisy, compressed": _all,
}

if __name__ == "__main__":
    main()
