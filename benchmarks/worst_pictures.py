"""Contact sheet of the pictures on which the pipeline errs most, with one or more weights of HUND.

Run as `python -m benchmarks.worst_pictures KIT … --hund WEIGHTS …`. Pictures are ordered by their
keypoints' mean error under the first weights. Each has, from the left, the picture with its true
keypoints, and for every weights the body over the picture and the same body from its side, where
depth shows: what is far lies on the right. Lines lead from wrong keypoints to the true ones.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from benchmarks import measuring
from benchmarks.accuracy import PERCEPTION, PICTURE_METHODS
from benchmarks.perception_cache import PerceptionCache
from hund_backend.atomic_write import write_file
from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.hund import WEIGHTS_FILE, Hund
from hund_backend.evaluation.body_points import body_points
from hund_backend.evaluation.estimates import Request, nearest_person
from hund_backend.evaluation.kits import Kit, read_kit
from hund_backend.evaluation.scoring import TORSO_DIAGONALS
from hund_backend.image_file import encode_png
from hund_backend.models import Models
from hund_backend.preview import overlay_meshes, posed_vertices
from hund_backend.reconstruction import Reconstruction
from hund_backend.rendering.mesh_overlay import Mesh, draw_meshes
from hund_backend.video import open_clip

TILE = 170  # px
COLUMNS = 3  # of pictures
MARGIN = 0.2  # around a person's keypoints, of the longer side of their box
OPACITY = 0.8
MAX_ERROR = 1.0  # of the torso's diagonal: a keypoint that is farther off counts as this far
RIGHT_ERROR = 0.2  # of the torso's diagonal: up to which a keypoint is right
LIMBS = {"arms": ("shoulder", "elbow", "wrist"), "legs": ("hip", "knee", "ankle")}
SWAPPED = 0.8  # of the error: what it is with left and right swapped, where they are swapped
LEFT, RIGHT, OTHER = (242, 115, 51), (51, 140, 242), (230, 230, 230)  # as the bodies' limbs
FROM_THE_SIDE = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The person of a picture, as some weights pose them."""

    result: Reconstruction
    person: int
    pixels: Float[np.ndarray, "joints 2"]  # NaN where the body has no such joint


@dataclass(frozen=True, kw_only=True)
class Case:
    """Picture with its truth, and the estimates of all weights."""

    label: str
    path: Path
    names: tuple[str, ...]
    truth: Float[np.ndarray, "joints 2"]  # NaN where unknown
    torso: float  # px
    estimates: tuple[Estimate | None, ...]  # None where nobody was found

    def errors(self, weights: int) -> Float[np.ndarray, " joints"]:
        """Distances of the keypoints from the truth, in torsos; NaN where the truth is unknown."""
        estimate = self.estimates[weights]
        if estimate is None:
            return np.where(np.isfinite(self.truth[:, 0]), MAX_ERROR, np.nan)
        errors = np.linalg.norm(estimate.pixels - self.truth, axis=-1) / self.torso
        return errors.clip(max=MAX_ERROR)


def main() -> None:
    """Write the sheet, and print the errors of its pictures."""
    args = measuring.parse(__doc__, add_arguments)
    torch.set_num_threads(args.cores)  # no times are measured here
    models, low = Models.load("cpu"), BodyModel.load("low")
    perception = PerceptionCache(models, args.perception)
    networks = [
        replace(models, hund=Hund.load(models.body, models.prior, path)) for path in args.hund
    ]
    pictures = [
        (kit, row)
        for kit in map(read_kit, args.kits)
        for row in range(min(len(kit.frames), args.most))
        if np.isfinite(torso_px(kit, row))
    ]
    ranked = [
        posed_case(kit, row, perception, networks[:1], args.rank or args.method)
        for kit, row in pictures
    ]
    order = np.argsort([-np.nanmean(case.errors(0)) for case in ranked], kind="stable")
    worst = [
        posed_case(*pictures[place], perception, networks, args.method)
        for place in order[: args.count]
    ]
    for place, case in enumerate(worst, start=1):
        shares = [f"{_share(case, w):.0f}" for w in range(len(args.hund))]
        swapped = [", ".join(swapped_limbs(case, w)) or "none" for w in range(len(args.hund))]
        print(
            f"{place}. {case.label}: {' → '.join(shares)} % within {RIGHT_ERROR} torsos; left and "
            f"right swapped: {' → '.join(swapped)}"
        )
    write_file(args.output, encode_png(sheet(worst, low)))
    print(args.output)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    out = measuring.ROOT / "out"
    parser.add_argument("kits", type=Path, nargs="+", metavar="KIT")
    parser.add_argument("--hund", type=Path, nargs="+", default=[WEIGHTS_FILE], metavar="WEIGHTS")
    parser.add_argument("--method", choices=PICTURE_METHODS, default="stages, polished")
    parser.add_argument(
        "--rank", choices=PICTURE_METHODS, help="method whose errors count; default: that drawn"
    )
    parser.add_argument("--count", type=int, default=40, help="pictures on the sheet")
    parser.add_argument("--most", type=int, default=1000, help="most pictures of a kit")
    parser.add_argument(
        "--perception",
        type=Path,
        default=out / "accuracy" / "perception",
        help="folder that keeps what perception found",
    )
    parser.add_argument("--output", type=Path, default=out / "worst_pictures.png")


