"""Operators: reduce, smooth, mirror, trim and loop the keys of the active armature."""

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from .. import preferences
from ..bridge import timeline, world
from .texts import fill

CONTACT_MM = 2.0  # that feet in contact may be off by
_MILLIMETER = 0.001  # metres


class KeysMixin:
    """Mixin of the operators that edit the keys of the active armature's bones."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        from ..bridge.keys import armatures  # here: Blender starts faster

        reason = "" if context.mode in {"OBJECT", "POSE"} else "This works in Object and Pose Mode"
        reason = reason or armatures.problem(context.object).rstrip(".")
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context):
        from ..bridge.keys.errors import KeysError
        from ..bridge.retarget.errors import RetargetError

        try:
            text = self.edit(context, context.object)
        except (KeysError, RetargetError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, text)
        return {"FINISHED"}

    def edit(self, context, armature) -> str:
        """Edit the keys and return what was done, in one sentence."""
        raise NotImplementedError


class SelectedBonesMixin(KeysMixin):
    """Mixin of the operators that can be limited to the selected bones."""

    use_selected: bpy.props.BoolProperty(
        name="Selected Bones Only",
        description="Leave the keys of all other bones as they are",
        options={"SKIP_SAVE"},
    )

    def bones(self, armature):
        """Return the names of the bones to edit; None: all."""
        from ..bridge.keys import armatures

        return frozenset(armatures.selected_bones(armature)) if self.use_selected else None


class HUND_OT_reduce_keys(SelectedBonesMixin, bpy.types.Operator):
    """Replace the keys of the active armature by fewer, which keep its joints in place"""

    bl_idname = "hund.reduce_keys"
    bl_label = "Reduce Keys"

    tolerance_mm: bpy.props.FloatProperty(
        name="Tolerance (mm)",
        description="Set how far a joint may be from its place in any frame, in millimetres",
        default=5.0,
        min=0.1,
        soft_max=50.0,
    )
    contact_mm: bpy.props.FloatProperty(
        name="Feet in Contact (mm)",
        description="Set how far a foot may be from its place while it touches the floor, in "
        "millimetres",
        default=CONTACT_MM,
        min=0.1,
        soft_max=50.0,
    )

    def edit(self, context, armature):
        manager = context.window_manager
        manager.progress_begin(0, 100)
        try:
            reduced = reduce(
                context,
                armature,
                self.tolerance_mm,
                self.contact_mm,
                self.bones(armature),
                lambda share: manager.progress_update(100 * share),
            )
        finally:
            manager.progress_end()
        return fill(
            rpt_("{name}: {after} of {before} keys, joints at most {error} mm off."),
            name=armature.name,
            after=reduced.after,
            before=reduced.before,
            error=f"{_millimeters(context, reduced.error):.1f}",
        )


class HUND_OT_smooth_keys(SelectedBonesMixin, bpy.types.Operator):
    """Smooth the motion of the active armature without delaying it"""

    bl_idname = "hund.smooth_keys"
    bl_label = "Smooth"

    strength: bpy.props.FloatProperty(
        name="Strength",
        description="Set how much is smoothed: at 1, what is faster than about half a second",
        default=0.3,
        min=0.01,
        max=1.0,
        subtype="FACTOR",
    )
    keep_extremes: bpy.props.BoolProperty(
        name="Keep Extremes",
        description="Keep how far movements reach",
        default=True,
    )
    keep_contacts: bpy.props.BoolProperty(
        name="Keep Foot Contacts",
        description="Hold feet in place while they touch the floor",
        default=True,
    )

    def edit(self, context, armature):
        from ..bridge.keys import smoothing

        options = smoothing.Options(
            strength=self.strength,
            keep_extremes=self.keep_extremes,
            keep_contacts=self.keep_contacts,
            bones=self.bones(armature),
        )
        smoothed = smoothing.smooth(
            armature, options, fps=timeline.fps_of(context.scene), mapping=mapping_of(armature)
        )
        text = fill(
            rpt_("{name}: {curves} curves smoothed."), name=armature.name, curves=smoothed.curves
        )
        if smoothed.sliding:
            text += " " + rpt_("The feet of this rig may slide: use Lock Feet.")
        return text


class HUND_OT_mirror_motion(SelectedBonesMixin, bpy.types.Operator):
    """Exchange left and right in the motion of the active armature, with its path"""

    bl_idname = "hund.mirror_motion"
    bl_label = "Mirror"

    def edit(self, context, armature):
        from ..bridge.keys import mirroring

        options = mirroring.Options(bones=self.bones(armature))
        mirrored = mirroring.mirror(armature, options, mapping=mapping_of(armature))
        return fill(
            rpt_("{name}: {bones} bones mirrored, {pairs} of them with a bone on the other side."),
            name=armature.name,
            bones=mirrored.bones,
            pairs=mirrored.pairs,
        )


class HUND_OT_trim_motion(KeysMixin, bpy.types.Operator):
    """Remove the keys of the active armature outside of a range, with its meshes' shape keys"""

    bl_idname = "hund.trim_motion"
    bl_label = "Trim"

    start: bpy.props.IntProperty(
        name="Start", description="Set the first frame of the motion", options={"SKIP_SAVE"}
    )
    end: bpy.props.IntProperty(
        name="End", description="Set the last frame of the motion", options={"SKIP_SAVE"}
    )
    use_shift: bpy.props.BoolProperty(
        name="Move to Start of Scene",
        description="Move the motion so that it begins in the first frame of the scene",
    )

    def execute(self, context):
        if not self.properties.is_property_set("start"):
            self.start = _range(context.scene)[0]
        if not self.properties.is_property_set("end"):
            self.end = _range(context.scene)[1]
        return super().execute(context)

    def edit(self, context, armature):
        from ..bridge.keys import trimming

        start = context.scene.frame_start if self.use_shift else None
        curves = trimming.trim(armature, self.start, self.end, start=start)
        return fill(
            rpt_("{name}: {curves} curves trimmed to the frames {start} to {end}."),
            name=armature.name,
            curves=curves,
            start=self.start,
            end=self.end,
        )


