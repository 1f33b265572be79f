"""Preview: the reconstructed bodies over the footage, as a video and as a contact sheet."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from .atomic_write import atomic_write
from .body.camera import distort
from .body.model import BodyModel
from .body.rotations import quaternion_to_matrix
from .body.skeleton import PART_NAMES
from .errors import BadInputError
from .image_file import encode_png
from .reconstruction import Reconstruction
from .rendering.mesh_overlay import Mesh, draw_meshes
from .sources import clip_name
from .video import open_clip

OPACITY = 0.65
LONGEST_SIDE = 1280  # px of the overlay; larger footage is scaled down
BATCH = 64  # frames posed at once
SHEET_COLUMNS, SHEET_ROWS, TILE = 4, 4, 480
MARGIN = 0.25  # of a person's box, on each side of it in the contact sheet
MIN_TILE_SIDE = 32.0  # px of the overlay
# Everybody's left limbs are warm, right limbs cold; head and torso have a color for each person.
LEFT_COLOR, RIGHT_COLOR = (0.95, 0.45, 0.2), (0.2, 0.55, 0.95)
PERSON_COLORS = (
    (0.75, 0.75, 0.78),
    (0.55, 0.8, 0.55),
    (0.85, 0.75, 0.4),
    (0.75, 0.55, 0.8),
    (0.5, 0.8, 0.8),
)


def write_preview(
    reconstruction: Reconstruction, clip: Path, folder: Path, name: str | None = None
) -> list[Path]:
    """Write `<name>_overlay.mp4` and `<name>_sheet.png`.

    Args:
        reconstruction: of the clip.
        clip: the footage; its frames are found by their numbers.
        folder: where to write.
        name: first part of the files' names; None takes the source's.

    Returns:
        Paths of the two files.

    Raises:
        BadInputError: the clip does not fit, or the folder cannot be written to.
    """
    name = name or clip_name(Path(reconstruction.provenance["source"]["name"]))
    video, sheet = folder / f"{name}_overlay.mp4", folder / f"{name}_sheet.png"
    with atomic_write(video, sheet) as [video_part, sheet_part]:
        tiles = _write_video(reconstruction, clip, video_part)
        sheet_part.write_bytes(encode_png(_contact_sheet(tiles)))
    return [video, sheet]


def _write_video(
    reconstruction: Reconstruction, clip: Path, path: Path
) -> list[UInt8[np.ndarray, "tile tile 3"]]:
    """Write the overlay; return the tiles of the contact sheet, sorted by person."""
    on_sheet = sheet_frames(reconstruction.present)
    tiles: dict[tuple[int, int], UInt8[np.ndarray, "tile tile 3"]] = {}
    count, writer = 0, None
    try:
        for frame, image in _overlay_frames(reconstruction, clip):
            if writer is None:
                writer = _open_writer(path, image, reconstruction.fps)
            writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            count += 1
            for person in range(len(reconstruction.track_ids)):
                if (person, frame) in on_sheet:
                    tiles[person, frame] = _tile(reconstruction, person, frame, image)
    finally:
        if writer is not None:
            writer.release()
    if writer is None:
        raise BadInputError(f"{clip.name} has none of the frames of this reconstruction.")
    check_video(path, count)
    return [tiles[key] for key in sorted(tiles)]


def check_video(path: Path, count: int) -> None:
    """Check that a video holds its frames: OpenCV's writer is silent when the disk is full.

    Raises:
        OSError: it holds another number of frames.
    """
    if cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT) != count:
        raise OSError("the video is not whole")


def _overlay_frames(
    reconstruction: Reconstruction, clip: Path
) -> Iterator[tuple[int, UInt8[np.ndarray, "height width 3"]]]:
    """Yield frames of the clip with the bodies over them, scaled to the overlay's size.

    Each comes with its position in the reconstruction.
    """
    body = BodyModel.load("low")
    numbers = reconstruction.frame_numbers
    width, height = reconstruction.image_size
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    size = tuple(
        max(2, 2 * round(scale * side / 2)) for side in (width, height)
    )  # codecs need even sides
    posed = range(0)
    with open_clip(clip, start=int(numbers[0]), end=int(numbers[-1])) as frames:
        if (frames.info.width, frames.info.height) != reconstruction.image_size:
            raise BadInputError(
                f"{clip.name} has another size than the clip that was reconstructed: "
                "name that clip."
            )
        index_of = {int(number): index for index, number in enumerate(numbers)}
        for frame in frames:
            index = index_of.get(frame.number)
            if index is None:
                continue
            if index not in posed:
                posed = range(index, index + BATCH)
                vertices = posed_vertices(reconstruction, body, slice(posed.start, posed.stop))
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            of_frame = vertices[:, index - posed.start]
            meshes = overlay_meshes(reconstruction, body, of_frame, index, scale)
            yield index, draw_meshes(image, meshes, OPACITY)


def posed_vertices(
    reconstruction: Reconstruction, body: BodyModel, frames: slice
) -> Float[np.ndarray, "people batch vertices 3"]:
    """Return the vertices of all people in some frames; metres, camera frame."""
    rotations = quaternion_to_matrix(torch.from_numpy(reconstruction.rotations[:, frames]))
    count = rotations.shape[1]
    expression, arkit = reconstruction.driven_face
    with torch.no_grad():
        posed = body(
            rotations[:, :, 1:],
            torch.from_numpy(reconstruction.betas)[:, None].expand(-1, count, -1),
            global_orient=rotations[:, :, 0],
            root_translation=torch.from_numpy(reconstruction.root_translation[:, frames]),
            expression=torch.from_numpy(expression[:, frames]),
            arkit=torch.from_numpy(arkit[:, frames]),
        )
    return posed.vertices.numpy()


def overlay_meshes(
    reconstruction: Reconstruction,
    body: BodyModel,
    vertices: Float[np.ndarray, "people vertices 3"],
    frame: int,
    scale: float,
) -> list[Mesh]:
    """Return the meshes of the people who are present in a frame, in pixels of the overlay."""
    intrinsics = reconstruction.intrinsics[frame].copy()
    distortion = reconstruction.provenance.get("options", {}).get("distortion") or ()
    meshes = []
    for person in np.flatnonzero(reconstruction.present[:, frame]):
        points = vertices[person]
        rays = points[:, :2] / np.maximum(points[:, 2:], 1e-3)
        pixels = rays @ intrinsics[:2, :2].T + intrinsics[:2, 2]
        if distortion:
            pixels = distort(pixels.astype(np.float64), intrinsics, np.array(distortion))
        meshes.append(
            Mesh(
                vertices=points,
                pixels=scale * pixels,
                faces=body.faces.numpy(),
                colors=_colors(body, int(person)),
            )
        )
    return meshes


def _colors(body: BodyModel, person: int) -> Float[np.ndarray, "faces 3"]:
    """Return the color of each face by its side: left, right, or the person's own."""
    sides = {"left": LEFT_COLOR, "right": RIGHT_COLOR}
    own = PERSON_COLORS[person % len(PERSON_COLORS)]
    colors = [sides.get(name.split("_")[0], own) for name in PART_NAMES]
    return np.array(colors)[body.part_of_face.numpy()]


