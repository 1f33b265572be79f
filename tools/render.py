"""Renders one frame of a scene through its camera, without a backdrop, in Blender's environment.

`python -m tools.render SCENE.blend FRAME PICTURE.png`; FRAME is the scene's. The picture has an
alpha channel, so that it can be laid over the footage.
"""

import sys
from pathlib import Path

import bpy  # noqa: TID251 - a tool for Blender's environment


def render(scene_file: Path, frame: int, picture: Path) -> None:
    """Render with Workbench, which needs neither lamps nor time."""
    bpy.ops.wm.open_mainfile(filepath=str(scene_file.resolve()))
    scene = bpy.context.scene
    scene.frame_set(frame)
    scene.render.engine = "BLENDER_WORKBENCH"
    scene.display.shading.light = "STUDIO"
    scene.display.shading.show_cavity = True
    scene.view_settings.view_transform = "Standard"  # colors as the footage has them
    scene.render.film_transparent = True
    scene.render.use_compositing = False  # else the footage would be behind the people
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.filepath = str(picture.resolve())
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    render(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
