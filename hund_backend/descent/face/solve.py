"""Face solve: ARKit coefficients and the head's turn of a face over a clip.

The learned descent finds keys, identity and turn from the landmarks beside the person's face at
rest and from the blend shape network's numbers; lids, lips and brows are read by themselves, too.
Without the descent, coefficients are those of a bounded fit to the landmarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter1d, median_filter

from ...perception.crops import camera_from_crop
from ...perception.evidence import Evidence
from ...perception.face.evidence import FaceEvidence, FaceState
from ..easing import smoothstep
from .brows import KEYS as BROW_KEYS
from .brows import brow_coefficients
from .coefficients import geometric_coefficients
from .hund import FaceHund
from .inputs import FaceInputs
from .lids import eye_closure
from .lips import pucker
from .model import FaceModel
from .neutral import Displacements, displacements, over_typical_rest
from .state_decoder import PosedFace

_MIN_FRAMES = 12  # with a face, from which a face at rest can be learned
_BRIDGED_SECONDS = 0.3  # a face that is not seen for less moves on between
_LEAST_VISIBILITY = 0.5  # of eyes or mouth, below which they are as if the face were not seen
_STEADY_VISIBILITY_SECONDS = 0.15  # of the median of visibility over time
_EASE_SECONDS = 0.2  # to and from the face at rest, and of the head's turn
_STEADY_SECONDS = 0.03  # Gaussian over time of the keys that are no quick movement
# Blinks, speech and glances last a few frames: they are left as they are seen.
_QUICK = ("eyeBlink", "eyeLook", "jaw", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLower")
_OPPOSITE = (("In", "Out"), ("Up", "Down"))


@dataclass(frozen=True, kw_only=True)
class FaceMotion:
    """Motion of a face; the rows are those of the evidence."""

    arkit: Float[np.ndarray, "frames 52"]  # 0…1; 0 where no face is seen
    expression: Float[np.ndarray, "frames 20"]  # the same face in the body's coefficients
    turn: Float[np.ndarray, "frames 3 3"]  # rotations from the head's axes to the camera's
    turn_weight: Float[np.ndarray, " frames"]  # 0…1, of the turn over the body's guess
    confidence: Float[np.ndarray, "frames 2"]  # 0…1, of eyes with brows, and of the mouth
    states: Int[np.ndarray, " states"]  # number of frames in each FaceState
    has_neutral: bool  # whether the person's face at rest could be learned

    def as_json(self) -> dict[str, Any]:
        """Return what the provenance says of a face: frames seen, and why others were not."""
        counts = {s.name.lower(): int(n) for s, n in zip(FaceState, self.states, strict=True)}
        return {"frames": counts, "neutral": self.has_neutral}


def solve_face(
    evidence: Evidence, fps: float, model: FaceModel, hund: FaceHund | None = None
) -> FaceMotion:
    """Solve a person's face.

    Args:
        evidence: of the person, with a face.
        fps: frames a second.
        model: of the landmarks.
        hund: learned descent for faces; None: the fit alone.
    """
    face = evidence.face
    num_frames = len(face.observed)
    states = np.bincount(face.states, minlength=len(FaceState))
    seen = np.flatnonzero(face.observed)
    arkit = np.zeros((num_frames, len(model.names)))
    turn = np.tile(np.eye(3), (num_frames, 1, 1))
    weight = np.zeros(num_frames)
    has_neutral = len(seen) >= _MIN_FRAMES
    if len(seen):
        values, turns = _of_frames(model, hund, face, seen, use_neutral=has_neutral)
        turns = _in_camera(turns, face, evidence, seen)
        regions = region_columns(model.names)
        for rows in evidence.shot_rows():
            inside = np.isin(seen, rows)
            if inside.any():
                place = seen[inside] - rows[0]
                is_visible = _is_visible(face.visibility[seen[inside]], fps)
                for columns, visible in zip(regions, is_visible.T, strict=True):
                    arkit[np.ix_(rows, columns)] = _over_time(
                        values[inside][visible][:, columns],
                        place[visible],
                        len(rows),
                        fps,
                        [model.names[column] for column in columns],
                    )
                turn[rows] = turns[inside][_nearest(place, len(rows))]
                weight[rows] = _eased(face.confidence[rows] * face.observed[rows], fps)
    return FaceMotion(
        arkit=arkit.astype(np.float32),
        expression=(arkit @ model.expressions).astype(np.float32),
        turn=turn,
        turn_weight=weight,
        confidence=face.visibility * np.minimum(face.confidence, face.observed)[:, None],
        states=states,
        has_neutral=has_neutral,
    )


def _of_frames(
    model: FaceModel,
    hund: FaceHund | None,
    face: FaceEvidence,
    seen: np.ndarray,
    *,
    use_neutral: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and turns, in the picture's axes, of the frames with a face."""
    landmarks, numbers = (each[seen].astype(np.float64) for each in (face.landmarks, face.arkit))
    shown = displacements(model, landmarks, numbers)
    if hund is None and not use_neutral:
        return over_typical_rest(model, numbers), shown.turn
    if hund is None:
        return combined(model, shown, *facts(model, shown)), shown.turn
    if use_neutral:
        inputs = FaceInputs.from_displacements(model, shown)
    else:
        inputs = FaceInputs.without_neutral(model, landmarks, numbers)
    posed = descend(hund, inputs, face.confidence[seen])
    values = posed.arkit.numpy().astype(np.float64)
    turn = shown.turn @ posed.turn.numpy().astype(np.float64)
    if use_neutral:
        values = with_single_features(model, shown, values)
    return without_opposites(model.names, values).clip(0, 1), turn


