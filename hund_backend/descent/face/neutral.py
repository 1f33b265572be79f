"""Neutral: a person's face at rest, learned over a clip.

A resting face is not an expression: the networks read some faces at rest as half closed eyes or a
frown, and differently as the head turns.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .alignment import align
from .coefficients import geometric_coefficients
from .model import FaceModel, turn_terms

# What the blend shape network reads in faces at rest (medians of two clips), where it is not near 0.
_TYPICAL_REST = {"eyeBlink": 0.42, "eyeLookDown": 0.65, "eyeSquint": 0.25, "browDown": 0.15}
_ROUNDS = 4
_REST_SHARE = 1 / 3  # of the frames: those that show least are taken for the face at rest
_MIN_REST = 5
_LEAST_RANGE = 0.3  # of a coefficient between rest and 1
_TURN_RIDGE = 0.5  # radians², summed over frames: turns less than this teach nothing


@dataclass(frozen=True, kw_only=True)
class Displacements:
    """What a face shows beyond the person's face at rest."""

    turn: Float[np.ndarray, "frames 3 3"]  # from the head's axes to those of the picture
    landmarks: Float[np.ndarray, "frames 478 3"]  # head's axes, metres
    neutral: Float[np.ndarray, "478 3"]
    coefficients: Float[np.ndarray, "frames 52"]
    """Of the blend shape network: 0 at rest, 1 where it reads 1; may be negative."""
    rest_coefficients: Float[np.ndarray, "52"]  # what the network reads in the face at rest


def displacements(
    model: FaceModel,
    landmarks: Float[np.ndarray, "frames 478 3"],
    coefficients: Float[np.ndarray, "frames 52"],
) -> Displacements:
    """Return what each frame shows beyond the face at rest.

    Args:
        model: of the landmarks.
        landmarks: x, y in px, z away from the camera in the same unit; a dozen frames or more.
        coefficients: of the blend shape network.
    """
    aligned = align(landmarks, model.rest, model.stiffness)
    terms = turn_terms(aligned.turn)
    local = aligned.landmarks - np.einsum("ft,tpx->fpx", terms, model.turn_landmarks)
    numbers = coefficients - terms @ model.turn_coefficients
    count = min(max(_MIN_REST, round(_REST_SHARE * len(local))), len(local))
    # The network knows an open mouth from a closed one, whichever the clip shows more often.
    shown = numbers.sum(axis=1)
    activity = shown
    for _ in range(_ROUNDS):
        rest = np.argsort(activity, kind="stable")[:count]
        neutral = np.median(local[rest], axis=0)
        activity = shown + geometric_coefficients(model, local - neutral).sum(axis=1)
    own_landmarks = _own_turn(terms, (local - neutral).reshape(len(local), -1), rest)
    local = local - own_landmarks.reshape(local.shape)
    at_rest = np.median(numbers[rest], axis=0)
    numbers = numbers - _own_turn(terms, numbers - at_rest, rest)
    return Displacements(
        turn=aligned.turn,
        landmarks=local - neutral,
        neutral=neutral,
        coefficients=over_rest(numbers, at_rest),
        rest_coefficients=at_rest,
    )


def over_rest(
    coefficients: Float[np.ndarray, "frames 52"], at_rest: Float[np.ndarray, "52"]
) -> Float[np.ndarray, "frames 52"]:
    """Return coefficients that are 0 at rest, and 1 where the network reads 1."""
    return (coefficients - at_rest) / np.maximum(1 - at_rest, _LEAST_RANGE)


def typical_rest(names: tuple[str, ...]) -> Float[np.ndarray, "52"]:
    """Return what the blend shape network reads in most faces at rest."""
    at_rest = np.zeros(len(names))
    for name, value in _TYPICAL_REST.items():
        at_rest[[key.startswith(name) for key in names]] = value
    return at_rest


def over_typical_rest(
    model: FaceModel, coefficients: Float[np.ndarray, "frames 52"]
) -> Float[np.ndarray, "frames 52"]:
    """Return coefficients 0…1 of the network over those of an unknown person's face at rest.

    For pictures and glimpses, in which nothing tells a face at rest from an expression.
    """
    return over_rest(coefficients, typical_rest(model.names)).clip(0, 1)


def _own_turn(
    terms: Float[np.ndarray, "frames 5"],
    values: Float[np.ndarray, "frames values"],
    rest: np.ndarray,
) -> Float[np.ndarray, "frames values"]:
    """Return what of values follows yaw and pitch in the frames at rest, this person's own part."""
    angles = terms[:, :2] - terms[rest, :2].mean(axis=0)
    known = angles[rest]
    normal = known.T @ known + _TURN_RIDGE * np.eye(2)
    return angles @ np.linalg.solve(normal, known.T @ values[rest])
