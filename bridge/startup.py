"""Startup scene: Blender's own, as it is before the user has done anything in it."""

from itertools import product

import bpy
from mathutils import Matrix

from . import ownership

_TYPES = {"Cube": "MESH", "Light": "LIGHT", "Camera": "CAMERA"}
_LIGHT_ENERGY = 1000.0  # watts
_CORNERS = set(product((-1.0, 1.0), repeat=3))  # of the cube, meters


def is_startup(scene: bpy.types.Scene) -> bool:
    """Return whether a scene has nothing of the user.

    It is empty but for results, or has only Blender's startup objects, the cube untouched.
    """
    objects = [obj for obj in scene.objects if not ownership.is_owned(obj)]
    types = {obj.name: obj.type for obj in objects}
    is_animated = any(obj.animation_data for obj in objects)
    if is_animated or not types.items() <= _TYPES.items():
        return False
    return "Cube" not in types or is_untouched_cube(scene.objects["Cube"])


def is_light(obj: bpy.types.Object) -> bool:
    """Return whether an object is the startup light."""
    return obj.name == "Light" and obj.data.type == "POINT" and obj.data.energy == _LIGHT_ENERGY


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
