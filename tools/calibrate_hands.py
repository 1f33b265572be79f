"""Fit the constants of the hands' confidence: `python -m tools.calibrate_hands CLIP…`.

The constants are in hund_backend/perception/hands/confidence.py. No labels are needed: hands that
the network finds for sure are degraded, hidden or looked for in the wrong place, and what it finds
then is compared with what it found before.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit

from hund_backend.body.camera import default_intrinsics
from hund_backend.perception.crops import extract_crops, image_from_crop, transform_points
from hund_backend.perception.hands.confidence import POINT_LEVELS
from hund_backend.perception.hands.crops import crop_around_hand
from hund_backend.perception.hands.detector import HandDetection, HandRequest
from hund_backend.perception.hands.network import HAND_CROP_PX, HandNetwork
from hund_backend.perception.run import Perception
from hund_backend.video import open_clip
from hund_backend.weights_file import WEIGHTS
from tools.calibrate_confidence import WEIGHT_DECAY, cut_off_at, hide

EVERY = 3  # frames
SURE = 0.95  # presence of a hand that serves as truth
SIDED = 0.9  # its probability of the right side
MAX_ERROR = 0.1  # of a right point, in lengths of the hand
KINDS = ("jitter", "hide", "cut off", "blur", "turn", "shrink", "nothing", "other hand", "all")
JITTER = np.array([[0.05, 0.03], [-0.04, 0.05], [0.02, -0.05], [-0.05, -0.03], [0.0, 0.0]])


def degrade(
    kind: str,
    image: np.ndarray,
    crop: Float[np.ndarray, "4"],
    truth: Float[np.ndarray, "21 2"],
    length: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Float[np.ndarray, "4"]]:
    """Degrade the image of a hand and its crop."""
    crop = crop + rng.normal(0, 1, 4) * (0.05 * crop[2], 0.05 * crop[2], 0, 0.2)
    crop[2] *= np.exp(rng.normal(0, 0.12))
    if kind in ("turn", "all"):
        crop[3] += rng.uniform(-2, 2)
        crop[2] *= np.exp(rng.normal(0, 0.2))
    if kind in ("hide", "all"):
        image = hide(image, truth, length, rng)
    if kind == "nothing":
        for _ in range(5):
            image = hide(image, truth, 2.5 * length, rng)
    if kind == "cut off":
        image = cut_off_at(image, truth[rng.integers(len(truth))], rng)
    if kind in ("blur", "all"):
        image = _motion_blur(image, rng.uniform(0.05, 0.5) * length, rng.uniform(0, np.pi))
    if kind == "shrink":
        scale = rng.uniform(8, 40) / length
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return image, crop


def _motion_blur(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Blur along a line of px."""
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel, middle = np.zeros((size, size), np.float32), size // 2
    for step in np.linspace(-0.5, 0.5, 4 * size):
        x, y = step * (size - 1) * np.array([np.cos(angle), np.sin(angle)])
        kernel[round(middle + y), round(middle + x)] += 1
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _sure_hands(
    clip: Path, perception: Perception
) -> Iterator[tuple[np.ndarray, HandDetection, HandDetection | None]]:
    """Yield frames with a hand that is seen for sure, and the other hand of that person."""
    with open_clip(clip) as opened:
        frames, info = list(opened), opened.info
    intrinsics = default_intrinsics(info.width, info.height)
    for person in perception.run(frames, intrinsics, fps=info.fps):
        for row in np.flatnonzero(person.observed)[::EVERY]:
            points, confidence = person.keypoints[row, :, :2], person.keypoints[row, :, 2]
            request = HandRequest.of_body(points, person.world_landmarks[row], confidence)
            image = frames[person.frames[row]].image
            (hands,) = perception.hand_detector.detect(image, [request], intrinsics)
            for side, hand in enumerate(hands):
                if hand is None or hand.presence < SURE:
                    continue
                if (hand.right if side else 1 - hand.right) > SIDED:
                    yield image, hand, hands[1 - side]


