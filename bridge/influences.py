"""Influences: limits the bones that move a vertex, for formats that allow only some.

glTF's viewers need to support four bones a vertex; some of the body's vertices have six. Blender's
exporter would cut the others off. The four largest, scaled to a sum of one, are nearly as good as
those of a least-squares fit over poses (`docs/log/blender.md`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import bpy

DEFAULT_LIMIT = 4  # bones a vertex
LIMITS = (4, 8)  # what glTF can store in one or two sets; the body needs at most six


@contextmanager
def limited(mesh: bpy.types.Object, limit: int) -> Iterator[None]:
    """Keep the largest skinning weights of each vertex inside the block, and restore all after it.

    Args:
        mesh: its vertex groups of other names than those of deforming bones are kept.
        limit: largest number of bones a vertex.
    """
    names = {
        bone.name
        for modifier in mesh.modifiers
        if modifier.type == "ARMATURE" and modifier.object
        for bone in modifier.object.data.bones
        if bone.use_deform
    }
    bones = {group.index for group in mesh.vertex_groups if group.name in names}
    before: dict[tuple[int, int], float] = {}  # weights by vertex and position in its groups
    try:
        for vertex in mesh.data.vertices:
            if len(vertex.groups) > limit:
                before |= _limit_vertex(vertex, bones, limit)
        yield
    finally:  # the elements are looked up again: the exporter may have moved them in memory
        for (vertex, position), weight in before.items():
            mesh.data.vertices[vertex].groups[position].weight = weight


def _limit_vertex(
    vertex: bpy.types.MeshVertex, bones: set[int], limit: int
) -> dict[tuple[int, int], float]:
    """Keep the largest weights of a vertex; return all as they were, if any was dropped."""
    weights = {
        position: element.weight
        for position, element in enumerate(vertex.groups)
        if element.group in bones
    }
    ranked = sorted(weights, key=lambda position: -weights[position])
    kept = sum(weights[position] for position in ranked[:limit])
    total = sum(weights.values())
    if kept == total:
        return {}
    for rank, position in enumerate(ranked):
        scale = total / kept if rank < limit else 0.0
        vertex.groups[position].weight = weights[position] * scale
    return {(vertex.index, position): weight for position, weight in weights.items()}
