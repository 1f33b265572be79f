"""Clip card: size, rate, length and a small picture of a clip, read by the backend beside Blender.

No datablock and no file is made: the picture is a preview in memory.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews
import numpy as np

from ..hund_backend.sources import is_pattern
from . import screen
from .backend import Settings, unavailable_reason
from .backend_command import BackendCommand

LIMIT_SECONDS = 60.0
_POLL_SECONDS = 0.1
_MAX_CARDS = 16  # older ones are read again when their clip is chosen again


@dataclass(frozen=True, kw_only=True)
class Card:
    """Properties of a clip."""

    width: int = 0  # pixels, upright
    height: int = 0
    fps: float = 0.0
    frames: int | None = None  # None: unknown
    icon: int = 0  # number of the picture's icon
    error: str = ""  # why the clip cannot be read, one sentence

    @property
    def seconds(self) -> float | None:
        """Duration; None if unknown or of a single picture."""
        return self.frames / self.fps if self.frames and self.frames > 1 else None


_cards: dict[tuple[Any, ...], Card] = {}
_running: tuple[tuple[Any, ...], BackendCommand] | None = None
_previews: bpy.utils.previews.ImagePreviewCollection | None = None


def get(path: Path, settings: Settings) -> Card | None:
    """Return the card of a clip; None while it is being read, or if it cannot be.

    The first call for a file starts reading it; the panel is drawn again when it has been read.
    """
    key = _key(path)
    if key is None or unavailable_reason(settings):
        return None
    if key not in _cards and not (_running and _running[0] == key):
        _start(key, path, settings)
    return _cards.get(key)


def poll() -> bool:
    """Take over the clip that was read; return whether one is still being read."""
    global _running
    if _running is None:
        return False
    key, command = _running
    output = command.poll()
    if output is None:
        return True
    _running = None
    while len(_cards) >= _MAX_CARDS:
        oldest = next(iter(_cards))
        del _cards[oldest]
        _collection().pop(_name(oldest), None)
    _cards[key] = _card(key, output.stdout)
    return False


def close() -> None:
    """Stop reading and forget all cards."""
    global _running, _previews
    if _running:
        _running[1].close()
        _running = None
    _cards.clear()
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = None


def _key(path: Path) -> tuple[Any, ...] | None:
    """Return the identity of a file or folder, which changes with its content; None: missing."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return (str(path), 0, 0) if is_pattern(path) else None
    return (str(path), stat.st_mtime_ns, stat.st_size)


def _name(key: tuple[Any, ...]) -> str:
    return repr(key)


def _start(key: tuple[Any, ...], path: Path, settings: Settings) -> None:
    global _running
    if _running:
        _running[1].close()
    arguments = ["-m", "hund_backend", "inspect", str(path.absolute())]
    _running = (key, BackendCommand(settings, arguments, LIMIT_SECONDS))
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, first_interval=_POLL_SECONDS, persistent=True)


def _tick() -> float | None:
    if poll():
        return _POLL_SECONDS
    screen.redraw_resized()
    return None


def _card(key: tuple[Any, ...], stdout: str) -> Card:
    for line in reversed(stdout.splitlines()):
        try:
            reply = json.loads(line)
            if reply["event"] == "clip":
                names = ("width", "height", "fps", "frames")
                icon = _icon(_name(key), **reply["thumbnail"])
                return Card(**{name: reply[name] for name in names}, icon=icon)
            if reply["event"] == "error":
                return Card(error=str(reply["message"]))
        except (ValueError, KeyError, TypeError):
            continue
    return Card()  # the interpreter has another problem, which the check tells


def _icon(name: str, width: int, height: int, rgb: str) -> int:
    """Make a preview; return the number of its icon."""
    image = np.frombuffer(base64.b64decode(rgb), np.uint8).reshape(height, width, 3)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = image[::-1] / np.float32(255)  # Blender's rows begin at the bottom
    collection = _collection()
    collection.pop(name, None)
    preview = collection.new(name)
    preview.image_size = (width, height)
    preview.image_pixels_float.foreach_set(pixels.ravel())
    return preview.icon_id


def _collection() -> bpy.utils.previews.ImagePreviewCollection:
    global _previews
    if _previews is None:
        _previews = bpy.utils.previews.new()
    return _previews
