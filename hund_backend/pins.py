"""Pins: places of joints set by hand, around which a finished reconstruction is solved again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from .body.model import BodyModel
from .body.rotations import matrix_to_quaternion, quaternion_to_matrix
from .descent.body_contacts import BodyContacts
from .descent.fit.span import SpanConfig, fit_span
from .descent.fit.terms.pins import Pins
from .descent.reduced_body import REDUCED_JOINTS, FitVariables, ReducedBody
from .errors import BadInputError
from .reconstruction import Reconstruction

REACH = 0.7  # seconds before and after a pin that are solved again


@dataclass(frozen=True, kw_only=True)
class Pin:
    """Place where a joint belongs in a frame."""

    frame: int  # position in the frames of the reconstruction
    joint: str  # one of REDUCED_JOINTS
    place: tuple[float, float, float]  # camera frame, metres


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """Motion of a person over all frames of a reconstruction, as its file has it."""

    rotations: Float32[np.ndarray, "frames joints 4"]
    root_translation: Float32[np.ndarray, "frames 3"]

    @classmethod
    def of_person(cls, reconstruction: Reconstruction, person: int) -> "Motion":
        """Return the motion in a reconstruction."""
        return cls(
            rotations=reconstruction.rotations[person],
            root_translation=reconstruction.root_translation[person],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class SolvedPins:
    """Motion in which joints are at their pins; other frames are those of the motion before."""

    motion: Motion
    frames: Int[np.ndarray, " changed"]  # positions of the frames that were solved again
    misses: Float[np.ndarray, " pins"]  # distances of the joints from their pins, metres


@dataclass(frozen=True, eq=False)
class Bodies:
    """Body in the two forms that the fit needs, loaded once."""

    keypoints: ReducedBody
    contact_points: ReducedBody

    @classmethod
    def load(cls) -> "Bodies":
        """Load the body.

        Raises:
            BadInputError: its file is missing or damaged.
        """
        body = BodyModel.load("keypoints")
        return cls(ReducedBody.from_body(body), ReducedBody.contacts_from_body(body))


def solve_pins(
    reconstruction: Reconstruction,
    person: int,
    pins: Sequence[Pin],
    bodies: Bodies,
    *,
    motion: Motion | None = None,
    reach: float = REACH,
    config: SpanConfig | None = None,
) -> SolvedPins:
    """Solve the frames around pins again.

    Args:
        reconstruction: gives keypoints, contacts, body shape and camera.
        person: index of the person.
        pins: none changes nothing.
        bodies: loaded once.
        motion: to change; None: the reconstruction's.
        reach: seconds before and after each pin that may change, within its shot.
        config: of the fit.

    Raises:
        BadInputError: there is no such person, frame or joint.
    """
    _check(reconstruction, person, pins)
    motion = motion or Motion.of_person(reconstruction, person)
    frames_of_reach = max(1, round(reach * _fps(reconstruction)))
    rotations, translations = motion.rotations.copy(), motion.root_translation.copy()
    misses, changed = np.zeros(len(pins)), []
    for first, last, members in _spans(reconstruction, pins, frames_of_reach):
        span = _Span(reconstruction, person, motion, bodies, first, last, config or SpanConfig())
        solved = span.solve([pins[member] for member in members])
        rotations[first : last + 1] = span.joint_rotations(solved)
        translations[first : last + 1] = span.inner(solved.translation)
        misses[members] = span.misses(solved, [pins[member] for member in members])
        changed.append(np.arange(first, last + 1))
    return SolvedPins(
        motion=Motion(rotations=rotations, root_translation=translations),
        frames=np.concatenate(changed) if changed else np.zeros(0, np.int64),
        misses=misses,
    )


class _Span:
    """Frames [first, last] of a person, with those around them that stay."""

    def __init__(
        self,
        reconstruction: Reconstruction,
        person: int,
        motion: Motion,
        bodies: Bodies,
        first: int,
        last: int,
        config: SpanConfig,
    ) -> None:
        self._bodies, self._config = bodies, config
        self._fps = _fps(reconstruction)
        shot_first, shot_last = _shot_of(reconstruction, first)
        self.start = max(shot_first, first - config.context)
        stop = min(shot_last, last + config.context) + 1
        self._frozen = first - self.start, stop - 1 - last
        rows = slice(self.start, stop)
        self._rotations = motion.rotations[rows]
        matrices = quaternion_to_matrix(torch.from_numpy(self._rotations.astype(np.float64)))
        self._base = FitVariables(
            matrices[:, bodies.keypoints.joint_indices],
            torch.from_numpy(motion.root_translation[rows].astype(np.float64)),
            torch.from_numpy(reconstruction.betas[person].astype(np.float64)),
        )
        confidence = reconstruction.keypoints[person, rows, :, 2]
        confidence = confidence * reconstruction.present[person, rows, None]
        self._confidence = torch.from_numpy(confidence.astype(np.float64))
        self._intrinsics = torch.from_numpy(reconstruction.intrinsics[rows])
        self._contacts = _body_contacts(reconstruction, person, rows)

    def solve(self, pins: Sequence[Pin]) -> FitVariables:
        """Fit the span to its pins."""
        return fit_span(
            self._base,
            self._pins(pins),
            self._confidence,
            self._intrinsics,
            self._fps,
            self._bodies.keypoints,
            contact_points=self._bodies.contact_points,
            contacts=self._contacts,
            frozen=self._frozen,
            config=self._config,
        )

    def inner(self, values: torch.Tensor) -> np.ndarray:
        """Values without those of the frames that stay, as the file has them."""
        before, after = self._frozen
        return values[before : len(values) - after].numpy().astype(np.float32)

    def joint_rotations(self, solved: FitVariables) -> Float32[np.ndarray, "inner joints 4"]:
        """Quaternions of all joints; those that the fit does not move keep theirs."""
        before, after = self._frozen
        result = self._rotations[before : len(self._rotations) - after].copy()
        result[:, self._bodies.keypoints.joint_indices] = self.inner(
            matrix_to_quaternion(solved.rotations)
        )
        return result

    def misses(self, solved: FitVariables, pins: Sequence[Pin]) -> Float[np.ndarray, " pins"]:
        """Distances of the joints from their pins, metres."""
        chosen = self._pins(pins)
        joints = self._bodies.keypoints.forward(solved).joints
        return (joints[chosen.frames, chosen.joints] - chosen.places).norm(dim=-1).numpy()

    def _pins(self, pins: Sequence[Pin]) -> Pins:
        return Pins(
            frames=torch.tensor([pin.frame - self.start for pin in pins]),
            joints=torch.tensor([REDUCED_JOINTS.index(pin.joint) for pin in pins]),
            places=torch.tensor([pin.place for pin in pins], dtype=torch.float64),
        )


def _check(reconstruction: Reconstruction, person: int, pins: Sequence[Pin]) -> None:
    people, frames = reconstruction.present.shape
    if not 0 <= person < people:
        raise BadInputError(f"There is no person {person}: give a number from 0 to {people - 1}.")
    for pin in pins:
        if not 0 <= pin.frame < frames:
            raise BadInputError(
                f"There is no frame {pin.frame} to pin: give a number from 0 to {frames - 1}."
            )
        if pin.joint not in REDUCED_JOINTS:
            raise BadInputError(f"{pin.joint} cannot be pinned: pin a joint of the body.")
        if not np.isfinite(pin.place).all() or pin.place[2] <= 0:
            raise BadInputError(
                f"The pin of {pin.joint} lies behind the camera: place it before the camera."
            )


def _fps(reconstruction: Reconstruction) -> float:
    steps = np.diff(reconstruction.times)
    return float(1 / np.median(steps)) if len(steps) else reconstruction.fps


def _shot_of(reconstruction: Reconstruction, frame: int) -> tuple[int, int]:
    """Return the first and the last frame of a frame's shot."""
    count = len(reconstruction.frame_numbers)
    if reconstruction.shots is None:
        return 0, count - 1
    starts = np.searchsorted(reconstruction.frame_numbers, reconstruction.shots)
    shot = int(np.searchsorted(starts, frame, side="right")) - 1
    last = int(starts[shot + 1]) - 1 if shot + 1 < len(starts) else count - 1
    return int(starts[shot]), last


