from __future__ import annotations

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
