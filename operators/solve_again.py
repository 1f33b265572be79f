"""Operator: pose the people of a result again, with other smoothing."""

import bpy

from .. import preferences
from ..bridge import job, paths
from . import load, reconstruct


class HUND_OT_solve_again(reconstruct.JobMixin, bpy.types.Operator):
    """Pose these people again with this smoothing, from what was found in the clip before"""

    bl_idname = "hund.solve_again"
    bl_label = "Solve Again"
    bl_options = {"UNDO"}

    name: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        reason = reconstruct.backend_unavailable_reason(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def tasks(self, context):
        from ..bridge import solving_again  # here: Blender starts faster

        result = self._result(context)
        return [
            solving_again.task(
                result.evidence,
                result.clip,
                preferences.cache_folder(context),
                result.smoothing,
                preferences.get(context).device,
            )
        ]

    def write(self, context, outcome):
        from ..bridge import solving_again  # here: Blender starts faster

        result, scene = self._result(context), context.scene
        clip = paths.resolve(result.clip) if result.clip else None
        return load.write(
            context,
            outcome.path,
            clip,
            solving_again.existing(scene, outcome.path, clip, result.name),
            result.name,
            start_frame=result.start,
            evidence=result.evidence_path,
        )

    def _result(self, context):
        """Return the result.

        Raises:
            JobError: it is gone.
        """
        result = context.scene.hund.results.get(self.name)
        if result is None:
            raise job.JobError("The result is no longer in the scene: load it again.")
        return result
