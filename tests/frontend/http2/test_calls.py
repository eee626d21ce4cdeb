"""gRPC over HTTP/2: statuses, metadata, deadlines, compression."""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib
from base64 import b64encode
from urllib.parse import unquote

import hpack
import pytest

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.errors import ErrorCode
from clockwork_triton.frontend.http2.limits import Limits
from clockwork_triton.frontend.http2.service import Service
from clockwork_triton.frontend.http2.status import Status
from clockwork_triton.frontend.http2.streaming import StreamCall
from clockwork_triton.frontend.http2.unary import UnaryCall
from tests.frontend.http2.fakes import Client, data, message, raw_data
from tests.frontend.http2.services import ASYNC, FAILS, HELD, STREAM, Echo
from tests.frontend.http2.test_flow import settle


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def client(echo: Echo) -> Client:
    return Client(echo.service)


def test_a_handlers_error_is_the_calls_status(client: Client) -> None:
    client.call(1, b"FAILED_PRECONDITION", (":path", FAILS))
    answer = client.answer(1)
    assert answer.headers[":status"] == "200"
    assert answer.headers["content-type"] == "application/grpc"
    assert answer.status == Status.FAILED_PRECONDITION
    assert answer.headers["grpc-message"] == "as asked: 100 %25 %C3%BC%0A"
    assert unquote(answer.headers["grpc-message"]) == "as asked: 100 % ü\n"
    assert answer.ended


def test_a_handlers_accident_is_unknown_and_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.call(1, b"NO SUCH STATUS", (":path", FAILS))
    answer = client.answer(1)
    assert answer.status == Status.UNKNOWN
    assert "KeyError" in answer.headers["grpc-message"]
    assert "/test.Echo/Fails" in caplog.text


def test_an_abort_may_carry_details_and_metadata(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    call = echo.held[0][1]
    call.initial_metadata([("first", "1")])
    call.trailing_metadata([("last-bin", b"\0\xff"), ("last", "2")])
    call.abort(Status.ABORTED, "no", b"\x08\x0a")
    client.clock.turn()
    answer = client.answer(1)
    assert answer.headers["grpc-status-details-bin"] == b64encode(b"\x08\x0a").decode().rstrip("=")
    assert answer.headers["last-bin"] == "AP8"
    assert (answer.headers["first"], answer.headers["last"]) == ("1", "2")
    call.reply(b"too late")
    client.clock.turn()
    assert client.take() == []


def test_answering_twice_is_a_bug(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    echo.held[0][1].reply(b"once")
    with pytest.raises(AssertionError):
        echo.held[0][1].reply(b"twice")


def test_a_reply_carries_metadata_at_both_ends(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    call = echo.held[0][1]
    call.initial_metadata([("first", "1")])
    call.trailing_metadata([("last", "2")])
    call.reply(b"y")
    client.clock.turn()
    answer = client.answer(1)
    assert answer.headers["first"] == "1"
    assert answer.messages == [b"y"]
    assert answer.trailers == {"grpc-status": "0", "last": "2"}


def test_metadata_comes_without_the_protocols_own(echo: Echo, client: Client) -> None:
    own = [("grpc-timeout", "1S"), ("user-agent", "x/1"), ("grpc-accept-encoding", "gzip")]
    given = [
        ("traceparent", "00-1"),
        ("raw-bin", "AAEC"),
        ("raw-bin", "AAE"),
        ("odd-bin", "*"),
        ("traceparent", "2"),
    ]
    client.call(1, b"x", (":path", HELD), *own, *given)
    call = echo.held[0][1]
    assert call.metadata() == [
        ("traceparent", "00-1"),
        ("raw-bin", b"\0\1\2"),
        ("raw-bin", b"\0\1"),
        ("odd-bin", b"*"),
        ("traceparent", "2"),
    ]
    assert call.peer == "ipv4:127.0.0.1:50000"


def test_spaces_around_a_value_are_borne(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD), ("token", " a b "))
    assert echo.held[0][1].metadata() == [("token", "a b")]


def test_time_before_the_read_counts(echo: Echo, client: Client) -> None:
    client.clock.since_ns = client.clock.time_ns - 3_000
    client.call(1, b"x", (":path", HELD), ("grpc-timeout", "5u"))
    call = echo.held[0][1]
    assert call.arrival_ns == client.clock.since_ns
    assert call.time_remaining_ns() == 2_000


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("2H", 7200 * 10**9),
        ("3M", 180 * 10**9),
        ("4S", 4 * 10**9),
        ("50m", 5 * 10**7),
        ("6u", 6000),
        ("7n", 7),
    ],
)
def test_deadlines(echo: Echo, client: Client, text: str, duration_ns: int) -> None:
    client.call(1, b"x", (":path", HELD), ("grpc-timeout", text))
    call = echo.held[0][1]
    assert call.deadline_ns == call.arrival_ns + duration_ns
    assert call.time_remaining_ns() == duration_ns
    client.clock.advance(duration_ns - 1)
    assert echo.cancelled == 0
    client.clock.advance(1)
    assert echo.cancelled == 1
    assert call.time_remaining_ns() == 0
    answer = client.answer(1)
    assert answer.status == Status.DEADLINE_EXCEEDED
    assert answer.headers["grpc-message"] == "Deadline Exceeded"
    call.reply(b"too late")


