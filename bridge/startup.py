"""Startup scene: Blender's own, as it is before the user has done anything in it."""

from itertools import product

import bpy
from mathutils import Matrix

_TYPES = {"Cube": "MESH", "Light": "LIGHT", "Camera": "CAMERA"}
_CORNERS = set(product((-1.0, 1.0), repeat=3))  # of the cube, meters


def is_startup(scene: bpy.types.Scene) -> bool:
    """Return whether a scene is empty or has only Blender's startup objects, the cube untouched."""
    types = {obj.name: obj.type for obj in scene.objects}
    is_animated = any(obj.animation_data for obj in scene.objects)
    if is_animated or not types.items() <= _TYPES.items():
        return False
    return "Cube" not in types or is_untouched_cube(scene.objects["Cube"])


def is_untouched_cube(obj: bpy.types.Object) -> bool:
    """Return whether an object is the startup cube as Blender made it."""
    mesh = obj.data
    if (obj.name, obj.type) != ("Cube", "MESH") or mesh.name != "Cube" or mesh.users > 1:
        return False
    is_related = obj.parent or obj.children or obj.constraints or obj.modifiers
    has_data = obj.animation_data or mesh.animation_data or mesh.shape_keys or obj.vertex_groups
    if is_related or has_data or list(obj.keys()) or obj.matrix_world != Matrix.Identity(4):
        return False
    corners = [tuple(vertex.co) for vertex in mesh.vertices]
    counts = (len(corners), len(mesh.edges), len(mesh.polygons))
    return counts == (8, 12, 6) and set(corners) == _CORNERS


def hide_cube(scene: bpy.types.Scene) -> bool:
    """Hide the untouched startup cube in the viewport and in renders; return whether there was one.

    In the middle of the scene, it would hide the people and their footage.
    """
    cube = scene.objects.get("Cube")
    if cube is None or not is_untouched_cube(cube):
        return False
    cube.hide_viewport = cube.hide_render = True
    for layer in scene.view_layers:
        if layer.objects.active == cube:
            layer.objects.active = None
    cube.select_set(False)
    return True
