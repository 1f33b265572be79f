"""Check of the installation: packages, device, weights. Works where packages are missing, too."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from .errors import HundError
from .perception.manifest import is_intact, read_manifest
from .weights_file import WEIGHTS, sha256_of

ROOT = Path(__file__).parents[1]  # the checkout or the installed extension
PERCEPTION = WEIGHTS / "perception"

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "av",
    "onnxruntime",
    "roma",
    "safetensors",
    "jaxtyping",
    "tqdm",
)

_MODULES = {"opencv-python-headless": "cv2"}  # of packages whose module has another name


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
    findings += [_weights(name, load) for name, load in LOADERS.items()]
    try:
        entries = read_manifest(PERCEPTION)
    except HundError as error:
        return [*findings, Finding(name="networks", state=str(error), ok=False)]
    for name, entry in entries.items():
        intact = is_intact(PERCEPTION / name, entry)
        state = f"sha256 {entry.sha256[:16]}…" if intact else "missing or damaged"
        findings.append(Finding(name=name, state=state, ok=intact))
    return findings


def advice() -> str:
    """Return what to do where something is missing, one sentence."""
    if (ROOT / "Makefile").is_file():
        return "Run 'make setup'."
    return (
        f"Run 'pip install -r {ROOT / 'requirements' / 'runtime.in'}' for missing packages, "
        "install the extension again for missing weights."
    )


def _package(name: str) -> Finding:
    try:
        return Finding(name=name, state=metadata.version(name))
    except metadata.PackageNotFoundError:
        if find_spec(_MODULES.get(name, name)):
            return Finding(name=name, state="another build")
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
    return Finding(name=name, state=f"sha256 {sha256_of(WEIGHTS / name)[:16]}…")


def _body() -> object:
    from .body.file import load_body_file

    return load_body_file()


def _prior() -> object:
    from .prior.pose_flow import PoseFlow

    return PoseFlow.load()


def _dynamics() -> object:
    from .prior.dynamics import Dynamics
    from .prior.pose_flow import PoseFlow

    return Dynamics.load(PoseFlow.load())


def _hund() -> object:
    from .body.model import BodyModel
    from .descent.learned.hund import Hund
    from .prior.pose_flow import PoseFlow

    return Hund.load(BodyModel.load("keypoints"), PoseFlow.load())


def _hand_prior() -> object:
    from .prior.pose_flow import HAND_WEIGHTS_FILE, PoseFlow

    return PoseFlow.load(HAND_WEIGHTS_FILE)


def _hand_hund() -> object:
    from .descent.hands.hund import HandHund

    return HandHund.load()


def _contacts() -> object:
    from .motion.contact_network import ContactNetwork

    return ContactNetwork.load()


def _build() -> object:
    from .descent.build.network import BuildNetwork

    return BuildNetwork.load()


def _face() -> object:
    from .descent.face.model import FaceModel

    return FaceModel.load()


def _face_hund() -> object:
    from .descent.face.hund import FaceHund

    return FaceHund.load()


def _face_visibility() -> object:
    from .perception.face.visibility import FaceVisibility

    return FaceVisibility.load()


def _part_head() -> object:
    from .perception.part_head import PartHead

    return PartHead.load()


LOADERS = {  # of the weights that this project made
    "body.npz": _body,
    "pose_flow.safetensors": _prior,
    "dynamics.safetensors": _dynamics,
    "hund.safetensors": _hund,
    "hand_flow.safetensors": _hand_prior,
    "hand_hund.safetensors": _hand_hund,
    "contacts.safetensors": _contacts,
    "build.safetensors": _build,
    "part_head.safetensors": _part_head,
    "face.npz": _face,
    "face_hund.safetensors": _face_hund,
    "face_visibility.safetensors": _face_visibility,
}
