"""Joint names: one vocabulary for all data kits, so that joints are matched by name."""

import re

SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "heel", "foot")
PAIRED = frozenset((*_LIMBS, "eye", "ear", "foot_index", "small_toe"))
# Name without its side, in lower case → name in the vocabulary.
SYNONYMS = {
    "big_toe": "foot_index",
    "bigtoe": "foot_index",
    "toe": "foot_index",
    "toes": "foot_index",
    "smalltoe": "small_toe",
    "root": "pelvis",
    "hip": "pelvis",  # no side: Halpe's and Human3.6M's middle of the hips
    "hips": "pelvis",
    "mid_hip": "pelvis",
    "midhip": "pelvis",
    "hip_center": "pelvis",
    "body_center": "pelvis",
    "torso": "spine",
    "belly": "spine",
    "neck_base": "thorax",
    "upper_neck": "head_joint",  # where the skull sits on the neck
    "headtop": "head_top",
    "top_head": "head_top",
    "top_of_head": "head_top",
    "head_center": "face",  # Human3.6M's point in the middle of the head
    "neck_nose": "face",
}


def canonical_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names in the vocabulary: `right_shoulder`, `head_top`, …; unknown ones are kept.

    `RShoulder`, `r_shoulder`, `rShoulder` and `shoulder.R` are all `right_shoulder`. Some names
    depend on the others: without an ankle a `foot` is one (Human3.6M); beside a `thorax`, which
    is the `neck`, `neck` and `nose` are Human3.6M's point in the middle of the head (`face`); and
    `head` is the joint under the skull beside `head_top`, else the top of the head (Human3.6M,
    Halpe, CrowdPose).
    """
    plain = tuple(_canonical(name) for name in names)
    present = set(plain)
    renamed = {}
    if not present & {"left_ankle", "right_ankle"}:
        renamed |= {"left_foot": "left_ankle", "right_foot": "right_ankle"}
    if "thorax" in present:
        renamed |= {"thorax": "neck", "neck": "face", "nose": "face"}
    renamed["head"] = "head_joint" if "head_top" in present else "head_top"
    return tuple(renamed.get(name, name) for name in plain)


def _canonical(name: str) -> str:
    """Return one name with its side first and its words in lower case, joined by underscores."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    words = [part.lower() for word in words for part in _split_side(word)]
    side = next((SIDES[word] for word in words if word in SIDES), None)
    rest = "_".join(word for word in words if word not in SIDES)
    if side is None:
        return SYNONYMS.get(rest, rest)
    part = rest if rest in PAIRED else SYNONYMS.get(rest, rest)
    return f"{side}_{part}"


def _split_side(word: str) -> list[str]:
    """Split `Rhip`, `lshoulder` and `RANKLE` into side and part."""
    if word[0].lower() in "lr" and word[1:].lower() in PAIRED:
        return [word[0], word[1:]]
    return [word]
