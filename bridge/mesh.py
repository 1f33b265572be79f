"""Meshes: the skin with its shape keys, bound to an armature."""

import bpy
import numpy as np

from ..hund_backend.body.file import BodyFile
from ..hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES
from .armature import TWISTS, Twist
from .world import ARMATURE_FROM_BODY, Rest

_SKIN_COLOR = (0.58, 0.36, 0.26, 1.0)  # linear RGB and opacity
_COEFFICIENT_RANGE = 5.0  # standard deviations that a slider offers


def create(
    name: str,
    body: BodyFile,
    rest: Rest,
    betas: np.ndarray,
    armature: bpy.types.Object,
    *,
    is_twisted: bool,
) -> bpy.types.Object:
    """Make a person's skin.

    Args:
        name: of the object and its data.
        body: where the mesh comes from.
        rest: the person at rest.
        betas: the person's build (16,).
        armature: what the skin follows.
        is_twisted: the twist bones carry skin. Forearms and shoulders then turn without pinching,
            and the surface leaves the backend's by as much.
    """
    data = _surface(name, body, rest.template)
    data.materials.append(_skin(f"{name} Skin"))
    mesh = bpy.data.objects.new(name, data)
    mesh.parent = armature
    _add_shape_keys(mesh, body, rest.template, betas)
    _add_weights(mesh, _bone_weights(body.skinning_weights, rest, is_twisted))
    for twist in TWISTS if is_twisted else ():
        armature.data.bones[twist.name].use_deform = True
    modifier = mesh.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    return mesh


def face_key_names(body: BodyFile) -> tuple[str, ...]:
    """Names of the shape keys of the expression's coefficients, then of its ARKit-named units."""
    return (*_numbered("Expression", len(body.expression_basis)), *body.arkit_names)


def _surface(name: str, body: BodyFile, vertices: np.ndarray) -> bpy.types.Mesh:
    data = bpy.data.meshes.new(name)
    corners = body.quads.size
    data.vertices.add(len(vertices))
    data.vertices.foreach_set("co", vertices.astype(np.float32).ravel())
    data.loops.add(corners)
    data.loops.foreach_set("vertex_index", body.quads.astype(np.int32).ravel())
    data.polygons.add(len(body.quads))
    data.polygons.foreach_set("loop_start", np.arange(0, corners, 4, dtype=np.int32))
    data.update(calc_edges=True)
    texture = body.texture_coordinates[body.quad_texture_coordinates].astype(np.float32)
    data.uv_layers.new(name="UVMap").uv.foreach_set("vector", texture.ravel())
    data.shade_smooth()
    return data


def _skin(name: str) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # before Blender 5.0 a new material has no nodes
        material.use_nodes = True
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = _SKIN_COLOR
    shader.inputs["Roughness"].default_value = 0.55
    material.diffuse_color = _SKIN_COLOR  # what the solid view shows
    material.roughness = 0.55
    return material


def _add_shape_keys(
    mesh: bpy.types.Object, body: BodyFile, template: np.ndarray, betas: np.ndarray
) -> None:
    mesh.shape_key_add(name="Basis")
    mesh.data.shape_keys.name = mesh.name
    basis = template.astype(np.float32)
    span = _COEFFICIENT_RANGE
    for name, offsets, value in zip(
        _numbered("Shape", len(betas)), body.shape_basis, betas.tolist(), strict=True
    ):
        key = _add_key(mesh, name, basis + offsets @ ARMATURE_FROM_BODY.T)
        key.slider_min, key.slider_max = min(-span, value), max(span, value)
        key.value = value
    for name, offsets in zip(
        face_key_names(body), (*body.expression_basis, *body.arkit_basis), strict=True
    ):
        moved = basis.copy()
        moved[body.face_vertices] += offsets @ ARMATURE_FROM_BODY.T
        key = _add_key(mesh, name, moved)
        if name not in body.arkit_names:  # those go from 0 to 1, as keys do anyway
            key.slider_min, key.slider_max = -span, span


def _add_key(mesh: bpy.types.Object, name: str, vertices: np.ndarray) -> bpy.types.ShapeKey:
    key = mesh.shape_key_add(name=name, from_mix=False)
    key.points.foreach_set("co", vertices.astype(np.float32).ravel())
    return key


def _bone_weights(
    skinning_weights: np.ndarray, rest: Rest, is_twisted: bool
) -> dict[str, np.ndarray]:
    """How much each bone moves each vertex, (vertices,)."""
    weights = {name: skinning_weights[:, joint] for joint, name in enumerate(JOINT_NAMES)}
    for twist in TWISTS if is_twisted else ():
        shared = weights[twist.limb] * _twist_share(twist, rest)
        weights[twist.limb] = weights[twist.limb] - shared
        weights[twist.name] = shared
    return weights


def _twist_share(twist: Twist, rest: Rest) -> np.ndarray:
    """Part of the limb's skin that follows its twist bone, 0…1, growing along the limb."""
    start, end = (rest.joints[JOINT_INDEX[name]] for name in (twist.limb, twist.end))
    along = (rest.vertices - start) @ (end - start) / ((end - start) @ (end - start))
    share = np.clip(along, 0, 1)
    return 1 - share if twist.is_inverted else share


def _add_weights(mesh: bpy.types.Object, weights: dict[str, np.ndarray]) -> None:
    for name, values in weights.items():
        group = mesh.vertex_groups.new(name=name)
        whole = np.flatnonzero(values == 1)
        if len(whole):
            group.add(whole.tolist(), 1.0, "REPLACE")
        partly = np.flatnonzero((values > 0) & (values < 1))
        for vertex, weight in zip(partly.tolist(), values[partly].tolist(), strict=True):
            group.add((vertex,), weight, "REPLACE")


def _numbered(word: str, count: int) -> list[str]:
    return [f"{word} {number:02d}" for number in range(1, count + 1)]
