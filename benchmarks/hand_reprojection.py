"""Hands of a Reconstruction over the footage: distance of their points from the detected ones.

Run as `python -m benchmarks.hand_reprojection CLIP … --folder OUT`. Prints, for each clip, the mean
distance in per cent of the hand's size (the longer side of the box around the detected points), as
placed and after the hand was moved and scaled to fit, and writes a sheet with both hands of the most
prominent person, drawn over the footage and from aside.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from benchmarks import measuring
from hund_backend.body.camera import project
from hund_backend.body.hand import POINT_PARENTS, HandModel, mirrored_rotations
from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import quaternion_to_matrix, rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, LEFT_HAND_JOINTS, PARENTS, RIGHT_HAND_JOINTS
from hund_backend.models import Models
from hund_backend.options import Options
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.hands.evidence import HandEvidence
from hund_backend.pipeline import reconstruct
from hund_backend.reconstruction import Reconstruction
from hund_backend.rendering.mesh_overlay import Mesh, draw_meshes
from hund_backend.tracked_clip import TrackedClip
from hund_backend.video import open_clip

TILE = 300  # px
MARGIN = 1.7  # of a hand's box
COLORS = ((60, 200, 255), (90, 255, 120))  # of detected and of reconstructed points, RGB
SKIN = (0.85, 0.65, 0.5)


def hand_points(reconstruction: Reconstruction, person: int) -> Float[Tensor, "frames 2 21 3"]:
    """Points of both hands of a person, camera frame, metres."""
    model, body = HandModel.load(), BodyModel.load("keypoints")
    rotations = quaternion_to_matrix(torch.from_numpy(reconstruction.rotations[person]))
    betas = torch.from_numpy(reconstruction.betas[person])
    joints = body.rest_template + torch.einsum("b,bjx->jx", betas, body.joint_basis)
    rest = joints.expand(len(rotations), -1, -1)
    orientations, _ = forward_kinematics(rotations, rest, PARENTS)
    hand_rest = model.rest_points(betas)
    places = torch.from_numpy(reconstruction.joints[person])
    sides = []
    for side, fingers in zip("LR", (LEFT_HAND_JOINTS, RIGHT_HAND_JOINTS), strict=True):
        wrist = JOINT_INDEX[f"Hand{side}"]
        turns = torch.cat((orientations[:, [wrist]], rotations[:, list(fingers)]), dim=1)
        if side == "R":
            turns = mirrored_rotations(turns)
        points = model(turns, hand_rest)
        if side == "R":
            points = points * torch.tensor([-1.0, 1.0, 1.0])
        sides.append(points + places[:, [wrist]])
    return torch.stack(sides, dim=1)


def reprojection_percent(
    pixels: Float[np.ndarray, "frames 2 21 2"], hands: HandEvidence, *, aligned: bool = False
) -> Float[np.ndarray, " seen"]:
    """Distance of each hand that is seen, in per cent of its size.

    Args:
        pixels: of the Reconstruction's points.
        hands: the detected ones.
        aligned: after the points were moved and scaled to fit.
    """
    detected = hands.keypoints[..., :2]
    if aligned:
        centered = pixels - pixels.mean(axis=-2, keepdims=True)
        wanted = detected - detected.mean(axis=-2, keepdims=True)
        overlap = (centered * wanted).sum((-1, -2), keepdims=True)
        pixels = centered * overlap / np.square(centered).sum((-1, -2), keepdims=True)
        detected = wanted
    distance = np.linalg.norm(pixels - detected, axis=-1).mean(-1)
    size = np.ptp(hands.keypoints[..., :2], axis=2).max(-1)
    return 100 * (distance / np.maximum(size, 1))[hands.observed]


def main() -> None:
    """Print the table and write the sheets."""
    args = measuring.parse(__doc__, add_arguments)
    torch.set_num_threads(args.cores)
    models = Models.load("cpu")
    args.folder.mkdir(parents=True, exist_ok=True)
    print(
        "| clip | hands seen, left / right | median distance, % of the hand's size | of its shape |"
    )
    print("| --- | --- | --- | --- |")
    for path in args.clips:
        kept: list[TrackedClip] = []
        reconstruction = reconstruct(path, Options(), models, keep=kept.append)
        reconstruction.save(args.folder / f"{path.stem}.npz")
        evidence = kept[0].people[0]
        points = hand_points(reconstruction, 0)[evidence.frames]
        intrinsics = torch.from_numpy(reconstruction.intrinsics[evidence.frames]).float()
        pixels = project(points.flatten(1, 2), intrinsics).unflatten(1, (2, 21)).numpy()
        whole, shape = (
            np.median(reprojection_percent(pixels, evidence.hands, aligned=aligned))
            for aligned in (False, True)
        )
        seen = evidence.hands.observed.mean(axis=0)
        line = f"| {path.stem} | {seen[0]:.0%} / {seen[1]:.0%} | {whole:.1f} | {shape:.1f} |"
        print(line, flush=True)
        sheet = hand_sheet(path, reconstruction, evidence, pixels, args.every)
        cv2.imwrite(str(args.folder / f"{path.stem}_hands.png"), sheet[..., ::-1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--folder", type=Path, default=measuring.ROOT / "out" / "hands")
    parser.add_argument("--every", type=int, default=5, help="frames between two columns")


def hand_sheet(
    path: Path,
    reconstruction: Reconstruction,
    evidence: Evidence,
    pixels: Float[np.ndarray, "frames 2 21 2"],
    every: int,
) -> UInt8[np.ndarray, "height width 3"]:
    """Columns of frames; rows: hands with points, hands with the mesh, the hands from aside."""
    skin = BodyModel.load("full")
    rows = np.arange(0, len(evidence.frames), every)
    with open_clip(path) as clip:
        images = {frame.number: frame.image for frame in clip}
    columns = []
    for row in rows:
        frame = evidence.frames[row]
        image = images[int(reconstruction.frame_numbers[frame])]
        rotations = quaternion_to_matrix(torch.from_numpy(reconstruction.rotations[0, frame]))
        posed = skin(
            rotations[None, 1:],
            torch.from_numpy(reconstruction.betas[0])[None],
            global_orient=rotations[None, 0],
            root_translation=torch.from_numpy(reconstruction.root_translation[0, frame])[None],
        )
        vertices = posed.vertices[0].numpy()
        intrinsics = reconstruction.intrinsics[frame]
        over = _drawn(image, vertices, skin, intrinsics)
        tiles = []
        for side in range(2):
            box = _box(evidence.hands.keypoints[row, side, :, :2], pixels[row, side])
            plain = image.copy()
            detected = evidence.hands.keypoints[row, side]
            if evidence.hands.observed[row, side]:
                _draw_points(plain, detected[:, :2], COLORS[0])
            _draw_points(plain, pixels[row, side], COLORS[1])
            wrist = posed.joints[0, JOINT_INDEX[f"Hand{'LR'[side]}"]].numpy()
            aside = _from_aside(vertices, wrist, skin)
            tiles += [_cut(image, box), _cut(plain, box), _cut(over, box), aside]
        columns.append(np.concatenate(tiles))
    return np.concatenate(columns, axis=1)


def _drawn(
    image: UInt8[np.ndarray, "height width 3"],
    vertices: Float[np.ndarray, "vertices 3"],
    skin: BodyModel,
    intrinsics: Float[np.ndarray, "3 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    faces = skin.faces.numpy()
    seen = project(torch.from_numpy(vertices).float(), torch.from_numpy(intrinsics).float())
    colors = np.tile(np.float32(SKIN), (len(faces), 1))
    mesh = Mesh(vertices=vertices, pixels=seen.numpy(), faces=faces, colors=colors)
    return draw_meshes(image, [mesh], 0.85)


def _from_aside(
    vertices: Float[np.ndarray, "vertices 3"], wrist: Float[np.ndarray, "3"], skin: BodyModel
) -> UInt8[np.ndarray, "tile tile 3"]:
    """The hand and its forearm, seen from the camera's right."""
    turn = rotvec_to_matrix(torch.tensor([0.0, np.pi / 2, 0.0])).numpy()
    seen = (vertices - wrist) @ turn.T + np.array([0.0, 0.0, 1.0])
    intrinsics = np.array([[2.0 * TILE, 0, TILE / 2], [0, 2.0 * TILE, TILE / 2], [0, 0, 1]])
    return _drawn(np.full((TILE, TILE, 3), 245, np.uint8), seen, skin, intrinsics)


