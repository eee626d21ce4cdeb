from __future__ import annotations

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.errors import ErrorCode
from clockwork_triton.frontend.http2.limits import Limits
from clockwork_triton.frontend.http2.share import QUANTUM_NS, ReadShare
from clockwork_triton.frontend.http2.unary import UnaryCall
from clockwork_triton.inference import Buffer
from tests.frontend.http2.fakes import Client, data
from tests.frontend.http2.services import Echo

SLOW = "/test.Echo/Slow"


def test_cheap_reads_grow_and_dear_ones_shrink() -> None:
    share = ReadShare(8192)
    sizes = []
    for duration_ns in (0, 0, 0, 0, 4 * QUANTUM_NS, QUANTUM_NS, 100 * QUANTUM_NS):
        share.spent(duration_ns)
        sizes.append(share.size)
    assert sizes == [4096, 8192, 8192, 8192, 2048, 2048, 512]


def test_a_read_is_no_larger_than_the_buffer() -> None:
    assert ReadShare(100).size == 100


def test_a_client_whose_bytes_cost_much_has_fewer_of_them_dealt_with_a_turn() -> None:
    """Each of these requests takes a quarter of a quantum."""
    echo = Echo()
    client = Client(echo.service, new=True)

    def slow(request: Buffer, call: UnaryCall) -> None:
        client.clock.time_ns += QUANTUM_NS // 4
        call.reply(b"")

    echo.service.callback(SLOW.encode(), slow)
    client.send(client.headers(1, (":path", SLOW)) + data(1, b""))
    requests = b"".join(
        client.headers(stream_id, (":path", SLOW)) + data(stream_id, bytes(30))
        for stream_id in range(3, 801, 2)
    )
    turns_ns = []
    while requests:
        begin_ns = client.clock.time_ns
        taken = min(len(requests), len(client.connection.get_buffer(-1)))
        client.send(requests[:taken])
        turns_ns.append(client.clock.time_ns - begin_ns)
        requests = requests[taken:]
    assert sum(turns_ns) == 399 * QUANTUM_NS // 4
    # From the second read on; one has 512 bytes at least, which is eight or nine of these.
    assert max(turns_ns[1:]) <= 9 * QUANTUM_NS // 4


def test_resets_of_calls_that_waited_to_be_read_count() -> None:
    """A busy server reads late; what it reads is no older for that."""
    client = Client(Echo().service)
    client.clock.since_ns = client.clock.time_ns - 10**9
    stream_id = -1
    while client.goaway() is None:
        stream_id += 2
        client.send(client.headers(stream_id) + frames.rst_stream(stream_id, ErrorCode.CANCEL))
    assert stream_id // 2 == Limits().young_resets.burst
    assert not client.connection.session.streams


def test_whoever_goes_on_sending_to_a_connection_that_is_over_is_not_listened_to() -> None:
    client = Client(Echo().service)
    client.send(frames.frame(frames.CONTINUATION, 0, 1))
    assert client.goaway() is not None
    client.send(b"under way")
    assert not client.transport.reading_paused
    client.send(bytes(1 << 16))
    assert client.transport.reading_paused
    client.clock.advance(client.limits.linger_ns)
    assert client.transport.aborted
