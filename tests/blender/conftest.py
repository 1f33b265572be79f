"""Load the checkout as the extension bl_ext.user_default.hund in a temporary profile."""

import os
import sys
import tempfile
from pathlib import Path

import pytest

_PROFILE = tempfile.TemporaryDirectory(prefix="hund-blender-")
os.environ["BLENDER_USER_RESOURCES"] = _PROFILE.name  # before the first import of bpy
bpy = pytest.importorskip("bpy")

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "backend"))  # for helpers that need no torch
MODULE = "bl_ext.user_default.hund"


def _link_checkout():
    """Make the checkout importable under the name of the installed extension."""
    repos = bpy.context.preferences.extensions.repos
    folder = Path(next(repo for repo in repos if repo.module == "user_default").directory)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hund").symlink_to(ROOT, target_is_directory=True)
    sys.dont_write_bytecode = True  # the same files are imported under two names


_link_checkout()

# Blender's BVH and glTF add-ons leave files open where they fail, and its BVH importer always. Such
# a file is freed, with a message, whenever the collector finds it: maybe in another test.
LEFT_OPEN_BY_BLENDER = (
    r"ignore:Exception ignored in. <_io\.\w+ name=.*\.(bvh|glb|gltf|bin)'"
    ":pytest.PytestUnraisableExceptionWarning"
)


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", LEFT_OPEN_BY_BLENDER)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    session.config.exit_status = int(exitstatus)


def pytest_unconfigure(config):
    """Exit at once: at exit, Blender 4.2 crashes after its glTF exporter, 4.5 hangs after Rigify."""
    if hasattr(config, "exit_status"):
        _PROFILE.cleanup()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.exit_status)


@pytest.fixture(autouse=True)
def empty_scene():
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)


@pytest.fixture
def usd_module():
    """Function that imports a module of USD by name; bpy 4.2 from PyPI has none: skips."""
    if hasattr(bpy.utils, "expose_bundled_modules"):  # since Blender 4.4
        bpy.utils.expose_bundled_modules()
    return lambda name: pytest.importorskip(f"pxr.{name}", reason="no pxr in this bpy")
