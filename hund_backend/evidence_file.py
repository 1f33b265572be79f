"""Evidence file: what was found in a clip, kept so that motion can be solved again without it.

It stands beside the Reconstruction, `<clip>.evidence` beside `<clip>.npz`, and holds arrays as that
file does.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from .atomic_write import atomic_write
from .errors import BadInputError
from .evidence_identity import ADVICE, SCHEMA, read_arrays
from .options import Options
from .perception.evidence import Evidence
from .perception.face.evidence import FaceEvidence
from .perception.hands.evidence import HandEvidence
from .tracked_clip import TrackedClip
from .video import ClipInfo, Footage

_FRAMES = ("frame_numbers", "times", "intrinsics")
_HANDS = "hands/"  # beginning of the names of the hands' arrays
_NUMBERS = ("track_id", "static", "confidence")  # fields of Evidence that are no arrays
_FACE = "face"  # begins the names of a face's arrays


def save(clip: TrackedClip, options: Options, path: Path) -> None:
    """Write a clip's evidence, whole or not at all.

    Args:
        clip: the people found in a clip.
        options: that the clip is solved with.
        path: of the file.

    Raises:
        BadInputError: the folder cannot be written to, or the disk is full.
    """
    info = clip.info
    header = {
        "options": asdict(options),
        "path": str(clip.path),
        "source": clip.source,
        "truncated": clip.truncated,
        "size": [info.width, info.height],
        "fps": info.fps,
        "num_frames": info.num_frames,
        "footage": info.footage and asdict(info.footage),
        "notes": list(clip.notes),
        "shots": list(clip.shots),
        "left_out": clip.left_out,
        "people": len(clip.people),
        "focal_source": clip.focal_source,
    }
    arrays = {name: np.asarray(getattr(clip, name)) for name in _FRAMES}
    for person, evidence in enumerate(clip.people):
        values = {field.name: getattr(evidence, field.name) for field in fields(evidence)}
        hands, face = values.pop("hands"), values.pop("face")
        if hands is not None:
            values |= {
                f"{_HANDS}{field.name}": getattr(hands, field.name) for field in fields(hands)
            }
        arrays |= {f"{person}/{name}": v for name, v in values.items() if v is not None}
        if face is not None:
            arrays |= {f"{_FACE}/{person}/{f.name}": getattr(face, f.name) for f in fields(face)}
    identity = clip.identity(options)
    names = {"schema": SCHEMA, "identity": identity, "header": json.dumps(header)}
    with atomic_write(path) as [part], part.open("wb") as opened:
        np.savez_compressed(opened, **names, **arrays)


def load(path: Path) -> tuple[TrackedClip, Options]:
    """Read the people of a clip, and the options that it was solved with.

    Raises:
        BadInputError: the file is missing, damaged or no evidence.
    """
    arrays = read_arrays(path)
    try:
        header = json.loads(str(arrays["header"]))
        source, (width, height) = Path(header["path"]), header["size"]
        clip = TrackedClip(
            path=source,
            info=ClipInfo(
                path=source,
                width=width,
                height=height,
                fps=header["fps"],
                num_frames=header["num_frames"],
                footage=Footage(**header["footage"]) if header.get("footage") else None,
            ),
            truncated=header["truncated"],
            frame_numbers=tuple(arrays["frame_numbers"].tolist()),
            times=tuple(arrays["times"].tolist()),
            intrinsics=arrays["intrinsics"],
            people=tuple(_person(arrays, person) for person in range(header["people"])),
            shots=tuple(header["shots"]),
            left_out=header["left_out"],
            source=header["source"],
            notes=tuple(header.get("notes", ())),
            focal_source=header["focal_source"],
        )
        options = header["options"]
        options["distortion"] = tuple(options["distortion"])
        if options["intrinsics"] is not None:
            options["intrinsics"] = tuple(map(tuple, options["intrinsics"]))
        return clip, Options(**options)
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(f"{path.name} is of another version of HUND: {ADVICE}") from error


def _person(arrays: dict[str, Any], person: int) -> Evidence:
    values, face = _under(arrays, f"{person}/"), _under(arrays, f"{_FACE}/{person}/")
    of_hands = _under(values, _HANDS)
    values = {name: v for name, v in values.items() if not name.startswith(_HANDS)}
    numbers = {name: values[name].item() for name in _NUMBERS}
    if face and "visibility" not in face:  # written before it was known
        face["visibility"] = np.repeat(face["observed"][:, None].astype(np.float32), 2, axis=1)
    return Evidence(
        **values | numbers,
        hands=HandEvidence(**of_hands) if of_hands else None,
        face=FaceEvidence(**face) if face else None,
    )


def _under(arrays: dict[str, Any], start: str) -> dict[str, Any]:
    """Return the arrays whose names begin so, by the rest of their names."""
    return {n.removeprefix(start): v for n, v in arrays.items() if n.startswith(start)}
