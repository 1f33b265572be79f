"""Operator: load a finished reconstruction into the scene."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy_extras.io_utils import ImportHelper, poll_file_object_drop

from ..bridge import job, paths
from ..bridge.existing import EXISTING, Existing
from . import texts

MAX_LISTED = 8  # changes in the dialog
OTHER_BODY = (
    "It was made with another version of the body: reconstruct the clip again for its body shapes."
)


def write(
    context,
    path: Path,
    clip: Path | None,
    existing: str = Existing.AUTO,
    previous: str = "",
    *,
    start_frame: int | None = None,
    evidence: str = "",
) -> str:
    """Write a Reconstruction file into the scene and add it to the scene's results.

    Args:
        context: gives the scene.
        path: of the file.
        clip: that it was made from, if it is known.
        existing: what becomes of the previous result, one of `Existing`.
        previous: name of that result, if it is not the clip's latest one.
        start_frame: frame of the scene that shows its first frame; None: the panel's.
        evidence: path of what the file was solved from, if it does not stand beside it.

    Returns:
        Message for the user: what was written, whether the clip was truncated, whether body shapes
        are of another version of the body, and what was kept of the user's changes.

    Raises:
        JobError: the file cannot be used.
    """
    # Here: Blender starts faster.
    from ..bridge import body_version, scene, solving_again, stage_preview, startup

    settings = context.scene.hund
    reconstruction = job.load(path)
    is_first = startup.is_startup(context.scene) and not settings.results
    written = scene.write(
        context,
        reconstruction,
        clip=clip,
        existing=existing,
        result=previous,
        match_scene=settings.match_scene,
        start_frame=settings.start_frame if start_frame is None else start_frame,
        use_subframes=settings.use_subframes,
        behind=settings.behind,
        use_twist=settings.use_twist,
        rest=settings.rest,
        one_action=settings.one_action,
        use_sound=settings.use_sound,
    )
    result = settings.results.get(written.name) or settings.results.add()
    result.name, result.filepath, result.clip = written.name, str(path), str(clip or "")
    result.people, result.frames = len(written.people), written.frames
    result.confidence = written.confidence
    result.stages = stage_preview.num_stages(reconstruction)
    result.fingerprint = stage_preview.fingerprint(reconstruction)
    result.fps, result.start = written.timing.fps, written.timing.start
    result.end, result.first = written.timing.end, int(reconstruction.frame_numbers[0])
    result.show_descent, result.stage = False, 0
    for pin in result.pins:
        pin.is_solved = False
    if settings.color_confidence:
        settings.color_confidence = True  # of the new people, too
    solved = solving_again.evidence_of(reconstruction, path)
    result.evidence_path, result.evidence_identity = evidence or solved.path, solved.identity
    result.is_smoothed = solved.is_smoothed
    result.smoothing = solving_again.smoothing_of(reconstruction)
    if is_first:
        _show_first(context, written)
    people, frames = texts.people(result.people), texts.frames(result.frames)
    summary = texts.fill(
        "{name}: {people}, {frames}.", name=result.name, people=people, frames=frames
    )
    truncated = reconstruction.provenance.get("truncated")
    other_body = "" if body_version.is_current(reconstruction) else iface_(OTHER_BODY)
    return " ".join(filter(None, (summary, truncated, other_body, *written.kept)))


def _show_first(context, written) -> None:
    """Show the first result of a startup scene: hide the cube, look through the clip's camera."""
    from ..bridge import startup, view

    startup.hide_cube(context.scene)
    area = view.largest_view(context.window)
    if area is None:
        return
    if written.camera.data.background_images:
        view.look_through(context, area, written.camera)
    else:
        context.view_layer.update()
        view.frame(area, written.people)


