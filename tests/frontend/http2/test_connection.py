"""RFC 9113 frame by frame: what is answered, and with which error."""

from __future__ import annotations

import pytest

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.errors import ErrorCode
from clockwork_triton.frontend.http2.frames import frame
from clockwork_triton.frontend.http2.limits import Limits
from tests.frontend.http2.fakes import Client, data, message, raw_data
from tests.frontend.http2.services import HELD, Echo

HEADERS, END = frames.HEADERS, frames.END_STREAM
END_HEADERS, PADDED, PRIORITISED = frames.END_HEADERS, frames.PADDED, frames.PRIORITISED


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def client(echo: Echo) -> Client:
    return Client(echo.service)


def test_the_server_introduces_itself_first_of_all(echo: Echo) -> None:
    client = Client(echo.service, greet=False)
    assert client.take() == []
    client.send(frames.PREFACE + frames.settings(()) + client.headers(1) + data(1, b"at once"))
    first, second, third = client.take()[:3]
    assert (first.kind, first.flags) == ("SETTINGS", 0)
    settings = dict(frames.SETTING.iter_unpack(first.payload))
    assert settings[frames.INITIAL_WINDOW_SIZE] == client.limits.stream_window
    assert settings[frames.MAX_CONCURRENT_STREAMS] == client.limits.concurrent_streams
    assert second == ("WINDOW_UPDATE", 0, 0, frames.UINT32.pack(client.limits.connection_window - 65535))
    assert (third.kind, third.flags) == ("SETTINGS", frames.ACK)
    assert client.answer(1).messages == [b"at once"]


def test_a_unary_call_is_answered_in_one_write(client: Client) -> None:
    writes = client.transport.writes
    client.call(1, b"hello")
    assert client.transport.writes == writes + 1
    answer = client.answer(1)
    assert answer.headers == {":status": "200", "content-type": "application/grpc"}
    assert answer.messages == [b"hello"]
    assert answer.trailers == {"grpc-status": "0"}
    assert answer.ended
    assert answer.reset is None


def test_many_calls_in_one_read_are_answered_in_one_write(client: Client) -> None:
    ids = range(1, 201, 2)
    writes = client.transport.writes
    client.send(b"".join(client.headers(i) + data(i, b"%d" % i) for i in ids))
    assert client.transport.writes == writes + 1
    assert all(client.answer(i).messages == [b"%d" % i] for i in ids)
    assert client.connection.session.streams == {}


@pytest.mark.parametrize("piece", [1, 2, 3, 8, 9, 10, 14, 100])
def test_any_fragmentation_is_the_same(echo: Echo, piece: int) -> None:
    client = Client(echo.service, greet=False)
    client.take()
    first, block = client.headers(1), client.block()
    padded = bytes((3,)) + message(b"padded") + b"\0\0\0"
    client.send(
        frames.PREFACE
        + frames.settings([(frames.INITIAL_WINDOW_SIZE, 100_000)])
        + first
        + data(1, b"one" * 1000, frame_bytes=999)
        + frame(HEADERS, 0, 3, block[:5])
        + frame(frames.CONTINUATION, 0, 3, block[5:6])
        + frame(frames.CONTINUATION, END_HEADERS, 3, block[6:])
        + frame(frames.DATA, END | PADDED, 3, padded)
        + frames.ping(b"12345678"),
        piece,
    )
    assert client.answer(1).messages == [b"one" * 1000]
    assert client.answer(3).messages == [b"padded"]
    assert client.goaway() is None
    assert "PING" in [sent.kind for sent in client.frames]


def test_padding_and_priority_of_headers_are_skipped(client: Client) -> None:
    block = client.block()
    client.send(
        frame(HEADERS, END_HEADERS | PADDED | PRIORITISED, 1, b"\x04" + b"\0\0\0\0\x10" + block + b"\0" * 4)
        + data(1, b"x")
    )
    assert client.answer(1).messages == [b"x"]


def test_settings_are_acknowledged_and_pings_are_echoed(client: Client) -> None:
    client.send(frames.settings([(99, 1)]) + frames.ping(b"abcdefgh"))
    assert client.take() == [("SETTINGS", 1, 0, b""), ("PING", 1, 0, b"abcdefgh")]


def test_frames_of_unknown_types_are_skipped(client: Client) -> None:
    client.send(frame(0xBB, 0xFF, 7, b"what" * 10_000) + frame(0xBC, 0, 0))
    client.call(1, b"x")
    assert client.answer(1).messages == [b"x"]


def test_undefined_flags_and_the_reserved_bit_are_ignored(client: Client) -> None:
    client.send(client.headers(1))
    reserved = frames.FRAME.pack(6 << 8 | frames.DATA, 0xF6 & ~PADDED | END, 0x80000001)
    client.send(reserved + message(b"x"))
    assert client.answer(1).messages == [b"x"]


