"""Bring a finished reconstruction into the scene."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy_extras.io_utils import ImportHelper, poll_file_object_drop

from ..bridge import job


def write(context, path: Path, clip: Path | None = None) -> str:
    """Write a Reconstruction file into the scene and note it there.

    Returns:
        What was written, and whether frames are missing, for the user.

    Raises:
        FailedError: the file cannot be used.
    """
    from ..bridge import scene, stages  # here: Blender starts faster without

    settings = context.scene.hund
    reconstruction = job.load(path)
    written = scene.write(
        context,
        reconstruction,
        clip=clip,
        replace=settings.replace,
        match_scene=settings.match_scene,
    )
    note = settings.results.get(written.name) or settings.results.add()
    note.name, note.filepath, note.clip = written.name, str(path), str(clip or "")
    note.people, note.frames = len(written.people), written.frames
    note.confidence = written.confidence
    note.stages, note.fingerprint = (
        stages.number(reconstruction),
        stages.fingerprint(reconstruction),
    )
    note.fps, note.start = written.timing.fps, written.timing.start
    note.show_descent, note.stage = False, 0
    told = rpt_("%s: %d people, %d frames") % (note.name, note.people, note.frames)
    return " ".join(filter(None, (f"{told}.", reconstruction.provenance.get("truncated"))))


class HUND_OT_load(bpy.types.Operator, ImportHelper):
    """Bring a finished reconstruction (.npz) into the scene"""

    bl_idname = "hund.load"
    bl_label = "Load Reconstruction"
    bl_options = {"UNDO"}

    filename_ext = ".npz"
    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"})
    clip: bpy.props.StringProperty(
        name="Clip",
        description="Name the clip that it was made of, to see it behind the camera",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
    )
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})

    def invoke(self, context, event):
        if self.filepath:  # a drop, or "Load Again" of the panel
            return self.execute(context)
        return super().invoke(context, event)

    def execute(self, context):
        try:
            clip = Path(self.clip) if self.clip else None
            self.report({"INFO"}, write(context, Path(self.filepath), clip))
        except job.FailedError as error:
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
    """The entry of File, Import."""
    self.layout.operator(HUND_OT_load.bl_idname, text="HUND Reconstruction (.npz)")
