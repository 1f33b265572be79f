"""Report of an evaluation: scores of kits as JSON and as Markdown tables."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_write import atomic_write
from ..body.model import BodyModel
from .estimates import DETECTOR, RECONSTRUCTION, KitEstimates, Predict, estimate
from .kits import Kit
from .scoring import METRICS, Estimates, Score, score, scored_joints
from .temporal_metrics import TEMPORAL_METRICS, score_track

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
    "Means with 95 % bootstrap intervals: pictures are resampled one by one, clips by the second.",
    "`detector` is the landmark network alone: keypoints in 2D, world landmarks in 3D.",
    "Methods are compared on the joints that both define; `all` are those that the body defines.",
    "The body's limbs are joint centres, and COCO's points where a kit names eyes or ears.",
    "Of several people, the one counts whose detected keypoints are nearest to the truth (median).",
    "Nobody found: every keypoint of the frame is wrong; in 3D it is missing and shows in `found`.",
    "The root is the middle of the hips, else the pelvis; the pelvis itself is not in MPJPE.",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Row of a kit's table."""

    method: str
    joints: str  # "all" that the method defines, or those "shared" by all methods
    num_joints: int
    num_found: int
    scores: dict[str, Score]


def evaluate(kits: list[Kit], predict: Predict, body: BodyModel) -> dict[str, Any]:
    """Score kits; return the content of the JSON file, with an empty provenance.

    Args:
        kits: pictures and clips with true joints.
        predict: the pipeline.
        body: the body model of its reconstructions.
    """
    results = [_kit_result(kit, estimate(kit, predict, body), body) for kit in kits]
    return {"schema": SCHEMA, "provenance": {}, "kits": results}


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
    """Return the result as Markdown tables."""
    parts = ["# Evaluation", *(_kit_as_markdown(kit) for kit in result["kits"])]
    parts.append("\n".join(f"* {note}" for note in NOTES))
    provenance = json.dumps(result["provenance"], indent=1)
    return "\n\n".join([*parts, f"```json\n{provenance}\n```"]) + "\n"


def _kit_result(kit: Kit, estimates: KitEstimates, body: BodyModel) -> dict[str, Any]:
    defined = scored_joints(kit, estimates.reconstruction)
    shared = scored_joints(kit, estimates.reconstruction, estimates.detector)
    rows = [_row(kit, estimates.reconstruction, "all", defined)]
    if shared and shared != defined:
        rows.append(_row(kit, estimates.reconstruction, "shared", shared))
    if shared:
        rows.append(_row(kit, estimates.detector, "shared", shared))
    return {
        "name": kit.name,
        "source": kit.source,
        "licence": kit.licence,
        "frames": [
            {"label": frame.label, "people": people}
            for frame, people in zip(kit.frames, estimates.num_people, strict=True)
        ],
        "joints": {
            "all": list(defined),
            "shared": list(shared),
            "not_scored": [name for name in kit.joint_names if name not in defined],
        },
        "rows": [_row_as_json(row) for row in rows],
        "clips": [
            {"clip": track.clip} | _finite(score_track(track, body)) for track in estimates.tracks
        ],
    }


def _row(kit: Kit, estimates: Estimates, joints: str, names: tuple[str, ...]) -> Row:
    return Row(
        method=estimates.method,
        joints=joints,
        num_joints=len(names),
        num_found=int(estimates.found.sum()),
        scores=score(kit, estimates, names),
    )


def _row_as_json(row: Row) -> dict[str, Any]:
    figures = {
        key: {
            "mean": score.mean,
            "low": score.low,
            "high": score.high,
            "num_frames": score.num_frames,
            "per_frame": np.where(score.weights > 0, score.per_frame, np.nan).tolist(),
        }
        for key, score in row.scores.items()
    }
    return {
        "method": row.method,
        "joints": row.joints,
        "num_joints": row.num_joints,
        "found": row.num_found,
        "figures": _finite(figures),
    }


def _finite(value: Any) -> Any:  # noqa: ANN401
    """Replace NaN, which JSON lacks, by None, and round numbers so that the file is readable."""
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
            *(_score_as_text(row["figures"].get(key)) for key in keys),
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
        [clip["clip"], method, *(_number(clip[method].get(key)) for key in TEMPORAL_METRICS)]
        for clip in clips
        for method in (RECONSTRUCTION, DETECTOR)
    ]
    return _table(["clip", "method", *(TITLES[key] for key in TEMPORAL_METRICS)], lines)


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _score_as_text(score: dict[str, Any] | None) -> str:
    if score is None:
        return "-"
    if score["low"] is None:
        return _number(score["mean"])
    return f"{_number(score['mean'])} ({_number(score['low'])} … {_number(score['high'])})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
