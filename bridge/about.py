"""About: version, licence and weights of the extension, and its manual as a page."""

import html
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..hund_backend.atomic_write import write_file
from ..hund_backend.errors import BadInputError
from ..hund_backend.weights_file import WEIGHTS, sha256_of
from .backend import ROOT, JobError

MANUAL = ROOT / "README.md"
_PAGE = """<!DOCTYPE html>
<meta charset="utf-8"><title>HUND</title>
<pre style="font: 16px/1.5 sans-serif; max-width: 48em; margin: 2em auto; white-space: pre-wrap">
{text}</pre>
"""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A file of trained or fetched numbers."""

    name: str
    sha256: str  # its first characters


def version() -> str:
    """Return the version of the extension."""
    return tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]


def weights() -> list[Weights]:
    """Return the weights that the extension works with, by name."""
    kinds = {".npz", ".safetensors"}
    files = sorted(file for file in WEIGHTS.rglob("*") if file.suffix in kinds)
    return [Weights(name=file.name, sha256=sha256_of(file)[:12]) for file in files]


def write_manual(folder: Path) -> Path:
    """Write the manual as a page that any browser shows; return its path.

    Raises:
        JobError: it cannot be read, or the folder cannot be written to.
    """
    path = folder / "manual.html"
    try:
        text = html.escape(MANUAL.read_text(encoding="utf-8"))
        write_file(path, _PAGE.format(text=text).encode())
    except OSError as error:
        reason = error.strerror or error
        raise JobError(f"{MANUAL} cannot be read ({reason}): install HUND again.") from error
    except BadInputError as error:
        raise JobError(str(error)) from error
    return path
