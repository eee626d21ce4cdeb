from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.commands.model_argument import find_artifact, parse_sizes
from converters.request import ConversionError, ConversionRequest, Progress
from tests.worker import tiny

ARTIFACT = Path("converted")
CONFIG = """
max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 8 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 3 ] } ]
"""


class FakePool:
    """Converts nothing, and keeps what it was asked."""

    def __init__(self, first_dim: int = -1) -> None:
        self.requests: list[ConversionRequest] = []
        self._signature = Signature(
            (SignatureTensor("x", "float32", (first_dim, 8)),),
            (SignatureTensor("y", "float32", (first_dim, 3)),),
        )

    async def inspect(self, onnx: Path) -> Signature:
        assert onnx.is_file()
        return self._signature

    async def convert(self, request: ConversionRequest, progress: Callable[[Progress], None]) -> Path:
        self.requests.append(request)
        return ARTIFACT


def find(path: Path, pool: FakePool, *batch_sizes: int) -> Path:
    return asyncio.run(
        find_artifact(path, pool, batch_sizes=batch_sizes, shapes={"x": (8,)}, progress=lambda _: None)
    )


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.touch()
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model with versions 2 and 10."""
    directory = tmp_path / "repository" / "net"
    for version in ("2", "10"):
        (directory / version).mkdir(parents=True)
        (directory / version / "model.onnx").touch()
    (directory / "config.pbtxt").write_text(CONFIG)
    return directory


def test_an_artifact_is_itself(tmp_path: Path) -> None:
    artifact = tiny.write(tmp_path / "tiny", None)
    pool = FakePool()
    assert find(artifact, pool, 1, 2) == artifact
    assert pool.requests == []


@pytest.mark.parametrize(
    ("first_dim", "asked", "limit", "sizes"),
    [
        (-1, (), 16, (1, 2, 4, 8, 16)),
        (-1, (1, 8), 8, (1, 8)),
        (1, (), 0, (1,)),
        (1, (1,), 0, (1,)),
    ],
)
def test_a_file_is_converted_for_the_batch_sizes_asked(
    onnx: Path, first_dim: int, asked: tuple[int, ...], *, limit: int, sizes: tuple[int, ...]
) -> None:
    pool = FakePool(first_dim)
    assert find(onnx, pool, *asked) == ARTIFACT
    assert pool.requests == [ConversionRequest(onnx, "net", limit, sizes, {"x": (8,)})]


def test_a_directory_is_converted_as_configured(directory: Path) -> None:
    pool = FakePool()
    assert find(directory, pool) == ARTIFACT
    newest = directory / "10" / "model.onnx"
    assert pool.requests == [
        ConversionRequest(newest, "net", 4, (1, 2, 4), {"x": (8,)}, inputs=("x",), outputs=("y",))
    ]


def test_a_batch_size_the_model_does_not_allow_is_refused(directory: Path, onnx: Path) -> None:
    with pytest.raises(ConversionError, match="max_batch_size 4, batch size 8 is more"):
        find(directory, FakePool(), 1, 8)
    with pytest.raises(ConversionError, match="max_batch_size 0, batch size 2 is more"):
        find(onnx, FakePool(first_dim=1), 1, 2)


def test_batch_sizes_are_read() -> None:
    assert parse_sizes("8,1,8") == (1, 8)


@pytest.mark.parametrize("text", ["", "a", "0", "1,-2"])
def test_batch_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_sizes(text)