def posed_case(
    kit: Kit, row: int, perception: PerceptionCache, networks: list[Models], method: str
) -> Case:
    """Return a picture of a kit, posed by all networks."""
    path = kit.frames[row].path
    estimates = []
    for models in networks:
        found = perception.predict(
            Request(path=path), PICTURE_METHODS[method], perception=PERCEPTION, models=models
        )
        estimates.append(
            None if found is None else _estimate(kit, row, found.reconstruction, models)
        )
    return Case(
        label=path.stem,
        path=path,
        names=kit.joint_names,
        truth=_truth(kit, row),
        torso=torso_px(kit, row),
        estimates=tuple(estimates),
    )


def torso_px(kit: Kit, row: int) -> float:
    """Return the diagonal of a picture's torso; NaN for a clip's frame and where it is unknown."""
    if kit.frames[row].joints_px is None or kit.frames[row].number is not None:
        return np.nan
    truth = _truth(kit, row)
    lengths = [
        float(np.linalg.norm(np.subtract(*(truth[kit.joint_names.index(end)] for end in ends))))
        for ends in TORSO_DIAGONALS
    ]
    known = [length for length in lengths if np.isfinite(length) and length > 0]
    return known[0] if known else np.nan


def _truth(kit: Kit, row: int) -> Float[np.ndarray, "joints 2"]:
    frame = kit.frames[row]
    return np.where(frame.has_px[:, None], frame.joints_px, np.nan)


def _estimate(kit: Kit, row: int, result: Reconstruction, models: Models) -> Estimate:
    person = nearest_person(kit, row, result, list(range(len(result.present))), 0)
    points = body_points(result, models.body, kit.joint_names, in_image=True)
    pixels = np.full((len(kit.joint_names), 2), np.nan)
    for joint, name in enumerate(kit.joint_names):
        if name in points:
            pixels[joint] = _projected(points[name][person, 0], result.intrinsics[0])
    return Estimate(result=result, person=person, pixels=pixels)


def _projected(
    point: Float[np.ndarray, " 3"], intrinsics: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, " 2"]:
    return point[:2] / point[2] @ intrinsics[:2, :2].T + intrinsics[:2, 2]


def _share(case: Case, weights: int) -> float:
    errors = case.errors(weights)
    known = np.isfinite(case.truth[:, 0])
    return 100 * float((errors[known] <= RIGHT_ERROR).mean())


def swapped_limbs(case: Case, weights: int) -> list[str]:
    """Return those of arms and legs that lie clearly nearer to the other side's true keypoints."""
    estimate = case.estimates[weights]
    if estimate is None:
        return []
    swapped = []
    for limb, names in LIMBS.items():
        pairs = [tuple(f"{side}_{name}" for side in ("left", "right")) for name in names]
        pairs = [pair for pair in pairs if set(pair) <= set(case.names)]
        own = [case.names.index(name) for pair in pairs for name in pair]
        other = [case.names.index(name) for pair in pairs for name in reversed(pair)]
        to_own, to_other = (
            np.linalg.norm(estimate.pixels[own] - case.truth[joints], axis=-1)
            for joints in (own, other)
        )
        known = np.isfinite(to_own + to_other)
        if known.any() and to_other[known].mean() < SWAPPED * to_own[known].mean():
            swapped.append(limb)
    return swapped


def sheet(cases: list[Case], low: BodyModel) -> UInt8[np.ndarray, "height width 3"]:
    """Return the pictures in columns, numbered from the worst."""
    strips = [strip(case, place, low) for place, case in enumerate(cases, start=1)]
    strips += [np.full_like(strips[0], 24)] * (-len(strips) % COLUMNS)
    gap = np.full((len(strips[0]), 8, 3), 24, np.uint8)
    rows = [
        np.concatenate([part for each in strips[i : i + COLUMNS] for part in (each, gap)], axis=1)
        for i in range(0, len(strips), COLUMNS)
    ]
    return np.concatenate(rows)


