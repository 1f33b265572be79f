"""Scenery: panoramas and photographs for pictures, separate for each split."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from ...errors import BadInputError
from ..motion.motion_set import Split

# What is not named here is for training. `tools/fetch_scenery.py` has where each one comes from.
PANORAMAS: dict[str, Split] = {
    **dict.fromkeys(("lab", "venice", "lobby", "forest"), "held_out"),
    **dict.fromkeys(("workshop", "dawn"), "validation"),
}
PHOTOGRAPHS: dict[str, Split] = {
    **dict.fromkeys(("china", "gravel", "dark-wood", "clay", "steel-scratched"), "held_out"),
    **dict.fromkeys(("light-gray-floor-tile", "pink-plaster", "green-wood"), "held_out"),
    **dict.fromkeys(("flower", "wood-tiles", "gray-plaster", "red-wood"), "validation"),
}


@dataclass(frozen=True, kw_only=True)
class Scenery:
    """Panoramas and photographs of a split; light is linear, a white wall has the value 1."""

    split: Split
    panoramas: tuple[Float[np.ndarray, "height width 3"], ...]
    """Light from every direction: columns go round, rows from the top to the bottom."""
    photographs: tuple[Float[np.ndarray, "_ _ 3"], ...]  # reflectance 0…1


def load_scenery(folder: Path, split: Split) -> Scenery:
    """Load the scenery of a split.

    Args:
        folder: with `panoramas/<name>.npy` and `photographs/<name>.png`.
        split: to load.

    Raises:
        BadInputError: the folder has no scenery for this split.
    """
    panoramas = _of(folder / "panoramas", ".npy", PANORAMAS, split)
    photographs = _of(folder / "photographs", ".png", PHOTOGRAPHS, split)
    if not panoramas or not photographs:
        raise BadInputError(f"{folder} has no scenery: run `python -m tools.fetch_scenery`.")
    return Scenery(
        split=split,
        panoramas=tuple(_panorama(path) for path in panoramas),
        photographs=tuple(_photograph(path) for path in photographs),
    )


def _of(folder: Path, suffix: str, table: dict[str, Split], split: Split) -> list[Path]:
    paths = sorted(folder.glob(f"*{suffix}"))
    return [path for path in paths if table.get(path.stem, "train") == split]


def _panorama(path: Path) -> Float[np.ndarray, "height width 3"]:
    light = np.load(path, allow_pickle=False).astype(np.float32)
    light = np.where(np.isfinite(light), light, 0).clip(0)
    # Compression left black rims round lamps: they take the light from beside them.
    square = np.ones((5, 5), np.uint8)
    near = cv2.morphologyEx(light, cv2.MORPH_CLOSE, square)
    glaring = cv2.dilate(light, square).max(-1) > 4 * np.median(light.max(-1))
    light = np.where((glaring & (light.min(-1) < 0.3 * near.min(-1)))[..., None], near, light)
    # Exposed so that a white wall in the mean light of the panorama has the value 1.
    return light / light.clip(max=np.percentile(light, 99.5)).mean()


def _photograph(path: Path) -> Float[np.ndarray, "height width 3"]:
    return linear(cv2.imread(str(path))[..., ::-1].astype(np.float32) / 255)


def linear(color: Float[np.ndarray, "*shape 3"]) -> Float[np.ndarray, "*shape 3"]:
    """Linear light of sRGB values 0…1 (gamma 2.2 is close enough)."""
    return np.power(color, 2.2, dtype=np.float32)
