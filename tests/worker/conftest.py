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


@pytest.fixture(scope="session")
def _shared_child() -> Iterator[Child]:
    child = Child("cpu:0")
    yield child
    child.close()


@pytest.fixture
def child(_shared_child: Child) -> Iterator[Child]:
    """A worker on the CPU that knows no model, and outlives the test."""
    yield _shared_child
    _shared_child.forget_models()


@pytest.fixture
def mortal() -> Iterator[Child]:
    """A worker on the CPU for a test that ends it."""
    child = Child("cpu:0")
    yield child
    child.close()