def find(network: HandNetwork, image: np.ndarray, crops: np.ndarray, like: HandDetection) -> list:
    """Return what the network finds in crops."""
    output = network.predict(extract_crops(image, crops, HAND_CROP_PX))
    points = transform_points(output.keypoints.astype(float), image_from_crop(crops, HAND_CROP_PX))
    return [
        replace(like, crop=c, points=p, presence=float(presence), right=float(right))
        for c, p, presence, right in zip(crops, points, output.presence, output.right, strict=True)
    ]


def samples(
    clips: list[Path],
) -> Iterator[tuple[str, Float[np.ndarray, "4"], Bool[np.ndarray, "21"]]]:
    """Yield the kind, the regression's inputs of a degraded hand, and which points are right."""
    perception, rng = Perception.open("cpu"), np.random.default_rng(0)
    network = HandNetwork.open(WEIGHTS / "perception")
    for clip in clips:
        for image, hand, other in _sure_hands(clip, perception):
            own = crop_around_hand(hand.points)
            crops = np.repeat(own[None], len(JITTER), axis=0)
            crops[:, :2] += JITTER * own[2]
            several = np.stack([each.points for each in find(network, image, crops, hand)])
            truth = np.median(several, axis=0)
            if np.linalg.norm(several - truth, axis=-1).mean() > MAX_ERROR / 2 * hand.length:
                continue
            for kind in KINDS:
                start = own
                if kind == "other hand":
                    if other is None:
                        continue
                    start = crop_around_hand(other.points)
                worse, crop = degrade(kind, image, start, truth, hand.length, rng)
                # The body's wrist errs, too.
                wrist = hand.body_wrist + rng.normal(0, 0.08, 2) * hand.length
                like = replace(hand, body_wrist=wrist)
                (found,) = find(network, worse, crop[None], like)
                error = np.linalg.norm(found.points - truth, axis=-1) / hand.length
                yield kind, found.inputs, (error < MAX_ERROR) & (kind != "nothing")


def main() -> None:
    """Fit the constants and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    kinds, inputs, right = (
        np.array(column) for column in zip(*samples(parser.parse_args().clips), strict=True)
    )
    levels = np.eye(5)[POINT_LEVELS]  # points levels
    count = inputs.shape[1]

    def odds(coefficients: np.ndarray) -> np.ndarray:
        return (inputs @ coefficients[:count])[:, None] + levels @ coefficients[count:]

    def loss(coefficients: np.ndarray) -> float:
        value = odds(coefficients)
        spread = np.ptp(coefficients[count:])
        penalty = (coefficients[:count] ** 2).sum() + spread**2
        return (np.logaddexp(0, value) - right * value).mean() + WEIGHT_DECAY * penalty

    # More certain is never less likely; farther and of another size never more.
    bounds = [(0, None)] * 2 + [(None, 0)] * 2 + [(None, None)] * 5
    fitted = minimize(loss, np.zeros(count + 5), bounds=bounds)
    constant, offsets = fitted.x[count:].mean(), fitted.x[count:] - fitted.x[count:].mean()
    print(f"CONSTANT = {constant:.2f}")
    print(f"WEIGHTS = ({', '.join(f'{weight:.2f}' for weight in fitted.x[:count])})")
    print(f"POINT_OFFSETS = ({', '.join(f'{offset:.2f}' for offset in offsets)})")
    expected = expit(odds(fitted.x))
    print(
        f"{right.size} points of {len(right)} hands, loss {fitted.fun:.3f}; expected, found right:"
    )
    for low in np.arange(0, 1, 0.1):
        chosen = (expected >= low) & (expected < low + 0.1)
        print(f"  {expected[chosen].mean():.2f} {right[chosen].mean():.2f} ({chosen.sum()})")
    for kind in KINDS:
        of = kinds == kind
        print(f"  {kind:10s} {expected[of].mean():.2f} {right[of].mean():.2f} ({of.sum()})")


if __name__ == "__main__":
    main()
