"""Body proportions of adults: published tables, and body shapes fitted to them.

Sources (public): ANSUR II, the 2012 survey of 1,986 women and 4,082 men (Gordon et al. 2014,
NATICK/TR-15/007): stature, heights of the femur's epicondyle, of the malleolus and of the greater
trochanter, lengths from acromion to radiale and from radiale to stylion. Joint centers relative to
these landmarks: de Leva 1996 (J. Biomechanics 29) and Winter 2009 (Biomechanics and Motor Control
of Human Movement). Hip joints lie 7 thousandths of the stature above the trochanters, shoulder
joints 22 below the acromia.
"""

from dataclasses import dataclass

import numpy as np

from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """Mean of women and of men, and the standard deviation within a sex."""

    women: float
    men: float
    deviation: float

    def mean(self, gender: np.ndarray) -> np.ndarray:
        """Return the means of genders from 0 (man) to 1 (woman)."""
        return self.men + gender * (self.women - self.men)

    def by_rank(self, values: np.ndarray, gender: np.ndarray) -> np.ndarray:
        """Map values (N,) to this mean and deviation; within a sex each keeps its standard score.

        So values of one body stay related to each other as they were.
        """
        rest = values - np.polyval(np.polyfit(gender, values, 1), gender)
        return self.mean(gender) + self.deviation * (rest / rest.std())


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A limb segment from a joint to the next, and its length relative to the stature."""

    start: str
    end: str
    length: Statistic
    common: float  # correlation with the factor that all limb lengths share


STATURE = Statistic(women=1.6285, men=1.7562, deviation=0.067)  # metres
SEGMENTS = (
    Segment(
        start="Thigh",
        end="Calf",
        length=Statistic(women=0.244, men=0.239, deviation=0.0085),
        common=0.7,
    ),
    Segment(
        start="Calf",
        end="Ankle",
        length=Statistic(women=0.2365, men=0.2385, deviation=0.0075),
        common=0.7,
    ),
    Segment(
        start="Upperarm",
        end="Lowerarm",
        length=Statistic(women=0.158, men=0.159, deviation=0.0055),
        common=0.6,
    ),
    Segment(
        start="Lowerarm",
        end="Hand",
        length=Statistic(women=0.147, men=0.149, deviation=0.005),
        common=0.6,
    ),
)
LEG = SEGMENTS[:2]


def draw_segment_lengths(gender: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw lengths of the segments relative to the stature, (N, segments), by gender (N,)."""
    shared = rng.standard_normal(len(gender))
    lengths = []
    for segment in SEGMENTS:
        own = rng.standard_normal(len(gender))
        spread = segment.common * shared + np.sqrt(1 - segment.common**2) * own
        lengths.append(segment.length.mean(gender) + segment.length.deviation * spread)
    return np.stack(lengths, axis=1)


def fit_proportions(
    points: np.ndarray, weights: np.ndarray, gender: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Stretch limbs along themselves, and scale bodies, to drawn proportions.

    Limbs must be straight and vertices skinned as in the body file, so that the skin follows.

    Args:
        points: vertices, then joints, (N, V + 63, 3), metres; the pelvis at the origin.
        weights: skinning weights, (V, 63).
        gender: 0 (man) to 1 (woman), (N,).
        rng: source of the drawn proportions.

    Returns:
        The points of the fitted bodies.
    """
    shares = draw_segment_lengths(gender, rng)
    fitted = np.empty_like(points)
    for row, body in enumerate(points):
        fitted[row] = _stretch(body, weights, shares[row])
    statures = np.ptp(fitted[:, : len(weights), 1], axis=1)
    return fitted * (STATURE.by_rank(statures, gender) / statures)[:, None, None]


def _stretch(body: np.ndarray, weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Give the limb segments of a body (V + 63, 3) their shares of its new stature."""
    vertices, joints = body[: len(weights)], body[len(weights) :]
    axes = {
        segment.start: joints[JOINT_INDEX[f"{segment.end}L"]]
        - joints[JOINT_INDEX[f"{segment.start}L"]]
        for segment in SEGMENTS
    }
    # The legs are part of the stature that their lengths are relative to.
    drop = {segment.start: -axes[segment.start][1] for segment in LEG}
    cosine = sum(drop.values()) / sum(np.linalg.norm(axes[segment.start]) for segment in LEG)
    rest = np.ptp(vertices[:, 1]) - sum(drop.values())
    stature = rest / (1 - cosine * shares[: len(LEG)].sum())
    stretches = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    for segment, share in zip(SEGMENTS, shares, strict=True):
        for side in "LR":
            start = JOINT_INDEX[f"{segment.start}{side}"]
            axis = joints[JOINT_INDEX[f"{segment.end}{side}"]] - joints[start]
            length = np.linalg.norm(axis)
            direction = axis / length
            stretches[start] += (share * stature / length - 1) * np.outer(direction, direction)
    moved = joints.copy()
    for joint, parent in enumerate(PARENTS[1:], start=1):
        moved[joint] = moved[parent] + stretches[parent] @ (joints[joint] - joints[parent])
    shifts = moved - np.einsum("jxy,jy->jx", stretches, joints)
    blended = (weights @ stretches.reshape(-1, 9)).reshape(-1, 3, 3)
    skin = np.einsum("vxy,vy->vx", blended, vertices) + weights @ shifts
    return np.concatenate([skin, moved])
