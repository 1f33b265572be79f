"""Estimates of the people in a kit, by the reconstruction and by the detector alone."""

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
CONTEXT_FRAMES = 30  # of a clip, processed before the first and after the last frame of a kit


@dataclass(frozen=True, kw_only=True)
class Request:
    """A picture, or a range of frames of a clip, to reconstruct."""

    path: Path
    start: int | None = None
    end: int | None = None
    intrinsics: Float[np.ndarray, "3 3"] | None = None  # where the kit knows them


@dataclass(frozen=True, kw_only=True)
class ClipResult:
    """Result of the pipeline for a request."""

    reconstruction: Reconstruction
    evidence: tuple[Evidence, ...]  # of the same people


@dataclass(frozen=True, kw_only=True)
class ClipTrack:
    """The person of a kit's clip over time, for temporal metrics."""

    clip: str
    result: ClipResult
    person: int


@dataclass(frozen=True, kw_only=True)
class KitEstimates:
    """Estimates of a kit, by method."""

    reconstruction: Estimates
    detector: Estimates
    num_people: tuple[int, ...]  # found in each frame
    tracks: tuple[ClipTrack, ...]  # one of each clip


Predict = Callable[[Request], ClipResult | None]  # the pipeline; None where it finds nobody


def estimate(kit: Kit, predict: Predict, body: BodyModel) -> KitEstimates:
    """Run the pipeline on every picture and clip of a kit and choose the annotated person.

    Of several people, the one is chosen whose detected keypoints have the least median distance
    from the true ones. A person interpolated over a gap does not count as found there.

    Args:
        kit: the pictures and clips.
        predict: the pipeline.
        body: the body model of the reconstruction.
    """
    table = _Table(kit)
    tracks = []
    for rows in _by_clip(kit):
        request = _request(kit, rows)
        result = predict(request)
        if result is None:
            continue
        people = table.fill(rows, result, body)
        if people and request.start is not None:
            person = int(np.bincount(people).argmax())
            tracks.append(ClipTrack(clip=request.path.name, result=result, person=person))
    return KitEstimates(
        reconstruction=table.estimates(RECONSTRUCTION, body_joints(kit.joint_names)),
        detector=table.estimates(DETECTOR, BLAZEPOSE_NAMES),
        num_people=tuple(table.num_people),
        tracks=tuple(tracks),
    )


def detector_points(result: ClipResult, person: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the detector's keypoints "frames 33 2", px, and world landmarks "frames 33 3", mm."""
    reconstruction = result.reconstruction
    pixels = reconstruction.keypoints[person, :, :, :2].astype(np.float64)
    landmarks = np.full((*pixels.shape[:2], 3), np.nan)
    for evidence in result.evidence:
        if evidence.track_id == reconstruction.track_ids[person]:
            landmarks[evidence.frames] = 1000 * evidence.world_landmarks
    return pixels, landmarks


@dataclass
class _Table:
    """Estimates of a kit, filled row by row."""

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

    def fill(self, rows: list[int], result: ClipResult, body: BodyModel) -> list[int]:
        """Fill the rows of a clip; return the chosen person of each frame with people."""
        reconstruction, people = result.reconstruction, []
        names = self.kit.joint_names
        centres = body_points(reconstruction, body, names)
        image_points = body_points(reconstruction, body, names, in_image=True)
        pixels, millimetres = self.arrays[RECONSTRUCTION]
        for row in rows:
            _check_size(self.kit.frames[row], reconstruction.image_size)
            frame = _frame_index(reconstruction, self.kit.frames[row])
            if frame is None or not reconstruction.present[:, frame].any():
                continue
            present = np.flatnonzero(reconstruction.present[:, frame]).tolist()
            self.num_people[row] = len(present)
            person = nearest_person(self.kit, row, reconstruction, present, frame)
            people.append(person)
            camera = reconstruction.intrinsics[frame]
            for joint, name in enumerate(names):
                if name in centres:
                    millimetres[row, joint] = 1000 * centres[name][person, frame]
                    pixels[row, joint] = _projected(image_points[name][person, frame], camera)
            self._fill_detector(row, *(a[frame] for a in detector_points(result, person)))
        return people

    def _fill_detector(
        self, row: int, pixels: Float[np.ndarray, "33 2"], landmarks: Float[np.ndarray, "33 3"]
    ) -> None:
        hips = [BLAZEPOSE_NAMES.index(hip) for hip in HIPS]
        for joint, name in enumerate(self.kit.joint_names):
            # The pelvis aligns the detector where a kit has no hips; it is not scored.
            indices = (
                hips if name == ROOT else [i for i, n in enumerate(BLAZEPOSE_NAMES) if n == name]
            )
            if indices:
                self.arrays[DETECTOR][0][row, joint] = pixels[indices].mean(axis=0)
                self.arrays[DETECTOR][1][row, joint] = landmarks[indices].mean(axis=0)

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
    """Return the kit's rows for each run of the pipeline: a picture's, or all of a clip's."""
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


def nearest_person(
    kit: Kit, row: int, reconstruction: Reconstruction, present: list[int], frame: int
) -> int:
    """Return the person nearest to the truth of a frame."""
    keypoints = reconstruction.keypoints[:, frame]
    truth = _true_px(kit.frames[row])
    pairs = [
        (BLAZEPOSE_NAMES.index(name), truth[joint])
        for joint, name in enumerate(kit.joint_names)
        if name in BLAZEPOSE_NAMES and np.isfinite(truth[joint]).all()
    ]
    if not pairs:  # without a known keypoint, the largest person
        return max(present, key=lambda person: np.ptp(keypoints[person, :, 1]))
    indices, points = [index for index, _ in pairs], np.stack([point for _, point in pairs])
    return min(
        present,
        key=lambda person: np.median(
            np.linalg.norm(keypoints[person, indices, :2] - points, axis=-1)
        ),
    )


def _true_px(frame: KitFrame) -> Float[np.ndarray, "joints 2"]:
    """Return true keypoints, projected from 3D where not given; NaN where unknown."""
    if frame.joints_px is not None:
        return np.where(frame.has_px[:, None], frame.joints_px, np.nan)
    camera = frame.intrinsics
    if camera is None:
        camera = default_intrinsics(frame.width, frame.height)
    in_front = frame.has_mm & (frame.joints_mm[:, 2] > 0)
    points = np.where(in_front[:, None], frame.joints_mm, np.nan)
    return _projected(points, camera)


def _projected(
    points: Float[np.ndarray, "*points 3"], camera: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "*points 2"]:
    return (points[..., :2] / points[..., 2:]) @ camera[:2, :2].T + camera[:2, 2]
