"""HUND extension: Blender calls register() and unregister(); nothing else lives here.

Imports stay inside the functions so that pytest, which imports a root __init__.py
on its own, can collect the bpy-free tests on a machine without Blender.
"""


def register() -> None:
    """Make everything known to Blender."""
    from . import handlers, operators, panels, preferences, properties

    for part in (preferences, properties, operators, panels, handlers):
        part.register()


def unregister() -> None:
    """Take everything back, in the opposite order."""
    from . import handlers, operators, panels, preferences, properties

    for part in (handlers, panels, operators, properties, preferences):
        part.unregister()