def test_request_trailers_end_the_request(client: Client) -> None:
    client.send(client.headers(1) + data(1, b"x", end=False))
    assert not client.answer(1).ended
    trailers = bytes(client.encoder.encode([("checksum", "1")]))
    client.send(frame(HEADERS, END_HEADERS | END, 1, trailers))
    assert client.answer(1).messages == [b"x"]


def test_an_empty_data_frame_ends_the_request(client: Client) -> None:
    client.send(client.headers(1) + data(1, b"x", end=False) + frame(frames.DATA, END, 1))
    assert client.answer(1).messages == [b"x"]


C = ErrorCode
CONNECTION_ERRORS = {
    "no settings first": (b"", frames.ping(b"12345678"), C.PROTOCOL_ERROR),
    "an acknowledgement first": (b"", frame(frames.SETTINGS, 1, 0), C.PROTOCOL_ERROR),
    "a priority of a wrong size": (None, frame(frames.PRIORITY, 0, 1, b"1234"), C.FRAME_SIZE_ERROR),
    "data on stream 0": (None, data(0, b"x"), C.PROTOCOL_ERROR),
    "data on an idle stream": (None, data(1, b"x"), C.PROTOCOL_ERROR),
    "data on a server's stream": (None, data(2, b"x"), C.PROTOCOL_ERROR),
    "data padded beyond its end": (
        None,
        ("open", frame(frames.DATA, PADDED, 1, b"\x05abcd")),
        C.PROTOCOL_ERROR,
    ),
    "data padded with nothing": (None, ("open", frame(frames.DATA, PADDED, 1)), C.FRAME_SIZE_ERROR),
    "headers on stream 0": (None, ("block", 0), C.PROTOCOL_ERROR),
    "headers on an even stream": (None, ("block", 2), C.PROTOCOL_ERROR),
    "headers padded beyond their end": (None, frame(HEADERS, 0xC, 1, b"\x05abcd"), C.PROTOCOL_ERROR),
    "headers padded with nothing": (None, frame(HEADERS, 0xC, 1), C.FRAME_SIZE_ERROR),
    "headers shorter than a priority": (None, frame(HEADERS, 0x24, 1, b"abcd"), C.PROTOCOL_ERROR),
    "a malformed block": (None, frame(HEADERS, 0x5, 1, b"\x80"), C.COMPRESSION_ERROR),
    "a truncated block": (None, frame(HEADERS, 0x5, 1, b"\x40\x05ab"), C.COMPRESSION_ERROR),
    "an index of nothing": (None, frame(HEADERS, 0x5, 1, b"\xfe"), C.COMPRESSION_ERROR),
    "a table that is too large": (None, frame(HEADERS, 0x5, 1, b"\x3f\xe2\x1f\x82"), C.COMPRESSION_ERROR),
    "an interrupted block": (
        None,
        frame(HEADERS, 0, 1, b"\x82") + frames.ping(b"12345678"),
        C.PROTOCOL_ERROR,
    ),
    "a block continued elsewhere": (
        None,
        frame(HEADERS, 0, 1, b"\x82") + frame(frames.CONTINUATION, 4, 3, b"\x82"),
        C.PROTOCOL_ERROR,
    ),
    "continuation of nothing": (None, frame(frames.CONTINUATION, 4, 1, b"\x82"), C.PROTOCOL_ERROR),
    "priority on stream 0": (None, frame(frames.PRIORITY, 0, 0, b"12345"), C.PROTOCOL_ERROR),
    "reset of stream 0": (None, frame(frames.RST_STREAM, 0, 0, b"1234"), C.PROTOCOL_ERROR),
    "reset of an idle stream": (None, frame(frames.RST_STREAM, 0, 9, b"1234"), C.PROTOCOL_ERROR),
    "reset of a wrong size": (None, frame(frames.RST_STREAM, 0, 1, b"123"), C.FRAME_SIZE_ERROR),
    "settings on a stream": (None, frame(frames.SETTINGS, 0, 1), C.PROTOCOL_ERROR),
    "settings of a wrong size": (None, frame(frames.SETTINGS, 0, 0, b"12345"), C.FRAME_SIZE_ERROR),
    "settings acknowledged with more": (None, frame(frames.SETTINGS, 1, 0, b"123456"), C.FRAME_SIZE_ERROR),
    "push that is neither on nor off": (None, frames.settings([(2, 2)]), C.PROTOCOL_ERROR),
    "a window of 2 GiB": (None, frames.settings([(4, 2**31)]), C.FLOW_CONTROL_ERROR),
    "frames that are too small": (None, frames.settings([(5, 16383)]), C.PROTOCOL_ERROR),
    "frames that are too large": (None, frames.settings([(5, 2**24)]), C.PROTOCOL_ERROR),
    "push": (None, frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\x02"), C.PROTOCOL_ERROR),
    "ping on a stream": (None, frame(frames.PING, 0, 1, b"12345678"), C.PROTOCOL_ERROR),
    "ping of a wrong size": (None, frame(frames.PING, 0, 0, b"1234567"), C.FRAME_SIZE_ERROR),
    "goaway on a stream": (None, frame(frames.GOAWAY, 0, 1, b"12345678"), C.PROTOCOL_ERROR),
    "goaway of a wrong size": (None, frame(frames.GOAWAY, 0, 0, b"1234567"), C.FRAME_SIZE_ERROR),
    "a window that grows by nothing": (
        None,
        frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
        C.PROTOCOL_ERROR,
    ),
    "a window update of a wrong size": (
        None,
        frame(frames.WINDOW_UPDATE, 0, 0, b"\0\0\0"),
        C.FRAME_SIZE_ERROR,
    ),
    "a window update of an idle stream": (None, frames.window_update(5, 1), C.PROTOCOL_ERROR),
    "a connection window beyond 2 GiB": (None, frames.window_update(0, 2**31 - 1), C.FLOW_CONTROL_ERROR),
    "a frame beyond the largest": (None, frame(frames.DATA, 0, 1, b"\0" * (2**20 + 1)), C.FRAME_SIZE_ERROR),
    "large settings": (None, frame(frames.SETTINGS, 0, 0, b"\0" * 60_000), C.ENHANCE_YOUR_CALM),
}


@pytest.mark.parametrize("case", CONNECTION_ERRORS)
def test_connection_errors_end_the_connection(echo: Echo, case: str) -> None:
    greeting, sent, code = CONNECTION_ERRORS[case]
    client = Client(echo.service, greet=greeting is None)
    if greeting is not None:
        client.send(frames.PREFACE)
    if isinstance(sent, tuple):
        what, argument = sent
        if what == "block":
            sent = frame(HEADERS, END_HEADERS | END, argument, client.block())
        else:
            sent = client.headers(1) + argument
    client.send(sent)
    goaway = client.goaway()
    assert goaway is not None
    assert ErrorCode(goaway[1]) is code
    assert not client.connection.session.streams
    # It reads on for a moment, for the GOAWAY to arrive, and does no more.
    client.send(b"anything")
    client.clock.advance(client.limits.linger_ns)
    assert client.transport.aborted


def test_data_on_a_stream_that_both_have_ended_ends_the_connection(client: Client) -> None:
    client.call(1, b"x")
    client.send(data(1, b"y"))
    goaway = client.goaway()
    assert goaway is not None
    assert goaway[:2] == (1, ErrorCode.STREAM_CLOSED)


def test_a_second_request_on_a_closed_stream_ends_the_connection(client: Client) -> None:
    client.call(3, b"x")
    client.send(client.headers(1))
    goaway = client.goaway()
    assert goaway is not None
    assert goaway[1] == ErrorCode.STREAM_CLOSED


STREAM_ERRORS = {
    "data after the end": (raw_data(1, b"more"), C.STREAM_CLOSED),
    "a window that grows by nothing": (frame(frames.WINDOW_UPDATE, 0, 1, b"\0\0\0\0"), C.PROTOCOL_ERROR),
    "a window beyond 2 GiB": (frames.window_update(1, 2**31 - 1), C.FLOW_CONTROL_ERROR),
}


@pytest.mark.parametrize("case", STREAM_ERRORS)
def test_stream_errors_end_the_stream_only(echo: Echo, client: Client, case: str) -> None:
    sent, code = STREAM_ERRORS[case]
    client.call(1, b"x", (":path", HELD))
    client.send(sent)
    answer = client.answer(1)
    assert answer.reset == code
    assert not answer.ended
    assert echo.cancelled == 1
    client.call(3, b"still here")
    assert client.answer(3).messages == [b"still here"]


def test_headers_after_the_end_are_a_stream_error(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    client.send(client.headers(1, end=True))
    assert client.answer(1).reset == ErrorCode.STREAM_CLOSED


def test_trailers_that_do_not_end_the_stream_are_a_stream_error(client: Client) -> None:
    client.send(client.headers(1) + client.headers(1))
    assert client.answer(1).reset == ErrorCode.PROTOCOL_ERROR


def test_trailers_with_pseudo_header_fields_are_a_stream_error(client: Client) -> None:
    client.send(client.headers(1) + data(1, b"x", end=False) + client.headers(1, end=True))
    assert client.answer(1).reset == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "changes",
    [
        [("Upper", "case")],
        [("connection", "close")],
        [("transfer-encoding", "chunked")],
        [("upgrade", "h2c")],
        [("te", "gzip")],
        [(":unknown", "x")],
        [(":status", "200")],
        [("content-length", "x")],
        [("bad\x01name", "x")],
        [("", "x")],
    ],
)
def test_malformed_requests_are_stream_errors(client: Client, changes: list[tuple[str, str]]) -> None:
    client.call(1, b"x", *changes)
    assert client.answer(1).reset == ErrorCode.PROTOCOL_ERROR
    client.call(3, b"y")
    assert client.answer(3).messages == [b"y"]


@pytest.mark.parametrize("missing", [":method", ":scheme", ":path"])
def test_requests_without_what_they_need_are_stream_errors(client: Client, missing: str) -> None:
    client.send(frame(HEADERS, END_HEADERS | END, 1, client.block(without=missing)))
    assert client.answer(1).reset == ErrorCode.PROTOCOL_ERROR


def test_pseudo_header_fields_come_first_and_once(client: Client) -> None:
    for stream_id, late in ((1, (":path", "/x")), (3, (":authority", "x"))):
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("a", "b"), late]
        client.send(frame(HEADERS, END_HEADERS | END, stream_id, bytes(client.encoder.encode(fields))))
        assert client.answer(stream_id).reset == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("declared", [5, 7])
