"""Properties of a scene: the clip, the options and the results."""

from typing import TYPE_CHECKING

import bpy

from . import handlers, pin_properties, preferences, retarget_properties
from .bridge import paths
from .bridge.existing import EXISTING
from .bridge.job import JobError
from .bridge.paths import BLEND_RELATIVE
from .hund_backend import options

_SOFT_SMOOTHING = 4.0  # end of the slider; more can be typed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .bridge.clip_card import Card
    from .bridge.found_people import ListedPerson
    from .bridge.solving_again import Evidence
    from .bridge.stage_preview import Source


def smoothing_property(description: str) -> bpy.props.FloatProperty:
    """Return the slider of the amount of smoothing.

    Args:
        description: what it smooths; the amounts are added.
    """
    return bpy.props.FloatProperty(
        name=options.LABELS["smoothing"],
        description=f"{description}: 0 leaves it as seen, 1 is the default, more is smoother",
        min=0.0,
        max=options.MAX_SMOOTHING,
        soft_max=_SOFT_SMOOTHING,
        default=options.DEFAULT_SMOOTHING,
        step=10,
        precision=2,
    )


_REST_ITEMS = (
    ("A", "A-Pose", "Hold the arms 45 degrees below the horizontal, where the skin is bound"),
    ("T", "T-Pose", "Hold the arms horizontally, as many engines and tools ask for"),
    ("I", "I-Pose", "Let the arms hang down"),
)


def _update_preview(result: "HUND_PG_result", context: bpy.types.Context) -> None:
    if result.stages and result.stage >= result.stages:
        result.stage = result.stages - 1  # calls this function again
    else:
        handlers.refresh(result.id_data)


def _forget_people(settings: "HUND_PG_scene", _context: bpy.types.Context) -> None:
    """Empty the list of people: it is of another clip, or of another speed of this one."""
    if settings.found.file:
        settings.found.show("", ())
        from .bridge import found_people  # here: Blender starts faster

        found_people.close()


class HUND_PG_found_person(bpy.types.PropertyGroup):
    """A person whom a quick look found in the clip."""

    number: bpy.props.IntProperty()  # in the list
    picture: bpy.props.StringProperty()  # name of a file beside the list
    presence: bpy.props.FloatProperty()  # share of the clip's frames, 0…1
    first: bpy.props.FloatProperty()  # seconds
    last: bpy.props.FloatProperty()  # seconds
    is_static: bpy.props.BoolProperty()
    is_chosen: bpy.props.BoolProperty(
        name="Reconstruct",
        description="Reconstruct this person",
    )

    @property
    def icon(self) -> int:
        """Number of the picture's icon; 0 if there is none."""
        from .bridge import found_people  # here: Blender starts faster

        try:
            folder = paths.resolve(self.id_data.hund.found.file).parent
        except JobError:
            return 0
        return found_people.icon(folder / self.picture)


class HUND_PG_found(bpy.types.PropertyGroup):
    """People whom a quick look found in the chosen clip."""

    file: bpy.props.StringProperty(subtype="FILE_PATH")  # with the list; empty: none was made
    people: bpy.props.CollectionProperty(type=HUND_PG_found_person)

    def show(self, file: str, people: "Iterable[ListedPerson]") -> None:
        """Show the people of a list; still figures are not ticked.

        Args:
            file: path of the list.
            people: in it.
        """
        self.people.clear()
        self.file = file
        for listed in people:
            person = self.people.add()
            person.number, person.picture = listed.id, listed.picture
            person.presence = listed.presence
            person.first, person.last = listed.first, listed.last
            person.is_static = listed.static
            person.is_chosen = listed.chosen and not listed.static


def _update_colors(settings: "HUND_PG_scene", _context: bpy.types.Context) -> None:
    from .bridge import confidence_colors

    objects = settings.id_data.objects
    if settings.color_confidence:
        confidence_colors.show(objects)
    else:
        confidence_colors.hide(objects)


