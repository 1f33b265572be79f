"""Bone styles: names of bones in exchange files, as the programs that read them expect."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import bpy

from ..hund_backend.body.skeleton import JOINT_NAMES
from . import bone_names
from .armature import TWISTS
from .retarget import presets

STYLES = ("blender", "ghum", "mixamo", "unreal", "unity")
_OURS = "HUND"  # preset with our own bones
_PRESETS = {"mixamo": "Mixamo", "unreal": "Unreal", "unity": "Unity, VRM 0"}
_PREFIXES = {"mixamo": "mixamorig:"}  # the namespace that Mixamo's files have
_SIDES = {"mixamo": ("Left", "Right"), "unreal": ("l", "r"), "unity": ("Left", "Right")}
# Bones that the programs' own skeletons lack, without their side, in the words of those they have.
_MORE = {
    "Foot": ("MidFoot", "midfoot"),
    "Toes01": ("ToeTip", "toe_tip"),
    "Jaw01": ("Jaw", "jaw"),
    "Eye01": ("Eye", "eye"),
    "Eyelidup01": ("UpperLid", "eyelid_upper"),
    "Eyeliddown01": ("LowerLid", "eyelid_lower"),
    "UpperarmTwist": ("ArmTwist", "upperarm_twist_01"),
    "LowerarmTwist": ("ForeArmTwist", "lowerarm_twist_01"),
}


def names(style: str) -> dict[str, str]:
    """Return the names of all bones in a style, by their names in GHUM's.

    Args:
        style: one of `STYLES`.
    """
    ours = (*JOINT_NAMES, *(twist.name for twist in TWISTS))
    if style == "ghum":
        return {name: name for name in ours}
    if style == "blender":
        return {name: bone_names.to_blender(name) for name in ours}
    loaded = presets.load(None)
    roles = {name: role for role, name in presets.names_by_role(loaded[_OURS]).items()}
    theirs = presets.names_by_role(loaded[_PRESETS[style]])
    prefix = _PREFIXES.get(style, "")
    found = {name: theirs.get(roles.get(name, "")) or _more(name, style) for name in ours}
    return {name: prefix + found[name] for name in ours}


@contextmanager
def renamed(armatures: Sequence[bpy.types.Object], style: str) -> Iterator[None]:
    """Give bones their names in a style inside the block, and theirs back afterwards.

    Blender renames vertex groups, F-curves and the references of constraints with them.
    """
    if style == "blender":
        yield
        return
    table = names(style)
    with ExitStack() as restore:
        for armature in {armature.data: armature for armature in armatures}.values():
            bones = bone_names.find_bones(armature)
            before = {name: bone.name for name, bone in bones.items() if name in table}
            # In two steps: a new name may be that of another bone now.
            for targets in ({name: f"~{name}" for name in before}, table):
                for name, current in before.items():
                    bone = armature.data.bones[current]
                    bone.name = targets[name]  # with a number if a bone of the user's has it
                    before[name] = bone.name
                    restore.callback(_rename, armature.data, bone.name, current)
        yield


def _rename(data: bpy.types.Armature, name: str, previous: str) -> None:
    data.bones[name].name = previous


def _more(name: str, style: str) -> str:
    """Return a name for a bone that the program's own skeleton lacks."""
    side = bone_names.side(name)
    words, snake = _MORE[name.removesuffix(side)]
    texts = _SIDES[style]
    text = texts["LR".index(side)] if side else ""
    if style == "unreal":
        return f"{snake}_{text}" if side else snake
    return text + words
