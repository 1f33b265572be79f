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
    changed: list[tuple[bpy.types.VertexGroupElement, float]] = []
    try:
        for vertex in mesh.data.vertices:
            if len(vertex.groups) > limit:
                _limit_vertex(vertex, bones, limit, changed)
        yield
    finally:
        for element, weight in changed:
            element.weight = weight


def _limit_vertex(
    vertex: bpy.types.MeshVertex,
    bones: set[int],
    limit: int,
    changed: list[tuple[bpy.types.VertexGroupElement, float]],
) -> None:
    elements = [element for element in vertex.groups if element.group in bones]
    elements.sort(key=lambda element: -element.weight)
    dropped = sum(element.weight for element in elements[limit:])
    if not dropped:
        return
    kept = sum(element.weight for element in elements[:limit])
    changed.extend((element, element.weight) for element in elements)
    for rank, element in enumerate(elements):
        element.weight = element.weight * (kept + dropped) / kept if rank < limit else 0.0
