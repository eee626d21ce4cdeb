from __future__ import annotations

import pytest

from tests.frontend import fakes


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is tested over gRPC is tested over both transports."""
    if metafunc.module.__name__.rpartition(".")[2].startswith("test_grpc_"):
        metafunc.fixturenames.append("transport")
        metafunc.parametrize("transport", fakes.TRANSPORTS, indirect=True)


@pytest.fixture
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "transport", request.param)
