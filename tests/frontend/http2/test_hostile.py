"""Clients that mean harm, or behave as if they did: bounded memory, bounded work, a clear end."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.errors import ErrorCode
from clockwork_triton.frontend.http2.frames import frame
from clockwork_triton.frontend.http2.limits import Limits, Rate
from tests.frontend.http2.fakes import Client, data, raw_data
from tests.frontend.http2.services import HELD, STREAM, Echo
from tests.frontend.http2.test_flow import settle

SECOND_NS = 10**9


@pytest.fixture
def echo() -> Echo:
    return Echo()


def calmed(client: Client) -> bytes | None:
    """The reason of a GOAWAY that asks for calm."""
    goaway = client.goaway()
    if goaway is None:
        return None
    assert goaway[1] == ErrorCode.ENHANCE_YOUR_CALM
    assert not client.connection.session.streams
    return goaway[2]


def test_rapid_resets_end_the_connection(echo: Echo) -> None:
    client = Client(echo.service, Limits(young_resets=Rate(100, 10)))
    for stream_id in itertools.count(1, 2):
        client.call(stream_id, b"x", (":path", HELD))
        client.send(frames.rst_stream(stream_id, ErrorCode.CANCEL))
        if calmed(client) is not None:
            break
    assert stream_id // 2 == 100
    assert echo.cancelled == 101


def test_resets_made_by_the_server_count_too(echo: Echo) -> None:
    """Errors on purpose make the server send the RST_STREAM ("MadeYouReset")."""
    client = Client(echo.service, Limits(young_resets=Rate(100, 10)))
    for stream_id in itertools.count(1, 2):
        client.call(stream_id, b"x", (":path", HELD))
        client.send(frames.frame(frames.WINDOW_UPDATE, 0, stream_id, b"\0\0\0\0"))
        if calmed(client) is not None:
            break
    assert stream_id // 2 == 100


def test_resets_of_calls_that_were_given_time_are_no_attack(echo: Echo) -> None:
    client = Client(echo.service, Limits(young_resets=Rate(10, 1)))
    for round_ in range(20):
        ids = range(1 + 40 * round_, 41 + 40 * round_, 2)
        for stream_id in ids:
            client.call(stream_id, b"x", (":path", HELD))
        client.clock.advance(client.limits.reset_age_ns)
        client.send(b"".join(frames.rst_stream(stream_id, ErrorCode.CANCEL) for stream_id in ids))
    assert client.goaway() is None
    assert echo.cancelled == 400


def test_handlers_that_outlive_their_reset_keep_their_place(echo: Echo) -> None:
    async def run() -> None:
        running = 0

        async def stubborn(request: object, call: object) -> bytes:
            nonlocal running
            running += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.Event().wait()
            return b""

        echo.service.unary(b"/test.Echo/Stubborn", stubborn)
        client = Client(echo.service, Limits(concurrent_streams=10))
        for stream_id in range(1, 101, 2):
            client.call(stream_id, b"x", (":path", "/test.Echo/Stubborn"))
            await settle(client)
            client.send(frames.rst_stream(stream_id, ErrorCode.CANCEL))
        assert running == 10
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(run())


FLOODS = {
    "settings": (frames.settings([(frames.HEADER_TABLE_SIZE, 100)]), b"too many SETTINGS frames"),
    "priority": (frame(frames.PRIORITY, 0, 1, b"\0\0\0\0\0"), b"too many PRIORITY frames"),
    "unknown": (frame(0xEE, 0, 0, b"x"), b"too many frames of unknown types"),
    "empty data": (frame(frames.DATA, 0, 1), b"too many frames of padding and empty DATA frames"),
    "padding": (
        frame(frames.DATA, frames.PADDED, 1, b"\xff" + bytes(255)),
        b"too many frames of padding and empty DATA frames",
    ),
    "pings": (frames.ping(b"12345678"), b"too_many_pings"),
    "tiny windows": (frames.window_update(0, 1), b"too many WINDOW_UPDATE frames"),
    "tiny windows of a stream": (frames.window_update(1, 1), b"too many WINDOW_UPDATE frames"),
    "goaway": (frame(frames.GOAWAY, 0, 0, bytes(8)), b"too many GOAWAY frames"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_end_the_connection(echo: Echo, name: str) -> None:
    flood, reason = FLOODS[name]
    limits = Limits(control_frames=Rate(50, 5), small_frames=Rate(50, 5))
    client = Client(echo.service, limits)
    client.send(client.headers(1, (":path", HELD)) + data(1, b"x", end=False))
    written = len(client.transport.written)
    sent = 0
    while calmed(client) is None:
        client.send(flood)
        sent += 1
        assert sent <= 60
    assert calmed(client) == reason
    # What a flood makes the server say is no more than it said itself.
    assert len(client.transport.written) - written < 60 * 20 + 100


@pytest.mark.parametrize("name", sorted(FLOODS.keys() - {"pings"}))
def test_the_same_at_a_bearable_pace_is_borne(echo: Echo, name: str) -> None:
    flood, _ = FLOODS[name]
    limits = Limits(control_frames=Rate(50, 5), small_frames=Rate(50, 5))
    client = Client(echo.service, limits)
    client.send(client.headers(1, (":path", HELD)) + data(1, b"x", end=False))
    for _ in range(500):
        client.send(flood)
        client.clock.advance(SECOND_NS // 5)
    assert client.goaway() is None


def test_window_updates_for_replies_are_no_flood(echo: Echo) -> None:
    client = Client(echo.service, Limits(small_frames=Rate(10, 1)))
    for stream_id in range(1, 2001, 2):
        client.call(stream_id, b"x")
        client.send(frames.window_update(0, 6))
    assert client.goaway() is None


def test_a_flood_of_continuations_ends_the_connection(echo: Echo) -> None:
    client = Client(echo.service)
    client.send(frame(frames.HEADERS, 0, 1, b"\x00\x01a\x01b"))
    sent = 0
    while calmed(client) is None:
        client.send(frame(frames.CONTINUATION, 0, 1, b"\x00\x01a\x01b"))
        sent += 1
    assert sent == client.limits.continuations + 1


def test_header_blocks_are_bounded(echo: Echo) -> None:
    limits = Limits()
    client = Client(echo.service, limits)
    client.send(frame(frames.HEADERS, 0, 1, bytes(60_000)) + frame(frames.CONTINUATION, 0, 1, bytes(60_000)))
    assert calmed(client) == b"the header block is too long"
    client = Client(echo.service, limits)
    client.send(frame(frames.HEADERS, frames.END_HEADERS, 1, bytes(70_000)))
    assert calmed(client) is not None


def test_a_block_that_unpacks_to_much_more_ends_the_connection(echo: Echo) -> None:
    client = Client(echo.service)
    # A field of 4,000 bytes enters the table once and is named 16,000 times.
    bomb = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 16_000
    client.send(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, bomb))
    assert calmed(client) == b"the header list is too long"
    client = Client(echo.service)
    client.send(client.headers(1, ("a", "b" * 3000)))
    index = frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 3, b"\xbe" * 16_000)
    client.send(index)
    assert calmed(client) == b"the header list is too long"


def test_blocks_of_many_kinds_are_remembered_in_bounds(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"x")
    usual = client.block()
    stream_id = 1
    for index in range(1, 62):
        for other in range(1, 20):
            stream_id += 2
            block = usual + bytes((0x80 | index, 0x80 | other))
            client.send(frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream_id, block))
    assert len(client.connection.session._headers.known) <= 256


def test_a_client_that_never_speaks_is_left(echo: Echo) -> None:
    client = Client(echo.service, greet=False)
    client.send(frames.PREFACE[:20])
    client.clock.advance(client.limits.handshake_ns)
    assert client.transport.aborted


def test_a_client_that_does_not_read_is_left(echo: Echo) -> None:
    """Acknowledgements and refusals pile up, and are bounded."""
    limits = Limits(output_bytes=10_000, small_frames=Rate(10**6, 0))
    client = Client(echo.service, limits, capacity=1000)
    client.transport.held = 0
    for stream_id in itertools.count(1, 2):
        client.send(client.headers(stream_id, (":path", "/nothing"), end=True))
        if client.transport.aborted:
            break
    assert 10 < stream_id < 2000
    assert len(client.transport.written) < 3000


def test_replies_to_a_client_that_does_not_read_are_bounded_by_its_streams(echo: Echo) -> None:
    limits = Limits(concurrent_streams=20)
    client = Client(echo.service, limits, capacity=10_000)
    client.send(frames.settings([(4, 2**31 - 1)]) + frames.window_update(0, 2**30))
    for stream_id in range(1, 201, 2):
        client.call(stream_id, b"x" * 5000)
    held = sum(stream.queued_bytes for stream in client.connection.sender.queued.values())
    assert len(client.connection.session.streams) == 20
    assert held == 20 * 5005
    for _ in range(30):
        client.transport.drain()
        client.clock.turn()
    assert not client.connection.session.streams
    assert sum(client.answer(i).ended for i in range(1, 201, 2)) >= 20


def test_a_connection_whose_output_stands_still_is_left(echo: Echo) -> None:
    limits = Limits()
    client = Client(echo.service, limits, capacity=1000)
    client.send(frames.settings([(4, 2**31 - 1)]))
    client.call(1, b"x" * 5000)
    assert client.connection.sender.paused
    client.clock.advance(limits.write_stall_ns // 2)
    client.transport.drain()
    client.call(3, b"x" * 5000)
    client.clock.advance(limits.write_stall_ns)
    assert not client.transport.aborted
    client.clock.advance(limits.write_stall_ns)
    assert client.transport.aborted


def test_a_unary_reply_that_is_never_let_out_is_given_up(echo: Echo) -> None:
    limits = Limits()
    client = Client(echo.service, limits)
    client.send(frames.settings([(4, 10)]))
    client.call(1, b"x" * 100)
    client.clock.advance(limits.write_stall_ns // 2)
    client.call(3, b"x" * 100)
    client.clock.advance(limits.write_stall_ns)
    client.send(frames.window_update(3, 10))
    client.clock.advance(limits.write_stall_ns)
    assert client.answer(1).reset == ErrorCode.CANCEL
    assert client.answer(3).reset is None
    client.clock.advance(2 * limits.write_stall_ns)
    assert client.answer(3).reset == ErrorCode.CANCEL
    client.call(5, b"ok")
    assert client.answer(5).messages == [b"ok"]


def test_a_stream_whose_client_reads_nothing_is_no_stall(echo: Echo) -> None:
    async def run() -> None:
        client = Client(echo.service)
        client.send(frames.settings([(4, 10)]))
        client.send(client.headers(1, (":path", STREAM)) + data(1, b"x" * 100, end=False))
        await settle(client)
        client.clock.advance(10 * client.limits.write_stall_ns)
        client.send(frames.window_update(1, 1000))
        await settle(client)
        assert client.answer(1).messages == [b"x" * 100]
        client.connection.connection_lost(None)
        await settle(client)

    asyncio.run(run())


def test_a_length_that_is_a_lie_costs_no_memory(echo: Echo) -> None:
    client = Client(echo.service)
    for stream_id in range(1, 201, 2):
        client.send(client.headers(stream_id) + raw_data(stream_id, b"\0\x7f\xff\xff\xff" + b"x", end=False))
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    assert resident < 2 << 30
    assert client.memory.left >= client.limits.request_memory - 100 * (16 << 20)


def test_a_window_opened_byte_by_byte_buys_one_frame_each(echo: Echo) -> None:
    client = Client(echo.service, Limits(small_frames=Rate(100, 1)))
    client.send(frames.settings([(4, 0)]))
    client.call(1, b"x" * 1000)
    for _ in range(1005):
        assert not client.answer(1).ended
        client.send(frames.window_update(1, 1))
    assert client.answer(1).messages == [b"x" * 1000]
    assert sum(frame.kind == "DATA" for frame in client.frames) == 1005
