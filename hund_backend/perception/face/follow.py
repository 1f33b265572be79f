"""Following of faces: the landmarks of everybody's face in a second pass over a clip's frames."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import median_filter

from ...video import Frame
from ...weights_file import WEIGHTS
from ..blazepose import CROP_SIZE_PX
from ..crops import extract_crops, image_from_crop, transform_points
from ..evidence import Evidence
from .evidence import NUM_ARKIT, NUM_LANDMARKS, FaceEvidence, FaceState
from .head import MARGIN, facing, head_crop, landmark_crop
from .networks import FaceNetworks, FaceReader
from .visibility import NUM_REGIONS, FaceVisibility, VisibilityReader

Image = UInt8[np.ndarray, "_ _ 3"]
ANGLES = (0.6, -0.6, np.pi / 2, -np.pi / 2, np.pi)  # radians, from where the body has the face up
_TURNS = np.array([(0, 0, 0, angle) for angle in (0.0, *ANGLES)])
_STEADY_FRAMES = 9  # over which the sides of expected crops are medians
# A face that is not found is looked for in the next frame in all rotations, then more rarely.
_ROTATED_TRIES = (1, 5)
_WAITS = (0, 0, 1, 2, 3)  # frames between tries; the last one holds from then on


@dataclass(frozen=True, kw_only=True)
class FaceConfig:
    """Thresholds of following faces."""

    min_side: float = 32.0  # px of the frame: extent of the landmarks, below which a face is small
    min_presence: float = 0.5  # of the network, for a crop that shows a face
    min_visibility: float = 0.3  # of eyes or mouth, for a face that is seen at all
    light: tuple[float, float] = (20.0, 50.0)
    """Brightness 0…255 of the lightest twentieth of a face, from which it counts a little and
    wholly: the network sees faces in the dark, but not what they do."""
    min_facing: float = 0.15  # of the head: beyond, a face is in profile or from behind
    max_shift: float = 0.4  # from the place that the body promises, in sides of its crop
    max_growth: float = 0.8  # change of the logarithm of that side
    moved: float = 0.06  # of a crop's side: a head that moves farther takes its crop along


@dataclass(frozen=True, kw_only=True)
class _Face:
    """One face in one frame."""

    landmarks: Float[np.ndarray, "478 3"]  # px of the frame
    crop: Float[np.ndarray, "4"]
    confidence: float
    visibility: Float[np.ndarray, "2"]


@dataclass(eq=False)
class _Track:
    """The face of one person up to now."""

    evidence: Evidence
    facing: Float[np.ndarray, " frames"]
    expected: Float[np.ndarray, "frames 4"]  # crops by the body's keypoints
    sides: Float[np.ndarray, " frames"]  # of these crops, without the keypoints' jitter
    faces: dict[int, _Face] = field(default_factory=dict)  # by row of the evidence
    states: UInt8[np.ndarray, " frames"] = field(init=False)
    last: _Face | None = None  # in the frame before
    growth: float = 0.0  # logarithm of a face's crop's side over `sides`, as last found
    tries: int = 0  # in vain, since a face was found
    rest: int = 0  # frames until the next try

    def __post_init__(self) -> None:
        self.states = np.full(len(self.evidence.frames), FaceState.NO_BODY, np.uint8)

    @classmethod
    def of(cls, evidence: Evidence, config: FaceConfig) -> "_Track":
        """Return the track of a person before the first frame, with what the body says."""
        expected = np.stack([head_crop(keypoints) for keypoints in evidence.keypoints])
        sides = median_filter(expected[:, 2], _STEADY_FRAMES, mode="nearest")
        track = cls(evidence, facing(evidence), expected, sides)
        for row in range(len(track.states)):
            track.states[row] = track.state_by_body(row, config)
        return track

    def state_by_body(self, row: int, config: FaceConfig) -> FaceState:
        """Return why there is no face to look for; NOT_FOUND where it may be found."""
        if not self.evidence.observed[row]:
            return FaceState.NO_BODY
        if self.facing[row] < config.min_facing:
            return FaceState.TURNED_AWAY
        if self.sides[row] * np.exp(self.growth) < config.min_side * MARGIN:
            return FaceState.TOO_SMALL
        return FaceState.NOT_FOUND

    def next_crop(self, row: int, config: FaceConfig) -> Float[np.ndarray, "4"]:
        """Return the last face's crop, taken along with a head that moves much."""
        crop = self.last.crop.copy()
        motion = self.expected[row, :2] - self.expected[row - 1, :2]
        if np.linalg.norm(motion) > config.moved * crop[2]:
            crop[:2] += motion
        return crop

    def miss(self) -> None:
        """Note a try in vain."""
        self.rest = _WAITS[min(self.tries, len(_WAITS) - 1)]
        self.tries += 1


