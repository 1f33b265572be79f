"""Shots: where a clip cuts from one view to another, and frames that show nothing new.

Consecutive frames are compared as small pictures (64 px wide), by correlation after the best small
shift, so that pans and shakes count little, and by histograms. A cut is a difference far above
those of the frames around it, after which the pictures stay different: a flash is none.
"""

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

WIDTH_PX = 64  # of the compared pictures
BINS = 8  # of a channel's histogram
MAX_SHIFTS = (8, 4)  # px, horizontally and vertically, in steps of 2


@dataclass(frozen=True, kw_only=True)
class ShotConfig:
    """Thresholds of cuts, fades and frames without news."""

    min_difference: float = 0.3  # of two frames with a cut between them, 0…1
    min_ratio: float = 2.5  # of that to the largest of the frames before
    memory: int = 8  # frames before, to compare with
    same_view: float = 0.6  # of a cut's difference: frames that differ less show the same view
    flash_seconds: float = 0.4  # after which a view that returns is another shot
    blend_seconds: float = 0.6  # length of a dissolve that is still found
    blend_error: float = 0.3  # of its middle from the mean of its ends, over their difference
    blank_contrast: float = 3.0  # standard deviation of gray levels of a black or white frame


@dataclass(frozen=True, kw_only=True)
class FrameView:
    """Small picture of a frame."""

    pixels: Float32[np.ndarray, "rows columns 3"]
    histogram: Float[np.ndarray, " bins"]
    sample: UInt8[np.ndarray, "_ _ 3"]  # every few pixels of the frame, as they are
    blank: bool  # of one color, nearly black or white


@dataclass(frozen=True, kw_only=True)
class FrameKind:
    """What is new in a frame."""

    cut: bool = False  # the first of a shot
    blank: bool = False  # black or white
    repeated: bool = False  # the same as the frame before

    @property
    def empty(self) -> bool:
        """Whether nobody needs to be looked for."""
        return self.blank or self.repeated


