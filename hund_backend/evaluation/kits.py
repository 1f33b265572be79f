"""Data kits: folders of pictures or clips whose true joints are listed in a `gt.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ..errors import BadInputError
from .joint_names import canonical_names

GT_FILE = "gt.json"


@dataclass(frozen=True, kw_only=True)
class KitFrame:
    """One picture, or one frame of a clip, with the true joints of the person in it."""

    path: Path  # of the picture or clip
    number: int | None  # frame of the clip; None for a picture
    width: int
    height: int
    intrinsics: Float[np.ndarray, "3 3"] | None  # pixels
    joints_px: Float[np.ndarray, "joints 2"] | None
    has_px: Bool[np.ndarray, " joints"]  # labelled in 2D; all False without joints_px
    joints_mm: Float[np.ndarray, "joints 3"] | None  # camera frame
    has_mm: Bool[np.ndarray, " joints"]

    @property
    def label(self) -> str:
        """Name of the frame in messages and reports."""
        return self.path.name if self.number is None else f"{self.path.name}#{self.number}"


@dataclass(frozen=True, kw_only=True)
class Kit:
    """A named set of frames with true joints of one person each."""

    folder: Path
    name: str
    source: str
    licence: str
    joint_names: tuple[str, ...]  # in the vocabulary of joint_names.py
    frames: tuple[KitFrame, ...]


def read_kit(folder: Path) -> Kit:
    """Read a kit from its folder (or from its `gt.json`).

    A joint is missing where its third (in 3D fourth) value is 0, where it or a coordinate is null,
    and in 3D where it is (0, 0, 0). Other keys are ignored.

    Raises:
        BadInputError: the file or a picture is missing, or a key's value is of a wrong kind.
    """
    file = folder if folder.suffix == ".json" else folder / GT_FILE
    table = _read_json(file)
    names = _get(table, "joint_names", list, str(file))
    if not names or not all(isinstance(name, str) for name in names):
        raise BadInputError(f"{file}: 'joint_names' should be a list of names.")
    rows = _get(table, "frames", list, str(file))
    if not rows:
        raise BadInputError(f"{file}: 'frames' is empty, so there is nothing to score.")
    return Kit(
        folder=file.parent,
        name=str(table.get("name", file.parent.name)),
        source=str(table.get("source", "not stated")),
        licence=str(table.get("licence", "not stated")),
        joint_names=canonical_names(tuple(names)),
        frames=tuple(
            _read_frame(row, file, len(names), f"{file}: frame {number}")
            for number, row in enumerate(rows)
        ),
    )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInputError(
            f"{file} cannot be read ({error.strerror}): a data kit is a folder with a {GT_FILE}."
        ) from error
    except ValueError as error:
        raise BadInputError(f"{file} is no JSON file: {error}.") from error
    if not isinstance(table, dict):
        raise BadInputError(f"{file} should hold one object with 'joint_names' and 'frames'.")
    return table


def _read_frame(row: object, file: Path, num_joints: int, where: str) -> KitFrame:
    if not isinstance(row, dict):
        raise BadInputError(f"{where} should be an object.")
    path, number = _picture_or_clip(row, file.parent, where)
    key_px = "joints2d_px" if row.get("joints2d_px") is not None else "joints2d"
    joints_px, has_px = _joints(row.get(key_px), num_joints, 2, f"{where}: '{key_px}'")
    joints_mm, has_mm = _joints(
        row.get("joints3d_cam_mm"), num_joints, 3, f"{where}: 'joints3d_cam_mm'"
    )
    if joints_px is None and joints_mm is None:
        raise BadInputError(
            f"{where} has no joints: it needs 'joints2d', 'joints2d_px' or 'joints3d_cam_mm'."
        )
    return KitFrame(
        path=path,
        number=number,
        width=_positive(row, "width", where),
        height=_positive(row, "height", where),
        intrinsics=_intrinsics(row.get("K"), where),
        joints_px=joints_px,
        has_px=has_px,
        joints_mm=joints_mm,
        has_mm=has_mm,
    )


def _picture_or_clip(row: dict[str, Any], folder: Path, where: str) -> tuple[Path, int | None]:
    if "image" in row:
        path, number = folder / _get(row, "image", str, where), None
    elif "video" in row:
        path, number = folder / _get(row, "video", str, where), _get(row, "frame", int, where)
        if number < 0:
            raise BadInputError(f"{where}: 'frame' is {number}: frames are numbered from 0.")
    else:
        raise BadInputError(f"{where} names neither an 'image' nor a 'video' with a 'frame'.")
    if not path.is_file():
        raise BadInputError(f"{where}: {path} does not exist.")
    return path, number


def _joints(
    values: object, num_joints: int, dims: int, where: str
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return points "joints dims", zero where unknown, and which of them are known."""
    if values is None:
        return None, np.zeros(num_joints, dtype=bool)
    if not isinstance(values, list) or len(values) != num_joints:
        raise BadInputError(f"{where} should list {num_joints} joints, one for each name.")
    points, known = np.zeros((num_joints, dims)), np.zeros(num_joints, dtype=bool)
    for joint, value in enumerate(values):
        numbers = [None] * dims if value is None else value
        if not isinstance(numbers, list) or len(numbers) not in (dims, dims + 1):
            raise BadInputError(
                f"{where}: joint {joint} should have {dims} or {dims + 1} numbers."
            )
        if not all(number is None or _is_number(number) for number in numbers):
            raise BadInputError(f"{where}: joint {joint} holds something that is no number.")
        point = np.array(numbers, dtype=np.float64)  # None becomes NaN
        known[joint] = bool(np.isfinite(point).all()) and (len(point) == dims or point[dims] > 0)
        known[joint] &= dims == 2 or bool(point[:dims].any())
        if known[joint]:
            points[joint] = point[:dims]
    return points, known


def _intrinsics(value: object, where: str) -> np.ndarray | None:
    if value is None:
        return None
    try:
        intrinsics = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        intrinsics = np.zeros(0)
    is_camera = intrinsics.shape == (3, 3) and np.allclose(intrinsics[2], [0, 0, 1])
    if not is_camera or not (np.diag(intrinsics) > 0).all():
        raise BadInputError(f"{where}: 'K' should be a 3 x 3 matrix of a pinhole camera.")
    return intrinsics


def _positive(row: dict[str, Any], key: str, where: str) -> int:
    value = _get(row, key, int, where)
    if value < 1:
        raise BadInputError(f"{where}: '{key}' is {value}: give a positive number of pixels.")
    return value


def _get(table: dict[str, Any], key: str, kind: type, where: str) -> Any:  # noqa: ANN401
    """Return the value of a required key, checked to be of one kind."""
    if key not in table:
        raise BadInputError(f"{where} has no '{key}'.")
    value = table[key]
    if isinstance(value, bool) or not isinstance(value, kind):
        kinds = {list: "a list", str: "a text", int: "a whole number"}
        raise BadInputError(f"{where}: '{key}' should be {kinds[kind]}.")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
