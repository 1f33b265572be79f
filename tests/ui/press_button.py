"""Install a zip into an empty profile and reconstruct: press_button.py ZIP CLIP [PYTHON].

CLIP may be "sample": then *Try the Sample* is pressed. Prints the facts, with the seconds of both.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

archive, clip, *interpreter = sys.argv[1:]
with tempfile.TemporaryDirectory(prefix="hund-profile-") as profile:
    os.environ["BLENDER_USER_RESOURCES"] = profile
    import bpy

    start = time.monotonic()
    bpy.ops.extensions.package_install_files(
        filepath=archive, repo="user_default", enable_on_install=True
    )
    installed = time.monotonic()
    preferences = bpy.context.preferences.addons["bl_ext.user_default.hund"].preferences
    preferences.threads, preferences.interpreter = 2, "".join(interpreter)
    if clip == "sample":
        status = bpy.ops.hund.try_sample()
    else:
        bpy.context.scene.hund.clip = clip
        status = bpy.ops.hund.reconstruct()
    facts = {
        "status": list(status),
        "install_seconds": round(installed - start, 1),
        "seconds": round(time.monotonic() - installed, 1),
        "people": [item.name for item in bpy.data.objects if item.type == "ARMATURE"],
        "files": [path.name for path in Path(profile).rglob("reconstructions/*.npz")],
        "large_packages": sorted({"torch", "cv2", "scipy", "onnxruntime"} & set(sys.modules)),
    }
    print(json.dumps(facts))
