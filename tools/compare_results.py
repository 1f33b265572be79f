"""Compare results of two versions of the program: Reconstructions, and scenes.

    python -m tools.compare_results FIRST SECOND [--tolerance 1e-5]
    .venv-blender-4.5/bin/python -m tools.compare_results --scene FIRST.blend SECOND.blend

FIRST and SECOND are two .npz files or two folders of them. Arrays have to be equal bit for bit, or
numbers within the tolerance, each in its own unit: joints in metres, keypoints in pixels. The
provenance is ignored. Exit codes: 0 equal, 1 different, 2 bad input. Scenes need `bpy`.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from hund_backend.errors import BadInputError
from hund_backend.reconstruction import Reconstruction

Arrays = Mapping[str, np.ndarray]
HEAD = (
    "| file | people | frames | max joints difference m | first differing key |\n"
    "| --- | --- | --- | --- | --- |"
)


def max_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest absolute difference; infinite where shapes, types or texts differ."""
    if first.shape != second.shape or first.dtype.kind != second.dtype.kind:
        return math.inf
    if first.dtype.kind not in "fiub":
        return 0.0 if np.array_equal(first, second) else math.inf
    difference = np.abs(first.astype(np.float64) - second.astype(np.float64))
    return float(np.nan_to_num(difference, nan=math.inf).max(initial=0.0))


def differing(first: Arrays, second: Arrays, tolerance: float = 0.0) -> dict[str, float]:
    """Return the keys of arrays that differ, with their largest absolute difference.

    Args:
        first: arrays by key.
        second: arrays to compare them with; a key that only one of them has differs infinitely.
        tolerance: for floating-point numbers; 0 asks for equal bits, of equal types.
    """
    differences = {}
    for key in (*first, *(key for key in second if key not in first)):
        if key not in first or key not in second:
            differences[key] = math.inf
            continue
        one, other = first[key], second[key]
        if _same_bits(one, other):
            continue
        difference = max_difference(one, other)
        allowed = tolerance if one.dtype.kind == "f" else 0.0
        if not tolerance or difference > allowed:
            differences[key] = difference
    return differences


def _same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    same_kind = first.dtype == second.dtype and first.shape == second.shape
    return same_kind and first.tobytes() == second.tobytes()


