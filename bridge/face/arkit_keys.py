"""ARKit keys: their names, and the shape keys of a mesh that mean them.

Rigs write the same names in several ways: `eyeBlinkLeft`, `EyeBlink_L`, `eye_blink.left`,
`Head.eyeBlink_L`. A key without a side may be split in two (`browInnerUp_L`, `browInnerUp_R`).
"""

import re
from collections.abc import Iterable

# In the order of the columns of Live Link Face's files, there with a capital letter.
KEYS = (
    "eyeBlinkLeft",
    "eyeLookDownLeft",
    "eyeLookInLeft",
    "eyeLookOutLeft",
    "eyeLookUpLeft",
    "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight",
    "eyeLookDownRight",
    "eyeLookInRight",
    "eyeLookOutRight",
    "eyeLookUpRight",
    "eyeSquintRight",
    "eyeWideRight",
    "jawForward",
    "jawRight",
    "jawLeft",
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthRight",
    "mouthLeft",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "noseSneerLeft",
    "noseSneerRight",
    "tongueOut",
)
_SPLIT = ("browInnerUp", "cheekPuff")  # keys that some rigs have once for each side
_SIDES = {"left": "l", "right": "r"}


def _spellings() -> dict[str, str]:
    """Return the key of each spelling, in lower case and without separators."""
    found: dict[str, str] = {}
    for key in KEYS:
        lower = key.lower()
        found[lower] = key
        for side, letter in _SIDES.items():
            base = lower.removesuffix(side)
            if base != lower:
                spellings = (base + letter, side + base, letter + base)
                found |= dict.fromkeys(spellings, key)
            elif key in _SPLIT:
                found |= dict.fromkeys((lower + side, lower + letter), key)
    return found


_KEY_OF_SPELLING = _spellings()


def key_of(name: str) -> str | None:
    """Return the ARKit key that a shape key's name means; None: another shape.

    Example:
        >>> key_of("Head.eye_blink_L"), key_of("MouthSmileRight"), key_of("Basis")
        ('eyeBlinkLeft', 'mouthSmileRight', None)
    """
    words = re.findall(r"[A-Za-z0-9]+", name)
    for first in range(len(words)):
        key = _KEY_OF_SPELLING.get("".join(words[first:]).lower())
        if key:
            return key
    return None


def matches(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the shape keys of each ARKit key that has any, in the order of KEYS.

    An exact name is preferred to other spellings; else all that mean a key are its shape keys.
    """
    found: dict[str, list[str]] = {}
    listed = list(names)
    for name in listed:
        key = key_of(name)
        if key:
            found.setdefault(key, []).append(name)
    exact = {key for key in found if key in listed}
    return {key: (key,) if key in exact else tuple(found[key]) for key in KEYS if key in found}
