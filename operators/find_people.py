"""Operator: list the people of the clip."""

import bpy

from .. import preferences
from ..bridge import paths
from . import reconstruct, texts


class HUND_OT_find_people(reconstruct.JobMixin, bpy.types.Operator):
    """List the people in the clip after a quick look, to choose whom to reconstruct"""

    bl_idname = "hund.find_people"
    bl_label = "Find People"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context):
        reason = reconstruct.clip_unavailable_reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def tasks(self, context):
        from ..bridge import found_people  # here: Blender starts faster

        settings = context.scene.hund
        clip = paths.resolve(settings.clip)
        options = {"device": preferences.get(context).device}
        options |= reconstruct.frame_range(settings)
        return [found_people.task(clip, preferences.cache_folder(context), options)]

    def write(self, context, outcome):
        from ..bridge import found_people, job  # here: Blender starts faster

        settings = context.scene.hund
        if paths.resolve(settings.clip) != outcome.task.clip:
            raise job.JobError("The clip was changed meanwhile: press Find People again.")
        people = found_people.load(outcome.path)
        settings.found.show(str(outcome.path), people)
        return texts.fill(
            "{clip}: {people}.", clip=outcome.task.clip.name, people=texts.people(len(people))
        )
