"""Characters: a person's armature and mesh, and the bind armature where the rest is not an A."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import bpy
import numpy as np

from ..hund_backend.body.file import BodyFile
from . import armature, bone_shapes, mesh, rest_pose, world

UNITS_PER_METER = "hund_units_per_meter"  # custom property of an armature


@dataclass(frozen=True, kw_only=True)
class RigOptions:
    """How a person's bones are made."""

    use_twist: bool = False  # the twist bones deform the mesh (see `mesh.create`)
    rest: str = "A"  # rest pose of the bones, one of `rest_pose.RESTS`


class Character(NamedTuple):
    """Armature and mesh of a person in a scene."""

    name: str
    armature: bpy.types.Object
    mesh: bpy.types.Object
    face_keys: tuple[str, ...]  # names of the shape keys: 20 of expression, then 52 of ARKit
    units_per_meter: float  # Blender units in a metre
    bind: bpy.types.Object | None = None  # None: the armature itself moves the skin

    @property
    def objects(self) -> tuple[bpy.types.Object, ...]:
        """All objects of the character."""
        return tuple(filter(None, (self.armature, self.mesh, self.bind)))


def create(
    name: str,
    body: BodyFile,
    betas: np.ndarray,
    edit_scene: bpy.types.Scene,
    shapes: Mapping[str, bpy.types.Object],
    *,
    units_per_meter: float,
    options: RigOptions,
) -> Character:
    """Make the character of a person at rest.

    Args:
        name: of the armature; the mesh's name begins with it.
        body: body model.
        betas: body shape of the person (16,).
        edit_scene: a temporary scene (see `armature.create`).
        shapes: of the bones (see `bone_shapes.create`); all people share them.
        units_per_meter: Blender units in a metre.
        options: of the bones.
    """
    rest = world.rest_pose(body, betas, units_per_meter)
    bones = armature.create(name, rest, body.skinning_weights, edit_scene)
    bone_shapes.assign(bones, shapes, rest, body.skinning_weights)
    bones[UNITS_PER_METER] = units_per_meter
    skin = mesh.create(f"{name} Body", body, rest, betas, bones, use_twist=options.use_twist)
    bind = rest_pose.change(bones, skin, options.rest, edit_scene)
    return Character(name, bones, skin, mesh.face_key_names(body), units_per_meter, bind)
