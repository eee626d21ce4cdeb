"""How much of a client's bytes one turn of the event loop may deal with."""

from __future__ import annotations

_LEAST_BYTES = 512
_FIRST_BYTES = 2 << 10
QUANTUM_NS = 2_000_000
"""What one read may take, about: a client waits for as many of these as there are clients that want all."""


class ReadShare:
    """The size of a connection's reads, which follows from what they cost: the rest of what has come stays in
    the socket until the others have had their turn.

    A connection begins small, so that one that comes again and again gains nothing by it.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.size = min(_FIRST_BYTES, most_bytes)

    def spent(self, duration_ns: int) -> None:
        """Dealing with a read of the full size has taken that long."""
        if duration_ns > QUANTUM_NS:
            self.size = max(_LEAST_BYTES, self.size * QUANTUM_NS // duration_ns)
        elif duration_ns < QUANTUM_NS // 2:
            self.size = min(self._most_bytes, 2 * self.size)
