"""How much one peer may ask for, and the counters that say when it has asked for too much."""

from __future__ import annotations

from dataclasses import dataclass

from clockwork_triton.frontend.http2.frames import DEFAULT_FRAME_SIZE, LARGEST_FRAME_SIZE, MAX_WINDOW

SECOND_NS = 1_000_000_000
INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class Rate:
    """`burst` events at once, and `per_second` more as time goes by."""

    burst: int
    per_second: int


@dataclass(frozen=True)
class Limits:
    """The defaults of keepalive are those of grpc-core, so of Triton's flags.

    A connection holds at most `concurrent_streams` times (`stream_window` + what a client lets its replies
    pile up) bytes, and all connections together `request_memory` bytes of half-received larger messages.
    """

    concurrent_streams: int = 1024
    stream_window: int = 1 << 20
    """Bytes a client may send on one stream before the server answers anything: a tensor of 3x224x224
    floats arrives without a pause."""
    connection_window: int = 1 << 30
    frame_bytes: int = 1 << 20
    message_bytes: int = INT32_MAX
    """Of one request message, uncompressed."""
    reply_bytes: int = INT32_MAX
    request_memory: int = 8 << 30
    header_list_bytes: int = 16 << 10
    """Name, value and 32 for each field (RFC 9113, 6.5.2). More is refused; four times as much ends the
    connection."""
    continuations: int = 64
    output_bytes: int = 1 << 20
    """Of acknowledgements and refusals that wait for a client that does not read."""
    unread_replies: int = 64 << 10
    """Bytes of replies queued on a bidirectional stream before its handler has to wait."""

    young_resets: Rate = Rate(100, 100)
    """Of streams that die, through the client's doing, within `reset_age_ns` of their birth."""
    reset_age_ns: int = 5_000_000
    control_frames: Rate = Rate(1000, 100)
    """SETTINGS, PRIORITY, empty DATA and frames of unknown types."""
    small_frames: Rate = Rate(10_000, 1_000)
    """WINDOW_UPDATE, and RST_STREAM of streams that have ended: beyond two for each frame of replies."""

    handshake_ns: int = 20 * SECOND_NS
    write_stall_ns: int = 60 * SECOND_NS
    """Longest a client may take no byte at all of a connection's output, or of a unary reply."""
    drain_ack_ns: int = 5 * SECOND_NS
    """Longest a draining connection waits for the client to have read that it is."""
    linger_ns: int = SECOND_NS // 2
    """How long a failed connection is still read, so that its GOAWAY arrives."""
    keepalive_ns: int = 7200 * SECOND_NS
    keepalive_timeout_ns: int = 20 * SECOND_NS
    keepalive_without_calls: bool = False
    pings_without_data: int = 2
    """Keepalive pings sent while no reply is; 0 is unlimited."""
    ping_interval_ns: int = 300 * SECOND_NS
    """Least time between two of a client's pings while no reply is sent to it."""
    ping_strikes: int = 2
    """Pings before their time that are borne; 0 is unlimited."""
    idle_ns: int | None = None
    age_ns: int | None = None
    age_grace_ns: int | None = None

    def __post_init__(self) -> None:
        assert DEFAULT_FRAME_SIZE <= self.frame_bytes <= LARGEST_FRAME_SIZE
        assert 0 < self.stream_window <= MAX_WINDOW
        assert 65_535 <= self.connection_window <= MAX_WINDOW
        assert 0 < self.message_bytes <= INT32_MAX


class Allowance:
    """Counts events against a rate; it looks at the time only when the burst is used up."""

    def __init__(self, rate: Rate, now_ns: int) -> None:
        self._rate = rate
        self._left = float(rate.burst)
        self._since_ns = now_ns

    def spend(self, now_ns: int) -> bool:
        """False if the event is one too many."""
        if self._left < 1:
            self.earn((now_ns - self._since_ns) * self._rate.per_second / SECOND_NS)
            self._since_ns = now_ns
        self._left -= 1
        return self._left >= 0

    def earn(self, events: float) -> None:
        self._left = min(float(self._rate.burst), self._left + events)


class RequestMemory:
    """The bytes that half-received messages beyond their streams' first window may take, of all clients.

    Who finds it used up is refused at once: waiting for others would let one idle upload stop all.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit

    @property
    def left(self) -> int:
        return self._left

    def take(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        self._left += size