def _box(*points: Float[np.ndarray, "21 2"]) -> tuple[float, float, float]:
    """Center and side of a square around the last of the points that are anywhere."""
    chosen = points[0] if np.ptp(points[0]) > 1 else points[-1]
    low, high = chosen.min(axis=0), chosen.max(axis=0)
    return *((low + high) / 2), MARGIN * float((high - low).max())


def _cut(
    image: UInt8[np.ndarray, "height width 3"], box: tuple[float, float, float]
) -> UInt8[np.ndarray, "tile tile 3"]:
    x, y, side = box
    scale = TILE / max(side, 8)
    matrix = np.array([[scale, 0, TILE / 2 - scale * x], [0, scale, TILE / 2 - scale * y]])
    return cv2.warpAffine(image, matrix, (TILE, TILE), flags=cv2.INTER_LINEAR)


def _draw_points(
    image: UInt8[np.ndarray, "height width 3"],
    points: Float[np.ndarray, "21 2"],
    color: tuple[int, int, int],
) -> None:
    for row, parent in enumerate(POINT_PARENTS):
        at = tuple(round(16 * float(v)) for v in points[row] - 0.5)
        if parent >= 0:
            start = tuple(round(16 * float(v)) for v in points[parent] - 0.5)
            cv2.line(image, start, at, color, 1, cv2.LINE_AA, shift=4)


if __name__ == "__main__":
    main()