class HUND_PG_result(bpy.types.PropertyGroup):
    """A reconstruction in the scene; its name is the clip's."""

    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options=BLEND_RELATIVE)
    clip: bpy.props.StringProperty(subtype="FILE_PATH", options=BLEND_RELATIVE)
    people: bpy.props.IntProperty()
    frames: bpy.props.IntProperty()
    confidence: bpy.props.FloatProperty()
    fps: bpy.props.FloatProperty()
    start: bpy.props.IntProperty()
    end: bpy.props.IntProperty()
    first: bpy.props.IntProperty()  # number of the clip's frame that is at the start
    stages: bpy.props.IntProperty()
    fingerprint: bpy.props.StringProperty()
    evidence_path: bpy.props.StringProperty(subtype="FILE_PATH", options=BLEND_RELATIVE)
    evidence_identity: bpy.props.StringProperty()
    is_smoothed: bpy.props.BoolProperty(default=True)
    smoothing: smoothing_property("Smooth the motion of this result when it is solved again")
    show_descent: bpy.props.BoolProperty(
        name="Preview Stages",
        description="Show the poses of one stage of the network instead of the final motion. "
        "Keyframes do not change; renders and saved files contain the final motion",
        update=_update_preview,
    )
    pins: bpy.props.CollectionProperty(type=pin_properties.HUND_PG_pin)
    active_pin: bpy.props.IntProperty()
    stage: bpy.props.IntProperty(
        name="Stage",
        description="Choose the stage: 0 is the initial pose, each later stage refines it. "
        "The final motion is made from the last stage",
        min=0,
        soft_max=4,
        update=_update_preview,
    )

    @property
    def characters(self) -> dict[int, bpy.types.Object]:
        """Armatures by the person's index in the file."""
        from .bridge import ownership

        return ownership.people(self.id_data, self.name)

    @property
    def source(self) -> "Source":
        """File and timing of the stages."""
        from .bridge.stage_preview import Source  # here: Blender starts faster

        return Source(self.filepath, self.fingerprint, self.fps, self.start)

    @property
    def evidence(self) -> "Evidence":
        """What the motion was solved from."""
        from .bridge.solving_again import Evidence

        return Evidence(self.evidence_path, self.evidence_identity, self.is_smoothed)

    @property
    def solve_again_reason(self) -> str | None:
        """Why the motion cannot be solved again, one sentence, or None."""
        from .bridge import solving_again

        return solving_again.unavailable_reason(self.evidence)

    @property
    def unavailable_reason(self) -> str | None:
        """Why the stages cannot be shown, or None."""
        from .bridge import stage_preview

        return stage_preview.unavailable_reason(self.characters, self.source)


