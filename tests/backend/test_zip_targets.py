"""Laws of the zips for other systems: wheels are chosen, slimmed and checked by tags and imports."""

import csv
import hashlib
import importlib.util
import io
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from tools import build_zip, check_zip, fetch_wheels, slim_wheels
from tools.zip_targets import TARGETS, Target

LINUX = Target(system="linux-x64", python=(3, 11))
WINDOWS = Target(system="windows-x64", python=(3, 13))
MACOS = Target(system="macos-arm64", python=(3, 11))
PURE, WIN, MAC = "py3-none-any", "cp313-cp313-win_amd64", "cp311-cp311-macosx_14_0_arm64"


def write_wheel(folder, name, files, tag=PURE, needs=(), python=">=3.9"):
    """Write a wheel; returns its path."""
    info = f"{name}-1.0.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in needs)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Python: {python}\n"
    files = {
        **files,
        f"{info}/METADATA": metadata + needs,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nTag: {tag}\n",
    }
    rows = [
        f"{path},sha256={_digest(content.encode())},{len(content)}"
        for path, content in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    path = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, content in files.items():
            archive.writestr(inner, content)
    return path


def _digest(content):
    return urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_each_target_takes_its_own_wheels_only(target):
    wheels = {
        ("linux-x64", (3, 11)): "numpy-2-cp311-cp311-manylinux_2_28_x86_64.whl",
        ("linux-x64", (3, 13)): "numpy-2-cp313-cp313-manylinux2014_x86_64.whl",
        ("windows-x64", (3, 11)): "numpy-2-cp311-cp311-win_amd64.whl",
        ("windows-x64", (3, 13)): "numpy-2-cp313-cp313-win_amd64.whl",
        ("macos-arm64", (3, 11)): "numpy-2-cp311-cp311-macosx_11_0_arm64.whl",
        ("macos-arm64", (3, 13)): "numpy-2-cp313-cp313-macosx_10_13_universal2.whl",
    }
    taken = [
        key
        for key, wheel in wheels.items()
        if fetch_wheels.parse_wheel_filename(wheel)[3] & target.tags
    ]
    assert taken == [(target.system, target.python)]
    newer = fetch_wheels.parse_wheel_filename("numpy-2-cp311-cp311-macosx_15_0_arm64.whl")[3]
    assert not newer & target.tags  # of a macOS that the users may not have
    for tag in ("py3-none-any", "py2.py3-none-any"):
        assert fetch_wheels.parse_wheel_filename(f"tqdm-4-{tag}.whl")[3] & target.tags


def test_names_of_the_zips_tell_system_and_blender():
    names = {target.name for target in TARGETS}
    assert len(names) == len(TARGETS) == 6
    assert {name.split("-blender-")[1] for name in names} == {"4.2-to-5.0", "5.1-and-later"}
    assert {*names, "light"} == set(build_zip.KINDS)


def test_packages_that_one_system_needs_are_locked():
    """tqdm needs colorama on Windows alone, which the machine that builds may not be."""
    assert {"colorama", "torch", "av"} <= set(fetch_wheels.locked_versions())


@pytest.mark.parametrize(("target", "needed"), [(LINUX, False), (WINDOWS, True), (MACOS, False)])
def test_a_target_gets_what_its_markers_ask_for(tmp_path, target, needed, monkeypatch):
    bar = write_wheel(tmp_path, "bar", {}, needs=['baz; platform_system == "Windows"'])
    names = tmp_path / "runtime.in"
    names.write_text("bar\n")
    monkeypatch.setattr(fetch_wheels, "NAMES", names)
    found = {"bar": bar, "baz": write_wheel(tmp_path, "baz", {})}
    assert fetch_wheels._needed(found, target) == ({"bar", "baz"} if needed else {"bar"})
    if needed:
        with pytest.raises(fetch_wheels.MissingWheelError, match="baz"):
            fetch_wheels._needed({"bar": bar}, target)


@pytest.mark.parametrize("kind", list(build_zip.KINDS))
def test_manifests_admit_the_blenders_of_the_zips_name(kind):
    target = build_zip.KINDS[kind]
    text = build_zip._manifest(
        (build_zip.ROOT / "blender_manifest.toml").read_text(),
        [Path("a-1-py3-none-any.whl")],
        target,
    )
    manifest = check_zip.tomllib.loads(text)
    assert manifest["wheels"] == ["./wheels/a-1-py3-none-any.whl"]
    limits = manifest["blender_version_min"], manifest.get("blender_version_max")
    if target is None:
        assert limits == ("4.2.0", None) and "platforms" not in manifest
    else:
        first = ("4.2.0", "5.1.0"), ("5.1.0", None)
        assert limits == first[target.python == (3, 13)]
        assert manifest["platforms"] == [target.system]


def test_slim_wheels_lack_tests_and_list_what_they_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(slim_wheels, "cache_folder", lambda: tmp_path / "cache")
    files = {
        "bar/__init__.py": "pass\n" * 500,
        "bar/tests/test_bar.py": "pass\n",
        "torch/bin/protoc": "x",
        "torch/bin/torch_shm_manager": "x",
    }
    slim = slim_wheels.slim(write_wheel(tmp_path, "bar", files))
    with zipfile.ZipFile(slim) as archive:
        assert archive.testzip() is None
        record = archive.read("bar-1.0.dist-info/RECORD").decode()
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(record))}
        assert set(rows) == set(archive.namelist())
        assert {"bar/__init__.py", "torch/bin/torch_shm_manager"} < set(rows)
        assert not {"bar/tests/test_bar.py", "torch/bin/protoc"} & set(rows)
        for name, (digest, size) in rows.items():
            if digest:
                content = archive.read(name)
                assert (digest, int(size)) == (f"sha256={_digest(content)}", len(content))
    assert slim_wheels.slim(tmp_path / slim.name) == slim  # made once


