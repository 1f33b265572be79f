"""Generate a Rigify rig and save it: `python generate_rigify.py FILE.blend`.

A process of its own: with Rigify enabled, Blender 4.2 and 4.5 may crash or hang at exit.
"""

import os
import sys
import tempfile
from importlib import import_module

with tempfile.TemporaryDirectory(prefix="hund-rigify-") as profile:
    os.environ["BLENDER_USER_RESOURCES"] = profile
    bpy = import_module("bpy")  # reads the environment
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    import_module("addon_utils").enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    bpy.ops.pose.rigify_generate()
    bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1], check_existing=False)
sys.stdout.flush()
os._exit(0)