@torch.no_grad()
def descend(
    hund: FaceHund, inputs: FaceInputs, confidence: Float[np.ndarray, " frames"]
) -> PosedFace:
    """Return a person's faces by the learned descent, with one identity for all frames.

    Args:
        hund: learned descent.
        inputs: of all frames.
        confidence: of the frames, by which their identities are averaged.
    """
    weights = torch.from_numpy(confidence).to(inputs.identity)[:, None] + 1e-3
    identity = hund(inputs)[-1].vector.identity
    shared = (weights * identity).sum(0, keepdim=True) / weights.sum()
    return hund(replace(inputs, identity=shared.expand_as(identity)))[-1].posed


def facts(
    model: FaceModel, shown: Displacements
) -> tuple[Float[np.ndarray, "frames 52"], Float[np.ndarray, "frames 52"]]:
    """Return the coefficients 0…1 by geometry, and those of the blend shape network."""
    return geometric_coefficients(model, shown.landmarks), shown.coefficients.clip(0, 1)


def combined(
    model: FaceModel,
    shown: Displacements,
    geometry: Float[np.ndarray, "frames 52"],
    network: Float[np.ndarray, "frames 52"],
) -> Float[np.ndarray, "frames 52"]:
    """Return the coefficients 0…1 that follow from both facts, and from the lids themselves."""
    values = geometry * model.shares[:, 0] + network * model.shares[:, 1]
    return without_opposites(model.names, with_single_features(model, shown, values)).clip(0, 1)


def with_single_features(
    model: FaceModel, shown: Displacements, values: Float[np.ndarray, "frames 52"]
) -> Float[np.ndarray, "frames 52"]:
    """Return coefficients with what lids, lips and brows tell by themselves."""
    values = values.copy()
    for side, closure in eye_closure(shown.landmarks, shown.neutral).items():
        values[:, model.names.index(f"eyeBlink{side}")] = closure
    puckered = pucker(model, shown.landmarks, values, shown.coefficients)
    values[:, model.names.index("mouthPucker")] = puckered
    brows = [model.names.index(name) for name in BROW_KEYS]
    raised = brow_coefficients(model, shown.landmarks, shown.coefficients)
    values[:, brows] = np.maximum(values[:, brows], raised)
    return values


