"""Places of joints in exchange files: as Blender imports them, and as the files have them at rest."""

import json
import math
import struct

import bpy
import numpy as np
from bl_ext.user_default.hund.bridge import action
from mathutils import Euler, Matrix, Quaternion
from synthetic_people import go_to_frame
from test_bridge_units import IMPORTERS

Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # from a file's axes to Blender's


def imported(path, fps=30):
    """Import a file into an empty scene and return its armatures, sorted by name."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.context.scene.render.fps = fps
    IMPORTERS[path.suffix[1:].replace("usdc", "usd")](str(path))
    found = [item for item in bpy.data.objects if item.type == "ARMATURE"]
    return sorted(found, key=lambda item: item.name)


def heads_over_time(armature, names, frames):
    """Heads of an imported armature's bones in the world, (frames, bones, 3)."""
    curves = action.fcurves(armature.animation_data.action)
    start = min(curve.keyframe_points[0].co[0] for curve in curves)
    places = []
    for frame in range(frames):
        go_to_frame(bpy.context.scene, start + frame)
        evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
        bones = evaluated.pose.bones
        places.append([evaluated.matrix_world @ bones[name].head for name in names])
    return np.array(places)


def skin_vertices(armature):
    """Evaluated vertices of an armature's skin in the world, (vertices, 3)."""
    (mesh,) = (child for child in armature.children if child.type == "MESH")
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    vertices = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", vertices)
    matrix = np.array(evaluated.matrix_world)
    return vertices.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def glb_nodes(path):
    """Places (3,) of the nodes of a GLB file without animation, by name, with z up, metres."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    nodes = json.loads(content[20 : 20 + length])["nodes"]
    parents = {child: i for i, node in enumerate(nodes) for child in node.get("children", ())}

    def matrix(index):
        node = nodes[index]
        x, y, z, w = node.get("rotation", (0, 0, 0, 1))
        rotation = Matrix.LocRotScale(
            node.get("translation", (0, 0, 0)),
            Quaternion((w, x, y, z)),
            node.get("scale", (1, 1, 1)),
        )
        return matrix(parents[index]) @ rotation if index in parents else rotation

    return {node["name"]: Y_UP @ np.array(matrix(i).translation) for i, node in enumerate(nodes)}


def read_fbx(path):
    """Header and nodes of an FBX file: settings, and each node's name, transform and parent."""
    from io_scene_fbx import parse_fbx

    root, _ = parse_fbx.parse(str(path))
    tables = {element.id: element for element in root.elems}

    def properties(element):
        (table,) = (child for child in element.elems if child.id == b"Properties70")
        return {row.props[0].decode(): row.props[4:] for row in table.elems}

    nodes, links = {}, {}
    for element in tables[b"Objects"].elems:
        if element.id == b"Model":
            values, name = properties(element), element.props[1].split(b"\x00")[0].decode()
            degrees = values.get("Lcl Rotation", (0, 0, 0))
            matrix = Matrix.LocRotScale(
                values.get("Lcl Translation", (0, 0, 0)),
                Euler([math.radians(value) for value in degrees], "XYZ"),
                values.get("Lcl Scaling", (1, 1, 1)),
            )
            nodes[element.props[0]] = (name, matrix)
    for link in tables[b"Connections"].elems:
        if link.props[1] in nodes and link.props[2] in nodes:
            links[link.props[1]] = link.props[2]
    return properties(tables[b"GlobalSettings"]), nodes, links


def fbx_nodes(path):
    """Places (3,) of the nodes of an FBX file without animation, by name, z up, metres."""
    settings, nodes, links = read_fbx(path)
    metres = settings["UnitScaleFactor"][0] / 100

    def matrix(key):
        own = nodes[key][1]
        return matrix(links[key]) @ own if key in links else own

    return {
        name: Y_UP @ np.array(matrix(k).translation) * metres for k, (name, _) in nodes.items()
    }