def test_each_of_many_deadlines_is_kept(echo: Echo, client: Client) -> None:
    for stream_id, ms in ((1, 30), (3, 10), (5, 20), (7, 10), (9, 40)):
        client.call(stream_id, b"x", (":path", HELD), ("grpc-timeout", f"{ms}m"))
    echo.held[2][1].reply(b"in time")
    expired = []
    for _ in range(5):
        client.clock.advance(10_000_000)
        expired.append([i for i in (1, 3, 5, 7, 9) if client.answer(i).headers.get("grpc-status") == "4"])
    assert expired == [[3, 7], [3, 7], [1, 3, 7], [1, 3, 7, 9], [1, 3, 7, 9]]
    assert client.answer(5).messages == [b"in time"]
    assert client.connection.session.streams == {}


def test_a_call_without_a_deadline_has_all_the_time(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    assert echo.held[0][1].deadline_ns is None
    assert echo.held[0][1].time_remaining_ns() is None


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ([(":path", "/test.Echo/Nothing")], Status.UNIMPLEMENTED, "unknown method /test.Echo/Nothing"),
        ([("grpc-encoding", "snappy")], Status.UNIMPLEMENTED, "grpc-encoding 'snappy' is not supported"),
        ([("grpc-timeout", "soon")], Status.INTERNAL, "grpc-timeout is malformed"),
        ([("grpc-timeout", "123456789S")], Status.INTERNAL, "grpc-timeout is malformed"),
        ([("large", "x" * 20_000)], Status.RESOURCE_EXHAUSTED, "the metadata exceeds 16384 bytes"),
    ],
)
def test_requests_that_are_refused_by_their_head(
    client: Client, changes: list[tuple[str, str]], status: Status, text: str
) -> None:
    for stream_id in (1, 3):
        client.call(stream_id, b"x", *changes)
        answer = client.answer(stream_id)
        assert answer.status == status
        assert answer.headers["grpc-message"] == text
    if status is Status.UNIMPLEMENTED:
        assert answer.headers["grpc-accept-encoding"] == "identity,deflate,gzip"
    client.call(5, b"y")
    assert client.answer(5).messages == [b"y"]


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc; x=y"])
def test_content_types_of_grpc(client: Client, kind: str) -> None:
    client.call(1, b"x", ("content-type", kind))
    assert client.answer(1).messages == [b"x"]


@pytest.mark.parametrize(
    ("change", "http_status"),
    [
        (("content-type", "application/json"), "415"),
        (("content-type", "application/grpc+json"), "415"),
        (("content-type", "application/grpcx"), "415"),
        ((":method", "GET"), "405"),
    ],
)
def test_what_is_not_grpc_is_refused_as_http(
    client: Client, change: tuple[str, str], http_status: str
) -> None:
    client.call(1, b"x", change)
    answer = client.answer(1)
    assert answer.headers[":status"] == http_status
    assert answer.ended


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0", message(b"whole")[:-1], message(b"a") + message(b"b"), b"\2\0\0\0\1x", b"\1\0\0\0\1x"],
    ids=["nothing", "half a prefix", "half a message", "two messages", "no flag", "compressed by nothing"],
)
def test_a_unary_call_has_one_whole_request(client: Client, body: bytes) -> None:
    client.send(client.headers(1) + raw_data(1, body))
    assert client.answer(1).status == Status.INTERNAL
    client.send(client.headers(3) + raw_data(3, body, frame_bytes=1))
    assert client.answer(3).status == Status.INTERNAL


