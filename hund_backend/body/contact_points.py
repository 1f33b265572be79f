"""Contact points: those of the soles, and hands, knees and seat, as weighted sums of vertices."""

import numpy as np
from jaxtyping import Float

from .file import BodyFile
from .skeleton import JOINT_INDEX
from .soles import SOLE_NAMES, sole_matrix

# A side's columns stand together in the soles and in the others, so that mirroring swaps halves.
BODY_POINT_NAMES = tuple(
    f"{side}_{point}" for side in ("left", "right") for point in ("hand", "knee", "seat")
)
CONTACT_NAMES = SOLE_NAMES + BODY_POINT_NAMES
# Index of each point's counterpart on the other side.
MIRRORED_POINTS = [
    CONTACT_NAMES.index(f"{'right' if side == 'left' else 'left'}_{point}")
    for side, point in (name.split("_") for name in CONTACT_NAMES)
]
_PATCH = 8  # foremost vertices of a region, which are averaged
_KNEE_REACH = 0.06  # metres below the joint of the knee that lie on the ground in kneeling
_SEAT_REACH = 0.11  # metres below the hips
_SEAT_ASIDE = 0.02  # metres from the middle


def contact_matrix(body: BodyFile) -> Float[np.ndarray, "12 points"]:
    """Return the weights of vertices and joints in each point of CONTACT_NAMES.

    Beside the soles' points: the palm, the front of the shin right below the knee, and the part of
    the buttock that is lowest in sitting, behind and below the hip.
    """
    soles = sole_matrix(body)
    others = np.zeros((len(BODY_POINT_NAMES), soles.shape[1]), np.float32)
    for row, name in enumerate(BODY_POINT_NAMES):
        side, point = name.split("_")
        members = _patch(body, side[0].upper(), point)
        others[row, members] = 1 / len(members)
    return np.concatenate((soles, others))


def _patch(body: BodyFile, side: str, point: str) -> np.ndarray:
    """Return indices of the vertices that bear in a region of a side."""
    outward = 1.0 if side == "L" else -1.0
    carrier = body.skinning_weights.argmax(axis=1)
    joint = {"hand": "Hand", "knee": "Calf", "seat": "Thigh"}[point]
    places = body.template - body.joints[JOINT_INDEX[f"{joint}{side}"]]
    # At rest arms hang 45° down with the palms towards the legs.
    region, direction = {
        "hand": (carrier == JOINT_INDEX[f"Hand{side}"], (-outward, -1.0, 0.0)),
        "knee": (
            np.isin(carrier, [JOINT_INDEX[f"Thigh{side}"], JOINT_INDEX[f"Calf{side}"]])
            & (places[:, 1] > -_KNEE_REACH)
            & (places[:, 1] < 0),
            (0.0, 0.0, 1.0),
        ),
        "seat": (
            np.isin(carrier, [JOINT_INDEX["Pelvis"], JOINT_INDEX[f"Thigh{side}"]])
            & (places[:, 1] > -_SEAT_REACH)
            & (outward * body.template[:, 0] > _SEAT_ASIDE),
            (0.0, -1.0, -1.0),
        ),
    }[point]
    members = np.flatnonzero(region)
    reach = places[members] @ np.array(direction)
    return members[np.argsort(-reach, kind="stable")[:_PATCH]]
