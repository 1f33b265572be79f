"""Perception of a clip: the pretrained networks, the tracker and the linking behind one call."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ..video import Frame
from ..weights_file import WEIGHTS, record_loaded
from .blazepose import BlazePose
from .coco_detector import CocoNetwork
from .crop_detector import LandmarkNetwork
from .hands.detector import HandDetector
from .hands.network import HandNetwork
from .linking import Choose, FoundPeople, link_people
from .movenet import MoveNet
from .part_head import BlazePoseWithParts, PartHead
from .person_detector import PersonDetector
from .shots import ShotDetector
from .tracker import BoxDetector, Image, Tracker, TrackerConfig

MOST_REPEATED = 0.5  # share of a clip's frames that repeat others and are gaps; beyond, a still


class Perception:
    """Finds and follows the people of a clip, with a person detector and two keypoint networks."""

    tracker_class: type[Tracker] = Tracker

    def __init__(
        self,
        landmark_network: LandmarkNetwork,
        person_detector: BoxDetector,
        second_network: CocoNetwork,
        config: TrackerConfig | None = None,
        device: str = "cpu",
        hand_detector: HandDetector | None = None,
    ) -> None:
        self.hand_detector = hand_detector
        self.landmark_network, self.person_detector = landmark_network, person_detector
        self.second_network = second_network
        self.config = config or TrackerConfig()
        self.device = device
        self.part_weights: dict[str, str] = {}  # SHA-256 of the part head's file, once loaded

    @cached_property
    def network_with_parts(self) -> LandmarkNetwork:
        """The landmark network and the part head, which is loaded when first used."""
        with record_loaded() as self.part_weights:
            part_head = PartHead.load().to(self.device)
        return BlazePoseWithParts(self.landmark_network, part_head)

    @classmethod
    def open(
        cls,
        device: str = "auto",
        folder: Path = WEIGHTS / "perception",
        config: TrackerConfig | None = None,
    ) -> "Perception":
        """Load the networks.

        Args:
            device: "auto", "cpu" or "cuda".
            folder: the folder of networks.
            config: see TrackerConfig.

        Raises:
            BadInputError: a network is missing or damaged.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(
            BlazePose.open(folder, device),
            PersonDetector.open(folder, device),
            MoveNet.open(folder, device),
            config,
            device,
            HandDetector(HandNetwork.open(folder, device)),
        )

    def run(
        self,
        frames: Iterable[Frame],
        intrinsics: Float[np.ndarray, "3 3"],
        *,
        fps: float,
        max_people: int | None = None,
        parts: bool = False,
        hands: bool = False,
        report: Callable[[int], None] = lambda done: None,
        choose: Choose | None = None,
    ) -> FoundPeople:
        """Follow the people in a clip.

        A frame is released as soon as it is processed, except for the fraction of a second between
        two detections in the whole frame: newcomers are followed back to where they came in.

        Args:
            frames: of the clip, in order.
            intrinsics: of the full frame.
            fps: frames a second.
            max_people: number of people to keep, the most prominent ones; None keeps all.
            parts: whether to predict body parts, too.
            hands: whether to look for hands, too.
            report: called with the number of processed frames after each.
            choose: says who of the people found is kept, see `link_people`.

        Returns:
            Evidence of each person, the most prominent first; empty if nobody is in view.

        Raises:
            BadInputError: parts are requested, and their weights are missing or damaged.
        """
        tracker = self.tracker_class(
            self.network_with_parts if parts else self.landmark_network,
            self.person_detector,
            self.second_network,
            intrinsics,
            fps=fps,
            # Who is not chosen is followed, too: otherwise they would be found for somebody else.
            max_people=max_people if choose is None else None,
            config=self.config,
            hand_detector=self.hand_detector if hands else None,
        )
        shots, repeated = ShotDetector(fps=fps, config=self.config.shots), []
        frames = iter(frames)
        first_two = list(itertools.islice(frames, 2))
        if len(first_two) == 1:
            tracker.detect_single_image(first_two.pop().image)
            report(1)
        for image, next_image in _with_next(itertools.chain(_drain(first_two), frames)):
            kind = shots.add(image, next_image)
            if kind.repeated:
                repeated.append(tracker.num_frames)
            if kind.cut:
                tracker.begin_shot()
            if kind.empty:
                tracker.skip_frame(repeated=kind.repeated)
            else:
                tracker.track_frame(image, next_image)
            report(tracker.num_frames)
        still = len(repeated) > MOST_REPEATED * tracker.num_frames
        gaps = frozenset[int]() if still else frozenset(repeated)
        return link_people(
            [
                {p: detection for p, detection in track.detections.items() if p not in gaps}
                for track in (*tracker.ended, *tracker.live)
            ],
            intrinsics,
            fps=fps,
            num_frames=tracker.num_frames,
            max_people=max_people,
            config=self.config.link,
            shots=shots.shots(),
            choose=choose,
        )


def _with_next(frames: Iterator[Frame]) -> Iterator[tuple[Image, Image | None]]:
    """Yield each image and the one after it."""
    image = None
    for frame in frames:
        if image is not None:
            yield image, frame.image
        image = frame.image
    if image is not None:
        yield image, None


def _drain(frames: list[Frame]) -> Iterator[Frame]:
    """Yield the frames of a list and remove them from it, so that none stays in memory."""
    while frames:
        yield frames.pop(0)
