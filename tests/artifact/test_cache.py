from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clockwork_triton.artifact.cache import ArtifactCache
from clockwork_triton.artifact.manifest import Manifest, Segment
from clockwork_triton.datatypes import TensorSpec

KEY = "0123456789abcdef0123456789abcdef"


def write_artifact(directory: Path, name: str = "m") -> None:
    tensor = TensorSpec("x", "float32", (1,))
    manifest = Manifest(name, "cpu", 0, (tensor,), (tensor,), 4096, (Segment(0, 8, 1),), {}, {})
    (directory / "weights.bin").write_bytes(bytes(8))
    (directory / "kernels.so").write_bytes(b"")
    (directory / "manifest.json").write_text(manifest.to_json())


def test_what_was_built_is_found(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache")
    assert cache.find(KEY) is None
    with cache.building(KEY) as directory:
        write_artifact(directory)
        assert cache.find(KEY) is None
    path = cache.find(KEY)
    assert path is not None
    assert Manifest.read(path).name == "m"
    assert ArtifactCache(tmp_path / "cache").find(KEY) == path


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)

    def build_and_fail() -> None:
        with cache.building(KEY) as directory:
            write_artifact(directory)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        build_and_fail()
    assert cache.find(KEY) is None
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_first_of_two_builders_wins(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    with cache.building(KEY) as slow:
        with cache.building(KEY) as fast:
            write_artifact(fast, "fast")
        write_artifact(slow, "slow")
    path = cache.find(KEY)
    assert path is not None
    assert Manifest.read(path).name == "fast"


@pytest.mark.parametrize("damage", ["manifest.json", "weights.bin", "kernels.so"])
def test_a_damaged_artifact_is_no_artifact(damage: str, tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    with cache.building(KEY) as directory:
        write_artifact(directory)
    (tmp_path / KEY / damage).unlink()
    assert cache.find(KEY) is None
    with cache.building(KEY) as directory:
        write_artifact(directory, "new")
    assert cache.find(KEY) is not None


def test_an_artifact_for_a_gpu_is_whole_with_its_device_code(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    with cache.building(KEY) as directory:
        write_artifact(directory)
        manifest = replace(Manifest.read(directory), gpu_arch="sm_90")
        (directory / "manifest.json").write_text(manifest.to_json())
        (directory / "kernels.so").rename(directory / "kernels.cubin")
    assert cache.find(KEY) is not None
    (tmp_path / KEY / "kernels.cubin").rename(tmp_path / KEY / "kernels.so")
    assert cache.find(KEY) is None


BUILDER = """
import sys
from pathlib import Path
from clockwork_triton.artifact.cache import ArtifactCache
from tests.artifact.test_cache import KEY, write_artifact
with ArtifactCache(Path(sys.argv[1])).building(KEY) as directory:
    write_artifact(directory)
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_builder_killed_while_writing_is_never_seen_and_cleaned_up(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == b"written\n"
        assert not cache.clean(), "somebody is building"
        assert cache.find(KEY) is None
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    assert cache.find(KEY) is None
    assert list(tmp_path.glob(".building-*"))
    assert cache.clean()
    assert not list(tmp_path.glob(".building-*"))


def test_a_cache_that_cannot_be_written_is_still_read(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    with cache.building(KEY) as directory:
        write_artifact(directory)
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").mkdir()  # opening it for writing fails, for root too
    assert not cache.clean()
    assert ArtifactCache(tmp_path).find(KEY) is not None
