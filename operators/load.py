"""Operator: load a finished reconstruction into the scene."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy_extras.io_utils import ImportHelper, poll_file_object_drop

from ..bridge import job, paths


def write(context, path: Path, clip: Path | None = None) -> str:
    """Write a Reconstruction file into the scene and add it to the scene's results.

    Returns:
        Message for the user: what was written, and whether the clip was truncated.

    Raises:
        JobError: the file cannot be used.
    """
    from ..bridge import scene, stage_preview  # here: Blender starts faster

    settings = context.scene.hund
    reconstruction = job.load(path)
    written = scene.write(
        context,
        reconstruction,
        clip=clip,
        replace=settings.replace,
        match_scene=settings.match_scene,
    )
    result = settings.results.get(written.name) or settings.results.add()
    result.name, result.filepath, result.clip = written.name, str(path), str(clip or "")
    result.people, result.frames = len(written.people), written.frames
    result.confidence = written.confidence
    result.stages = stage_preview.num_stages(reconstruction)
    result.fingerprint = stage_preview.fingerprint(reconstruction)
    result.fps, result.start = written.timing.fps, written.timing.start
    result.show_descent, result.stage = False, 0
    summary = rpt_("%s: %d people, %d frames") % (result.name, result.people, result.frames)
    return " ".join(filter(None, (f"{summary}.", reconstruction.provenance.get("truncated"))))


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
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})

    def invoke(self, context, event):
        if self.filepath:  # dropped, or loaded again from the panel
            return self.execute(context)
        return super().invoke(context, event)

    def execute(self, context):
        try:
            path = paths.resolve(self.filepath)
            clip = paths.resolve(self.clip) if self.clip else None
            self.report({"INFO"}, write(context, path, clip))
        except job.JobError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        return {"FINISHED"}


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