def without_opposites(names: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """Take the smaller of two opposite glances from the larger: an eye looks one way."""
    result = values.copy()
    for side in ("Left", "Right"):
        for one, other in _OPPOSITE:
            first, second = (names.index(f"eyeLook{each}{side}") for each in (one, other))
            both = np.minimum(values[:, first], values[:, second])
            result[:, first] -= both
            result[:, second] -= both
    return result


def _in_camera(
    turns: np.ndarray, face: FaceEvidence, evidence: Evidence, seen: np.ndarray
) -> np.ndarray:
    """Return turns in the camera's axes: a face beside the optical axis is seen from its side."""
    centers = face.crops[seen].astype(np.float64)
    centers[:, 3] = 0  # landmarks are in the frame's axes already
    towards = [
        camera_from_crop(center, evidence.intrinsics[row])
        for center, row in zip(centers, seen, strict=True)
    ]
    return np.stack(towards) @ turns


def _nearest(places: np.ndarray, num_frames: int) -> np.ndarray:
    """Return the index of the place nearest to each frame."""
    middle = (places[1:] + places[:-1]) / 2
    return np.searchsorted(middle, np.arange(num_frames))


def region_columns(names: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Return the keys of eyes and brows, and those of mouth, jaw, cheeks and nose."""
    upper = [name.startswith(("eye", "brow")) for name in names]
    return tuple([row for row, each in enumerate(upper) if each == side] for side in (True, False))


def _is_visible(
    visibility: Float[np.ndarray, "frames regions"], fps: float
) -> Bool[np.ndarray, "frames regions"]:
    """Return whether regions of the face are seen well enough, without flicker."""
    length = 2 * round(_STEADY_VISIBILITY_SECONDS * fps / 2) + 1
    return median_filter(visibility, size=(length, 1), mode="nearest") >= _LEAST_VISIBILITY


def _over_time(
    values: np.ndarray, places: np.ndarray, num_frames: int, fps: float, names: Sequence[str]
) -> np.ndarray:
    """Return coefficients in all frames: short gaps bridged, long ones at rest."""
    if not len(places):
        return np.zeros((num_frames, len(names)))
    frames = np.arange(num_frames)
    steady = [not name.startswith(_QUICK) for name in names]
    glances = [name.startswith("eyeLook") for name in names]
    filled = np.stack([np.interp(frames, places, column) for column in values.T], axis=1)
    filled[:, steady] = gaussian_filter1d(
        filled[:, steady], _STEADY_SECONDS * fps, axis=0, mode="nearest"
    )
    filled[:, glances] = median_filter(filled[:, glances], size=(3, 1), mode="nearest")
    seen = np.isin(frames, places)
    return filled * _shown(seen, fps)[:, None]


def _shown(seen: Bool[np.ndarray, " frames"], fps: float) -> Float[np.ndarray, " frames"]:
    """Return 1 where a face is seen or bridged, easing to 0 in longer gaps."""
    places = np.flatnonzero(seen)
    frames = np.arange(len(seen))
    after = np.searchsorted(places, frames)
    before = places[(after - 1).clip(0)]
    ahead = places[after.clip(0, len(places) - 1)]
    inside = (before <= frames) & (ahead >= frames) & (ahead - before <= _BRIDGED_SECONDS * fps)
    distance = np.minimum(abs(frames - before), abs(ahead - frames)) / fps
    return np.where(seen | inside, 1.0, smoothstep(1 - distance / _EASE_SECONDS))


def _eased(weights: Float[np.ndarray, " frames"], fps: float) -> Float[np.ndarray, " frames"]:
    """Return weights that reach zero at the ends of what is seen, smoothly and within it."""
    reach = max(1, round(_EASE_SECONDS * fps))
    padded = np.pad(weights, reach, mode="edge")
    lowest = np.min(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)
    return np.minimum(gaussian_filter1d(lowest, reach / 2, mode="nearest"), weights)
