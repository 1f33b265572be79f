"""Properties of a scene for applying a motion to another armature."""

from dataclasses import replace

import bpy

from . import preferences
from .bridge.retarget import roles
from .bridge.retarget.mapping import RigMapping

AUTOMATIC = "AUTOMATIC"  # the preset is found by names and geometry
_preset_items: list[tuple[str, str, str]] = []  # Blender keeps no references to their texts


def _is_armature(_settings: bpy.types.PropertyGroup, obj: bpy.types.Object) -> bool:
    return obj.type == "ARMATURE"


def _enumerate_presets(
    _settings: "HUND_PG_retarget", _context: bpy.types.Context | None
) -> list[tuple[str, str, str]]:
    from .bridge.retarget import presets  # here: Blender starts faster
    from .bridge.retarget.errors import RetargetError

    try:
        known = sorted(presets.load(preferences.presets_folder()))
    except RetargetError:
        known = sorted(presets.load(None))
    names = (AUTOMATIC, "Automatic", "Find the bones by their names and places")
    items = [names, *((name, name, f"Use the bones that {name} rigs have") for name in known)]
    if items != _preset_items:
        _preset_items[:] = items
    return _preset_items


def _detect(settings: "HUND_PG_retarget", _context: bpy.types.Context) -> None:
    settings.detect()


class HUND_PG_role(bpy.types.PropertyGroup):
    """A role and its bone; its name is the role."""

    bone: bpy.props.StringProperty(
        name="Bone",
        description="Choose the bone of the target; without one this part does not move",
    )

    @property
    def label(self) -> str:
        """Label of the role, such as "Upper Arm L"."""
        return roles.label(self.name)


class HUND_PG_pair(bpy.types.PropertyGroup):
    """A person and the armature that gets the motion."""

    person: bpy.props.PointerProperty(
        name="Person",
        description="Choose the armature with the motion",
        type=bpy.types.Object,
        poll=_is_armature,
    )
    target: bpy.props.PointerProperty(
        name="Armature",
        description="Choose the armature that gets this person's motion; none: it gets no keys",
        type=bpy.types.Object,
        poll=_is_armature,
    )


class HUND_PG_retarget(bpy.types.PropertyGroup):
    """How a motion is applied to another armature."""

    source: bpy.props.PointerProperty(
        name="Source",
        description="Choose the armature with the motion",
        type=bpy.types.Object,
        poll=_is_armature,
    )
    target: bpy.props.PointerProperty(
        name="Target",
        description="Choose the armature that gets the keys",
        type=bpy.types.Object,
        poll=_is_armature,
        update=_detect,
    )
    preset: bpy.props.EnumProperty(
        name="Preset",
        description="Choose the family of the target's rig",
        items=_enumerate_presets,
        update=_detect,
    )
    travel: bpy.props.EnumProperty(
        name="Distances",
        description="Choose how far the target travels",
        items=(
            ("SCALED", "Scaled by Legs", "Scale steps by the length of the legs; feet fit best"),
            ("VIDEO", "As in Video", "Keep all places on the floor, next to others in the video"),
        ),
    )
    root: bpy.props.EnumProperty(
        name="Root Motion",
        description="Choose the bone that travels",
        items=(
            ("HIPS", "Hips", "Key the travel on the hips"),
            ("ROOT", "Root Bone", "Key travel and heading on the root bone, as engines expect"),
            ("IN_PLACE", "In Place", "Leave out the travel over the floor"),
        ),
    )
    controls: bpy.props.EnumProperty(
        name="Controls",
        description="Choose the controls of arms and legs that get keys",
        items=(
            ("FK", "FK", "Key the rotation of each part"),
            ("IK", "IK", "Key hands, feet and poles; the rig's preset must name them"),
        ),
    )
    key_switches: bpy.props.BoolProperty(
        name="Key FK/IK Switches",
        description="Key the rig's switches so that the keyed controls move it. "
        "Otherwise they stay as they are",
        default=True,
    )
    keep_contacts: bpy.props.BoolProperty(
        name="Keep Foot Contacts",
        description="Keep feet in place and on the floor while they touch it, "
        "also with longer or shorter legs",
        default=True,
    )
    keep_hands: bpy.props.BoolProperty(
        name="Keep Hand Contacts",
        description="Let hands that touch each other or the body touch on the target, too, "
        "also with other proportions",
    )
    use_locks: bpy.props.BoolProperty(
        name="Respect Locks",
        description="Leave locked rotation axes without keys",
        default=True,
    )
    reduce_keys: bpy.props.BoolProperty(
        name="Reduce Keys",
        description="Replace the key on each frame by fewer keys with curves, within the tolerance",
    )
    key_tolerance_mm: bpy.props.FloatProperty(
        name="Tolerance (mm)",
        description="Set how far a joint may be from its place in any frame, in millimetres; "
        "feet in contact may be at most 2 mm off",
        default=5.0,
        min=0.1,
        soft_max=50.0,
    )
    roles: bpy.props.CollectionProperty(type=HUND_PG_role)
    active_role: bpy.props.IntProperty()
    pairs: bpy.props.CollectionProperty(type=HUND_PG_pair)
    active_pair: bpy.props.IntProperty()
    found: bpy.props.StringProperty()  # the preset that names the controls; empty: none does
    message: bpy.props.StringProperty()  # what was unusual or went wrong in the detection

    @property
    def mapping(self) -> RigMapping:
        """The mapping as the table has it."""
        from .bridge.retarget import presets

        bones = {role.name: role.bone for role in self.roles if role.bone}
        preset = presets.load(preferences.presets_folder()).get(self.found)
        if preset is None or self.target is None:
            return RigMapping(bones=bones)
        return replace(presets.resolve(preset, self.target), bones=bones)

    def detect(self) -> None:
        """Fill the table for the target."""
        from .bridge.retarget import detection, presets
        from .bridge.retarget.errors import RetargetError

        self.roles.clear()
        self.found = self.message = ""
        if self.target is None:
            return
        try:
            known = presets.load(preferences.presets_folder())
            if self.preset == AUTOMATIC:
                found, notes = detection.detect(self.target, known)
            else:
                found, notes = presets.resolve(known[self.preset], self.target), ()
        except RetargetError as error:
            found, notes = RigMapping(bones={}), (str(error),)
        self.found, self.message = found.preset, " ".join(notes)
        for role in roles.ROLES:
            if role in found.bones or role in roles.BODY:
                self.roles.add().name = role
                self.roles[-1].bone = found.bones.get(role, "")


CLASSES = (HUND_PG_role, HUND_PG_pair, HUND_PG_retarget)
