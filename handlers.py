"""Handlers: what is shown of the descent follows the scene's frame, and keeps out of everything else."""

import bpy
from bpy.app.handlers import persistent

_was_undone = False


def refresh(scene: bpy.types.Scene) -> None:
    """Show the stages that a scene's results ask for in its current frame, and no others."""
    from .bridge import stages  # here: Blender starts faster without

    stages.lift(scene.objects)
    for note in scene.hund.results:
        if note.show_descent:
            stages.show(note.characters, note.source, note.stage, scene)


@persistent
def _before_frame(scene: bpy.types.Scene, *_: object) -> None:
    if _shows(scene):
        _lift(scene)


@persistent
def _after_frame(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    if _shows(scene) and depsgraph.mode == "VIEWPORT":
        refresh(scene)


@persistent
def _before_all(*_: object) -> None:
    for scene in filter(_shows, bpy.data.scenes):
        _lift(scene)


@persistent
def _after_all(*_: object) -> None:
    for scene in filter(_shows, bpy.data.scenes):
        refresh(scene)


@persistent
def _after_undo(*_: object) -> None:
    """Not at once: Blender has yet to evaluate the action over what it has brought back."""
    global _was_undone
    _was_undone = True


@persistent
def _after_update(*_: object) -> None:
    global _was_undone
    if _was_undone:
        _was_undone = False
        _after_all()


@persistent
def _switch_off(*_: object) -> None:
    """A file opens with the finished motion, also one that Blender saved by itself."""
    for scene in bpy.data.scenes:
        for note in scene.hund.results:
            if note.show_descent:
                note.show_descent = False


def _shows(scene: bpy.types.Scene) -> bool:
    return any(note.show_descent for note in scene.hund.results)


def _lift(scene: bpy.types.Scene) -> None:
    from .bridge import stages

    stages.lift(scene.objects)


_HANDLERS = {
    "frame_change_pre": _before_frame,  # rendering, too, changes the frame
    "frame_change_post": _after_frame,
    "render_complete": _after_all,
    "render_cancel": _after_all,
    "save_pre": _before_all,
    "save_post": _after_all,
    "save_post_fail": _after_all,
    "undo_post": _after_undo,
    "redo_post": _after_undo,
    "depsgraph_update_post": _after_update,
    "load_post": _switch_off,
}


def register() -> None:
    """Make the handlers known to Blender."""
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).append(handler)


def unregister() -> None:
    """Take them back, and what they show."""
    for name, handler in _HANDLERS.items():
        getattr(bpy.app.handlers, name).remove(handler)
    _switch_off()
