"""The import rule of docs/architecture.md, checked on the source itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BACKEND = ROOT / "hund_backend"

# What each part of the backend may import from the rest of it; every part may import itself.
BASE = {"errors", "progress", "reconstruction", "sources", "weights_file"}
BODY = {"body", *BASE}
ALLOWED = {
    "errors": set(),
    "progress": {"errors"},
    "reconstruction": {"errors"},
    "body": BASE,
    "picture": BASE,
    "sources": {"errors"},
    "weights_file": {"errors"},
    "video": {*BASE, "picture"},
    "prior": BODY,
    "rendering": BODY,
    "perception": {*BODY, "video"},
    "device": BASE,
    "options": set(),
    "stopwatch": set(),
    "descent": {*BODY, "prior", "rendering", "perception"},
    "motion": {*BODY, "prior", "rendering", "perception", "descent"},
}
ROUTE = {*BODY, "video", "prior", "rendering", "perception", "descent", "motion"}
ALLOWED |= {
    "preview": {*BODY, "video", "rendering"},
    "part_preview": {*BODY, "video", "rendering", "perception", "preview"},
    "provenance": {*BASE, "perception"},
    "doctor": {*BODY, "prior", "perception", "descent", "provenance"},
    "pipeline": {*ROUTE, "device", "options", "provenance", "stopwatch"},
    "training": {*ROUTE, "pipeline"},
    "evaluation": {*ROUTE, "pipeline", "options", "preview", "provenance", "stopwatch"},
}
ALLOWED["commands"] = {*ALLOWED, "stopwatch"}

FORBIDDEN = {
    "hund_backend/**/*.py": {"bpy", "mathutils", "operators", "panels", "bridge"},
    "hund_backend/reconstruction.py": {"torch"},
    "hund_backend/sources.py": {"torch", "cv2"},
    "hund_backend/body/file.py": {"torch", "cv2"},
    "hund_backend/body/skeleton.py": {"torch", "cv2"},
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


def test_the_bridge_reads_files_and_leaves_the_work_to_the_job():
    # Blender's process has neither torch nor cv2; what the bridge reads there imports neither.
    read = {"errors", "reconstruction", "sources", "body.file", "body.skeleton"}
    for source in ROOT.glob("bridge/*.py"):
        assert backend_modules(source) <= read, source
