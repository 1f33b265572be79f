"""Operators, drop handlers, the menu entry and the command."""

import bpy

from . import (
    backend_log,
    cancel,
    check_backend,
    clips,
    command,
    confidence,
    contacts,
    export,
    face,
    find_people,
    finish,
    frame_people,
    keys,
    load,
    look_through,
    open_preferences,
    pins,
    reconstruct,
    retarget,
    set_floor,
    set_range,
    solve_again,
)

_CLASSES = (
    load.HUND_OT_load,
    load.HUND_FH_reconstruction,
    reconstruct.HUND_OT_reconstruct,
    reconstruct.HUND_OT_reconstruct_files,
    reconstruct.HUND_FH_clip,
    find_people.HUND_OT_find_people,
    solve_again.HUND_OT_solve_again,
    finish.HUND_OT_finish,
    cancel.HUND_OT_cancel,
    backend_log.HUND_OT_backend_log,
    open_preferences.HUND_OT_open_preferences,
    check_backend.HUND_OT_check_backend,
    check_backend.HUND_OT_copy_command,
    set_range.HUND_OT_set_range,
    set_floor.HUND_OT_set_floor,
    look_through.HUND_OT_look_through,
    frame_people.HUND_OT_frame_people,
    export.HUND_OT_export,
    clips.HUND_OT_push_to_nla,
    clips.HUND_OT_mark_asset,
    retarget.HUND_OT_retarget,
    retarget.HUND_OT_retarget_people,
    retarget.HUND_OT_list_people,
    retarget.HUND_OT_detect_bones,
    retarget.HUND_OT_save_rig_preset,
    *confidence.CLASSES,
    *pins.CLASSES,
    *contacts.CLASSES,
    *face.CLASSES,
    *keys.CLASSES,
)
_commands = []


def register() -> None:
    """Register the operators, the menu entry and the command."""
    for item in _CLASSES:
        bpy.utils.register_class(item)
    bpy.types.TOPBAR_MT_file_import.append(load.draw_menu)
    _commands.append(bpy.utils.register_cli_command("hund", command.run))


def unregister() -> None:
    """Unregister them in reverse order."""
    reconstruct.stop()
    check_backend.stop()
    pins.stop()
    bpy.utils.unregister_cli_command(_commands.pop())
    bpy.types.TOPBAR_MT_file_import.remove(load.draw_menu)
    for item in reversed(_CLASSES):
        bpy.utils.unregister_class(item)
