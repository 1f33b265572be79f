"""Check a zip as its own system's pip and Python would: `python -m tools.check_zip ZIP …`.

By tags and metadata of the wheels inside, and by the imports of the code inside; nothing is run, so
that zips of other systems can be checked, too.
"""

import argparse
import ast
import io
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.tags import parse_tag
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from .lock_runtime import EXCLUDED
from .wheel_metadata import metadata_of, requirements_of
from .zip_targets import PYTHONS, TARGETS, Target

# Where Blender on Windows installs extensions and their wheels, with the longest name of a user.
WINDOWS_FOLDER = (
    "C:\\Users\\" + 20 * "u" + "\\AppData\\Roaming\\Blender Foundation\\Blender\\4.2\\extensions\\"
)
WHEELS_FOLDER = ".local\\lib\\python3.11\\site-packages\\"
OWN_FOLDER = "user_default\\hund@\\"  # its name while it is installed
LONGEST_PATH = 259  # characters, on Windows unless its users have changed that
BACKEND = "hund_backend"
PACKAGES = "packages"  # folder with unpacked wheels
# Modules of the standard library that are not everywhere.
_REMOVED = frozenset(
    {"aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils"}
    | {"imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes"}
    | {"smtpd", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib"}
)
_POSIX = frozenset({"curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource"})
_POSIX |= {"syslog", "termios", "tty"}
_WINDOWS = frozenset({"_winapi", "msvcrt", "nt", "winreg", "winsound"})


def problems(path: Path, target: Target) -> list[str]:
    """Return what keeps a zip from running on its target, in sentences.

    Args:
        path: of the zip.
        target: that it was built for.
    """
    with zipfile.ZipFile(path) as archive:
        contents = _Contents(archive)
        found = [*_manifest_problems(archive, target), *_wheel_problems(contents, target)]
        if target.system == "windows-x64":
            found += _path_problems(archive, contents)
        return found or [*_requirement_problems(contents, target), *_Imports(contents, target)]


class _Contents:
    """Files of a zip and of the wheels in it, as they lie once they are installed."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.wheels: dict[str, zipfile.ZipFile] = {}  # by the names of their files
        self._places: dict[str, tuple[zipfile.ZipFile, str]] = {}
        for name in archive.namelist():
            if name.startswith("wheels/") and name.endswith(".whl"):
                wheel = zipfile.ZipFile(io.BytesIO(archive.read(name)))  # seeking in it is slow
                self.wheels[PurePosixPath(name).name] = wheel
                self._places |= {inner: (wheel, inner) for inner in wheel.namelist()}
            elif name.startswith(f"{PACKAGES}/"):
                self._places[name.removeprefix(f"{PACKAGES}/")] = (archive, name)
            elif name.startswith((f"{BACKEND}/", "requirements/")):
                self._places[name] = (archive, name)

    @cached_property
    def files(self) -> frozenset[str]:
        """Paths of all files, as in the folder of packages."""
        return frozenset(self._places)

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        archive, place = self._places[name]
        return archive.read(place)

    def distributions(self) -> Iterator[tuple[zipfile.ZipFile, str]]:
        """Yield archive and dist-info folder of each package."""
        for name in self.files:
            if name.endswith(".dist-info/METADATA"):
                archive, place = self._places[name]
                yield archive, place.removesuffix("/METADATA")


def _manifest_problems(archive: zipfile.ZipFile, target: Target) -> Iterator[str]:
    manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
    listed = {PurePosixPath(wheel).name for wheel in manifest["wheels"]}
    inside = {PurePosixPath(n).name for n in archive.namelist() if n.endswith(".whl")}
    if listed != inside:
        yield f"The manifest lists other wheels than there are: {sorted(listed ^ inside)}."
    if manifest["platforms"] != [target.system]:
        yield f"The manifest names the systems {manifest['platforms']}."
    is_first = target.python == PYTHONS[0]
    if ("blender_version_max" in manifest) != is_first:
        yield "The manifest admits Blenders with another Python."


def _wheel_problems(contents: _Contents, target: Target) -> Iterator[str]:
    """Yield wheels that pip would refuse on the target."""
    for name in contents.wheels:
        if not parse_wheel_filename(name)[3] & target.tags:
            yield f"{name} is not for {target.name}."
    for archive, folder in contents.distributions():
        wheel = metadata_of(archive, "WHEEL", folder)
        tags = {tag for line in wheel.get_all("Tag", ()) for tag in parse_tag(line)}
        if not tags & target.tags:
            yield f"{folder} says that it is for {sorted(map(str, tags))}."


def _path_problems(archive: zipfile.ZipFile, contents: _Contents) -> Iterator[str]:
    """Yield files that Windows cannot write where Blender installs them."""
    own = (OWN_FOLDER + name for name in archive.namelist())
    packed = (WHEELS_FOLDER + n for wheel in contents.wheels.values() for n in wheel.namelist())
    for path in (*own, *packed):
        if len(WINDOWS_FOLDER + path) > LONGEST_PATH:
            yield f"The path of {path} is too long for Windows."


def _requirement_problems(contents: _Contents, target: Target) -> Iterator[str]:
    """Yield requirements that no package inside satisfies."""
    python = Version(".".join(map(str, target.python)) + ".9")
    found, pending = {}, []
    for archive, folder in contents.distributions():
        metadata = metadata_of(archive, folder=folder)
        found[canonicalize_name(metadata["Name"])] = Version(metadata["Version"])
        pending += requirements_of(metadata, target)
        wanted = Requirement(f"python{metadata.get('Requires-Python') or ''}").specifier
        if not wanted.contains(python):
            yield f"{metadata['Name']} needs Python {wanted}."
    pending += map(Requirement, contents.read("requirements/runtime.in").decode().split())
    for requirement in pending:
        name = canonicalize_name(requirement.name)
        if name in EXCLUDED:
            continue
        if name not in found:
            yield f"{name} is missing."
        elif not requirement.specifier.contains(found[name], prereleases=True):
            yield f"{name} is {found[name]}, but {requirement.specifier} is asked for."


class _Imports:
    """Imports that cannot be satisfied: all of the backend, and those of what it imports at once."""

    def __init__(self, contents: _Contents, target: Target) -> None:
        self._contents, self._suffixes = contents, target.extension_suffixes
        foreign = _WINDOWS if target.system != "windows-x64" else _POSIX
        removed = _REMOVED if target.python != PYTHONS[0] else frozenset()
        self._standard = sys.stdlib_module_names - foreign - removed
        self._folders = {
            str(parent) for name in contents.files for parent in PurePosixPath(name).parents
        }

    def __iter__(self) -> Iterator[str]:
        """Yield a sentence on each import that fails."""
        pending = {name for name in self._contents.files if name.startswith(f"{BACKEND}/")}
        pending = {name for name in pending if name.endswith(".py")}
        done = set(pending)
        while pending:
            name = pending.pop()
            is_ours = name.startswith(f"{BACKEND}/")
            for module, optional in _imports_of(
                name, self._contents.read(name), everything=is_ours
            ):
                files = self._files_of(module)
                # What of the backend is packed, tests/backend/test_zip.py compares.
                if files is None and not optional and not module.startswith(BACKEND):
                    yield f"{name} imports {module}, which is not inside."
                new = {file for file in files or () if file.endswith(".py")} - done
                pending |= new
                done |= new

    def _files_of(self, module: str) -> list[str] | None:
        """Return the files that importing a module runs; None if it cannot be found."""
        parts = module.split(".")
        if parts[0] in self._standard:
            return []
        found: list[str] = []
        for length in range(1, len(parts) + 1):
            path = "/".join(parts[:length])
            places = [f"{path}/__init__", path]
            # Of a compiled and a written module of one name, Python takes the compiled one.
            endings = (*self._suffixes, ".py")
            candidates = [place + ending for place in places for ending in endings]
            file = next((each for each in candidates if each in self._contents.files), None)
            if file is None and path not in self._folders:
                # Compiled modules have submodules that no file shows.
                is_within_compiled = bool(found) and not found[-1].endswith(".py")
                return found if is_within_compiled else None
            found += [file] if file else []
        return found


def _imports_of(name: str, source: bytes, *, everything: bool) -> Iterator[tuple[str, bool]]:
    """Yield the modules that a file imports, and whether it goes on without them.

    Args:
        name: path of the file.
        source: its content.
        everything: also what functions and branches import.
    """
    package = PurePosixPath(name).parent.parts
    tree = ast.parse(source)
    statements = ast.walk(tree) if everything else _at_once(tree)
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from ((alias.name, False) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = package[: len(package) - statement.level + 1] if statement.level else ()
            module = ".".join([*base, *([statement.module] if statement.module else [])])
            yield module, False
            yield from ((f"{module}.{alias.name}", True) for alias in statement.names)


def _at_once(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run whenever a module is imported."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        statement = waiting.pop()
        yield statement
        if isinstance(statement, ast.ClassDef | ast.With):
            waiting += statement.body


def main() -> int:
    """Check zips by their names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("zips", nargs="+", type=Path, metavar="ZIP")
    code = 0
    for path in parser.parse_args().zips:
        target = next((each for each in TARGETS if path.stem.endswith(each.name)), None)
        if target is None:
            print(f"{path.name}: carries no packages of a system.")
            continue
        found = problems(path, target)
        code |= bool(found)
        print(f"{path.name}: {' '.join(found) or 'complete.'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
