"""Eyes: everything pretrained behind one door; they watch a clip and follow the people in it."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ..video import Frame
from .blazepose import BlazePose
from .evidence import Evidence
from .linking import gather
from .parts import PartSight
from .people import PeopleDetector
from .pursuit import Detector, Picture, Pursuit, PursuitConfig
from .sightings import Pose

WEIGHTS = Path(__file__).parents[1] / "weights"


class Eyes:
    """Watches clips with two networks: one finds people, one sees a person's pose."""

    def __init__(
        self, pose: Pose, detector: Detector, config: PursuitConfig | None = None
    ) -> None:
        self.pose, self.detector, self.config = pose, detector, config or PursuitConfig()

    @classmethod
    def open(
        cls,
        device: str = "auto",
        folder: Path = WEIGHTS / "perception",
        config: PursuitConfig | None = None,
        *,
        parts: bool = False,
    ) -> "Eyes":
        """Load the networks to a device: "auto", "cpu" or "cuda"; `parts` are told only if asked for.

        Raises:
            BadInputError: a network is missing or damaged.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        pose = (PartSight if parts else BlazePose).open(folder, device)
        return cls(pose, PeopleDetector.open(folder, device), config)

    def watch(
        self,
        frames: Iterable[Frame],
        intrinsics: Float[np.ndarray, "3 3"],
        *,
        fps: float,
        max_people: int | None = None,
        report: Callable[[int], None] = lambda done: None,
    ) -> list[Evidence]:
        """Follow the people in a clip.

        Frames are let go as soon as they were seen, but for the fraction of a second between two
        looks at the whole frame: somebody new is followed back to where he came in.

        Args:
            frames: of the clip, in order.
            intrinsics: of the full frame.
            fps: frames a second.
            max_people: how many to keep, those who are seen most and largest; None keeps all.
            report: told how many frames are done.

        Returns:
            Evidence of each person, in order of appearance; none if nobody is in view.
        """
        pursuit = Pursuit(
            self.pose,
            self.detector,
            intrinsics,
            fps=fps,
            max_people=max_people,
            config=self.config,
        )
        frames = iter(frames)
        beginning = list(itertools.islice(frames, 2))
        if len(beginning) == 1:
            pursuit.study(beginning.pop().image)
            report(1)
        for image, following in _with_next(itertools.chain(_handed_out(beginning), frames)):
            pursuit.see(image, following)
            report(pursuit.num_frames)
        return gather(
            [track.sightings for track in (*pursuit.ended, *pursuit.live)],
            intrinsics,
            fps=fps,
            num_frames=pursuit.num_frames,
            max_people=max_people,
            config=self.config.link,
        )


def _with_next(frames: Iterator[Frame]) -> Iterator[tuple[Picture, Picture | None]]:
    """Each picture and the one after it."""
    image = None
    for frame in frames:
        if image is not None:
            yield image, frame.image
        image = frame.image
    if image is not None:
        yield image, None


def _handed_out(frames: list[Frame]) -> Iterator[Frame]:
    """The frames of a list, which keeps none of them."""
    while frames:
        yield frames.pop(0)
