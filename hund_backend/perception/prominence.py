"""Prominence: who of the people in a clip is the actor, and who is only a picture.

The actor is in view for long, large, clearly seen, and moves.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from .crop_detector import NUM_KEYPOINTS
from .tracklets import Tracklet

WINDOW_SECONDS = 0.3  # over which positions are averaged, so that the network's noise is no motion
STILL_SHARE = 0.15  # of the prominence of somebody who does not move
HALF_SPEED = (
    0.15  # sides a second, at which motion counts half; the network's noise is 0.03 to 0.07
)
STATIC_WANDER = 0.006  # sides of the crop by which a still figure's keypoints wander
STATIC_STEEPNESS = 4.0  # of the confidence over the logarithm of that
STATIC_SECONDS = 1.0  # after which most stillness is known
CLEAR_SHARE = 0.95  # of the usual quality: when half hidden, a picture seems to move
MIN_CONFIDENCE = 0.4  # of keypoints whose motion counts


def prominence(person: Tracklet, fps: float) -> float:
    """Return the sum of quality times crop side over all detections, less for who is still."""
    seen = float(sum(detection.quality * detection.crop[2] for detection in person.values()))
    speed = _speed(person, fps)
    lively = speed**2 / (speed**2 + HALF_SPEED**2)  # the network's noise counts little
    return seen * (STILL_SHARE + (1 - STILL_SHARE) * lively)


def static_confidence(person: Tracklet, fps: float) -> float:
    """Return the confidence that a track shows a still figure: a poster, a mannequin, a screen.

    Its keypoints keep their shape for all the time, apart from shift, rotation and scale, which
    the camera causes. Nobody alive stands as still for seconds; a short track tells little.
    """
    clear = CLEAR_SHARE * float(np.median([d.quality for d in person.values()]))
    seen = {p: detection for p, detection in person.items() if detection.quality >= clear}
    points, _, seconds = _windows(seen, fps)
    if len(points) < 2:
        return 0.0
    aligned = _aligned(points)
    wander = float(np.sqrt(np.square(aligned - aligned.mean(axis=0)).sum(-1).mean()))
    stillness = expit(STATIC_STEEPNESS * np.log(STATIC_WANDER / max(wander, 1e-6)))
    return float(stillness * (1 - np.exp(-seconds / STATIC_SECONDS)))


def _speed(person: Tracklet, fps: float) -> float:
    """Return the mean speed of the keypoints, sides of the crop a second."""
    points, times, _ = _windows(person, fps)
    if len(points) < 2:
        return 0.0
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1).mean(axis=-1)
    near = np.diff(times) < 3 * WINDOW_SECONDS
    return float((steps / np.diff(times))[near].mean()) if near.any() else 0.0


def _windows(
    person: Tracklet, fps: float
) -> tuple[Float[np.ndarray, "windows points 2"], Float[np.ndarray, " windows"], float]:
    """Return mean keypoints of windows of time in mean sides, their times, and the time covered.

    Only keypoints that are seen well are kept.
    """
    positions = np.array(sorted(person))
    detections = [person[int(position)] for position in positions]
    confidence = np.mean([d.confidence for d in detections], axis=0)
    order = np.argsort(-confidence)
    chosen = order[: max(8, int((confidence > MIN_CONFIDENCE).sum()))]
    side = float(np.mean([d.crop[2] for d in detections]))
    points = np.stack([d.points[:NUM_KEYPOINTS][chosen] for d in detections]) / side
    window = np.floor(positions / (WINDOW_SECONDS * fps)).astype(int)
    labels = np.unique(window)
    means = np.stack([points[window == label].mean(axis=0) for label in labels])
    times = np.array([positions[window == label].mean() for label in labels]) / fps
    return means, times, len(positions) / fps


def _aligned(points: Float[np.ndarray, "windows points 2"]) -> Float[np.ndarray, "_ _ 2"]:
    """Align all shapes to their median by shift, rotation and scale."""
    z = points[..., 0] + 1j * points[..., 1]
    z = z - z.mean(axis=1, keepdims=True)
    middle = points - points.mean(axis=1, keepdims=True)
    target = np.median(middle, axis=0)
    target = target[:, 0] + 1j * target[:, 1]
    factor = (np.conj(z) * target).sum(axis=1) / np.maximum((np.abs(z) ** 2).sum(axis=1), 1e-12)
    z = z * factor[:, None]
    return np.stack((z.real, z.imag), axis=-1)
