"""Estimates: what the reconstruction and the detector alone say of the people of a kit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..body.camera import default_intrinsics
from ..body.model import BodyModel
from ..body.skeleton import BLAZEPOSE_NAMES
from ..errors import BadInputError
from ..perception.evidence import Evidence
from ..reconstruction import Reconstruction
from .body_points import body_joints, body_points
from .kits import Kit, KitFrame
from .scoring import HIPS, ROOT, Estimates

RECONSTRUCTION, DETECTOR = "reconstruction", "detector"
CONTEXT_FRAMES = 30  # of a clip that are seen before the first and after the last frame of a kit


@dataclass(frozen=True, kw_only=True)
class Request:
    """A picture or a stretch of a clip that a kit wants to be seen."""

    path: Path
    start: int | None = None
    end: int | None = None
    intrinsics: Float[np.ndarray, "3 3"] | None = None  # where the kit knows them


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A clip as the pipeline leaves it."""

    reconstruction: Reconstruction
    evidence: tuple[Evidence, ...]  # of the same people


@dataclass(frozen=True, kw_only=True)
class Track:
    """The person of a kit's clip over time, for figures that need it."""

    clip: str
    seen: Seen
    person: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that was estimated for a kit."""

    reconstruction: Estimates
    detector: Estimates
    num_people: tuple[int, ...]  # that were seen in each frame
    tracks: tuple[Track, ...]  # one of each clip


def estimate(kit: Kit, look: Callable[[Request], Seen | None], body: BodyModel) -> Outcome:
    """Run the pipeline on every picture and clip of a kit and pick the person that is meant.

    Of several people the one is taken whose detected keypoints are nearest (by their median) to
    the true ones. A person who is bridged over a gap does not count as found there.

    Args:
        kit: the pictures and clips.
        look: the pipeline; it answers None where it finds nobody.
        body: the body model of the reconstruction.
    """
    table = _Table(kit)
    tracks = []
    for rows in _by_clip(kit):
        request = _request(kit, rows)
        seen = look(request)
        if seen is None:
            continue
        people = table.fill(rows, seen, body)
        if people and request.start is not None:
            person = int(np.bincount(people).argmax())
            tracks.append(Track(clip=request.path.name, seen=seen, person=person))
    return Outcome(
        reconstruction=table.estimates(RECONSTRUCTION, body_joints(kit.joint_names)),
        detector=table.estimates(DETECTOR, BLAZEPOSE_NAMES),
        num_people=tuple(table.num_people),
        tracks=tuple(tracks),
    )


def detector_points(seen: Seen, person: int) -> tuple[np.ndarray, np.ndarray]:
    """The detector's keypoints "frames 33 2" in pixels and world landmarks "frames 33 3" in mm."""
    reconstruction = seen.reconstruction
    pixels = reconstruction.keypoints[person, :, :, :2].astype(np.float64)
    landmarks = np.full((*pixels.shape[:2], 3), np.nan)
    for evidence in seen.evidence:
        if evidence.track_id == reconstruction.track_ids[person]:
            landmarks[evidence.frames] = 1000 * evidence.world_landmarks
    return pixels, landmarks


@dataclass
class _Table:
    """Estimates of a kit while they are gathered, row by row."""

    kit: Kit
    num_people: list[int] = field(init=False)
    arrays: dict[str, tuple[np.ndarray, np.ndarray]] = field(init=False)  # px and mm by method

    def __post_init__(self) -> None:
        shape = (len(self.kit.frames), len(self.kit.joint_names))
        self.num_people = [0] * shape[0]
        self.arrays = {
            method: (np.full((*shape, 2), np.nan), np.full((*shape, 3), np.nan))
            for method in (RECONSTRUCTION, DETECTOR)
        }

    def fill(self, rows: list[int], seen: Seen, body: BodyModel) -> list[int]:
        """Take in what was seen of a clip; answers the person that was meant in each frame."""
        reconstruction, people = seen.reconstruction, []
        names = self.kit.joint_names
        centres = body_points(reconstruction, body, names)
        pictured = body_points(reconstruction, body, names, pictured=True)
        pixels, millimetres = self.arrays[RECONSTRUCTION]
        for row in rows:
            _check_size(self.kit.frames[row], reconstruction.image_size)
            frame = _frame_index(reconstruction, self.kit.frames[row])
            if frame is None or not reconstruction.present[:, frame].any():
                continue
            present = np.flatnonzero(reconstruction.present[:, frame]).tolist()
            self.num_people[row] = len(present)
            person = _meant(self.kit, row, reconstruction, present, frame)
            people.append(person)
            camera = reconstruction.intrinsics[frame]
            for joint, name in enumerate(names):
                if name in centres:
                    millimetres[row, joint] = 1000 * centres[name][person, frame]
                    pixels[row, joint] = _projected(pictured[name][person, frame], camera)
            self._fill_detector(row, *(a[frame] for a in detector_points(seen, person)))
        return people

    def _fill_detector(
        self, row: int, pixels: Float[np.ndarray, "33 2"], landmarks: Float[np.ndarray, "33 3"]
    ) -> None:
        hips = [BLAZEPOSE_NAMES.index(hip) for hip in HIPS]
        for joint, name in enumerate(self.kit.joint_names):
            # The pelvis aligns the detector where a kit has no hips; it is not scored.
            where = (
                hips if name == ROOT else [i for i, n in enumerate(BLAZEPOSE_NAMES) if n == name]
            )
            if where:
                self.arrays[DETECTOR][0][row, joint] = pixels[where].mean(axis=0)
                self.arrays[DETECTOR][1][row, joint] = landmarks[where].mean(axis=0)

    def estimates(self, method: str, defined: tuple[str, ...]) -> Estimates:
        pixels, millimetres = self.arrays[method]
        return Estimates(
            method=method,
            defined=frozenset(defined),
            found=np.array(self.num_people) > 0,
            joints_px=pixels,
            joints_mm=millimetres,
        )


