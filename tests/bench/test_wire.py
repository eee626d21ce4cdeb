from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import grpc
import pytest

from benchmarks.serving.load import INFER
from clockwork_triton.bench import wire
from tests.benchmarks.serving.echo import DETAILS, HANG, REFUSE, echo


@pytest.fixture
def server() -> Iterator[tuple[str, grpc.Server]]:
    with echo() as started:
        yield started


def test_many_calls_of_all_sizes_at_once(server: tuple[str, grpc.Server]) -> None:
    """More in all than a connection's first window, and single messages larger than a frame and a window."""
    generator = random.Random(0)
    sizes = [0, 1, 65_530, 300_000, *(generator.randrange(50_000) for _ in range(200))]
    requests = [generator.randbytes(size) for size in sizes]

    async def ask() -> list[wire.Reply]:
        connection = await wire.connect(server[0], INFER)
        try:
            return list(await asyncio.gather(*(connection.call(request) for request in requests)))
        finally:
            connection.close()

    assert asyncio.run(ask()) == [wire.Reply("OK", request[::-1]) for request in requests]


def test_no_more_streams_than_the_server_takes() -> None:
    async def ask(address: str) -> list[wire.Reply]:
        connection = await wire.connect(address, INFER)
        assert (await connection.call(b"")).status == "OK"  # the settings are there
        calls = [connection.call(b"%d" % number) for number in range(100)]
        calls[50].cancel()
        calls[60].cancel()
        replies = list(await asyncio.gather(*(call for call in calls if not call.cancelled())))
        connection.close()
        return replies

    with echo(("grpc.max_concurrent_streams", 5)) as (address, _):
        replies = asyncio.run(ask(address))
    assert replies == [wire.Reply("OK", (b"%d" % n)[::-1]) for n in range(100) if n not in (50, 60)]


def test_refusal_after_refusal_keeps_code_and_details(server: tuple[str, grpc.Server]) -> None:
    async def ask() -> list[wire.Reply]:
        connection = await wire.connect(server[0], INFER)
        replies = [await connection.call(request) for request in (REFUSE, b"ab", REFUSE)]
        connection.close()
        return replies

    refusal = wire.Reply("UNAVAILABLE", DETAILS.encode())
    assert asyncio.run(ask()) == [refusal, wire.Reply("OK", b"ba"), refusal]


def test_cancelling_leaves_the_connection_usable(server: tuple[str, grpc.Server]) -> None:
    async def ask() -> wire.Reply:
        connection = await wire.connect(server[0], INFER)
        call = connection.call(HANG)
        call.cancel()
        reply = await connection.call(b"ab")
        connection.close()
        return reply

    assert asyncio.run(ask()) == wire.Reply("OK", b"ba")


def test_a_lost_connection_answers_everything(server: tuple[str, grpc.Server]) -> None:
    async def ask() -> tuple[wire.Reply, wire.Reply]:
        connection = await wire.connect(server[0], INFER)
        call = connection.call(HANG)
        assert (await connection.call(b"ab")).status == "OK"
        server[1].stop(None)
        return await call, await connection.call(b"ab")

    during, after = asyncio.run(ask())
    assert {during.status, after.status} <= {"UNAVAILABLE", "CANCELLED"}
    assert after.status == "UNAVAILABLE"


def test_nobody_listens() -> None:
    with pytest.raises(OSError, match="Connect call failed"):
        asyncio.run(wire.connect("127.0.0.1:1", INFER))
