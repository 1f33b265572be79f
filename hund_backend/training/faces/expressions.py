"""Expressions of synthetic faces: at rest, one key alone, presets, and random mixtures."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .pictures import exclude_opposites

AMOUNT_AT_REST = 0.05  # of the random keys in pictures of a face at rest
LEVELS = (0.2, 0.5, 1.0)  # of a key alone, by which amplitudes are measured
LEVEL_KEYS = (
    ("jawOpen",),
    ("mouthSmileLeft", "mouthSmileRight"),
    ("eyeBlinkLeft", "eyeBlinkRight"),
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    ("mouthPucker",),
)
# Names in the presets that are no key: what they stand for.
_COMBINED = {
    "eyesClosed": ("eyeBlinkLeft", "eyeBlinkRight"),
    "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
    "mouthOpen": ("jawOpen",),
}


def load_presets(path: Path, names: tuple[str, ...]) -> Float[np.ndarray, "presets 52"]:
    """Return the expressions of a file of presets in ARKit's keys.

    Args:
        path: JSON; the strongest of a key's values over time counts.
        names: of the keys.
    """
    presets = json.loads(path.read_text(encoding="utf-8"))["talkinghead_mit_emoji_arkit"]
    rows = []
    for preset in presets.values():
        row = np.zeros(len(names))
        for key, values in preset.get("vs", {}).items():
            for name in _COMBINED.get(key, (key,)):
                if name in names:
                    row[names.index(name)] = max(row[names.index(name)], _strongest(values))
        if row.any():
            rows.append(row.clip(0, 1))
    return np.unique(np.stack(rows), axis=0)


def _strongest(values: object) -> float:
    """Return the largest number in nested lists; other content counts as zero."""
    if isinstance(values, list):
        return max(map(_strongest, values), default=0.0)
    return float(values) if isinstance(values, int | float) else 0.0


def key_alone(names: tuple[str, ...], rng: np.random.Generator) -> Float[np.ndarray, "52"]:
    """Return a random key, or both sides of one, at a random level."""
    values = np.zeros(len(names))
    key = names[int(rng.integers(len(names) - 1))]  # the last, tongueOut, is seen by no network
    pair = {key, key.replace("Left", "Right")} if rng.random() < 0.8 else {key}
    for name in pair & set(names):
        values[names.index(name)] = rng.uniform(0.1, 1)
    return values


def blended_preset(
    presets: Float[np.ndarray, "presets 52"], names: tuple[str, ...], rng: np.random.Generator
) -> Float[np.ndarray, "52"]:
    """Return a preset at a random level, sometimes with turned eyes and an open jaw."""
    values = rng.uniform(0.2, 1) * presets[int(rng.integers(len(presets)))]
    for name in ("jawOpen", "eyeBlinkLeft", "mouthFunnel", "mouthPucker"):
        if rng.random() < 0.2:
            values[names.index(name)] = rng.random()
    values[names.index("eyeBlinkRight")] = values[names.index("eyeBlinkLeft")]
    for one, other in (("eyeLookInLeft", "eyeLookOutRight"), ("eyeLookOutLeft", "eyeLookInRight")):
        if rng.random() < 0.3:
            values[[names.index(one), names.index(other)]] = rng.random()
    for direction in ("Up", "Down"):
        if rng.random() < 0.2:
            both = [names.index(f"eyeLook{direction}{side}") for side in ("Left", "Right")]
            values[both] = rng.random()
    exclude_opposites(values, names, rng)
    return values


def levels(names: tuple[str, ...]) -> Float[np.ndarray, "levels 52"]:
    """Return each of some keys alone at each level, in this order."""
    rows = np.zeros((len(LEVEL_KEYS) * len(LEVELS), len(names)))
    for number, keys in enumerate(LEVEL_KEYS):
        for step, level in enumerate(LEVELS):
            rows[number * len(LEVELS) + step, [names.index(key) for key in keys]] = level
    return rows
