"""Fits the constants of hund_backend/perception/confidence.py: `python -m tools.calibrate_confidence`.

No labels are needed: crops of the demo clip are degraded and what the network then says is held
against what it says of the undegraded ones. Minutes on two cores.
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
from hund_backend.perception.search import average
from hund_backend.video import open_clip
from hund_backend.weights_file import WEIGHTS
from tools.get_demo_clip import get_demo_clip

EVERY = 6  # frames
LEAST_QUALITY = 0.7  # of an undegraded sighting that may serve as truth
RIGHT = 0.025  # of the person's extent: see keypoint_confidence
KINDS = ("jitter", "hide", "cut off", "blur", "turn", "darken", "shrink", "all")
DECAY = 1e-4  # of the coefficients


def degraded(
    kind: str,
    image: np.ndarray,
    crop: Float[np.ndarray, "4"],
    truth: Float[np.ndarray, "33 2"],
    rng: np.random.Generator,
) -> tuple[np.ndarray, Float[np.ndarray, "4"]]:
    """A worse picture of a person and a worse crop; what is cut off repeats the last pixels."""
    crop = crop + rng.normal(0, 1, 4) * (0.03 * crop[2], 0.03 * crop[2], 0, 0.12)
    crop[2] *= np.exp(rng.normal(0, 0.08))
    extent = np.ptp(truth, axis=0).max()
    if kind in ("turn", "all"):
        crop[3] += rng.uniform(-2.5, 2.5)
        crop[:2] += rng.normal(0, 0.08, 2) * crop[2]
        crop[2] *= np.exp(rng.normal(0, 0.25))
    if kind in ("hide", "all") or rng.random() < 0.15:
        image = _hidden(image, truth, extent, rng)
    if kind == "cut off":
        image = _cut_off(image, truth[rng.integers(len(truth))], rng)
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


def _hidden(
    image: np.ndarray, truth: np.ndarray, extent: float, rng: np.random.Generator
) -> np.ndarray:
    """One to three patches of the background in front of keypoints."""
    image, (height, width) = image.copy(), image.shape[:2]
    for _ in range(rng.integers(1, 4)):
        wide, high = (rng.uniform(0.1, 0.45, 2) * extent).astype(int) + 1
        corner = truth[rng.integers(len(truth))] + rng.normal(0, 0.1, 2) * extent
        x, y = (corner - (wide / 2, high / 2)).clip(0, (width - wide, height - high)).astype(int)
        from_x, from_y = rng.integers(width - wide), rng.integers(height - high)
        image[y : y + high, x : x + wide] = image[from_y : from_y + high, from_x : from_x + wide]
    return image


def _cut_off(image: np.ndarray, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture as if the frame ended at a point, to a random side."""
    image, (x, y) = image.copy(), at.astype(int).clip(1, np.array(image.shape[1::-1]) - 2)
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
    """What the network says of degraded keypoints (as in the regression), and whether it is right."""
    eyes, rng = Perception.open("cpu"), np.random.default_rng(0)
    pose = BlazePose.open(WEIGHTS / "perception")
    with open_clip(get_demo_clip()) as clip:
        intrinsics = default_intrinsics(clip.info.width, clip.info.height)
        people = eyes.run(clip, intrinsics, fps=clip.info.fps)
    with open_clip(get_demo_clip()) as clip:
        for position, frame in enumerate(clip):
            for person in people if position % EVERY == 0 else ():
                for index in np.flatnonzero((person.frames == position) & person.observed):
                    sight = CropDetector(frame.image, pose, intrinsics)
                    sighting = sight(person.crops[index : index + 1])[0]
                    if sighting.quality < LEAST_QUALITY:
                        continue
                    truth = average(sight, sighting).points[:NUM_KEYPOINTS]
                    for kind in KINDS:
                        worse = degraded(kind, frame.image, sighting.crop, truth, rng)
                        yield judged(pose, *worse, truth)


def judged(
    pose: BlazePose, image: np.ndarray, crop: np.ndarray, truth: np.ndarray
) -> tuple[Float[np.ndarray, "33 4"], np.ndarray]:
    """One look's terms of the regression, and which keypoints are right."""
    look = pose.predict(extract_crops(image, crop[None]))
    points = transform_points(look.keypoints[0].astype(float), image_from_crop(crop))[
        :NUM_KEYPOINTS
    ]
    distance = np.linalg.norm(points - truth, axis=-1) / np.ptp(truth, axis=0).max()
    quality = look.peaks[:, LIMB_JOINTS].mean(axis=1)
    terms = log_odds(look.peaks[:, :NUM_KEYPOINTS], look.visibility[:, :NUM_KEYPOINTS], quality)
    return np.concatenate((np.ones((NUM_KEYPOINTS, 1)), terms[0]), axis=1), distance < RIGHT


def main() -> None:
    """Fit and print."""
    terms, right = (np.concatenate(column) for column in zip(*samples(), strict=True))

    def loss(coefficients: np.ndarray) -> float:
        odds = terms @ coefficients
        return (np.logaddexp(0, odds) - right * odds).mean() + DECAY * (
            coefficients[1:] ** 2
        ).sum()

    bounds = [(None, None)] + [(0, None)] * 3  # surer is never less likely
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
