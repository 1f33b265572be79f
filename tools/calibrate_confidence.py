"""Fit the constants of the keypoint confidence: `python -m tools.calibrate_confidence`.

The constants are in hund_backend/perception/confidence.py. No labels are needed: crops of the demo
clip are degraded, and their keypoints are compared with those of the undegraded crops. Takes
minutes on two cores.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit

from hund_backend.body.camera import default_intrinsics
from hund_backend.perception.blazepose import BlazePose
from hund_backend.perception.confidence import log_odds
from hund_backend.perception.crop_detector import LIMB_JOINTS, NUM_KEYPOINTS, CropDetector
from hund_backend.perception.crops import extract_crops, image_from_crop, transform_points
from hund_backend.perception.run import Perception
from hund_backend.perception.search import average_over_crops
from hund_backend.video import open_clip
from hund_backend.weights_file import WEIGHTS
from tools.get_demo_clip import get_demo_clip

EVERY = 6  # frames
MIN_QUALITY = 0.7  # of an undegraded detection that serves as truth
MAX_ERROR = 0.025  # of a right keypoint, in extents of the person: see keypoint_confidence
KINDS = ("jitter", "hide", "cut off", "blur", "turn", "darken", "shrink", "all")
WEIGHT_DECAY = 1e-4  # of the coefficients


def degrade(
    kind: str,
    image: np.ndarray,
    crop: Float[np.ndarray, "4"],
    truth: Float[np.ndarray, "33 2"],
    rng: np.random.Generator,
) -> tuple[np.ndarray, Float[np.ndarray, "4"]]:
    """Degrade the image of a person and the crop; cut-off areas repeat the border."""
    crop = crop + rng.normal(0, 1, 4) * (0.03 * crop[2], 0.03 * crop[2], 0, 0.12)
    crop[2] *= np.exp(rng.normal(0, 0.08))
    extent = np.ptp(truth, axis=0).max()
    if kind in ("turn", "all"):
        crop[3] += rng.uniform(-2.5, 2.5)
        crop[:2] += rng.normal(0, 0.08, 2) * crop[2]
        crop[2] *= np.exp(rng.normal(0, 0.25))
    if kind in ("hide", "all") or rng.random() < 0.15:
        image = hide(image, truth, extent, rng)
    if kind == "cut off":
        image = cut_off_at(image, truth[rng.integers(len(truth))], rng)
    if kind in ("blur", "all"):
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.01, 0.05) * extent)
    if kind == "darken":
        noise = rng.normal(0, rng.uniform(5, 50), image.shape)
        image = np.clip(image * rng.uniform(0.2, 1) + noise, 0, 255).astype(np.uint8)
    if kind == "shrink":
        scale = rng.uniform(12, 50) / extent
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return image, crop


def hide(
    image: np.ndarray, truth: np.ndarray, extent: float, rng: np.random.Generator
) -> np.ndarray:
    """Cover keypoints by one to three patches of the background."""
    image, (height, width) = image.copy(), image.shape[:2]
    for _ in range(rng.integers(1, 4)):
        wide, high = (rng.uniform(0.1, 0.45, 2) * extent).astype(int) + 1
        corner = truth[rng.integers(len(truth))] + rng.normal(0, 0.1, 2) * extent
        x, y = (corner - (wide / 2, high / 2)).clip(0, (width - wide, height - high)).astype(int)
        from_x, from_y = rng.integers(width - wide), rng.integers(height - high)
        image[y : y + high, x : x + wide] = image[from_y : from_y + high, from_x : from_x + wide]
    return image


def cut_off_at(image: np.ndarray, point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace everything to a random side of a point by the border at that point."""
    image, (x, y) = image.copy(), point.astype(int).clip(1, np.array(image.shape[1::-1]) - 2)
    match rng.integers(4):
        case 0:
            image[:, :x] = image[:, x : x + 1]
        case 1:
            image[:, x:] = image[:, x - 1 : x]
        case 2:
            image[:y] = image[y : y + 1]
        case _:
            image[y:] = image[y - 1 : y]
    return image


def samples() -> Iterator[tuple[Float[np.ndarray, "33 4"], np.ndarray]]:
    """Yield the regression's inputs for degraded keypoints, and which keypoints are right."""
    perception, rng = Perception.open("cpu"), np.random.default_rng(0)
    blazepose = BlazePose.open(WEIGHTS / "perception")
    with open_clip(get_demo_clip()) as clip:
        intrinsics = default_intrinsics(clip.info.width, clip.info.height)
        people = perception.run(clip, intrinsics, fps=clip.info.fps)
    with open_clip(get_demo_clip()) as clip:
        for position, frame in enumerate(clip):
            for person in people if position % EVERY == 0 else ():
                for index in np.flatnonzero((person.frames == position) & person.observed):
                    detector = CropDetector(frame.image, blazepose, intrinsics)
                    detection = detector(person.crops[index : index + 1])[0]
                    if detection.quality < MIN_QUALITY:
                        continue
                    truth = average_over_crops(detector, detection).points[:NUM_KEYPOINTS]
                    for kind in KINDS:
                        worse = degrade(kind, frame.image, detection.crop, truth, rng)
                        yield judge(blazepose, *worse, truth)


def judge(
    blazepose: BlazePose, image: np.ndarray, crop: np.ndarray, truth: np.ndarray
) -> tuple[Float[np.ndarray, "33 4"], np.ndarray]:
    """Return the regression's inputs for one crop, and which keypoints are right."""
    output = blazepose.predict(extract_crops(image, crop[None]))
    points = transform_points(output.keypoints[0].astype(float), image_from_crop(crop))[
        :NUM_KEYPOINTS
    ]
    distance = np.linalg.norm(points - truth, axis=-1) / np.ptp(truth, axis=0).max()
    quality = output.peaks[:, LIMB_JOINTS].mean(axis=1)
    terms = log_odds(
        output.peaks[:, :NUM_KEYPOINTS], output.visibility[:, :NUM_KEYPOINTS], quality
    )
    return np.concatenate((np.ones((NUM_KEYPOINTS, 1)), terms[0]), axis=1), distance < MAX_ERROR


def main() -> None:
    """Fit the constants and print them."""
    terms, right = (np.concatenate(column) for column in zip(*samples(), strict=True))

    def loss(coefficients: np.ndarray) -> float:
        odds = terms @ coefficients
        return (np.logaddexp(0, odds) - right * odds).mean() + WEIGHT_DECAY * (
            coefficients[1:] ** 2
        ).sum()

    bounds = [(None, None)] + [(0, None)] * 3  # more certain is never less likely
    fitted = minimize(loss, np.zeros(4), bounds=bounds)
    names = ("CONSTANT", "PEAK_WEIGHT", "VISIBILITY_WEIGHT", "QUALITY_WEIGHT")
    for name, value in zip(names, fitted.x, strict=True):
        print(f"{name} = {value:.2f}")
    expected = expit(terms @ fitted.x)
    print(f"{len(right)} keypoints, loss {fitted.fun:.3f}; expected and found right:")
    for low in np.arange(0, 1, 0.1):
        chosen = (expected >= low) & (expected < low + 0.1)
        print(f"  {expected[chosen].mean():.2f} {right[chosen].mean():.2f} ({chosen.sum()})")


if __name__ == "__main__":
    main()
