"""Whatever bytes come, in whatever pieces: no exception, bounded state, and the same answers."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.limits import Limits
from tests.frontend.http2.fakes import Client, data, message
from tests.frontend.http2.services import HELD, Echo

LIMITS = Limits(concurrent_streams=8, message_bytes=100_000, header_list_bytes=2000, stream_window=20_000)
few = settings(max_examples=150, suppress_health_check=list(HealthCheck))

stream_ids = st.sampled_from([0, 1, 1, 3, 3, 5, 2, 7, 9, 2**31 - 1])
payloads = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=20).map(message),
    st.integers(0, 2**32 - 1).map(lambda n: n.to_bytes(4, "big")),
    st.integers(0, 10).map(lambda n: bytes(5 * n)),
    st.tuples(st.integers(0, 8), st.integers(0, 2**32 - 1)).map(lambda pair: frames.SETTING.pack(*pair)),
)


@st.composite
def any_frames(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 11))
    return frames.frame(kind, draw(st.integers(0, 255)), draw(stream_ids), draw(payloads))


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Requests as they should be, between frames as they should not."""
    maker = Client(Echo().service)
    parts = []
    stream_id = 1
    for _ in range(draw(st.integers(0, 12))):
        choice = draw(st.integers(0, 4))
        if choice == 0:
            parts.append(draw(any_frames()))
        elif choice == 1:
            parts.append(draw(st.binary(max_size=30)))
        else:
            path = draw(st.sampled_from(["/test.Echo/Callback", HELD, "/nothing"]))
            indexing = draw(st.booleans())
            block = maker.block((":path", path), ("n", str(draw(st.integers(0, 3)))), indexing=indexing)
            parts.append(frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block))
            parts.append(data(stream_id, draw(st.binary(max_size=50)), end=draw(st.booleans())))
            stream_id += 2
    return parts


def check(client: Client) -> None:
    connection = client.connection
    assert len(connection.session.streams) <= LIMITS.concurrent_streams
    assert len(connection._reader._rest) < 80_000
    assert connection.session.recv_left <= LIMITS.connection_window
    assert sum(s.queued_bytes for s in connection.sender.queued.values()) <= 8 * 100_010
    for stream in connection.session.streams.values():
        assert stream.recv_left >= 0
    client.clock.advance(10**12)
    client.take()
    if not client.lost:
        connection.connection_lost(None)
    assert not connection.session.streams
    assert client.clock.pending_timers == 0
    assert client.memory.left == LIMITS.request_memory


@few
@given(st.binary(max_size=300), st.booleans(), st.integers(1, 50))
def test_any_bytes(noise: bytes, greet: bool, piece: int) -> None:
    client = Client(Echo().service, LIMITS, greet=greet)
    client.send(noise, piece)
    check(client)


@few
@given(st.lists(any_frames(), max_size=20), st.integers(1, 100))
def test_any_frames(parts: list[bytes], piece: int) -> None:
    client = Client(Echo().service, LIMITS)
    client.send(b"".join(parts), piece)
    check(client)


@few
@given(conversations(), st.integers(1, 100), st.integers(50, 10_000))
def test_conversations_with_interruptions(parts: list[bytes], piece: int, capacity: int) -> None:
    client = Client(Echo().service, LIMITS, capacity=capacity)
    for number, part in enumerate(parts):
        client.send(part, piece)
        if number % 3 == 2:
            client.transport.drain()
    check(client)


@few
@given(conversations(), st.integers(1, 40))
def test_answers_do_not_depend_on_how_bytes_are_cut(parts: list[bytes], piece: int) -> None:
    sent = b"".join(parts)
    whole, cut = (Client(Echo().service, LIMITS) for _ in range(2))
    whole.send(sent)
    cut.send(sent, piece)
    assert whole.goaway() == cut.goaway()
    for stream_id in range(1, 30, 2):
        one, other = whole.answer(stream_id), cut.answer(stream_id)
        # A request that is answered before its end is stopped only if the rest was not there at once.
        assert one._replace(reset=one.reset or None) == other._replace(reset=other.reset or None)


@few
@given(
    st.lists(st.tuples(st.binary(max_size=300), st.integers(1, 200)), min_size=1, max_size=8),
    st.lists(st.integers(1, 300), min_size=1, max_size=30),
    st.integers(0, 500),
)
def test_every_reply_arrives_whole_through_any_windows(
    calls: list[tuple[bytes, int]], steps: list[int], initial: int
) -> None:
    client = Client(Echo().service, Limits(concurrent_streams=100))
    client.send(frames.settings([(frames.INITIAL_WINDOW_SIZE, initial)]))
    for number, (content, frame_bytes) in enumerate(calls):
        stream_id = 2 * number + 1
        client.send(client.headers(stream_id) + data(stream_id, content, frame_bytes=frame_bytes))
    opened = dict.fromkeys(range(1, 2 * len(calls), 2), initial)
    for number, step in enumerate(steps):
        stream_id = 2 * (number % len(calls)) + 1
        client.send(frames.window_update(stream_id, step))
        opened[stream_id] += step
    for stream_id, window in opened.items():
        sent = sum(len(f.payload) for f in client.received() if f.kind == "DATA" and f.stream_id == stream_id)
        assert sent == min(window, len(calls[stream_id // 2][0]) + 5)
    for stream_id in opened:
        client.send(frames.window_update(stream_id, 1000))
    for number, (content, _) in enumerate(calls):
        assert client.answer(2 * number + 1).messages == [content]
    assert not client.connection.session.streams
