from __future__ import annotations

from clockwork_triton.artifact.anonymous import AnonymousMemory


def test_memory_is_zero_and_keeps_what_is_written_while_more_is_provided() -> None:
    memory = AnonymousMemory(20 << 20)
    assert len(memory.bytes) == 20 << 20
    assert not memory.bytes.any()
    memory.bytes[:] = 7
    for _ in memory.provide(20 << 20):
        assert (memory.bytes == 7).all()


def test_what_is_provided_is_not_provided_again() -> None:
    memory = AnonymousMemory(20 << 20)
    pieces = len(list(memory.provide(9 << 20)))
    assert list(memory.provide(9 << 20)) == []
    assert len(list(memory.provide(20 << 20))) in (0, 3 - pieces)


def test_no_bytes_are_no_trouble() -> None:
    assert AnonymousMemory(0).address % 4096 == 0
