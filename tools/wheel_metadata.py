"""Metadata of a wheel, read from the archive without installing it."""

import email
import zipfile
from email.message import Message

from packaging.requirements import Requirement

from .zip_targets import Target


def metadata_of(archive: zipfile.ZipFile, kind: str = "METADATA", folder: str = "") -> Message:
    """Return a file of a wheel's dist-info folder.

    Args:
        archive: of the wheel, or one in which wheels lie unpacked.
        kind: `METADATA` or `WHEEL`.
        folder: path of the dist-info folder; empty: the only one at the archive's top.
    """
    if not folder:
        [folder] = {
            name.split("/")[0]
            for name in archive.namelist()
            if name.split("/")[0].endswith(".dist-info")
        }
    return email.message_from_bytes(archive.read(f"{folder}/{kind}"))


def requirements_of(metadata: Message, target: Target) -> list[Requirement]:
    """Return what a package needs on a target, without extras."""
    requirements = map(Requirement, metadata.get_all("Requires-Dist", ()))
    return [
        requirement
        for requirement in requirements
        if not requirement.marker or requirement.marker.evaluate(target.environment)
    ]
