from __future__ import annotations

import socket

from clockwork_triton.frontend.http2.output import LARGE_BYTES, Output
from tests.frontend.http2.fakes import FakeTransport


class Keeper(FakeTransport):
    """Keeps what it is given, as asyncio's transports may."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[object] = []

    def write(self, data: object) -> None:
        super().write(data)
        self.kept.append(data)


def make(limit: int = 1000) -> tuple[Output, Keeper, list[str]]:
    events: list[str] = []
    output, transport = Output(limit, lambda: events.append("overflowed")), Keeper()
    output.attach(transport)
    return output, transport, events


def test_small_pieces_are_joined_and_large_ones_left_alone() -> None:
    output, transport, _ = make()
    large = bytes(LARGE_BYTES)
    output.pieces += [b"a", b"b", large, b"c"]
    output.has_large = True
    output.write()
    assert transport.kept == [b"ab", large, b"c"]
    assert transport.kept[1] is large
    output.pieces += [b"a", b"b"]
    output.write()
    assert transport.kept[3:] == [b"ab"]


class Socketed(Keeper):
    """Of a socket whose peer reads when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.ours if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return sum(len(data) for data in self.kept)  # type: ignore[arg-type]

    def read(self, size: int) -> bytes:
        return self.theirs.recv(size, socket.MSG_WAITALL)


def test_large_pieces_go_into_the_socket_from_where_they_lie() -> None:
    output, transport = Output(1000, lambda: None), Socketed()
    with transport.ours, transport.theirs:
        output.attach(transport)
        lent, released = memoryview(bytearray(b"x" * LARGE_BYTES)), []
        output.pieces += [b"a", lent, *([b"b"] * 2000)]
        output.has_large = output.has_lent = True
        output.release_later([lambda: released.append(1)])
        output.write()
        assert released
        assert transport.kept == []
        assert transport.read(LARGE_BYTES + 2001) == b"a" + b"x" * LARGE_BYTES + b"b" * 2000


def test_what_the_socket_does_not_take_waits_in_the_transport() -> None:
    output, transport = Output(1000, lambda: None), Socketed()
    with transport.ours, transport.theirs:
        output.attach(transport)
        whole = bytes(range(256)) * (64 << 10)
        output.pieces += [b"begin", whole, b"end"]
        output.has_large = True
        output.write()
        left = b"".join(transport.kept)  # type: ignore[arg-type]
        assert 0 < len(left) < len(whole)
        # From then on everything goes through the transport, or it would overtake.
        output.pieces.append(whole)
        output.has_large = True
        output.write()
        sent = transport.read(len(whole) + 8 - len(left))
        assert sent + b"".join(transport.kept) == b"begin" + whole + b"end" + whole  # type: ignore[arg-type]


def test_a_broken_socket_is_left_to_the_transport() -> None:
    output, transport = Output(1000, lambda: None), Socketed()
    with transport.ours, transport.theirs:
        output.attach(transport)
        transport.theirs.close()
        output.pieces.append(bytes(LARGE_BYTES))
        output.has_large = True
        output.write()
        assert transport.kept == [bytes(LARGE_BYTES)]


def test_lent_memory_is_copied_even_beside_what_is_not_lent() -> None:
    output, transport, events = make()
    lent = bytearray(b"x" * LARGE_BYTES)
    output.pieces += [bytes(LARGE_BYTES), memoryview(lent)]
    output.has_large = output.has_lent = True
    output.release_later([lambda: events.append("released")])
    output.write()
    assert events == ["released"]
    lent[:] = b"y" * LARGE_BYTES
    assert b"".join(transport.kept) == bytes(LARGE_BYTES) + b"x" * LARGE_BYTES  # type: ignore[arg-type]


def test_what_waits_for_a_paused_client_is_bounded_and_kept_in_order() -> None:
    output, transport, events = make(limit=10)
    output.paused = True
    for piece in (b"12345", b"67890"):
        output.pieces.append(piece)
        output.write()
    assert events == []
    output.pieces.append(b"!")
    output.write()
    assert events == ["overflowed"]
    output.pieces.append(b"later")
    output.resume()
    output.write()
    assert transport.written == b"1234567890!later"


def test_without_a_transport_memory_is_released_all_the_same() -> None:
    output, transport, events = make()
    output.pieces.append(b"x")
    output.release_later([lambda: events.append("released")])
    output.detach()
    assert events == ["released"]
    assert transport.written == b""
