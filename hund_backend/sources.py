"""Sources: the files a clip consists of, found by a name, a folder or a pattern. Imports no cv2."""

import re
from pathlib import Path

from .errors import BadInputError

PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
WILDCARD = re.compile(r"%0?(\d*)d|#+|\*|\?")  # stands for digits or anything in a pattern


def clip_name(path: Path) -> str:
    """What a clip's results are called: its name without suffix and pattern characters."""
    path = path.resolve()
    if path.is_dir():
        return path.name
    if path.exists() or not _is_pattern(path):
        return path.stem
    return WILDCARD.sub("", path.stem).strip(" ._-") or path.parent.name


def source_files(path: Path) -> list[Path]:
    """The files a clip consists of, in order.

    Raises:
        BadInputError: there are none.
    """
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix.lower() in PICTURE_SUFFIXES]
    elif path.exists():
        return [path]
    elif _is_pattern(path) and path.parent.is_dir():
        named = _pattern_as_regex(path.name)
        found = [file for file in path.parent.iterdir() if named.fullmatch(file.name)]
    else:
        raise BadInputError(f"{path} does not exist: check the name of the clip.")
    found = [file for file in found if file.is_file() and not file.name.startswith(".")]
    if not found:
        raise BadInputError(f"{path} holds no pictures: give a video or a folder of pictures.")
    return sorted(found, key=_natural_order)


def _is_pattern(path: Path) -> bool:
    return WILDCARD.search(path.name) is not None


def _pattern_as_regex(pattern: str) -> re.Pattern[str]:
    regex, plain = "", 0
    for token in WILDCARD.finditer(pattern):
        digits = len(token[0]) if token[0][0] == "#" else int(token[1] or 1)
        wild = {"*": ".*", "?": "."}.get(token[0], rf"\d{{{digits},}}")
        regex += re.escape(pattern[plain : token.start()]) + wild
        plain = token.end()
    return re.compile(regex + re.escape(pattern[plain:]))


def _natural_order(path: Path) -> list[str | int]:
    """Key that sorts `shot_2` before `shot_10`."""
    tokens = re.split(r"(\d+)", path.name)
    return [int(token) if position % 2 else token for position, token in enumerate(tokens)]
