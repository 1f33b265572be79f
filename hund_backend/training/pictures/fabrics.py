"""Fabrics: reflectance of cloth as a function of the position on the body at rest."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from ..motion.motion_set import Split
from .noise import Noise
from .scenery import Scenery, linear

# Patterns of each split; plain cloth is everywhere.
_TRAINED = ("plain", "plain", "plain", "rings", "columns", "checks", "blotches", "photograph")
PATTERNS: dict[Split, tuple[str, ...]] = {
    "train": (*_TRAINED, "halves", "speckles"),
    "validation": (*_TRAINED, "halves", "speckles"),
    "held_out": ("plain", "plain", "dots", "diagonals", "photograph", "waves"),
}
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
PRINT_PX = 64


@dataclass(frozen=True, kw_only=True)
class Fabric:
    """Cloth: two colors in a pattern, perhaps with a print on the chest."""

    pattern: str
    colors: Float[np.ndarray, "2 3"]  # reflectance, linear
    size: float  # of the pattern, metres
    phase: Float[np.ndarray, "3"]
    sharpness: float  # share of the pattern's second color
    gloss: float  # 0 wool … 1 wet
    noise: Noise
    photograph: Float[np.ndarray, "_ _ 3"] | None = None
    print: Float[np.ndarray, "_ _ 4"] | None = None  # RGB and opacity
    print_rect: tuple[float, float, float] = (0, 0, 0)  # x, y of the print's center; its width

    def albedo(
        self,
        points: Float[np.ndarray, "points 3"],
        along: Float[np.ndarray, " points"],
    ) -> Float[np.ndarray, "points 3"]:
        """Reflectance at points; `along` is the distance down the limb, metres."""
        share = self._share(points, along).astype(np.float32)[:, None]
        color = self.colors[0] * (1 - share) + self.colors[1] * share
        if self.pattern == "photograph" and self.photograph is not None:
            color = (
                _wrap_photograph(self.photograph, (points + self.phase) / (4 * self.size)) * color
            )
        if self.print is not None:
            x, y, width = self.print_rect
            uv = (points[:, :2] - (x, y)) * (1, -1) / width + 0.5
            front = (points[:, 2] > 0.02) & ((uv > 0) & (uv < 1)).all(-1)
            pixel = (uv[front] * PRINT_PX).astype(int)
            ink = self.print[pixel[:, 1], pixel[:, 0]]
            color[front] = color[front] * (1 - ink[:, 3:]) + ink[:, :3] * ink[:, 3:]
        return color * (1 + 0.12 * self.noise(points, 0.03))[:, None].clip(0.5, 1.5)

    def _share(self, points: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Share of the second color, 0…1."""
        x, y, z = (points + self.phase).T / self.size
        rows = along / self.size
        match self.pattern:
            case "rings":
                return (rows + self.phase[0]) % 1 < self.sharpness
            case "columns":
                return (x + z) % 1 < self.sharpness
            case "checks":
                return 0.5 * ((rows % 1 < self.sharpness) * 1.0 + ((x + z) % 1 < self.sharpness))
            case "blotches":
                return self.noise.layered(points, 1.5 * self.size) > 1 - 1.5 * self.sharpness
            case "speckles":
                return self.noise(points, 0.15 * self.size) > 1.2 - self.sharpness
            case "halves":
                return points[:, 0] > self.phase[0] * 0.1
            case "dots":
                near = ((x % 1 - 0.5) ** 2 + (y % 1 - 0.5) ** 2 + (z % 1 - 0.5) ** 2) ** 0.5
                return near < 0.25 + 0.4 * self.sharpness
            case "diagonals":
                return (x + y + z) % 1 < self.sharpness
            case "waves":
                return (y + 0.3 * np.sin(5 * (x + z))) % 1 < self.sharpness
            case _:
                return np.zeros(len(points))


def sample_fabric(scenery: Scenery, rng: np.random.Generator, plain: float = 0.0) -> Fabric:
    """Random cloth; `plain` is the probability of no pattern in addition to the patterns' own."""
    photographs = scenery.photographs
    photograph = photographs[rng.integers(len(photographs))] if photographs else None
    pattern = "plain" if rng.random() < plain else str(rng.choice(PATTERNS[scenery.split]))
    colors = np.stack((sample_color(rng), sample_color(rng)))
    if pattern == "photograph":
        colors = 0.5 + colors[[0, 0]] / colors.max()
    printed = rng.random() < 0.3
    return Fabric(
        pattern=pattern,
        colors=colors,
        size=float(rng.choice((0.02, 0.04, 0.08, 0.15))) * rng.uniform(0.7, 1.4),
        phase=rng.uniform(-1, 1, 3),
        sharpness=rng.uniform(0.15, 0.6),
        gloss=rng.random() ** 3 * 0.6,
        noise=Noise(rng),
        photograph=photograph,
        print=_print(photograph, rng) if printed else None,
        print_rect=(rng.normal(0, 0.03), rng.uniform(0.25, 0.4), rng.uniform(0.1, 0.3)),
    )


def sample_color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Random color of clothes: black, white, gray and denim are more frequent."""
    kind = rng.random()
    if kind < 0.4:
        gray = rng.choice((0.06, 0.2, 0.45, 0.7, 0.92)) + rng.normal(0, 0.04)
        color = gray + rng.normal(0, 0.015, 3)
    elif kind < 0.55:
        color = np.array([0.22, 0.3, 0.45]) * rng.uniform(0.4, 1.6)
    else:
        hue, saturation, value = rng.uniform(0, 360), rng.uniform(0.2, 1), rng.uniform(0.15, 0.95)
        pixel = np.array([[[hue, saturation, value]]], np.float32)
        color = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return linear(np.clip(color, 0.02, 0.95).astype(np.float32))


def _print(photograph: np.ndarray | None, rng: np.random.Generator) -> Float[np.ndarray, "_ _ 4"]:
    """Print of letters, a disc or a photograph, in a square."""
    picture = np.zeros((PRINT_PX, PRINT_PX, 4), np.float32)
    picture[..., :3] = sample_color(rng)
    ink = np.zeros((PRINT_PX, PRINT_PX), np.uint8)
    kind = rng.integers(3)
    if kind == 0:
        text = "".join(rng.choice(list(LETTERS), rng.integers(1, 5)))
        size = 5.2 / (1 + len(text)) * 0.45
        line = (1, int(rng.integers(1, 6)))
        cv2.putText(ink, text, (2, 44), cv2.FONT_HERSHEY_SIMPLEX, size, 255, line[1])
    elif kind == 1 or photograph is None:
        cv2.circle(ink, (32, 32), int(rng.integers(12, 31)), 255, int(rng.choice((-1, 4, 8))))
    else:
        picture[..., :3] = cv2.resize(photograph, (PRINT_PX, PRINT_PX))
        ink[4:-4, 4:-4] = 255
    picture[..., 3] = ink / 255
    return picture


def _wrap_photograph(
    photograph: Float[np.ndarray, "height width 3"], points: Float[np.ndarray, "points 3"]
) -> Float[np.ndarray, "points 3"]:
    """Photograph as a texture: across by x + z, down by y; tiled in mirror images."""
    across, rows = points[:, 0] + points[:, 2], -points[:, 1]
    folded = np.abs((np.stack((across, rows)) + 1) % 2 - 1)
    height, width = photograph.shape[:2]
    column = (folded[0] * (width - 1)).astype(int)
    row = (folded[1] * (height - 1)).astype(int)
    return photograph[row, column]