def sheet_frames(present: Bool[np.ndarray, "people frames"]) -> set[tuple[int, int]]:
    """Choose pairs (person, frame) for the contact sheet, evenly over each person's frames."""
    people = min(len(present), SHEET_ROWS)
    per_person = SHEET_COLUMNS * SHEET_ROWS // people
    chosen = set()
    for person in range(people):
        frames = np.flatnonzero(present[person])
        indices = np.linspace(0, len(frames) - 1, min(per_person, len(frames))).round().astype(int)
        chosen |= {(person, int(frame)) for frame in frames[indices]}
    return chosen


def _tile(
    reconstruction: Reconstruction,
    person: int,
    frame: int,
    image: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "tile tile 3"]:
    """Return a square around a person in a frame, with the frame's number."""
    height, width = image.shape[:2]
    scale = width / reconstruction.image_size[0]
    points = scale * reconstruction.keypoints[person, frame, :, :2]
    points = np.clip(points, 0, [width, height])
    low, high = points.min(0), points.max(0)
    center, side = (low + high) / 2, (1 + 2 * MARGIN) * float((high - low).max())
    side = max(side, MIN_TILE_SIDE)
    corner = center - side / 2
    crop_from_image = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]]) * TILE / side
    tile = cv2.warpAffine(image, crop_from_image, (TILE, TILE), flags=cv2.INTER_AREA)
    number = str(reconstruction.frame_numbers[frame])
    for color, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        origin = (10, TILE - 12)
        cv2.putText(tile, number, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.9, color, thickness)
    return tile


def _contact_sheet(
    tiles: list[UInt8[np.ndarray, "tile tile 3"]],
) -> UInt8[np.ndarray, "height width 3"]:
    """Arrange tiles in rows, with a legend below."""
    columns = min(SHEET_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * TILE + 40, columns * TILE, 3), 24, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = tile
    for index, (text, color) in enumerate((("left", LEFT_COLOR), ("right", RIGHT_COLOR))):
        origin = (12 + 110 * index, rows * TILE + 28)
        shade = tuple(int(255 * value) for value in color)
        cv2.putText(sheet, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.8, shade, 2)
    return sheet


def _open_writer(
    path: Path, image: UInt8[np.ndarray, "height width 3"], fps: float
) -> cv2.VideoWriter:
    height, width = image.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        raise OSError("no video can be opened for writing")
    return writer
