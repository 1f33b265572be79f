"""Sources: the files of a clip, given by a name, a folder or a pattern. Imports no cv2."""

import math
import re
from itertools import pairwise
from pathlib import Path

from .errors import BadInputError

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
SOUND_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".opus", ".wav", ".wma"}
)
_SOUND_SIGNATURES = (b"ID3", b"fLaC", b"OggS", b"FORM", b"RIFF")
_TRACK = re.compile(rb"hdlr.{8}(vide|soun)", re.DOTALL)  # kind of a track of an MP4 or MOV file
_SEARCHED_BYTES = 2**22  # at either end of a file, where the tracks are listed
NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")  # the last digits of a name, which Blender uses, too
MAX_GAP = 900  # pictures that may be missing one after the other; half a minute
WILDCARD = re.compile(r"%0?(\d*)d|#+|\*|\?")  # of digits (%d, #) or of any characters (*, ?)


def clip_name(path: Path) -> str:
    """Return the name for a clip's results: the clip's without suffix and wildcards.

    Example:
        >>> clip_name(Path("clips/shot_%04d.png"))
        'shot'
    """
    path = path.resolve()
    if path.is_dir():
        return path.name
    if path.exists() or not is_pattern(path):
        return path.stem
    return WILDCARD.sub("", path.stem).strip(" ._-") or path.parent.name


def source_files(path: Path) -> list[Path]:
    """Return the files of a clip, in order.

    Args:
        path: a video or an image, a folder of images, or a pattern.

    Raises:
        BadInputError: there are none.
    """
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
    elif path.exists():
        return [path]
    elif is_pattern(path) and path.parent.is_dir():
        regex = _regex(path.name)
        found = [file for file in path.parent.iterdir() if regex.fullmatch(file.name)]
    else:
        raise BadInputError(f"{path} does not exist: check the name of the clip.")
    found = [file for file in found if file.is_file() and not file.name.startswith(".")]
    if not found:
        raise BadInputError(f"{path} holds no pictures: give a video or a folder of pictures.")
    return sorted(found, key=_natural_order)


def picture_numbers(files: list[Path]) -> list[int]:
    """Return the frame numbers of a sequence's pictures, from 0.

    Where names differ in one number only, as Blender plays them, missing numbers are frames that
    are missing; numbers that all lie the same step apart are frames one after the other.

    Example:
        >>> picture_numbers([Path("a_08.png"), Path("a_09.png"), Path("a_11.png")])
        [0, 1, 3]
    """
    parts = [NUMBERED.fullmatch(file.stem) for file in files]
    positions = list(range(len(files)))
    if None in parts or len({(part[1], part[3]) for part in parts}) > 1:
        return positions
    numbers = [int(part[2]) for part in parts]
    steps = [after - before for before, after in pairwise(numbers)]
    if not steps or min(steps) < 1:
        return positions
    step = math.gcd(*steps)
    if max(steps) > MAX_GAP * step:  # dates and times, not frames
        return positions
    return [(number - numbers[0]) // step for number in numbers]


def animation_kind(path: Path) -> str | None:
    """Return "png", "webp" or "gif" for a file that may hold several pictures; else None.

    By its content, whatever its name says.
    """
    with path.open("rb") as file:
        head = file.read(_SEARCHED_BYTES // 4)
    if head.startswith(b"\x89PNG"):
        is_animated = 0 <= head.find(b"acTL") < (head.find(b"IDAT") % len(head))
        return "png" if is_animated else None
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    is_webp = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
    return "webp" if is_webp and head[20] & 2 else None


def is_sound(path: Path) -> bool:
    """Return whether a file's suffix says that it holds sound, even with a picture of the cover."""
    return path.suffix.lower() in SOUND_SUFFIXES


def has_only_sound(path: Path) -> bool:
    """Return whether a file that cannot be opened as a video holds sound."""
    with path.open("rb") as file:
        content = file.read(_SEARCHED_BYTES)
        file.seek(max(path.stat().st_size - _SEARCHED_BYTES, len(content)))
        content += file.read()
    tracks = set(_TRACK.findall(content))
    return content.startswith(_SOUND_SIGNATURES) or tracks == {b"soun"}


def is_pattern(path: Path) -> bool:
    """Return whether a name has wildcards."""
    return WILDCARD.search(path.name) is not None


def _regex(pattern: str) -> re.Pattern[str]:
    regex, plain = "", 0
    for token in WILDCARD.finditer(pattern):
        digits = len(token[0]) if token[0][0] == "#" else int(token[1] or 1)
        wild = {"*": ".*", "?": "."}.get(token[0], rf"\d{{{digits},}}")
        regex += re.escape(pattern[plain : token.start()]) + wild
        plain = token.end()
    return re.compile(regex + re.escape(pattern[plain:]))


def _natural_order(path: Path) -> list[str | int]:
    """Return a sort key by which `shot_2` comes before `shot_10`."""
    tokens = re.split(r"(\d+)", path.name)
    return [int(token) if position % 2 else token for position, token in enumerate(tokens)]