def test_license_texts_with_long_paths_are_gathered(tmp_path, monkeypatch):
    monkeypatch.setattr(slim_wheels, "cache_folder", lambda: tmp_path / "cache")
    folder = "bar-1.0.dist-info/licenses/"
    long = [f"{folder}third_party/{'deep/' * 25}{name}/LICENSE" for name in ("a", "b")]
    files = {"bar.py": "", f"{folder}LICENSE": "ours", long[0]: "yours", long[1]: "theirs"}
    with zipfile.ZipFile(slim_wheels.slim(write_wheel(tmp_path, "bar", files))) as archive:
        names = archive.namelist()
        assert max(map(len, names)) <= slim_wheels.LONGEST
        assert archive.read(f"{folder}LICENSE") == b"ours"
        [gathered] = [name for name in names if "GATHERED" in name]
        text = archive.read(gathered).decode()
        assert all(each in text for each in (*long, "yours", "theirs"))
        record = archive.read("bar-1.0.dist-info/RECORD").decode()
        rows = {row[0]: row[1] for row in csv.reader(io.StringIO(record))}
        assert set(rows) == set(names)
        assert rows[gathered] == f"sha256={_digest(text.encode())}"


@pytest.mark.parametrize(
    ("length", "target", "fits"), [(130, WINDOWS, True), (140, WINDOWS, False), (140, MACOS, True)]
)
def test_paths_must_not_be_too_long_for_windows(tmp_path, length, target, fits):
    name = "bar/" + "x" * (length - 7) + ".py"
    found = check(tmp_path, {"bar/__init__.py": "", name: ""}, target)
    assert any("too long for Windows" in each for each in found) != fits


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF is Linux's format")
def test_libraries_load_without_their_symbols(tmp_path):
    library = Path(importlib.util.find_spec("markupsafe._speedups").origin)
    content = library.read_bytes()
    short = slim_wheels.without_symbols(content)
    assert len(short) < len(content)
    assert slim_wheels.without_symbols(short) == short
    (tmp_path / library.name).write_bytes(short)
    code = "import _speedups; print(_speedups.__file__, _speedups._escape_inner('<'))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(tmp_path / library.name), "&lt;"]
    assert slim_wheels.without_symbols(b"MZ no ELF") == b"MZ no ELF"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF is Linux's format")
