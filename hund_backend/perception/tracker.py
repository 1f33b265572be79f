"""Pursuit: one clip being watched, who is followed now and who was."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from hund_backend.perception.crop_detector import NUM_KEYPOINTS, Pose, Sight, Sighting
from hund_backend.perception.crops import difference
from hund_backend.perception.linking import LinkConfig
from hund_backend.perception.person_detector import People
from hund_backend.perception.search import QUICK, THOROUGH, average, search, starts
from hund_backend.perception.tracks import (
    CropFilter,
    FollowConfig,
    Track,
    box_overlap,
    distinct,
    is_same,
    match,
)

Picture = UInt8[np.ndarray, "_ _ 3"]
MOST_IMAGES = 12  # kept to follow newcomers back; 25 MB each in 4K


@runtime_checkable
class Detector(Protocol):
    """A detector of people, as PeopleDetector."""

    def find(self, images: list[Picture]) -> list[People]:
        """The people of every picture (RGB)."""


@dataclass(frozen=True, kw_only=True)
class PursuitConfig:
    """How closely to watch."""

    detect_every: float = 0.4  # seconds between looks at the whole frame for new people
    detect_when_full: float = 1.6  # the same where everybody asked for is being followed
    patience: float = 0.5  # seconds for which somebody out of sight is looked for
    least_quality: float = 0.42  # of a sighting that shows somebody
    least_inside: float = 0.3  # share of the keypoints that lies in the frame
    doubtful: float = 0.65  # quality below which a better crop is searched for
    search_wait: float = 0.15  # seconds from a vain search to the next; it doubles each time
    matched: float = 0.3  # overlap with a detected box from which we follow that person already
    most_people: int = 20  # followed at a time where no number was asked for
    displaced: float = 2.0  # times the size at which a newcomer takes the place of somebody
    most_studied: int = 5  # searched for thoroughly in a single picture: 2 seconds each
    follow: FollowConfig = field(default_factory=FollowConfig)
    link: LinkConfig = field(default_factory=LinkConfig)
    foreseen: float = 0.05  # change of a crop, in sides, up to which a look ahead at it counts


@dataclass(eq=False)
class Vain:
    """A detected box that turned out to show nobody."""

    box: Float[np.ndarray, "4"]
    until: int  # position up to which it is not looked at again
    wait: int  # frames that this took


class Pursuit:
    """Follows people from frame to frame."""

    def __init__(
        self,
        pose: Pose,
        detector: Detector,
        intrinsics: Float[np.ndarray, "3 3"],
        *,
        fps: float,
        max_people: int | None,
        config: PursuitConfig,
    ) -> None:
        self.pose, self.detector, self.intrinsics, self.config = pose, detector, intrinsics, config
        self.capacity = config.most_people
        if max_people is not None:
            self.capacity = min(self.capacity, max_people)
        self.detect_every = int(np.clip(round(config.detect_every * fps), 1, MOST_IMAGES))
        self.detect_rarely = max(1, round(config.detect_when_full * fps))
        self.patience = max(1, round(config.patience * fps))
        self.search_wait = max(1, round(config.search_wait * fps))
        self.live: list[Track] = []
        self.ended: list[Track] = []
        self.num_frames = 0
        self._images: deque[Picture] = deque(maxlen=self.detect_every)  # the latest ones
        self._next_detection = 0
        self._vain: list[Vain] = []
        self._ahead: Sighting | None = None  # what the frame to come shows, where it was foreseen

    def study(self, image: Picture) -> None:
        """See a single picture, as well as it can be seen; in a crowd the largest people."""
        sight, people = self._sight(image), self._find(image)
        sides = people.boxes[:, 2:] - people.boxes[:, :2]
        largest = set(np.argsort(-sides.max(axis=1))[: self.config.most_studied].tolist())
        found = [
            search(sight, crops, THOROUGH if index in largest else QUICK)
            for index, crops in enumerate(starts(people))
        ]
        found = self._worthwhile(found, image)
        found.sort(key=lambda sighting: -sighting.crop[2])
        for index, sighting in enumerate(found):
            mean = average(sight, sighting) if index < self.config.most_studied else sighting
            self.live.append(Track.begin(self.num_frames, mean, self.config.follow))
        self.num_frames += 1

    def see(self, image: Picture, following: Picture | None = None) -> None:
        """See the next frame of a video, and perhaps ahead at the one that follows it."""
        position, sight = self.num_frames, self._sight(image)
        for track in self.live:
            track.filter.step()
        seen = self._seen(sight, following)
        doubtful = self._doubtful(seen)
        newcomers: list[Sighting] = []
        if doubtful or position >= self._next_detection:
            people = self._find(image)
            seen += [self._search_for(track, people, sight) for track in doubtful]
            seen = self._worthwhile(seen, image)
            newcomers = self._newcomers(people, seen, sight)
            full = len(seen) + len(newcomers) >= self.capacity
            self._next_detection = position + (self.detect_rarely if full else self.detect_every)
        else:
            seen = self._worthwhile(seen, image)
        self._assign(seen, newcomers)
        self._images.append(image)
        self.num_frames += 1

    def _seen(self, sight: Sight, following: Picture | None) -> list[Sighting]:
        """Sightings in the crops of everybody who is followed.

        Two crops in one batch take a fifth less time each. So who is followed alone is also seen in
        the frame to come, in the crop in which he is expected; where he then moves as expected,
        that sighting counts.
        """
        crops = np.array([track.filter.crop for track in self.live]).reshape(-1, 4)
        ahead, self._ahead = self._ahead, None
        if len(crops) != 1:
            return sight(crops)
        if ahead is not None and difference(ahead.crop, crops[0]) < self.config.foreseen:
            return [ahead]
        (track,) = self.live
        if following is None or track.last.quality < self.config.doubtful:
            return sight(crops)  # who is hard to see is searched for, and is then elsewhere
        seen, self._ahead = sight.with_next(
            np.stack((crops[0], track.filter.crop_ahead)), following
        )
        return [seen]

    def _sight(self, image: Picture) -> Sight:
        return Sight(image, self.pose, self.intrinsics)

    def _find(self, image: Picture) -> People:
        return self.detector.find([image])[0]

    def _worthwhile(self, sightings: list[Sighting], image: Picture) -> list[Sighting]:
        """Sightings that show people, each another one."""
        somebody = [sighting for sighting in sightings if self._shows_somebody(sighting, image)]
        return [somebody[index] for index in distinct(somebody, self.config.follow)]

    def _shows_somebody(self, sighting: Sighting, image: Picture) -> bool:
        keypoints = sighting.points[:NUM_KEYPOINTS]
        inside = ((keypoints >= 0) & (keypoints <= image.shape[1::-1])).all(axis=-1)
        if sighting.quality < self.config.least_quality:
            return False
        return bool(inside.mean() >= self.config.least_inside)

    def _doubtful(self, seen: Sequence[Sighting]) -> list[Track]:
        """Tracks whose sightings are bad enough and old enough for a search."""
        found = []
        for track, sighting in zip(self.live, seen, strict=True):
            if sighting.quality >= self.config.doubtful:
                track.search_wait = 0
            elif self.num_frames >= track.next_search:
                found.append(track)
        return found

    def _search_for(self, track: Track, people: People, sight: Sight) -> Sighting:
        """Another sighting of a person who is seen badly; a vain search makes the next one wait."""
        crops = track.filter.crop[None]
        overlaps = [box_overlap(track.expected_box, box) for box in people.boxes.astype(float)]
        if overlaps and max(overlaps) > self.config.matched:
            crops = starts(people)[int(np.argmax(overlaps))]
        sighting = search(sight, crops, QUICK)
        vain = sighting.quality < self.config.doubtful
        track.search_wait = max(self.search_wait, 2 * track.search_wait) if vain else 0
        track.next_search = self.num_frames + track.search_wait
        return sighting

    def _newcomers(self, people: People, seen: Sequence[Sighting], sight: Sight) -> list[Sighting]:
        """Sightings of detected people whom nobody follows yet, the largest first."""
        found: list[Sighting] = []
        self._vain = [vain for vain in self._vain if vain.until + vain.wait > self.num_frames]
        boxes, crops_of = people.boxes.astype(float), starts(people)
        for index in sorted(range(len(boxes)), key=lambda i: -_side(boxes[i])):
            box, crops = boxes[index], crops_of[index]
            if not self._has_room(box, len(found)):
                break
            known = [sighting.box for sighting in [*seen, *found]]
            known += [vain.box for vain in self._vain if vain.until > self.num_frames]
            if any(box_overlap(box, other) > self.config.matched for other in known):
                continue
            sighting = search(sight, crops, QUICK)
            others = [*seen, *found]
            if not self._shows_somebody(sighting, sight.image) or any(
                is_same(sighting, other, self.config.follow) for other in others
            ):
                self._give_up(box)
            else:
                found.append(sighting)
        return found

    def _has_room(self, box: Float[np.ndarray, "4"], newcomers: int) -> bool:
        """Whether somebody in a box may be followed: a place is free, or somebody is dwarfed."""
        if len(self.live) + newcomers < self.capacity:
            return True
        smallest = min((_side(track.last.box) for track in self.live), default=np.inf)
        return _side(box) > self.config.displaced * smallest

    def _give_up(self, box: Float[np.ndarray, "4"]) -> None:
        """Leave a box alone for a while, each time for longer."""
        earlier = [v for v in self._vain if box_overlap(v.box, box) > self.config.matched]
        wait = max([self.detect_every, *(2 * vain.wait for vain in earlier)])
        self._vain = [vain for vain in self._vain if vain not in earlier]
        self._vain.append(Vain(box=box, until=self.num_frames + wait, wait=wait))

    def _assign(self, seen: Sequence[Sighting], newcomers: Sequence[Sighting]) -> None:
        """Continue the tracks with the sightings that fit; begin new ones with newcomers."""
        position = self.num_frames
        sightings = [*seen, *newcomers]
        owners = {column: row for row, column in match(self.live, sightings, self.config.follow)}
        for column, row in owners.items():
            self.live[row].add(position, sightings[column])
        for row in set(range(len(self.live))) - set(owners.values()):
            self.live[row].miss()
            self._next_detection = min(self._next_detection, position + 1)
        self.ended += [track for track in self.live if track.missed > self.patience]
        self.live = [track for track in self.live if track.missed <= self.patience]
        for column in range(len(seen), len(sightings)):
            if column not in owners:
                track = Track.begin(position, sightings[column], self.config.follow)
                self._follow_back(track)
                self.live.append(track)
        self.live.sort(key=lambda track: -_side(track.last.box))
        self.ended += self.live[self.capacity :]
        self.live = self.live[: self.capacity]

    def _follow_back(self, track: Track) -> None:
        """Prepend what the latest frames already showed of a newcomer."""
        crops = CropFilter(track.last.wanted_crop, self.config.follow)
        everybody = [*self.live, *self.ended]
        earlier: dict[int, Sighting] = {}
        for back, image in enumerate(reversed(self._images), start=1):
            position = self.num_frames - back
            crops.step()
            sighting = self._sight(image)(crops.crop[None])[0]
            others = [o.sightings[position] for o in everybody if position in o.sightings]
            if not self._shows_somebody(sighting, image) or any(
                is_same(sighting, other, self.config.follow) for other in others
            ):
                break
            earlier[position] = sighting
            crops.correct(sighting.wanted_crop)
        track.sightings = dict(sorted({**earlier, **track.sightings}.items()))


def _side(box: Float[np.ndarray, "4"]) -> float:
    """The longer side of a box x0, y0, x1, y1."""
    return float((box[2:] - box[:2]).max())
