"""Edits: what the user has changed on the datablocks of a result since they were written.

The collection of a result stores its state: checksums of all that users work on, by datablock,
aspect (keys, modifiers, …) and item. They depend on nothing that changes by itself, by saving, by
playing or from one Blender to the next. Properties at their defaults have no checksum, so that
those which a later Blender adds do not count as changes.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import bpy
import numpy as np
from bpy.app.translations import pgettext_rpt as rpt_

from . import action, confidence_colors, ownership, shots, texts

# Checksums of one datablock: by aspect and item.
Checksums = dict[str, dict[str, str]]

_STATE = "hund_state"  # custom property of a collection
_VERSION = 1  # of the state; states of other versions are not comparable
SHARED_MOTION = "Motion"  # part of an action that animates all people and cameras of a result
_ANIMATED = "animated"  # instead of the checksum of a property that has keys or a driver

# Properties that are not the user's work: derived, selected, or of the interface.
_IGNORED = {
    "name",
    "dimensions",
    "execution_time",
    "filepath",
    "filepath_raw",
    "head",
    "hide",
    "id_root",
    "length",
    "matrix",
    "matrix_basis",
    "matrix_channel",
    "matrix_local",
    "matrix_world",
    "mode",
    "persistent_uid",
    "pixels",
    "select",
    "select_head",
    "select_tail",
    "session_uid",
    "show_expanded",
    "slider_max",
    "slider_min",
    "tag",
    "tail",
    "texspace_location",
    "texspace_size",
    "use_auto_refresh",
    "use_extra_user",
    "use_fake_user",
    "use_nodes",
    "use_pin_to_last",
}
_POSITION = ("location", "rotation_", "scale", "delta_", "lock_")
# Aspects whose items are not compared where one of both sides lacks them: Blender may add some.
_GROWING = {"node value"}

# Sentences by aspect; part is a part of the result, {item} what was changed on it.
_TEXTS = {
    "action": "Action {item} on {part}",
    "attribute": "Attribute {item} on {part}",
    "background": "Background images of {part}",
    "bone": "Bone settings of {part}",
    "bone collection": "Bone collections of {part}",
    "bone constraint": "Constraint {item} on {part}",
    "constraint": "Constraint {item} on {part}",
    "curve modifier": "F-curve modifiers on {part}",
    "custom property": "Custom property {item} on {part}",
    "deleted": "{part} is deleted",
    "driver": "Driver of {item} on {part}",
    "key": "Hand-made keys on {part}",
    "marker": "Marker {item}",
    "material": "Material of {part}",
    "mesh": "Edited mesh of {part}",
    "modifier": "Modifier {item} on {part}",
    "motion": "Removed motion of {part}",
    "name": "{part} is renamed to {item}",
    "NLA track": "NLA track {item} on {part}",
    "node": "Nodes of {part}",
    "node value": "Nodes of {part}",
    "parent": "Parent of {part}",
    "position": "{part} is moved",
    "rest bone": "Edited bones of {part}",
    "setting": "Settings of {part}",
    "shape key": "Shape keys of {part}",
    "shape key value": "Shape key values of {part}",
    "weights": "Weights of {part}",
}


class Change(NamedTuple):
    """One item that the user has added, changed or removed."""

    datablock: tuple[str, str]  # type and part
    aspect: str
    item: str
    is_added: bool

    @property
    def text(self) -> str:
        """Description for the user, in a few words."""
        part = self.datablock[1].replace(" Motion", "") or rpt_("The collection")
        return texts.fill(rpt_(_TEXTS[self.aspect]), part=part, item=self.item)


def record(collection: bpy.types.Collection, people: dict[str, int]) -> None:
    """Store the state of a result that has just been written.

    Args:
        collection: of the result.
        people: track of each person, by the name of its armature's part.
    """
    owned = ownership.datablocks(ownership.result_name(collection))
    _store(collection, {key: checksums(datablock) for key, datablock in owned.items()}, people)


def update(
    collection: bpy.types.Collection,
    people: dict[str, int],
    before: Iterable[Change],
    is_rewritten: Callable[[Change], bool],
) -> None:
    """Store the state of a result of which parts were written again.

    What the user had changed before and what was not written again stays a change.

    Args:
        collection: of the result.
        people: track of each person, by the name of its armature's part.
        before: the changes before it was written again.
        is_rewritten: whether a changed item was written again.
    """
    kept = {change[:3]: change for change in before if not is_rewritten(change)}
    recorded = _recorded(collection)
    owned = ownership.datablocks(ownership.result_name(collection))
    state = {key: aspects for key, aspects in recorded.items() if key not in owned}
    for key, datablock in owned.items():
        now, then = checksums(datablock), recorded.get(key, {})
        state[key] = {aspect: {} for aspect in now}
        for aspect in now.keys() | then.keys():
            items = now.get(aspect, {}) | {
                item: value
                for item, value in then.get(aspect, {}).items()
                if (key, aspect, item) in kept
            }
            added = {i for i in items if (c := kept.get((key, aspect, i))) and c.is_added}
            state[key][aspect] = {i: value for i, value in items.items() if i not in added}
    _store(collection, state, people)


def recorded_people(collection: bpy.types.Collection) -> dict[str, int]:
    """Return the track of each person by its armature's part, also of those who were deleted."""
    return json.loads(collection.get(_STATE, "{}")).get("people", {})


