"""Identity of an evidence file: what ties it to the results that were solved from it.

Blender's own process reads it, so this module imports neither torch nor cv2.
"""

import zipfile
from pathlib import Path
from typing import Any

from .errors import BadInputError

SCHEMA = "hund-evidence/1"
SUFFIX = ".evidence"
ADVICE = "reconstruct the clip again."


def path_beside(reconstruction: Path) -> Path:
    """Return the path of the evidence that a Reconstruction's file was solved from."""
    return reconstruction.with_suffix(SUFFIX)


def identity_of(path: Path) -> str:
    """Return what identifies the evidence in a file: `evidence` in its results' provenance.

    Raises:
        BadInputError: the file is missing, damaged or no evidence.
    """
    return str(read_arrays(path, ("schema", "identity"))["identity"])


def read_arrays(path: Path, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Read the file's arrays, all or those named.

    Raises:
        BadInputError: the file is missing, damaged or no evidence.
    """
    import numpy as np  # here, since the command line's help needs the suffix alone

    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names or file.files}
    except OSError as error:
        reason = error.strerror or error
        raise BadInputError(f"{path} cannot be read ({reason}): {ADVICE}") from error
    except (ValueError, TypeError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path.name} is damaged or no evidence: {ADVICE}") from error
    if str(arrays["schema"]) != SCHEMA:
        raise BadInputError(f"{path.name} is of another version of HUND: {ADVICE}")
    return arrays
