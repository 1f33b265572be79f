"""Reconstruction: result of the backend, and the file that carries it to Blender's process."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from .atomic_write import atomic_write
from .errors import BadInputError

SCHEMA = "hund-reconstruction/1"

NUM_BETAS, NUM_EXPRESSION, NUM_ARKIT = 16, 20, 52
NUM_BODY_CONTACTS = 5
UNIT_TOLERANCE = 1e-3  # largest difference of a quaternion's norm from one

# Arrays of the file: axes (a letter has one length throughout the file) and type.
# P people, F frames, J joints, K keypoints, S stages, T terms of the loss, C shots (cuts).
LAYOUT: dict[str, tuple[tuple[str | int, ...], type]] = {
    "fps": ((), np.float64),
    "frame_numbers": (("F",), np.int64),
    "times": (("F",), np.float64),
    "image_size": ((2,), np.int64),
    "intrinsics": (("F", 3, 3), np.float64),
    "world_from_camera": (("F", 4, 4), np.float64),
    "joint_names": (("J",), np.str_),
    "parents": (("J",), np.int64),
    "track_ids": (("P",), np.int64),
    "present": (("P", "F"), np.bool_),
    "rotations": (("P", "F", "J", 4), np.float32),
    "root_translation": (("P", "F", 3), np.float32),
    "betas": (("P", NUM_BETAS), np.float32),
    "expression": (("P", "F", NUM_EXPRESSION), np.float32),
    "arkit": (("P", "F", NUM_ARKIT), np.float32),
    "joints": (("P", "F", "J", 3), np.float32),
    "keypoints": (("P", "F", "K", 3), np.float32),
    "joint_confidence": (("P", "F", "J"), np.float32),
    "contacts": (("P", "F", 4), np.float32),
    "stage_losses": (("P", "F", "S", "T"), np.float32),
}
# Arrays that a file may lack.
OPTIONAL: dict[str, tuple[tuple[str | int, ...], type]] = {
    "stage_rotations": (("P", "F", "S", "J", 4), np.float32),
    "stage_root_translation": (("P", "F", "S", 3), np.float32),
    "shots": (("C",), np.int64),
    "static": (("P",), np.float32),
    "body_contacts": (("P", "F", NUM_BODY_CONTACTS), np.float32),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """People in a clip, posed.

    Metres, radians, pixels with x right, y down, centre of the first pixel at (0.5, 0.5). Camera
    frame as in OpenCV: x right, y down, z forward. Quaternions have w first. Where `present` is
    False, a person holds the last or interpolated values.
    """

    provenance: dict[str, Any]
    """Source, version, weights' hashes, device, options, seconds per stage of work, names of the
    keypoints and of the terms of the loss. Anything that JSON can hold. `footage` says how the file
    has to be shown to match (`video.Footage`): `fps`, `orientation`, `pixel_aspect`, `speed`."""
    fps: float  # nominal rate
    frame_numbers: Int64[np.ndarray, " frames"]  # index in the source
    times: Float64[np.ndarray, " frames"]  # seconds
    image_size: tuple[int, int]  # width, height in pixels
    intrinsics: Float64[np.ndarray, "frames 3 3"]  # pixels
    world_from_camera: Float64[np.ndarray, "frames 4 4"]  # the world's z is up, its ground at 0
    joint_names: tuple[str, ...]
    parents: Int64[np.ndarray, " joints"]  # parents precede children, -1 for the root
    track_ids: Int64[np.ndarray, " people"]  # the most prominent first
    present: Bool[np.ndarray, "people frames"]
    rotations: Float32[np.ndarray, "people frames joints 4"]
    """Quaternions: joint in its parent's frame relative to rest; joint 0: body → camera."""
    root_translation: Float32[np.ndarray, "people frames 3"]  # pelvis in the camera frame
    betas: Float32[np.ndarray, "people betas"]  # one body shape per person
    expression: Float32[np.ndarray, "people frames expression"]
    """The face of `arkit` in the body's own coefficients: one of the two moves a mesh, see
    `driven_face`."""
    arkit: Float32[np.ndarray, "people frames arkit"]  # 0…1
    joints: Float32[np.ndarray, "people frames joints 3"]  # posed, camera frame
    keypoints: Float32[np.ndarray, "people frames keypoints 3"]  # x, y px and confidence
    joint_confidence: Float32[np.ndarray, "people frames joints"]  # 0…1
    contacts: Float32[np.ndarray, "people frames 4"]  # left heel, left toe, right heel, right toe
    stage_losses: Float32[np.ndarray, "people frames stages terms"]
    stage_rotations: Float32[np.ndarray, "people frames stages joints 4"] | None = None
    """As `rotations`, at every stage of the descent, frame by frame, before smoothing."""
    stage_root_translation: Float32[np.ndarray, "people frames stages 3"] | None = None
    shots: Int64[np.ndarray, " shots"] | None = None
    """Frame numbers at which shots begin, the first one included; None in files before shots were
    looked for, to be taken for one shot. Nothing moves on across them."""
    static: Float32[np.ndarray, " people"] | None = None
    """Confidence that somebody is a still figure (a poster, a mannequin, a screen), 0…1; None: not
    known."""
    body_contacts: Float32[np.ndarray, "people frames 5"] | None = None
    """As `contacts`: left hand, right hand, left knee, right knee, seat; None in files before they
    were looked for."""

    @property
    def driven_face(
        self,
    ) -> tuple[
        Float32[np.ndarray, "people frames expression"], Float32[np.ndarray, "people frames arkit"]
    ]:
        """Expression and ARKit coefficients that move the people's meshes together.

        Both describe the same face, so that only one of them moves it: the ARKit keys, or the
        expression of people whose keys are all zero. The other is zero.
        """
        has_keys = self.arkit.any(axis=(1, 2))[:, None, None]
        return np.where(has_keys, np.float32(0), self.expression), self.arkit

    def validate(self) -> None:
        """Check shapes, types and values.

        Raises:
            ValueError: one sentence that names the first array that is wrong.
        """
        _check(self._arrays())

    def save(self, path: Path) -> None:
        """Write an .npz file whole or not at all.

        Raises:
            BadInputError: the folder cannot be written to, or the disk is full.
            ValueError: the reconstruction is not valid.
        """
        self.validate()
        header = {"schema": SCHEMA, "provenance": json.dumps(self.provenance)}
        with atomic_write(path) as [part], part.open("wb") as opened:
            np.savez_compressed(opened, **header, **self._arrays())

    @classmethod
    def load(cls, path: Path) -> "Reconstruction":
        """Read and check a file that `save` wrote.

        Raises:
            BadInputError: the file is missing, damaged or no Reconstruction.
        """
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except OSError as error:
            raise BadInputError(f"{path} cannot be read ({error.strerror or error}).") from error
        except (ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise BadInputError(f"{path.name} is damaged or no reconstruction.") from error
        try:
            provenance = _provenance(arrays)
            _check(arrays)
        except ValueError as error:
            raise BadInputError(f"{path.name} cannot be used: {error}") from error
        return cls(provenance=provenance, **_unpacked(arrays))

    def _arrays(self) -> dict[str, np.ndarray]:
        layout = LAYOUT | {n: each for n, each in OPTIONAL.items() if getattr(self, n) is not None}
        return {name: np.asarray(getattr(self, name), kind) for name, (_, kind) in layout.items()}


def _unpacked(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the arguments of a Reconstruction from the arrays of a file."""
    values: dict[str, Any] = {name: arrays[name] for name in LAYOUT}
    values |= {name: arrays[name] for name in OPTIONAL if name in arrays}
    values["fps"] = float(arrays["fps"])
    values["image_size"] = tuple(arrays["image_size"].tolist())
    values["joint_names"] = tuple(arrays["joint_names"].tolist())
    return values


def _provenance(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    schema = arrays.get("schema")
    if schema is None or str(schema) != SCHEMA:
        raise ValueError(f"its schema is {schema!s} where {SCHEMA} is expected.")
    try:
        return dict(json.loads(str(arrays.get("provenance"))))
    except (TypeError, ValueError) as error:
        raise ValueError("its provenance is not a JSON object.") from error


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise a ValueError that names the first thing wrong."""
    _check_layout(arrays)
    for name, (_, kind) in _layout_of(arrays).items():
        if np.issubdtype(kind, np.floating) and not np.isfinite(arrays[name]).all():
            raise ValueError(f"'{name}' holds values that are not finite.")
    _check_skeleton(arrays["joint_names"], arrays["parents"])
    _check_time(arrays)
    _check_shots(arrays)
    for name in ("rotations", "stage_rotations"):
        norms = np.linalg.norm(arrays.get(name, np.ones(1)), axis=-1)
        if np.abs(norms - 1).max(initial=0) > UNIT_TOLERANCE:
            raise ValueError(f"'{name}' holds quaternions that are not of unit length.")
    _check_transforms(arrays["world_from_camera"])
    confidences = {
        "keypoints": arrays["keypoints"][..., 2],
        "joint_confidence": arrays["joint_confidence"],
        "contacts": arrays["contacts"],
    }
    confidences |= {name: arrays[name] for name in ("static", "body_contacts") if name in arrays}
    for name, values in confidences.items():
        if values.size and not 0 <= values.min() <= values.max() <= 1:
            raise ValueError(f"'{name}' holds confidences outside 0…1.")
    if len(set(arrays["track_ids"].tolist())) != len(arrays["track_ids"]):
        raise ValueError("'track_ids' names a person twice.")


def _layout_of(
    arrays: Mapping[str, np.ndarray],
) -> dict[str, tuple[tuple[str | int, ...], type]]:
    """Return the layout of the required arrays and of the optional ones that are given."""
    return LAYOUT | {name: axes for name, axes in OPTIONAL.items() if name in arrays}


def _check_layout(arrays: Mapping[str, np.ndarray]) -> None:
    lengths: dict[str, int] = {}
    for name, (axes, kind) in _layout_of(arrays).items():
        if name not in arrays:
            raise ValueError(f"'{name}' is missing.")
        shape, dtype = arrays[name].shape, arrays[name].dtype
        if not (np.issubdtype(dtype, kind) if kind is np.str_ else dtype == kind):
            raise ValueError(f"'{name}' is of type {dtype} where {kind.__name__} is expected.")
        expected = [
            lengths.setdefault(axis, shape[position] if position < len(shape) else -1)
            if isinstance(axis, str)
            else axis
            for position, axis in enumerate(axes)
        ]
        if list(shape) != expected:
            raise ValueError(
                f"'{name}' has the shape {shape} where {tuple(expected)} is expected."
            )
    for axis, noun in {"P": "people", "F": "frames", "J": "joints"}.items():
        if lengths[axis] == 0:
            raise ValueError(f"it holds no {noun}.")


def _check_skeleton(names: np.ndarray, parents: np.ndarray) -> None:
    if len(set(names.tolist())) != len(names):
        raise ValueError("'joint_names' names a joint twice.")
    if parents[0] != -1 or (parents[1:] < 0).any() or (parents >= np.arange(len(parents))).any():
        raise ValueError("'parents' should start with one root (-1) and put parents first.")


def _check_time(arrays: Mapping[str, np.ndarray]) -> None:
    if arrays["fps"] <= 0:
        raise ValueError("'fps' should be positive.")
    if arrays["image_size"].min() <= 0:
        raise ValueError("'image_size' should be positive.")
    for name in ("frame_numbers", "times"):
        if (np.diff(arrays[name]) <= 0).any():
            raise ValueError(f"'{name}' should increase from frame to frame.")


def _check_shots(arrays: Mapping[str, np.ndarray]) -> None:
    shots, numbers = arrays.get("shots"), arrays["frame_numbers"]
    if shots is None:
        return
    if not len(shots) or shots[0] != numbers[0] or (np.diff(shots) <= 0).any():
        raise ValueError("'shots' should start with the first frame and increase.")
    if not np.isin(shots, numbers).all():
        raise ValueError("'shots' names frames that are not in 'frame_numbers'.")


def _check_transforms(transforms: np.ndarray) -> None:
    rotation = transforms[:, :3, :3]
    proper = np.allclose(rotation @ rotation.swapaxes(1, 2), np.eye(3), atol=UNIT_TOLERANCE)
    if not proper or (np.linalg.det(rotation) < 0).any():
        raise ValueError("'world_from_camera' holds matrices that are no rotations.")
    if not np.array_equal(transforms[:, 3], np.tile([0.0, 0, 0, 1], (len(transforms), 1))):
        raise ValueError("'world_from_camera' should have 0 0 0 1 as its last rows.")


assert set(LAYOUT) | set(OPTIONAL) | {"provenance"} == {
    field.name for field in fields(Reconstruction)
}
