"""Timing: times of frames, nominal rates and speeds, from time stamps."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

DEFAULT_FPS = 30.0  # of image sequences, and of videos without a valid rate
FPS_LIMITS = (0.1, 1000.0)  # a rate outside is an error of the header
STANDARD_FPS = tuple(
    Fraction(rate) if whole else Fraction(rate * 1000, 1001)
    for rate in (24, 25, 30, 48, 50, 60, 100, 120, 200, 240)
    for whole in (True, False)
)
HEADER_TOLERANCE = 0.03  # relative difference of rates, from which a header is not trusted
STANDARD_TOLERANCE = 0.015  # relative difference from a standard rate that stamps are rounded to
STALLED_STEP = 0.25  # frames between two frames of the same time stamp
RESTART_FRAMES = 5  # by which stamps jump back where they start anew, as in files that were joined
SLOWED = 1.2  # rate of the camera by that of the file, from which the file plays slowed down
_CAPTURE_RATE = "com.android.capture.fps"


class Clock:
    """Times of a video's frames, in seconds from its first frame; they ascend."""

    def __init__(self, fps: float, speed: float) -> None:
        """Start a clip's clock.

        Args:
            fps: nominal rate of the file, where a frame has no stamp.
            speed: divides the file's times.
        """
        self.step, self._speed = 1 / fps, speed
        self._first: float | None = None  # stamp of time 0
        self._stamp = 0.0  # of the last frame that had one
        self.last = 0.0  # of the file's seconds, at the last frame

    def time(self, stamp: float | None) -> float:
        """Return the time of the next frame by its stamp in the file, seconds or None."""
        if self._first is None:
            self._first = self._stamp = stamp or 0.0
            return 0.0
        if stamp is None:
            self.last += self.step
            return self.last / self._speed
        if stamp < self._stamp - RESTART_FRAMES * self.step:
            self._first = stamp - self.last - self.step
        if stamp - self._first > self.last:
            self.last = stamp - self._first
        else:  # twice the same stamp, or an earlier one
            self.last += STALLED_STEP * self.step
        self._stamp = stamp
        return self.last / self._speed


def nominal_fps(stamps: Sequence[float], header: float | None, *, is_indexed: bool) -> float:
    """Return the nominal rate of a video, frames per second.

    Args:
        stamps: seconds, of the first frames in any order.
        header: average rate that the file states.
        is_indexed: the header's rate is that of an index of all frames.
    """
    is_valid = header is not None and FPS_LIMITS[0] <= header <= FPS_LIMITS[1]
    times = np.unique(np.array(stamps, np.float64))
    if len(times) < 3 or (is_indexed and is_valid):
        return float(header) if is_valid else DEFAULT_FPS
    measured = (len(times) - 1) / (times[-1] - times[0])
    usual = 1 / np.median(np.diff(times))  # of files in which frames are missing
    if is_valid and min(abs(header / rate - 1) for rate in (measured, usual)) < HEADER_TOLERANCE:
        return float(header)
    nearest = min(STANDARD_FPS, key=lambda rate: abs(float(rate) / measured - 1))
    is_standard = abs(float(nearest) / measured - 1) < STANDARD_TOLERANCE
    return float(nearest) if is_standard else float(np.clip(measured, *FPS_LIMITS))


def playback_speed(metadata: Mapping[str, str], fps: float) -> float:
    """Return how many times slower than life a file plays, by what its camera wrote into it.

    Args:
        metadata: of the file.
        fps: nominal rate of the file.
    """
    try:
        captured = float(metadata.get(_CAPTURE_RATE, ""))
    except ValueError:
        return 1.0
    is_slowed = FPS_LIMITS[0] <= captured <= 10 * FPS_LIMITS[1] and captured / fps >= SLOWED
    return captured / fps if is_slowed else 1.0
