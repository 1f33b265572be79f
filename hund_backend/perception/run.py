"""Eyes: everything pretrained behind one door; they watch a clip and follow the people in it."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from hund_backend.perception.blazepose import BlazePose
from hund_backend.perception.crop_detector import Pose
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.linking import gather
from hund_backend.perception.part_head import PartHead, PartSight
from hund_backend.perception.person_detector import PeopleDetector
from hund_backend.perception.tracker import Detector, Picture, Pursuit, PursuitConfig
from hund_backend.video import Frame

WEIGHTS = Path(__file__).parents[1] / "weights"


class Eyes:
    """Watches clips with two networks: one finds people, one sees a person's pose."""

    def __init__(
        self,
        pose: Pose,
        detector: Detector,
        config: PursuitConfig | None = None,
        device: str = "cpu",
    ) -> None:
        self.pose, self.detector, self.config = pose, detector, config or PursuitConfig()
        self.device = device

    @cached_property
    def part_sight(self) -> Pose:
        """The pose network, telling parts as well; the head is loaded when it is first asked for."""
        return PartSight(self.pose, PartHead.load().to(self.device))

    @classmethod
    def open(
        cls,
        device: str = "auto",
        folder: Path = WEIGHTS / "perception",
        config: PursuitConfig | None = None,
    ) -> "Eyes":
        """Load the networks to a device: "auto", "cpu" or "cuda".

        Raises:
            BadInputError: a network is missing or damaged.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        pose = BlazePose.open(folder, device)
        return cls(pose, PeopleDetector.open(folder, device), config, device)

    def watch(
        self,
        frames: Iterable[Frame],
        intrinsics: Float[np.ndarray, "3 3"],
        *,
        fps: float,
        max_people: int | None = None,
        parts: bool = False,
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
            parts: whether to tell body parts, too.
            report: told how many frames are done.

        Returns:
            Evidence of each person, in order of appearance; none if nobody is in view.

        Raises:
            BadInputError: parts are asked for, and their weights are missing or damaged.
        """
        pursuit = Pursuit(
            self.part_sight if parts else self.pose,
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