class HUND_OT_load(bpy.types.Operator, ImportHelper):
    """Load a finished reconstruction (.npz) into the scene"""

    bl_idname = "hund.load"
    bl_label = "Load Reconstruction"
    bl_options = {"UNDO"}

    filename_ext = ".npz"
    filepath: bpy.props.StringProperty(
        subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"} | paths.BLEND_RELATIVE
    )
    clip: bpy.props.StringProperty(
        name="Clip",
        description="Choose the clip that it was made from, to show it behind the camera",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"} | paths.BLEND_RELATIVE,
    )
    existing: bpy.props.EnumProperty(
        name="Previous Result",
        description="Choose what becomes of the clip's previous result",
        items=EXISTING,
        default="AUTO",
        options={"SKIP_SAVE"},
    )
    result: bpy.props.StringProperty(
        name="Result",
        description="Choose the previous result by its name, if it is not the clip's latest one",
        options={"HIDDEN", "SKIP_SAVE"},
    )
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})

    _edited = None  # the previous result, if the user is asked about it
    _is_browsing = False

    def invoke(self, context, event):
        if self.filepath:  # dropped, or loaded again from the panel
            return self.execute(context) if bpy.app.background else self._ask(context)
        self._is_browsing = True
        return super().invoke(context, event)

    def draw(self, context):
        if self._edited:
            _draw_choices(self.layout, self, self._edited)
            return
        self.layout.prop(self, "clip")
        self.layout.prop(self, "existing")

    def execute(self, context):
        if self._is_browsing and self.existing == Existing.AUTO:
            # The file browser has closed: start again to ask about changes.
            options = {"clip": self.clip, "result": self.result}
            bpy.ops.hund.load("INVOKE_DEFAULT", filepath=self.filepath, **options)
            return {"CANCELLED"}
        try:
            message = write(context, *self._files(), self.existing, self.result)
        except job.JobError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, message)
        return {"FINISHED"}

    def _ask(self, context):
        """Ask what becomes of a previous result that the user has changed."""
        from ..bridge import scene

        if self.existing == Existing.AUTO:
            try:
                path, clip = self._files()
                self._edited = scene.edited_result(
                    context.scene, job.load(path), clip, self.result
                )
            except job.JobError as error:
                self.report({"ERROR"}, str(error))
                return {"CANCELLED"}
        if not self._edited:
            return self.execute(context)
        self.existing = Existing.MOTION if self._edited.can_get_motion else Existing.ADD
        return context.window_manager.invoke_props_dialog(
            self, width=420, title="Load Reconstruction", confirm_text="Load"
        )

    def _files(self) -> tuple[Path, Path | None]:
        """Return the file and the clip.

        Raises:
            JobError: a path cannot be resolved.
        """
        return paths.resolve(self.filepath), paths.resolve(self.clip) if self.clip else None


def _draw_choices(layout, operator, edited) -> None:
    """Draw the dialog about a previous result that the user has changed."""
    title = iface_("You have changed {name} since it was made:")
    layout.label(text=texts.fill(title, name=edited.name), translate=False)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for text in edited.changes[:MAX_LISTED]:
        column.label(text=text, icon="DOT", translate=False)
    rest = len(edited.changes) - MAX_LISTED
    if rest > 0:
        more = (
            iface_("And 1 more")
            if rest == 1
            else texts.fill(iface_("And {count} more"), count=rest)
        )
        column.label(text=more, icon="BLANK1", translate=False)
    layout.separator()
    column = layout.column(align=True)
    for choice in (Existing.MOTION, Existing.ADD, Existing.ALL):
        row = column.row()
        row.enabled = choice != Existing.MOTION or edited.can_get_motion
        row.prop_enum(operator, "existing", choice)
    effects = {
        Existing.MOTION: "The characters and your changes stay and get the new motion",
        Existing.ADD: "Nothing is changed; the new result is a second collection",
        Existing.ALL: "The result is removed, and your changes are lost",
    }
    icon = "ERROR" if operator.existing == Existing.ALL else "INFO"
    layout.label(text=iface_(effects[operator.existing]), icon=icon, translate=False)


class HUND_FH_reconstruction(bpy.types.FileHandler):
    """Reconstructions dropped into the viewport"""

    bl_idname = "HUND_FH_reconstruction"
    bl_label = "HUND Reconstruction"
    bl_import_operator = "hund.load"
    bl_file_extensions = ".npz"

    @classmethod
    def poll_drop(cls, context):
        return poll_file_object_drop(context)


def draw_menu(self, context) -> None:
    """Draw the entry of File, Import."""
    self.layout.operator(HUND_OT_load.bl_idname, text="HUND Reconstruction (.npz)")
