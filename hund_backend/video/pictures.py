"""Pictures as a clip: an image sequence, or one image."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import BadInputError
from ..image_file import over_gray, read_image
from ..lens_metadata import exif_orientation
from ..sources import picture_numbers
from .frame import Footage, Frame, Source
from .timing import DEFAULT_FPS


class Pictures(Source):
    """A sequence of images, or one image."""

    fps = DEFAULT_FPS

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path = path
        self._files = files
        self._numbers = picture_numbers(files)
        self.num_frames = len(files)
        self.last_number = self._numbers[-1]
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.footage = Footage(fps=DEFAULT_FPS, orientation=exif_orientation(files[0]))

    def frames(self, start: int) -> Iterator[Frame]:
        """Yield frames from `start` on; unreadable images of a sequence are skipped."""
        for number, path in zip(self._numbers, self._files, strict=True):
            if number < start:
                continue
            try:
                image = read_image(path)
            except BadInputError:
                if len(self._files) == 1:
                    raise
                continue
            yield Frame(number=number, time=number / self.fps, image=image)

    def expected(self, start: int, end: int | None) -> int:
        """Return the number of pictures in a range."""
        return sum(start <= n and (end is None or n <= end) for n in self._numbers)

    def close(self) -> None:
        """Do nothing: no file stays open."""


class AnimatedPicture(Source):
    """An animation that only OpenCV reads: WebP; it is decoded as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # By content, not by name: on Windows, OpenCV opens only names of the system's code page.
        content = np.frombuffer(path.read_bytes(), np.uint8)
        is_read, animation = cv2.imdecodeanimation(content)
        if not is_read or not len(animation.frames):
            raise BadInputError(f"{path.name} is damaged: export the animation again.")
        self._images = animation.frames
        seconds = [max(int(duration), 1) / 1000 for duration in animation.durations]
        self._times = [float(sum(seconds[:index])) for index in range(len(seconds))]
        self.num_frames = len(self._images)
        self.last_number = self.num_frames - 1
        self.fps = self.num_frames / sum(seconds)
        self.footage = Footage(fps=self.fps)
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def frames(self, start: int) -> Iterator[Frame]:
        """Yield frames from `start` on."""
        for number in range(start, self.num_frames):
            image = self._images[number]
            if image.ndim == 3 and image.shape[2] == 4:
                image = over_gray(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA))
            else:
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            yield Frame(number=number, time=self._times[number], image=image)

    def expected(self, start: int, end: int | None) -> int:
        """Return the number of frames in a range."""
        return max(0, min(self.num_frames, self.num_frames if end is None else end + 1) - start)

    def close(self) -> None:
        """Do nothing: the file is closed already."""
