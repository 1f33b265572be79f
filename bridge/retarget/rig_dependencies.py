"""Dependencies of a rig's bones: what has to be evaluated for some of them."""

import bpy


def needed(armature: bpy.types.Object, names: set[str]) -> set[str]:
    """Return bones with all others of the rig that they depend on.

    Args:
        armature: rig with constraints and drivers.
        names: of the bones.
    """
    sources = _sources(armature)
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting |= sources.get(name, set())
    return found


def free(armature: bpy.types.Object, kept: set[str]) -> None:
    """Remove the constraints and the drivers of an armature's bones but some.

    Args:
        armature: temporary copy of a rig.
        kept: names of the bones that keep theirs.
    """
    for bone in armature.pose.bones:
        for constraint in () if bone.name in kept else list(bone.constraints):
            bone.constraints.remove(constraint)
    if armature.animation_data:
        for curve in list(armature.animation_data.drivers):
            if (owner := _bone_in(curve.data_path)) and owner not in kept:
                armature.animation_data.drivers.remove(curve)


def _sources(armature: bpy.types.Object) -> dict[str, set[str]]:
    """Return what each bone depends on directly: its parent, targets and drivers' variables."""
    found = {
        bone.name: {bone.parent.name} if bone.parent else set() for bone in armature.pose.bones
    }
    for bone in armature.pose.bones:
        for constraint in bone.constraints:
            names = {
                getattr(constraint, "subtarget", ""),
                getattr(constraint, "pole_subtarget", ""),
            }
            names |= {target.subtarget for target in getattr(constraint, "targets", ())}
            found[bone.name] |= names - {""}
            if constraint.type in {"IK", "SPLINE_IK"}:  # it moves the bones above, too
                above = bone.parent_recursive
                if constraint.chain_count:
                    above = above[: constraint.chain_count - 1]
                for parent in above:
                    found[parent.name].add(bone.name)
    drivers = armature.animation_data.drivers if armature.animation_data else ()
    for curve in drivers:
        if (owner := _bone_in(curve.data_path)) in found:
            for variable in curve.driver.variables:
                for target in variable.targets:
                    found[owner] |= {target.bone_target, _bone_in(target.data_path)} - {""}
    return found


def _bone_in(data_path: str) -> str:
    """Return the pose bone that a data path belongs to, or nothing."""
    start = 'pose.bones["'
    if not data_path.startswith(start):
        return ""
    return bpy.utils.unescape_identifier(data_path[len(start) :].split('"]')[0])
