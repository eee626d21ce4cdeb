from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker import tiny
from tests.worker.child import Child


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.compile_kernels(tmp_path_factory.mktemp("kernels") / "kernels.so")


@pytest.fixture
def artifact(tmp_path: Path, kernels: Path) -> Path:
    return tiny.write(tmp_path / "tiny", kernels)


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child("cpu:0")
    yield child
    child.close()
