"""Meshes: the skin of a person with its shape keys, bound to an armature."""

import bpy
import numpy as np

from ..hund_backend.body.file import BodyFile
from ..hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES
from . import bone_names
from .armature import TWISTS, Twist
from .world import ARMATURE_FROM_BODY, RestPose

_SKIN_COLOR = (0.58, 0.36, 0.26, 1.0)  # linear RGB and opacity
_COEFFICIENT_LIMIT = 5.0  # standard deviations, ± range of a slider


def create(
    name: str,
    body: BodyFile,
    rest: RestPose,
    betas: np.ndarray,
    armature: bpy.types.Object,
    *,
    use_twist: bool,
) -> bpy.types.Object:
    """Make a person's mesh.

    Args:
        name: of the object and its data.
        body: body model.
        rest: rest pose of the person.
        betas: body shape of the person (16,).
        armature: deforms the mesh.
        use_twist: the twist bones deform the mesh, too. Forearms and shoulders then twist without
            pinching, and the surface differs from the backend's there.
    """
    data = _surface(name, body, rest.template)
    data.materials.append(_skin_material(f"{name} Skin"))
    mesh = bpy.data.objects.new(name, data)
    mesh.parent = armature
    _add_shape_keys(mesh, body, rest, betas)
    _add_weights(mesh, _bone_weights(body.skinning_weights, rest, use_twist))
    bones = bone_names.find_bones(armature)
    for twist in TWISTS if use_twist else ():
        bones[twist.name].use_deform = True
    modifier = mesh.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    return mesh


def use_twist_bones(mesh: bpy.types.Object, armature: bpy.types.Object, *, is_used: bool) -> None:
    """Let the twist bones deform a person's mesh, or let the limbs have their weights.

    Args:
        mesh: the skin of a person.
        armature: deforms it; in the A-rest.
        is_used: whether the twist bones deform the mesh afterwards.
    """
    bones = bone_names.find_bones(armature)
    matrix = np.array(mesh.matrix_basis)
    vertices = _rest_vertices(mesh) @ matrix[:3, :3].T + matrix[:3, 3]
    for twist in TWISTS:
        if not {twist.name, twist.limb, twist.end} <= bones.keys():
            continue  # the user has removed it
        bone, limb = bones[twist.name], bones[twist.limb]
        limb_weights, twist_weights = (_weights(mesh, item.name) for item in (limb, bone))
        ends = (np.array(bones[name].head_local) for name in (twist.limb, twist.end))
        total = limb_weights + twist_weights
        if is_used and not twist_weights.any():
            twist_weights = total * _twist_fraction(twist, vertices, *ends)
        elif not is_used:
            twist_weights = np.zeros_like(total)
        bone.use_deform = is_used
        _set_weights(mesh, limb.name, total - twist_weights)
        _set_weights(mesh, bone.name, twist_weights)


def face_key_names(body: BodyFile) -> tuple[str, ...]:
    """Return the names of the face's shape keys: expression coefficients, then ARKit units."""
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


def _skin_material(name: str) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # before Blender 5.0 a new material has no nodes
        material.use_nodes = True
    shader = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = _SKIN_COLOR
    shader.inputs["Roughness"].default_value = 0.55
    material.diffuse_color = _SKIN_COLOR  # in the solid view
    material.roughness = 0.55
    return material


def _add_shape_keys(
    mesh: bpy.types.Object, body: BodyFile, rest: RestPose, betas: np.ndarray
) -> None:
    mesh.shape_key_add(name="Basis")
    mesh.data.shape_keys.name = mesh.name
    basis = rest.template.astype(np.float32)
    from_body = ARMATURE_FROM_BODY.T * rest.units_per_meter
    limit = _COEFFICIENT_LIMIT
    for name, offsets, value in zip(
        _numbered("Shape", len(betas)), body.shape_basis, betas.tolist(), strict=True
    ):
        key = _add_key(mesh, name, basis + offsets @ from_body)
        key.slider_min, key.slider_max = min(-limit, value), max(limit, value)
        key.value = value
    for name, offsets in zip(
        face_key_names(body), (*body.expression_basis, *body.arkit_basis), strict=True
    ):
        moved = basis.copy()
        moved[body.face_vertices] += offsets @ from_body
        key = _add_key(mesh, name, moved)
        if name not in body.arkit_names:  # those have a shape key's default range, 0 to 1
            key.slider_min, key.slider_max = -limit, limit


