"""Layout that records what a panel draws."""

import bpy


class RecordingLayout:
    """Records the calls of a layout and of all layouts in it."""

    def __init__(self, calls=None):
        object.__setattr__(self, "calls", [] if calls is None else calls)

    def __setattr__(self, name, value):
        """Accept what layouts accept: scale, alignment, whether it is active."""
        assert name in bpy.types.UILayout.bl_rna.properties, name

    def __getattr__(self, name):
        assert name in bpy.types.UILayout.bl_rna.functions, name
        if name in {"row", "column", "box", "split"}:
            return lambda **_: RecordingLayout(self.calls)
        return lambda *args, **kwargs: self._record(name, args, kwargs)

    def _record(self, name, args, kwargs):
        entry = Properties() if name == "operator" else None
        self.calls.append((name, args, kwargs, entry))
        return entry

    @property
    def texts(self):
        """Texts in the order in which they are drawn."""
        return [kwargs["text"] for _, _, kwargs, _ in self.calls if kwargs.get("text")]

    @property
    def operators(self):
        """Identifiers of the buttons."""
        return [args[0] for name, args, _, _ in self.calls if name == "operator"]

    @property
    def properties(self):
        """Names of the properties."""
        return [args[1] for name, args, _, _ in self.calls if name == "prop"]


class Properties:
    """Properties of a button."""


def draw(panel, context):
    """Draw a panel's class and return the layout."""
    layout = RecordingLayout()
    instance = type("Panel", (), {"layout": layout})()
    if not hasattr(panel, "poll") or panel.poll(context):
        panel.draw(instance, context)
    return layout
