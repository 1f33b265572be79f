"""Hand detector: both hands of the people in a frame, from crops at their wrists."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from ..crops import (
    camera_from_crop,
    crop_distance,
    extract_crops,
    image_from_crop,
    transform_points,
)
from .confidence import hand_confidence, log_odds, point_confidence
from .crops import (
    HAND_LENGTH,
    HAND_WRIST,
    WRIST,
    crop_around_hand,
    crops_from_body,
    hand_size,
    paint_over,
    pixels_per_metre,
)
from .evidence import SIDES
from .network import HAND_CROP_PX, HandOutput

Image = UInt8[np.ndarray, "_ _ 3"]


@runtime_checkable
class HandLandmarkNetwork(Protocol):
    """A landmark network for hands, as HandNetwork."""

    def predict(self, images: UInt8[np.ndarray, "crops 224 224 3"]) -> HandOutput:
        """Predict the hand in each crop (RGB)."""


@dataclass(frozen=True, kw_only=True)
class HandDetectorConfig:
    """Thresholds of the hand detector; docs/log/hands.md has what those of a hand were set by."""

    min_length: float = 16.0  # px of a hand that is looked for
    max_outside: float = 0.25  # lengths of the hand from the frame to the middle of its crop
    min_confidence: float = 0.25  # of a hand that is kept
    min_presence: float = 0.05  # of the same: the network's own
    good_confidence: float = 0.6  # below which other crops are tried
    off_center: float = 0.12  # distance in sides to the hand's own crop, which is then tried
    followed_off_center: float = 0.3  # the same of a good hand that is followed
    patience: int = 8  # frames in which a hand that is lost is looked for at once
    search_wait: int = 5  # frames between two searches for a hand that stays doubtful or away
    damping: float = 0.5  # share of smaller distances that the next crop follows
    same_distance: float = 0.3  # mean distance of the points of one hand, in its lengths
    same_hand_distance: float = 0.12  # the same where the network sees a left and a right hand
    near_wrists: float = 0.8  # lengths: a hand that is nearer to the other may be covered by it
    min_covered_presence: float = 0.25  # of a hand behind the other
    covered_share: float = 0.8  # of its confidence that a hand behind the other keeps


@dataclass(frozen=True, kw_only=True)
class HandDetection:
    """One hand in one frame."""

    side: int  # 0 left, 1 right
    crop: Float[np.ndarray, "4"]  # see crops.py of perception
    points: Float[np.ndarray, "21 2"]  # px of the frame
    landmarks: Float[np.ndarray, "21 3"]  # as the network has them; metres, axes of the camera
    depth_axis: Float[np.ndarray, "3"]  # of the crop, in the camera
    presence: float  # the network's probability of a hand in the crop
    right: float  # the network's probability that it is a right hand
    length: float  # px of a hand of this person
    body_wrist: Float[np.ndarray, "2"]  # the body's keypoint, px
    other_wrists: Float[np.ndarray, "wrists 2"]  # of the other hand and of other people, px
    features: Float[np.ndarray, "192"]
    share: float = 1.0  # of the confidence, which is less for a hand behind another
    unsearched: int = 0  # frames since it was looked for where the body has it

    @property
    def agreement(self) -> float:
        """The network's probability of this side."""
        return self.right if self.side else 1 - self.right

    @property
    def world_landmarks(self) -> Float[np.ndarray, "21 3"]:
        """Landmarks in metres from the hand's center, axes of the camera.

        Where the network takes the hand for one of the other side, it sees its depth reversed: a
        left hand from the back looks like a right one from the palm.
        """
        if self.agreement >= 0.5:
            return self.landmarks
        depth = self.landmarks @ self.depth_axis
        return self.landmarks - 2 * depth[:, None] * self.depth_axis

    @property
    def inputs(self) -> Float[np.ndarray, "4"]:
        """Inputs of the confidence."""
        wrist = self.points[HAND_WRIST]
        distance = float(np.linalg.norm(wrist - self.body_wrist))
        nearest = np.linalg.norm(wrist - self.other_wrists, axis=-1).min(initial=np.inf)
        return log_odds(
            self.presence,
            self.agreement,
            (distance + max(distance - float(nearest), 0.0)) / self.length,
            hand_size(self.points) / self.length,
        )

    @cached_property
    def confidence(self) -> float:
        """Probability that this is the hand that was looked for, and its points are right."""
        return self.share * hand_confidence(self.inputs)

    @property
    def point_confidence(self) -> Float[np.ndarray, "21"]:
        """Probability that each point is right."""
        return self.share * point_confidence(self.inputs)


