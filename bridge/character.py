"""Characters: a person's armature with the skin on it."""

from typing import NamedTuple

import bpy
import numpy as np

from ..hund_backend.body.file import BodyFile
from . import armature, mesh, world


class Character(NamedTuple):
    """A person in a scene."""

    name: str
    armature: bpy.types.Object
    mesh: bpy.types.Object
    face_keys: tuple[str, ...]  # names of the shape keys of 20 coefficients, then of 52 units


def create(
    name: str, body: BodyFile, betas: np.ndarray, workshop: bpy.types.Scene, *, is_twisted: bool
) -> Character:
    """Make the character of a build, at rest.

    Args:
        name: of the armature; the skin's begins with it.
        body: what the character is made of.
        betas: the build (16,).
        workshop: a scene to work in (see `armature.create`).
        is_twisted: the twist bones carry skin (see `mesh.create`).
    """
    rest = world.rest(body, betas)
    bones = armature.create(name, rest, body.skinning_weights, workshop)
    skin = mesh.create(f"{name} Body", body, rest, betas, bones, is_twisted=is_twisted)
    return Character(name, bones, skin, mesh.face_key_names(body))