def recorded_items(
    collection: bpy.types.Collection, datablock: tuple[str, str], aspect: str
) -> set[str]:
    """Return the items that a datablock had when it was written."""
    return set(_recorded(collection).get(datablock, {}).get(aspect, {}))


def changes(collection: bpy.types.Collection) -> list[Change]:
    """Return what the user has changed on a result, in the order of its parts."""
    owned = ownership.datablocks(ownership.result_name(collection))
    for (kind, _), datablock in owned.items():
        if kind == "OBJECT" and datablock.mode == "EDIT":
            datablock.update_from_editmode()
    found = []
    for key, then in sorted(_recorded(collection).items(), key=lambda entry: entry[0][::-1]):
        datablock = owned.get(key)
        if "scene" in then and not (datablock and datablock.users_scene):
            found.append(Change(key, "deleted", "", False))
        if datablock is None or ("scene" in then and not datablock.users_scene):
            continue
        if datablock.name != ownership.original_name(datablock):
            found.append(Change(key, "name", datablock.name, False))
        found += _compare(key, then, checksums(datablock))
    return found


def descriptions(found: Iterable[Change]) -> list[str]:
    """Describe changes, each description once."""
    found = list(found)
    deleted = {change.datablock[1] for change in found if change.aspect == "deleted"}
    names = {change.datablock[1]: change for change in found if change.aspect == "name"}
    shown = []
    for change in found:
        kind, part = change.datablock
        is_data = kind not in {"OBJECT", "COLLECTION"}
        if is_data and change.aspect == "name" and names[part].datablock != change.datablock:
            continue  # its object is renamed, too
        if change.aspect == "deleted" and any(_is_part(part, other) for other in deleted):
            continue  # its person is deleted, too
        shown.append(change.text)
    return list(dict.fromkeys(shown))


def _is_part(part: str, other: str) -> bool:
    """Return whether a part belongs to another one; "Camera 2" does not to "Camera"."""
    rest = part.removeprefix(f"{other} ")
    return rest != part and not rest.isdigit()


def summary(found: Iterable[Change], count: int = 3) -> str:
    """Describe the first changes in one line."""
    described = descriptions(found)
    line, rest = ", ".join(described[:count]), len(described) - count
    return (
        texts.fill(rpt_("{changes} and {count} more"), changes=line, count=rest)
        if rest > 0
        else line
    )


def _store(
    collection: bpy.types.Collection,
    state: dict[tuple[str, str], Checksums],
    people: dict[str, int],
) -> None:
    joined = {"/".join(key): aspects for key, aspects in state.items()}
    content = {"version": _VERSION, "people": people, "datablocks": joined}
    collection[_STATE] = json.dumps(content, ensure_ascii=False)


def _recorded(collection: bpy.types.Collection) -> dict[tuple[str, str], Checksums]:
    content = json.loads(collection.get(_STATE, "{}"))
    if content.get("version") != _VERSION:
        return {}
    return {tuple(key.split("/", 1)): value for key, value in content["datablocks"].items()}


