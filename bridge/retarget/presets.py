"""Presets: names of bones and controls of known rigs, one JSON file for each family of rigs.

A preset has `name`, `sides` (the text that stands for `{side}` in the names), `bones` by role
without side and number, `chains` and `fingers` (lists from the hips or the hand outwards), and
where the rig has them `face`, `controls`, `followers`, `ik` and `switches`. Names are compared
without namespaces, such as `mixamorig:`, and without regard to case.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ...hund_backend.atomic_write import write_file
from ...hund_backend.errors import BadInputError
from .. import bone_names
from . import roles
from .errors import RetargetError
from .mapping import IkChain, RigMapping, Switch

_FOLDER = Path(__file__).with_name("presets")
_TABLES = ("bones", "face")  # one name for a role
_LISTS = ("chains", "fingers")  # a name for each number
_TOP = {"name", "sides", *_TABLES, *_LISTS, "controls", "followers", "ik", "switches"}
_NAMESPACE = re.compile(r"^.*[:|]")
_UNSAFE = re.compile(r"[^\w\- .,()]+")  # characters that file names should not have


@dataclass(frozen=True)
class Preset:
    """Names of a rig's bones."""

    name: str
    content: Mapping[str, Any]  # as in the file


def load(user_folder: Path | None) -> dict[str, Preset]:
    """Return the presets by their names; the user's replace ours of the same name.

    Args:
        user_folder: with the user's presets, or None.

    Raises:
        RetargetError: a file is no preset.
    """
    found: dict[str, Preset] = {}
    for folder in filter(None, (_FOLDER, user_folder)):
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            preset = read(path)
            found[preset.name] = preset
    return found


def read(path: Path) -> Preset:
    """Read one preset.

    Raises:
        RetargetError: the file cannot be read or is no preset.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RetargetError(f"The preset {path.name} cannot be read ({error}).") from error
    if problem := _problem(content):
        raise RetargetError(f"The preset {path.name} cannot be used: {problem}.")
    return Preset(content["name"], content)


def save(user_folder: Path, name: str, mapping: RigMapping) -> Path:
    """Save a mapping as a preset of the user, and return its file.

    Raises:
        RetargetError: the name is empty, or the folder cannot be written to.
    """
    stem = _UNSAFE.sub("_", name.strip()).strip(". ")
    if not stem:
        raise RetargetError("The preset needs a name.")
    content: dict[str, Any] = {
        "name": name.strip(),
        "sides": {side: side for side in roles.SIDES},
        "exact": dict(mapping.bones),
    }
    if mapping.controls:
        content["exact_controls"] = dict(mapping.controls)
    if mapping.ik:
        content["exact_ik"] = {
            role: {
                "end": chain.end,
                "pole": chain.pole,
                "toe": chain.toe,
                "twist": chain.twist,
            }
            for role, chain in mapping.ik.items()
        }
    if mapping.followers:
        content["exact_followers"] = {k: list(v) for k, v in mapping.followers.items()}
    if mapping.switches:
        content["switches"] = [
            {"bone": s.bone, "property": s.prop, "fk": s.fk, "ik": s.ik} for s in mapping.switches
        ]
    path = user_folder / f"{stem}.json"
    try:
        write_file(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    except BadInputError as error:
        raise RetargetError(str(error)) from error
    return path


def resolve(preset: Preset, armature: bpy.types.Object) -> RigMapping:
    """Return the mapping of an armature by a preset: what it names and the armature has."""
    names = names_of(armature)
    content = preset.content
    sides = content["sides"]

    def found(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
        return {role: names[key] for role, name in pairs if (key := normalized(name)) in names}

    bones = _consecutive(found(_named(content, sides))) | found(
        iter(content.get("exact", {}).items())
    )
    controls = _consecutive(found(_named(content.get("controls", {}), sides))) | found(
        iter(content.get("exact_controls", {}).items())
    )
    if "hips" not in controls:  # the skeleton of a control rig, without its controls
        return RigMapping(
            bones=bones, followers=_followers(content, sides, names), preset=preset.name
        )
    return RigMapping(
        bones=bones,
        controls=controls,
        followers=_followers(content, sides, names),
        ik=_ik(content, sides, names),
        switches=tuple(_switches(content, sides, armature, names)),
        preset=preset.name,
    )


def names_by_role(preset: Preset) -> dict[str, str]:
    """Return the names that a preset has for bones, by their roles."""
    return dict(_named(preset.content, preset.content["sides"]))


def names_of(armature: bpy.types.Object) -> dict[str, str]:
    """Return the bones of an armature by their normalized names, and ours by GHUM's names."""
    names = {normalized(bone.name): bone.name for bone in reversed(armature.data.bones)}
    for ghum_name, bone in bone_names.find_bones(armature).items():
        names[normalized(ghum_name)] = bone.name
    return names


