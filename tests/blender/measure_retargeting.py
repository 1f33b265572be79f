"""Measure retargeting (benchmarks/retarget.py): `python measure_retargeting.py CLIP.npz`."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import conftest  # noqa: F401 - links the checkout as the extension, before bpy is imported

# isort: split
import bpy
import numpy as np
import rig_tables
from bl_ext.user_default.hund.bridge import scene
from bl_ext.user_default.hund.bridge.retarget import contacts as foot_contacts
from bl_ext.user_default.hund.bridge.retarget import (
    feet,
    sampling,
    source_motion,
    stored_contacts,
)
from bl_ext.user_default.hund.bridge.retarget.apply import Options
from bl_ext.user_default.hund.bridge.retarget.rotations import rotated
from bl_ext.user_default.hund.hund_backend.reconstruction import Reconstruction
from retargeting import limb_errors, mapping, retarget
from test_retarget_mapping import short_legs
from test_retarget_rigs import RIGS, build

TIMED_FRAMES = 1000
HIPS, SHOULDERS = (("thigh.L", "thigh.R"),), (("upper_arm.L", "upper_arm.R"),)
HANDS = tuple((f"hand.{side}", f"middle.1.{side}") for side in "LR")
COLUMNS = (
    "rig",
    "limbs ° (no contacts)",
    "hips °",
    "shoulders °",
    "hands °",
    "drift mm/s",
    "sinking mm",
    "curves",
    "processor s per 1,000 frames",
)


def rigify(controls):
    """A generated rig."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rig.blend"
        script = Path(__file__).with_name("generate_rigify.py")
        subprocess.run([sys.executable, script, path], check=True, capture_output=True)
        with bpy.data.libraries.load(str(path)) as (_, wanted):
            wanted.objects = ["rig"]
    bpy.context.scene.collection.objects.link(wanted.objects[0])
    bpy.context.view_layer.update()
    return wanted.objects[0], "Rigify", {"controls": controls, "key_switches": True}


def rigs():
    """Yield label, armature, preset and options."""
    for legs in (1.0, 0.65, 1.3):
        yield (
            f"Mixamo, legs × {legs:g}",
            rig_tables.build("mixamo", place=short_legs(legs)),
            ("Mixamo"),
            {},
        )
    for label, rig in RIGS.items():
        armature, _ = build(rig)
        yield label, armature, rig.preset, {}
    for controls in ("FK", "IK"):
        armature, preset, options = rigify(controls)
        yield f"Rigify, {controls}", armature, preset, options


def worst(source, target, preset, frames, pairs=None):
    """Largest angle over some frames, degrees."""
    names = mapping(target, preset).bones
    pairs = [pair for pair in pairs or PAIRS if all(role in names for role in pair)]
    errors = [
        max(limb_errors(source, target, preset, int(frame), tuple(pairs)).values(), default=0.0)
        for frame in frames[:: max(len(frames) // 8, 1)]
    ]
    return max(errors)


PAIRS = tuple(
    (f"{a}.{side}", f"{b}.{side}")
    for side in "LR"
    for a, b in (
        ("upper_arm", "forearm"),
        ("forearm", "hand"),
        ("thigh", "shin"),
        ("shin", "foot"),
    )
)


def feet_errors(target, preset, frames, contacts):
    """Fastest ball in contact, m/s, and the lowest point of a sole, m."""
    fps = bpy.context.scene.render.fps / bpy.context.scene.render.fps_base
    motion = source_motion.read(target, mapping(target, preset), frames, lambda share: None).motion
    speeds, lowest = [0.0], 0.0
    for side in "LR":
        lowest = min(lowest, feet.sole_points(motion, side)[..., 2].min())
        foot = f"foot.{side}"
        joint = feet.sole(motion.rest, motion.ground, side).ball_joint
        balls = (motion.positions[foot] + rotated(motion.rotations[foot], joint))[:, :2]
        for first, last in foot_contacts.runs(contacts[side].max(-1), fps):
            steps = np.linalg.norm(np.diff(balls[first : last + 1], axis=0), axis=-1)
            speeds.append(steps.max() * fps)
    return max(speeds), -lowest


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
    shown = np.interp(frames, written.timing.frames, reconstruction.present[person]) == 1
    present = frames[shown]  # elsewhere the source is hidden, so Blender does not evaluate it
    many = np.linspace(frames[0], frames[-1], TIMED_FRAMES)
    print(f"{len(frames)} frames, Blender {bpy.app.version_string}\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("| " + " | ".join("---" for _ in COLUMNS) + " |")
    for label, target, preset, options in rigs():
        retarget(source, target, preset, Options(keep_contacts=False, **options))
        angles = [
            worst(source, target, preset, present, pairs)
            for pairs in (PAIRS, HIPS, SHOULDERS, HANDS)
        ]
        retarget(source, target, preset, Options(**options), contacts=contacts)
        drift, sinking = feet_errors(target, preset, frames, contacts)
        start = time.process_time()
        applied = retarget(source, target, preset, Options(**options), frames=many)
        seconds = time.process_time() - start
        cells = [f"{angle:.2f}" for angle in angles]
        cells += [f"{1000 * drift:.2f}", f"{1000 * sinking:.1f}", str(applied.curves)]
        print("| " + " | ".join([label, *cells, f"{seconds:.1f}"]) + " |", flush=True)
    sys.stdout.flush()
    os._exit(0)  # Blender 4.2 may crash at exit after Rigify


if __name__ == "__main__":
    main()