class HUND_OT_loop_motion(KeysMixin, bpy.types.Operator):
    """Find the part of the motion that repeats best, and make it a loop without a seam"""

    bl_idname = "hund.loop_motion"
    bl_label = "Loop"

    use_found: bpy.props.BoolProperty(
        name="Find Cycle",
        description="Find the frames whose poses and velocities are most alike",
        default=True,
        options={"SKIP_SAVE"},
    )
    start: bpy.props.IntProperty(
        name="Start", description="Set the first frame of the loop", options={"SKIP_SAVE"}
    )
    end: bpy.props.IntProperty(
        name="End",
        description="Set the frame in which the first pose comes again",
        options={"SKIP_SAVE"},
    )
    shortest: bpy.props.FloatProperty(
        name="Shortest",
        description="Set the least seconds of a cycle",
        default=0.6,
        min=0.1,
    )
    longest: bpy.props.FloatProperty(
        name="Longest", description="Set the most seconds of a cycle", default=3.0, min=0.1
    )
    blend: bpy.props.IntProperty(
        name="Blend",
        description="Set the frames before the end that lead back to the first pose",
        default=8,
        min=1,
    )
    in_place: bpy.props.BoolProperty(
        name="In Place",
        description="Leave out the travel over the floor; else it goes on in each repetition",
    )

    def draw(self, context):
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "use_found")
        if self.use_found:
            layout.prop(self, "shortest")
            layout.prop(self, "longest")
        column = layout.column(align=True)
        column.enabled = not self.use_found
        column.prop(self, "start")
        column.prop(self, "end")
        layout.prop(self, "blend")
        layout.prop(self, "in_place")

    def edit(self, context, armature):
        from ..bridge.keys import looping

        mapping, found = mapping_of(armature), None
        if self.use_found:
            found = looping.find(
                armature,
                fps=timeline.fps_of(context.scene),
                shortest=self.shortest,
                longest=max(self.shortest, self.longest),
                mapping=mapping,
            )
            self.start, self.end = found.first, found.last
        options = looping.Options(
            first=self.start, last=self.end, blend=self.blend, in_place=self.in_place
        )
        frames = looping.loop(armature, options, mapping=mapping)
        text = fill(
            rpt_("{name}: loop of {frames} frames, {start} to {end}."),
            name=armature.name,
            frames=frames,
            start=self.start,
            end=self.end,
        )
        if found:
            text += " " + fill(
                rpt_("The poses differed by {error} mm."),
                error=round(_millimeters(context, found.difference)),
            )
        return text


def reduce(context, armature, tolerance_mm, contact_mm, bones, report=lambda share: None):
    """Reduce the keys of an armature and return what was done.

    Args:
        context: with the scene.
        armature: with an action.
        tolerance_mm: that joints may be off by.
        contact_mm: that feet in contact may be off by.
        bones: names of those whose keys are reduced; None: all.
        report: called with the progress.
    """
    from ..bridge.keys import reduce as keys_reduce

    unit = _MILLIMETER * world.units_per_meter(context.scene)
    options = keys_reduce.Options(
        tolerance=tolerance_mm * unit,
        contact_tolerance=min(contact_mm, tolerance_mm) * unit,
        bones=bones,
    )
    return keys_reduce.reduce_keys(
        armature,
        options,
        fps=timeline.fps_of(context.scene),
        mapping=mapping_of(armature),
        report=report,
    )


def mapping_of(armature):
    """Return the mapping of an armature by names and places, or None if it is no body."""
    from ..bridge.retarget import detection, presets
    from ..bridge.retarget.errors import RetargetError

    try:
        return detection.detect(armature, presets.load(preferences.presets_folder())).mapping
    except RetargetError:
        return None


def _range(scene: bpy.types.Scene) -> tuple[int, int]:
    """Return the preview range if it is used, else the range of the scene."""
    if scene.use_preview_range:
        return scene.frame_preview_start, scene.frame_preview_end
    return scene.frame_start, scene.frame_end


def _millimeters(context, distance: float) -> float:
    return distance / (_MILLIMETER * world.units_per_meter(context.scene))


CLASSES = (
    HUND_OT_reduce_keys,
    HUND_OT_smooth_keys,
    HUND_OT_mirror_motion,
    HUND_OT_trim_motion,
    HUND_OT_loop_motion,
)
