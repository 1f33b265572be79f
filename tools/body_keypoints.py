"""Keypoints of the body: sparse weights of vertices and joints for each table of keypoints."""

import numpy as np
from scipy.optimize import linprog

from hund_backend.body.skeleton import JOINT_INDEX, KEYPOINT_NAMES, MIRROR

from .body_source import Source

MAX_DISTANCE = 0.16  # metres from a keypoint to the points that carry it
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
# Offsets of BlazePose heavy's keypoints from our joint or vertex at rest on the left side, body
# frame. Measured by `tools/calibrate_keypoints.py` on 400 rendered people; on 300 others at most
# 5 mm remain. Hands and faces have none: our fingers are spread, rendered faces are blank.
OFFSETS_MM = {
    "shoulder": (-20, 32, -6),
    "elbow": (-11, 15, 13),
    "wrist": (5, -7, 4),
    "hip": (-18, 5, 30),
    "knee": (-2, -5, -2),
    "ankle": (1, 20, 3),
    "heel": (-1, 0, 21),
    "big_toe": (17, 7, -29),
}
# Human3.6M's marker model has its hips further apart and its shoulders closer together than joint
# centers are: 133 and 151 mm from the middle line in its published skeleton. Scaled to our mean
# body (by the legs 0.90, by the stature 0.97: between the two).
H36M_OFFSETS_MM = {"hip": (12, 0, 0), "shoulder": (-33, 0, 0)}
OFFSETS_OF_TABLE = {"blazepose": OFFSETS_MM, "coco": {}, "h36m": H36M_OFFSETS_MM}


def landmarks(source: Source, vertices: np.ndarray, joints: np.ndarray) -> dict[str, int]:
    """Find named vertices on the left half by their geometry, and mirror them to the right."""
    names, mirror = source.bone_names, source.mirror_vertices

    def moved_by(*bones: str, min_weight: float = 0.5) -> np.ndarray:
        columns = [names.index(bone) for bone in bones]
        return np.nonzero(source.bone_weights[:, columns].sum(1) > min_weight)[0]

    def farthest(candidates: np.ndarray, *direction: float) -> int:
        return int(candidates[(vertices[candidates] @ np.array(direction)).argmax()])

    eye = joints[JOINT_INDEX["Eye01L"]]
    head_joint = joints[JOINT_INDEX["Head01"]]
    everything = np.arange(len(vertices))
    on_head = everything[vertices[:, 1] > head_joint[1] - 0.06]
    middle = on_head[np.abs(vertices[on_head, 0]) < 1e-3]
    lids = moved_by("orbicularis03.L", "orbicularis04.L", min_weight=0.35)
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
        "eye": farthest(moved_by("eye.L"), 0, 0, 1),
        "eye_inner": farthest(lids, -1, 0, 0),
        "eye_outer": farthest(lids, 1, 0, 0),
        "ear": farthest(at_ear[vertices[at_ear, 0] > vertices[at_ear, 0].max() - 0.015], 0, 0, 1),
        "mouth": farthest(lips, -0.3, 0, 1),
        "heel": farthest(foot[vertices[foot, 1] < vertices[foot, 1].min() + 0.035], 0, 0, -1),
        "big_toe": farthest(moved_by("toe1-2.L"), 0, 0, 1),
    }
    found = {f"left_{name}": vertex for name, vertex in left.items()}
    found |= {f"right_{name}": int(mirror[vertex]) for name, vertex in left.items()}
    return found | {"nose": farthest(middle, 0, 0, 1), "head_top": farthest(middle, 0, 1, 0)}


def keypoint_rows(
    table: str, vertices: np.ndarray, joints: np.ndarray, marks: dict[str, int], mirror: np.ndarray
) -> list[dict[int, float]]:
    """Return the weights of points (vertices, then joints) for each keypoint of a table."""
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
        point = marks.get(on_left)
        point = count + JOINT_INDEX[f"{JOINT_OF[stem]}L"] if point is None else point
        offset = OFFSETS_OF_TABLE[table].get(stem)
        row = {point: 1.0} if offset is None else weights_around(points, point, offset)
        rows.append({int(mirror[i]): w for i, w in row.items()} if side == "right" else row)
    return rows


def weights_around(
    points: np.ndarray, point: int, offset_mm: tuple[float, float, float]
) -> dict[int, float]:
    """Return near points and weights whose mean is the target, at an offset from a point at rest.

    The weights are positive and minimize the mean square distance to the target, so the target is
    carried by the four corners of a Delaunay tetrahedron around it: it follows the shape of the
    body and the bending of the skin.

    Raises:
        RuntimeError: no points surround the target.
    """
    target = points[point] + np.array(offset_mm) / 1e3
    near = np.nonzero(np.linalg.norm(points - target, axis=1) < MAX_DISTANCE)[0]
    offsets = points[near] - target
    found = linprog(
        (offsets**2).sum(1),
        A_eq=np.vstack([offsets.T, np.ones(len(near))]),
        b_eq=[0, 0, 0, 1],
        method="highs-ds",
    )
    if not found.success:
        raise RuntimeError(f"no points surround the target {offset_mm} mm from point {point}")
    selected = np.nonzero(found.x > 1e-6)[0]
    return {int(near[i]): float(found.x[i]) for i in selected}


def keypoint_arrays(
    vertices: np.ndarray, joints: np.ndarray, marks: dict[str, int], mirror: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the sparse matrices of all tables in the format of the body file."""
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
