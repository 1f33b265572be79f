"""The report of an evaluation: scores of kits as JSON and as a Markdown table."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_write import atomic_write
from ..body.model import BodyModel
from .estimates import DETECTOR, RECONSTRUCTION, Outcome, Request, Seen, estimate
from .kits import Kit
from .scoring import METRICS, Estimates, Figure, score, scored_joints
from .steadiness import STEADINESS, steadiness

SCHEMA = "hund-evaluation/1"
TITLES = {
    "mpjpe_mm": "MPJPE mm",
    "pa_mpjpe_mm": "PA-MPJPE mm",
    "pck_head_50": "PCK@0.5 head %",
    "pck_torso_50": "PCK@0.5 torso %",
    "pck_torso_20": "PCK@0.2 torso %",
    "jitter": "jitter m/s³",
    "acceleration": "acceleration m/s²",
    "bone_length_std_mm": "bone length std mm",
    "camera_jitter": "jitter in camera m/s³",
    "foot_sliding_mm": "foot sliding mm/frame",
}
NOTES = (
    "Means with 95 % bootstrap intervals: pictures are drawn one by one, clips by the second.",
    "`detector` is what the landmark network alone says: keypoints in 2D, world landmarks in 3D.",
    "Methods are compared on the joints that both define; `all` are those of the body alone.",
    "The body's limbs are joint centres, and COCO's points where a kit names eyes or ears.",
    "Of several people the one counts whose detected keypoints are nearest to the truth (median).",
    "Nobody found: every keypoint of the frame is wrong; in 3D it is missing and shows in `found`.",
    "The root is the middle of the hips, else the pelvis; the pelvis itself is not in MPJPE.",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a kit's table."""

    method: str
    joints: str  # "all" that the method defines, or those it shares with the others
    num_joints: int
    num_found: int
    figures: dict[str, Figure]


def evaluate(
    kits: list[Kit], look: Callable[[Request], Seen | None], body: BodyModel
) -> dict[str, Any]:
    """Score kits; answers what goes into the JSON file, but for its provenance.

    Args:
        kits: pictures and clips with a truth.
        look: the pipeline.
        body: the body model of its reconstructions.
    """
    scored = [_scored(kit, estimate(kit, look, body), body) for kit in kits]
    return {"schema": SCHEMA, "provenance": {}, "kits": scored}


def write(result: dict[str, Any], folder: Path) -> None:
    """Write `evaluation.json` and `evaluation.md` into a folder.

    Raises:
        BadInputError: the folder cannot be written to, or the disk is full.
    """
    text = json.dumps(result, indent=1, allow_nan=False)
    files = folder / "evaluation.json", folder / "evaluation.md"
    with atomic_write(*files) as [as_json, as_markdown]:
        as_json.write_text(text, encoding="utf-8")
        as_markdown.write_text(markdown(result), encoding="utf-8")


def markdown(result: dict[str, Any]) -> str:
    """The result as tables for people."""
    parts = ["# Evaluation", *(_kit_as_markdown(kit) for kit in result["kits"])]
    parts.append("\n".join(f"* {note}" for note in NOTES))
    provenance = json.dumps(result["provenance"], indent=1)
    return "\n\n".join([*parts, f"```json\n{provenance}\n```"]) + "\n"


def _scored(kit: Kit, outcome: Outcome, body: BodyModel) -> dict[str, Any]:
    own = scored_joints(kit, outcome.reconstruction)
    shared = scored_joints(kit, outcome.reconstruction, outcome.detector)
    rows = [_row(kit, outcome.reconstruction, "all", own)]
    if shared and shared != own:
        rows.append(_row(kit, outcome.reconstruction, "shared", shared))
    if shared:
        rows.append(_row(kit, outcome.detector, "shared", shared))
    return {
        "name": kit.name,
        "source": kit.source,
        "licence": kit.licence,
        "frames": [
            {"label": frame.label, "people": people}
            for frame, people in zip(kit.frames, outcome.num_people, strict=True)
        ],
        "joints": {
            "all": list(own),
            "shared": list(shared),
            "not_scored": [name for name in kit.joint_names if name not in own],
        },
        "rows": [_row_as_json(row) for row in rows],
        "clips": [
            {"clip": track.clip} | _finite(steadiness(track, body)) for track in outcome.tracks
        ],
    }


def _row(kit: Kit, estimates: Estimates, joints: str, names: tuple[str, ...]) -> Row:
    return Row(
        method=estimates.method,
        joints=joints,
        num_joints=len(names),
        num_found=int(estimates.found.sum()),
        figures=score(kit, estimates, names),
    )


def _row_as_json(row: Row) -> dict[str, Any]:
    figures = {
        key: {
            "mean": figure.mean,
            "low": figure.low,
            "high": figure.high,
            "num_frames": figure.num_frames,
            "per_frame": np.where(figure.weights > 0, figure.per_frame, np.nan).tolist(),
        }
        for key, figure in row.figures.items()
    }
    return {
        "method": row.method,
        "joints": row.joints,
        "num_joints": row.num_joints,
        "found": row.num_found,
        "figures": _finite(figures),
    }


def _finite(value: Any) -> Any:  # noqa: ANN401
    """Numbers that JSON knows: null for NaN, and rounded so that a file can be read."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value


def _kit_as_markdown(kit: dict[str, Any]) -> str:
    present = {key for row in kit["rows"] for key in row["figures"]}
    keys = [key for key in METRICS if key in present]
    head = ["method", "joints", "found", *(TITLES[key] for key in keys)]
    lines = [
        [
            row["method"],
            f"{row['joints']} ({row['num_joints']})",
            f"{row['found']} / {len(kit['frames'])}",
            *(_figure_as_text(row["figures"].get(key)) for key in keys),
        ]
        for row in kit["rows"]
    ]
    parts = [
        f"## {kit['name']}",
        f"{len(kit['frames'])} frames. Source: {kit['source']}. Licence: {kit['licence']}.",
        _table(head, lines),
        "\n".join(f"* {title}: {', '.join(names)}" for title, names in _joint_lists(kit).items()),
    ]
    if kit["clips"]:
        parts.append(_clips_as_markdown(kit["clips"]))
    return "\n\n".join(parts)


def _joint_lists(kit: dict[str, Any]) -> dict[str, list[str]]:
    titles = {"all": "all joints", "shared": "shared joints", "not_scored": "not scored"}
    return {titles[key]: names for key, names in kit["joints"].items() if names}


def _clips_as_markdown(clips: list[dict[str, Any]]) -> str:
    lines = [
        [clip["clip"], method, *(_number(clip[method].get(key)) for key in STEADINESS)]
        for clip in clips
        for method in (RECONSTRUCTION, DETECTOR)
    ]
    return _table(["clip", "method", *(TITLES[key] for key in STEADINESS)], lines)


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figure_as_text(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "-"
    if figure["low"] is None:
        return _number(figure["mean"])
    return f"{_number(figure['mean'])} ({_number(figure['low'])} … {_number(figure['high'])})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