def _compare(key: tuple[str, str], then: Checksums, now: Checksums) -> Iterator[Change]:
    for aspect in sorted(then.keys() | now.keys()):
        before, after = then.get(aspect, {}), now.get(aspect, {})
        if aspect == "key":
            before, after = _without_renamed(before, after)
        for item in sorted(before.keys() | after.keys()):
            values = before.get(item), after.get(item)
            is_same = values[0] == values[1] or _ANIMATED in values
            if is_same or (aspect in _GROWING and None in values):
                continue
            yield Change(key, aspect, item, item not in before)


def _without_renamed(
    before: dict[str, str], after: dict[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Leave out F-curves whose path has changed with the name of a bone, but not their keys."""
    removed = {before[path] for path in before.keys() - after.keys()}
    added = {after[path] for path in after.keys() - before.keys()}
    renamed = removed & added
    return (
        {p: value for p, value in before.items() if p in after or value not in renamed},
        {p: value for p, value in after.items() if p in before or value not in renamed},
    )


def checksums(datablock: bpy.types.ID) -> Checksums:
    """Return the checksums of all that users work on in a datablock."""
    animated = _animated_paths(datablock)
    result: Checksums = {}
    for path, value in _settings(datablock, "", animated):
        aspect = "position" if path.startswith(_POSITION) else "setting"
        result.setdefault(aspect, {})[path] = value
    result["custom property"] = _custom_properties(datablock)
    if animation := getattr(datablock, "animation_data", None):
        result |= _animation(animation)
    for kind, read in _READERS.items():
        if datablock.id_type == kind:
            result |= read(datablock, animated)
    return {aspect: items for aspect, items in result.items() if items}


def _object(obj: bpy.types.Object, animated: set[str]) -> Checksums:
    result = {
        "modifier": {
            m.name: _struct(m, f'modifiers["{m.name}"].', animated) for m in obj.modifiers
        },
        "constraint": _constraints(obj, "", animated),
        "material": {
            str(index): _checksum(slot.link, _reference(slot.material))
            for index, slot in enumerate(obj.material_slots)
            if slot.link == "OBJECT"
        },
    }
    if obj.users_scene:
        result["scene"] = {"": ""}
    if obj.parent:
        values = _reference(obj.parent), obj.parent_type, obj.parent_bone
        result["parent"] = {"": _checksum(*values)}
    if obj.pose:
        result["bone"], result["bone constraint"] = {}, {}
        for bone in obj.pose.bones:
            prefix = f'pose.bones["{bone.name}"].'
            palette, normal = confidence_colors.own_color(bone)
            colors = palette, *normal
            values = _struct(bone, prefix, animated), colors, _custom_properties(bone)
            result["bone"][bone.name] = _checksum(*values)
            for name, value in _constraints(bone, prefix, animated).items():
                result["bone constraint"][f"{bone.name}: {name}"] = value
    return result


def _armature(data: bpy.types.Armature, animated: set[str]) -> Checksums:
    return {
        "rest bone": {
            bone.name: _checksum(
                np.round(np.array(bone.matrix_local, np.float32), 4) + 0,
                bone.length,
                bone.parent.name if bone.parent else "",
                dict(_settings(bone, f'bones["{bone.name}"].', animated)),
            )
            for bone in data.bones
        },
        "bone collection": {
            collection.name: _checksum(sorted(bone.name for bone in collection.bones))
            for collection in data.collections_all
        },
    }


def _mesh(data: bpy.types.Mesh, _animated: set[str]) -> Checksums:
    weights = [(g.group, g.weight) for vertex in data.vertices for g in vertex.groups]
    uv = [_array(layer.uv, "vector", 2) for layer in data.uv_layers]
    has_keys = data.shape_keys is not None  # the edit mode writes the active one into the mesh
    vertices = [] if has_keys else [_array(data.vertices, "co", 3)]
    return {
        "mesh": {
            "vertices": _checksum(len(data.vertices), *vertices),
            "faces": _checksum(_array(data.loops, "vertex_index", 1, np.int32)),
            "UV": _checksum(*uv),
            "material": _checksum(_array(data.polygons, "material_index", 1, np.int32)),
        },
        "weights": {"": _checksum(np.array(weights, np.float32))},
        "material": {
            str(index): _checksum(_reference(material))
            for index, material in enumerate(data.materials)
        },
        "attribute": {attribute.name: "" for attribute in data.color_attributes},
    }


def _key(data: bpy.types.Key, animated: set[str]) -> Checksums:
    result: Checksums = {"shape key": {}, "shape key value": {}}
    for block in data.key_blocks:
        path = f'key_blocks["{block.name}"].value'
        relative = block.relative_key.name if block.relative_key else ""
        values = _array(block.points, "co", 3), relative, block.vertex_group, block.mute
        result["shape key"][block.name] = _checksum(*values)
        value = _ANIMATED if path in animated else _checksum(block.value)
        result["shape key value"][block.name] = value
    return result


def key_prefix(data: bpy.types.Action, channels: action.Channels) -> str:
    """Return what precedes the paths of F-curves among the items of an action's keys.

    It is the slot where all people and cameras share the action, as their bones have equal paths.
    """
    is_shared = ownership.is_owned(data) and ownership.part_of(data) == SHARED_MOTION
    return f"{channels.slot_handle}:" if action.HAS_SLOTS and is_shared else ""


def _curves(data: bpy.types.Action) -> Iterator[tuple[str, bpy.types.FCurve]]:
    """Yield the F-curves of an action, each with the item that stands for its path."""
    if not action.HAS_SLOTS:
        yield from ((curve.data_path, curve) for curve in data.fcurves)
        return
    for bag in (b for layer in data.layers for s in layer.strips for b in s.channelbags):
        prefix = key_prefix(data, bag)
        yield from ((prefix + curve.data_path, curve) for curve in bag.fcurves)


def _action(data: bpy.types.Action, _animated: set[str]) -> Checksums:
    keys: dict[str, list[str]] = {}
    modifiers: dict[str, str] = {}
    for path, curve in _curves(data):
        values = (
            curve.array_index,
            _array(curve.keyframe_points, "co", 2),
            _array(curve.keyframe_points, "interpolation", 1, np.int32),
            curve.extrapolation,
        )
        keys.setdefault(path, []).append(_checksum(*values))
        if curve.modifiers or curve.mute:
            kinds = [modifier.type for modifier in curve.modifiers]
            item = f"{path}[{curve.array_index}]"
            modifiers[item] = _checksum(kinds, curve.mute)
    return {
        "key": {path: _checksum(sorted(values)) for path, values in keys.items()},
        "curve modifier": modifiers,
    }


def _collection(collection: bpy.types.Collection, _animated: set[str]) -> Checksums:
    states = shots.marker_states(ownership.result_name(collection))
    return {"marker": {name: _checksum(*state) for name, state in states.items()}}


def _camera(data: bpy.types.Camera, animated: set[str]) -> Checksums:
    backgrounds = enumerate(data.background_images)
    return {
        "background": {
            str(index): _struct(background, f"background_images[{index}].", animated)
            for index, background in backgrounds
        }
    }


def _material(data: bpy.types.Material, _animated: set[str]) -> Checksums:
    nodes, values = {}, {}
    tree = data.node_tree
    if tree is None:
        return {}
    for node in tree.nodes:
        nodes[node.name] = _checksum(node.bl_idname, node.mute)
        for socket in node.inputs:
            if not socket.is_linked and hasattr(socket, "default_value"):
                value = socket.default_value
                values[f"{node.name}/{socket.identifier}"] = _checksum(_plain(value))
    links = (
        (k.from_node.name, k.from_socket.name, k.to_node.name, k.to_socket.name)
        for k in tree.links
    )
    return {"node": nodes | {"links": _checksum(sorted(links))}, "node value": values}


_READERS: dict[str, Callable[[Any, set[str]], Checksums]] = {
    "ACTION": _action,
    "ARMATURE": _armature,
    "CAMERA": _camera,
    "COLLECTION": _collection,
    "KEY": _key,
    "MATERIAL": _material,
    "MESH": _mesh,
    "OBJECT": _object,
}


def _animation(animation: bpy.types.AnimData) -> Checksums:
    result: Checksums = {
        "driver": {
            driver.data_path: _checksum(driver.driver.expression) for driver in animation.drivers
        },
        "NLA track": {},
    }
    for track in animation.nla_tracks:
        strips = [
            (_reference(strip.action), strip.frame_start, strip.frame_end)
            for strip in track.strips
        ]
        result["NLA track"][track.name] = _checksum(strips, track.mute)
    own = animation.action
    if own and not ownership.is_owned(own) and not animation.use_tweak_mode:
        result["action"] = {own.name: ""}
    result["motion"] = {
        ownership.part_of(item): "" for item in actions(animation) if ownership.is_owned(item)
    }
    return result


def _animated_paths(datablock: bpy.types.ID) -> set[str]:
    """Return the paths of the properties that have keys or drivers."""
    animation = getattr(datablock, "animation_data", None)
    if not animation:
        return set()
    curves = [*animation.drivers]
    for item in actions(animation):
        curves += action.fcurves(item)
    return {curve.data_path for curve in curves}


def actions(animation: bpy.types.AnimData) -> set[bpy.types.Action]:
    """Return the actions that a datablock uses, also in strips."""
    found = {animation.action} | {strip.action for strip in strips(animation)}
    return found - {None}


def strips(animation: bpy.types.AnimData) -> Iterator[bpy.types.NlaStrip]:
    """Yield the strips of a datablock, also those inside meta strips."""
    waiting = [strip for track in animation.nla_tracks for strip in track.strips]
    while waiting:
        strip = waiting.pop()
        yield strip
        waiting += strip.strips


def _constraints(
    owner: bpy.types.Object | bpy.types.PoseBone, prefix: str, animated: set[str]
) -> dict[str, str]:
    return {
        constraint.name: _struct(
            constraint, f'{prefix}constraints["{constraint.name}"].', animated
        )
        for constraint in owner.constraints
    }


def _custom_properties(owner: bpy.types.ID | bpy.types.PoseBone) -> dict[str, str]:
    """Return the checksums of the user's custom properties; groups belong to extensions."""
    return {
        key: _checksum(str(value))
        for key, value in owner.items()
        if not key.startswith(ownership.MARK_PREFIX) and not hasattr(value, "to_dict")
    }


def _struct(struct: bpy.types.bpy_struct, prefix: str, animated: set[str]) -> str:
    """Return one checksum of the settings of a struct, and of the datablocks that it uses."""
    references = [
        (prop.identifier, _reference(value))
        for prop in struct.bl_rna.properties
        if prop.type == "POINTER" and prop.identifier not in {"id_data", "rna_type"}
        if isinstance(value := getattr(struct, prop.identifier), bpy.types.ID)
    ]
    return _checksum(references, dict(_settings(struct, prefix, animated)))


def _settings(
    struct: bpy.types.bpy_struct, prefix: str, animated: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield the names and checksums of the properties that are not at their defaults."""
    for prop in struct.bl_rna.properties:
        name = prop.identifier
        if prop.type in {"POINTER", "COLLECTION"} or prop.is_readonly or prop.is_runtime:
            continue
        if name in _IGNORED or name.startswith(("active_", "is_active")):
            continue
        if prefix + name in animated:
            yield name, _ANIMATED
            continue
        value = _plain(getattr(struct, name))
        if value != _default(prop):
            yield name, _checksum(value)


def _default(prop: bpy.types.Property) -> Any:  # noqa: ANN401 - of any type
    if prop.type == "ENUM" and prop.is_enum_flag:
        return _plain(prop.default_flag)
    if getattr(prop, "is_array", False):
        return _plain(prop.default_array)
    return _plain(prop.default)


def _plain(value: Any) -> Any:  # noqa: ANN401 - of any type
    """Convert a property's value to strings and flat lists of strings."""
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, float):
        return f"{value + 0.0:.5g}"  # without the sign of zero
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, bpy.types.ID):
        return _reference(value)
    if hasattr(value, "__len__"):
        return [part for item in value for part in _flat(_plain(item))]
    return str(value)


def _flat(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _reference(datablock: bpy.types.ID | None) -> str:
    """Return a name for a datablock: that of its part if it is owned, which cannot change."""
    if datablock is None:
        return ""
    if ownership.is_owned(datablock):
        return f"{datablock.id_type}/{ownership.part_of(datablock)}"
    return f"{datablock.id_type} {datablock.name_full}"


def _array(
    items: bpy.types.bpy_prop_collection, name: str, size: int, dtype: type = np.float32
) -> np.ndarray:
    values = np.empty(len(items) * size, dtype)
    items.foreach_get(name, values)
    return values


def _checksum(*values: Any) -> str:  # noqa: ANN401 - of any type
    checksum = 0
    for value in values:
        if isinstance(value, np.ndarray):
            content = value.tobytes()
        else:
            content = repr(_plain(value) if not isinstance(value, dict) else value).encode()
        checksum = zlib.crc32(content, checksum)
    return f"{checksum:08x}"
