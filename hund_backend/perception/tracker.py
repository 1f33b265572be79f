"""Multi-person tracker: follows the people of a clip from frame to frame."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import linear_sum_assignment

from .coco_detector import CocoDetector, CocoNetwork
from .crop_detector import NUM_KEYPOINTS, CropDetector, Detection, LandmarkNetwork
from .crops import crop_distance
from .hands.detector import HandDetector, HandPair, HandRequest
from .importance import Importance
from .linking import LinkConfig
from .person_detector import PersonBoxes
from .search import QUICK, THOROUGH, average_over_crops, initial_crops, refine_crops, search
from .shots import ShotConfig
from .tracks import (
    CropFilter,
    CropFilterConfig,
    MatchConfig,
    Track,
    box_iou,
    is_same_person,
    match_detections,
    track_similarity,
    unique_people,
)

Image = UInt8[np.ndarray, "_ _ 3"]
RIVAL = 0.4  # of the importance of the last of the requested people, from which others rival them
MAX_IMAGES = 12  # kept to follow newcomers back; 25 MB each in 4K


@runtime_checkable
class BoxDetector(Protocol):
    """A detector of people, as PersonDetector."""

    def detect(self, images: list[Image]) -> list[PersonBoxes]:
        """Detect the people in images (RGB)."""


@dataclass(frozen=True, kw_only=True)
class TrackerConfig:
    """Intervals and thresholds of the tracker."""

    detect_seconds: float = 0.4  # between two detections of people in the whole frame
    detect_seconds_full: float = 1.6  # the same while the greatest number of people is followed
    patience: float = 0.5  # seconds without a detection after which a track ends
    min_quality: float = 0.42  # of a detection that shows a person
    min_inside: float = 0.3  # share of its keypoints inside the frame
    doubtful_quality: float = 0.65  # below which a better crop is searched
    search_seconds: float = 0.15  # from a failed search to the next; doubled each time
    known_iou: float = 0.3  # of a detected box and a known person
    hiding_iou: float = 0.1  # of the boxes of two people of whom one may hide the other
    hidden_similarity: float = 0.3  # of a half hidden person to the track that expects them
    same_box_iou: float = 0.55  # of two boxes of one person in neighboring frames
    max_people: int = 12  # followed at a time where no number is given
    max_rivals: int = 3  # followed beyond the number that is given
    replace_ratio: float = 1.6  # of importance, for a newcomer that replaces a followed person
    max_searches: int = 3  # of doubtful, of hidden people and of newcomers, in one frame
    max_thorough: int = 5  # thorough searches in a single image, of 2 seconds each
    crop_filter: CropFilterConfig = field(default_factory=CropFilterConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    link: LinkConfig = field(default_factory=LinkConfig)
    shots: ShotConfig = field(default_factory=ShotConfig)
    max_crop_change: float = 0.05  # in sides, for a detection ahead of its frame to be used


@dataclass(eq=False)
class RejectedBox:
    """A detected box without a person, which is tried again later."""

    box: Float[np.ndarray, "4"]
    until: int  # position up to which it is ignored
    wait: int  # frames from its rejection until then


class Tracker:
    """Multi-person tracker for one clip.

    Tracks of people in view are in `live`, those that ended in `ended`.
    """

    def __init__(
        self,
        network: LandmarkNetwork,
        person_detector: BoxDetector,
        second_network: CocoNetwork,
        intrinsics: Float[np.ndarray, "3 3"],
        *,
        fps: float,
        max_people: int | None,
        config: TrackerConfig,
        hand_detector: HandDetector | None = None,
    ) -> None:
        self.network, self.person_detector = network, person_detector
        self.second_network = second_network
        self.hand_detector = hand_detector  # None: hands are not looked for
        self.intrinsics, self.config = intrinsics, config
        self._requested = min(max_people or config.max_people, config.max_people)
        self.capacity = self._requested  # number of people followed at a time
        self.detect_wait = int(np.clip(round(config.detect_seconds * fps), 1, MAX_IMAGES))
        self.detect_wait_full = max(1, round(config.detect_seconds_full * fps))
        self.patience = max(1, round(config.patience * fps))
        self.search_wait = max(1, round(config.search_seconds * fps))
        self.live: list[Track] = []
        self.ended: list[Track] = []
        self.num_frames = 0
        self._images: deque[Image] = deque(maxlen=self.detect_wait)  # the latest ones
        self._shot_start = 0  # position of the first frame of the shot
        self._next_detection = 0  # position of the next detection of people in the whole frame
        self._rejected: list[RejectedBox] = []
        self._importance = Importance()
        self._ahead: Detection | None = None  # of the next frame, in the predicted crop

    def detect_single_image(self, image: Image) -> None:
        """Detect the people in a single image, the largest ones most thoroughly."""
        detector, people = self._crop_detector(image), self._detect_people(image)
        sides = people.boxes[:, 2:] - people.boxes[:, :2]
        largest = set(np.argsort(-sides.max(axis=1))[: self.config.max_thorough].tolist())
        found = [
            search(
                detector,
                self._second_detector(image),
                crops,
                THOROUGH if index in largest else QUICK,
            )
            for index, crops in enumerate(initial_crops(people))
        ]
        found = self._valid(found, image)
        found.sort(key=lambda detection: -detection.crop[2])
        for index, detection in enumerate(found):
            if index < self.config.max_thorough:
                detection = average_over_crops(detector, detection)
            self.live.append(Track.begin(self.num_frames, detection, self.config.crop_filter))
        self._detect_hands(image, self.live)
        self.num_frames += 1

    def track_frame(self, image: Image, next_image: Image | None = None) -> None:
        """Track people in the next frame of a video.

        Args:
            image: the frame, RGB.
            next_image: the frame after it; while one person is followed, both are processed in one
                batch.
        """
        position, detector = self.num_frames, self._crop_detector(image)
        for track in self.live:
            track.filter.predict()
        detections = self._detect_tracked(detector, next_image)
        doubtful = self._doubtful_tracks(detections)
        newcomers: list[Detection] = []
        if doubtful or position >= self._next_detection:
            people = self._detect_people(image)
            self._importance.look(people)
            self.capacity = self._capacity_for(people)
            detections += [self._search_again(track, people, detector) for track in doubtful]
            detections = self._valid(detections, image)
            detections += self._detect_hidden(detections, detector)
            newcomers = self._detect_newcomers(people, detections, detector)
            full = len(detections) + len(newcomers) >= self.capacity
            settled = position - self._shot_start >= self.detect_wait_full
            wait = self.detect_wait_full if full and settled else self.detect_wait
            self._next_detection = position + wait
        else:
            detections = self._valid(detections, image)
            detections += self._detect_hidden(detections, detector)
        self._update_tracks(detections, newcomers)
        self._detect_hands(image, self.live)
        self._images.append(image)
        self.num_frames += 1

    def begin_shot(self) -> None:
        """End all tracks: the next frame shows another view."""
        self.ended += self.live
        self.live = []
        self._images.clear()
        self._rejected = []
        self._ahead = None
        self._next_detection = self._shot_start = self.num_frames

    def skip_frame(self, *, repeated: bool) -> None:
        """Pass over a frame that shows nothing new.

        Args:
            repeated: whether it shows the frame before once more, so that everybody stays where
                they were; else nobody is in view.
        """
        for track in self.live:
            if repeated and self.num_frames - 1 in track.detections:
                track.detections[self.num_frames] = track.detections[self.num_frames - 1]
            elif not repeated:
                track.filter.predict()
        self._ahead = None
        self._images.clear()
        self.num_frames += 1

    def _detect_tracked(self, detector: CropDetector, next_image: Image | None) -> list[Detection]:
        """Detect everybody who is followed, in the predicted crops.

        Two crops in one batch take a fifth less time each. So a person who is followed alone is
        also detected in the next frame, in the crop predicted for it. If that frame's prediction is
        still near this crop, the detection is used.
        """
        crops = np.array([track.filter.crop for track in self.live]).reshape(-1, 4)
        ahead, self._ahead = self._ahead, None
        if len(crops) != 1:
            return detector(crops)
        if ahead is not None and crop_distance(ahead.crop, crops[0]) < self.config.max_crop_change:
            return [ahead]
        (track,) = self.live
        if next_image is None or track.last.quality < self.config.doubtful_quality:
            return detector(crops)  # a search would move the crop, and the next one with it
        detection, self._ahead = detector.detect_with_next(
            np.stack((crops[0], track.filter.next_crop)), next_image
        )
        return [detection]

    def _crop_detector(self, image: Image) -> CropDetector:
        return CropDetector(image, self.network, self.intrinsics)

    def _second_detector(self, image: Image) -> CocoDetector:
        return CocoDetector(image, self.second_network)

    def _detect_people(self, image: Image) -> PersonBoxes:
        return self.person_detector.detect([image])[0]

    def _valid(self, detections: list[Detection], image: Image) -> list[Detection]:
        """Select detections that show people, one for each person."""
        valid = [detection for detection in detections if self._shows_person(detection, image)]
        return [valid[index] for index in unique_people(valid, self.config.match)]

    def _shows_person(self, detection: Detection, image: Image) -> bool:
        keypoints = detection.points[:NUM_KEYPOINTS]
        inside = ((keypoints >= 0) & (keypoints <= image.shape[1::-1])).all(axis=-1)
        if detection.quality < self.config.min_quality:
            return False
        return bool(inside.mean() >= self.config.min_inside)

    def _doubtful_tracks(self, detections: Sequence[Detection]) -> list[Track]:
        """Return the tracks with a doubtful detection whose last search is long enough ago.

        The most important ones come first, and not more than may be searched in one frame.
        """
        doubtful = []
        for track, detection in zip(self.live, detections, strict=True):
            if detection.quality >= self.config.doubtful_quality:
                track.search_wait = 0
            elif self.num_frames >= track.next_search:
                doubtful.append(track)
        doubtful.sort(key=lambda track: -self._importance.of(track.last.box))
        return doubtful[: self.config.max_searches]

    def _search_again(
        self, track: Track, people: PersonBoxes, detector: CropDetector
    ) -> Detection:
        """Search a better detection of a person; after a failure the next search waits longer."""
        crops = track.filter.crop[None]
        overlaps = [box_iou(track.predicted_box, box) for box in people.boxes.astype(float)]
        if overlaps and max(overlaps) > self.config.known_iou:
            crops = initial_crops(people)[int(np.argmax(overlaps))]
        detection = search(detector, self._second_detector(detector.image), crops, QUICK)
        failed = detection.quality < self.config.doubtful_quality
        track.search_wait = max(self.search_wait, 2 * track.search_wait) if failed else 0
        track.next_search = self.num_frames + track.search_wait
        return detection

    def _detect_newcomers(
        self, people: PersonBoxes, detections: Sequence[Detection], detector: CropDetector
    ) -> list[Detection]:
        """Detect people in boxes where nobody is followed yet, the most important first."""
        newcomers: list[Detection] = []
        self._rejected = [r for r in self._rejected if r.until + r.wait > self.num_frames]
        boxes, crops_of_box = people.boxes.astype(float), initial_crops(people)
        known = self._known_boxes(boxes, detections)
        num_searched = 0
        for index in sorted(range(len(boxes)), key=lambda i: -self._importance.of(boxes[i])):
            box, crops = boxes[index], crops_of_box[index]
            if num_searched >= self.config.max_searches or not self._has_room(box, len(newcomers)):
                break
            ignored = [r.box for r in self._rejected if r.until > self.num_frames]
            if index in known or any(
                box_iou(box, other) > self.config.same_box_iou for other in ignored
            ):
                continue
            others = [*detections, *newcomers]
            detection = self._detect_newcomer(crops, self._overlapping(box, others), detector)
            num_searched += 1
            if not self._shows_person(detection, detector.image) or any(
                is_same_person(detection, other, self.config.match) for other in others
            ):
                self._reject(box)
            else:
                newcomers.append(detection)
        return newcomers

    def _detect_hidden(
        self, detections: Sequence[Detection], detector: CropDetector
    ) -> list[Detection]:
        """Detect people who are followed and partly hidden, with those before them painted over.

        In the crop of somebody half hidden, the network finds the one in front.
        """
        if len(self.live) < 2 or not detections:
            return []
        pairs = match_detections(self.live, detections, self.config.match)
        found: list[Detection] = []
        lost = sorted(set(range(len(self.live))) - {row for row, _ in pairs})
        for row in lost[: self.config.max_searches]:
            track = self.live[row]
            near = self._overlapping(track.predicted_box, detections)
            if not near:
                continue
            (detection,) = detector.without(near)(track.filter.crop[None])
            others = [*detections, *found]
            expected = track_similarity(track, detection, self.config.match)
            if (
                expected > self.config.hidden_similarity
                and self._shows_person(detection, detector.image)
                and not any(is_same_person(detection, o, self.config.match) for o in others)
            ):
                found.append(detection)
        return found

    def _overlapping(
        self, box: Float[np.ndarray, "4"], detections: Sequence[Detection]
    ) -> list[Detection]:
        """Return the detections whose boxes overlap a box enough to hide somebody."""
        return [d for d in detections if box_iou(box, d.box) > self.config.hiding_iou]

    def _known_boxes(
        self, boxes: Float[np.ndarray, "boxes 4"], detections: Sequence[Detection]
    ) -> set[int]:
        """Return the indices of the detected boxes that show people who are followed.

        Each person explains one box. Another box that overlaps it less may be somebody behind.
        """
        overlaps = np.array(
            [[box_iou(box, detection.box) for detection in detections] for box in boxes]
        ).reshape(len(boxes), len(detections))
        rows, columns = linear_sum_assignment(-overlaps)
        known = set(rows[overlaps[rows, columns] > self.config.known_iou].tolist())
        covered = overlaps.max(axis=1, initial=0) > self.config.same_box_iou
        return known | set(np.flatnonzero(covered).tolist())

    def _detect_newcomer(
        self,
        crops: Float[np.ndarray, "crops 4"],
        near: Sequence[Detection],
        detector: CropDetector,
    ) -> Detection:
        """Detect the person of some crops, beside or behind others who are followed."""
        if near:
            detector = detector.without(near)
            return refine_crops(detector, detector(crops))
        return search(detector, self._second_detector(detector.image), crops, QUICK)

    def _detect_hands(self, image: Image, tracks: Sequence[Track]) -> None:
        """Add the hands to everybody's detections in this frame."""
        position = self.num_frames
        seen = [track.detections for track in tracks if position in track.detections]
        if self.hand_detector is None or not seen:
            return
        requests = [
            _hand_request(detections[position], detections.get(position - 1))
            for detections in seen
        ]
        hands = self.hand_detector.detect(image, requests, self.intrinsics)
        for detections, request, pair in zip(seen, requests, hands, strict=True):
            detections[position] = _with_hands(detections[position], request, pair)

    def _capacity_for(self, people: PersonBoxes) -> int:
        """Return how many people are followed: more than requested while others rival them.

        Who matters most is decided over the whole clip, so rivals are followed, too.
        """
        importance = sorted(self._importance.of(box) for box in people.boxes.astype(float))
        if len(importance) <= self._requested:
            return self._requested
        rivals = sum(value >= RIVAL * importance[-self._requested] for value in importance)
        spare = min(rivals - self._requested, self.config.max_rivals)
        return min(self._requested + spare, self.config.max_people)

    def _has_room(self, box: Float[np.ndarray, "4"], num_newcomers: int) -> bool:
        """Return whether the person of a box may be followed, perhaps instead of another one."""
        if len(self.live) + num_newcomers < self.capacity:
            return True
        of = self._importance.of
        least = min((of(track.last.box) for track in self.live), default=np.inf)
        return of(box) > self.config.replace_ratio * least

    def _reject(self, box: Float[np.ndarray, "4"]) -> None:
        """Ignore a box for some frames, twice as many each time."""
        earlier = [r for r in self._rejected if box_iou(r.box, box) > self.config.same_box_iou]
        wait = max([self.detect_wait, *(2 * rejected.wait for rejected in earlier)])
        self._rejected = [rejected for rejected in self._rejected if rejected not in earlier]
        self._rejected.append(RejectedBox(box=box, until=self.num_frames + wait, wait=wait))

    def _update_tracks(
        self, detections: Sequence[Detection], newcomers: Sequence[Detection]
    ) -> None:
        """Continue the tracks with matching detections; begin new ones with newcomers."""
        position = self.num_frames
        candidates = [*detections, *newcomers]
        pairs = match_detections(self.live, candidates, self.config.match)
        track_of = {column: row for row, column in pairs}
        for column, row in track_of.items():
            self.live[row].add(position, candidates[column])
        for row in set(range(len(self.live))) - set(track_of.values()):
            self.live[row].miss()
            self._next_detection = min(self._next_detection, position + 1)
        self.ended += [track for track in self.live if track.num_missed > self.patience]
        self.live = [track for track in self.live if track.num_missed <= self.patience]
        for column in range(len(detections), len(candidates)):
            if column not in track_of:
                track = Track.begin(position, candidates[column], self.config.crop_filter)
                self._follow_back(track)
                self.live.append(track)
        self.live.sort(key=lambda track: -self._importance.of(track.last.box))
        self.ended += self.live[self.capacity :]
        self.live = self.live[: self.capacity]

    def _follow_back(self, track: Track) -> None:
        """Prepend detections of a newcomer in the latest frames, from the last to the first."""
        crop_filter = CropFilter(track.last.next_crop, self.config.crop_filter)
        tracks = [*self.live, *self.ended]
        earlier: dict[int, Detection] = {}
        for back, image in enumerate(reversed(self._images), start=1):
            position = self.num_frames - back
            crop_filter.predict()
            others = [t.detections[position] for t in tracks if position in t.detections]
            detector = self._crop_detector(image)
            (detection,) = detector(crop_filter.crop[None])
            if any(is_same_person(detection, other, self.config.match) for other in others):
                (detection,) = detector.without(others)(crop_filter.crop[None])
            if not self._shows_person(detection, image) or any(
                is_same_person(detection, other, self.config.match) for other in others
            ):
                break
            if self.hand_detector is not None:
                request = _hand_request(detection, earlier.get(position + 1))
                (hands,) = self.hand_detector.detect(image, [request], self.intrinsics)
                detection = _with_hands(detection, request, hands)
            earlier[position] = detection
            crop_filter.update(detection.next_crop)
        track.detections = dict(sorted({**earlier, **track.detections}.items()))


def _hand_request(detection: Detection, neighbor: Detection | None) -> HandRequest:
    """Return the request for the hands of a person, who may be known from a frame beside."""
    return HandRequest.of_body(
        detection.points[:NUM_KEYPOINTS],
        detection.world_landmarks,
        detection.confidence,
        None if neighbor is None else neighbor.hands,
        (0, 0) if neighbor is None else neighbor.missed_hands,
    )


def _with_hands(detection: Detection, request: HandRequest, hands: HandPair) -> Detection:
    """Return the detection of a person with the hands that were looked for."""
    left, right = (
        0 if hand is not None else missed + 1
        for hand, missed in zip(hands, request.missed, strict=True)
    )
    return replace(detection, hands=hands, missed_hands=(left, right))
