"""Quick look: a few frames a second say who is in a clip, before it is reconstructed."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .atomic_write import write_file
from .body.camera import default_intrinsics
from .image_file import encode_png
from .options import ProgressStage
from .people_list import FILE_NAME, ListedPerson, PeopleList
from .perception.evidence import Evidence
from .perception.linking import LinkConfig
from .perception.run import Perception
from .perception.tracker import TrackerConfig
from .perception.tracks import box_iou
from .progress import Progress, Report, silent
from .video import Clip, Frame, open_clip

LOOKS = 6.0  # frames a second
THUMBNAIL = 256  # pixels of its longer side
MARGIN = 0.12  # around a person's box in the thumbnail, of its longer side
STATIC = LinkConfig.max_static  # confidence above which a figure is listed as static
# People move far from one look to the next, so that they are looked for in every second one. Still
# figures are listed, too: who chooses sees what they are.
CONFIG = TrackerConfig(
    detect_seconds=2 / LOOKS,
    detect_seconds_full=2 / LOOKS,
    search_seconds=0.5,
    link=LinkConfig(max_static=np.inf),
)


def quick_look(
    path: Path,
    folder: Path,
    perception: Perception,
    report: Report = silent,
    *,
    start: int | None = None,
    end: int | None = None,
    speed: float | None = None,
) -> PeopleList:
    """List the people of a clip in `people.json`, with a picture of each.

    Args:
        path: a video, a picture, a folder of pictures or a pattern.
        folder: where the files are written.
        perception: its networks.
        report: called after every frame; an exception from it ends the work.
        start: number of the first frame.
        end: number of the last frame, included.
        speed: how many times slower than life the clip plays; None: as it says.

    Returns:
        The list; still figures are not chosen where somebody moves, as in a reconstruction.

    Raises:
        BadInputError: the clip cannot be read, or the folder cannot be written to.
    """
    numbers: list[int] = []
    times: list[float] = []
    last_time = 0.0

    def looks(clip: Clip, stride: int) -> Iterator[Frame]:
        nonlocal last_time
        for frame in clip:
            last_time = frame.time
            if (frame.number - (start or 0)) % stride == 0:
                numbers.append(frame.number)
                times.append(frame.time)
                yield frame

    with open_clip(path, start=start, end=end, speed=speed) as clip:
        info = clip.info
        stride = max(1, round(info.fps / LOOKS))
        total = info.num_frames and -(-info.num_frames // stride)
        quick = Perception(
            perception.landmark_network,
            perception.person_detector,
            perception.second_network,
            CONFIG,
            perception.device,
        )
        found = quick.run(
            looks(clip, stride),
            default_intrinsics(info.width, info.height),
            fps=info.fps / stride,
            report=lambda done: report(
                Progress(stage=ProgressStage.DETECT, done=done, total=total)
            ),
        )
    size = np.array([info.width, info.height])
    boxes = [_boxes(person) for person in found]
    moves = any(person.static < STATIC for person in found)
    people = tuple(
        ListedPerson(
            id=number,
            picture=f"person_{number}.png",
            presence=float(person.observed.sum() / len(times)),
            size=float((boxes_of[:, 3] - boxes_of[:, 1]).mean() / info.height),
            first=times[person.frames[0]],
            last=times[person.frames[-1]],
            static=bool(person.static >= STATIC),
            confidence=float(person.confidence),
            chosen=bool(person.static < STATIC or not moves),
            boxes=tuple(
                (round(times[frame], 4), *(round(float(edge), 1) for edge in box))
                for frame, box in zip(person.frames[person.observed], boxes_of, strict=True)
            ),
        )
        for number, (person, boxes_of) in enumerate(zip(found, boxes, strict=True), start=1)
    )
    best = [_clearest(index, found, boxes, size) for index in range(len(found))]
    _write_pictures(path, folder, people, [numbers[frame] for frame, _ in best], best)
    listed = PeopleList(clip=str(path), duration=last_time + 1 / info.fps, people=people)
    listed.save(folder / FILE_NAME)
    return listed


def _boxes(person: Evidence) -> Float[np.ndarray, "observed 4"]:
    """Return the boxes around the keypoints: x0, y0, x1, y1 in px."""
    points = person.keypoints[person.observed, :, :2]
    return np.concatenate((points.min(axis=1), points.max(axis=1)), axis=-1)


def _clearest(
    index: int,
    found: list[Evidence],
    boxes: list[Float[np.ndarray, "observed 4"]],
    size: Float[np.ndarray, "2"],
) -> tuple[int, Float[np.ndarray, "4"]]:
    """Return the frame in which a person is seen best, and the person's box there.

    It is a large and confident detection, within the picture, that nobody else overlaps.
    """
    person, person_boxes = found[index], boxes[index]
    frames = person.frames[person.observed]
    inside = np.clip(person_boxes, 0, np.tile(size, 2))
    areas = (inside[:, 2:] - inside[:, :2]).clip(0).prod(axis=1)
    scores = np.sqrt(areas) * person.keypoints[person.observed, :, 2].mean(axis=1)
    for other, other_boxes in zip(found, boxes, strict=True):
        if other is person:
            continue
        box_at = dict(zip(other.frames[other.observed].tolist(), other_boxes, strict=True))
        scores *= [
            1 - box_iou(box, box_at[frame]) if frame in box_at else 1.0
            for frame, box in zip(frames.tolist(), person_boxes, strict=True)
        ]
    best = int(scores.argmax())
    return int(frames[best]), person_boxes[best]


def _write_pictures(
    path: Path,
    folder: Path,
    people: tuple[ListedPerson, ...],
    numbers: list[int],
    best: list[tuple[int, Float[np.ndarray, "4"]]],
) -> None:
    """Write the thumbnails; the clip is read once more, up to the last frame that is needed."""
    if not people:
        return
    with open_clip(path, start=min(numbers), end=max(numbers)) as clip:
        for frame in clip:
            for person, number, (_, box) in zip(people, numbers, best, strict=True):
                if number == frame.number:
                    picture = _thumbnail(frame.image, box)
                    write_file(folder / person.picture, encode_png(picture))


def _thumbnail(
    image: UInt8[np.ndarray, "height width 3"], box: Float[np.ndarray, "4"]
) -> UInt8[np.ndarray, "_ _ 3"]:
    """Cut out a person and scale the picture to the size of a thumbnail."""
    height, width = image.shape[:2]
    margin = MARGIN * (box[2:] - box[:2]).max()
    limits = np.array([width, height])
    x0, y0 = np.clip(np.floor(box[:2] - margin), 0, limits - 1).astype(int)
    x1, y1 = np.clip(np.ceil(box[2:] + margin), (x0 + 1, y0 + 1), limits).astype(int)
    cut = image[y0:y1, x0:x1]
    scale = THUMBNAIL / max(cut.shape[:2])
    size = tuple(max(1, round(scale * side)) for side in (cut.shape[1], cut.shape[0]))
    return cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
