"""Fabrics: what cloth looks like, as a function of the place on the body at rest."""

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
    """A cloth: two colors in a pattern, perhaps a print on the chest."""

    pattern: str
    colors: Float[np.ndarray, "2 3"]  # reflectance, linear
    size: float  # of the pattern, metres
    phase: Float[np.ndarray, "3"]
    sharp: float  # share of the pattern's second color
    gloss: float  # 0 wool … 1 wet
    noise: Noise
    photograph: Float[np.ndarray, "_ _ 3"] | None = None
    print: Float[np.ndarray, "_ _ 4"] | None = None  # with its opacity
    print_place: tuple[float, float, float] = (0, 0, 0)  # x, y of its centre; its width

    def paint(
        self, places: Float[np.ndarray, "points 3"], along: Float[np.ndarray, " points"]
    ) -> Float[np.ndarray, "points 3"]:
        """Reflectance at some places; `along` is how far down the limb they are, metres."""
        share = self._share(places, along).astype(np.float32)[:, None]
        color = self.colors[0] * (1 - share) + self.colors[1] * share
        if self.pattern == "photograph" and self.photograph is not None:
            color = _wrapped(self.photograph, (places + self.phase) / (4 * self.size)) * color
        if self.print is not None:
            x, y, width = self.print_place
            seen = (places[:, :2] - (x, y)) * (1, -1) / width + 0.5
            front = (places[:, 2] > 0.02) & ((seen > 0) & (seen < 1)).all(-1)
            pixel = (seen[front] * PRINT_PX).astype(int)
            ink = self.print[pixel[:, 1], pixel[:, 0]]
            color[front] = color[front] * (1 - ink[:, 3:]) + ink[:, :3] * ink[:, 3:]
        return color * (1 + 0.12 * self.noise(places, 0.03))[:, None].clip(0.5, 1.5)

    def _share(self, places: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Where the second color is, 0…1."""
        x, y, z = (places + self.phase).T / self.size
        down = along / self.size
        match self.pattern:
            case "rings":
                return (down + self.phase[0]) % 1 < self.sharp
            case "columns":
                return (x + z) % 1 < self.sharp
            case "checks":
                return 0.5 * ((down % 1 < self.sharp) * 1.0 + ((x + z) % 1 < self.sharp))
            case "blotches":
                return self.noise.layered(places, 1.5 * self.size) > 1 - 1.5 * self.sharp
            case "speckles":
                return self.noise(places, 0.15 * self.size) > 1.2 - self.sharp
            case "halves":
                return places[:, 0] > self.phase[0] * 0.1
            case "dots":
                near = ((x % 1 - 0.5) ** 2 + (y % 1 - 0.5) ** 2 + (z % 1 - 0.5) ** 2) ** 0.5
                return near < 0.25 + 0.4 * self.sharp
            case "diagonals":
                return (x + y + z) % 1 < self.sharp
            case "waves":
                return (y + 0.3 * np.sin(5 * (x + z))) % 1 < self.sharp
            case _:
                return np.zeros(len(places))


def draw_fabric(scenery: Scenery, rng: np.random.Generator, plain: float = 0.0) -> Fabric:
    """A random cloth; `plain` is a share without a pattern beyond what there is anyway."""
    photographs = scenery.photographs
    photograph = photographs[rng.integers(len(photographs))] if photographs else None
    pattern = "plain" if rng.random() < plain else str(rng.choice(PATTERNS[scenery.split]))
    colors = np.stack((draw_color(rng), draw_color(rng)))
    if pattern == "photograph":
        colors = 0.5 + colors[[0, 0]] / colors.max()
    printed = rng.random() < 0.3
    return Fabric(
        pattern=pattern,
        colors=colors,
        size=float(rng.choice((0.02, 0.04, 0.08, 0.15))) * rng.uniform(0.7, 1.4),
        phase=rng.uniform(-1, 1, 3),
        sharp=rng.uniform(0.15, 0.6),
        gloss=rng.random() ** 3 * 0.6,
        noise=Noise(rng),
        photograph=photograph,
        print=_print(photograph, rng) if printed else None,
        print_place=(rng.normal(0, 0.03), rng.uniform(0.25, 0.4), rng.uniform(0.1, 0.3)),
    )


def draw_color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A color that clothes have: black, white, gray and denim more often than the rest."""
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
    """Letters, a disc or a photograph, in a square."""
    picture = np.zeros((PRINT_PX, PRINT_PX, 4), np.float32)
    picture[..., :3] = draw_color(rng)
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


def _wrapped(
    photograph: Float[np.ndarray, "height width 3"], places: Float[np.ndarray, "points 3"]
) -> Float[np.ndarray, "points 3"]:
    """A photograph laid round: across by x + z, down by y; repeated in mirror images."""
    across, down = places[:, 0] + places[:, 2], -places[:, 1]
    folded = np.abs((np.stack((across, down)) + 1) % 2 - 1)
    height, width = photograph.shape[:2]
    column = (folded[0] * (width - 1)).astype(int)
    row = (folded[1] * (height - 1)).astype(int)
    return photograph[row, column]