HandPair = tuple[HandDetection | None, HandDetection | None]  # left and right
NO_HANDS: HandPair = (None, None)


def swap_hands(hands: HandPair) -> HandPair:
    """Return the hands of a person whose arms were detected with left and right swapped."""
    swapped = (None if hand is None else replace(hand, side=1 - hand.side) for hand in hands)
    right, left = swapped
    return left, right


@dataclass(frozen=True, kw_only=True)
class HandRequest:
    """Person whose hands are looked for."""

    points: Float[np.ndarray, "points 2"]  # BlazePose's keypoints, px of the frame
    hand_length: float  # px of a hand of this person
    previous: HandPair = NO_HANDS  # in the frame before
    missed: tuple[int, int] = (0, 0)  # frames in a row before this in which each was not found

    @classmethod
    def of_body(
        cls,
        points: Float[np.ndarray, "33 2"],
        world_landmarks: Float[np.ndarray, "33 3"],
        confidence: Float[np.ndarray, "33"],
        previous: HandPair | None = None,
        missed: tuple[int, int] = (0, 0),
    ) -> "HandRequest":
        """Return the request for a person whose body was detected.

        Args:
            points: BlazePose's keypoints, px of the frame.
            world_landmarks: metres, axes of the camera.
            confidence: of the keypoints.
            previous: hands of that person in the frame before (after, when a person is followed
                back in time); None: unknown.
            missed: frames in a row before this in which each hand was not found.
        """
        scale = pixels_per_metre(points, world_landmarks, confidence)
        return cls(
            points=points,
            hand_length=HAND_LENGTH * scale,
            previous=previous or NO_HANDS,
            missed=missed,
        )


@dataclass(eq=False)
class _Search:
    """The search for one hand."""

    person: int
    side: int
    request: HandRequest
    other_wrists: Float[np.ndarray, "wrists 2"]
    share: float = 1.0  # of the confidence of what is found
    found: list[HandDetection] = field(default_factory=list)
    tried_body: bool = False  # whether the body's crops were tried
    is_covered: bool = False  # whether the person's other hand, before it, is painted over

    @property
    def best(self) -> HandDetection:
        return max(self.found, key=lambda detection: detection.confidence)

    @property
    def body_wrist(self) -> Float[np.ndarray, "2"]:
        return self.request.points[WRIST[self.side]]

    @property
    def unsearched(self) -> int:
        """Frames since the body's crops were tried."""
        previous = self.request.previous[self.side]
        return 0 if self.tried_body or previous is None else previous.unsearched + 1

    def is_good(self, config: HandDetectorConfig) -> bool:
        """Return whether what was found is sure."""
        return bool(self.found) and self.best.confidence >= config.good_confidence

    def rests(self, config: HandDetectorConfig) -> bool:
        """Return whether the hand was looked for in vain shortly before.

        A hand that is away or doubtful mostly stays so; one that was just lost is looked for.
        """
        if self.is_covered:
            return False  # hands pass behind each other: what is seen of them changes
        previous = self.request.previous[self.side]
        if previous is None:
            missed = self.request.missed[self.side]
            return missed >= config.patience and missed % config.search_wait > 0
        return (
            previous.confidence < config.good_confidence
            and previous.unsearched + 1 < config.search_wait
            and bool(self.found)
            and self.best.confidence >= config.min_confidence
            and self.best.presence >= config.min_presence
        )

    def followed_crop(self, config: HandDetectorConfig) -> Float[np.ndarray, "4"] | None:
        """Return the crop of the hand in the frame before, moved with the wrist."""
        previous = self.request.previous[self.side]
        if previous is None:
            return None
        own, crop = crop_around_hand(previous.points), previous.crop
        if crop_distance(own, crop) < config.off_center:
            own = _between(crop, own, config.damping)
        shift = self.body_wrist - previous.body_wrist
        return own + np.array((*shift, 0, 0))