class FacePerception:
    """Finds the landmarks of the faces of people whose bodies were followed."""

    def __init__(
        self, networks: FaceReader, visibility: VisibilityReader, config: FaceConfig | None = None
    ) -> None:
        self.networks, self.visibility, self.config = networks, visibility, config or FaceConfig()

    @classmethod
    def open(cls, device: str = "cpu", folder: Path = WEIGHTS / "perception") -> "FacePerception":
        """Load the networks.

        Raises:
            BadInputError: a network is missing or damaged.
        """
        return cls(FaceNetworks.open(folder, device), FaceVisibility.load())

    def span(self, people: Sequence[Evidence]) -> range:
        """Return the frames, from the clip's first one, outside of which no face can be found."""
        numbers = [
            evidence.frames[0] + row
            for evidence in people
            for row, state in enumerate(_Track.of(evidence, self.config).states)
            if state == FaceState.NOT_FOUND
        ]
        return range(int(min(numbers)), int(max(numbers)) + 1) if numbers else range(0)

    def run(
        self,
        frames: Iterable[Frame],
        people: Sequence[Evidence],
        report: Callable[[int], None] = lambda done: None,
        *,
        first: int = 0,
    ) -> list[FaceEvidence]:
        """Return everybody's face, frame by frame.

        Args:
            frames: those that the bodies were followed in, in order; those outside of `span` may
                be missing.
            people: evidence of the bodies.
            report: called with the number of processed frames after each.
            first: place of the first frame among those of the clip.
        """
        tracks = [_Track.of(evidence, self.config) for evidence in people]
        for position, frame in enumerate(frames, first):
            self._follow(frame.image, position, tracks)
            report(position + 1)
        return [self._evidence(track) for track in tracks]

    def _follow(self, image: Image, position: int, tracks: Sequence[_Track]) -> None:
        """Find the faces in one frame; the crops of all people form one batch."""
        wanted: list[tuple[_Track, int, list[np.ndarray]]] = []
        for track in tracks:
            row = position - int(track.evidence.frames[0])
            if not 0 <= row < len(track.states):
                continue
            state = track.state_by_body(row, self.config)
            track.states[row] = state
            if state != FaceState.NOT_FOUND:
                track.last = None
            elif track.last is not None:
                wanted.append((track, row, [track.next_crop(row, self.config)]))
            elif track.rest:
                track.rest -= 1
            else:
                turns = _TURNS if track.tries in _ROTATED_TRIES else _TURNS[:1]
                wanted.append((track, row, list(track.expected[row] + turns)))
        found = self._detect(image, [crop for _, _, crops in wanted for crop in crops])
        again, start = [], 0
        for track, row, crops in wanted:
            candidates = found[start : start + len(crops)]
            start += len(crops)
            best = max(candidates, key=lambda face: face.confidence)
            was_seen, track.last = track.last is not None, None
            if was_seen and self._is_face(best, track.expected[row]):
                self._add(track, row, best)
            elif was_seen:  # lost: look once more where the body has its head
                again.append((track, row, track.expected[row]))
            else:  # a crop that is a little off shows nothing to the network, but points the way
                again.append((track, row, landmark_crop(best.landmarks)))
        second = self._detect(image, [crop for *_, crop in again])
        for (track, row, _), face in zip(again, second, strict=True):
            if self._is_face(face, track.expected[row]):
                self._add(track, row, face)
            else:
                track.miss()

    def _add(self, track: _Track, row: int, face: _Face) -> None:
        """Add a face to a track; its crop is the one for the next frame."""
        crop = landmark_crop(face.landmarks)
        track.growth = float(np.log(crop[2] / track.sides[row]))
        if crop[2] < self.config.min_side * MARGIN:
            track.states[row] = FaceState.TOO_SMALL
            return
        if face.visibility.max() < self.config.min_visibility:
            track.miss()
            return
        track.last, track.tries = replace(face, crop=crop), 0
        track.states[row] = FaceState.SEEN
        # Towards the profile half of the face is a guess of the network's.
        turn = track.facing[row]
        share = float(np.clip((turn - self.config.min_facing) / 0.35, 0, 1))
        track.faces[row] = replace(face, confidence=face.confidence * share)

    def _is_face(self, face: _Face, expected: Float[np.ndarray, "4"]) -> bool:
        """Return whether a face is one, and the face of this body."""
        crop = landmark_crop(face.landmarks)
        shift = np.linalg.norm(crop[:2] - expected[:2]) / expected[2]
        growth = abs(np.log(max(crop[2], 1e-9) / expected[2]))
        return bool(
            face.confidence >= self.config.min_presence
            and shift <= self.config.max_shift
            and growth <= self.config.max_growth
        )

    def _detect(self, image: Image, crops: list[np.ndarray]) -> list[_Face]:
        if not crops:
            return []
        stacked = np.stack(crops)
        images = extract_crops(image, stacked)
        output = self.networks.predict(images)
        confidence = output.presence * _visibility_by_light(images, self.config.light)
        matrices = image_from_crop(stacked)
        landmarks = output.landmarks.astype(np.float64)
        landmarks[..., :2] = transform_points(landmarks[..., :2], matrices)
        landmarks[..., 2] *= stacked[:, 2, None] / CROP_SIZE_PX
        return [
            _Face(landmarks=points, crop=crop, confidence=float(presence), visibility=visibility)
            for points, crop, presence, visibility in zip(
                landmarks, stacked, confidence, self.visibility(output.features), strict=True
            )
        ]

    def _evidence(self, track: _Track) -> FaceEvidence:
        """Return the face in all frames of a track, gaps interpolated."""
        rows = np.array(sorted(track.faces), np.int64)
        num_frames = len(track.states)
        observed = np.isin(np.arange(num_frames), rows)
        if not len(rows):
            return _unseen(track.states)
        faces = [track.faces[int(row)] for row in rows]
        landmarks = np.stack([face.landmarks for face in faces])
        confidence = np.zeros(num_frames, np.float32)
        confidence[rows] = [face.confidence * face.visibility.max() for face in faces]
        visibility = np.zeros((num_frames, NUM_REGIONS), np.float32)
        visibility[rows] = [face.visibility for face in faces]
        crops = np.stack([face.crop for face in faces])
        crops[:, 3] = np.unwrap(crops[:, 3])
        return FaceEvidence(
            observed=observed,
            landmarks=_interpolate(landmarks, rows, num_frames),
            confidence=confidence,
            arkit=_interpolate(self.networks.coefficients(landmarks), rows, num_frames),
            crops=_interpolate(crops, rows, num_frames),
            states=track.states,
            visibility=visibility,
        )


