"""Operators: a face's motion on another mesh and in a file."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy_extras.io_utils import ExportHelper

from ..bridge import timeline
from ..bridge.face import apply, live_link, motion
from ..bridge.face.errors import FaceError
from . import texts
from .texts import fill

MAX_LISTED = 4  # of the names of missing keys


def source_of(context, target) -> bpy.types.Object | None:
    """Return the mesh whose face moves: another selected one, else the only one of the scene."""
    meshes = [motion.face_mesh(obj) for obj in context.selected_objects]
    selected = _moving(meshes, target)
    if selected:
        return selected[0]
    found = _moving(map(motion.face_mesh, context.scene.objects), target)
    return found[0] if len(found) == 1 else None


def _moving(meshes, target) -> list[bpy.types.Object]:
    found = dict.fromkeys(mesh for mesh in meshes if mesh and mesh != target)
    return [mesh for mesh in found if motion.has_motion(mesh)]


class HUND_OT_apply_face(bpy.types.Operator):
    """Key the face of a person on the active mesh, whose shape keys have ARKit's names"""

    bl_idname = "hund.apply_face"
    bl_label = "Apply Face to Selected Mesh"
    bl_options = {"REGISTER", "UNDO"}

    strength: bpy.props.FloatProperty(
        name="Strength",
        description="Set the factor of all expressions",
        default=1.0,
        min=0.0,
        soft_max=2.0,
        max=10.0,
    )
    use_neutral: bpy.props.BoolProperty(
        name="Current Frame is Neutral",
        description="Take off what the person's face shows in the current frame, as its face at "
        "rest",
    )

    @classmethod
    def poll(cls, context):
        target = context.object
        if target is None or target.type != "MESH":
            cls.poll_message_set("Select a person, then a mesh with ARKit's shape keys")
            return False
        if source_of(context, target) is None:
            cls.poll_message_set("Also select the person whose face moves")
            return False
        return True

    def execute(self, context):
        target = context.object
        frame = context.scene.frame_current_final if self.use_neutral else None
        try:
            applied = apply.apply(
                source_of(context, target), target, strength=self.strength, neutral_frame=frame
            )
        except FaceError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        text = fill(
            rpt_("{name}: {count} of 52 ARKit keys move."), name=target.name, count=applied.keys
        )
        if applied.missing:
            names = ", ".join(applied.missing[:MAX_LISTED])
            more = len(applied.missing) - MAX_LISTED
            names += fill(rpt_(" and {count} more"), count=more) if more > 0 else ""
            text += " " + fill(rpt_("It has no shape keys for {names}."), names=names)
        self.report({"WARNING" if applied.missing else "INFO"}, text)
        return {"FINISHED"}


class HUND_OT_export_face(bpy.types.Operator, ExportHelper):
    """Write the face of the active person as a .csv file with Live Link Face's columns"""

    bl_idname = "hund.export_face"
    bl_label = "Export Face (.csv)"

    filename_ext = ".csv"
    filter_glob: bpy.props.StringProperty(default="*.csv", options={"HIDDEN"})

    @classmethod
    def poll(cls, context):
        mesh = motion.face_mesh(context.object)
        if mesh is None or not motion.has_motion(mesh):
            cls.poll_message_set("Select a person whose face moves")
            return False
        return True

    def execute(self, context):
        try:
            moved = motion.read(motion.face_mesh(context.object))
            path = Path(bpy.path.abspath(self.filepath))
            rows = live_link.write(path, moved, timeline.fps_of(context.scene))
        except FaceError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        text = fill(rpt_("{name}: {frames}."), name=path.name, frames=texts.frames(rows))
        self.report({"INFO"}, text)
        return {"FINISHED"}


CLASSES = (HUND_OT_apply_face, HUND_OT_export_face)
