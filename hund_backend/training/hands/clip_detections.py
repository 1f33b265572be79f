"""Hands in real clips: what the detector says of them, without any truth, kept on disk.

`python -m hund_backend.training.hands.clip_detections FOLDER CLIP…` writes a file a clip. In a clip
in which nobody is found, a hand alone is looked for all over the first frames and followed.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from safetensors.numpy import load_file, save

from ...atomic_write import write_file
from ...body.camera import default_intrinsics
from ...descent.hands.track import HandConfig, seen_hands
from ...errors import BadInputError
from ...perception.evidence import Evidence
from ...perception.hands.crops import ELBOW, HAND_WRIST, INDEX, PINKY, WRIST
from ...perception.hands.detector import HandDetection, HandDetector, HandRequest
from ...perception.hands.evidence import SIDES
from ...perception.run import Perception
from ...video import Frame, open_clip

logger = logging.getLogger(__name__)

_LENGTHS = (0.3,)  # of a hand that is looked for, in heights of the frame
_GRID = (6, 4)  # places across and down
_TURNS = 4  # directions of the forearm
_SURE = 0.8  # confidence of a hand that is followed
_LAST = 60  # frames in which it is looked for


@dataclass(frozen=True, kw_only=True)
class ClipHands:
    """Hands of a clip, one row each, sorted by track and frame; px of the frame."""

    keypoints: Float32[np.ndarray, "hands 21 3"]  # x, y, confidence
    landmarks: Float32[np.ndarray, "hands 21 3"]  # axes of the camera
    crop: Float32[np.ndarray, "hands 4"]
    intrinsics: Float32[np.ndarray, "hands 3 3"]
    side: Int32[np.ndarray, " hands"]
    track: Int32[np.ndarray, " hands"]  # one number a hand of a person in a shot
    frame: Int32[np.ndarray, " hands"]
    fps: Float32[np.ndarray, " hands"]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "ClipHands":
        """Read files of clips; their tracks stay apart.

        Raises:
            BadInputError: there are none.
        """
        if not paths:
            raise BadInputError("There are no detections of clips: make some.")
        files, tracks = [load_file(path) for path in paths], 0
        for one in files:
            one["track"] = one["track"] + tracks
            tracks = int(one["track"].max(initial=tracks - 1)) + 1
        return cls(**{f.name: np.concatenate([one[f.name] for one in files]) for f in fields(cls)})

    def __len__(self) -> int:
        return len(self.side)


def hands_of_people(people: Sequence[Evidence], fps: float) -> ClipHands:
    """Return the hands that the descent would use.

    Args:
        people: evidence of all.
        fps: frames a second.
    """
    rows: dict[str, list[np.ndarray]] = {field.name: [] for field in fields(ClipHands)}
    track = 0
    for person in people:
        seen = seen_hands(person, fps, HandConfig())
        for shot in person.shot_rows():
            for side in range(len(SIDES)):
                at = shot[seen[shot, side]]
                rows["keypoints"].append(person.hands.keypoints[at, side])
                rows["landmarks"].append(person.hands.world_landmarks[at, side])
                rows["crop"].append(person.hands.crops[at, side])
                rows["intrinsics"].append(person.intrinsics[at])
                rows["frame"].append(person.frames[at])
                rows["side"].append(np.full(len(at), side))
                rows["track"].append(np.full(len(at), track))
                rows["fps"].append(np.full(len(at), fps))
                track += 1
    return _clip_hands(rows)


def hand_alone(
    frames: Sequence[Frame],
    detector: HandDetector,
    intrinsics: Float[np.ndarray, "3 3"],
    fps: float,
) -> ClipHands:
    """Return a hand without a person, followed through a clip.

    Args:
        frames: of the clip.
        detector: of hands.
        intrinsics: of the frames.
        fps: frames a second.
    """
    found: list[tuple[int, HandDetection]] = []
    last = None
    for number, frame in enumerate(frames):
        if last is not None:
            points = _arm(last.points[HAND_WRIST], last.crop[3], last.side)
            pair = tuple(last if side == last.side else None for side in range(len(SIDES)))
            request = HandRequest(points=points, hand_length=last.length, previous=pair)
            (hands,) = detector.detect(frame.image, [request], intrinsics)
            last = hands[last.side]
        if last is None and (found or number < _LAST):
            last = _anywhere(frame, detector, intrinsics) if number % 10 == 0 else None
        if last is not None:
            found.append((number, last))
    detections = [hand for _, hand in found]
    return _clip_hands(
        {
            "keypoints": [np.c_[hand.points, hand.point_confidence][None] for hand in detections],
            "landmarks": [hand.world_landmarks[None] for hand in detections],
            "crop": [hand.crop[None] for hand in detections],
            "intrinsics": [intrinsics[None] for _ in detections],
            "side": [np.array([hand.side]) for hand in detections],
            "track": [np.array([hand.side]) for hand in detections],
            "frame": [np.array([number]) for number, _ in found],
            "fps": [np.array([fps]) for _ in detections],
        }
    )


def _anywhere(
    frame: Frame, detector: HandDetector, intrinsics: Float[np.ndarray, "3 3"]
) -> HandDetection | None:
    """Return the surest hand of a frame."""
    height, width = frame.image.shape[:2]
    across, down = ((np.arange(count) + 0.5) / count for count in _GRID)
    best = None
    for share in _LENGTHS:
        for x in across * width:
            for y in down * height:
                for angle in np.arange(_TURNS) * 2 * np.pi / _TURNS:
                    points = _arm(np.array([x, y]), angle, 0)
                    request = HandRequest(points=points, hand_length=share * height)
                    (hands,) = detector.detect(frame.image, [request], intrinsics)
                    hand = hands[0]
                    if hand is not None and (best is None or hand.presence > best.presence):
                        best = replace(hand, side=int(hand.right > 0.5))
    return best if best is not None and best.confidence > _SURE else None


def _arm(wrist: Float[np.ndarray, "2"], angle: float, side: int) -> Float[np.ndarray, "33 2"]:
    """Points of a body of which one forearm alone is in view: the other hand is far away."""
    up = np.array([np.sin(angle), -np.cos(angle)])
    points = np.full((33, 2), -1e4)
    points[WRIST[side]], points[ELBOW[side]] = wrist, wrist - 100 * up
    points[PINKY[side]] = points[INDEX[side]] = wrist + 40 * up
    return points


def _clip_hands(rows: dict[str, list[np.ndarray]]) -> ClipHands:
    arrays = {}
    empty = {"keypoints": (0, 21, 3), "landmarks": (0, 21, 3), "crop": (0, 4)}
    empty["intrinsics"] = (0, 3, 3)
    for name, values in rows.items():
        kind = np.int32 if name in ("side", "track", "frame") else np.float32
        joined = np.concatenate(values) if values else np.zeros(empty.get(name, (0,)))
        arrays[name] = np.ascontiguousarray(joined, kind)
    return ClipHands(**arrays)


def main() -> None:
    """Detect the hands of clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the detections go")
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    perception = Perception.open("cpu")
    for path in arguments.clips:
        with open_clip(path) as clip:
            frames, info = list(clip), clip.info
        intrinsics = default_intrinsics(info.width, info.height)
        people = list(perception.run(frames, intrinsics, fps=info.fps, hands=True))
        hands = hands_of_people(people, info.fps)
        if not people:
            hands = hand_alone(frames, perception.hand_detector, intrinsics, info.fps)
        arrays = {field.name: getattr(hands, field.name) for field in fields(hands)}
        write_file(arguments.folder / f"{path.stem}.safetensors", save(arrays))
        logger.info("%s: %d hands", path.name, len(hands))


if __name__ == "__main__":
    main()