def test_a_second_request_beyond_the_window_is_refused_at_once(echo: Echo) -> None:
    client = Client(echo.service, Limits(stream_window=1000))
    client.send(client.headers(1) + data(1, b"x", end=False))
    client.send(raw_data(1, message(bytes(10_000))[:500], end=False))
    assert client.answer(1).status == Status.INTERNAL


def test_a_request_may_end_with_its_headers(client: Client) -> None:
    client.send(client.headers(1, end=True))
    assert client.answer(1).status == Status.INTERNAL


# Compression.

ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", ENCODERS)
def test_compressed_requests(client: Client, encoding: str) -> None:
    packed = ENCODERS[encoding](b"text " * 1000)
    client.send(client.headers(1, ("grpc-encoding", encoding)) + raw_data(1, message(packed, 1)))
    assert client.answer(1).messages == [b"text " * 1000]
    client.send(client.headers(3, ("grpc-encoding", encoding)) + raw_data(3, message(b"plain", 0)))
    assert client.answer(3).messages == [b"plain"]


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_message_that_grows_beyond_the_limit_is_refused(echo: Echo, encoding: str) -> None:
    client = Client(echo.service, Limits(message_bytes=100_000))
    bomb = ENCODERS[encoding](bytes(50_000_000))
    client.send(client.headers(1, ("grpc-encoding", encoding)) + raw_data(1, message(bomb, 1)))
    assert client.answer(1).status == Status.RESOURCE_EXHAUSTED
    fits = ENCODERS[encoding](bytes(100_000))
    client.send(frames.window_update(0, 1 << 20) + frames.settings([(4, 1 << 20)]))
    client.send(client.headers(3, ("grpc-encoding", encoding)) + raw_data(3, message(fits, 1)))
    assert client.answer(3).messages == [bytes(100_000)]


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d + b"x", lambda d: b"x" + d, lambda d: b""])
def test_what_is_not_one_whole_compressed_stream_is_refused(
    client: Client, encoding: str, damage: object
) -> None:
    packed = damage(ENCODERS[encoding](b"text " * 100))  # type: ignore[operator]
    client.send(client.headers(1, ("grpc-encoding", encoding)) + raw_data(1, message(packed, 1)))
    assert client.answer(1).status == Status.INTERNAL


@pytest.mark.parametrize(("accepts", "used"), [("identity,deflate,gzip", "gzip"), ("deflate", "deflate")])
def test_replies_are_compressed_for_clients_that_take_it(
    echo: Echo, client: Client, accepts: str, used: str
) -> None:
    client.call(1, b"x", (":path", HELD), ("grpc-accept-encoding", accepts))
    call = echo.held[0][1]
    call.compress_replies(6)
    released: list[bool] = []
    call.reply_parts([b"text " * 100, b"end"], lambda: released.append(True))
    client.clock.turn()
    answer = client.answer(1)
    assert answer.headers["grpc-encoding"] == used
    inflated = gzip.decompress(answer.messages[0]) if used == "gzip" else zlib.decompress(answer.messages[0])
    assert inflated == b"text " * 100 + b"end"
    assert next(f for f in client.frames if f.kind == "DATA").payload[0] == 1
    assert released == [True]


def test_long_compression_happens_beside_the_loop(echo: Echo, client: Client) -> None:
    packed = gzip.compress(os.urandom(5000))
    started = client.headers(1, (":path", HELD), ("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip"))
    turned: list[int] = []
    client.clock.call_soon(lambda: turned.append(len(echo.held)))
    client.send(started + raw_data(1, message(packed, 1)))
    # The callback above ran before the one that hands the request over.
    assert turned == [0]
    request, call = echo.held[0]
    assert len(request) == 5000
    call.compress_replies(1)
    call.reply(request)
    assert not client.answer(1).ended
    client.clock.turn()
    assert gzip.decompress(client.answer(1).messages[0]) == request


