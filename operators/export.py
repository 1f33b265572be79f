"""Operator: export people to files that other programs read."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..bridge import job, paths
from .texts import fill


def chosen_people(context) -> dict[str, list[bpy.types.Object]]:
    """Return the armatures to export by the name of their result, in the order of the file."""
    settings, chosen = context.scene.hund, {}
    for result in settings.results:
        characters = result.characters
        people = [
            characters[index]
            for index in sorted(characters)
            if not settings.export_selected or _is_selected(characters[index])
        ]
        if people:
            chosen[result.name] = people
    return chosen


def folder(context) -> Path | None:
    """Return the folder for the files, absolute; None if none is chosen and there is no clip.

    Raises:
        JobError: it is relative to a .blend that was never saved.
    """
    settings = context.scene.hund
    if settings.export_folder.strip():
        return paths.resolve(settings.export_folder).absolute()
    clips = [result.clip for result in settings.results if result.clip]
    return paths.resolve(clips[-1]).absolute().parent if clips else None


class HUND_OT_export(bpy.types.Operator):
    """Write the people to files for other programs"""

    bl_idname = "hund.export"
    bl_label = "Export"

    @classmethod
    def poll(cls, context):
        settings = context.scene.hund
        if context.mode not in {"OBJECT", "POSE"}:
            reason = "This works in Object and Pose Mode"
        elif not settings.results:
            reason = "There is no result yet"
        elif not chosen_people(context):
            reason = "Select people first" if settings.export_selected else "Nobody is left"
        else:
            return True
        cls.poll_message_set(reason)
        return False

    def execute(self, context):
        from ..bridge import export_copies, exports  # here: Blender starts faster

        settings, written = context.scene.hund, []
        try:
            target = folder(context)
            if target is None:
                self.report({"ERROR"}, "Choose a folder for the files first")
                return {"CANCELLED"}
            target.mkdir(parents=True, exist_ok=True)
            for name, people in chosen_people(context).items():
                written += exports.export(
                    people,
                    target,
                    bpy.path.clean_name(name),
                    settings.export_format,
                    glb_influences=int(settings.glb_influences),
                    names=settings.export_names,
                    form=export_copies.Form(
                        rest=settings.export_rest,
                        twist=settings.export_twist,
                        target=settings.export_target,
                    ),
                )
        except (job.BadInputError, job.JobError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if len(written) == 1:
            text = fill(rpt_("Exported {path}"), path=written[0])
        else:
            text = fill(
                rpt_("Exported {count} files to {folder}"), count=len(written), folder=target
            )
        self.report({"INFO"}, text)
        return {"FINISHED"}


def _is_selected(armature) -> bool:
    return any(obj.select_get() for obj in (armature, *armature.children))