def test_large_libraries_are_read_back_by_zipfile(tmp_path, monkeypatch):
    monkeypatch.setattr(slim_wheels, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(slim_wheels, "_LARGE", 1)
    library = Path(importlib.util.find_spec("markupsafe._speedups").origin).read_bytes()
    wheel = write_wheel(tmp_path, "bar", {"bar.py": "pass\n"})
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("bar/fast.so", library)
    with zipfile.ZipFile(slim_wheels.slim(wheel)) as archive:
        assert archive.testzip() is None
        assert archive.getinfo("bar/fast.so").compress_type == zipfile.ZIP_LZMA
        assert archive.getinfo("bar.py").compress_type == zipfile.ZIP_DEFLATED
        assert archive.read("bar/fast.so") == slim_wheels.without_symbols(library)
        archive.extractall(tmp_path / "installed")
    assert (tmp_path / "installed" / "bar.py").read_text() == "pass\n"


def write_zip(folder, packed, target, backend="import bar\n", **changes):
    """Write a zip with a backend of one file."""
    manifest = {
        "wheels": [f"./wheels/{wheel.name}" for wheel in packed],
        "platforms": [target.system],
    }
    if target.python == (3, 11):
        manifest["blender_version_max"] = "5.1.0"
    text = "".join(f"{key} = {value!r}\n" for key, value in {**manifest, **changes}.items())
    path = folder / f"hund-0-{target.name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("blender_manifest.toml", text)
        archive.writestr("requirements/runtime.in", "bar\n")
        archive.writestr("hund_backend/__init__.py", backend)
        for wheel in packed:
            archive.write(wheel, f"wheels/{wheel.name}")
    return path


def check(folder, files, target=WINDOWS, backend="import bar\n", others=(), **wheel):
    wheels = [write_wheel(folder, "bar", files, **wheel), *others]
    return check_zip.problems(write_zip(folder, wheels, target, backend), target)


def test_a_complete_zip_has_no_problems(tmp_path):
    files = {
        "bar/__init__.py": "from . import inner\nfrom ._fast import f\nimport json, winreg\n",
        "bar/inner.py": "try:\n    import fcntl\nexcept ImportError:\n    fcntl = None\n",
        "bar/_fast.cp313-win_amd64.pyd": "",
        "bar/_fast.py": "import cython\n",  # which is compiled
    }
    backend = "import bar._fast\nfrom bar.inner import fcntl\n\ndef f():\n    import bar.inner\n"
    assert check(tmp_path, files, tag=WIN, backend=backend) == []


@pytest.mark.parametrize(
    ("files", "wheel", "target", "sentence"),
    [
        ({}, {"tag": MAC}, WINDOWS, "not for windows"),
        ({}, {"needs": ["baz"]}, WINDOWS, "baz is missing"),
        ({}, {"needs": ['baz; sys_platform == "win32"']}, WINDOWS, "baz is missing"),
        ({}, {"needs": ["bar>=2"]}, WINDOWS, "bar is 1.0"),
        ({}, {"python": ">=3.12"}, MACOS, "needs Python"),
        ({"bar/__init__.py": "import baz\n"}, {}, WINDOWS, "imports baz"),
        ({"bar/__init__.py": "from .tests import x\n"}, {}, WINDOWS, "imports bar.tests"),
        ({"bar/__init__.py": "import fcntl\n"}, {}, WINDOWS, "imports fcntl"),
        ({"bar/__init__.py": "import winreg\n"}, {}, MACOS, "imports winreg"),
        ({"bar/__init__.py": "import imp\n"}, {}, WINDOWS, "imports imp"),
        (
            {"bar/__init__.py": "from . import _a\nimport bar._a\n", "bar/_a.abi3.so": ""},
            {},
            WINDOWS,
            "bar._a",
        ),
        ({"other.py": ""}, {}, WINDOWS, "imports bar"),
    ],
)
def test_what_would_fail_is_a_sentence(tmp_path, files, wheel, target, sentence):
    if not files:
        files = {"bar/__init__.py": ""}
    found = check(tmp_path, files, target, **wheel)
    assert any(sentence in each for each in found), found


def test_the_manifest_is_checked(tmp_path):
    wheel = write_wheel(tmp_path, "bar", {"bar.py": ""})
    for changes, sentence in (
        ({"platforms": ["macos-arm64"]}, "systems"),
        ({"wheels": []}, "other wheels"),
        ({"blender_version_max": "5.1.0"}, "another Python"),
    ):
        found = check_zip.problems(write_zip(tmp_path, [wheel], WINDOWS, **changes), WINDOWS)
        assert any(sentence in each for each in found), found
