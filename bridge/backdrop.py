"""Backdrop: what a render shows behind the people: the footage, nothing, or the world.

The footage is laid under the people by the compositor, which works with every render engine; the
camera's background image (`footage.py`) is shown in the viewport only.
"""

from typing import Literal

import bpy

Backdrop = Literal["footage", "transparent", "world"]
BACKDROPS: tuple[Backdrop, ...] = ("footage", "transparent", "world")

_MARK = "hund_backdrop"  # custom property of a node tree that was made here
_IS_NODE_GROUP = bpy.app.version >= (5, 0, 0)  # the compositor's tree is a datablock of its own


def has_compositor(scene: bpy.types.Scene) -> bool:
    """Return whether a scene has compositing nodes of the user."""
    tree = _tree_of(scene)
    return tree is not None and _MARK not in tree


def set_up(
    scene: bpy.types.Scene, camera: bpy.types.Object, name: str, backdrop: Backdrop
) -> None:
    """Set up what renders of a scene show behind the people.

    With the footage, the view transform is Standard: the others are made for rendered light and
    would change the footage's colors.

    Args:
        scene: has no compositing nodes of the user.
        camera: of the clip; its background image is the footage. Without one, or with footage
            that is turned or mirrored, the background is transparent instead.
        name: of the result; the names of new datablocks begin with it.
        backdrop: see `BACKDROPS`.
    """
    _remove(scene)
    scene.render.film_transparent = backdrop != "world"
    backgrounds = camera.data.background_images
    background = backgrounds[0] if len(backgrounds) else None
    is_turned = background and (background.rotation or background.use_flip_x)
    if backdrop == "footage" and background and not is_turned:
        scene.view_settings.view_transform = "Standard"
        _compose(_new_tree(scene, name), scene, camera, background)


def _remove(scene: bpy.types.Scene) -> None:
    """Remove the nodes of a previous result."""
    tree = _tree_of(scene)
    if tree is None or _MARK not in tree:
        return
    if _IS_NODE_GROUP:
        bpy.data.node_groups.remove(tree)
        return
    tree.animation_data_clear()
    tree.nodes.clear()
    del tree[_MARK]
    scene.use_nodes = False


def _tree_of(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    if _IS_NODE_GROUP:
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def _new_tree(scene: bpy.types.Scene, name: str) -> bpy.types.NodeTree:
    if _IS_NODE_GROUP:
        tree = bpy.data.node_groups.new(f"{name} Backdrop", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        scene.compositing_node_group = tree
    else:
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
    tree[_MARK] = True
    return tree


def _compose(
    tree: bpy.types.NodeTree,
    scene: bpy.types.Scene,
    camera: bpy.types.Object,
    background: bpy.types.CameraBackgroundImage,
) -> None:
    """Lay the render over the footage: footage, fitted to the picture, under the people."""
    footage = tree.nodes.new("CompositorNodeImage")
    footage.name = footage.label = "Footage"
    footage.image = background.image
    people = tree.nodes.new("CompositorNodeRLayers")
    people.scene = scene
    # One node fills the picture, whatever the shape of the pixels is. Before it, another would be
    # applied twice: Blender fits by the size of the file's picture.
    filling = tree.nodes.new("CompositorNodeScale")
    proportional = tree.nodes.new("CompositorNodeScale")  # as wide as the picture
    proportional.inputs["X"].default_value = 1.0
    proportional.inputs["Y"].default_value = _height(scene, background.image)
    over = tree.nodes.new("CompositorNodeAlphaOver")
    if _IS_NODE_GROUP:
        output = tree.nodes.new("NodeGroupOutput")
        filling.inputs["Type"].default_value = "Render Size"
        filling.inputs["Frame Type"].default_value = "Stretch"
        for axis in "XY":  # else the picture's borders are half transparent
            filling.inputs[f"Extension {axis}"].default_value = "Extend"
        below, above = over.inputs["Background"], over.inputs["Foreground"]
    else:
        output = tree.nodes.new("CompositorNodeComposite")
        filling.space, filling.frame_method = "RENDER_SIZE", "STRETCH"
        below, above = over.inputs[1:3]
    tree.links.new(footage.outputs["Image"], filling.inputs["Image"])
    tree.links.new(filling.outputs["Image"], proportional.inputs["Image"])
    tree.links.new(proportional.outputs["Image"], below)
    tree.links.new(people.outputs["Image"], above)
    tree.links.new(over.outputs["Image"], output.inputs[0])
    for column, node in enumerate((footage, filling, proportional, over, output)):
        node.location = (260 * column, 200)
    people.location = (520, -100)
    if background.image.source in {"MOVIE", "SEQUENCE"}:
        _synchronize(footage, camera, background.image_user)


def _height(scene: bpy.types.Scene, image: bpy.types.Image) -> float:
    """Return the height of footage that is as wide as the picture, in heights of the picture."""
    render, shown = scene.render, image.display_aspect
    if not image.size[0]:
        return 1.0
    footage = image.size[1] * shown[1] / (image.size[0] * shown[0])
    picture = render.resolution_y * render.pixel_aspect_y
    return footage * render.resolution_x * render.pixel_aspect_x / picture


def _synchronize(
    node: bpy.types.Node, camera: bpy.types.Object, user: bpy.types.ImageUser
) -> None:
    """Show the picture of the camera's background image in each frame.

    A driver copies its offset: keyed for clips of another rate, and open to the user's edits.
    """
    node.frame_start, node.frame_duration = user.frame_start, user.frame_duration
    node.frame_offset, node.use_auto_refresh = user.frame_offset, True
    driver = node.driver_add("frame_offset").driver
    driver.type = "AVERAGE"
    variable = driver.variables.new()
    target = variable.targets[0]
    target.id_type, target.id = "CAMERA", camera.data
    target.data_path = "background_images[0].image_user.frame_offset"
