"""The import rule of docs/architecture.md, checked on the source itself."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "hund_backend"

# What each part of the backend may import from the rest of it; every part may import itself.
BASE = {
    "atomic_write",
    "errors",
    "lens_metadata",
    "people_list",
    "progress",
    "reconstruction",
    "sources",
    "trained_network",
    "weights_file",
}
BODY = {"body", *BASE}
ALLOWED = {
    "errors": set(),
    "atomic_write": {"errors"},
    "lens_metadata": {"sources"},
    "people_list": {"atomic_write", "errors"},
    "progress": {"errors"},
    "reconstruction": {"atomic_write", "errors"},
    "body": BASE,
    "image_file": BASE,
    "sources": {"errors"},
    "trained_network": {"weights_file"},
    "weights_file": {"errors"},
    "video": {*BASE, "image_file"},
    "prior": BODY,
    "rendering": BODY,
    "perception": {*BODY, "video"},
    "device": {*BASE, "options"},
    "options": set(),
    "stopwatch": set(),
    "descent": {*BODY, "prior", "rendering", "perception"},
    "motion": {*BODY, "prior", "rendering", "perception", "descent"},
}
ROUTE = {*BODY, "video", "prior", "rendering", "perception", "descent", "motion"}
ALLOWED |= {
    "preview": {*BODY, "image_file", "video", "rendering"},
    "quick_look": {*BODY, "image_file", "options", "perception", "video"},
    "part_preview": {*BODY, "video", "rendering", "perception", "preview"},
    "provenance": {*BASE, "perception"},
    "pins": {*BODY, "descent"},
    "doctor": {*BODY, "prior", "perception", "descent", "motion", "provenance"},
    "models": {*ROUTE, "device", "options"},
    "tracked_clip": {*BASE, "options", "perception", "video"},
    "assembly": {*ROUTE, "models", "options", "provenance", "stopwatch", "tracked_clip"},
    "estimation": {*ROUTE, "assembly", "models", "options", "stopwatch", "tracked_clip"},
    "pipeline": {
        *ROUTE,
        "estimation",
        "models",
        "options",
        "provenance",
        "stopwatch",
        "tracked_clip",
    },
    "evidence_identity": {"errors"},
    "evidence_file": {
        *("atomic_write", "evidence_identity", "options", "perception", "tracked_clip", "video"),
        "errors",
    },
    "training": {*ROUTE, "pipeline", "models", "tracked_clip", "options", "stopwatch"},
    "evaluation": {
        *ROUTE,
        "estimation",
        "models",
        "pipeline",
        "options",
        "preview",
        "provenance",
        "stopwatch",
    },
}
ALLOWED["commands"] = {*ALLOWED, "stopwatch"}

# Modules of the backend that Blender's own process may import: it has neither torch nor cv2.
READ_IN_BLENDER = {
    "atomic_write",
    "body.file",
    "body.skeleton",
    "errors",
    "evidence_identity",
    "options",
    "people_list",
    "reconstruction",
    "sources",
    "weights_file",
}

FORBIDDEN = {
    "hund_backend/**/*.py": {"bpy", "mathutils", "operators", "panels", "bridge"},
    **{f"hund_backend/{name.replace('.', '/')}.py": {"torch", "cv2"} for name in READ_IN_BLENDER},
    "bridge/*.py": {"torch", "operators", "panels"},
    "operators/*.py": {"torch", "numpy", "hund_backend", "panels"},
    "panels/*.py": {"torch", "numpy", "hund_backend", "bridge"},
}


def imported_names(source: Path) -> set[str]:
    """First component of everything a file imports; relative imports resolved to the repository."""
    names = set()
    package = source.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            dotted = [*base, *((node.module or "").split(".") if node.module else [])]
            paths = [dotted] if node.module else [[*dotted, alias.name] for alias in node.names]
            names |= {path[0] for path in paths if path}
    return names


def backend_parts(source: Path) -> set[str]:
    """Parts of the backend that a file imports."""
    return {module.split(".")[0] for module in backend_modules(source)}


def backend_modules(source: Path) -> set[str]:
    """Modules of the backend that a file imports, as named below the backend."""
    modules = set()
    package = source.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            dotted = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            dotted = [[*module, alias.name] for alias in node.names]
        else:
            continue
        for path in dotted:
            if path[0] == "hund_backend" and len(path) > 1:
                # The last component may be a name in the module before it.
                known = len(path) == 2 or ROOT.joinpath(*path).with_suffix(".py").exists()
                modules.add(".".join(path[1:] if known else path[1:-1]))
    return modules - {"__version__"}


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_imports_follow_the_rule(pattern):
    for source in ROOT.glob(pattern):
        assert not imported_names(source) & FORBIDDEN[pattern], source


@pytest.mark.parametrize("part", ALLOWED)
def test_the_backend_depends_one_way(part):
    sources = [BACKEND / f"{part}.py", *(BACKEND / part).glob("**/*.py")]
    for source in filter(Path.exists, sources):
        assert backend_parts(source) <= {part, *ALLOWED[part]}, source


def test_every_part_of_the_backend_stands_in_the_rule():
    parts = {path.stem for path in BACKEND.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__init__", "__main__", "__pycache__", "weights"} <= set(ALLOWED)


def test_the_bridge_imports_only_what_blender_can_read():
    for source in ROOT.glob("bridge/*.py"):
        assert backend_modules(source) <= READ_IN_BLENDER, source


def test_the_extension_itself_imports_only_options():
    for source in ROOT.glob("*.py"):
        assert backend_modules(source) <= {"options"}, source


def renames_a_file(node: ast.AST) -> bool:
    """Whether a call is a rename: `Path.replace` has one argument, `str.replace` two."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    on_os = isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
    arguments = len(node.args) + len(node.keywords) - on_os
    return node.func.attr in {"rename", "replace"} and arguments == 1


