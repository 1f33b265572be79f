"""Detection: the mapping of an armature by names and by geometry, which vote."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import bpy

from . import geometry_mapping, presets, roles
from . import skeleton as skeletons
from .errors import RetargetError
from .geometry_mapping import NoBodyError, Tree
from .mapping import RigMapping
from .presets import Preset

NAMES_SUFFICE = 0.75  # coverage of the body from which a preset's names are trusted
_LEAST = 0.4  # coverage of the body below which nothing was found
_TELLING = ("thigh", "shin", "foot", "upper_arm", "forearm", "hand")  # roles that tell sides


class Detected(NamedTuple):
    """A mapping that was found."""

    mapping: RigMapping
    notes: tuple[str, ...]  # sentences on what is unusual


def detect(armature: bpy.types.Object, known: Mapping[str, Preset]) -> Detected:
    """Find the roles of an armature's bones.

    The preset with the highest coverage gives them if it names most of the body. Geometry adds
    what it does not name and decides which side is left. Without such a preset, geometry alone
    gives the roles.

    Args:
        armature: to map.
        known: presets by their names.

    Raises:
        RetargetError: no body was found.
    """
    by_names = max(
        (presets.resolve(preset, armature) for preset in known.values()),
        key=lambda found: (round(found.body_coverage, 3), len(found.bones)),
    )
    try:
        geometry = by_geometry(armature)
    except NoBodyError:
        geometry = {}
    if by_names.body_coverage >= NAMES_SUFFICE:
        return _vote(by_names, geometry)
    found = RigMapping(bones=geometry)
    if found.body_coverage < by_names.body_coverage:
        found = by_names
    if found.body_coverage < _LEAST:
        share = round(100 * found.body_coverage)
        raise RetargetError(
            f"Only {share} % of a body's bones are recognized on {armature.name}: choose a "
            "preset, or the bones one by one."
        )
    return Detected(found, ())


def by_geometry(armature: bpy.types.Object) -> dict[str, str]:
    """Return the bones of an armature by role, from its rest pose in the world.

    Raises:
        NoBodyError: no person is recognized.
        RetargetError: the armature is scaled unevenly.
    """
    skeleton = skeletons.read(armature)
    rotation, offset = skeleton.world[:3, :3], skeleton.world[:3, 3]
    tree = Tree(
        parents=skeleton.parents,
        heads=skeleton.rest[:, :3, 3] @ rotation.T + offset,
        tails=skeleton.tails @ rotation.T + offset,
    )
    return {role: skeleton.names[bone] for role, bone in geometry_mapping.roles_of(tree).items()}


def _vote(by_names: RigMapping, geometry: Mapping[str, str]) -> Detected:
    notes: list[str] = []
    role_of = {bone: role for role, bone in geometry.items()}
    votes = [
        role_of[bone] == role
        for role, bone in by_names.bones.items()
        if roles.side_of(role)
        and role.split(".")[0] in _TELLING
        and role_of.get(bone) in {role, roles.mirrored(role)}
    ]
    if votes and not any(votes):
        by_names = _exchanged(by_names)
        notes.append("The names of left and right are exchanged on this rig.")
    if not by_names.controls:
        used = set(by_names.bones.values())
        chains = {name for name in roles.CHAINS if by_names.chain(name)}
        added = {
            role: bone
            for role, bone in geometry.items()
            if role not in by_names.bones
            and bone not in used
            and role.split(".")[0] not in chains
            and role != "root"
        }
        by_names = dataclasses.replace(by_names, bones={**by_names.bones, **added})
    return Detected(by_names, tuple(notes))


def _exchanged(mapping: RigMapping) -> RigMapping:
    """Return a mapping with left and right exchanged."""

    def exchanged(table: Mapping) -> dict:
        return {roles.mirrored(role): value for role, value in table.items()}

    tables = ("bones", "controls", "followers", "ik")
    return dataclasses.replace(
        mapping, **{name: exchanged(getattr(mapping, name)) for name in tables}
    )
