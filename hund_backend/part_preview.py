"""Sheet of body parts: the footage, the part head's prediction and the reconstructed bodies."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from .atomic_write import atomic_write
from .body.model import BodyModel
from .body.skeleton import BLAZEPOSE_NAMES, PART_NAMES
from .perception.crop_detector import LandmarkNetwork
from .perception.crops import BODY_RADIUS_RATIO, crop_around_axis, crop_from_image, extract_crops
from .perception.packed_part_maps import likeliest_part
from .preview import posed_vertices, sheet_frames
from .reconstruction import Reconstruction
from .rendering.exact_parts import part_labels
from .sources import clip_name
from .video import open_clip

TILE = 256  # px
COLUMNS = 2  # triples of tiles in a row
MIN_SIDE = 32.0  # px of the footage that a tile shows at least
OPACITY = 0.7  # of the parts' colors over the footage
PART_COLORS = np.array(  # warm on the left side, cold on the right
    [
        *([0, 0, 0], [255, 205, 150], [205, 205, 60]),
        *([255, 0, 0], [0, 120, 255], [255, 120, 120], [110, 200, 255]),
        *([150, 0, 0], [0, 0, 170], [255, 0, 255], [0, 255, 200]),
        *([180, 0, 180], [0, 150, 110], [255, 150, 0], [60, 255, 0]),
    ],
    np.uint8,
)
assert len(PART_COLORS) == len(PART_NAMES)
Tile = UInt8[np.ndarray, "tile tile 3"]


def write_part_sheet(
    reconstruction: Reconstruction,
    clip: Path,
    folder: Path,
    network: LandmarkNetwork,
    name: str | None = None,
) -> Path:
    """Write `<name>_parts.png`: footage, predicted parts and rendered parts side by side.

    Args:
        reconstruction: of the clip.
        clip: the footage; its frames are found by their numbers.
        folder: where to write.
        network: a landmark network whose output has parts.
        name: first part of the file's name; None takes the source's.

    Returns:
        Path of the file.

    Raises:
        BadInputError: the clip does not fit, or the folder cannot be written to.
    """
    name = name or clip_name(Path(reconstruction.provenance["source"]["name"]))
    path = folder / f"{name}_parts.png"
    with atomic_write(path) as [part]:
        tiles = _triples(reconstruction, clip, network)
        blank = [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
        rows = np.array([*tiles, *blank]).reshape(-1, COLUMNS, *tiles[0].shape)
        sheet = np.vstack([np.hstack(row) for row in rows])
        part.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    return path


def _triples(
    reconstruction: Reconstruction, clip: Path, network: LandmarkNetwork
) -> list[UInt8[np.ndarray, "tile three_tiles 3"]]:
    """Return footage, prediction and rendering side by side, sorted by person."""
    body = BodyModel.load("low")
    on_sheet = sheet_frames(reconstruction.present)
    index_of = {int(reconstruction.frame_numbers[frame]): frame for _, frame in on_sheet}
    triples = {}
    with open_clip(clip, start=min(index_of), end=max(index_of)) as frames:
        for opened in frames:
            frame = index_of.get(opened.number)
            for person in [p for p, f in on_sheet if f == frame]:
                crop = upright_crop(reconstruction.keypoints[person, frame, :, :2])
                images = extract_crops(opened.image, crop[None])
                (image,), parts = images, network.predict(images).parts[0]
                labels = _render_labels(reconstruction, body, person, frame, crop)
                triples[person, frame] = np.hstack(
                    (
                        _with_number(image, opened.number),
                        overlay_parts(image, likeliest_part(parts)),
                        overlay_parts(image, labels),
                    )
                )
    return [triples[key] for key in sorted(triples)]


def upright_crop(points: Float[np.ndarray, "33 2"]) -> Float[np.ndarray, "4"]:
    """Return the crop around a person's hips in which the trunk is upright.

    It contains the circle around the whole body, as in tracking: BlazePose was trained so, and a
    bent back lies outside the keypoints' box.

    Args:
        points: BlazePose's keypoints, px of the frame.
    """
    middle = {
        name: points[[BLAZEPOSE_NAMES.index(f"{side}_{name}") for side in ("left", "right")]].mean(
            0
        )
        for name in ("shoulder", "hip")
    }
    hip, trunk = middle["hip"], middle["shoulder"] - middle["hip"]
    radius = BODY_RADIUS_RATIO * np.linalg.norm(points - hip, axis=-1).max()
    crop = crop_around_axis(hip, hip + radius * trunk / max(np.linalg.norm(trunk), 1e-6))
    crop[2] = max(crop[2], MIN_SIDE)
    return crop.astype(float)


def overlay_parts(
    image: UInt8[np.ndarray, "height width 3"], labels: UInt8[np.ndarray, "rows columns"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Return an image with the parts' colors over it; the background stays as it is."""
    colors = PART_COLORS[labels]
    colors = cv2.resize(colors, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    foreground = (colors > 0).any(axis=-1, keepdims=True)
    blended = (1 - OPACITY) * image + OPACITY * colors
    return np.where(foreground, blended, image).astype(np.uint8)


def _render_labels(
    reconstruction: Reconstruction,
    body: BodyModel,
    person: int,
    frame: int,
    crop: Float[np.ndarray, "4"],
) -> UInt8[np.ndarray, "tile tile"]:
    """Return the parts of the reconstructed body in a crop."""
    vertices = posed_vertices(reconstruction, body, slice(frame, frame + 1))[person]
    camera = crop_from_image(crop, TILE) @ reconstruction.intrinsics[frame]
    labels = part_labels(
        body, torch.from_numpy(vertices), torch.from_numpy(camera).float()[None], (TILE, TILE)
    )
    return labels[0].numpy().astype(np.uint8)


def _with_number(image: Tile, number: int) -> Tile:
    image = image.copy()
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        origin = (6, TILE - 8)
        cv2.putText(image, str(number), origin, cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, thickness)
    return image
