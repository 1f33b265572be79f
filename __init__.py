"""HUND extension for Blender: `register` and `unregister`.

Imports stay inside the functions so that pytest, which imports a root __init__.py
on its own, can collect the bpy-free tests on a machine without Blender.
"""


def register() -> None:
    """Register all classes, properties and handlers."""
    from . import handlers, operators, panels, preferences, properties

    for module in (preferences, properties, operators, panels, handlers):
        module.register()


def unregister() -> None:
    """Unregister all in reverse order."""
    from . import handlers, operators, panels, preferences, properties

    for module in (handlers, panels, operators, properties, preferences):
        module.unregister()
