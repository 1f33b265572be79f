"""Lighting: a sun and a neutral world for scenes that have no light of their own."""

from collections.abc import Collection
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix, Vector

from . import startup

_ELEVATION, _AZIMUTH = np.radians(50), np.radians(35)  # of the sun: above and left of the camera
_SUN_STRENGTH = 2.6  # W/m²
_SUN_ANGLE = np.radians(12)  # apparent diameter; soft shadows
_AMBIENT = 0.4  # radiance of the world, so that shadows are not black
_DARK = 0.1  # a plain world below this radiance does not count as light; Blender's has 0.05
_HAS_NODES = bpy.app.version >= (5, 0, 0)  # a world always has nodes
_HEIGHT = 1.0  # metres of the sun's symbol above the camera


class Lighting(NamedTuple):
    """New light of a scene."""

    sun: bpy.types.Object
    world: bpy.types.World | None  # None: the scene keeps its own


def is_dark(scene: bpy.types.Scene, replaced: Collection[bpy.types.ID]) -> bool:
    """Return whether a scene has no light, or only Blender's own, which is too weak for a scene.

    Args:
        scene: to look at.
        replaced: datablocks that are about to be removed.
    """
    lights = {obj for obj in scene.objects if obj.type == "LIGHT"} - set(replaced)
    has_lights = not all(startup.is_light(light) for light in lights)
    world = scene.world
    return not has_lights and (world is None or world in replaced or _is_plain_and_dark(world))


def create(
    name: str,
    scene: bpy.types.Scene,
    camera: bpy.types.Object,
    replaced: Collection[bpy.types.ID],
    units_per_meter: float,
) -> Lighting:
    """Make the light for a dark scene, outside of it.

    The sun shines from behind the camera, above and to the left, so that what the camera sees is
    lit. A world of the user's is kept.

    Args:
        name: of the result; the datablocks' names begin with it.
        scene: to be lit.
        camera: of the clip.
        replaced: datablocks that are about to be removed.
        units_per_meter: Blender units in a metre.
    """
    light = bpy.data.lights.new(f"{name} Sun", "SUN")
    light.energy, light.angle = _SUN_STRENGTH, _SUN_ANGLE
    sun = bpy.data.objects.new(f"{name} Sun", light)
    above = Vector((0, 0, _HEIGHT * units_per_meter))
    rotation = _sun_direction(camera.matrix_world).to_track_quat("-Z", "Y")
    position = Matrix.Translation(camera.matrix_world.translation + above)
    sun.matrix_world = position @ rotation.to_matrix().to_4x4()
    needs_world = scene.world is None or scene.world in replaced
    return Lighting(sun, _new_world(f"{name} World") if needs_world else None)


def _sun_direction(camera: Matrix) -> Vector:
    """Return the direction in which the sun's light travels."""
    forward, up = camera.to_3x3() @ Vector((0, 0, -1)), camera.to_3x3() @ Vector((0, 1, 0))
    level = Vector((forward.x, forward.y, 0))
    if level.length < 0.1:  # the camera looks up or down
        level = Vector((up.x, up.y, 0))
    level = Matrix.Rotation(-_AZIMUTH, 3, "Z") @ level.normalized()
    return level * np.cos(_ELEVATION) - Vector((0, 0, np.sin(_ELEVATION)))


def _new_world(name: str) -> bpy.types.World:
    world = bpy.data.worlds.new(name)
    if world.node_tree is None:  # before Blender 5.0 a new world has no nodes
        world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (_AMBIENT, _AMBIENT, _AMBIENT, 1)
    background.inputs["Strength"].default_value = 1.0
    world.color = (_AMBIENT,) * 3
    return world


def _is_plain_and_dark(world: bpy.types.World) -> bool:
    """Return whether a world is one dark color, as Blender's own is."""
    if world.node_tree is None or not (_HAS_NODES or world.use_nodes):
        return max(world.color) < _DARK
    backgrounds = [node for node in world.node_tree.nodes if node.type == "BACKGROUND"]
    if len(backgrounds) != 1 or len(world.node_tree.nodes) > 2:
        return False
    color, strength = (backgrounds[0].inputs[name] for name in ("Color", "Strength"))
    is_linked = color.is_linked or strength.is_linked
    return not is_linked and max(color.default_value[:3]) * strength.default_value < _DARK