def reconstruction_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a Reconstruction, without its provenance.

    Raises:
        BadInputError: the file is missing, damaged or no Reconstruction.
    """
    result = Reconstruction.load(path)
    names = [field.name for field in fields(Reconstruction) if field.name != "provenance"]
    values = {name: getattr(result, name) for name in names}
    return {name: np.asarray(value) for name, value in values.items() if value is not None}


def result_files(path: Path) -> dict[str, Path]:
    """Return the .npz files of a folder by their path in it, or a single file by itself.

    Raises:
        BadInputError: the path does not exist, or the folder holds no .npz file.
    """
    if path.is_file():
        return {"": path}
    if not path.is_dir():
        raise BadInputError(f"{path} does not exist: name a file or a folder.")
    found = {str(file.relative_to(path)): file for file in sorted(path.rglob("*.npz"))}
    if not found:
        raise BadInputError(f"{path} holds no .npz file: name a folder of Reconstructions.")
    return found


def compare_results(first: Path, second: Path, tolerance: float) -> tuple[list[str], bool]:
    """Compare two Reconstructions, or the Reconstructions of two folders.

    Returns:
        Lines of the report, and whether all are equal.

    Raises:
        BadInputError: a path cannot be read, or one is a file and the other a folder.
    """
    ours, theirs = result_files(first), result_files(second)
    if ("" in ours) != ("" in theirs):
        raise BadInputError("One path is a file and the other a folder: name two of a kind.")
    rows, details = [HEAD], []
    for name in sorted({*ours, *theirs}):
        label = name or first.name
        if name not in ours or name not in theirs:
            missing = first if name not in ours else second
            rows.append(f"| {label} | | | | missing in {missing} |")
            details.append(f"{label}: missing in {missing}")
            continue
        one, other = reconstruction_arrays(ours[name]), reconstruction_arrays(theirs[name])
        differences = differing(one, other, tolerance)
        people, frames = (
            " / ".join(
                dict.fromkeys(str(arrays["present"].shape[axis]) for arrays in (one, other))
            )
            for axis in (0, 1)
        )
        joints = max_difference(one["joints"], other["joints"])
        distance = "different shapes" if math.isinf(joints) else f"{joints:.3g}"
        key = next(iter(differences), "-")
        rows.append(f"| {label} | {people} | {frames} | {distance} | {key} |")
        details += _details(label, differences)
    return [*rows, *details], not details


def compare_scenes(first: Path, second: Path, tolerance: float) -> tuple[list[str], bool]:
    """Compare keys, shape keys, meshes and rest bones of two .blend files.

    Returns:
        Lines of the report, and whether both are equal.

    Raises:
        BadInputError: a file cannot be read.
    """
    one, other = scene_arrays(first), scene_arrays(second)
    differences = differing(one, other, tolerance)
    kinds = {kind: sum(key.startswith(kind) for key in one) for kind in _SCENE_KINDS}
    counts = ", ".join(f"{count} {kind} arrays" for kind, count in kinds.items())
    verdict = f"{len(differences)} differ" if differences else "equal"
    return [f"{first.name}: {counts}: {verdict}", *_details(first.name, differences)], not (
        differences
    )


_SCENE_KINDS = ("fcurve", "shape key", "mesh", "bone")


def scene_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read keys, shape keys, meshes and rest bones of a .blend file by `bpy`.

    Raises:
        BadInputError: the file cannot be read.
    """
    import bpy  # noqa: TID251 - for scenes alone, in a Blender environment

    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.absolute()), load_ui=False)
    except RuntimeError as error:
        raise BadInputError(f"{path} cannot be read ({str(error).strip()}).") from error
    arrays: dict[str, np.ndarray] = {}
    for action in bpy.data.actions:
        for slot, fcurve in _fcurves(action):
            key = f"fcurve {action.name} {slot}{fcurve.data_path}[{fcurve.array_index}]"
            arrays[key] = _values(fcurve.keyframe_points, "co", 2)
    for keys in bpy.data.shape_keys:
        for block in keys.key_blocks:
            name = f"shape key {keys.user.name} {block.name}"
            arrays[name] = _values(block.data, "co", 3)
            arrays[f"{name} value"] = np.array(block.value)
    for mesh in bpy.data.meshes:
        arrays[f"mesh {mesh.name} vertices"] = _values(mesh.vertices, "co", 3)
        arrays[f"mesh {mesh.name} corners"] = _values(mesh.loops, "vertex_index", 1, np.int32)
    for armature in bpy.data.armatures:
        for bone in armature.bones:
            parent = bone.parent.name if bone.parent else "none"
            name = f"bone {armature.name} {bone.name}, parent {parent}"
            arrays[name] = np.array([*map(tuple, bone.matrix_local), (*bone.tail_local, 1.0)])
    return arrays


def _fcurves(action: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - bpy
    """Yield the F-curves of an action with the name of their slot, none before Blender 4.4."""
    if not hasattr(action, "layers"):
        yield from (("", fcurve) for fcurve in action.fcurves)
        return
    for layer in action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                yield from ((f"{bag.slot.identifier} ", fcurve) for fcurve in bag.fcurves)


def _values(
    collection: Any,  # noqa: ANN401 - bpy
    attribute: str,
    size: int,
    kind: type = np.float32,
) -> np.ndarray:
    values = np.empty(len(collection) * size, kind)
    collection.foreach_get(attribute, values)
    return values.reshape(-1, size)


def _details(label: str, differences: Mapping[str, float]) -> list[str]:
    return [f"{label}: {key}: {difference:.3g}" for key, difference in differences.items()]


def main(argv: list[str] | None = None) -> int:
    """Compare, print the report and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "results", nargs="*", type=Path, metavar="PATH", help="two files or folders"
    )
    parser.add_argument("--tolerance", type=float, default=0.0, help="default: 0, equal bits")
    parser.add_argument("--scene", nargs=2, type=Path, metavar="FILE.blend", help="needs bpy")
    arguments = parser.parse_args(argv)
    if len(arguments.results) not in (0, 2) or not (arguments.results or arguments.scene):
        parser.error("name two files, two folders, or two scenes")
    equal = True
    try:
        for compare, paths in (
            (compare_results, arguments.results),
            (compare_scenes, arguments.scene),
        ):
            if paths:
                lines, same = compare(*paths, arguments.tolerance)
                print("\n".join(lines))
                equal &= same
    except BadInputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