def _spans(
    reconstruction: Reconstruction, pins: Sequence[Pin], reach: int
) -> list[tuple[int, int, list[int]]]:
    """Return first frame, last frame and pins of each span; spans that touch are one."""
    spans: list[tuple[int, int, list[int]]] = []
    for index in sorted(range(len(pins)), key=lambda each: pins[each].frame):
        frame = pins[index].frame
        shot_first, shot_last = _shot_of(reconstruction, frame)
        first, last = max(shot_first, frame - reach), min(shot_last, frame + reach)
        gap = SpanConfig().context + 1
        if spans and first <= spans[-1][1] + gap and spans[-1][0] >= shot_first:
            before = spans[-1]
            spans[-1] = (before[0], max(before[1], last), [*before[2], index])
        else:
            spans.append((first, last, [index]))
    return spans


def _body_contacts(reconstruction: Reconstruction, person: int, rows: slice) -> BodyContacts:
    """Return the contacts of CONTACT_NAMES; where the floor is does not matter here."""
    soles = reconstruction.contacts[person, rows][:, [0, 1, 1, 2, 3, 3]]
    others = np.zeros_like(soles)
    if reconstruction.body_contacts is not None:
        others = reconstruction.body_contacts[person, rows][:, [0, 2, 4, 1, 3, 4]]
    bearing = torch.from_numpy(np.concatenate((soles, others), axis=1).astype(np.float64))
    nowhere = torch.zeros_like(bearing)
    return BodyContacts(
        bearing=bearing,
        on_floor=nowhere,
        over_floor=nowhere,
        on_level=nowhere,
        levels=nowhere,
        airborne=nowhere[:, 0],
        up=torch.from_numpy(reconstruction.world_from_camera[rows.start, 2, :3].copy()),
        floor=0.0,
    )