def test_a_request_is_as_long_as_its_content_length(client: Client, declared: int) -> None:
    client.call(1, b"x", ("content-length", str(declared)))
    assert client.answer(1).reset == ErrorCode.PROTOCOL_ERROR
    client.call(3, b"x", ("content-length", "6"))
    assert client.answer(3).messages == [b"x"]


def test_a_reset_cancels_the_call_and_silences_it(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD))
    client.send(frames.rst_stream(1, ErrorCode.CANCEL))
    assert echo.cancelled == 1
    echo.held[0][1].reply(b"late")
    client.clock.turn()
    assert client.take() == []
    assert client.connection.session.streams == {}


def test_a_reply_made_later_is_sent_by_the_next_turn_of_the_loop(echo: Echo, client: Client) -> None:
    for stream_id in (1, 3, 5):
        client.call(stream_id, b"x", (":path", HELD))
    writes = client.transport.writes
    for _, call in echo.held:
        call.reply(b"later")
    assert client.transport.writes == writes
    client.clock.turn()
    assert client.transport.writes == writes + 1
    assert client.answer(5).messages == [b"later"]


def test_more_streams_than_allowed_are_refused_but_not_forgotten(echo: Echo) -> None:
    client = Client(echo.service, Limits(concurrent_streams=2))
    for stream_id in (1, 3, 5):
        client.call(stream_id, b"x", (":path", HELD))
    assert client.answer(5).reset == ErrorCode.REFUSED_STREAM
    # What follows on the refused stream was on its way.
    client.send(data(5, b"more", end=False))
    echo.held[0][1].reply(b"done")
    client.clock.turn()
    client.call(7, b"y", (":path", HELD))
    assert len(echo.held) == 3
    assert client.goaway() is None


