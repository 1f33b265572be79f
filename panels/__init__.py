"""Panels: 3D View, Sidebar, HUND; and the progress in the status bar."""

import bpy

from . import advanced, correct, export, face, keys, progress, result, retarget, solve, source

_register_classes, _unregister_classes = bpy.utils.register_classes_factory(
    (
        source.HUND_PT_source,
        solve.HUND_PT_solve,
        solve.HUND_PT_scene,
        result.HUND_PT_result,
        *correct.CLASSES,
        *face.CLASSES,
        retarget.HUND_UL_roles,
        retarget.HUND_UL_pairs,
        retarget.HUND_PT_retarget,
        retarget.HUND_PT_roles,
        retarget.HUND_PT_pairs,
        keys.HUND_PT_keys,
        export.HUND_PT_export,
        advanced.HUND_PT_advanced,
    )
)


def register() -> None:
    """Register the panels."""
    _register_classes()
    bpy.types.STATUSBAR_HT_header.append(progress.draw_status_bar)


def unregister() -> None:
    """Unregister them."""
    bpy.types.STATUSBAR_HT_header.remove(progress.draw_status_bar)
    _unregister_classes()
