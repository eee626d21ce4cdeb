from __future__ import annotations

import socket

from clockwork_triton.frontend.http2.arrival import Arrival, unread_bytes


class Reads:
    """A connection's reads: 100 bytes are a full one."""

    def __init__(self) -> None:
        self.since_ns = 0
        self.left = 0
        self._arrival = Arrival(lambda: self.since_ns, lambda: self.left)

    def read(self, size: int, now_ns: int, since_ns: int) -> int:
        self.since_ns = since_ns
        return self._arrival.of_read(size, size == 100, now_ns)


def test_a_read_came_after_the_turn_before() -> None:
    reads = Reads()
    assert reads.read(10, now_ns=50, since_ns=40) == 40
    assert reads.read(10, now_ns=70, since_ns=60) == 60


def test_no_bytes_come_after_they_are_read() -> None:
    assert Reads().read(10, now_ns=50, since_ns=51) == 50


def test_what_a_full_read_leaves_is_as_old_as_the_read() -> None:
    reads = Reads()
    reads.left = 120
    assert reads.read(100, now_ns=50, since_ns=40) == 40
    assert reads.read(100, now_ns=70, since_ns=60) == 40
    assert reads.read(20, now_ns=90, since_ns=80) == 40
    assert reads.read(20, now_ns=110, since_ns=100) == 100


def test_what_comes_while_old_bytes_are_read_is_younger_than_their_count() -> None:
    reads = Reads()
    reads.left = 100
    reads.read(100, now_ns=50, since_ns=40)
    reads.left = 30
    assert reads.read(100, now_ns=70, since_ns=60) == 40
    assert reads.read(30, now_ns=90, since_ns=80) == 50
    assert reads.read(10, now_ns=110, since_ns=100) == 100


def test_a_full_read_that_leaves_nothing_says_nothing_of_the_next() -> None:
    reads = Reads()
    assert reads.read(100, now_ns=50, since_ns=40) == 40
    assert reads.read(10, now_ns=70, since_ns=60) == 60


def test_the_kernel_tells_how_much_is_unread() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"12345")
        assert unread_bytes(ours) == 5
    assert unread_bytes(None) == 0
    assert unread_bytes(ours) == 0
