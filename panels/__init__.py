"""Panels: 3D View, Sidebar, HUND."""

import bpy

from . import result, solve, source

register, unregister = bpy.utils.register_classes_factory(
    (source.HUND_PT_source, solve.HUND_PT_solve, result.HUND_PT_result)
)
