"""No file with foreign content without a row in docs/data.md."""

import hashlib
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
KINDS = (".npz", ".safetensors", ".mp4", ".jpg", ".tflite", ".onnx", ".blend", ".bvh")
ROWS = (ROOT / "docs" / "data.md").read_text().splitlines()


def row_of(name: str) -> str:
    rows = [row for row in ROWS if row.startswith(f"| `{name}`")]
    assert len(rows) == 1, f"{name} needs one row in docs/data.md"
    return rows[0]


def test_every_data_file_has_a_row_with_its_hash():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(lambda name: name.endswith(KINDS), tracked.stdout.splitlines()):
        digest = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
        assert digest in row_of(name), f"docs/data.md has another hash than {digest} for {name}"


def test_every_fetched_network_has_a_row():
    manifest = ROOT / "hund_backend" / "weights" / "perception" / "manifest.json"
    for entry in json.loads(manifest.read_text())["files"]:
        row = row_of(f"{Path(entry['file']).stem}.safetensors")  # one row for both forms
        assert entry["version"] in row
        assert entry["licence"] in row
