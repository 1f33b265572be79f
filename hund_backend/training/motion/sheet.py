"""Contact sheet of each pack: `python -m hund_backend.training.motion.sheet FOLDER`."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ...atomic_write import write_file
from ...body.model import BodyModel
from ...body.rotations import rotvec_to_matrix
from ...body.skeleton import PART_NAMES
from ...rendering.mesh_overlay import Mesh, draw_meshes
from .motion_set import MotionSet, motion_set
from .retargeting import heading

TILE = 240  # px
COLUMNS = 8
DISTANCE, FOCAL = 4.0, 1.55  # metres to the camera; focal length in tiles
CAMERA_PITCH = 0.15  # radians, downwards
VIEWS = (0.25, 1.57)  # radians from which each body is seen: from the front, from its left
# Left limbs are orange, right limbs blue; head and trunk are gray.
LEFT, RIGHT, MIDDLE = (0.95, 0.45, 0.2), (0.2, 0.55, 0.95), (0.75, 0.75, 0.78)


def pose_sheet(
    rotations: Float[Tensor, "frames 63 3 3"],
    labels: list[str],
    *,
    facing: bool = True,
) -> UInt8[np.ndarray, "height width 3"]:
    """Poses of our mean body side by side, RGB, each from the front and from its left.

    Args:
        rotations: parent-relative; the pelvis in a world with y up.
        labels: text below each.
        facing: turn each body towards the camera; else the camera is fixed in the world.
    """
    body = BodyModel.load("low")
    rotations = rotations.float().clone()
    if facing:
        rotations[:, 0] = heading(rotations[:, 0]).mT @ rotations[:, 0]
    with torch.no_grad():
        betas = torch.zeros(len(rotations), 16)
        posed = body(rotations[:, 1:], betas, global_orient=rotations[:, 0])
    colors = np.array([_color(name) for name in PART_NAMES])[body.part_of_face.numpy()]
    tiles = []
    for vertices, label in zip(posed.vertices, labels, strict=True):
        pair = [_render_view(vertices, angle, body.faces.numpy(), colors) for angle in VIEWS]
        tile = np.concatenate(pair, axis=1)
        cv2.putText(tile, label, (4, TILE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1)
        tiles.append(tile)
    return _arrange(tiles)


def _color(part: str) -> tuple[float, float, float]:
    side = part.split("_")[0]
    return {"left": LEFT, "right": RIGHT}.get(side, MIDDLE)


def _render_view(
    vertices: Float[Tensor, "vertices 3"],
    angle: float,
    faces: Int[np.ndarray, "faces 3"],
    colors: Float[np.ndarray, "faces 3"],
) -> UInt8[np.ndarray, "tile tile 3"]:
    turn = rotvec_to_matrix(torch.tensor([0.0, -angle, 0.0]))
    tilt = rotvec_to_matrix(torch.tensor([CAMERA_PITCH, 0.0, 0.0]))
    # The camera looks along its z with y down.
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    center = (vertices.amax(0) + vertices.amin(0)) / 2
    to_camera = (vertices - center) @ (flip @ tilt @ turn).T + torch.tensor([0, 0, DISTANCE])
    points = to_camera.numpy()
    pixels = TILE * (FOCAL * points[:, :2] / points[:, 2:] + 0.5)
    canvas = np.full((TILE, TILE, 3), 235, np.uint8)
    return draw_meshes(
        canvas, [Mesh(vertices=points, pixels=pixels, faces=faces, colors=colors)], 1.0
    )


def _arrange(tiles: list[UInt8[np.ndarray, "height width 3"]]) -> np.ndarray:
    columns = min(COLUMNS, len(tiles))
    empty = np.full_like(tiles[0], 235)
    tiles = [*tiles, *[empty] * (-len(tiles) % columns)]
    rows = [np.concatenate(tiles[k : k + columns], axis=1) for k in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=0)


def random_frames(motions: MotionSet, pack: str, count: int, seed: int) -> Int[Tensor, " frames"]:
    """Random usable frames of a pack, drawn by their weights."""
    inside = torch.tensor([name.startswith(f"{pack}/") for name in motions.names])
    weights = motions.weights() * inside[motions.clips]
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(weights, count, generator=generator).sort().values


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--output", type=Path, required=True, help="a .png")
    parser.add_argument("--frames", type=int, default=16, help="of each pack")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    motions = motion_set(arguments.folder)
    clips = motions.clips
    rows = []
    for pack in dict.fromkeys(name.split("/")[0] for name in motions.names):
        frames = random_frames(motions, pack, arguments.frames, arguments.seed)
        labels = [
            f"{motions.names[clips[frame]]} {int(frame - motions.starts[clips[frame]])}"
            for frame in frames
        ]
        rows.append(pose_sheet(motions.rotations[frames], labels))
    picture = cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)
    write_file(arguments.output, cv2.imencode(".png", picture)[1].tobytes())


if __name__ == "__main__":
    main()
