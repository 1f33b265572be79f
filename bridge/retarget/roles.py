"""Roles: what a bone is in the body, whatever its name, and how roles hang together.

A role with a side ends with `.L` or `.R`, the person's own left or right. Roles of chains, whose
number of bones differs between rigs, are numbered from 1: `spine.1`, `neck.1`; fingers' phalanges,
too: `index.1.L`.
"""

SIDES = ("L", "R")
CHAINS = {"spine": 8, "neck": 4}  # longest chains that the roles can name
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
FINGERS_BEHIND_THUMB = FINGERS[1:]
FACE = ("jaw", "eye", "upper_lid", "lower_lid")
ARM = ("clavicle", "upper_arm", "forearm", "hand")
LEG = ("thigh", "shin", "foot", "midfoot", "toe", "toe_end")


def chain(name: str) -> tuple[str, ...]:
    """Return the roles of a chain, from the hips upwards."""
    return tuple(f"{name}.{number}" for number in range(1, CHAINS[name] + 1))


def finger(name: str, side: str) -> tuple[str, ...]:
    """Return the roles of a finger's phalanges, from the hand outwards."""
    return tuple(f"{name}.{number}.{side}" for number in (1, 2, 3))


def _face(side: str) -> list[str]:
    return [f"{name}.{side}" for name in FACE if name != "jaw"]


def _limbs(side: str) -> list[str]:
    return [
        *(f"{name}.{side}" for name in ARM),
        *(role for name in FINGERS for role in finger(name, side)),
        *(f"{name}.{side}" for name in LEG),
    ]


# Parents come first.
ROLES = (
    "root",
    "hips",
    *chain("spine"),
    *chain("neck"),
    "head",
    "jaw",
    *(role for side in SIDES for role in (*_face(side), *_limbs(side))),
)
# What a rig of a person has; the share that is found is the coverage of the body.
BODY = (
    "hips",
    "spine.1",
    "neck.1",
    "head",
    *(f"{name}.{side}" for side in SIDES for name in (*ARM, "thigh", "shin", "foot", "toe")),
)
FINGER_ROLES = tuple(role for side in SIDES for name in FINGERS for role in finger(name, side))
# Without these there is nothing to align a rig by.
REQUIRED = ("hips", *(f"{name}.{side}" for side in SIDES for name in ("thigh", "shin")))


def side_of(role: str) -> str:
    """Return L or R, or nothing for a role in the middle."""
    return role[-1] if role.endswith((".L", ".R")) else ""


def parent_of(role: str, mapped: frozenset[str] | set[str]) -> str | None:
    """Return the nearest role towards the hips that is among the mapped ones.

    Args:
        role: any but the root.
        mapped: roles of a rig.
    """
    candidate = _PARENTS[role]
    while candidate is not None and candidate not in mapped:
        candidate = _PARENTS[candidate]
    return candidate


def mirrored(role: str) -> str:
    """Return the role on the other side; a role in the middle is its own."""
    other = {"L": "R", "R": "L"}.get(side_of(role))
    return role[:-1] + other if other else role


def label(role: str) -> str:
    """Return a role's English label for the interface, such as "Upper Arm L"."""
    return role.replace("_", " ").replace(".", " ").title()


def _parents() -> dict[str, str | None]:
    parents: dict[str, str | None] = {"root": None, "hips": None}
    last = "hips"
    for role in (*chain("spine"), *chain("neck"), "head"):
        parents[role] = last
        last = role
    parents["jaw"] = "head"
    chest = chain("spine")[-1]
    for side in SIDES:
        parents |= dict.fromkeys(_face(side), "head")
        for names, first in ((ARM, chest), (LEG, "hips")):
            last = first
            for name in names:
                parents[f"{name}.{side}"] = last
                last = f"{name}.{side}"
        for name in FINGERS:
            last = f"hand.{side}"
            for role in finger(name, side):
                parents[role] = last
                last = role
    return parents


_PARENTS = _parents()
assert set(_PARENTS) == set(ROLES)
