from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from clockwork_triton.frontend.metrics_http import MetricsServer
from tests.frontend.fakes import run


@asynccontextmanager
async def serving(
    render: Callable[[], str] = lambda: "x 1\n", patience_s: float = 20
) -> AsyncIterator[tuple[MetricsServer, int]]:
    server = MetricsServer(render, patience_s)
    port = await server.start("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.stop()


async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_a_scrape() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            answer = await exchange(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            head, body = answer.split(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Content-Type: text/plain; version=0.0.4" in head
            assert b"Content-Length: 4" in head
            assert body == b"x 1\n"

    run(test())


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"HEAD /metrics HTTP/1.1", b"200 OK"),
        (b"GET /metrics?name=x HTTP/1.0", b"200 OK"),
        (b"GET / HTTP/1.1", b"404 Not Found"),
        (b"GET /metrics/ HTTP/1.1", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1", b"405 Method Not Allowed"),
        (b"GET /metrics", b"400 Bad Request"),
        (b"\xff\xfe\x00", b"400 Bad Request"),
        (b"GET  /metrics HTTP/1.1", b"400 Bad Request"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1", b"431 Request Header Fields Too Large"),
    ],
)
def test_everything_else(request_line: bytes, status: bytes) -> None:
    async def test() -> None:
        async with serving() as (_, port):
            answer = await exchange(port, request_line + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
            if b"HEAD" in request_line:
                assert answer.endswith(b"\r\n\r\n")

    run(test())


def test_a_client_that_says_nothing_is_let_go() -> None:
    async def test() -> None:
        async with serving(patience_s=0.01) as (_, port):
            assert await exchange(port, b"GET /metr") == b""

    run(test())


def test_a_client_that_hangs_up_does_no_harm() -> None:
    async def test() -> None:
        async with serving() as (server, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /met")
            writer.close()
            assert b"x 1" in await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n")
            while server._connections:
                await asyncio.sleep(0)

    run(test())


def test_more_connections_than_it_wants_are_closed_at_once() -> None:
    async def test() -> None:
        async with serving() as (server, port):
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(64)]
            while len(server._connections) < 64:
                await asyncio.sleep(0)
            assert await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
            for _, writer in idle:
                writer.close()
            while server._connections:
                await asyncio.sleep(0)
            assert b"x 1" in await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n")

    run(test())


def test_stopping_closes_what_is_open() -> None:
    async def test() -> None:
        async with serving() as (server, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while not server._connections:
                await asyncio.sleep(0)
            await server.stop()
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(test())


def test_a_fault_in_the_metrics_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    def render() -> str:
        raise ZeroDivisionError

    async def test() -> None:
        async with serving(render) as (_, port):
            with caplog.at_level(logging.ERROR):
                answer = await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert "could not be written" in caplog.text

    run(test())


def test_a_port_that_is_taken_is_an_error() -> None:
    async def test() -> None:
        async with serving() as (_, port):
            with pytest.raises(OSError, match="address already in use"):
                await MetricsServer(lambda: "").start("127.0.0.1", port)

    run(test())