def test_what_is_compressed_for_a_call_that_is_gone_is_dropped(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD), ("grpc-accept-encoding", "gzip"))
    echo.held[0][1].compress_replies(1)
    echo.held[0][1].reply(bytes(5000))
    client.connection.session.reset(1, ErrorCode.CANCEL)
    client.clock.turn()
    assert client.answer(1).messages == []
    packed = gzip.compress(os.urandom(5000))
    head = client.headers(3, (":path", HELD), ("grpc-encoding", "gzip"))
    client.clock.call_soon(lambda: client.connection.session.reset(3, ErrorCode.CANCEL))
    client.send(head + raw_data(3, message(packed, 1)))
    assert len(echo.held) == 1


def test_streams_compress_both_ways(echo: Echo) -> None:
    async def run() -> None:
        async def squeeze(call: StreamCall) -> None:
            call.compress_replies(1)
            async for request in call:
                await call.write(bytes(request))
                call.send(bytes(request))

        echo.service.stream(b"/test.Echo/Squeeze", squeeze)
        client = Client(echo.service)
        contents = [b"small", os.urandom(5000), b"text " * 10_000]
        bodies = b"".join(message(gzip.compress(content), 1) for content in contents)
        changes = (("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip"))
        client.send(client.headers(1, (":path", "/test.Echo/Squeeze"), *changes) + raw_data(1, bodies))
        await settle(client)
        found = [gzip.decompress(packed) for packed in client.answer(1).messages]
        assert found == [content for content in contents for _ in range(2)]
        assert client.answer(1).trailers == {"grpc-status": "0"}

    asyncio.run(run())


