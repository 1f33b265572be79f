"""What a user can choose for a clip."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which frames and people, through which lens."""

    people: int | None = None  # follow so many at a time, the largest; None follows all
    start: int | None = None  # first frame, by its number in the source
    end: int | None = None  # last frame
    stride: int = 1  # look at every so many-th frame
    method: Literal["hund", "fit"] = "hund"  # learned descent, or the gradients' alone
    polish: bool = True  # let gradients end what the learned descent began
    parts: bool = False  # see body parts, too, and let the person's outline tell the build
    adapt: float | None = None  # seconds for which the learned descent learns from the clip itself
    focal: float | None = None  # px of the full frame
    fov: float | None = None  # horizontal, degrees
    intrinsics: tuple[tuple[float, ...], ...] | None = None  # 3 × 3, px; overrules both
    distortion: tuple[float, ...] = ()  # k1 k2 p1 p2 [k3], as in OpenCV
