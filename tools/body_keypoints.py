"""Keypoints of the body: points of its mesh and skeleton that detectors and kits have names for."""

import numpy as np

from hund_backend.body.skeleton import JOINT_INDEX, KEYPOINT_NAMES

from .body_source import Source


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


def keypoint_rows(table: str, marks: dict[str, int], vertices: int) -> list[dict[int, float]]:
    """Weights of points (vertices, then joints) in each keypoint of a table."""
    of_joint = {
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
    aliases = {"mouth_left": "left_mouth", "mouth_right": "right_mouth", "head": "head_top"}
    # Human3.6M's thorax lies at the base of the neck, its spine half-way from there to the pelvis.
    central = {
        "pelvis": {"Pelvis": 1.0},
        "spine": {"Spine03": 1.0},
        "thorax": {"Neck01": 0.5, "UpperarmL": 0.25, "UpperarmR": 0.25},
    }
    rows = []
    for keypoint in KEYPOINT_NAMES[table]:
        name = aliases.get(keypoint, keypoint).replace("foot_index", "big_toe")
        side, _, stem = name.partition("_")
        if name in marks:
            rows.append({marks[name]: 1.0})
            continue
        joints = central.get(name) or {of_joint[stem] + {"left": "L", "right": "R"}[side]: 1.0}
        rows.append({vertices + JOINT_INDEX[joint]: share for joint, share in joints.items()})
    return rows


def keypoint_arrays(marks: dict[str, int], vertices: int) -> dict[str, np.ndarray]:
    """The sparse matrices of all tables, as the body file has them."""
    arrays = {}
    for table in KEYPOINT_NAMES:
        entries = [
            (row, point, value)
            for row, points in enumerate(keypoint_rows(table, marks, vertices))
            for point, value in points.items()
        ]
        rows, columns, values = zip(*entries, strict=True)
        arrays[f"{table}_rows"] = np.array(rows, np.uint8)
        arrays[f"{table}_columns"] = np.array(columns, np.uint16)
        arrays[f"{table}_values"] = np.array(values, np.float32)
    return arrays