def test_replies_are_plain_for_clients_that_take_nothing_else(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    echo.held[0][1].compress_replies(6)
    echo.held[0][1].reply(b"plain")
    client.clock.turn()
    answer = client.answer(1)
    assert "grpc-encoding" not in answer.headers
    assert answer.messages == [b"plain"]


def test_replies_beyond_the_limit_are_not_sent(echo: Echo) -> None:
    client = Client(echo.service, Limits(reply_bytes=10))
    client.call(1, b"x" * 11)
    answer = client.answer(1)
    assert answer.status == Status.RESOURCE_EXHAUSTED
    assert answer.headers["grpc-message"] == "Sent message larger than max (11 vs. 10)"


# The client's HPACK table.


@pytest.mark.parametrize("size", [0, 60, 110, 4096, 100_000])
def test_replies_keep_to_the_clients_table(echo: Echo, client: Client, size: int) -> None:
    client.call(1, b"before")
    client.take()
    client.decoder.max_allowed_table_size = size
    client.send(frames.settings([(frames.HEADER_TABLE_SIZE, size)]))
    for stream_id in (3, 5, 7, 9):
        client.call(stream_id, b"after")
        answer = client.answer(stream_id)
        assert answer.headers == {":status": "200", "content-type": "application/grpc"}
        assert answer.trailers == {"grpc-status": "0"}
    assert client.decoder.header_table_size == min(size, 4096)


def test_a_table_that_shrinks_and_grows_again_is_emptied(echo: Echo, client: Client) -> None:
    client.call(1, b"before")
    client.send(frames.settings([(frames.HEADER_TABLE_SIZE, 0), (frames.HEADER_TABLE_SIZE, 4096)]))
    client.call(3, b"NOT_FOUND", (":path", FAILS))
    client.call(5, b"after")
    assert client.answer(3).status == Status.NOT_FOUND
    assert client.answer(5).trailers == {"grpc-status": "0"}


def test_replies_become_constants(client: Client) -> None:
    for stream_id in (1, 3, 5):
        client.call(stream_id, b"")
    sizes = [len(frame.payload) for frame in client.received() if frame.kind == "HEADERS"]
    assert sizes[-2:] == [2, 1]


def test_long_messages_are_cut_between_escapes(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    echo.held[0][1].abort(Status.INTERNAL, "ü" * 3000)
    client.clock.turn()
    text = client.answer(1).headers["grpc-message"]
    assert 4000 < len(text) <= 4096
    assert unquote(text).rstrip("\ufffd") == "ü" * (len(text) // 6)


def test_header_blocks_larger_than_a_frame_are_continued(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    echo.held[0][1].trailing_metadata([("long", "x" * 40_000)])
    echo.held[0][1].reply(b"y")
    client.clock.turn()
    raw = bytes(client.transport.written)
    decoder = hpack.Decoder(100_000)
    found, at, block = [], 0, b""
    while at < len(raw):
        head, flags, stream_id = frames.FRAME.unpack_from(raw, at)
        stop = at + 9 + (head >> 8)
        if stream_id == 1 and head & 0xFF in (frames.HEADERS, frames.CONTINUATION):
            assert head >> 8 <= 16_384
            block += raw[at + 9 : stop]
            if flags & frames.END_HEADERS:
                found.append({str(n): str(v) for n, v in decoder.decode(block)})
                block = b""
        at = stop
    assert found[1] == {"grpc-status": "0", "long": "x" * 40_000}


# Handlers in tasks.


def test_coroutines_answer_and_are_cancelled() -> None:
    async def run() -> None:
        echo = Echo()
        cancelled = []

        async def waits(request: object, call: UnaryCall) -> bytes:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(call.id)
                raise
            return b""

        echo.service.unary(b"/test.Echo/Waits", waits)
        client = Client(echo.service, Limits(concurrent_streams=2))
        client.call(1, b"0123456789abc", (":path", ASYNC), ("back-text", "1"), ("back-bytes-bin", "AAE"))
        await settle(client)
        answer = client.answer(1)
        assert answer.messages == [b"0123456789abc"]
        assert answer.trailers == {"grpc-status": "0", "back-text": "1", "back-bytes-bin": "AAE"}
        client.call(3, b"x", (":path", "/test.Echo/Waits"), ("grpc-timeout", "1m"))
        client.call(5, b"x", (":path", "/test.Echo/Waits"))
        await settle(client)
        client.send(frames.rst_stream(5, ErrorCode.CANCEL))
        # Its handler has not ended yet, so its place is not free yet.
        client.call(7, b"x")
        assert client.answer(7).reset == ErrorCode.REFUSED_STREAM
        client.clock.advance(1_000_000)
        await settle(client)
        assert sorted(cancelled) == [3, 5]
        assert client.answer(3).status == Status.DEADLINE_EXCEEDED
        client.call(9, b"x")
        assert client.answer(9).messages == [b"x"]

    asyncio.run(run())


def test_a_coroutine_that_fails_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        service = Service()

        async def fails(request: object, call: UnaryCall) -> bytes:
            raise ZeroDivisionError("by nothing")

        async def gives_up(request: object, call: UnaryCall) -> bytes:
            raise asyncio.CancelledError

        service.unary(b"/x", fails)
        service.unary(b"/y", gives_up)
        client = Client(service)
        client.call(1, b"", (":path", "/x"))
        client.call(3, b"", (":path", "/y"))
        await settle(client)
        assert client.answer(1).status == Status.UNKNOWN
        assert client.answer(1).headers["grpc-message"].endswith("by nothing")
        assert client.answer(3).status == Status.CANCELLED

    asyncio.run(run())
    assert "ZeroDivisionError" in caplog.text


def test_streams_end_with_the_status_of_their_handler(echo: Echo) -> None:
    async def run() -> None:
        client = Client(echo.service)
        client.send(client.headers(1, (":path", STREAM)) + data(1, b"one", end=False))
        await settle(client)
        assert client.answer(1).messages == [b"one"]
        assert not client.answer(1).ended
        client.send(raw_data(1, b"\0\0"))
        await settle(client)
        assert client.answer(1).trailers["grpc-status"] == "13"
        client.send(client.headers(3, (":path", STREAM), end=True))
        await settle(client)
        assert client.answer(3).headers["grpc-status"] == "0"
        client.send(client.headers(5, (":path", STREAM)) + data(5, b"x", end=False))
        await settle(client)
        client.send(frames.rst_stream(5, ErrorCode.CANCEL))
        await settle(client)
        assert echo.stream_ended == 3
        assert client.connection.session.streams == {}

    asyncio.run(run())


def test_a_small_compressed_stream_does_not_grow_before_it_is_read(echo: Echo) -> None:
    async def run() -> None:
        client = Client(echo.service, Limits(message_bytes=1000))
        bomb = gzip.compress(bytes(2000))
        client.send(client.headers(1, (":path", STREAM), ("grpc-encoding", "gzip")))
        client.send(raw_data(1, message(gzip.compress(b"fine"), 1) + message(bomb, 1), end=False))
        await settle(client)
        answer = client.answer(1)
        assert answer.messages == [b"fine"]
        assert answer.trailers["grpc-status"] == "8"

    asyncio.run(run())
