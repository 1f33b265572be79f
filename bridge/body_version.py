"""Body version: whether a Reconstruction's body shapes are of the body that the extension has."""

from typing import TYPE_CHECKING

from ..hund_backend.body.file import BODY_FILE
from ..hund_backend.weights_file import sha256_of

if TYPE_CHECKING:
    from ..hund_backend.reconstruction import Reconstruction


def is_current(reconstruction: "Reconstruction") -> bool:
    """Return whether a Reconstruction is of this body, as far as its provenance names one."""
    weights = reconstruction.provenance.get("weights") or {}
    made_with = weights.get(BODY_FILE.name)
    return made_with is None or made_with == sha256_of(BODY_FILE)
