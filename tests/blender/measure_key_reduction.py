"""Measure Reduce Keys (benchmarks/key_reduction.py): `python measure_key_reduction.py CLIP.npz`."""

import os
import sys
import time
from pathlib import Path

import conftest  # noqa: F401 - links the checkout as the extension, before bpy is imported

# isort: split
import bpy
import numpy as np
import rig_tables
from bl_ext.user_default.hund.bridge import scene
from bl_ext.user_default.hund.bridge.keys import reduce
from bl_ext.user_default.hund.bridge.retarget import sampling, stored_contacts
from bl_ext.user_default.hund.bridge.retarget.apply import Options
from bl_ext.user_default.hund.hund_backend.reconstruction import Reconstruction
from measure_retargeting import rigify
from retargeting import mapping, retarget

TOLERANCES = (0.005, 0.01, 0.02)  # metres
COLUMNS = (
    "rig",
    "tolerance mm",
    "keys before",
    "after",
    "share %",
    "worst joint mm",
    "worst foot in contact mm",
    "processor s per 1,000 frames",
)


def rigs():
    """Yield label, armature, preset and options of retargeting; our own first."""
    yield "our own", None, "HUND", {}
    yield "Mixamo", rig_tables.build("mixamo"), "Mixamo", {}
    yield "Unreal", rig_tables.build("game_engine"), "Unreal", {}
    euler = rig_tables.build("cmu")
    for bone in euler.pose.bones:
        bone.rotation_mode = "XYZ"
    yield "CMU BVH, Euler angles", euler, "CMU BVH", {}
    for controls in ("FK", "IK"):
        armature, preset, options = rigify(controls)
        yield f"Rigify, {controls}", armature, preset, options


def main():
    """Measure all rigs."""
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    reconstruction = Reconstruction.load(Path(sys.argv[1]))
    written = scene.write(bpy.context, reconstruction)
    travel = np.ptp(reconstruction.root_translation, axis=1).max(-1)
    person = int(travel.argmax())
    source = written.people[person]
    frames = sampling.whole_frames(sampling.frame_range(source))
    contacts = stored_contacts.at_frames(reconstruction, person, written.timing, frames)
    fps = bpy.context.scene.render.fps / bpy.context.scene.render.fps_base
    print(f"{len(frames)} frames, Blender {bpy.app.version_string}\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("| " + " | ".join("---" for _ in COLUMNS) + " |")
    original = source.animation_data.action
    slot = getattr(source.animation_data, "action_slot", None)
    for label, armature, preset, options in rigs():
        target = armature or source
        for tolerance in TOLERANCES if preset == "Mixamo" else TOLERANCES[:1]:
            if armature:
                retarget(source, target, preset, Options(**options), contacts=contacts)
            else:
                copied = original.copy()
                target.animation_data.action = copied
                if slot:
                    target.animation_data.action_slot = copied.slots[slot.identifier]
            start = time.process_time()
            reduced = reduce.reduce_keys(
                target,
                reduce.Options(tolerance=tolerance),
                fps=fps,
                mapping=mapping(target, preset),
                contacts=contacts,
            )
            seconds = 1000 * (time.process_time() - start) / len(frames)
            cells = [
                label,
                f"{1000 * tolerance:g}",
                str(reduced.before),
                str(reduced.after),
                f"{100 * reduced.after / reduced.before:.1f}",
                f"{1000 * reduced.error:.2f}",
                f"{1000 * reduced.contact_error:.2f}",
                f"{seconds:.1f}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
        if not armature:
            target.animation_data.action = original
            if slot:
                target.animation_data.action_slot = slot
    sys.stdout.flush()
    os._exit(0)  # Blender 4.2 may crash at exit after Rigify


if __name__ == "__main__":
    main()