def test_an_answer_before_the_end_of_the_request_stops_the_request(client: Client) -> None:
    client.send(client.headers(1, (":path", "/test.Echo/Nothing")))
    answer = client.answer(1)
    assert answer.status == 12
    assert answer.ended
    assert answer.reset == ErrorCode.NO_ERROR
    client.send(data(1, b"was on its way"))
    assert client.goaway() is None
    client.call(3, b"whole in one read", (":path", "/test.Echo/Nothing"))
    assert client.answer(3).reset is None


def test_the_loss_of_the_connection_cancels_all_calls_and_timers(echo: Echo, client: Client) -> None:
    client.call(1, b"x", (":path", HELD), ("grpc-timeout", "1S"))
    client.connection.connection_lost(None)
    assert echo.cancelled == 1
    assert client.lost == 1
    assert client.clock.pending_timers == 0
    echo.held[0][1].reply(b"late")
    client.clock.turn()


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\n\r\n", b"POST /x HTTP/1.1\r\n", b"\x16\x03\x01", b"PRI * HTTP/1"]
)
def test_clients_of_other_protocols_are_told_so(echo: Echo, start: bytes) -> None:
    client = Client(echo.service, greet=False)
    client.send(start, 1)
    assert client.transport.written.startswith(b"HTTP/1.1 505 ")
    client.clock.advance(client.limits.linger_ns)
    assert client.transport.aborted


def test_an_error_of_the_servers_own_ends_that_connection_only(
    echo: Echo, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(client.connection.session, "request", fails)
    client.call(1, b"x")
    goaway = client.goaway()
    assert goaway is not None
    assert goaway[1] == ErrorCode.INTERNAL_ERROR
    assert "ZeroDivisionError" in caplog.text
