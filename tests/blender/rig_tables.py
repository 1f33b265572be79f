"""Armatures from the tables in tests/data/rigs, re-posed, rolled, renamed and scaled."""

import json
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

RIGS = Path(__file__).parents[1] / "data" / "rigs"


def read_table(name):
    """Rows of a table: name, parent, head, tail, roll."""
    rows = json.loads((RIGS / f"{name}.json").read_text())["bones"]
    return [(row[0], row[1], np.array(row[2:5]), np.array(row[5:8]), row[8]) for row in rows]


def link(data, name):
    """An object of an armature, active in the scene."""
    armature = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(armature)
    for item in bpy.context.view_layer.objects:
        item.select_set(False)
    armature.select_set(True)
    bpy.context.view_layer.objects.active = armature
    return armature


def build(name, *, place=lambda point: point, rename=lambda bone: bone, rolls=None, keep=None):
    """An armature from a table.

    `place` moves joints, `rename` names bones, `rolls` is a generator of random rolls, `keep`
    tells which bones there are.
    """
    rows = [row for row in read_table(name) if keep is None or keep(row[0])]
    parents = {row[0]: row[1] for row in read_table(name)}
    names = {row[0] for row in rows}
    armature = link(bpy.data.armatures.new(name), name)
    bpy.ops.object.mode_set(mode="EDIT")
    for bone, _, head, tail, roll in rows:
        edit_bone = armature.data.edit_bones.new(rename(bone))
        edit_bone.head, edit_bone.tail = place(head), place(tail)
        edit_bone.roll = roll if rolls is None else rolls.uniform(-np.pi, np.pi)
    for bone, *_ in rows:
        parent = parents[bone]
        while parent and parent not in names:
            parent = parents[parent]
        if parent:
            armature.data.edit_bones[rename(bone)].parent = armature.data.edit_bones[
                rename(parent)
            ]
    bpy.ops.object.mode_set(mode="OBJECT")
    assert len(armature.data.bones) == len(rows)
    return armature


def set_rest(armature, rotations):
    """Make another rest pose: bones turned about the armature's axes, by name."""
    matrices = {}
    for name, (axis, angle) in rotations.items():
        bone = armature.data.bones[name]
        matrices[name] = Matrix.Rotation(angle, 4, Vector(axis)), bone.head_local.copy()
    bpy.ops.object.mode_set(mode="EDIT")
    for name, (turn, pivot) in matrices.items():
        bone = armature.data.edit_bones[name]
        full = Matrix.Translation(pivot) @ turn @ Matrix.Translation(-pivot)
        for item in [bone, *bone.children_recursive]:
            item.transform(full)
    bpy.ops.object.mode_set(mode="OBJECT")


def heads(armature, names, frame):
    """World positions of bones' heads at a frame, by name."""
    bpy.context.scene.frame_set(frame)
    evaluated = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return {
        name: np.array(evaluated.matrix_world @ evaluated.pose.bones[name].head) for name in names
    }


def directions(points, pairs):
    """Unit vectors between pairs of points."""
    return {
        pair: (points[pair[1]] - points[pair[0]])
        / np.linalg.norm(points[pair[1]] - points[pair[0]])
        for pair in pairs
    }


def angle_deg(first, second):
    """Angle between two unit vectors, degrees."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))


def split(armature, name, new):
    """Divide a bone: its outer half is a bone of its own that carries what the bone carried."""
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    bone, outer = bones[name], bones.new(new)
    outer.head, outer.tail, outer.roll = bone.head.lerp(bone.tail, 0.5), bone.tail, bone.roll
    for child in bone.children:
        child.use_connect = False
        child.parent = outer
    bone.tail = outer.head
    outer.parent = bone
    bpy.ops.object.mode_set(mode="OBJECT")


def add_twists(armature, names):
    """Add two twist bones, which carry nothing, to each of some bones."""
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    for name in names:
        parent = bones[name]
        for number, share in ((1, 0.3), (2, 0.6)):
            twist = bones.new(f"{name}_twist_{number:02d}")
            twist.head, twist.tail = parent.head.lerp(parent.tail, share), parent.tail
            twist.parent = parent
    bpy.ops.object.mode_set(mode="OBJECT")