def normalized(name: str) -> str:
    """Return a name without its namespace, in lower case."""
    return _NAMESPACE.sub("", name).lower()


def _named(content: Mapping[str, Any], sides: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield all roles with the names that a preset has for them."""
    for table in _TABLES:
        for role, name in content.get(table, {}).items():
            yield from _with_sides(role, name, sides)
    for table in _LISTS:
        for role, names in content.get(table, {}).items():
            for number, name in enumerate(names, start=1):
                yield from _with_sides(f"{role}.{number}", name, sides)


def _with_sides(role: str, name: str, sides: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if "{side}" not in name:
        yield role, name
        return
    for side, text in sides.items():
        yield f"{role}.{side}", name.replace("{side}", text)


def _consecutive(bones: dict[str, str]) -> dict[str, str]:
    """Number the bones of chains from one where the rig lacks some of them."""
    for name in roles.CHAINS:
        present = [bones.pop(role) for role in roles.chain(name) if role in bones]
        bones |= dict(zip(roles.chain(name), present, strict=False))
    return bones


def _followers(
    content: Mapping[str, Any], sides: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    result: dict[str, list[str]] = {}
    for role, templates in content.get("followers", {}).items():
        for template in templates:
            for sided, name in _with_sides(role, template, sides):
                if normalized(name) in names:
                    result.setdefault(sided, []).append(names[normalized(name)])
    for role, exact in content.get("exact_followers", {}).items():
        result[role] = [names[normalized(name)] for name in exact if normalized(name) in names]
    return {role: tuple(bones) for role, bones in result.items()}


def _ik(
    content: Mapping[str, Any], sides: Mapping[str, str], names: Mapping[str, str]
) -> dict[str, IkChain]:
    wanted = {
        f"{role}.{side}": {key: name.replace("{side}", text) for key, name in chain.items()}
        for role, chain in content.get("ik", {}).items()
        for side, text in sides.items()
    } | dict(content.get("exact_ik", {}))
    result = {}
    for role, chain in wanted.items():
        bones = {key: names.get(normalized(name), "") for key, name in chain.items()}
        if bones["end"]:
            result[role] = IkChain(
                end=bones["end"],
                pole=bones.get("pole", ""),
                toe=bones.get("toe", ""),
                twist=bones.get("twist", ""),
            )
    return result


def _switches(
    content: Mapping[str, Any],
    sides: Mapping[str, str],
    armature: bpy.types.Object,
    names: Mapping[str, str],
) -> Iterator[Switch]:
    for switch in content.get("switches", ()):
        for _, name in _with_sides("", switch["bone"], sides):
            bone = names.get(normalized(name))
            if bone and _has_property(armature.pose.bones[bone], switch["property"]):
                yield Switch(bone=bone, prop=switch["property"], fk=switch["fk"], ik=switch["ik"])


def _has_property(bone: bpy.types.PoseBone, name: str) -> bool:
    return name in bone or name in bone.bl_rna.properties


def _problem(content: Any) -> str | None:  # noqa: ANN401 - JSON
    """Return what is wrong with the content of a file, or None."""
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        return "it has no name"
    sides = content.get("sides")
    if not isinstance(sides, dict) or set(sides) != set(roles.SIDES):
        return "its sides are not L and R"
    allowed = _TOP | {"exact", "exact_controls", "exact_ik", "exact_followers"}
    if unknown := set(content) - allowed:
        return f"{min(unknown)} is not a part of presets"
    for part in (content, content.get("controls", {})):
        if not isinstance(part, dict):
            return "its controls are not a table"
        for role, _ in _named(part, sides):
            if role not in roles.ROLES:
                return f"{role} is not a role"
    for part in ("exact", "exact_controls"):
        for role in content.get(part, {}):
            if role not in roles.ROLES:
                return f"{role} is not a role"
    return None