def _by_clip(kit: Kit) -> list[list[int]]:
    """Rows of the kit that one run of the pipeline answers: a picture's, or all of a clip's."""
    rows: dict[object, list[int]] = {}
    for row, frame in enumerate(kit.frames):
        rows.setdefault(row if frame.number is None else frame.path, []).append(row)
    return list(rows.values())


def _request(kit: Kit, rows: list[int]) -> Request:
    frames = [kit.frames[row] for row in rows]
    if frames[0].number is None:
        return Request(path=frames[0].path, intrinsics=frames[0].intrinsics)
    numbers = [frame.number for frame in frames]
    return Request(
        path=frames[0].path,
        start=max(min(numbers) - CONTEXT_FRAMES, 0),
        end=max(numbers) + CONTEXT_FRAMES,
        intrinsics=frames[0].intrinsics,
    )


def _frame_index(reconstruction: Reconstruction, frame: KitFrame) -> int | None:
    """Where a kit's frame stands in the reconstruction; None if it could not be read."""
    if frame.number is None:
        return 0
    found = np.flatnonzero(reconstruction.frame_numbers == frame.number)
    return int(found[0]) if len(found) else None


def _check_size(frame: KitFrame, image_size: tuple[int, int]) -> None:
    if image_size != (frame.width, frame.height):
        raise BadInputError(
            f"{frame.label} is {image_size[0]} x {image_size[1]} pixels where the kit says "
            f"{frame.width} x {frame.height}: correct its 'width' and 'height'."
        )


def _meant(
    kit: Kit, row: int, reconstruction: Reconstruction, present: list[int], frame: int
) -> int:
    """The person that the truth of a frame is about."""
    keypoints = reconstruction.keypoints[:, frame]
    truth = _true_px(kit.frames[row])
    pairs = [
        (BLAZEPOSE_NAMES.index(name), truth[joint])
        for joint, name in enumerate(kit.joint_names)
        if name in BLAZEPOSE_NAMES and np.isfinite(truth[joint]).all()
    ]
    if not pairs:  # nothing to tell them apart: the largest
        return max(present, key=lambda person: np.ptp(keypoints[person, :, 1]))
    where, points = [index for index, _ in pairs], np.stack([point for _, point in pairs])
    return min(
        present,
        key=lambda person: np.median(
            np.linalg.norm(keypoints[person, where, :2] - points, axis=-1)
        ),
    )


def _true_px(frame: KitFrame) -> Float[np.ndarray, "joints 2"]:
    """True keypoints, projected from 3D where they are not given; NaN where unknown."""
    if frame.joints_px is not None:
        return np.where(frame.has_px[:, None], frame.joints_px, np.nan)
    camera = frame.intrinsics
    if camera is None:
        camera = default_intrinsics(frame.width, frame.height)
    seen = frame.has_mm & (frame.joints_mm[:, 2] > 0)
    points = np.where(seen[:, None], frame.joints_mm, np.nan)
    return _projected(points, camera)


def _projected(
    points: Float[np.ndarray, "*points 3"], camera: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*points 2"]:
    return (points[..., :2] / points[..., 2:]) @ camera[:2, :2].T + camera[:2, 2]