def strip(case: Case, place: int, low: BodyModel) -> UInt8[np.ndarray, "tile width 3"]:
    """Return the tiles of a picture: the truth, and for all weights the body and its side."""
    with open_clip(case.path) as clip:
        picture = next(iter(clip)).image
    tile_from_image = _tile_from_image(case)
    cut = cv2.warpAffine(picture, tile_from_image, (TILE, TILE), flags=cv2.INTER_AREA)
    tiles = [_with_keypoints(cut, case, tile_from_image)]
    for weights, estimate in enumerate(case.estimates):
        if estimate is None:
            tiles += [_written(cut, "nobody found"), np.full_like(cut, 24)]
            continue
        vertices = posed_vertices(estimate.result, low, slice(0, 1))[:, 0]
        meshes = overlay_meshes(estimate.result, low, vertices, 0, 1.0)
        in_tile = [replace(m, pixels=_moved(tile_from_image, m.pixels)) for m in meshes]
        body = _with_errors(
            draw_meshes(cut, in_tile, OPACITY), case, estimate, weights, tile_from_image
        )
        tiles += [
            _written(body, f"{_share(case, weights):.0f} %"),
            side_view(meshes[estimate.person]),
        ]
    tiles[0] = _written(tiles[0], f"{place} {case.label[-9:]}")
    return np.concatenate(tiles, axis=1)


def side_view(mesh: Mesh) -> UInt8[np.ndarray, "tile tile 3"]:
    """Return a body as seen from the left of the picture, what is far on the right."""
    turned = (mesh.vertices - mesh.vertices.mean(0)) @ FROM_THE_SIDE.T
    low, high = turned[:, :2].min(0), turned[:, :2].max(0)
    scale = 0.9 * TILE / float((high - low).max())
    pixels = TILE / 2 + scale * (turned[:, :2] - (low + high) / 2)
    far = turned + np.array([0.0, 0.0, 10.0])
    background = np.full((TILE, TILE, 3), 60, np.uint8)
    return draw_meshes(background, [replace(mesh, vertices=far, pixels=pixels)], 1.0)


def _tile_from_image(case: Case) -> Float[np.ndarray, "2 3"]:
    points = [case.truth, *(e.pixels for e in case.estimates if e is not None)]
    # Of estimates that are far off, a part is enough.
    known = np.concatenate(points)[np.isfinite(np.concatenate(points)[:, 0])]
    true = case.truth[np.isfinite(case.truth[:, 0])]
    spread = np.ptp(true, axis=0).max()
    known = known.clip(true.min(0) - 0.5 * spread, true.max(0) + 0.5 * spread)
    low, high = known.min(0), known.max(0)
    side = (1 + 2 * MARGIN) * float((high - low).max())
    corner = (low + high) / 2 - side / 2
    return np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]]) * TILE / side


def _moved(
    tile_from_image: Float[np.ndarray, "2 3"], points: Float[np.ndarray, "points 2"]
) -> Float[np.ndarray, "points 2"]:
    return points @ tile_from_image[:, :2].T + tile_from_image[:, 2]


def _with_keypoints(
    tile: np.ndarray, case: Case, tile_from_image: Float[np.ndarray, "2 3"]
) -> UInt8[np.ndarray, "tile tile 3"]:
    tile = tile.copy()
    for name, point in zip(case.names, _moved(tile_from_image, case.truth), strict=True):
        if np.isfinite(point[0]):
            cv2.circle(tile, _pixel(point), 3, (0, 0, 0), -1)
            cv2.circle(tile, _pixel(point), 2, _color(name), -1)
    return tile


def _with_errors(
    tile: np.ndarray,
    case: Case,
    estimate: Estimate,
    weights: int,
    tile_from_image: Float[np.ndarray, "2 3"],
) -> UInt8[np.ndarray, "tile tile 3"]:
    tile = tile.copy()
    errors = case.errors(weights)
    found, true = (_moved(tile_from_image, points) for points in (estimate.pixels, case.truth))
    for joint, name in enumerate(case.names):
        if errors[joint] > RIGHT_ERROR:  # False where NaN
            cv2.line(tile, _pixel(found[joint]), _pixel(true[joint]), (255, 255, 0), 1)
            cv2.circle(tile, _pixel(true[joint]), 2, _color(name), -1)
    return tile


def _color(name: str) -> tuple[int, int, int]:
    return {"left": LEFT, "right": RIGHT}.get(name.split("_")[0], OTHER)


def _pixel(point: Float[np.ndarray, " 2"]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _written(tile: np.ndarray, text: str) -> UInt8[np.ndarray, "tile tile 3"]:
    tile = tile.copy()
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        origin = (4, TILE - 6)
        cv2.putText(tile, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42, color, thickness)
    return tile


if __name__ == "__main__":
    main()
