"""Main performer: the person whom a clip is about."""

import numpy as np
from jaxtyping import Bool, Float

STOREY = 0.7  # metres: a floor lower by more is another one, not an error of depth
EQUAL_SHARE = 0.5  # of the main performer's prominence that makes somebody one of them


def main_performer(prominence: Float[np.ndarray, " people"]) -> int:
    """Return the index of the most prominent person, of equal ones the first."""
    return int(np.argmax(prominence))


def clip_floor(floors: tuple[float, ...], prominence: Float[np.ndarray, " people"]) -> float:
    """Return the height of the clip's floor, metres: the main performer's.

    If others perform, too, and stand a storey lower, it is theirs: the main performer is on a roof,
    a stage or a table.

    Args:
        floors: height of the floor under each person, metres.
        prominence: of each person.
    """
    main = floors[main_performer(prominence)]
    performs = prominence >= EQUAL_SHARE * prominence.max()
    lower = [f for f, is_performer in zip(floors, performs, strict=True) if is_performer]
    return min([main, *(floor for floor in lower if floor < main - STOREY)])


def prominences(
    keypoints: list[Float[np.ndarray, "frames keypoints 3"]],
    present: list[Bool[np.ndarray, " frames"]],
) -> Float[np.ndarray, " people"]:
    """Return presence × size × confidence of each person.

    Summed over the frames: mean confidence of the keypoints times the diagonal of their bounding
    box.

    Args:
        keypoints: of each person, px and confidence.
        present: frames in which the person is in view.
    """
    return np.array([_prominence(k[p]) for k, p in zip(keypoints, present, strict=True)])


def _prominence(keypoints: Float[np.ndarray, "frames keypoints 3"]) -> float:
    sizes = np.linalg.norm(np.ptp(keypoints[..., :2], axis=1), axis=-1)
    return float((keypoints[..., 2].mean(axis=1) * sizes).sum())
