"""What determines an artifact, and where one is found."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from clockwork_triton.artifact.cache import ArtifactCache
from converters import nvcc
from converters.key import find, key_of, origin
from converters.request import ConversionRequest
from tests.converters import models
from tests.converters.models import saved
from tests.worker import tiny


def _compiler(directory: Path, version: str, changed_s: int) -> Path:
    """An nvcc that only tells its version, and counts how often it is asked."""
    path = directory / "nvcc"
    path.write_text(
        f"#!/bin/sh\necho asked >> {directory}/asked\n"
        f"echo 'Cuda compilation tools, release {version.rpartition('.')[0]}, V{version}'\n"
    )
    path.chmod(0o755)
    os.utime(path, (changed_s, changed_s))
    return path


@pytest.fixture
def request_(tmp_path: Path) -> ConversionRequest:
    path = saved(models.sum_and_difference(), tmp_path)
    return ConversionRequest(path, "m", 2, (1, 2), target="cuda", arch="sm_90")


def _publish(cache: ArtifactCache, key: str) -> None:
    with cache.building(key) as directory:
        manifest = replace(tiny.manifest(), segments=())
        (directory / "manifest.json").write_text(manifest.to_json())
        for name in ("weights.bin", manifest.kernels_file):
            (directory / name).write_bytes(b"")


def test_another_compiler_makes_another_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: ConversionRequest
) -> None:
    monkeypatch.setattr(nvcc, "find_compiler", lambda: str(tmp_path / "nvcc"))
    _compiler(tmp_path, "13.0.88", 1000)
    first = origin(request_)
    assert first == origin(request_)
    assert first["nvcc"] == "13.0.88"
    assert (tmp_path / "asked").read_text().count("asked") == 1
    _compiler(tmp_path, "12.8.93", 2000)
    second = origin(request_)
    assert second["nvcc"] == "12.8.93"
    assert key_of(first) != key_of(second)
    assert "nvcc" not in origin(replace(request_, target="cpu", arch=""))


def test_without_a_compiler_what_was_made_elsewhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: ConversionRequest
) -> None:
    monkeypatch.setattr(nvcc, "find_compiler", lambda: None)
    here = origin(request_)
    assert here["nvcc"] == ""
    cache = ArtifactCache(tmp_path / "cache")
    assert find(cache, here) is None
    for version in ("12.8.93", "13.0.88", "9.9.9"):
        _publish(cache, key_of({**here, "nvcc": version}))
    assert find(cache, here) == cache.root / key_of({**here, "nvcc": "13.0.88"})
    assert find(cache, {**here, "nvcc": "12.8.93"}) == cache.root / key_of({**here, "nvcc": "12.8.93"})
    assert find(cache, {**here, "nvcc": "13.1.0"}) is None


def test_of_what_was_made_elsewhere_the_newest_that_is_whole_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: ConversionRequest
) -> None:
    monkeypatch.setattr(nvcc, "find_compiler", lambda: None)
    here = origin(request_)
    cache = ArtifactCache(tmp_path / "cache")
    versions = ("12.4.131", "12.8.93", "13.0.88", "13.0.88.bak", "13.1.0-copy", "x", "")
    keys = {version: f"{key_of(here)}-nvcc-{version}" for version in versions}
    for key in keys.values():
        _publish(cache, key)
    for version in ("13.0.88", "12.8.93", "12.4.131"):
        assert find(cache, here) == cache.root / keys[version]
        (cache.root / keys[version] / "weights.bin").unlink()
    assert find(cache, here) is None
    assert (cache.root / keys["13.0.88.bak"]).exists()
