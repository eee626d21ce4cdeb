"""One HTTP/2 stream as its connection sees it (RFC 9113, 5.1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from clockwork_triton.inference import Buffer


class Stream:
    """Its windows, what waits to be sent, and which halves are open.

    `credit`: what the client's WINDOW_UPDATEs less the bytes sent add to the initial window of its settings.
    `recv_left`: what the client may still send. `opening`: field lines for the reply's headers while those
    are unsent, then None. `closing`: field lines of the trailers once those are decided. `releases`: to be
    called once the queued bytes are copied or dropped.
    """

    __slots__ = (
        "blocked",
        "closing",
        "credit",
        "id",
        "moved",
        "opening",
        "outbox",
        "queued_bytes",
        "recv_left",
        "releases",
        "remote_open",
    )

    def __init__(self, stream_id: int, recv_left: int) -> None:
        self.id = stream_id
        self.recv_left = recv_left
        self.remote_open = True
        self.credit = 0
        self.opening: bytes | None = b""
        self.closing: bytes | None = None
        self.outbox: deque[Buffer] | None = None
        self.queued_bytes = 0
        self.blocked = False
        self.moved = True
        self.releases: list[Callable[[], None]] = []

    def sent(self) -> None:
        """The last queued byte of what was asked for is on its way."""