class HUND_PG_scene(bpy.types.PropertyGroup):
    """Settings and results of one scene."""

    clip: bpy.props.StringProperty(
        name="Clip",
        description="Choose a video, a picture or an image sequence: a folder of pictures, or "
        "a name with #### for the digits",
        subtype="FILE_PATH",
        options=BLEND_RELATIVE,
        update=_forget_people,
    )
    found: bpy.props.PointerProperty(
        name="Found People",
        description="Choose whom to reconstruct",
        type=HUND_PG_found,
    )
    use_range: bpy.props.BoolProperty(
        name="Range",
        description="Reconstruct only the frames from Start to End",
    )
    start: bpy.props.IntProperty(
        name=options.LABELS["start"],
        description="Set the first frame of the clip to use, counted from 0",
        min=0,
    )
    end: bpy.props.IntProperty(
        name=options.LABELS["end"],
        description="Set the last frame of the clip to use, included",
        min=0,
        default=100,
    )
    use_speed: bpy.props.BoolProperty(
        name="Set Speed",
        description="Set the speed of a slow-motion clip by hand. Off: as the file says",
        update=_forget_people,  # their list has the seconds of another speed
    )
    speed: bpy.props.FloatProperty(
        name=options.LABELS["speed"],
        description="Set how many times slower than life the clip plays; its people move in real "
        "time",
        min=options.MIN_SPEED,
        max=options.MAX_SPEED,
        soft_min=1,
        soft_max=16,
        default=4,
        update=_forget_people,
    )
    people: bpy.props.IntProperty(
        name=options.LABELS["people"],
        description="Limit the number of people: those who are largest, move most and are longest "
        "in view. 0 keeps all",
        min=0,
        soft_max=8,
    )
    use_people: bpy.props.BoolProperty(
        name="People",
        description="Keep only the most prominent people, not all",
        get=lambda settings: settings.people > 0,
        set=lambda settings, value: setattr(settings, "people", int(value)),
    )
    quality: bpy.props.EnumProperty(
        name=options.LABELS["quality"],
        description="Choose between speed and accuracy",
        items=options.enum_items(options.QUALITIES),
        default=options.DEFAULT_QUALITY,
    )
    method: bpy.props.EnumProperty(
        name=options.LABELS["method"],
        description="Choose how poses are found",
        items=options.enum_items(options.METHODS),
        default=options.DEFAULT_METHOD,
    )
    hands: bpy.props.BoolProperty(
        name=options.LABELS["hands"],
        description="Find hands and fingers, too, which takes longer",
        default=True,
    )
    smoothing: smoothing_property("Smooth the motion in time")
    face: bpy.props.BoolProperty(
        name=options.LABELS["face"],
        description="Find expressions, gaze and the turn of the head, too",
        default=True,
    )
    adapt: bpy.props.BoolProperty(
        name=options.LABELS["adapt"],
        description="Adapt the network to this clip before posing. The adaptation is kept only if "
        "it improves the poses; with fewer than 60 frames it has little effect",
    )
    adapt_seconds: bpy.props.IntProperty(
        name="Seconds",
        description="Limit the time for adapting to the clip, in seconds",
        min=5,
        soft_max=600,
        default=round(options.ADAPT_SECONDS),
    )
    existing: bpy.props.EnumProperty(
        name="Previous Result",
        description="Choose what becomes of the clip's previous result",
        items=EXISTING,
        default="AUTO",
    )
    match_scene: bpy.props.BoolProperty(
        name="Match Scene to Video",
        description="Set the scene's frame rate, range, resolution and camera to the clip's. "
        "A scene without objects and light of its own gets light and the footage in renders, too",
        default=True,
    )
    start_frame: bpy.props.IntProperty(
        name="Start Frame",
        description="Set the frame of the scene that shows the first frame of the clip",
        default=1,
    )
    use_subframes: bpy.props.BoolProperty(
        name="Exact Sub-Frames",
        description="Key the motion exactly at the clip's own frames, which lie between frames of "
        "the scene where its rate is another, instead of on whole frames",
    )
    rest: bpy.props.EnumProperty(
        name="Rest Pose",
        description="Choose the pose that the bones of new people have without motion. Motion and "
        "skin do not depend on it",
        items=_REST_ITEMS,
    )
    use_sound: bpy.props.BoolProperty(
        name="Sound",
        description="Add the clip's sound to the scene's sequencer, in step with the motion",
        default=True,
    )
    one_action: bpy.props.BoolProperty(
        name="One Action",
        description="Animate all new people and cameras by slots of one action, which needs "
        "Blender 4.4 or later, instead of one action for each",
    )
    use_twist: bpy.props.BoolProperty(
        name="Twist Bones Deform",
        description="Let the twist bones of upper arms and forearms move the skin of new people, "
        "which then twists along the arms",
    )
    behind: bpy.props.EnumProperty(
        name="Backdrop",
        description="Choose what renders show behind the people, in a scene that has nothing else",
        items=(
            ("footage", "Footage", "Lay the people over the footage by the compositor"),
            ("transparent", "Transparent", "Render the people alone, with an alpha channel"),
            ("world", "World", "Show a neutral gray"),
        ),
    )
    export_format: bpy.props.EnumProperty(
        name="Format",
        description="Choose the file format",
        items=options.enum_items(options.EXCHANGE_FORMATS),
    )
    glb_influences: bpy.props.EnumProperty(
        name="Bones per Vertex",
        description="Choose how many bones may move a vertex in GLB files",
        items=(
            ("4", "4", "Keep the four strongest bones, which every viewer and engine can read"),
            ("8", "8", "Keep all bones, which not every viewer and engine can read"),
        ),
    )
    export_names: bpy.props.EnumProperty(
        name="Bone Names",
        description="Choose the names of the bones in the files",
        items=(
            ("blender", "Blender", "Write Hand.L, which Blender's tools for symmetry know"),
            ("ghum", "GHUM", "Write HandL, as scripts for GHUM and HUND's own files have it"),
            ("mixamo", "Mixamo", "Write mixamorig:LeftHand, as Mixamo's characters have it"),
            ("unreal", "Unreal", "Write hand_l, as Unreal's Manny and Quinn have it"),
            ("unity", "Unity", "Write LeftHand, as Unity's humanoid avatar finds it by itself"),
        ),
    )
    export_rest: bpy.props.EnumProperty(
        name="Rest Pose",
        description="Choose the pose that the bones have without motion. Motion and skin stay as "
        "they are",
        items=(("scene", "As in Scene", "Write the rest pose of the scene"), *_REST_ITEMS),
    )
    export_twist: bpy.props.EnumProperty(
        name="Twist Bones",
        description="Choose what becomes of the twist bones of upper arms and forearms",
        items=(
            ("scene", "As in Scene", "Write them as they are"),
            ("on", "Deform", "Let them move the skin, which twists along the arms"),
            ("off", "None", "Leave them out"),
        ),
    )
    export_target: bpy.props.EnumProperty(
        name="For",
        description="Choose the program whose unit and axes the file gets",
        items=(
            ("general", "Any Program", "Write the scene's unit, as Blender does"),
            ("unreal", "Unreal", "Write centimeters, with a scale of 1 and without rotation"),
            ("unity", "Unity", "Write meters, with a scale of 1 and without rotation"),
        ),
    )
    export_selected: bpy.props.BoolProperty(
        name="Selected Only",
        description="Export only the people who are selected",
    )
    export_folder: bpy.props.StringProperty(
        name="Folder",
        description="Choose the folder for the files. If empty, the one of the clip is used",
        subtype="DIR_PATH",
        options=BLEND_RELATIVE,
    )
    results: bpy.props.CollectionProperty(type=HUND_PG_result)
    color_confidence: bpy.props.BoolProperty(
        name="Color Bones by Confidence",
        description="Color the bones of people by how sure the reconstruction is of them in this "
        "frame: red where they are doubtful, green where they are sure",
        update=_update_colors,
    )
    low_confidence: bpy.props.FloatProperty(
        name="Doubtful Below",
        description="Set the confidence below which a part of the body is doubtful",
        default=0.35,
        min=0.0,
        max=1.0,
    )
    retarget: bpy.props.PointerProperty(
        name="Apply Motion to Armature",
        description="Choose how a motion is applied to another armature",
        type=retarget_properties.HUND_PG_retarget,
    )

    @property
    def card(self) -> "Card | None":
        """Properties of the clip; None while they are not known."""
        from .bridge import clip_card  # here: Blender starts faster

        if not self.clip.strip():
            return None
        try:
            settings = preferences.settings(bpy.context)
            return clip_card.get(paths.resolve(self.clip), settings)
        except JobError:
            return None

    @property
    def reads_faces(self) -> bool:
        """Whether the chosen quality reads faces."""
        return options.QUALITIES[self.quality].face

    @property
    def is_smoothed(self) -> bool:
        """Whether the chosen quality smooths the motion."""
        return options.QUALITIES[self.quality].polish

    @property
    def finds_hands(self) -> bool:
        """Whether the chosen quality looks for hands."""
        return options.QUALITIES[self.quality].hands

    @property
    def scene_changes(self) -> str:
        """What matching the scene to the clip would change; empty if nothing or unknown."""
        from .bridge import matching

        card = self.card
        if card is None or not card.frames:
            return ""
        first = min(self.start, card.frames - 1) if self.use_range else 0
        last = min(self.end, card.frames - 1) if self.use_range else card.frames - 1
        frames = max(last - first + 1, 1)
        clip = matching.ClipFormat(card.fps, frames, card.width, card.height)
        return matching.changes(self.id_data, clip, self.start_frame)

    @property
    def result_of_clip(self) -> HUND_PG_result | None:
        """The latest result of the chosen clip in the scene."""
        try:
            clip = str(paths.resolve(self.clip))
        except JobError:
            return None
        return next((each for each in reversed(self.results) if each.clip == clip), None)


def register() -> None:
    """Register the properties."""
    for item in (*retarget_properties.CLASSES, *pin_properties.CLASSES):
        bpy.utils.register_class(item)
    bpy.utils.register_class(HUND_PG_found_person)
    bpy.utils.register_class(HUND_PG_found)
    bpy.utils.register_class(HUND_PG_result)
    bpy.utils.register_class(HUND_PG_scene)
    bpy.types.Scene.hund = bpy.props.PointerProperty(type=HUND_PG_scene)


def unregister() -> None:
    """Unregister the properties."""
    del bpy.types.Scene.hund
    bpy.utils.unregister_class(HUND_PG_scene)
    bpy.utils.unregister_class(HUND_PG_result)
    bpy.utils.unregister_class(HUND_PG_found)
    bpy.utils.unregister_class(HUND_PG_found_person)
    for item in reversed((*retarget_properties.CLASSES, *pin_properties.CLASSES)):
        bpy.utils.unregister_class(item)
