"""Handlers: update the stage preview on frame changes; remove it for saving and rendering."""

import sys

import bpy
from bpy.app.handlers import persistent

_was_undone = False
_last_scene = 0  # session_uid of the scene that was updated last


def refresh(scene: bpy.types.Scene) -> None:
    """Show the selected stage of each result with a preview in the scene's current frame."""
    from .bridge import stage_preview  # here: Blender starts faster

    stage_preview.restore_poses(scene.objects)
    for result in scene.hund.results:
        if result.show_descent:
            stage_preview.show_stage(result.characters, result.source, result.stage, scene)


def remove_lost_results(scene: bpy.types.Scene) -> None:
    """Remove the results whose collection the user has deleted or taken out of the scene."""
    from .bridge import ownership, shots

    results = scene.hund.results
    if not results:
        return
    names = ownership.result_collections(scene)
    for index in reversed(range(len(results))):
        if results[index].name not in names:
            shots.remove_markers(scene, results[index].name)
            results.remove(index)


@persistent
def _before_frame(scene: bpy.types.Scene, *_: object) -> None:
    if _has_preview(scene):
        _restore_poses(scene)


@persistent
def _color_bones(scene: bpy.types.Scene, *_: object) -> None:
    """Color bones by their confidence in the frame that is about to be evaluated."""
    if scene.hund.color_confidence and not bpy.app.is_job_running("RENDER"):
        from .bridge import confidence_colors

        confidence_colors.update(scene.objects, scene.frame_current + scene.frame_subframe)


@persistent
def _after_frame(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    if _has_preview(scene) and depsgraph.mode == "VIEWPORT":
        refresh(scene)


@persistent
def _restore_all(*_: object) -> None:
    for scene in filter(_has_preview, bpy.data.scenes):
        _restore_poses(scene)


@persistent
def _refresh_all(*_: object) -> None:
    for scene in filter(_has_preview, bpy.data.scenes):
        refresh(scene)


@persistent
def _after_undo(*_: object) -> None:
    """Delay the refresh: Blender evaluates the actions after this handler."""
    global _was_undone
    _was_undone = True


@persistent
def _after_update(*_: object) -> None:
    global _was_undone
    if _was_undone:
        _was_undone = False
        _refresh_all()


@persistent
def _after_change(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    global _last_scene
    is_other_scene, _last_scene = scene.session_uid != _last_scene, scene.session_uid
    kinds = ("COLLECTION", "SCENE")
    if is_other_scene or any(depsgraph.id_type_updated(kind) for kind in kinds):
        remove_lost_results(scene)


@persistent
def _own_saved_results(*_: object) -> None:
    """Recognize the results of a file that was opened."""
    from .bridge import ownership

    ownership.renew_marks()
    for scene in bpy.data.scenes:
        remove_lost_results(scene)


@persistent
def _disown_copies(*_: object) -> None:
    """Keep copies of a result's datablocks apart from it in the file that is saved."""
    from .bridge import ownership

    ownership.unmark_copies()


@persistent
def _switch_off(*_: object) -> None:
    """Show the final motion when a file opens, even one that Blender saved automatically."""
    for scene in bpy.data.scenes:
        for result in scene.hund.results:
            if result.show_descent:
                result.show_descent = False


def _has_preview(scene: bpy.types.Scene) -> bool:
    return any(result.show_descent for result in scene.hund.results)


def _restore_poses(scene: bpy.types.Scene) -> None:
    from .bridge import stage_preview

    stage_preview.restore_poses(scene.objects)


_HANDLERS = (
    ("frame_change_pre", _before_frame),  # also while rendering
    ("frame_change_pre", _color_bones),
    ("frame_change_post", _after_frame),
    ("render_complete", _refresh_all),
    ("render_cancel", _refresh_all),
    ("save_pre", _restore_all),
    ("save_pre", _disown_copies),
    ("save_post", _refresh_all),
    ("save_post_fail", _refresh_all),
    ("undo_post", _after_undo),
    ("redo_post", _after_undo),
    ("depsgraph_update_post", _after_update),
    ("depsgraph_update_post", _after_change),
    ("load_post", _own_saved_results),
    ("load_post", _switch_off),
)


def register() -> None:
    """Register the handlers."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    bpy.app.timers.register(_own_saved_results)  # later: Blender hides the file while it enables


def unregister() -> None:
    """Unregister the handlers, restore the poses and forget the clips' pictures."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(handler)
    if bpy.app.timers.is_registered(_own_saved_results):
        bpy.app.timers.unregister(_own_saved_results)
    _switch_off()
    # Nothing may be imported here: Blender removes an extension's files before.
    for name in ("clip_card", "found_people"):
        if module := sys.modules.get(f"{__package__}.bridge.{name}"):
            module.close()
