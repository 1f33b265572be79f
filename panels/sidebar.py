"""Place of the panels: the sidebar of the 3D View, in every mode."""


class SidebarPanel:
    """Mixin of all panels."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "HUND"
