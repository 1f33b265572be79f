"""The official mediapipe, in its own environment: the reference for perception."""

import subprocess
import sys
import tarfile
from pathlib import Path

from hund_backend.atomic_write import write_file
from tools.cache import cache_folder
from tools.fetch_models import POSE, fetch_archive

REQUIREMENTS = ("mediapipe==0.10.21", "numpy==1.26.4", "jax==0.7.1", "jaxlib==0.7.1")
HEAVY = "pose_landmark_heavy.tflite"
SCRIPT = Path(__file__).with_name("mediapipe_landmarks.py")


def official_python() -> Path:
    """Return a Python with mediapipe 0.10.21 and its heavy network; made on first use."""
    environment = cache_folder() / "mediapipe-0.10.21"
    python = environment / "bin" / "python"
    if not (environment / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS], check=True)
        _install_heavy_network(environment)
        (environment / "complete").touch()
    return python


def command(clip: Path, frames: int, complexity: int) -> list[str]:
    """Return the command that measures mediapipe's landmarks on a clip."""
    return [str(official_python()), str(SCRIPT), str(clip), str(frames), str(complexity)]


def _install_heavy_network(environment: Path) -> None:
    """Put the network of complexity 2 where mediapipe looks before it downloads."""
    (package,) = environment.glob("lib/python*/site-packages/mediapipe/modules/pose_landmark")
    with tarfile.open(fetch_archive(POSE, cache_folder())) as archive:
        content = archive.extractfile(f"package/{HEAVY}").read()
    write_file(package / HEAVY, content)
