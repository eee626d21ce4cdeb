"""TLS, compression and keepalive of the gRPC port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import trustme
from tritonclient.utils import InferenceServerException

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.frontend import grpc_server
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.grpc_options import GrpcOptions, KeepAlive, Tls
from clockwork_triton.frontend.grpc_server import GrpcServer
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.service import InferenceService
from clockwork_triton.telemetry.statistics import Statistics
from tests.compatibility import covers
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, run, served_model, simple, simple_inputs


@dataclass
class Pki:
    """PEM files of an authority, a server called localhost, and a client."""

    root: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]
    stranger: tuple[Path, Path]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    home = tmp_path_factory.mktemp("pki")
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(home / "root.pem")

    def issue(name: str, certificate: Any) -> tuple[Path, Path]:
        paths = home / f"{name}.pem", home / f"{name}.key"
        certificate.cert_chain_pems[0].write_to_path(paths[0])
        certificate.private_key_pem.write_to_path(paths[1])
        return paths

    return Pki(
        home / "root.pem",
        issue("server", authority.issue_cert("localhost")),
        issue("client", authority.issue_cert("client@example.org")),
        issue("stranger", other.issue_cert("stranger@example.org")),
    )


@asynccontextmanager
async def listening(options: GrpcOptions, *models: Any) -> AsyncIterator[int]:
    plane = DataPlane(FakeIndex(list(models or (simple(),))), FakeEngine(), Statistics(), FakeClock())
    server = GrpcServer(InferenceService(plane, ServerIdentity("triton", "0")), options)
    port = await server.start("127.0.0.1:0")
    try:
        yield port
    finally:
        await server.stop(None)


def client(port: int, pki: Pki, own: tuple[Path, Path] | None = None) -> Any:
    return triton_aio.InferenceServerClient(
        f"localhost:{port}",
        ssl=True,
        root_certificates=str(pki.root),
        certificate_chain=None if own is None else str(own[0]),
        private_key=None if own is None else str(own[1]),
    )


async def answers(client: Any) -> bool:
    try:
        await client.infer("simple", simple_inputs(), client_timeout=20)
    except InferenceServerException as error:
        if error.status() != "StatusCode.UNAVAILABLE":
            raise
        return False
    return True


@covers("TLS over gRPC")
def test_tls(pki: Pki) -> None:
    async def test() -> None:
        async with listening(GrpcOptions(Tls(*pki.server))) as port:
            async with client(port, pki) as known:
                assert await answers(known)
            async with triton_aio.InferenceServerClient(f"localhost:{port}") as plain:
                assert not await answers(plain)

    run(test())


@covers("mutual TLS over gRPC")
def test_mutual_tls(pki: Pki) -> None:
    async def test() -> None:
        async with listening(GrpcOptions(Tls(*pki.server, pki.root))) as port:
            async with client(port, pki, pki.client) as known:
                assert await answers(known)
            for own in (None, pki.stranger):
                async with client(port, pki, own) as unknown:
                    assert not await answers(unknown)

    run(test())


def test_certificates_that_cannot_be_read(pki: Pki, tmp_path: Path) -> None:
    async def test() -> None:
        for tls in (Tls(tmp_path / "no", pki.server[1]), Tls(pki.server[1], pki.server[1])):
            with pytest.raises(OSError):  # noqa: PT011
                async with listening(GrpcOptions(tls)):
                    pass

    run(test())


class Proxy:
    """Counts the bytes that a server sends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.received = 0

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        for source, target, counted in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.ensure_future(self._copy(source, target, counted))
            self._tasks.add(task)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, counted: bool) -> None:
        try:
            while data := await source.read(1 << 16):
                if counted:
                    self.received += len(data)
                target.write(data)
                await target.drain()
        finally:
            target.close()


@covers("--grpc-infer-response-compression-level", "different", "every answer, with gzip at every level")
@pytest.mark.parametrize(("level", "small"), [("none", False), ("low", True), ("high", True)])
def test_answers_are_compressed_where_asked(level: str, small: bool) -> None:
    zeros = np.zeros((1, 100_000), np.float32)

    async def test() -> None:
        specs = [TensorSpec(name, "float32", (100_000,)) for name in ("X", "Y")]
        model = served_model("m", specs[:1], specs[1:])
        tensor = triton.InferInput("X", [1, 100_000], "FP32")
        tensor.set_data_from_numpy(zeros)
        async with (
            listening(GrpcOptions(compression=level), model) as port,
            Proxy(port) as proxy,
            triton_aio.InferenceServerClient(f"127.0.0.1:{proxy.port}") as client,
        ):
            result = await client.infer("m", [tensor])
            np.testing.assert_array_equal(result.as_numpy("Y"), zeros)
            assert (proxy.received < 50_000) is small

    run(test())


def arguments() -> Iterator[tuple[str, int]]:
    yield "grpc.keepalive_time_ms", 1
    yield "grpc.keepalive_timeout_ms", 2
    yield "grpc.keepalive_permit_without_calls", 1
    yield "grpc.http2.max_pings_without_data", 3
    yield "grpc.http2.min_ping_interval_without_data_ms", 4
    yield "grpc.http2.max_ping_strikes", 5
    yield "grpc.max_connection_age_ms", 6
    yield "grpc.max_connection_age_grace_ms", 7


@covers("keepalive and connection age flags")
def test_keepalive_is_grpcs_own() -> None:
    assert grpc_server._keepalive(KeepAlive(1, 2, True, 3, 4, 5, 6, 7)) == list(arguments())
    assert len(grpc_server._keepalive(KeepAlive())) == 6
