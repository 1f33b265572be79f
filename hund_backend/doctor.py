"""A look at the installation: packages, device, weights."""

import platform
from dataclasses import dataclass
from importlib import metadata

from .body.file import BODY_FILE, load_body_file
from .errors import HundError
from .perception.manifest import is_whole, read_manifest
from .provenance import PERCEPTION, file_hash

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "onnxruntime",
    "roma",
    "safetensors",
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: str
    good: bool = True


def examine() -> list[Finding]:
    """Everything that a reconstruction needs, looked at without doing one."""
    findings = [Finding(what="python", state=platform.python_version())]
    findings += [_package(name) for name in PACKAGES]
    findings.append(_device())
    findings += [_body(), _prior()]
    try:
        entries = read_manifest(PERCEPTION)
    except HundError as error:
        return [*findings, Finding(what="networks", state=str(error), good=False)]
    for name, entry in entries.items():
        whole = is_whole(PERCEPTION / name, entry)
        state = f"sha256 {entry.sha256[:16]}…" if whole else "missing or damaged"
        findings.append(Finding(what=name, state=state, good=whole))
    return findings


def _package(name: str) -> Finding:
    try:
        return Finding(what=name, state=metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(what=name, state="not installed", good=False)


def _device() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding(what="device", state=f"torch does not load ({error})", good=False)
    if torch.cuda.is_available():
        return Finding(what="device", state=f"cuda: {torch.cuda.get_device_name(0)}")
    return Finding(what="device", state=f"cpu, {torch.get_num_threads()} threads")


def _body() -> Finding:
    try:
        load_body_file()
    except HundError as error:
        return Finding(what=BODY_FILE.name, state=str(error), good=False)
    return Finding(what=BODY_FILE.name, state=f"sha256 {file_hash(BODY_FILE)[:16]}…")


def _prior() -> Finding:
    from .prior.gaussian import WEIGHTS_FILE, GaussianPrior

    try:
        GaussianPrior.load()
    except HundError as error:
        return Finding(what=WEIGHTS_FILE.name, state=str(error), good=False)
    return Finding(what=WEIGHTS_FILE.name, state=f"sha256 {file_hash(WEIGHTS_FILE)[:16]}…")