def test_files_take_their_place_in_one_module():
    folders = ("hund_backend", "bridge", "operators", "panels", "tools", "benchmarks")
    for source in (path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")):
        nodes = list(ast.walk(ast.parse(source.read_text())))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        # safetensors' `save_file` would write to the target itself, and tell of errors otherwise.
        assert not names & {"save_file", "serialize_file", "NamedTemporaryFile", "mkstemp"}, source
        if source.name != "atomic_write.py":
            assert not any(map(renames_a_file, nodes)), source


@pytest.mark.parametrize("module", sorted(READ_IN_BLENDER))
def test_what_blender_reads_loads_neither_torch_nor_cv2(module):
    script = (
        f"import sys, hund_backend.{module}\n"
        "heavy = {'torch', 'cv2'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


# Which subpackages of a part each of them may import; "" stands for the files in the part's own
# folder. The learned descent and the fit do not know each other.
SUBPACKAGES = {
    "descent": {
        "": {""},
        "learned": {"", "learned"},
        "fit": {"", "fit"},
        "face": {"", "learned", "face"},
        "hands": {"", "learned", "hands"},
        "build": {"", "learned", "build"},
    },
    "training": {
        "": {""},
        "motion": {"", "motion"},
        "priors": {"", "motion", "priors"},
        "pictures": {"", "motion", "priors", "pictures"},
        "parts": {"", "motion", "priors", "pictures", "parts"},
        "hund": {"", "motion", "priors", "pictures", "parts", "hund"},
        "faces": {"", "faces"},
        "hands": {"", "motion", "priors", "pictures", "hands"},
        "builds": {"", "motion", "pictures", "hund", "builds"},
    },
}
COMBINING = {"tiny.py"}  # files that may import all subpackages of their part


def subpackage_of(part: str, module: str) -> str:
    """Subpackage of a module such as "descent.fit.energy"; "" in the part's own folder."""
    names = module.split(".")
    return names[1] if len(names) > 1 and names[1] in SUBPACKAGES[part] else ""


@pytest.mark.parametrize("part", SUBPACKAGES)
def test_subpackages_depend_one_way(part):
    for source in (BACKEND / part).glob("**/*.py"):
        folders = source.relative_to(BACKEND / part).parts[:-1]
        own = folders[0] if folders else ""
        modules = [name for name in backend_modules(source) if name.split(".")[0] == part]
        used = {subpackage_of(part, name) for name in modules}
        assert used <= SUBPACKAGES[part][own] or source.name in COMBINING, source


def test_imports_inside_the_backend_are_relative():
    for source in BACKEND.glob("**/*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert not node.module.startswith("hund_backend"), (source, node.lineno)
