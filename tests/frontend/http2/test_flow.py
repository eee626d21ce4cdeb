"""Flow control both ways (RFC 9113, 5.2 and 6.9)."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.errors import ErrorCode
from clockwork_triton.frontend.http2.limits import Limits, RequestMemory
from clockwork_triton.frontend.http2.status import Status
from tests.frontend.http2.fakes import Client, data, message, raw_data
from tests.frontend.http2.services import HELD, STREAM, Echo


@pytest.fixture
def echo() -> Echo:
    return Echo()


def hold(client: Client, stream_id: int) -> None:
    client.call(stream_id, b"x", (":path", HELD))


def settings(window: int) -> bytes:
    return frames.settings([(frames.INITIAL_WINDOW_SIZE, window)])


def test_a_reply_stops_at_the_streams_window_and_goes_on_with_it(echo: Echo) -> None:
    client = Client(echo.service)
    client.send(settings(10))
    client.call(1, b"0123456789")
    sent = client.answer(1)
    assert sent.messages == []
    assert not sent.ended
    client.send(frames.window_update(1, 4))
    assert not client.answer(1).ended
    client.send(frames.window_update(1, 1))
    assert client.answer(1).messages == [b"0123456789"]
    assert client.answer(1).ended


def test_a_reply_stops_at_the_connections_window(echo: Echo) -> None:
    client = Client(echo.service)
    client.send(settings(1 << 20))
    client.call(1, b"a" * 65_000)
    assert client.answer(1).ended
    client.call(3, b"b" * 1000)
    assert not client.answer(3).ended
    client.send(frames.window_update(0, 1000 + 5 + 65_005 - 65_535))
    assert client.answer(3).messages == [b"b" * 1000]


def test_new_settings_change_the_windows_of_open_streams(echo: Echo) -> None:
    client = Client(echo.service)
    client.send(settings(0))
    client.call(1, b"abc")
    client.send(settings(4))
    assert not client.answer(1).ended
    client.send(settings(2))
    client.send(frames.window_update(1, 5))
    # The window is 2 + 5 - 4 bytes sent: less than the 4 that are left.
    assert not client.answer(1).ended
    client.send(settings(3))
    assert client.answer(1).messages == [b"abc"]


def test_a_window_may_be_negative(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"a" * 70_000)
    client.send(frames.window_update(0, 100_000) + settings(10))
    client.send(frames.window_update(1, 60_000))
    sent = sum(len(frame.payload) for frame in client.received() if frame.kind == "DATA")
    assert not client.answer(1).ended
    assert sent > 0
    client.send(frames.window_update(1, 20_000))
    assert client.answer(1).messages == [b"a" * 70_000]


def test_a_setting_that_overflows_a_streams_window_ends_the_connection(echo: Echo) -> None:
    client = Client(echo.service)
    hold(client, 1)
    client.send(frames.window_update(1, 2**30) + settings(2**30))
    goaway = client.goaway()
    assert goaway is not None
    assert goaway[1] == ErrorCode.FLOW_CONTROL_ERROR


def test_frames_are_no_larger_than_the_client_allows(echo: Echo) -> None:
    client = Client(echo.service)
    client.send(frames.window_update(0, 1 << 20) + settings(1 << 20))
    client.call(1, b"a" * 100_000)
    sizes = [len(frame.payload) for frame in client.take() if frame.kind == "DATA"]
    assert max(sizes) == 16_384
    client.send(frames.settings([(frames.MAX_FRAME_SIZE, 50_000)]))
    client.call(3, b"a" * 100_000)
    sizes = [len(frame.payload) for frame in client.take() if frame.kind == "DATA"]
    assert sizes == [50_000, 50_000, 5]


def test_replies_take_turns(echo: Echo) -> None:
    client = Client(echo.service)
    client.send(settings(1 << 20))
    for stream_id in (1, 3, 5):
        hold(client, stream_id)
    for _, call in echo.held:
        call.reply(b"z" * 200_000)
    client.clock.turn()
    client.send(frames.window_update(0, 1 << 20))
    order = [frame.stream_id for frame in client.received() if frame.kind == "DATA"]
    runs = [len(list(group)) for _, group in itertools.groupby(order)]
    assert max(runs[:-2]) <= 2
    assert all(client.answer(stream_id).ended for stream_id in (1, 3, 5))


def test_a_blocked_stream_does_not_stop_the_others(echo: Echo) -> None:
    client = Client(echo.service)
    client.send(settings(10))
    client.call(1, b"a" * 100)
    client.call(3, b"b")
    assert client.answer(3).messages == [b"b"]
    assert not client.answer(1).ended


def test_a_reset_frees_what_was_queued(echo: Echo) -> None:
    client = Client(echo.service)
    client.send(settings(10))
    client.call(1, b"a" * 100)
    client.call(3, b"a" * 100)
    client.send(frames.rst_stream(1, ErrorCode.CANCEL) + frames.window_update(1, 1000))
    client.send(frames.rst_stream(3, ErrorCode.CANCEL))
    assert client.connection.sender.queued == {}
    client.call(5, b"ok")
    assert client.answer(5).messages == [b"ok"]


def test_memory_lent_for_a_reply_is_given_back_once(echo: Echo) -> None:
    client = Client(echo.service)
    released: list[str] = []
    hold(client, 1)
    echo.held[0][1].reply_parts([b"ab", memoryview(b"cd")], lambda: released.append("small"))
    assert released == []
    client.clock.turn()
    assert released == ["small"]
    assert client.answer(1).messages == [b"abcd"]
    hold(client, 3)
    echo.held[1][1].reply_parts([memoryview(bytes(100_000))], lambda: released.append("large"))
    client.clock.turn()
    assert released == ["small"]
    client.send(frames.window_update(0, 1 << 20) + frames.window_update(3, 1 << 20))
    assert released == ["small", "large"]
    hold(client, 5)
    client.send(frames.rst_stream(5, ErrorCode.CANCEL))
    echo.held[2][1].reply_parts([b"late"], lambda: released.append("cancelled"))
    assert released == ["small", "large", "cancelled"]
    client.send(settings(0))
    hold(client, 7)
    echo.held[3][1].reply_parts([b"stuck"], lambda: released.append("reset"))
    client.clock.turn()
    client.send(frames.rst_stream(7, ErrorCode.CANCEL))
    assert released[3:] == ["reset"]


# Receiving.


def test_a_client_beyond_a_streams_window_loses_the_stream(echo: Echo) -> None:
    limits = Limits(stream_window=1000)
    client = Client(echo.service, limits)
    client.send(client.headers(1) + raw_data(1, b"\0\0\0\x10\0" + b"x" * 996, end=False))
    assert client.answer(1).reset == ErrorCode.FLOW_CONTROL_ERROR
    client.send(raw_data(1, b"x" * 10, end=False))
    client.call(3, b"y")
    assert client.answer(3).messages == [b"y"]


def test_a_client_beyond_the_connections_window_loses_the_connection(echo: Echo) -> None:
    client = Client(echo.service, Limits(connection_window=65_535, stream_window=1 << 20))
    client.send(client.headers(1))
    # In one read: the server has no chance to give any of it back.
    client = Client(echo.service, Limits(connection_window=65_535, stream_window=1 << 20), read_size=1 << 20)
    client.send(client.headers(1) + raw_data(1, message(b"x" * 66_000), end=False))
    goaway = client.goaway()
    assert goaway is not None
    assert goaway[1] == ErrorCode.FLOW_CONTROL_ERROR


def test_the_connections_window_is_given_back_in_large_steps(echo: Echo) -> None:
    client = Client(echo.service, Limits(connection_window=100_000))
    client.take()
    for stream_id in range(1, 81, 2):
        client.call(stream_id, b"x" * 10_000)
    client.send(frames.window_update(0, 1 << 20))
    updates = [frame for frame in client.received() if frame.kind == "WINDOW_UPDATE"]
    assert 2 < len(updates) < 10
    assert all(client.answer(stream_id).ended for stream_id in range(1, 81, 2))


@pytest.mark.parametrize("frame_bytes", [1_000, 16_384, 1 << 20])
@pytest.mark.parametrize("read_size", [1 << 12, 1 << 18])
def test_a_large_message_is_let_in_as_it_arrives(echo: Echo, frame_bytes: int, read_size: int) -> None:
    """A client that honours its windows can send more than a window."""
    client = Client(echo.service, Limits(stream_window=65_535), read_size=read_size)
    client.send(settings(2**31 - 1) + frames.window_update(0, 2**30))
    content = bytes(range(256)) * 12_000
    body = message(content)
    client.send(client.headers(1))
    client.take()
    window, sent = 65_535, 0
    while sent < len(body):
        window += sum(
            int.from_bytes(frame.payload, "big")
            for frame in client.take()
            if frame.kind == "WINDOW_UPDATE" and frame.stream_id == 1
        )
        piece = body[sent : sent + min(window, frame_bytes)]
        assert piece, "the server lets no more in"
        sent += len(piece)
        window -= len(piece)
        client.send(frames.frame(frames.DATA, int(sent == len(body)), 1, piece))
    assert client.answer(1).messages == [content]
    assert client.memory.left == client.limits.request_memory


def test_a_large_message_is_refused_where_memory_is_short(echo: Echo) -> None:
    memory = RequestMemory(100_000)
    client = Client(echo.service, Limits(stream_window=65_535), memory=memory)
    client.send(client.headers(1) + raw_data(1, message(bytes(500_000))[:20_000], end=False))
    answer = client.answer(1)
    assert answer.status == Status.RESOURCE_EXHAUSTED
    assert answer.reset == ErrorCode.NO_ERROR
    assert memory.left == 100_000
    client.send(client.headers(3) + raw_data(3, message(bytes(150_000))[:20_000], end=False))
    assert memory.left == 100_000 - (150_005 - 65_535)
    client.send(frames.rst_stream(3, ErrorCode.CANCEL))
    assert memory.left == 100_000


def test_a_message_beyond_the_limit_is_refused_by_its_first_bytes(echo: Echo) -> None:
    client = Client(echo.service, Limits(message_bytes=1000))
    client.send(client.headers(1) + raw_data(1, b"\0" + (1001).to_bytes(4, "big"), end=False))
    answer = client.answer(1)
    assert answer.status == Status.RESOURCE_EXHAUSTED
    assert answer.headers["grpc-message"] == "Received message larger than max (1001 vs. 1000)"
    client.call(3, b"x" * 1001)
    assert client.answer(3).status == Status.RESOURCE_EXHAUSTED
    client.call(5, b"x" * 1000)
    assert client.answer(5).messages == [b"x" * 1000]


def test_padding_does_not_use_up_a_streams_window(echo: Echo) -> None:
    client = Client(echo.service, Limits(stream_window=1000))
    client.send(client.headers(1))
    body = message(b"x" * 500)
    for at in range(0, len(body), 50):
        payload = b"\xff" + body[at : at + 50] + b"\0" * 255
        flags = frames.PADDED | (frames.END_STREAM if at + 50 >= len(body) else 0)
        client.send(frames.frame(frames.DATA, flags, 1, payload))
    assert client.answer(1).messages == [b"x" * 500]


def test_a_stream_is_let_in_only_as_fast_as_it_is_read(echo: Echo) -> None:
    async def run() -> None:
        reads = asyncio.Semaphore(0)
        seen: list[int] = []

        async def slow(call: object) -> None:
            async for request in call:  # type: ignore[attr-defined]
                seen.append(len(request))
                await reads.acquire()

        echo.service.stream(b"/test.Echo/Slow", slow)
        client = Client(echo.service, Limits(stream_window=1000))
        client.send(client.headers(1, (":path", "/test.Echo/Slow")))
        for _ in range(9):
            client.send(data(1, b"x" * 100, end=False))
        await settle(client)
        assert len(seen) == 1
        granted = [frame for frame in client.take() if frame.kind == "WINDOW_UPDATE"]
        assert granted == []
        for _ in range(9):
            reads.release()
        await settle(client)
        assert seen == [100] * 9
        granted = [int.from_bytes(f.payload, "big") for f in client.take() if f.kind == "WINDOW_UPDATE"]
        assert len(granted) == 1
        assert 500 <= granted[0] <= 945
        client.connection.connection_lost(None)
        await settle(client)

    asyncio.run(run())


def test_a_stream_that_is_not_read_gets_no_memory_for_large_messages(echo: Echo) -> None:
    async def run() -> None:
        async def deaf(call: object) -> None:
            await asyncio.Event().wait()

        echo.service.stream(b"/test.Echo/Deaf", deaf)
        client = Client(echo.service, Limits(stream_window=1000))
        client.send(client.headers(1, (":path", "/test.Echo/Deaf")))
        client.send(data(1, b"first", end=False) + raw_data(1, message(b"x" * 5000)[:900], end=False))
        await settle(client)
        assert "WINDOW_UPDATE" not in client.kinds()
        assert client.memory.left == client.limits.request_memory
        client.connection.connection_lost(None)
        await settle(client)

    asyncio.run(run())


def test_a_handler_waits_for_a_client_that_does_not_read(echo: Echo) -> None:
    async def run() -> None:
        written = 0

        async def talks(call: object) -> None:
            nonlocal written
            for _ in range(100):
                await call.write(b"x" * 995)  # type: ignore[attr-defined]
                written += 1

        echo.service.stream(b"/test.Echo/Talks", talks)
        client = Client(echo.service, Limits(unread_replies=5000))
        client.send(settings(10_000))
        client.send(client.headers(1, (":path", "/test.Echo/Talks"), end=True))
        await settle(client)
        assert written == 15
        client.send(frames.window_update(1, 50_000))
        await settle(client)
        assert 60 <= written <= 65
        client.send(frames.window_update(0, 1 << 20) + frames.window_update(1, 1 << 20))
        await settle(client)
        assert written == 100
        assert len(client.answer(1).messages) == 100

    asyncio.run(run())


def test_messages_of_a_stream_may_be_cut_anywhere(echo: Echo) -> None:
    async def run() -> None:
        client = Client(echo.service)
        messages = [bytes([n]) * (n * 7 % 50) for n in range(60)]
        body = b"".join(map(message, messages))
        client.send(client.headers(1, (":path", STREAM)))
        for at in range(0, len(body), 13):
            client.send(raw_data(1, body[at : at + 13], end=at + 13 >= len(body)))
        await settle(client)
        answer = client.answer(1)
        assert answer.messages == messages
        assert answer.trailers == {"grpc-status": "0"}

    asyncio.run(run())


async def settle(client: Client) -> None:
    """Lets the handlers and the connection run until nothing happens any more."""
    for _ in range(200):
        await asyncio.sleep(0)
        client.clock.turn()


def test_the_only_call_of_a_connection_is_answered_at_once_and_several_in_one_write(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"x")
    client.call(3, b"alone", (":path", HELD))
    held, writes = echo.held, client.transport.writes
    held.pop()[1].reply(b"alone")
    assert client.transport.writes == writes + 1
    for stream_id in (5, 7, 9):
        client.call(stream_id, b"", (":path", HELD))
    for _, call in held[:2]:
        call.reply(b"")
    assert client.transport.writes == writes + 1
    held[2][1].reply(b"")
    client.clock.turn()
    assert client.transport.writes == writes + 2
    assert all(client.answer(stream_id).ended for stream_id in (3, 5, 7, 9))
