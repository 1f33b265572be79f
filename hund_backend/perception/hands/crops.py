"""Crops of hands, the fingers up, from the body's points or from the hand's own."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

ELBOW, WRIST, PINKY, INDEX = (13, 14), (15, 16), (17, 18), (19, 20)  # BlazePose's, left and right
HAND_WRIST, MIDDLE_KNUCKLE = 0, 9  # MediaPipe's hand landmarks
PALM = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)  # all but the outer halves of the fingers
OUTER_KNUCKLES = (5, 17)
OUTLINE = (0, 1, 5, 9, 13, 17)  # of the palm
FINGERS = tuple((first, first + 1, first + 2, first + 3) for first in (1, 5, 9, 13, 17))
FINGER_WIDTH = 0.12  # lengths of the hand
PAINT_SPREAD = 0.15  # lengths of the hand from which paint takes its color
HAND_LENGTH = 0.19  # metres, wrist to the tip of the middle finger
BODY_CROP_LENGTHS = 1.3  # side of a crop from the body's points, in lengths of the hand
PALM_MARGIN = 2.0  # side of a crop over the extent of PALM, as MediaPipe follows hands
FINGER_SHIFT = 0.1  # of the center toward the fingers, in extents of PALM: the same


def pixels_per_metre(
    points: Float[np.ndarray, "33 2"],
    world_landmarks: Float[np.ndarray, "33 3"],
    confidence: Float[np.ndarray, "33"],
) -> float:
    """Return the scale of a person in the frame: the least-squares fit of landmarks to points.

    Args:
        points: BlazePose's keypoints, px of the frame.
        world_landmarks: metres, axes of the camera.
        confidence: of the keypoints, their weights.
    """
    weights = (confidence + 1e-3)[:, None]
    flat, metres = (
        values - (weights * values).sum(axis=0) / weights.sum()
        for values in (points, world_landmarks[:, :2])
    )
    spread = (weights * metres**2).sum()
    return float((weights * flat * metres).sum().clip(0) / max(spread, 1e-9))


def crop_along(
    base: Float[np.ndarray, "2"],
    tip: Float[np.ndarray, "2"],
    length: float,
    side: float,
) -> Float[np.ndarray, "4"]:
    """Return a crop ahead of a point, upright along a direction.

    Args:
        base: the wrist, px.
        tip: point in the direction of the fingers, px.
        length: from the base to the center of the crop, px.
        side: of the crop, px.

    Example:
        >>> crop_along(np.array([30.0, 40.0]), np.array([30.0, 10.0]), 20.0, 60.0)
        array([30., 20., 60.,  0.])
    """
    direction = tip - base
    direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
    angle = np.arctan2(direction[0], -direction[1])
    return np.array([*(base + length * direction), side, angle])


def crops_from_body(
    points: Float[np.ndarray, "points 2"], side: int, hand_length: float
) -> Float[np.ndarray, "2 4"]:
    """Return crops of a hand: along the body's knuckles, and along the forearm.

    Args:
        points: BlazePose's keypoints, px of the frame.
        side: 0 left, 1 right.
        hand_length: px.
    """
    wrist, elbow = points[WRIST[side]], points[ELBOW[side]]
    knuckles = (2 * points[INDEX[side]] + points[PINKY[side]]) / 3  # toward the middle finger's
    width = BODY_CROP_LENGTHS * hand_length
    return np.stack(
        [
            crop_along(wrist, knuckles, 0.5 * hand_length, width),
            crop_along(wrist, wrist + (wrist - elbow), 0.5 * hand_length, width),
        ]
    )


def crop_around_hand(points: Float[np.ndarray, "21 2"]) -> Float[np.ndarray, "4"]:
    """Return the crop in which MediaPipe follows a hand, from the hand's points.

    The square around the palm and the inner halves of the fingers, rotated so that the knuckles are
    above the wrist, twice as large.
    """
    middle = (points[5] + points[13]) / 4 + points[9] / 2
    up = middle - points[HAND_WRIST]
    angle = float(np.arctan2(up[0], -up[1]))
    cosine, sine = np.cos(angle), np.sin(angle)
    image_from_rotated = np.array([[cosine, -sine], [sine, cosine]])
    rotated = points[list(PALM)] @ image_from_rotated
    low, high = rotated.min(axis=0), rotated.max(axis=0)
    extent = float((high - low).max())
    center = (low + high) / 2 - np.array([0.0, FINGER_SHIFT * (high - low)[1]])
    return np.array([*(image_from_rotated @ center), max(PALM_MARGIN * extent, 1.0), angle])


def hand_size(points: Float[np.ndarray, "21 2"]) -> float:
    """Return the length of a hand if it were open and flat to the camera, px.

    It is about twice that of the palm, and 2.6 times the width of the knuckles. The larger counts:
    one of the two is short where the hand points at the camera or is seen from the thumb's side.
    """
    palm = np.linalg.norm(points[MIDDLE_KNUCKLE] - points[HAND_WRIST])
    width = np.linalg.norm(points[OUTER_KNUCKLES[0]] - points[OUTER_KNUCKLES[1]])
    return float(2 * max(palm, 1.3 * width))


def paint_over(
    image: UInt8[np.ndarray, "height width 3"], points: Float[np.ndarray, "21 2"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the frame with a hand painted over in the colors around it.

    Args:
        image: the frame.
        points: of the hand, px of the frame.
    """
    length = hand_size(points)
    width = max(3, round(FINGER_WIDTH * length))
    sigma = max(1.0, PAINT_SPREAD * length)
    margin = width + int(3 * sigma)
    height, across = image.shape[:2]
    low = (np.floor(points.min(axis=0)).astype(int) - margin).clip(0, (across - 1, height - 1))
    high = (np.ceil(points.max(axis=0)).astype(int) + margin).clip(low + 1, (across, height))
    part = image[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(part.shape[:2], np.uint8)
    places = np.rint(points - low - 0.5).astype(np.int32)
    palm = cv2.convexHull(places[list(OUTLINE)])
    cv2.fillConvexPoly(mask, palm, 1)
    cv2.polylines(mask, [palm], True, 1, width // 2)
    for finger in FINGERS:
        cv2.polylines(mask, [places[list(finger)]], False, 1, width)
    seen = (1 - mask).astype(np.float32)
    around = cv2.GaussianBlur(part * seen[..., None], (0, 0), sigma)
    share = cv2.GaussianBlur(seen, (0, 0), sigma)[..., None]
    # Far inside nothing around is near: there it is the mean of all that is seen.
    mean = (part * seen[..., None]).sum(axis=(0, 1)) / max(float(seen.sum()), 1.0)
    paint = (around + 1e-3 * mean) / (share + 1e-3)
    painted = image.copy()
    painted[low[1] : high[1], low[0] : high[0]] = np.where(mask[..., None] > 0, paint, part)
    return painted
