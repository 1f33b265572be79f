"""The networks' runtime leaves no traces in the user's home."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_loading_the_engine_writes_nothing_into_the_users_home(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(
        [sys.executable, "-c", "import hund_backend.perception.engine"],
        cwd=ROOT,
        env=kept | home,
        check=True,
    )
    assert not list(tmp_path.rglob("*"))