def _add_key(mesh: bpy.types.Object, name: str, vertices: np.ndarray) -> bpy.types.ShapeKey:
    key = mesh.shape_key_add(name=name, from_mix=False)
    key.points.foreach_set("co", vertices.astype(np.float32).ravel())
    return key


def _bone_weights(
    skinning_weights: np.ndarray, rest: RestPose, use_twist: bool
) -> dict[str, np.ndarray]:
    """Return the skinning weights (vertices,) of each bone, by its name in GHUM's style."""
    weights = {name: skinning_weights[:, joint] for joint, name in enumerate(JOINT_NAMES)}
    for twist in TWISTS if use_twist else ():
        ends = (rest.joints[JOINT_INDEX[name]] for name in (twist.limb, twist.end))
        shared = weights[twist.limb] * _twist_fraction(twist, rest.vertices, *ends)
        weights[twist.limb] = weights[twist.limb] - shared
        weights[twist.name] = shared
    return weights


def _twist_fraction(
    twist: Twist, vertices: np.ndarray, start: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Return the fraction of the limb's weight that its twist bone gets, (vertices,), 0…1.

    It is 1 at the end of the limb where the twist bone is, and falls linearly to 0 at the other.

    Args:
        twist: the bone.
        vertices: (vertices, 3) at rest.
        start: of the limb, (3,).
        end: of the limb, (3,).
    """
    position = (vertices - start) @ (end - start) / ((end - start) @ (end - start))
    fraction = np.clip(position, 0, 1)
    return 1 - fraction if twist.is_inverted else fraction


def _add_weights(mesh: bpy.types.Object, weights: dict[str, np.ndarray]) -> None:
    for name, values in weights.items():
        _set_weights(mesh, bone_names.to_blender(name), values)


def _weights(mesh: bpy.types.Object, name: str) -> np.ndarray:
    """Return the weights of a vertex group, (vertices,); zeros if there is none."""
    values = np.zeros(len(mesh.data.vertices))
    group = mesh.vertex_groups.get(name)
    for vertex in mesh.data.vertices if group else ():
        for element in vertex.groups:
            if element.group == group.index:
                values[vertex.index] = element.weight
    return values


def _set_weights(mesh: bpy.types.Object, name: str, values: np.ndarray) -> None:
    """Replace the weights of a vertex group, (vertices,), which is made if there is none."""
    group = mesh.vertex_groups.get(name)
    if group is None:
        group = mesh.vertex_groups.new(name=name)
    else:
        group.remove(range(len(values)))
    full = np.flatnonzero(values == 1)
    if len(full):
        group.add(full.tolist(), 1.0, "REPLACE")
    partial = np.flatnonzero((values > 0) & (values < 1))
    for vertex, weight in zip(partial.tolist(), values[partial].tolist(), strict=True):
        group.add((vertex,), weight, "REPLACE")


def _rest_vertices(mesh: bpy.types.Object) -> np.ndarray:
    """Return the vertices (vertices, 3) of a mesh with its body shape, without the face's keys."""
    count = len(mesh.data.vertices)

    def read(items: bpy.types.bpy_prop_collection) -> np.ndarray:
        values = np.empty(3 * count, np.float32)
        items.foreach_get("co", values)
        return values.reshape(-1, 3).astype(np.float64)

    shape_keys = mesh.data.shape_keys
    if shape_keys is None:
        return read(mesh.data.vertices)
    basis = read(shape_keys.reference_key.points)
    shapes = [block for block in shape_keys.key_blocks if block.name.startswith("Shape ")]
    return basis + sum(block.value * (read(block.points) - basis) for block in shapes)


def _numbered(word: str, count: int) -> list[str]:
    return [f"{word} {number:02d}" for number in range(1, count + 1)]
