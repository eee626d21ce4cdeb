"""What one client can hold, and for how long."""

from __future__ import annotations

import asyncio
import socket

import pytest

from clockwork_triton.frontend.http import protocol
from clockwork_triton.telemetry.statistics import Failure
from tests.compatibility import covers
from tests.frontend.fakes import FakeEngine, run
from tests.frontend.http.test_http_server import listening
from tests.frontend.http.test_infer import one_input

POST = b"POST /v2/models/simple/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
PATIENCE_S = 0.05


async def exchange(address: str, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """What the server sends until it closes the connection."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [b"GET /" + b"x" * 100_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000, b"GET / HTTP/1.1\r\na: "],
)
def test_heads_have_an_end(head: bytes) -> None:
    async def test() -> None:
        async with listening() as (_, address):
            pieces = [head[start : start + 10_000] for start in range(0, len(head), 10_000)]
            answer = await exchange(address, *pieces, *[b"y" * 10_000] * 10)
            # The answer is lost where it meets bytes that are still being sent.
            assert answer == b"" or answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")

    run(test())


def test_long_bodies_in_small_pieces_are_no_long_heads() -> None:
    async def test() -> None:
        async with listening() as (_, address):
            close = POST.replace(b"host: x", b"connection: close")
            answer = await exchange(address, close, *[b"y" * 10_000] * 10)
            assert b"failed to parse the request JSON buffer" in answer

    run(test())


@pytest.mark.parametrize("sent", [b"", b"GET / HT", POST, POST + b"{"])
def test_what_stops_coming_is_given_up(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE_S", PATIENCE_S)

    async def test() -> None:
        async with listening() as (_, address):
            assert await exchange(address, sent) == b""

    run(test())


def test_heads_that_come_byte_by_byte_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE_S", PATIENCE_S)

    async def test() -> None:
        async with listening() as (_, address):
            assert await exchange(address, *[bytes((byte,)) for byte in POST], pause_s=0.01) == b""

    run(test())


def test_an_answer_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE_S", PATIENCE_S)
    large = one_input("FP32", (4_000_000,), max_batch_size=0)
    body = bytes(16_000_000)
    head = b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ninference-header-content-length: 0\r\n"

    async def test() -> None:
        async with listening(large) as (_, address):
            host, port = address.split(":")
            with socket.create_connection((host, int(port))) as client:
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(client, head + b"content-length: %d\r\n\r\n" % len(body) + body)
                await asyncio.sleep(10 * PATIENCE_S)
                taken = 0
                while part := await loop.sock_recv(client, 1 << 20):
                    taken += len(part)
                assert 0 < taken < len(body)

    run(test())


def test_those_that_wait_between_requests_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE_S", PATIENCE_S)
    ask = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"

    async def test() -> None:
        async with listening() as (_, address):
            last = ask.replace(b"host: x", b"connection: close")
            answer = await exchange(address, ask, last, pause_s=5 * PATIENCE_S)
            assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2

    run(test())


def test_chunks_that_come_with_a_length() -> None:
    """The connection ends with them: whoever believed the length would take what follows for a request."""

    async def test() -> None:
        async with listening(one_input("FP32", (2,))) as (_, address):
            chunks = b"8\r\n" + bytes(8) + b"\r\n0\r\n\r\n"
            head = (
                b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ninference-header-content-length: 0\r\n"
                b"transfer-encoding: chunked\r\ncontent-length: %d\r\n\r\n" % len(chunks)
            )
            answer = await exchange(address, head + chunks + b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(bytes(8))

    run(test())


@covers("cancellation over HTTP", "supported", "by closing the connection, as in later versions of Triton")
def test_an_inference_ends_with_its_client() -> None:
    async def test() -> None:
        async with listening(one_input("FP32", (2,)), engine=FakeEngine(held=True)) as (bench, address):
            host, port = address.split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /v2/models/m/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n"
                b"inference-header-content-length: 0\r\n\r\n" + bytes(8)
            )
            while not bench.engine.waiting:
                await asyncio.sleep(0)
            assert bench.engine.cancelled == 0
            writer.close()
            while not bench.engine.cancelled:
                await asyncio.sleep(0)
            assert bench.statistics.of("m", 1).failures[Failure.CANCELED].count == 1

    run(test())
