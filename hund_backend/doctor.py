"""Check of the installation: packages, device, weights. Works where packages are missing, too."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from .errors import HundError
from .perception.manifest import is_whole, read_manifest
from .provenance import OURS, PERCEPTION, WEIGHTS, file_hash

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "onnxruntime",
    "roma",
    "safetensors",
    "zuko",
    "jaxtyping",
    "tqdm",
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """State of one package, device or file."""

    name: str
    state: str
    ok: bool = True


def examine() -> list[Finding]:
    """Check everything that a reconstruction needs, without doing one."""
    findings = [Finding(name="python", state=platform.python_version())]
    findings += [_package(name) for name in PACKAGES]
    findings.append(_device())
    loads = (_body, _prior, _dynamics, _hund)
    findings += [_weights(name, load) for name, load in zip(OURS, loads, strict=True)]
    try:
        entries = read_manifest(PERCEPTION)
    except HundError as error:
        return [*findings, Finding(name="networks", state=str(error), ok=False)]
    for name, entry in entries.items():
        intact = is_whole(PERCEPTION / name, entry)
        state = f"sha256 {entry.sha256[:16]}…" if intact else "missing or damaged"
        findings.append(Finding(name=name, state=state, ok=intact))
    return findings


def _package(name: str) -> Finding:
    try:
        return Finding(name=name, state=metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name=name, state="not installed", ok=False)


def _device() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding(name="device", state=f"torch does not load ({error})", ok=False)
    if torch.cuda.is_available():
        return Finding(name="device", state=f"cuda: {torch.cuda.get_device_name(0)}")
    return Finding(name="device", state=f"cpu, {torch.get_num_threads()} threads")


def _weights(name: str, load: Callable[[], object]) -> Finding:
    try:
        load()
    except (HundError, ImportError) as error:
        return Finding(name=name, state=f"does not load ({error})", ok=False)
    return Finding(name=name, state=f"sha256 {file_hash(WEIGHTS / name)[:16]}…")


def _body() -> object:
    from .body.file import load_body_file

    return load_body_file()


def _prior() -> object:
    from .prior.pose_flow import PoseFlow

    return PoseFlow.load()


def _dynamics() -> object:
    from .prior.dynamics import Dynamics
    from .prior.pose_flow import WEIGHTS_FILE

    return Dynamics.load(WEIGHTS_FILE)


def _hund() -> object:
    from hund_backend.descent.learned.hund import Hund

    from .body.model import BodyModel
    from .prior.pose_flow import PoseFlow

    return Hund.load(BodyModel.load("keypoints"), PoseFlow.load())