class HandDetector:
    """Detector of the hands of people; the crops of all hands form one batch."""

    def __init__(
        self, network: HandLandmarkNetwork, config: HandDetectorConfig | None = None
    ) -> None:
        self.network, self.config = network, config or HandDetectorConfig()

    def detect(
        self,
        image: Image,
        people: Sequence[HandRequest],
        intrinsics: Float[np.ndarray, "3 3"],
    ) -> list[HandPair]:
        """Detect both hands of each person; a hand that is not found is None.

        Args:
            image: the frame, RGB.
            people: whose hands are looked for.
            intrinsics: of the frame.
        """
        wrists = np.concatenate(
            [request.points[list(WRIST)] for request in people] or [np.zeros((0, 2))]
        )
        searches = [
            _Search(person, side, request, np.delete(wrists, len(SIDES) * person + side, axis=0))
            for person, request in enumerate(people)
            for side in range(len(SIDES))
            if self._is_in_view(request, side, image)
        ]
        self._search(image, searches, intrinsics)
        hands = self._choose(searches, len(people))
        # What was found for a hand may be the other one, so that the body's crops were not tried.
        missing = [
            search
            for search in searches
            if hands[search.person][search.side] is None
            and not search.tried_body
            and not search.rests(self.config)
        ]
        if missing:
            self._attempt(image, self._crops_of_body(missing), intrinsics)
            hands = self._choose(searches, len(people))
        return self._add_covered(image, searches, hands, intrinsics)

    def _search(
        self, image: Image, searches: list[_Search], intrinsics: Float[np.ndarray, "3 3"]
    ) -> None:
        """Look for hands where they were, doubtful ones where the body has them, then around."""
        config = self.config
        followed = [(search, search.followed_crop(config)) for search in searches]
        followed = [(search, crop) for search, crop in followed if crop is not None]
        self._attempt(image, followed, intrinsics)
        good = {id(search) for search in searches if search.is_good(config)}
        doubtful = [s for s in searches if id(s) not in good and not s.rests(config)]
        self._attempt(image, self._crops_of_body(doubtful), intrinsics)
        shifted = []
        for search in searches:
            if not search.found:
                continue
            own = crop_around_hand(search.best.points)
            is_followed = id(search) in good
            limit = config.followed_off_center if is_followed else config.off_center
            if crop_distance(own, search.best.crop) > limit:
                shifted.append((search, own))
        self._attempt(image, shifted, intrinsics)

    def _crops_of_body(
        self, searches: list[_Search]
    ) -> list[tuple[_Search, Float[np.ndarray, "4"]]]:
        """Return crops where the body has the hands."""
        crops = []
        for search in searches:
            search.tried_body = True
            request = search.request
            own = crops_from_body(request.points, search.side, request.hand_length)
            crops += [(search, crop) for crop in own]
        return crops

    def _add_covered(
        self,
        image: Image,
        searches: list[_Search],
        hands: list[HandPair],
        intrinsics: Float[np.ndarray, "3 3"],
    ) -> list[HandPair]:
        """Return the hands with those that lie behind the person's other one.

        The network sees one hand in a crop, the one in front. So that one is painted over.
        """
        config = self.config
        for search in searches:
            other = hands[search.person][1 - search.side]
            if hands[search.person][search.side] is not None or other is None:
                continue
            apart = float(np.linalg.norm(search.body_wrist - other.points[HAND_WRIST]))
            if apart > config.near_wrists * other.length:
                continue
            again = replace(search, share=config.covered_share, found=[], is_covered=True)
            self._search(paint_over(image, other.points), [again], intrinsics)
            taken = [h for pair in hands for h in pair if h is not None and h is not other]
            own = [
                found
                for found in again.found
                if self._is_own(found) and not any(self._is_same(found, hand) for hand in taken)
            ]
            if own:
                pair = list(hands[search.person])
                pair[search.side] = max(own, key=lambda found: found.confidence)
                hands[search.person] = (pair[0], pair[1])
        return hands

    def _is_own(self, found: HandDetection) -> bool:
        """Return whether a detection is sure enough, and of the side that was looked for."""
        config = self.config
        return (
            found.confidence >= config.min_confidence
            and found.presence >= config.min_covered_presence
            and (found.right > 0.5) == (found.side == 1)
        )

    def _is_in_view(self, request: HandRequest, side: int, image: Image) -> bool:
        """Return whether a hand is large enough and its middle inside the frame."""
        length = request.hand_length
        if length < self.config.min_length:
            return False
        center = crops_from_body(request.points, side, length)[0, :2]
        slack = self.config.max_outside * length
        return bool(((center >= -slack) & (center <= np.array(image.shape[1::-1]) + slack)).all())

    def _attempt(
        self,
        image: Image,
        attempts: list[tuple[_Search, Float[np.ndarray, "4"]]],
        intrinsics: Float[np.ndarray, "3 3"],
    ) -> None:
        """Add what the network finds in each crop to its search."""
        if not attempts:
            return
        crops = np.stack([crop for _, crop in attempts])
        output = self.network.predict(extract_crops(image, crops, HAND_CROP_PX))
        points = transform_points(
            output.keypoints.astype(float), image_from_crop(crops, HAND_CROP_PX)
        )
        rotations = camera_from_crop(crops, intrinsics).swapaxes(1, 2)
        landmarks = output.world_landmarks.astype(float) @ rotations
        for index, (search, crop) in enumerate(attempts):
            search.found.append(
                HandDetection(
                    side=search.side,
                    crop=crop,
                    points=points[index],
                    landmarks=landmarks[index],
                    depth_axis=rotations[index, 2],
                    presence=float(output.presence[index]),
                    right=float(output.right[index]),
                    length=search.request.hand_length,
                    body_wrist=search.body_wrist,
                    other_wrists=search.other_wrists,
                    features=output.features[index],
                    share=search.share,
                    unsearched=search.unsearched,
                )
            )

    def _choose(self, searches: list[_Search], num_people: int) -> list[HandPair]:
        """Return the hands of each person, the surest first; no hand is taken twice."""
        chosen: dict[tuple[int, int], HandDetection] = {}
        candidates = [(search, found) for search in searches for found in search.found]
        candidates.sort(key=lambda pair: -pair[1].confidence)
        for search, found in candidates:
            if found.confidence < self.config.min_confidence:
                break
            if found.presence < self.config.min_presence:
                continue
            key = (search.person, search.side)
            if key in chosen or any(self._is_same(found, other) for other in chosen.values()):
                continue
            chosen[key] = found
        return [(chosen.get((p, 0)), chosen.get((p, 1))) for p in range(num_people)]

    def _is_same(self, one: HandDetection, other: HandDetection) -> bool:
        """Return whether two detections show the same hand."""
        length = min(one.length, other.length)
        distance = float(np.linalg.norm(one.points - other.points, axis=-1).mean()) / length
        opposite = (one.right > 0.5) != (other.right > 0.5)
        config = self.config
        return distance < (config.same_hand_distance if opposite else config.same_distance)


def _between(
    crop: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"], share: float
) -> Float[np.ndarray, "4"]:
    """Return a crop between two, its center that of the second."""
    rotation = (other[3] - crop[3] + np.pi) % (2 * np.pi) - np.pi
    side = crop[2] * (other[2] / crop[2]) ** share
    return np.array([other[0], other[1], side, crop[3] + share * rotation])