def _visibility_by_light(
    crops: UInt8[np.ndarray, "crops 256 256 3"], light: tuple[float, float]
) -> Float[np.ndarray, " crops"]:
    """Return 0 for faces in the dark to 1 for those that are lit."""
    middle = slice(CROP_SIZE_PX // 4, 3 * CROP_SIZE_PX // 4, 4)
    brightness = crops[:, middle, middle].max(axis=-1).reshape(len(crops), -1)
    lightest = np.quantile(brightness, 0.95, axis=1)
    return ((lightest - light[0]) / (light[1] - light[0])).clip(0, 1)


def _unseen(states: UInt8[np.ndarray, " frames"]) -> FaceEvidence:
    """Return the evidence of a face that is never seen."""
    num_frames = len(states)
    return FaceEvidence(
        observed=np.zeros(num_frames, bool),
        landmarks=np.zeros((num_frames, NUM_LANDMARKS, 3), np.float32),
        confidence=np.zeros(num_frames, np.float32),
        arkit=np.zeros((num_frames, NUM_ARKIT), np.float32),
        crops=np.tile(np.array([0, 0, 1, 0], np.float32), (num_frames, 1)),
        states=states,
        visibility=np.zeros((num_frames, NUM_REGIONS), np.float32),
    )


def _interpolate(values: np.ndarray, rows: np.ndarray, num_frames: int) -> np.ndarray:
    """Interpolate values at rows linearly to all frames."""
    flat = values.reshape(len(rows), -1)
    frames = np.arange(num_frames)
    columns = [np.interp(frames, rows, column) for column in flat.T]
    shape = (num_frames, *values.shape[1:])
    return np.stack(columns, axis=-1).reshape(shape).astype(np.float32)
