"""Laws of what ships: all that can be reached from the extension, and nothing else."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hund_backend import doctor
from hund_backend.__main__ import COMMANDS
from hund_backend.perception.manifest import read_manifest
from tools import build_zip

ROOT = Path(__file__).parents[2]
NETWORKS = (doctor.PERCEPTION / "blazepose_heavy.safetensors").exists()
# Blender imports the first, runs the second in a process; the others are its commands.
ENTRIES = ("__init__.py", "hund_backend/__main__.py")
ENTRIES += tuple(f"hund_backend/commands/{name}.py" for name in COMMANDS)
BLENDERS_OWN = {"addon_utils", "blf", "bpy", "bpy_extras", "mathutils", "numpy", "pxr"}
DISTRIBUTIONS = {"cv2": "opencv-python-headless"}


def imports(file):
    """Dotted names that a file imports, from the root of the repository, and whether at once."""
    source = ROOT / file
    package = Path(file).parts[:-1]
    tree = ast.parse(source.read_text())
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [base, *([*base, alias.name] for alias in node.names)]
        else:
            continue
        for name in names:
            yield name, id(node) not in lazy


def files_of(name):
    """Files of the repository that importing a dotted name runs."""
    for length in range(1, len(name) + 1):
        path = Path(*name[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if (ROOT / file).is_file() and file.parts[0] not in ("tests", "tools", "benchmarks"):
                yield file.as_posix()


def reachable(*entries):
    """Files that entries import, and what those import, where there is only the extension."""
    found = set()
    waiting = [file for entry in entries for file in files_of(Path(entry).with_suffix("").parts)]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for name, at_once in imports(file):
            for imported in files_of(name):
                if build_zip.is_repository_only(imported):
                    assert not at_once, f"{file} cannot be imported without {imported}"
                else:
                    waiting.append(imported)
    return found


def requirements():
    return set((ROOT / "requirements" / "runtime.in").read_text().split())


def test_the_code_that_ships_is_the_code_that_can_be_reached():
    packed = {file for file in build_zip.packed_files() if file.endswith(".py")}
    found = reachable(*ENTRIES)
    assert packed - found == set(), "is packed and cannot be reached"
    assert found - packed == set(), "can be reached and is not packed"


def test_the_weights_that_ship_are_those_that_are_opened():
    """test_cli_provenance.py watches which are opened."""
    kinds = (".npz", ".safetensors", ".onnx")
    packed = {Path(file).name for file in build_zip.packed_files() if file.endswith(kinds)}
    assert packed == {*doctor.LOADERS, *read_manifest(doctor.PERCEPTION)}
    for name in packed & {name for name in doctor.LOADERS if name.endswith(".safetensors")}:
        description = f"hund_backend/weights/{Path(name).stem}.json"
        assert description in build_zip.packed_files()


def test_the_packages_that_are_asked_for_are_those_that_are_imported():
    ours = {"hund_backend", "bridge", "operators", "panels"}
    ours |= {Path(file).stem for file in build_zip.SOURCES}
    foreign = {
        name[0]
        for file in reachable(*ENTRIES)
        if file.startswith("hund_backend/")
        for name, _ in imports(file)
        if name and name[0] not in sys.stdlib_module_names
    }
    needed = {DISTRIBUTIONS.get(name, name) for name in foreign - ours}
    assert needed == {re.split("[=<>]", line)[0] for line in requirements()}
    assert needed == set(doctor.PACKAGES)


def test_blenders_process_needs_what_every_zip_brings():
    foreign = {
        name[0]
        for file in reachable("__init__.py")
        for name, at_once in imports(file)
        if name and not list(files_of(name)) and name[0] not in sys.stdlib_module_names
        # What the backend imports later, it imports in its own process.
        if at_once or not file.startswith("hund_backend/")
    }
    assert foreign <= build_zip.IN_BLENDER | BLENDERS_OWN


def test_what_the_light_zip_asks_for_is_in_it():
    assert "requirements/runtime.in" in build_zip.packed_files()
    readme = (ROOT / "README.md").read_text()
    lists = re.findall(r"pip install (torch.*)", readme)
    assert lists and all(set(line.split()) == requirements() for line in lists)
    assert "requirements/runtime.in" in readme
    backend = (ROOT / "bridge" / "backend.py").read_text()
    assert 'ROOT / "requirements" / "runtime.in"' in backend


def test_the_doctor_names_what_is_there(monkeypatch, tmp_path):
    assert "make setup" in doctor.advice()  # a checkout
    monkeypatch.setattr(doctor, "ROOT", tmp_path)  # an installed extension has no Makefile
    assert str(tmp_path / "requirements" / "runtime.in") in doctor.advice()


@pytest.fixture
def extension(tmp_path):
    """The files of the zips, laid out, with the packages of this interpreter."""
    for file in build_zip.packed_files():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).symlink_to(ROOT / file)

    def run(*arguments):
        command = [sys.executable, "-m", "hund_backend", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_what_needs_the_repository_says_so(extension, tmp_path):
    answer = extension("evaluate", tmp_path)
    assert answer.returncode == 2 and "checkout" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.weights
@pytest.mark.skipif(not NETWORKS, reason="run 'make setup' to fetch the networks")
def test_what_ships_is_enough(extension, tmp_path):
    answer = extension("doctor")
    assert answer.stdout.splitlines()[-1] == "Ready.", answer.stdout
    clip = ROOT / "tests" / "data" / "walker.mp4"
    answer = extension("reconstruct", clip, "--output", tmp_path, "--end", 1, "--preview")
    assert answer.returncode == 0, answer.stderr
    assert {path.name for path in tmp_path.glob("walker*")} == {
        "walker.npz",
        "walker_overlay.mp4",
        "walker_sheet.png",
    }


def test_nothing_of_training_and_measuring_ships():
    for file in build_zip.packed_files():
        assert not re.search(r"(^|/)(tests|docs|benchmarks|tools|training|evaluation)/", file)
        assert "__pycache__" not in file and not Path(file).name.startswith(".")
    for pattern in build_zip.REPOSITORY_ONLY:
        assert list(ROOT.glob(pattern)), f"{pattern} names nothing"
