"""A sheet of body parts: what the part head tells of people, beside what the found bodies show."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from hund_backend.perception.crop_detector import LandmarkNetwork
from hund_backend.perception.packed_part_maps import likeliest_part

from .atomic_write import atomic_write
from .body.model import BodyModel
from .body.skeleton import BLAZEPOSE_NAMES, PART_NAMES
from .perception.crops import BODY_RADIUS_RATIO, crop_around_axis, crop_from_image, extract_crops
from .preview import posed_vertices, sheet_frames
from .reconstruction import Reconstruction
from .rendering.exact_parts import part_labels
from .sources import clip_name
from .video import open_clip

TILE = 256  # px
COLUMNS = 2  # triples of tiles in a row
SMALLEST = 32.0  # px of the footage that a tile shows at least
TINT = 0.7  # how far a part's colour covers the footage
LEFT_WARM_RIGHT_COLD = np.array(
    [
        *([0, 0, 0], [255, 205, 150], [205, 205, 60]),
        *([255, 0, 0], [0, 120, 255], [255, 120, 120], [110, 200, 255]),
        *([150, 0, 0], [0, 0, 170], [255, 0, 255], [0, 255, 200]),
        *([180, 0, 180], [0, 150, 110], [255, 150, 0], [60, 255, 0]),
    ],
    np.uint8,
)
assert len(LEFT_WARM_RIGHT_COLD) == len(PART_NAMES)
Tile = UInt8[np.ndarray, "tile tile 3"]


def write_part_sheet(
    reconstruction: Reconstruction,
    clip: Path,
    folder: Path,
    sight: LandmarkNetwork,
    name: str | None = None,
) -> Path:
    """Write `<name>_parts.png`: footage, parts as predicted and as rendered; answers its path.

    Args:
        reconstruction: of the clip.
        clip: the footage; its frames are found by their numbers.
        folder: where to write.
        sight: a network that tells parts.
        name: first part of the file's name; None takes the source's.

    Raises:
        BadInputError: the clip does not fit, or the folder cannot be written to.
    """
    name = name or clip_name(Path(reconstruction.provenance["source"]["name"]))
    path = folder / f"{name}_parts.png"
    with atomic_write(path) as [part]:
        tiles = _triples(reconstruction, clip, sight)
        blank = [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
        rows = np.array([*tiles, *blank]).reshape(-1, COLUMNS, *tiles[0].shape)
        sheet = np.vstack([np.hstack(row) for row in rows])
        part.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    return path


def _triples(
    reconstruction: Reconstruction, clip: Path, sight: LandmarkNetwork
) -> list[UInt8[np.ndarray, "tile three_tiles 3"]]:
    """Footage, prediction and rendering side by side, person after person."""
    body = BodyModel.load("low")
    shown = sheet_frames(reconstruction.present)
    numbers = {int(reconstruction.frame_numbers[frame]): frame for _, frame in shown}
    triples = {}
    with open_clip(clip, start=min(numbers), end=max(numbers)) as frames:
        for opened in frames:
            frame = numbers.get(opened.number)
            for person in [p for p, f in shown if f == frame]:
                crop = upright_crop(reconstruction.keypoints[person, frame, :, :2])
                picture = extract_crops(opened.image, crop[None])
                told = sight.predict(picture).parts[0]
                seen = overlay_parts(picture[0], likeliest_part(told))
                made = overlay_parts(
                    picture[0], _rendered(reconstruction, body, person, frame, crop)
                )
                triples[person, frame] = np.hstack(
                    (_numbered(picture[0], opened.number), seen, made)
                )
    return [triples[key] for key in sorted(triples)]


def upright_crop(points: Float[np.ndarray, "33 2"]) -> Float[np.ndarray, "4"]:
    """The square about a person's hips that shows all of him, turned so that the trunk is upright.

    As the eyes cut it: the network was trained so, and a bent back lies beyond the keypoints' box.
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
    crop[2] = max(crop[2], SMALLEST)
    return crop.astype(float)


def overlay_parts(
    picture: UInt8[np.ndarray, "height width 3"], labels: UInt8[np.ndarray, "rows columns"]
) -> UInt8[np.ndarray, "height width 3"]:
    """A picture with the parts over it, left ones warm, right ones cold."""
    colors = LEFT_WARM_RIGHT_COLD[labels]
    colors = cv2.resize(colors, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    there = (colors > 0).any(axis=-1, keepdims=True)
    return np.where(there, (1 - TINT) * picture + TINT * colors, picture).astype(np.uint8)


def _rendered(
    reconstruction: Reconstruction,
    body: BodyModel,
    person: int,
    frame: int,
    crop: Float[np.ndarray, "4"],
) -> UInt8[np.ndarray, "tile tile"]:
    """Parts of the found body as the crop shows them."""
    vertices = posed_vertices(reconstruction, body, slice(frame, frame + 1))[person]
    camera = crop_from_image(crop, TILE) @ reconstruction.intrinsics[frame]
    labels = part_labels(
        body, torch.from_numpy(vertices), torch.from_numpy(camera).float()[None], (TILE, TILE)
    )
    return labels[0].numpy().astype(np.uint8)


def _numbered(picture: Tile, number: int) -> Tile:
    marked = picture.copy()
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        place = (6, TILE - 8)
        cv2.putText(marked, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, thickness)
    return marked
