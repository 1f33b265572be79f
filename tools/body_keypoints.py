"""Keypoints of the body: points of its mesh and skeleton that detectors and kits have names for."""

import numpy as np
from scipy.optimize import linprog

from hund_backend.body.skeleton import JOINT_INDEX, KEYPOINT_NAMES, MIRROR

from .body_source import Source

REACH = 0.16  # metres; how far the points of a keypoint may be from it
JOINT_OF = {
    "shoulder": "Upperarm",
    "elbow": "Lowerarm",
    "wrist": "Hand",
    "thumb": "Thumb02",
    "hip": "Thigh",
    "knee": "Calf",
    "ankle": "Ankle",
    "pinky": "Pinky01",
    "index": "Index01",
}
# Human3.6M's thorax lies at the base of the neck, its spine half-way from there to the pelvis.
CENTRAL = {
    "pelvis": {"Pelvis": 1.0},
    "spine": {"Spine03": 1.0},
    "thorax": {"Neck01": 0.5, "UpperarmL": 0.25, "UpperarmR": 0.25},
}
# Where BlazePose heavy sees its points, from our joint or vertex at rest on the left side, body
# frame: measured by `tools/calibrate_keypoints.py` on 400 painted people; on 300 others 5 mm at
# most are left. Hands and faces stay as they are: our fingers are spread, painted faces are blank.
AWAY_MM = {
    "shoulder": (-24, 33, -6),
    "elbow": (-13, 11, 16),
    "wrist": (6, -11, 5),
    "hip": (-18, 8, 28),
    "knee": (0, -12, -5),
    "ankle": (2, 25, 7),
    "heel": (-2, 18, 21),
    "big_toe": (16, 8, -28),
}
# The rig's knee lies higher than the detector's and than anthropometry's, so it does in all tables.
KNEE_AWAY_MM = {"knee": AWAY_MM["knee"]}


def landmarks(source: Source, vertices: np.ndarray, joints: np.ndarray) -> dict[str, int]:
    """Vertices with a name: found on the left half by what they are, mirrored to the right."""
    names, mirror = source.bone_names, source.mirror_vertices

    def moved_by(*bones: str, least: float = 0.5) -> np.ndarray:
        columns = [names.index(bone) for bone in bones]
        return np.nonzero(source.bone_weights[:, columns].sum(1) > least)[0]

    def most(candidates: np.ndarray, *direction: float) -> int:
        return int(candidates[(vertices[candidates] @ np.array(direction)).argmax()])

    eye = joints[JOINT_INDEX["Eye01L"]]
    head_joint = joints[JOINT_INDEX["Head01"]]
    everything = np.arange(len(vertices))
    on_head = everything[vertices[:, 1] > head_joint[1] - 0.06]
    middle = on_head[np.abs(vertices[on_head, 0]) < 1e-3]
    lids = moved_by("orbicularis03.L", "orbicularis04.L", least=0.35)
    lids = lids[np.linalg.norm(vertices[lids] - eye, axis=1) < 0.02]
    at_ear = on_head[
        (np.abs(vertices[on_head, 1] - eye[1]) < 0.05) & (vertices[on_head, 2] < eye[2] - 0.06)
    ]
    units = list(source.model.facial_action_labels)
    pulled = np.linalg.norm(source.face_units[units.index("mouthSmileLeft")], axis=1)
    stretched = np.linalg.norm(source.face_units[units.index("mouthStretchLeft")], axis=1)
    lips = np.nonzero(pulled * stretched > 0.8 * (pulled * stretched).max())[0]
    foot = everything[vertices[:, 1] < joints[JOINT_INDEX["AnkleL"], 1]]
    foot = foot[vertices[foot, 0] > 0]
    left = {
        "eye": most(moved_by("eye.L"), 0, 0, 1),
        "eye_inner": most(lids, -1, 0, 0),
        "eye_outer": most(lids, 1, 0, 0),
        "ear": most(at_ear[vertices[at_ear, 0] > vertices[at_ear, 0].max() - 0.015], 0, 0, 1),
        "mouth": most(lips, -0.3, 0, 1),
        "heel": most(foot[vertices[foot, 1] < vertices[foot, 1].min() + 0.035], 0, 0, -1),
        "big_toe": most(moved_by("toe1-2.L"), 0, 0, 1),
    }
    found = {f"left_{name}": vertex for name, vertex in left.items()}
    found |= {f"right_{name}": int(mirror[vertex]) for name, vertex in left.items()}
    return found | {"nose": most(middle, 0, 0, 1), "head_top": most(middle, 0, 1, 0)}


def keypoint_rows(
    table: str, vertices: np.ndarray, joints: np.ndarray, marks: dict[str, int], mirror: np.ndarray
) -> list[dict[int, float]]:
    """Weights of points (vertices, then joints) in each keypoint of a table."""
    count = len(vertices)
    points = np.concatenate([vertices, joints])
    mirror = np.concatenate([mirror, count + np.array(MIRROR)])
    aliases = {"mouth_left": "left_mouth", "mouth_right": "right_mouth", "head": "head_top"}
    rows = []
    for keypoint in KEYPOINT_NAMES[table]:
        name = aliases.get(keypoint, keypoint).replace("foot_index", "big_toe")
        if name in CENTRAL:
            rows.append({count + JOINT_INDEX[n]: share for n, share in CENTRAL[name].items()})
            continue
        side, _, stem = name.partition("_")
        on_left = name.replace("right_", "left_")
        start = marks.get(on_left)
        start = count + JOINT_INDEX[f"{JOINT_OF[stem]}L"] if start is None else start
        away = (AWAY_MM if table == "blazepose" else KNEE_AWAY_MM).get(stem)
        row = {start: 1.0} if away is None else surrounding(points, start, away)
        rows.append({int(mirror[i]): w for i, w in row.items()} if side == "right" else row)
    return rows


def surrounding(
    points: np.ndarray, start: int, away_mm: tuple[float, float, float]
) -> dict[int, float]:
    """Near points and their weights, whose mean is the place `away_mm` from a point at rest.

    The weights are positive and minimise the mean square distance to the place, so four corners of
    a Delaunay tetrahedron round it carry it: it follows the build and the bending of the skin.
    """
    place = points[start] + np.array(away_mm) / 1e3
    near = np.nonzero(np.linalg.norm(points - place, axis=1) < REACH)[0]
    offsets = points[near] - place
    found = linprog(
        (offsets**2).sum(1),
        A_eq=np.vstack([offsets.T, np.ones(len(near))]),
        b_eq=[0, 0, 0, 1],
        method="highs-ds",
    )
    if not found.success:
        raise RuntimeError(f"no points surround the place {away_mm} mm from point {start}")
    chosen = np.nonzero(found.x > 1e-6)[0]
    return {int(near[i]): float(found.x[i]) for i in chosen}


def keypoint_arrays(
    vertices: np.ndarray, joints: np.ndarray, marks: dict[str, int], mirror: np.ndarray
) -> dict[str, np.ndarray]:
    """The sparse matrices of all tables, as the body file has them."""
    arrays = {}
    for table in KEYPOINT_NAMES:
        entries = [
            (row, point, value)
            for row, points in enumerate(keypoint_rows(table, vertices, joints, marks, mirror))
            for point, value in points.items()
        ]
        rows, columns, values = zip(*entries, strict=True)
        arrays[f"{table}_rows"] = np.array(rows, np.uint8)
        arrays[f"{table}_columns"] = np.array(columns, np.uint16)
        arrays[f"{table}_values"] = np.array(values, np.float32)
    return arrays
