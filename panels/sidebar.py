"""Place of the panels: the sidebar of the 3D View, in Object and Pose mode."""


class SidebarPanel:
    """Mixin of all panels."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "HUND"

    @classmethod
    def poll(cls, context):
        return context.mode in {"OBJECT", "POSE"}
