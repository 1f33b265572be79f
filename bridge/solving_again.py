"""Solving again: poses a result's people with other smoothing, from what was found in its clip."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import bpy

from ..hund_backend import evidence_identity
from ..hund_backend.errors import BadInputError, ExitCode
from . import job, paths, scene
from .existing import Existing

if TYPE_CHECKING:
    from ..hund_backend.reconstruction import Reconstruction

_AGAIN = "reconstruct the clip again"


class Evidence(NamedTuple):
    """What a result was solved from."""

    path: str  # may start with //
    identity: str  # empty: of an earlier version of HUND
    is_smoothed: bool  # False: draft quality


def evidence_of(reconstruction: "Reconstruction", path: Path) -> Evidence:
    """Return what a Reconstruction was solved from.

    Args:
        reconstruction: names it.
        path: of its file; the evidence stands beside it.
    """
    provenance = reconstruction.provenance
    return Evidence(
        path=str(evidence_identity.path_beside(path)),
        identity=str(provenance.get("evidence") or ""),
        is_smoothed=bool(_options(reconstruction).get("polish", True)),
    )


def smoothing_of(reconstruction: "Reconstruction") -> float:
    """Return the amount of smoothing with which a Reconstruction was solved."""
    return float(_options(reconstruction).get("smoothing", 1.0))


def unavailable_reason(evidence: Evidence) -> str | None:
    """Return why a result cannot be solved again, one sentence, or None."""
    if not evidence.identity:
        return f"This result keeps nothing to be solved again: {_AGAIN}."
    if not evidence.is_smoothed:
        return "Draft quality is not smoothed: reconstruct the clip with another quality."
    try:
        path = paths.resolve(evidence.path)
        identity = _identity(path, path.stat().st_mtime_ns)
    except OSError:
        return f"What was found in the clip is no longer on the disk: {_AGAIN}."
    except (BadInputError, job.JobError) as error:
        return str(error)
    if identity != evidence.identity:
        return f"A later reconstruction has replaced what was found in the clip: {_AGAIN}."
    return None


def task(evidence: Evidence, clip: str, output: Path, smoothing: float, device: str) -> job.Task:
    """Return the task that solves a result again.

    Args:
        evidence: that the result was solved from.
        clip: of the result; empty if it is not known.
        output: folder for the Reconstruction.
        smoothing: amount of it.
        device: that computes.

    Raises:
        JobError: the evidence cannot be used.
    """
    if reason := unavailable_reason(evidence):
        raise job.JobError(reason, ExitCode.BAD_INPUT)
    path = paths.resolve(evidence.path).absolute()
    return job.Task(
        command="solve",
        clip=paths.resolve(clip) if clip else path,
        output=output,
        options={"evidence": str(path), "smoothing": smoothing, "device": device},
    )


def existing(target: bpy.types.Scene, path: Path, clip: Path | None, result: str) -> Existing:
    """Return what becomes of the result that was solved again: it gets the motion if it can.

    Args:
        target: scene that contains the result.
        path: of the new Reconstruction.
        clip: of the result; None if it is not known.
        result: its name.
    """
    edited = scene.edited_result(target, job.load(path), clip, result)
    return Existing.MOTION if edited is None or edited.can_get_motion else Existing.ADD


def _options(reconstruction: "Reconstruction") -> dict:
    options = reconstruction.provenance.get("options")
    return options if isinstance(options, dict) else {}


@functools.lru_cache(maxsize=32)
def _identity(path: Path, _modified_ns: int) -> str:
    return evidence_identity.identity_of(path)
