"""What several tests build: a small body that needs no file, and people in front of a camera."""

import torch

from hund_backend.body.skeleton import BLAZEPOSE_NAMES, JOINT_INDEX, JOINT_NAMES, PARENTS
from hund_backend.descent.puppet import MOVED_JOINTS, Puppet

# Left and middle joints at rest and the keypoints that they carry, metres, body frame.
_REST = {
    "Pelvis": (0, 0, 0),
    "Spine01": (0, 0.10, -0.01),
    "Spine02": (0, 0.22, -0.02),
    "Spine03": (0, 0.34, -0.03),
    "Neck01": (0, 0.52, -0.02),
    "Head01": (0, 0.62, 0.0),
    "ClavicleL": (0.03, 0.45, 0.0),
    "UpperarmL": (0.17, 0.45, -0.02),
    "LowerarmL": (0.36, 0.26, -0.02),
    "HandL": (0.53, 0.09, -0.02),
    "ThighL": (0.09, 0.0, 0.0),
    "CalfL": (0.09, -0.40, 0.0),
    "AnkleL": (0.09, -0.80, 0.0),
    "BallL": (0.10, -0.86, 0.12),
}
_POINTS = {
    "nose": ("Head01", (0, 0.06, 0.11)),
    "left_eye_inner": ("Head01", (0.015, 0.10, 0.09)),
    "left_eye": ("Head01", (0.03, 0.10, 0.09)),
    "left_eye_outer": ("Head01", (0.045, 0.10, 0.08)),
    "left_ear": ("Head01", (0.075, 0.07, 0.0)),
    "mouth_left": ("Head01", (0.025, 0.02, 0.09)),
    "left_shoulder": ("UpperarmL", (0, 0, 0)),
    "left_elbow": ("LowerarmL", (0, 0, 0)),
    "left_wrist": ("HandL", (0, 0, 0)),
    "left_pinky": ("HandL", (0.05, -0.06, -0.03)),
    "left_index": ("HandL", (0.06, -0.06, 0.02)),
    "left_thumb": ("HandL", (0.03, -0.04, 0.04)),
    "left_hip": ("ThighL", (0, 0, 0)),
    "left_knee": ("CalfL", (0, 0, 0)),
    "left_ankle": ("AnkleL", (0, 0, 0)),
    "left_heel": ("AnkleL", (0, -0.06, -0.05)),
    "left_foot_index": ("BallL", (0, 0, 0.06)),
}


def _mirrored(place):
    return (-place[0], *place[1:])


def mini_puppet(dtype=torch.float64):
    """A puppet of plain numbers: 22 joints, 33 keypoints, two betas (size and length of limbs)."""
    moved = tuple(JOINT_INDEX[name] for name in MOVED_JOINTS)
    parents = [-1]
    for joint in moved[1:]:
        parent = PARENTS[joint]
        while parent not in moved:
            parent = PARENTS[parent]
        parents.append(moved.index(parent))
    rest = dict(_REST)
    rest |= {f"{name[:-1]}R": _mirrored(at) for name, at in _REST.items() if name[-1] == "L"}
    places = torch.tensor([rest[name] for name in MOVED_JOINTS], dtype=dtype)
    offsets = places - torch.stack([places[max(parent, 0)] for parent in parents])
    carried = dict(_POINTS)
    for name, (joint, at) in _POINTS.items():
        if "left" in name:
            other = joint[:-1] + "R" if joint[-1] == "L" else joint
            carried[name.replace("left", "right")] = (other, _mirrored(at))
    count = len(BLAZEPOSE_NAMES) + len(moved)
    anchors = torch.zeros(count, len(moved), 3, dtype=dtype)
    masses = torch.zeros(count, len(moved), dtype=dtype)
    for point, name in enumerate(BLAZEPOSE_NAMES):
        joint, at = carried[name]
        column = MOVED_JOINTS.index(joint)
        masses[point, column] = 1
        anchors[point, column] = torch.tensor(at, dtype=dtype)
    masses[len(BLAZEPOSE_NAMES) :] = torch.eye(len(moved), dtype=dtype)
    limbs = torch.tensor(
        [[float(n[-1] in "LR" and n[:-1] != "Clavicle")] for n in MOVED_JOINTS], dtype=dtype
    )
    return Puppet(
        moved=moved,
        relaxed=torch.eye(3, dtype=dtype).repeat(len(JOINT_NAMES) - 1, 1, 1),
        parents=tuple(parents),
        offsets=offsets,
        offset_basis=torch.stack((0.05 * offsets, 0.03 * offsets * limbs)),
        anchors=anchors,
        anchor_basis=torch.stack((0.05 * anchors, torch.zeros_like(anchors))),
        masses=masses,
    )