@dataclass
class ShotDetector:
    """Finds cuts while the frames pass, and the shots once they have passed."""

    fps: float
    config: ShotConfig = field(default_factory=ShotConfig)

    def __post_init__(self) -> None:
        self._num_frames = 0
        self._views: deque[FrameView] = deque(maxlen=max(3, self._span + 1))
        self._differences: deque[float] = deque(maxlen=self.config.memory)
        self._next: tuple[object, FrameView] | None = None  # a view that is already known
        self._last_seen: FrameView | None = None  # the last view that was not blank
        self._cuts: list[tuple[int, FrameView, FrameView]] = []  # with the views on both sides
        self._last_blend = -self._span

    @property
    def _span(self) -> int:
        return max(4, round(self.config.blend_seconds * self.fps))

    def add(
        self, image: UInt8[np.ndarray, "_ _ 3"], next_image: UInt8[np.ndarray, "_ _ 3"] | None
    ) -> FrameKind:
        """Look at the next frame and return what is new in it.

        Args:
            image: the frame, RGB.
            next_image: the frame after it, None after the last.
        """
        known = self._next is not None and self._next[0] is image
        view = self._next[1] if known and self._next else view_of(image)
        following = None if next_image is None else view_of(next_image)
        self._next = None if following is None else (next_image, following)
        kind = self._kind(view, following)
        self._views.append(view)
        if not view.blank:
            self._last_seen = view
        self._num_frames += 1
        return kind

    def shots(self) -> tuple[int, ...]:
        """Return the positions at which shots begin; flashes and glitches are left out."""
        cuts = sorted(self._cuts, key=lambda cut: cut[0])
        kept: list[tuple[int, FrameView, FrameView]] = []
        for cut in cuts:
            last = kept[-1] if kept else None
            if (
                last is not None
                and cut[0] - last[0] <= self.config.flash_seconds * self.fps
                and difference(last[1], cut[2]) < self.config.min_difference
            ):
                kept.pop()  # the view is back: a flash
            elif last is None or cut[0] > last[0]:
                kept.append(cut)
        return (0, *(cut[0] for cut in kept if cut[0] > 0))

    def _kind(self, view: FrameView, following: FrameView | None) -> FrameKind:
        before = self._views[-1] if self._views else None
        if before is None:
            return FrameKind(blank=view.blank)
        if np.array_equal(before.sample, view.sample):
            return FrameKind(blank=view.blank, repeated=True)
        if view.blank:
            return FrameKind(blank=True)
        if before.blank:
            if self._last_seen is None:
                return FrameKind()
            return self._after_blank(self._last_seen, view)
        step = difference(before, view)
        usual = max(self._differences, default=0.0)
        self._differences.append(step)
        if step > self.config.min_difference and step > self.config.min_ratio * usual:
            stays = (
                following is None
                or following.blank
                or (difference(before, following) > self.config.same_view * step)
            )
            if stays:
                self._cuts.append((self._num_frames, before, view))
                self._differences.clear()
                self._last_blend = self._num_frames
                return FrameKind(cut=True)
        self._look_for_blend(view)
        return FrameKind()

    def _after_blank(self, last: FrameView, view: FrameView) -> FrameKind:
        """Return whether a shot begins after black or white frames."""
        cut = difference(last, view, exposure=False) > self.config.min_difference
        if cut:
            self._cuts.append((self._num_frames, last, view))
            self._last_blend = self._num_frames
        self._differences.clear()
        return FrameKind(cut=cut)

    def _look_for_blend(self, view: FrameView) -> None:
        """Find a dissolve: its middle is the mean of its ends, which show different views."""
        length = self._span
        if self._num_frames - self._last_blend < length or len(self._views) < length:
            return
        start, middle = self._views[-length], self._views[-(length // 2)]
        ends = np.abs(start.pixels - view.pixels).mean()
        error = np.abs(middle.pixels - 0.5 * (start.pixels + view.pixels)).mean()
        if error < self.config.blend_error * ends and (
            difference(start, view, exposure=False) > self.config.min_difference
        ):
            self._cuts.append((self._num_frames - length // 2, start, view))
            self._last_blend = self._num_frames


def view_of(image: UInt8[np.ndarray, "_ _ 3"]) -> FrameView:
    """Return the small picture of a frame."""
    step = max(1, image.shape[1] // (4 * WIDTH_PX))
    sample = image[::step, ::step].copy()
    rows = max(8, round(WIDTH_PX * image.shape[0] / image.shape[1]))
    small = cv2.resize(sample, (WIDTH_PX, rows), interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    counts = [np.bincount(hsv[..., c].ravel() // (256 // BINS), minlength=BINS) for c in range(3)]
    gray = small.mean(axis=-1)
    extreme = gray.mean() < 16 or gray.mean() > 240
    return FrameView(
        pixels=small.astype(np.float32) / np.float32(255),
        histogram=np.concatenate(counts) / (3.0 * small[..., 0].size),
        sample=sample,
        blank=bool(extreme and gray.std() < ShotConfig.blank_contrast),
    )


def difference(view: FrameView, other: FrameView, *, exposure: bool = True) -> float:
    """Return how different two frames are, from 0 to 1.

    Args:
        view: a frame.
        other: another frame.
        exposure: whether brightness and colors count, by their histograms.
    """
    correlation = _best_correlation(_normalized(view), _normalized(other))
    if not exposure:
        return 1 - correlation
    histograms = 0.5 * np.abs(view.histogram - other.histogram).sum()
    return float(0.5 * (1 - correlation) + 0.5 * histograms)


def _normalized(view: FrameView) -> Float32[np.ndarray, "rows columns 3"]:
    pixels = view.pixels - view.pixels.mean(axis=(0, 1))
    return pixels / np.maximum(np.sqrt(np.square(pixels).mean()), np.float32(1e-3))


def _best_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two pictures at the best of some shifts, 0…1."""
    rows, columns = one.shape[:2]
    across, down = MAX_SHIFTS
    middle = np.ascontiguousarray(one[down : rows - down, across : columns - across])
    correlations = cv2.matchTemplate(other, middle, cv2.TM_CCOEFF_NORMED)
    return float(np.clip(correlations.max(), 0, 1))
